//! Bytes from outside become records: one file or folder per protocol, with decoders that are pure
//! and separate from sockets.

pub mod attributes;
pub mod dead_letter;
pub mod http;
pub mod json;
pub mod python;
mod shapes;
pub mod source;

use crate::limits::DECODER_SCRATCH_MAX;

/// Empties a decoder's buffer for the next record, and releases the memory that a rare huge record
/// took.
fn empty<T>(buffer: &mut Vec<T>) {
    buffer.clear();
    if buffer.capacity() > DECODER_SCRATCH_MAX {
        buffer.shrink_to(DECODER_SCRATCH_MAX);
    }
}

/// What the transport reveals about a record, used for fields that the record itself does not set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival<'a> {
    /// When it was received, in ns since the Unix epoch.
    pub observed_timestamp: i64,
    /// The service that the listener is configured to assume; empty if none.
    pub service: &'a str,
    /// The host that the record came from: the listener's label, else the peer's address or this
    /// machine's name.
    pub host: &'a str,
    /// The process at the other end of a Unix socket; 0 if unknown.
    pub process_id: u32,
    /// Further labels of the listener, which become attributes: JSON members
    /// (`"env":"prod","zone":"a"`) or empty.
    pub labels: &'a str,
}

/// Why an input was not accepted as a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Rejection {
    /// One of a few fixed words, for counting: `malformed`, `too_large`, ...
    pub reason: &'static str,
    /// What is wrong, for a person.
    pub detail: String,
}

impl Rejection {
    /// Returns a rejection with a reason and its detail.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Rejection {
        Rejection { reason, detail: detail.into() }
    }
}
