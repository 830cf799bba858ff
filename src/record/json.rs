//! A record as JSON, in the form that the HTTP API, the command line and exports share.

use std::borrow::Cow;
use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Origin, RecordId, RecordRef, severity, time};

/// The names of the members of a record, in their order.
pub const MEMBERS: [&str; 17] = [
    "id",
    "timestamp",
    "severity",
    "severity_number",
    "service",
    "logger",
    "host",
    "message",
    "trace_id",
    "span_id",
    "event_name",
    "file",
    "line",
    "function",
    "process_id",
    "thread",
    "attributes",
];

/// Appends `{"id":1,"timestamp":"..","severity":"INFO",...}`; empty fields are left out.
pub fn write(id: RecordId, record: &RecordRef<'_>, out: &mut Vec<u8>) {
    let origin = &record.origin;
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{{\"id\":{id},\"timestamp\":\"{}\"", time::format(record.timestamp));
    text(out, "severity", record.severity());
    number(out, "severity_number", u32::from(record.severity_number));
    text(out, "service", origin.service);
    text(out, "logger", origin.logger);
    text(out, "host", origin.host);
    out.extend_from_slice(b",\"message\":");
    string(out, record.message);
    text(out, "trace_id", record.trace_id);
    text(out, "span_id", record.span_id);
    text(out, "event_name", record.event_name);
    text(out, "file", origin.file);
    number(out, "line", origin.line);
    text(out, "function", origin.function);
    number(out, "process_id", origin.process_id);
    text(out, "thread", origin.thread);
    if !record.attributes.is_empty() {
        out.extend_from_slice(b",\"attributes\":");
        out.extend_from_slice(record.attributes.as_bytes());
    }
    out.push(b'}');
}

/// A record as written by [`write()`]. Members have the same names and meanings as there, and other
/// members are rejected.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParsedRecord<'a> {
    /// The id of the record when it was written.
    #[serde(default)]
    pub id: RecordId,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow, default)]
    severity: Cow<'a, str>,
    #[serde(default)]
    severity_number: u8,
    #[serde(borrow, default)]
    service: Cow<'a, str>,
    #[serde(borrow, default)]
    logger: Cow<'a, str>,
    #[serde(borrow, default)]
    host: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    trace_id: Cow<'a, str>,
    #[serde(borrow, default)]
    span_id: Cow<'a, str>,
    #[serde(borrow, default)]
    event_name: Cow<'a, str>,
    #[serde(borrow, default)]
    file: Cow<'a, str>,
    #[serde(default)]
    line: u32,
    #[serde(borrow, default)]
    function: Cow<'a, str>,
    #[serde(default)]
    process_id: u32,
    #[serde(borrow, default)]
    thread: Cow<'a, str>,
    #[serde(borrow, default)]
    attributes: Option<&'a RawValue>,
}

impl<'a> ParsedRecord<'a> {
    /// Parses a record. The error is a sentence.
    pub fn read(text: &'a str) -> Result<ParsedRecord<'a>, String> {
        if !text.trim_start().starts_with('{') {
            return Err("it is not a JSON object".into());
        }
        let written: ParsedRecord<'a> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if time::parse(&written.timestamp).is_none() {
            return Err(format!("`{}` is not a time", written.timestamp));
        }
        if written.severity_number > 24 {
            return Err(format!("{} is not a severity", written.severity_number));
        }
        if written.attributes.is_some_and(|attributes| !attributes.get().starts_with('{')) {
            return Err("`attributes` is not an object".into());
        }
        Ok(written)
    }

    /// Returns the record.
    pub fn record(&self) -> RecordRef<'_> {
        // `write` writes the name of the severity number if there is no severity text.
        let severity_text =
            if self.severity == severity::name(self.severity_number) { "" } else { &*self.severity };
        RecordRef {
            timestamp: time::parse(&self.timestamp).unwrap_or_default(),
            observed_timestamp: 0,
            severity_number: self.severity_number,
            origin: Origin {
                service: &self.service,
                logger: &self.logger,
                host: &self.host,
                severity_text,
                file: &self.file,
                line: self.line,
                function: &self.function,
                process_id: self.process_id,
                thread: &self.thread,
            },
            message: &self.message,
            trace_id: &self.trace_id,
            span_id: &self.span_id,
            event_name: &self.event_name,
            attributes: self.attributes.map_or("", RawValue::get),
        }
    }
}

/// Appends `value` as a JSON string.
pub fn string(out: &mut Vec<u8>, value: &str) {
    let needs_escape = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    if value.bytes().fold(false, |found, byte| found | needs_escape(byte)) {
        return serde_json::to_writer(out, value).expect("a Vec takes any text");
    }
    out.reserve(value.len() + 2);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    if !value.is_empty() {
        let _ = write!(out, ",\"{name}\":");
        string(out, value);
    }
}

fn number(out: &mut Vec<u8>, name: &str, value: u32) {
    if value != 0 {
        let _ = write!(out, ",\"{name}\":{value}");
    }
}
