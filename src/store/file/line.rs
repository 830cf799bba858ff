//! Writes a record as Python's `logging.Formatter` would: the line, then the traceback, then the
//! stack.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};
use memchr::memmem::{self, Finder};

use super::format::{Conversion, LineField, LineFormat, LinePiece};
use super::local::LocalTime;
use crate::record::python_format::{self, FormatSpec};
use crate::record::{RecordId, RecordRef, attributes, severity, text_or, time};

/// Turns records into lines, in a format and a time zone.
pub(super) struct LineWriter {
    format: LineFormat,
    local: LocalTime,
    /// Finds records with a traceback or a stack: the names of both attributes end with this.
    stacktrace: Finder<'static>,
    /// A text that is built for one value.
    made: String,
}

/// A value of a record before its conversion.
enum LineValue<'a> {
    Text(&'a str),
    Whole(i64),
    Decimal(f64),
}

impl LineWriter {
    pub(super) fn new(format: LineFormat, zone: TimeZone) -> LineWriter {
        LineWriter {
            format,
            local: LocalTime::new(zone),
            stacktrace: Finder::new("stacktrace\""),
            made: String::new(),
        }
    }

    /// Returns the local day of a time, as the number of days since the day of the Unix epoch.
    pub(super) fn day(&self, nanoseconds: i64) -> i32 {
        self.local.day(nanoseconds)
    }

    /// Appends a record, with the newline that ends it.
    pub(super) fn write(&mut self, id: RecordId, record: &RecordRef<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        for piece in &self.format.pieces {
            match piece {
                LinePiece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                LinePiece::Value(field, conversion, spec) => {
                    match value(*field, id, record, &mut self.local, &mut self.made) {
                        LineValue::Text(text) => spec.put_text(out, text),
                        LineValue::Whole(number) => put_whole(out, number, *conversion, *spec),
                        LineValue::Decimal(number) => put_decimal(out, number, *conversion, *spec),
                    }
                }
            }
        }
        if !record.attributes.is_empty() && self.stacktrace.find(record.attributes.as_bytes()).is_some() {
            put_traces(out, start, record.attributes);
        }
        out.push(b'\n');
    }
}

/// Appends what follows the line, as in `logging.Formatter.format`: traceback and stack, each on a
/// line of its own. A traceback loses its last newline as in `formatException`; a stack
/// (`formatStack`) does not.
fn put_traces(out: &mut Vec<u8>, start: usize, attributes: &str) {
    let exception = text_of(attributes, "exception.stacktrace").unwrap_or_default();
    let exception = exception.strip_suffix('\n').unwrap_or(&exception);
    let stack = text_of(attributes, "code.stacktrace").unwrap_or_default();
    for text in [exception, &stack] {
        if text.is_empty() {
            continue;
        }
        if !out[start..].ends_with(b"\n") {
            out.push(b'\n');
        }
        out.extend_from_slice(text.as_bytes());
    }
}

fn value<'a>(
    field: LineField,
    id: RecordId,
    record: &RecordRef<'a>,
    local: &'a mut LocalTime,
    made: &'a mut String,
) -> LineValue<'a> {
    let origin = &record.origin;
    LineValue::Text(match field {
        LineField::Message => record.message,
        LineField::Asctime => local.asctime(record.timestamp),
        LineField::Name => text_or(origin.logger, "root"),
        LineField::LevelName => text_or(record.severity(), "NOTSET"),
        LineField::PathName => origin.file,
        LineField::FileName => file_name(origin.file),
        LineField::Module => module(origin.file),
        LineField::Function => origin.function,
        LineField::ThreadName => origin.thread,
        LineField::Service => origin.service,
        LineField::Host => origin.host,
        LineField::TraceId => record.trace_id,
        LineField::SpanId => record.span_id,
        LineField::EventName => record.event_name,
        LineField::Attributes => record.attributes,
        LineField::ProcessName => attribute(record, "python.process_name", "MainProcess", made),
        LineField::TaskName => attribute(record, "python.task_name", "None", made),
        LineField::Timestamp => {
            made.clear();
            let timestamp = Timestamp::from_nanosecond(i128::from(record.timestamp)).unwrap_or_default();
            let _ = write!(made, "{timestamp:.9}"); // a String accepts any text
            made
        }
        LineField::Line => return LineValue::Whole(i64::from(origin.line)),
        LineField::Process => return LineValue::Whole(i64::from(origin.process_id)),
        LineField::Id => return LineValue::Whole(i64::try_from(id).unwrap_or(i64::MAX)),
        LineField::LevelNumber => {
            let usual = severity::to_python(record.severity_number);
            return LineValue::Whole(whole_attribute(record, "python.levelno", usual));
        }
        LineField::Thread => return LineValue::Whole(whole_attribute(record, "thread.id", 0)),
        LineField::Created => return LineValue::Decimal(record.timestamp as f64 / time::SECOND as f64),
        LineField::Milliseconds => {
            return LineValue::Decimal((record.timestamp.rem_euclid(time::SECOND) / 1_000_000) as f64);
        }
    })
}

/// Returns the last part of a path, of any operating system.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Returns the file's name without its extension (as in `os.path.splitext`, dots at the start do
/// not begin an extension).
fn module(path: &str) -> &str {
    let name = file_name(path);
    match name.rfind('.') {
        Some(dot) if name[..dot].contains(|letter| letter != '.') => &name[..dot],
        _ => name,
    }
}

fn attribute<'a>(record: &RecordRef<'a>, name: &str, otherwise: &'a str, made: &'a mut String) -> &'a str {
    match text_of(record.attributes, name) {
        Some(Cow::Borrowed(text)) => text,
        Some(Cow::Owned(text)) => {
            *made = text;
            made
        }
        None => otherwise,
    }
}

/// Returns the value of a member of the attributes as text: the content of a string, any other
/// value as it is written, and `None` if the member is missing or `null`.
pub(super) fn text_of<'a>(attributes: &'a str, name: &str) -> Option<Cow<'a, str>> {
    // Most records do not have the member, and a text search is far cheaper than reading members.
    memmem::find(attributes.as_bytes(), name.as_bytes())?;
    let value = attributes::member(attributes, name)?;
    match value.as_bytes().first()? {
        b'"' => attributes::text(value),
        _ => (value != "null").then_some(Cow::Borrowed(value)),
    }
}

fn whole_attribute(record: &RecordRef<'_>, name: &str, otherwise: i64) -> i64 {
    text_of(record.attributes, name).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn put_whole(out: &mut Vec<u8>, number: i64, conversion: Conversion, spec: FormatSpec) {
    let put_digits = |out: &mut Vec<u8>| python_format::put_digits(out, number.unsigned_abs());
    match conversion {
        Conversion::Fixed => spec.put_fixed(out, number as f64),
        Conversion::Whole => spec.put_whole(out, number < 0, "", put_digits),
        Conversion::Text if spec.precision.is_some() => spec.put_text(out, &number.to_string()),
        // Only numbers have flags for a sign and for zeros.
        Conversion::Text => {
            let FormatSpec { left, width, .. } = spec;
            let spec = FormatSpec { left, width, ..FormatSpec::default() };
            spec.put_whole(out, number < 0, "", put_digits);
        }
    }
}

fn put_decimal(out: &mut Vec<u8>, number: f64, conversion: Conversion, spec: FormatSpec) {
    match conversion {
        Conversion::Fixed => spec.put_fixed(out, number),
        Conversion::Text => spec.put_text(out, &format!("{number:?}")),
        // Python removes the fraction, too.
        Conversion::Whole => put_whole(out, number as i64, conversion, spec),
    }
}
