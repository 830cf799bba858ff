//! The only type that all components exchange: a log record in OpenTelemetry's data model, and its
//! encodings.
//!
//! Decoders fill a borrowed [`RecordRef`] and push it into a [`Batch`]. The spool stores the bytes
//! of the batch. Stores and readers decode them with [`Records`]. This module does no I/O.

pub mod attributes;
mod batch;
pub(crate) mod bytes;
mod column;
pub mod csv;
pub mod json;
pub(crate) mod python_format;
pub mod severity;
pub mod time;

#[cfg(test)]
mod tests;

pub use batch::{Batch, DecodeError, EncodedRecord, RECORD_BYTES_MIN, RECORD_ENCODING, Records, origin_of};
pub(crate) use batch::{put_varint, take_varint};
pub use column::{Column, ColumnSet, ColumnValue};

/// The sequence number that the spool assigns to a record: from 1, without gaps, never reused.
pub type RecordId = u64;

/// One log record, borrowed from the input that it was decoded from.
///
/// An empty text or a zero number means "not given".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The time of the event, in ns since the Unix epoch.
    pub timestamp: i64,
    /// The time at which this program received the record, in ns since the Unix epoch.
    pub observed_timestamp: i64,
    /// OpenTelemetry's severity, 1 to 24; 0 is unspecified.
    pub severity_number: u8,
    /// Where the record comes from: all fields that repeat from record to record.
    pub origin: Origin<'a>,
    /// The body of the record.
    pub message: &'a str,
    /// The trace id as given: OpenTelemetry's 32 hex digits, or any other text that a client uses.
    pub trace_id: &'a str,
    /// The span id as given: OpenTelemetry's 16 hex digits, or any other text that a client uses.
    pub span_id: &'a str,
    /// The name that identifies the class of the event.
    pub event_name: &'a str,
    /// All other data, as the text of one valid JSON object; or empty.
    pub attributes: &'a str,
}

/// The fields of a record that repeat. Stores keep each distinct origin once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin<'a> {
    /// `service.name`.
    pub service: &'a str,
    /// The name of the scope, which in Python is the logger.
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
    /// Returns the severity as a word: the sender's own word, else OpenTelemetry's short name for
    /// the number.
    pub fn severity(&self) -> &'a str {
        match self.origin.severity_text {
            "" => severity::name(self.severity_number),
            text => text,
        }
    }
}

/// Returns a text or, if it is empty and so not given, another text.
pub(crate) fn text_or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}
