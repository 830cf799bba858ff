//! A record as JSON, in the one shape that the HTTP API, the command line and exports share.

use std::io::Write;

use super::{RecordId, RecordRef, time};

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
