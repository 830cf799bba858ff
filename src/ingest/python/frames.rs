//! Python's framing: each record is a 4-byte big-endian length and a pickle (`logging.handlers.SocketHandler`).
//!
//! Lengths stay below 16 MiB, so the first byte of a frame is always zero, and no other protocol starts with that: a
//! stranger is known by its first byte.

use crate::ingest::Rejection;

/// What stands at the start of the bytes received so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A whole frame's pickle, and what follows it.
    Frame(&'a [u8], &'a [u8]),
    /// A frame larger than is taken: its pickle's length. Its bytes are to be skipped, the stream stays in step.
    TooLarge(usize),
    /// A frame that is not complete; it needs this many bytes in all.
    Partial(usize),
    /// Something else than frames.
    Stranger,
}

const PREFIX_BYTES: usize = 4;

/// Looks at the start of `bytes`.
pub(super) fn next(bytes: &[u8], frame_bytes_max: usize) -> Next<'_> {
    if bytes.first().is_some_and(|first| *first != 0) {
        return Next::Stranger;
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

/// The rejection of a frame of `length` bytes.
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
    fn frames_and_what_is_none() {
        assert_eq!(next(b"\0\0\0\x02ab\0", 10), Next::Frame(b"ab", b"\0"));
        assert_eq!(next(b"\0\0\0\x00", 10), Next::Frame(b"", b""));
        assert_eq!(next(b"", 10), Next::Partial(4));
        assert_eq!(next(b"\0\0", 10), Next::Partial(4));
        assert_eq!(next(b"\0\0\0\x05ab", 10), Next::Partial(9));
        assert_eq!(next(b"\0\0\0\x0b", 10), Next::TooLarge(11));
        assert_eq!(next(b"G", 10), Next::Stranger);
        assert_eq!(next(b"\xff\xff\xff\xff", 10), Next::Stranger);
    }
}
