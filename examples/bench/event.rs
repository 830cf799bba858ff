//! An event as the data sets make it, and its JSON.

use std::borrow::Cow;
use std::fmt::Write;

use jiff::Timestamp;

/// The fields of an event. Texts are as they stand between the quotes of JSON: escapes are in them.
#[derive(Default)]
pub struct Event {
    pub level: Cow<'static, str>,
    /// OpenTelemetry's number, where the level is not a usual word.
    pub severity_number: Option<u8>,
    pub service: Option<String>,
    pub host: Option<String>,
    pub message: String,
    /// When the event happened, if it was not delayed.
    pub time_us: i64,
    /// How much earlier it happened: the event is sent this much later than its neighbours.
    pub delay_us: i64,
    pub time_format: TimeFormat,
    pub logger: Option<String>,
    pub trace_id: Option<String>,
    pub span_id: Option<String>,
    pub event_name: Option<String>,
    pub file: Option<String>,
    pub line: Option<u64>,
    pub function: Option<String>,
    pub process_id: Option<u64>,
    pub thread: Option<String>,
    /// Further attributes: members of a JSON object, separated by commas.
    pub attributes: String,
}

/// How the time of an event is written.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// RFC 3339, in microseconds.
    #[default]
    Text,
    /// A number of milliseconds, before all other members.
    Milliseconds,
    Absent,
}

impl Event {
    /// Returns the event as a line of NDJSON.
    pub fn to_line(&self) -> String {
        let mut out = String::with_capacity(512);
        self.write(&mut out);
        out
    }

    /// Appends the event as a line of NDJSON.
    pub fn write(&self, out: &mut String) {
        out.push('{');
        if self.time_format == TimeFormat::Milliseconds {
            let _ = write!(out, "\"timestamp\":{},", self.happened_us() / 1000);
        }
        let _ = write!(out, "\"level\":\"{}\"", self.level);
        number(out, "severity_number", self.severity_number.map(u64::from));
        text(out, "service", self.service.as_deref());
        let _ = write!(out, ",\"message\":\"{}\"", self.message);
        if self.time_format == TimeFormat::Text {
            let time = Timestamp::from_microsecond(self.happened_us()).expect("a time of this century");
            let _ = write!(out, ",\"timestamp\":\"{time:.6}\"");
        }
        text(out, "logger", self.logger.as_deref());
        text(out, "trace_id", self.trace_id.as_deref());
        text(out, "span_id", self.span_id.as_deref());
        text(out, "host", self.host.as_deref());
        text(out, "event_name", self.event_name.as_deref());
        self.write_attributes(out);
        out.push_str("}\n");
    }

    /// Appends the object `attributes`, unless it would be empty.
    fn write_attributes(&self, out: &mut String) {
        const BEGIN: &str = ",\"attributes\":{";
        let begin = out.len() + BEGIN.len();
        out.push_str(BEGIN);
        text(out, "code.file.path", self.file.as_deref());
        number(out, "code.line.number", self.line);
        text(out, "code.function.name", self.function.as_deref());
        number(out, "process.pid", self.process_id);
        text(out, "thread.name", self.thread.as_deref());
        if !self.attributes.is_empty() {
            out.push(',');
            out.push_str(&self.attributes);
        }
        if out.len() == begin {
            out.truncate(begin - BEGIN.len());
        } else {
            out.remove(begin); // the comma before the first member
            out.push('}');
        }
    }

    fn happened_us(&self) -> i64 {
        self.time_us - self.delay_us
    }
}

fn text(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _ = write!(out, ",\"{name}\":\"{value}\"");
    }
}

fn number(out: &mut String, name: &str, value: Option<u64>) {
    if let Some(value) = value {
        let _ = write!(out, ",\"{name}\":{value}");
    }
}
