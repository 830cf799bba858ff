//! The meanings of member names: one table, looked up by hash with a few comparisons.
//!
//! The names are those of OpenTelemetry's semantic conventions (1.44; older ones too), of this
//! program's own JSON, and of what python-json-logger, structlog, loguru, ecs-logging, logstash,
//! Google Cloud, pino, bunyan, winston and GELF senders write.

use JsonField::*;
use Meaning::{Attribute, Field as Of, Members, MessageAgain, Own};

/// A field of the record, or a part of an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonField {
    Timestamp,
    Severity,
    SeverityNumber,
    /// Python's numeric level. Its name alone determines the scale, whatever the sender is.
    PythonLevel,
    Service,
    Logger,
    Host,
    Message,
    TraceId,
    SpanId,
    EventName,
    File,
    Line,
    Function,
    ProcessId,
    Thread,
    Stacktrace,
    ExceptionType,
    ExceptionMessage,
}

/// The number of fields.
pub(super) const FIELDS: usize = JsonField::ExceptionMessage as usize + 1;

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    /// A field. Of several names for one field, the name that is first in the table wins.
    Field(JsonField),
    /// An attribute, under its name in the semantic conventions.
    Attribute(&'static str),
    /// An object whose members are attributes.
    Members,
    /// The message again, perhaps longer: an attribute if it differs.
    MessageAgain,
    /// An attribute under its own name, which may identify the sender.
    Own,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownName {
    pub(super) name: &'static str,
    pub(super) meaning: Meaning,
    /// If not empty, an object as the value stands for members whose names have this prefix.
    pub(super) prefix: &'static str,
}

const fn name(name: &'static str, meaning: Meaning) -> KnownName {
    KnownName { name, meaning, prefix: "" }
}

/// Returns a line for a parent object. `prefix` ends with the dot, and the name is the text before
/// the dot.
const fn parent(prefix: &'static str, meaning: Meaning) -> KnownName {
    KnownName { name: prefix.split_at(prefix.len() - 1).0, meaning, prefix }
}

#[rustfmt::skip]
const TABLE: &[KnownName] = &[
    name("timestamp", Of(Timestamp)), name("@timestamp", Of(Timestamp)), name("time", Of(Timestamp)),
    name("ts", Of(Timestamp)), name("_time", Of(Timestamp)), name("created", Of(Timestamp)),
    name("asctime", Of(Timestamp)), name("datetime", Of(Timestamp)), name("date", Of(Timestamp)),

    name("severity", Of(Severity)), name("severity_text", Of(Severity)), name("levelname", Of(Severity)),
    name("log.level", Of(Severity)), parent("level.", Of(Severity)), name("level.name", Of(Severity)),
    name("lvl", Of(Severity)), name("loglevel", Of(Severity)), name("log_level", Of(Severity)),
    name("severity_number", Of(SeverityNumber)),
    name("levelno", Of(PythonLevel)), name("level_number", Of(PythonLevel)), name("level.no", Of(PythonLevel)),

    parent("service.", Of(Service)), name("service.name", Of(Service)), name("service_name", Of(Service)),
    name("otelServiceName", Of(Service)), name("dd.service", Of(Service)), name("app", Of(Service)),
    name("logger", Of(Logger)), name("log.logger", Of(Logger)), name("logger_name", Of(Logger)),
    name("loggerName", Of(Logger)), parent("scope.", Of(Logger)), name("scope.name", Of(Logger)),
    name("otel.scope.name", Of(Logger)), name("name", Of(Logger)),
    parent("host.", Of(Host)), name("host.name", Of(Host)), name("hostname", Of(Host)), name("host_name", Of(Host)),

    name("message", Of(Message)), name("msg", Of(Message)), name("_msg", Of(Message)), name("body", Of(Message)),
    name("short_message", Of(Message)), name("event", Of(Message)), name("text", Of(Message)),
    name("event_name", Of(EventName)), name("event.name", Of(EventName)),

    name("trace_id", Of(TraceId)), name("traceId", Of(TraceId)), name("trace.id", Of(TraceId)),
    name("traceid", Of(TraceId)), name("otelTraceID", Of(TraceId)), name("dd.trace_id", Of(TraceId)),
    name("logging.googleapis.com/trace", Of(TraceId)), parent("trace.", Own),
    name("span_id", Of(SpanId)), name("spanId", Of(SpanId)), name("span.id", Of(SpanId)),
    name("spanid", Of(SpanId)), name("otelSpanID", Of(SpanId)), name("dd.span_id", Of(SpanId)),
    name("logging.googleapis.com/spanId", Of(SpanId)), parent("span.", Own),

    name("file", Of(File)), name("code.file.path", Of(File)), name("code.filepath", Of(File)),
    name("pathname", Of(File)), name("log.origin.file.name", Of(File)),
    name("logging.googleapis.com/sourceLocation.file", Of(File)),
    name("line", Of(Line)), name("code.line.number", Of(Line)), name("code.lineno", Of(Line)),
    name("lineno", Of(Line)), name("log.origin.file.line", Of(Line)),
    name("logging.googleapis.com/sourceLocation.line", Of(Line)),
    name("function", Of(Function)), name("code.function.name", Of(Function)), name("code.function", Of(Function)),
    name("funcName", Of(Function)), name("func_name", Of(Function)), name("func", Of(Function)),
    name("log.origin.function", Of(Function)), name("logging.googleapis.com/sourceLocation.function", Of(Function)),
    parent("log.", Own), parent("log.origin.", Own), parent("log.origin.file.", Own),
    parent("logging.googleapis.com/sourceLocation.", Own),

    name("process_id", Of(ProcessId)), name("process.pid", Of(ProcessId)), name("pid", Of(ProcessId)),
    parent("process.", Of(ProcessId)), name("process.id", Of(ProcessId)),
    parent("thread.", Of(Thread)), name("thread.name", Of(Thread)),
    name("process.thread.name", Of(Thread)), name("threadName", Of(Thread)), name("thread_name", Of(Thread)),
    parent("process.thread.", Own), name("process.thread.id", Attribute("thread.id")),
    name("processName", Attribute("python.process_name")), name("taskName", Attribute("python.task_name")),

    name("exception.stacktrace", Of(Stacktrace)), name("exc_info", Of(Stacktrace)), name("exc_text", Of(Stacktrace)),
    parent("exception.", Of(Stacktrace)), name("stack_trace", Of(Stacktrace)), parent("error.", Own),
    name("error.stack_trace", Of(Stacktrace)), parent("err.", Own), name("err.stack", Of(Stacktrace)),
    name("stack", Of(Stacktrace)), name("stack_info", Attribute("code.stacktrace")),
    name("exception.type", Of(ExceptionType)), name("error.type", Of(ExceptionType)),
    name("err.type", Of(ExceptionType)), name("err.name", Of(ExceptionType)),
    name("exception.message", Of(ExceptionMessage)), name("exception.value", Of(ExceptionMessage)),
    name("error.message", Of(ExceptionMessage)),
    name("err.message", Of(ExceptionMessage)),

    name("full_message", MessageAgain), name("log.original", MessageAgain),
    name("attributes", Members), name("id", Own), name("v", Own), name("version", Own), name("record", Own),
];

/// The position of each line of the table: open addressing by [`hash`]. 0 is free, any other value
/// is the line's number plus 1.
static INDEX: [u8; SLOTS] = index();
const SLOTS: usize = 1024;
const _: () = assert!(TABLE.len() < u8::MAX as usize);

const fn index() -> [u8; SLOTS] {
    let mut index = [0; SLOTS];
    let mut line = 0;
    while line < TABLE.len() {
        let mut slot = hash(TABLE[line].name.as_bytes());
        while index[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        line += 1;
        index[slot] = line as u8;
    }
    index
}

/// Hashes a name. Its length and four of its bytes distinguish the names of the table well enough.
const fn hash(name: &[u8]) -> usize {
    let length = name.len();
    if length == 0 {
        return 0;
    }
    let bytes = [name[0], name[length / 3], name[length / 2], name[length - 1]];
    let mixed = (u32::from_le_bytes(bytes) ^ length as u32).wrapping_mul(0x9e37_79b1);
    (mixed >> 22) as usize % SLOTS
}

/// Returns the table's line for a name.
pub(super) fn find(name: &[u8]) -> Option<u8> {
    let mut slot = hash(name);
    while let Some(line) = INDEX[slot].checked_sub(1) {
        if TABLE[usize::from(line)].name.as_bytes() == name {
            return Some(line);
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

/// Returns a line of the table, by the number that [`find`] returned.
pub(super) fn known(line: u8) -> &'static KnownName {
    &TABLE[usize::from(line)]
}

/// Returns the line of a name in the table. The program does not compile if the name is not in the
/// table.
pub(super) const fn line_of(name: &str) -> u8 {
    let mut line = 0;
    while !equal(TABLE[line].name.as_bytes(), name.as_bytes()) {
        line += 1;
    }
    line as u8
}

const fn equal(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

impl KnownName {
    /// Returns true if the name means its field also among a record's `attributes`.
    pub(super) fn is_semantic_convention(&self) -> bool {
        const NAMES: [&str; 11] = [
            "service.name",
            "host.name",
            "otel.scope.name",
            "event.name",
            "code.file.path",
            "code.filepath",
            "code.line.number",
            "code.lineno",
            "code.function.name",
            "process.pid",
            "thread.name",
        ];
        NAMES.contains(&self.name)
    }
}

/// The lines of the table that occur among an object's members.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeenNames([u64; 4]);

impl SeenNames {
    pub(super) fn insert(&mut self, line: u8) {
        self.0[usize::from(line / 64)] |= 1 << (line % 64);
    }

    pub(super) fn has(&self, line: u8) -> bool {
        self.0[usize::from(line / 64)] & 1 << (line % 64) != 0
    }
}

/// Returns the number of lines in the table.
#[cfg(test)]
pub(super) fn count() -> u8 {
    TABLE.len() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Column;

    #[test]
    fn every_name_is_found_once() {
        for (line, known) in TABLE.iter().enumerate() {
            assert_eq!(find(known.name.as_bytes()), Some(line as u8), "{}", known.name);
        }
        for name in
            ["", "t", "Timestamp", "timestamps", "user_id", "log.", "a name of some length that nobody has"]
        {
            assert_eq!(find(name.as_bytes()), None, "{name}");
        }
    }

    fn column_of(field: JsonField) -> Option<Column> {
        Some(match field {
            Timestamp => Column::Time,
            Severity => Column::Severity,
            SeverityNumber => Column::SeverityNumber,
            Service => Column::Service,
            Logger => Column::Logger,
            Host => Column::Host,
            Message => Column::Message,
            TraceId => Column::TraceId,
            SpanId => Column::SpanId,
            EventName => Column::EventName,
            File => Column::File,
            Line => Column::Line,
            Function => Column::Function,
            ProcessId => Column::ProcessId,
            Thread => Column::Thread,
            PythonLevel | Stacktrace | ExceptionType | ExceptionMessage => return None,
        })
    }

    #[test]
    fn names_of_columns_stand_for_their_fields() {
        for (name, column) in Column::names().filter(|(_, column)| *column != Column::Id) {
            let known = known(find(name.as_bytes()).unwrap());
            let Of(field) = known.meaning else { panic!("{name} is no field") };
            assert_eq!(column_of(field), Some(column), "{name}");
            assert_eq!(known.is_semantic_convention(), name.contains('.'), "{name}");
        }
    }

    #[test]
    fn names_are_found_after_few_probes() {
        let mut longest_run = 0;
        let mut run = 0;
        for slot in INDEX {
            run = if slot == 0 { 0 } else { run + 1 };
            longest_run = longest_run.max(run);
        }
        assert!(longest_run <= 8, "{longest_run} in a row");
    }
}
