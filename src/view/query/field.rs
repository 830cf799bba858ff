//! The fields of a query: the columns by their names, and attributes.

use std::fmt;

/// A column that every store shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are described where they are defined, in `RecordRef` and `Origin`")]
pub enum Column {
    Id,
    Time,
    SeverityNumber,
    Severity,
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
}

/// What a term looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A column.
    Column(Column),
    /// The attribute of this name.
    Attribute(String),
}

/// The names of the columns, each column's own first. Those with a dot are OpenTelemetry's, which never reach the
/// attributes because they become columns on arrival.
const NAMES: [(&str, Column); 28] = [
    ("id", Column::Id),
    ("time", Column::Time),
    ("timestamp", Column::Time),
    ("severity_number", Column::SeverityNumber),
    ("severity", Column::Severity),
    ("level", Column::Severity),
    ("levelname", Column::Severity),
    ("service", Column::Service),
    ("service.name", Column::Service),
    ("logger", Column::Logger),
    ("name", Column::Logger),
    ("host", Column::Host),
    ("host.name", Column::Host),
    ("message", Column::Message),
    ("trace_id", Column::TraceId),
    ("span_id", Column::SpanId),
    ("event_name", Column::EventName),
    ("file", Column::File),
    ("code.file.path", Column::File),
    ("line", Column::Line),
    ("code.line.number", Column::Line),
    ("function", Column::Function),
    ("code.function.name", Column::Function),
    ("process_id", Column::ProcessId),
    ("pid", Column::ProcessId),
    ("process.pid", Column::ProcessId),
    ("thread", Column::Thread),
    ("thread.name", Column::Thread),
];

/// Before the name of an attribute that is named like a column.
const ATTRIBUTES_PREFIX: &str = "attributes.";

impl Field {
    /// The field of a name as written in a query; `None` for an empty one.
    pub fn of_name(name: &str) -> Option<Field> {
        if let Some((_, column)) = NAMES.iter().find(|(own, _)| *own == name) {
            return Some(Field::Column(*column));
        }
        let name = name.strip_prefix(ATTRIBUTES_PREFIX).unwrap_or(name);
        (!name.is_empty()).then(|| Field::Attribute(name.to_owned()))
    }
}

impl Column {
    /// The name under which stores show it.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, column)| *column == self).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Column(column) => formatter.write_str(column.name()),
            Field::Attribute(name) => {
                super::ast::write_quoted(formatter, &format!("{ATTRIBUTES_PREFIX}{name}"))
            }
        }
    }
}
