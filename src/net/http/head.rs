//! Request heads that have not arrived completely.
//!
//! A connection that shares slots with others takes a slot once the head of its request is
//! complete. Until then the head stays in the socket or, if it arrives in several parts, in memory
//! that all incomplete heads share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::limits::{HTTP_HEAD_BYTES_FREE, HTTP_HEAD_BYTES_MAX, HTTP_HEADS_BYTES_MAX, HTTP_PEEK_BYTES};
use crate::net::StreamSocket;

/// The memory used by all incomplete heads.
#[derive(Debug, Default)]
pub(super) struct Heads(AtomicUsize);

impl Heads {
    /// Returns true if more than half of the memory is in use: heads that have stalled must then
    /// release theirs.
    pub(super) fn is_scarce(&self) -> bool {
        self.0.load(Relaxed) > HTTP_HEADS_BYTES_MAX / 2
    }
}

/// The share of that memory that one head occupies, released on drop.
#[derive(Debug)]
pub(super) struct Charge {
    heads: Arc<Heads>,
    bytes: usize,
}

impl Charge {
    fn set(&mut self, bytes: usize) {
        self.heads.0.fetch_add(bytes, Relaxed);
        self.heads.0.fetch_sub(self.bytes, Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The result of looking at the socket.
pub(super) enum Look {
    /// The head is complete, or cannot become a valid head, which hyper rejects.
    Whole,
    /// This many further bytes were read.
    Part(usize),
    /// There is nothing to read now.
    Nothing,
    /// The connection has ended, or there is no memory for the head.
    End,
}

/// The beginning of a request, already read from the socket.
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    /// The share of the memory that the bytes occupy.
    pub(super) charge: Charge,
}

impl Head {
    /// Creates a head that begins with bytes read earlier.
    pub(super) fn new(heads: &Arc<Heads>, rest: &[u8]) -> Head {
        // Empty lines may precede a request.
        let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let bytes = rest[empty..].to_vec();
        let mut charge = Charge { heads: Arc::clone(heads), bytes: 0 };
        charge.set(bytes.capacity());
        Head { bytes, charge }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Looks for the end of the head. Reads from the socket only bytes that do not contain it.
    pub(super) fn look(&mut self, stream: &StreamSocket) -> Look {
        let mut window = [0; 2 + HTTP_PEEK_BYTES];
        // The end may begin in the bytes already read.
        let taken = self.bytes.len().min(2);
        window[..taken].copy_from_slice(&self.bytes[self.bytes.len() - taken..]);
        match stream.try_peek(&mut window[taken..]) {
            Ok(0) => Look::End,
            Ok(peeked) => self.judge(stream, &window[..taken + peeked], peeked),
            Err(error) => nothing_or_end(&error),
        }
    }

    fn judge(&mut self, stream: &StreamSocket, window: &[u8], peeked: usize) -> Look {
        if self.is_empty() {
            // Empty lines use no memory.
            let empty = window.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if empty > 0 {
                return match stream.try_read(&mut Vec::with_capacity(empty)) {
                    Ok(read) => Look::Part(read),
                    Err(error) => nothing_or_end(&error),
                };
            }
        }
        if has_end(window) || !window[0].is_ascii_graphic() && self.is_empty() {
            return Look::Whole;
        }
        let start = self.bytes.len();
        self.bytes.reserve_exact(peeked);
        match stream.try_read(&mut self.bytes) {
            Ok(0) => return Look::End,
            Ok(_) => {}
            Err(error) => return nothing_or_end(&error),
        }
        self.charge.set(self.bytes.capacity());
        if has_end(&self.bytes[start.saturating_sub(2)..]) || self.bytes.len() >= HTTP_HEAD_BYTES_MAX {
            return Look::Whole;
        }
        let is_full = self.charge.heads.0.load(Relaxed) > HTTP_HEADS_BYTES_MAX;
        if is_full && self.bytes.len() > HTTP_HEAD_BYTES_FREE {
            return Look::End;
        }
        Look::Part(self.bytes.len() - start)
    }
}

fn nothing_or_end(error: &io::Error) -> Look {
    if error.kind() == io::ErrorKind::WouldBlock { Look::Nothing } else { Look::End }
}

/// Returns true if a head ends in these bytes, with an empty line.
fn has_end(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| {
        let next = &bytes[at + 1..];
        next.starts_with(b"\n") || next.starts_with(b"\r\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_ends_with_an_empty_line() {
        for (bytes, expected) in [
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", true),
            ("GET / HTTP/1.1\nhost: x\n\n", true),
            ("GET / HTTP/1.1\r\nhost: x\r\n\nbody", true),
            ("GET / HTTP/1.1\r\nhost: x\r\n\r", false),
            ("GET / HTTP/1.1\r\nhost: x\r\n", false),
            ("GET / HTTP/1.1\r\r\r", false),
            ("", false),
        ] {
            assert_eq!(has_end(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }
}
