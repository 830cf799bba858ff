//! Content encodings: gzip, deflate and zstd, detected from the header and from the first bytes,
//! because senders set the header wrongly in both directions.
//!
//! A body is fed piece by piece and read in portions that the reader bounds, because a few bytes
//! may stand for megabytes.

use std::io::{self, BufRead, ErrorKind, Read};

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use hyper::body::{Buf, Bytes};
use hyper::header::CONTENT_ENCODING;
use hyper::http::request::Parts;

use super::UploadFailure;
use crate::limits::ZSTD_WINDOW_LOG_MAX;

/// Inflates a body that is fed to it piece by piece.
pub(super) enum Inflater {
    Plain(Feed),
    Gzip(Box<MultiGzDecoder<Feed>>),
    Deflate(Box<ZlibDecoder<Feed>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Feed>>),
}

/// The piece of a body that is being read. At the end of the piece the reader has to wait, unless
/// the body ends there too.
#[derive(Default)]
pub(super) struct Feed {
    piece: Bytes,
    is_last: bool,
}

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(out)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece.is_empty() && !self.is_last {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, length: usize) {
        self.piece.advance(length);
    }
}

impl Inflater {
    /// Returns the inflater that the header names.
    pub(super) fn of(parts: &Parts) -> Result<Inflater, UploadFailure> {
        let Some(header) = parts.headers.get(CONTENT_ENCODING) else { return Ok(Inflater::plain()) };
        let name = String::from_utf8_lossy(header.as_bytes()).trim().to_ascii_lowercase();
        match name.as_str() {
            "" | "identity" => Ok(Inflater::plain()),
            "gzip" | "x-gzip" => Ok(Inflater::gzip()),
            "deflate" => Ok(Inflater::deflate()),
            "zstd" => Inflater::zstd(),
            _ => Err(UploadFailure::Encoding(name)),
        }
    }

    fn plain() -> Inflater {
        Inflater::Plain(Feed::default())
    }

    fn gzip() -> Inflater {
        Inflater::Gzip(Box::new(MultiGzDecoder::new(Feed::default())))
    }

    fn deflate() -> Inflater {
        Inflater::Deflate(Box::new(ZlibDecoder::new(Feed::default())))
    }

    fn zstd() -> Result<Inflater, UploadFailure> {
        let mut decoder =
            zstd::stream::read::Decoder::with_buffer(Feed::default()).map_err(UploadFailure::broken)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(UploadFailure::broken)?;
        Ok(Inflater::Zstd(Box::new(decoder)))
    }

    /// Corrects the encoding of the header by the first bytes of the body.
    pub(super) fn sniff(&mut self, start: &[u8]) -> Result<(), UploadFailure> {
        let is_json = matches!(start.trim_ascii_start().first(), Some(b'{' | b'['));
        *self = match (&self, start) {
            (Inflater::Plain(_), [0x1f, 0x8b, ..]) => Inflater::gzip(),
            (Inflater::Plain(_), [0x28, 0xb5, 0x2f, 0xfd, ..]) => Inflater::zstd()?,
            (Inflater::Deflate(_), [0x1f, 0x8b, ..]) => Inflater::gzip(),
            _ if is_json => Inflater::plain(),
            _ => return Ok(()),
        };
        Ok(())
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Inflater::Plain(_))
    }

    /// Returns the memory that inflation needs at most, in KiB.
    pub(super) fn memory_kib(&self) -> u32 {
        match self {
            Inflater::Plain(_) => 0,
            Inflater::Gzip(_) | Inflater::Deflate(_) => 64,
            Inflater::Zstd(_) => 1 << (ZSTD_WINDOW_LOG_MAX - 10),
        }
    }

    /// Accepts the next piece, once [`Self::next`] has returned all previous ones.
    pub(super) fn feed(&mut self, piece: Bytes) {
        self.source().piece = piece;
    }

    /// Ends the body.
    pub(super) fn end(&mut self) {
        self.source().is_last = true;
    }

    /// Returns the next portion of the body in the form before compression, of at most `bytes_max`
    /// bytes. Without compression the portion is part of the piece itself. It is empty if another
    /// piece is needed, or at the end of the body.
    ///
    /// Returns an error if the body does not inflate, or if it ended before its encoding did.
    pub(super) fn next(&mut self, bytes_max: usize) -> io::Result<Bytes> {
        if let Inflater::Plain(Feed { piece, .. }) = self {
            return Ok(piece.split_to(piece.len().min(bytes_max)));
        }
        let mut portion = vec![0; bytes_max];
        let length = self.read(&mut portion)?;
        portion.truncate(length);
        Ok(portion.into())
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let result = match self {
            Inflater::Plain(feed) => feed.read(out),
            Inflater::Gzip(decoder) => decoder.read(out),
            Inflater::Deflate(decoder) => decoder.read(out),
            Inflater::Zstd(decoder) => decoder.read(out),
        };
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    fn source(&mut self) -> &mut Feed {
        match self {
            Inflater::Plain(feed) => feed,
            Inflater::Gzip(decoder) => decoder.get_mut(),
            Inflater::Deflate(decoder) => decoder.get_mut(),
            Inflater::Zstd(decoder) => decoder.get_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Reads all available bytes, in portions of at most 1000 bytes.
    fn drain(inflater: &mut Inflater, out: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let portion = inflater.next(1000)?;
            if portion.is_empty() {
                return Ok(());
            }
            out.extend_from_slice(&portion);
        }
    }

    /// Inflates a body that arrives in pieces.
    fn inflate(mut inflater: Inflater, body: &[u8], piece_bytes: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        for piece in body.chunks(piece_bytes) {
            inflater.feed(Bytes::copy_from_slice(piece));
            drain(&mut inflater, &mut out)?;
        }
        inflater.end();
        drain(&mut inflater, &mut out)?;
        Ok(out)
    }

    fn text() -> Vec<u8> {
        (0..20_000).flat_map(|number: u32| format!("{{\"message\":{number}}}\n").into_bytes()).collect()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 1).unwrap()
    }

    type Case = (fn() -> Inflater, fn(&[u8]) -> Vec<u8>);

    const CASES: [Case; 3] = [
        (Inflater::gzip, gzip),
        (Inflater::deflate, zlib),
        (|| Inflater::zstd().unwrap_or_else(|error| panic!("{error}")), zstd),
    ];

    #[test]
    fn body_in_pieces_inflates_whole() {
        for (inflater, compress) in CASES {
            for piece_bytes in [1, 7, 1 << 20] {
                assert!(inflate(inflater(), &compress(&text()), piece_bytes).unwrap() == text());
            }
        }
    }

    #[test]
    fn truncated_body_is_an_error() {
        for (inflater, compress) in CASES {
            let body = compress(&text());
            for cut in [1, 5, body.len() / 2, body.len() - 2] {
                assert!(inflate(inflater(), &body[..body.len() - cut], 100).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn consecutive_members_and_frames_inflate() {
        let gzip = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(inflate(Inflater::gzip(), &gzip, 3).unwrap(), b"one two");
        let zstd = [zstd(b"one "), zstd(b"two")].concat();
        assert_eq!(inflate(CASES[2].0(), &zstd, 3).unwrap(), b"one two");
    }

    /// Eight blocks of 4 bytes, each of which stands for 128 KiB. A read returns no more than
    /// requested.
    #[test]
    fn few_bytes_inflate_to_many_in_portions() {
        let mut body = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x58];
        for is_last in [0, 0, 0, 0, 0, 0, 0, 1] {
            body.extend_from_slice(&[2 | is_last, 0, 0x10, b' ']);
        }
        assert_eq!(inflate(CASES[2].0(), &body, 1 << 20).unwrap(), vec![b' '; 1 << 20]);
    }
}
