//! Compression of responses with gzip (RFC 1952), for clients that accept it.
//!
//! An encoder needs about 300 KiB, as much as the rest of an open response (`ANSWER_MEMORY_KIB`),
//! and 32 responses may be open. Each piece of a stream is therefore compressed as a whole, by an
//! encoder that is dropped after the piece. The pieces become parts of one deflate stream that do
//! not refer to each other, and the response keeps a checksum and a length between them. This costs
//! little: records in pieces of 128 KiB shrink to 24.2 % of their size, in one piece to 23.9 %
//! (level 1; level 6: 20.1 % and 19.6 %).
//!
//! Every piece can be decompressed when it arrives. Server-sent events are small and must not wait
//! for more, so they are not compressed; neither are responses that fit into one packet, nor
//! whole responses that would occupy a network thread for long.

use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress};
use futures_util::FutureExt;
use http_body_util::{BodyExt, Collected, Either, Full};
use hyper::Response;
use hyper::body::{Body as _, Bytes};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, VARY};

use super::response::Body;
use crate::limits::{GZIP_BLOCK_BYTES_MAX, GZIP_BYTES_MIN, GZIP_PIECE_BYTES_MAX};

/// The header of a gzip stream without a name or a time, from an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// An empty last block.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Compresses a response if its client accepts that. Returns a response with an `ETag`
/// unchanged, because its handler has already encoded it.
pub fn compress(mut answer: Response<Body>, is_accepted: bool) -> Response<Body> {
    let headers = answer.headers_mut();
    let is_text = headers.get(CONTENT_TYPE).is_some_and(|kind| kind != "text/event-stream");
    if !is_text || headers.contains_key(ETAG) {
        return answer;
    }
    headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    // Streams have no exact length.
    let is_unfit = |length: u64| !(GZIP_BYTES_MIN as u64..=GZIP_PIECE_BYTES_MAX as u64).contains(&length);
    if !is_accepted || answer.body().size_hint().exact().is_some_and(is_unfit) {
        return answer;
    }
    answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    answer.map(|body| match body {
        Either::Left(body) => Either::Left(whole(&bytes_of(body), Compression::fast()).into()),
        Either::Right(body) => Either::Right(body.compressed()),
    })
}

/// Returns the content of a body that is in memory.
fn bytes_of(body: Full<Bytes>) -> Bytes {
    let collected = body.collect().now_or_never().and_then(Result::ok);
    collected.map(Collected::to_bytes).unwrap_or_default()
}

/// Returns a text as a gzip stream.
pub fn whole(text: &[u8], level: Compression) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default().into()
}

/// Appends a piece as complete blocks of a deflate stream that end with a whole byte.
///
/// The output has room for everything from the start. Otherwise the encoder keeps a part of a block
/// and leaves out the end of the flush, which writers that call it with a small buffer do not
/// notice.
fn deflate(piece: &[u8], out: &mut Vec<u8>) {
    out.reserve(piece.len() + piece.len() / 8 + GZIP_BLOCK_BYTES_MAX);
    let mut encoder = Compress::new(Compression::fast(), false);
    let mut rest = piece;
    while !rest.is_empty() {
        let before = encoder.total_in();
        // Fails only where there is no room.
        let _ = encoder.compress_vec(rest, out, FlushCompress::Sync);
        rest = rest.get((encoder.total_in() - before) as usize..).unwrap_or_default();
        out.reserve(GZIP_BLOCK_BYTES_MAX);
    }
    // Completes a flush that was interrupted by a lack of room; otherwise an empty block.
    let _ = encoder.compress_vec(&[], out, FlushCompress::Sync);
}

/// The state of a stream that is compressed piece by piece.
#[derive(Debug, Default)]
pub(super) struct Gzip {
    checksum: Crc,
    /// The rest of a piece that was too large to be compressed as a whole.
    rest: Bytes,
    is_begun: bool,
    pub(super) is_ended: bool,
}

impl Gzip {
    /// Takes the next piece.
    pub(super) fn put(&mut self, piece: Bytes) {
        self.rest = piece;
    }

    /// Returns what the last piece became, or the next part of it; `None` once it is complete.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            return None;
        }
        let piece = self.rest.split_to(self.rest.len().min(GZIP_PIECE_BYTES_MAX));
        self.checksum.update(&piece);
        let mut out = self.begin();
        deflate(&piece, &mut out);
        out.shrink_to_fit();
        Some(out.into())
    }

    /// Returns the end of the stream.
    pub(super) fn end(&mut self) -> Bytes {
        self.is_ended = true;
        let mut out = self.begin();
        out.extend_from_slice(&LAST_BLOCK);
        out.extend_from_slice(&self.checksum.sum().to_le_bytes());
        out.extend_from_slice(&self.checksum.amount().to_le_bytes());
        out.into()
    }

    /// Returns what precedes the next bytes.
    fn begin(&mut self) -> Vec<u8> {
        if std::mem::replace(&mut self.is_begun, true) { Vec::new() } else { HEADER.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use http_body_util::BodyExt;
    use hyper::StatusCode;

    use super::*;
    use crate::net::http::body::stream;
    use crate::net::http::{json, text};

    fn inflated(bytes: &[u8]) -> Vec<u8> {
        let (mut decoder, mut out) = (GzDecoder::new(bytes), Vec::new());
        decoder.read_to_end(&mut out).unwrap();
        assert!(decoder.into_inner().is_empty(), "bytes follow the stream");
        out
    }

    fn collected(answer: Response<Body>) -> Result<Vec<u8>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let collected = runtime.block_on(answer.into_body().collect());
        collected.map(|body| body.to_bytes().to_vec()).map_err(|error| error.to_string())
    }

    /// Returns the response of a producer that sends these pieces and then perhaps ends the stream.
    fn streamed(pieces: Vec<Vec<u8>>, is_ended: bool) -> Result<Vec<u8>, String> {
        let (sender, body) = stream();
        let producer = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                for piece in pieces {
                    assert!(sender.send(piece.into()).await);
                }
            });
            if is_ended {
                sender.end();
            }
        });
        let mut answer = json(StatusCode::OK, "").map(|_| Either::Right(body));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/csv"));
        let answer = compress(answer, true);
        assert_eq!(
            (&answer.headers()[CONTENT_ENCODING], &answer.headers()[VARY]),
            (&HeaderValue::from_static("gzip"), &HeaderValue::from_static("accept-encoding"))
        );
        let bytes = collected(answer);
        producer.join().unwrap();
        bytes
    }

    #[test]
    fn stream_is_one_gzip_stream() {
        let piece = |length: usize| (0..length).map(|n| (n * n % 251) as u8).collect::<Vec<_>>();
        let lengths = [1, 0, 70_000, 3 * GZIP_PIECE_BYTES_MAX + 1, GZIP_PIECE_BYTES_MAX, 17];
        let pieces: Vec<_> = lengths.map(piece).into();
        assert_eq!(inflated(&streamed(pieces.clone(), true).unwrap()), pieces.concat());
        assert_eq!(inflated(&streamed(Vec::new(), true).unwrap()), b"");
        assert!(streamed(pieces, false).is_err(), "not ended by its producer");
    }

    /// Random base64, which fills the buffers of the encoder at every possible place.
    #[test]
    fn pieces_that_hardly_shrink_are_complete() {
        let mut random = 1_u32;
        let text: Vec<u8> = (0..GZIP_PIECE_BYTES_MAX)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[(random >> 26) as usize]
            })
            .collect();
        let lengths = (57_000..66_500).step_by(97).chain((115_000..135_000).step_by(499));
        for length in lengths.chain([GZIP_PIECE_BYTES_MAX - 1, GZIP_PIECE_BYTES_MAX]) {
            let mut gzip = Gzip::default();
            let mut out = Vec::new();
            for piece in [&text[..length], b"the next piece"] {
                gzip.put(Bytes::copy_from_slice(piece));
                while let Some(part) = gzip.next() {
                    out.extend_from_slice(&part);
                }
            }
            out.extend_from_slice(&gzip.end());
            assert!(inflated(&out) == [&text[..length], b"the next piece"].concat(), "{length}");
        }
    }

    #[test]
    fn short_and_unaccepted_responses_stay_as_they_are() {
        let long = "x".repeat(GZIP_BYTES_MIN);
        for (content, is_accepted) in [("short", true), (&long, false)] {
            let answer = compress(text(content.to_owned()), is_accepted);
            assert!(!answer.headers().contains_key(CONTENT_ENCODING));
            assert_eq!(answer.headers()[VARY], "accept-encoding");
            assert_eq!(collected(answer).unwrap(), content.as_bytes());
        }
        let answer = compress(text(long.clone()), true);
        assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(inflated(&collected(answer).unwrap()), long.as_bytes());
    }

    #[test]
    fn events_and_encoded_files_stay_as_they_are() {
        for (name, value) in [(CONTENT_TYPE, "text/event-stream"), (ETAG, "\"1\"")] {
            let mut answer = text("x".repeat(GZIP_BYTES_MIN));
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
            let answer = compress(answer, true);
            assert!(!answer.headers().contains_key(CONTENT_ENCODING) && !answer.headers().contains_key(VARY));
        }
    }
}
