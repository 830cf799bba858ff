//! Python's framing (`logging.handlers.SocketHandler`): each record is a 4-byte big-endian length
//! and a pickle.
//!
//! Lengths are below 16 MiB, so the first byte of a frame is always zero. No other protocol starts
//! with a zero byte, so a client that does not send frames is recognized by its first byte.

use crate::ingest::Rejection;

/// What the bytes received so far start with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A complete frame: its pickle, and the bytes after the frame.
    Frame(&'a [u8], &'a [u8]),
    /// A frame that is larger than the limit, with the length of its pickle. The caller skips the
    /// bytes of the frame, so the stream stays in step.
    TooLarge(usize),
    /// An incomplete frame, which needs at least this many bytes in total.
    Partial(usize),
    /// Not the `SocketHandler` protocol.
    NotAFrame,
}

const PREFIX_BYTES: usize = 4;

/// Returns what `bytes` start with.
pub(super) fn next(bytes: &[u8], frame_bytes_max: usize) -> Next<'_> {
    if bytes.first().is_some_and(|first| *first != 0) {
        return Next::NotAFrame;
    }
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Next::Partial(PREFIX_BYTES);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > frame_bytes_max {
        return Next::TooLarge(length);
    }
    match rest.split_at_checked(length) {
        Some((pickle, rest)) => Next::Frame(pickle, rest),
        None => Next::Partial(PREFIX_BYTES + length),
    }
}

/// Returns the rejection of a frame whose pickle has `length` bytes.
pub(super) fn too_large(length: usize, frame_bytes_max: usize) -> Rejection {
    Rejection::new(
        "too_large",
        format!("a frame of {length} bytes exceeds frame_bytes_max ({frame_bytes_max})"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_classifies_start_of_bytes() {
        assert_eq!(next(b"\0\0\0\x02ab\0", 10), Next::Frame(b"ab", b"\0"));
        assert_eq!(next(b"\0\0\0\x00", 10), Next::Frame(b"", b""));
        assert_eq!(next(b"", 10), Next::Partial(4));
        assert_eq!(next(b"\0\0", 10), Next::Partial(4));
        assert_eq!(next(b"\0\0\0\x05ab", 10), Next::Partial(9));
        assert_eq!(next(b"\0\0\0\x0b", 10), Next::TooLarge(11));
        assert_eq!(next(b"G", 10), Next::NotAFrame);
        assert_eq!(next(b"\xff\xff\xff\xff", 10), Next::NotAFrame);
    }
}
