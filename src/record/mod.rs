//! The one type that crosses every border: a log record in OpenTelemetry's data model, and its encodings.
//!
//! Decoders fill a borrowed [`RecordRef`] and push it into a [`Batch`]; the spool carries the batch's bytes;
//! stores and readers walk them again with [`Records`]. Nothing here does I/O.

mod batch;
mod column;
pub mod csv;
pub mod json;
pub mod severity;
pub mod time;

#[cfg(test)]
mod tests;

pub use batch::{Batch, DecodeError, EncodedRecord, RECORD_BYTES_MIN, RECORD_ENCODING, Records, origin_of};
pub(crate) use batch::{put_varint, take_varint};
pub use column::{Column, ColumnSet, ColumnValue};

/// The sequence number that the spool gives a record: from 1, without gaps, never reused.
pub type RecordId = u64;

/// One log record, borrowed from whatever it was decoded from.
///
/// An empty text, and a zero number, mean "not given".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// When it happened, in ns since the Unix epoch.
    pub timestamp: i64,
    /// When this program received it, in ns since the Unix epoch.
    pub observed_timestamp: i64,
    /// OpenTelemetry's severity, 1 to 24; 0 is unspecified.
    pub severity_number: u8,
    /// Where it comes from: all that repeats from record to record.
    pub origin: Origin<'a>,
    /// The body.
    pub message: &'a str,
    /// As given: OpenTelemetry's 32 hex digits, or whatever a client uses.
    pub trace_id: &'a str,
    /// As given: OpenTelemetry's 16 hex digits, or whatever a client uses.
    pub span_id: &'a str,
    /// The name that tells one class of events from another.
    pub event_name: &'a str,
    /// Everything else, as the text of one valid JSON object; or empty.
    pub attributes: &'a str,
}

/// The part of a record that repeats: stores keep each distinct origin once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin<'a> {
    /// `service.name`.
    pub service: &'a str,
    /// The scope's name: Python's logger.
    pub logger: &'a str,
    /// `host.name`.
    pub host: &'a str,
    /// The sender's own word for the severity, such as `WARNING`.
    pub severity_text: &'a str,
    /// `code.file.path`.
    pub file: &'a str,
    /// `code.line.number`.
    pub line: u32,
    /// `code.function.name`.
    pub function: &'a str,
    /// `process.pid`.
    pub process_id: u32,
    /// `thread.name`.
    pub thread: &'a str,
}

impl<'a> RecordRef<'a> {
    /// The severity as a word: the sender's own, else OpenTelemetry's short name for the number.
    pub fn severity(&self) -> &'a str {
        match self.origin.severity_text {
            "" => severity::name(self.severity_number),
            text => text,
        }
    }
}
