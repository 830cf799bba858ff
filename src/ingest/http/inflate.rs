//! Content encodings: gzip, deflate and zstd, told by the header and by the first bytes (senders lie both ways).

use std::io::{self, Write};

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use hyper::header::CONTENT_ENCODING;
use hyper::http::request::Parts;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::Failure;
use crate::limits::{INFLATED_PIECE_BYTES, ZSTD_WINDOW_LOG_MAX, ZSTD_WINDOW_LOG_MAX_UNDECLARED};

/// Inflates a body that is pushed into it piece by piece.
pub(super) enum Inflater {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<ZlibDecoder<Vec<u8>>>),
    Zstd(Box<Zstd>),
}

/// A zstd decoder that gives no more than [`INFLATED_PIECE_BYTES`] at once: a few bytes may stand for blocks of 128 KiB.
pub(super) struct Zstd {
    decoder: Decoder<'static>,
    inflated: Vec<u8>,
    /// A frame has begun and not ended.
    is_open: bool,
}

impl Zstd {
    fn new(window_log_max: u32) -> io::Result<Zstd> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(window_log_max))?;
        Ok(Zstd { decoder, inflated: Vec::new(), is_open: false })
    }

    fn push(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.inflated.reserve(INFLATED_PIECE_BYTES);
        let mut input = InBuffer::around(piece);
        let left = self.decoder.run(&mut input, &mut OutBuffer::around(&mut self.inflated))?;
        // With nothing to do, the decoder speaks of the next frame.
        if input.pos() > 0 || !self.inflated.is_empty() {
            self.is_open = left > 0;
        }
        Ok(input.pos())
    }

    fn finish(&self) -> io::Result<()> {
        if self.is_open {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the zstd frame is not complete"));
        }
        Ok(())
    }
}

impl Inflater {
    /// For what the header says.
    pub(super) fn of(parts: &Parts) -> Result<Inflater, Failure> {
        let Some(header) = parts.headers.get(CONTENT_ENCODING) else { return Ok(Inflater::Plain) };
        let name = String::from_utf8_lossy(header.as_bytes()).trim().to_ascii_lowercase();
        match name.as_str() {
            "" | "identity" => Ok(Inflater::Plain),
            "gzip" | "x-gzip" => Ok(Inflater::gzip()),
            "deflate" => Ok(Inflater::deflate()),
            "zstd" => Inflater::zstd(ZSTD_WINDOW_LOG_MAX),
            _ => Err(Failure::Encoding(name)),
        }
    }

    fn gzip() -> Inflater {
        Inflater::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
    }

    fn deflate() -> Inflater {
        Inflater::Deflate(Box::new(ZlibDecoder::new(Vec::new())))
    }

    fn zstd(window_log_max: u32) -> Result<Inflater, Failure> {
        Ok(Inflater::Zstd(Box::new(Zstd::new(window_log_max).map_err(broken)?)))
    }

    /// Corrects the header's word by the first bytes of the body.
    pub(super) fn sniff(&mut self, start: &[u8]) -> Result<(), Failure> {
        let is_json = matches!(start.trim_ascii_start().first(), Some(b'{' | b'['));
        *self = match (&self, start) {
            (Inflater::Plain, [0x1f, 0x8b, ..]) => Inflater::gzip(),
            (Inflater::Plain, [0x28, 0xb5, 0x2f, 0xfd, ..]) => {
                Inflater::zstd(ZSTD_WINDOW_LOG_MAX_UNDECLARED)?
            }
            (Inflater::Deflate(_), [0x1f, 0x8b, ..]) => Inflater::gzip(),
            _ if is_json => Inflater::Plain,
            _ => return Ok(()),
        };
        Ok(())
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Inflater::Plain)
    }

    /// The memory that it takes at most, in KiB.
    pub(super) fn memory_kib(&self) -> u32 {
        match self {
            Inflater::Plain => 0,
            Inflater::Gzip(_) | Inflater::Deflate(_) => 64,
            Inflater::Zstd(_) => 1 << (ZSTD_WINDOW_LOG_MAX - 10),
        }
    }

    /// Takes bytes of the body, and tells how many. What they inflate to is to be taken before the next; while there is
    /// something to take, there may be more.
    pub(super) fn push(&mut self, piece: &[u8]) -> io::Result<usize> {
        match self {
            Inflater::Plain => {}
            Inflater::Gzip(decoder) => decoder.write_all(piece)?,
            Inflater::Deflate(decoder) => decoder.write_all(piece)?,
            Inflater::Zstd(decoder) => return decoder.push(piece),
        }
        Ok(piece.len())
    }

    /// Checks that the body ended where its encoding does.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            Inflater::Plain => Ok(()),
            Inflater::Gzip(decoder) => decoder.try_finish(),
            Inflater::Deflate(decoder) => decoder.try_finish(),
            Inflater::Zstd(decoder) => decoder.finish(),
        }
    }

    /// What has been inflated since the last call.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Inflater::Plain => return Vec::new(),
            Inflater::Gzip(decoder) => decoder.get_mut(),
            Inflater::Deflate(decoder) => decoder.get_mut(),
            Inflater::Zstd(decoder) => &mut decoder.inflated,
        })
    }
}

fn broken(error: io::Error) -> Failure {
    Failure::Broken(error.to_string())
}
