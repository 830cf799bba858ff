//! Maps the keys of a Python `logging.LogRecord` to OpenTelemetry's data model.
//!
//! The standard keys are those of CPython's `Lib/logging/__init__.py`. Attributes have the names of
//! OpenTelemetry's semantic conventions where these define one, and names that start with `python.`
//! otherwise. A value of a type that its key should not have stays under that key as an attribute.
//! All other keys are extras: some name a field of the record, the rest become attributes.

use std::borrow::Cow;

use super::message::{Merged, Message};
use super::pickle::{Budget, CUT, Notation, PickleView, json_float, write};
use super::traceback;
use super::value::DictValue;
use crate::ingest::Arrival;
use crate::ingest::attributes::Attributes;
use crate::record::{Batch, Origin, RecordRef, severity, text_or, time};

/// Returns true if `logging` itself sets this key.
pub(super) fn is_standard(key: &str) -> bool {
    const STANDARD: [&str; 23] = [
        "args",
        "asctime",
        "created",
        "exc_info",
        "exc_text",
        "filename",
        "funcName",
        "levelname",
        "levelno",
        "lineno",
        "message",
        "module",
        "msecs",
        "msg",
        "name",
        "pathname",
        "process",
        "processName",
        "relativeCreated",
        "stack_info",
        "taskName",
        "thread",
        "threadName",
    ];
    STANDARD.contains(&key)
}

/// A record that is being mapped key by key.
pub(super) struct LogRecord<'a, 's> {
    view: PickleView<'a>,
    arrival: &'s Arrival<'s>,
    attributes: &'s mut Attributes,
    budget: Budget,

    origin: Origin<'a>,
    /// The file name without a path, used for records that have no path.
    file_name: &'a str,
    level: Option<i64>,
    created: Option<i64>,
    message: Message<'a>,
    exception: &'a str,

    trace_id: Claim<'a>,
    span_id: Claim<'a>,
    event_name: Claim<'a>,
    service: Claim<'a>,
    host: Claim<'a>,
}

/// An extra that fills a field of the record. If several extras claim the same field, the one with
/// the plainest name, which has the highest rank, fills it, and the others stay attributes.
#[derive(Clone, Copy, Debug, Default)]
struct Claim<'a> {
    rank: u8,
    key: &'a str,
    value: DictValue<'a>,
}

impl<'a, 's> LogRecord<'a, 's> {
    pub(super) fn new(
        view: PickleView<'a>,
        arrival: &'s Arrival<'s>,
        attributes: &'s mut Attributes,
    ) -> LogRecord<'a, 's> {
        attributes.start(arrival.labels);
        LogRecord {
            view,
            arrival,
            attributes,
            budget: Budget::default(),
            origin: Origin { process_id: arrival.process_id, ..Origin::default() },
            file_name: "",
            level: None,
            created: None,
            message: Message::default(),
            exception: "",
            trace_id: Claim::default(),
            span_id: Claim::default(),
            event_name: Claim::default(),
            service: Claim::default(),
            host: Claim::default(),
        }
    }

    /// Sets a member of the record's dict.
    pub(super) fn set(&mut self, key: &'a str, value: DictValue<'a>) {
        use DictValue::{Float, Integer, None, Text};
        match (key, value) {
            ("name", Text(text)) => self.origin.logger = text,
            ("msg", value) => self.message.text = Some(value),
            ("args", value) => self.message.arguments = value,
            ("levelname", Text(text)) => self.origin.severity_text = text,
            ("levelno", Integer(level)) => self.level = Some(level),
            ("pathname", Text(text)) => self.origin.file = text,
            ("filename", Text(text)) => self.file_name = text,
            ("lineno", Integer(line)) if let Ok(line) = u32::try_from(line) => self.origin.line = line,
            ("funcName", Text(text)) => self.origin.function = text,
            ("created", Float(seconds)) if let Some(time) = time::from_seconds(seconds) => {
                self.created = Some(time);
            }
            ("created", Integer(seconds)) if let Some(time) = time::from_seconds(seconds as f64) => {
                self.created = Some(time);
            }
            ("process", Integer(process)) if let Ok(process) = u32::try_from(process) => {
                self.origin.process_id = process;
            }
            ("thread", Integer(thread)) => self.attributes.integer("thread.id", thread),
            ("threadName", Text(text)) => self.origin.thread = text,
            ("processName", Text("MainProcess")) => {}
            ("processName", value @ Text(_)) => self.attribute("python.process_name", value),
            ("taskName", value @ Text(_)) => self.attribute("python.task_name", value),
            ("exc_text", Text(text)) => self.exception = text.trim_end(),
            ("stack_info", value @ Text(_)) => self.attribute("code.stacktrace", value),
            ("message", Text(text)) => self.message.formatted = text,
            // These members repeat, in another form, what other members contain.
            ("module" | "asctime", Text(_)) | ("msecs" | "relativeCreated", Integer(_) | Float(_)) => {}
            (key, None) if is_standard(key) => {}
            (key, value) => self.set_extra(key, value),
        }
    }

    /// Sets an extra, or a standard member whose value has an unexpected type.
    pub(super) fn set_extra(&mut self, key: &'a str, value: DictValue<'a>) {
        match key {
            "trace_id" => self.claim(|record| &mut record.trace_id, 4, key, value),
            "otelTraceID" => self.claim(|record| &mut record.trace_id, 3, key, or_none(value)),
            "dd.trace_id" => self.claim(|record| &mut record.trace_id, 2, key, or_none(value)),
            "elasticapm_trace_id" => self.claim(|record| &mut record.trace_id, 1, key, or_none(value)),
            "span_id" => self.claim(|record| &mut record.span_id, 4, key, value),
            "otelSpanID" => self.claim(|record| &mut record.span_id, 3, key, or_none(value)),
            "dd.span_id" => self.claim(|record| &mut record.span_id, 2, key, or_none(value)),
            "elasticapm_span_id" => self.claim(|record| &mut record.span_id, 1, key, or_none(value)),
            "event_name" => self.claim(|record| &mut record.event_name, 1, key, value),
            "service.name" => self.claim(|record| &mut record.service, 5, key, value),
            "service" => self.claim(|record| &mut record.service, 4, key, value),
            "otelServiceName" => self.claim(|record| &mut record.service, 3, key, or_none(value)),
            "dd.service" => self.claim(|record| &mut record.service, 2, key, or_none(value)),
            "elasticapm_service_name" => self.claim(|record| &mut record.service, 1, key, or_none(value)),
            "host.name" => self.claim(|record| &mut record.host, 2, key, value),
            "host" => self.claim(|record| &mut record.host, 1, key, value),
            "otelTraceSampled" => self.trace_flags(value),
            // `color_message` is uvicorn's message with colours. structlog uses the others to pass
            // data between its own parts.
            "color_message" | "_logger" | "_name" | "_record" | "_from_structlog" => {}
            _ => self.attribute(key, value),
        }
    }

    /// Counts members that were dropped before the mapping.
    pub(super) fn dropped(&mut self, count: u64) {
        self.attributes.drop_members(count);
    }

    /// Marks the record as containing a text that differs from what the sender had.
    pub(super) fn mark_lossy(&mut self) {
        self.budget.lossy = true;
    }

    fn attribute(&mut self, key: &str, value: DictValue<'_>) {
        let LogRecord { view, attributes, budget, .. } = self;
        match value {
            DictValue::None => attributes.raw(key, "null"),
            DictValue::Bool(value) => attributes.raw(key, if value { "true" } else { "false" }),
            DictValue::Integer(value) => attributes.integer(key, value),
            DictValue::Float(value) => attributes.member(key, |out| json_float(value, out)),
            DictValue::Text(text) if text.len() <= budget.bytes() => {
                budget.take_bytes(text.len());
                attributes.text(key, text);
            }
            DictValue::Text(text) => {
                let text = format!("{}{CUT}", &text[..text.floor_char_boundary(budget.bytes())]);
                budget.take_bytes(text.len());
                attributes.text(key, &text);
            }
            DictValue::Node(id) => {
                attributes.member(key, |out| write(*view, id, Notation::Json, budget, out));
            }
        }
    }

    fn trace_flags(&mut self, value: DictValue<'a>) {
        match value {
            DictValue::Bool(true) => self.attributes.integer("trace_flags", 1),
            DictValue::Bool(false) | DictValue::None => {}
            other => self.attribute("otelTraceSampled", other),
        }
    }

    /// Fills a field unless an extra of a higher rank has filled it.
    fn claim(
        &mut self,
        field: impl Fn(&mut Self) -> &mut Claim<'a>,
        rank: u8,
        key: &'a str,
        value: DictValue<'a>,
    ) {
        match value {
            DictValue::None | DictValue::Text("") => {}
            DictValue::Text(_) | DictValue::Integer(_) => {
                let (new, earlier) = (Claim { rank, key, value }, *field(self));
                let (winner, loser) = if rank >= earlier.rank { (new, earlier) } else { (earlier, new) };
                *field(self) = winner;
                if loser.rank > 0 && loser.key != winner.key {
                    self.attribute(loser.key, loser.value);
                }
            }
            other => self.attribute(key, other),
        }
    }

    /// Completes the record and pushes it into `batch`.
    pub(super) fn finish(mut self, batch: &mut Batch) {
        self.level_attribute();
        self.exception_attributes();
        let message = self.merge_message();
        if self.budget.lossy {
            self.attributes.raw("python.lossy_text", "true");
        }

        let mut numbers: [String; 5] = Default::default(); // allocate no memory unless used
        let [trace_id, span_id, event_name, service, host] = &mut numbers;
        let arrival = self.arrival;
        let observed_timestamp = arrival.observed_timestamp;
        let origin = Origin {
            service: text_or(self.service.text(service), arrival.service),
            host: text_or(self.host.text(host), arrival.host),
            file: text_or(self.origin.file, self.file_name),
            ..self.origin
        };
        batch.push(&RecordRef {
            timestamp: self.created.unwrap_or(observed_timestamp),
            observed_timestamp,
            severity_number: self.severity_number(),
            origin,
            message: &message,
            trace_id: self.trace_id.text(trace_id),
            span_id: self.span_id.text(span_id),
            event_name: self.event_name.text(event_name),
            attributes: self.attributes.finish(),
        });
    }

    /// Returns the message. If there are arguments, adds them as an attribute, and also the
    /// template unless the arguments could not be merged into it.
    fn merge_message(&mut self) -> Cow<'a, str> {
        let Merged { text, template, arguments } = self.message.merge(self.view, &mut self.budget);
        if let Some(arguments) = arguments {
            self.attribute("python.args", arguments);
        }
        if let Some(template) = template {
            self.attribute("python.msg", DictValue::Text(&template));
        }
        text
    }

    fn severity_number(&self) -> u8 {
        match self.level {
            Some(level) => severity::from_python(level),
            None => severity::from_text(self.origin.severity_text).unwrap_or(0),
        }
    }

    /// Adds the level as an attribute if it cannot be derived from the severity number.
    fn level_attribute(&mut self) {
        if let Some(level) = self.level
            && !matches!(level, 10 | 20 | 30 | 40 | 50)
        {
            self.attributes.integer("python.levelno", level);
        }
    }

    fn exception_attributes(&mut self) {
        if self.exception.is_empty() {
            return;
        }
        let text = self.exception;
        if let Some(exception) = traceback::exception(text) {
            self.attribute("exception.type", DictValue::Text(exception.kind));
            if !exception.message.is_empty() {
                self.attribute("exception.message", DictValue::Text(&exception.message));
            }
        }
        self.attribute("exception.stacktrace", DictValue::Text(text));
    }
}

impl<'a> Claim<'a> {
    /// Returns the text of the claimed value. The text of a number is written into `number`.
    fn text<'b>(&self, number: &'b mut String) -> &'b str
    where
        'a: 'b,
    {
        match self.value {
            DictValue::Text(text) => text,
            DictValue::Integer(value) => {
                *number = value.to_string();
                number
            }
            _ => "",
        }
    }
}

/// Replaces the values that tracing libraries set outside of a trace with `None`.
fn or_none(value: DictValue<'_>) -> DictValue<'_> {
    match value {
        DictValue::Text("" | "0" | "None") | DictValue::Integer(0) => DictValue::None,
        other => other,
    }
}
