//! The columns of a record: their names and aliases, their order, and their values in a record.
//!
//! This is the one declaration of the columns. Texts of SQL, of the web page and of the API
//! description repeat the names; tests compare them with this list.

use super::{RecordId, RecordRef};

/// A column that every store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "`RecordRef` and `Origin` describe them")]
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

/// The names of the columns; the first of each column is the name in every store. The names with a
/// dot are OpenTelemetry's. Attributes of these names become columns on arrival.
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

/// The value of a column in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnValue<'a> {
    /// A number; 0 where it is absent, except for a time.
    Number(i64),
    /// A text; empty where it is absent.
    Text(&'a str),
}

impl Column {
    /// The columns whose values many records share, in the order in which they are listed.
    pub const GROUPS: [Column; 13] = [
        Column::Severity,
        Column::SeverityNumber,
        Column::Service,
        Column::Logger,
        Column::Host,
        Column::EventName,
        Column::TraceId,
        Column::SpanId,
        Column::File,
        Column::Line,
        Column::Function,
        Column::ProcessId,
        Column::Thread,
    ];

    /// Returns the column with this name or alias.
    pub fn of_name(name: &str) -> Option<Column> {
        NAMES.iter().find(|(own, _)| *own == name).map(|(_, column)| *column)
    }

    /// Returns every name and alias, with its column.
    #[cfg(test)]
    pub(crate) fn names() -> impl Iterator<Item = (&'static str, Column)> {
        NAMES.into_iter()
    }

    /// Returns the column's name in every store.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, column)| *column == self).map_or("", |(name, _)| name)
    }

    /// Returns the column's value in a record. The severity is the sender's own word, which may be
    /// absent where there is a severity number.
    pub fn get<'a>(self, id: RecordId, record: &RecordRef<'a>) -> ColumnValue<'a> {
        let origin = &record.origin;
        match self {
            Column::Id => ColumnValue::Number(i64::try_from(id).unwrap_or(i64::MAX)),
            Column::Time => ColumnValue::Number(record.timestamp),
            Column::SeverityNumber => ColumnValue::Number(record.severity_number.into()),
            Column::Line => ColumnValue::Number(origin.line.into()),
            Column::ProcessId => ColumnValue::Number(origin.process_id.into()),
            Column::Severity => ColumnValue::Text(origin.severity_text),
            Column::Service => ColumnValue::Text(origin.service),
            Column::Logger => ColumnValue::Text(origin.logger),
            Column::Host => ColumnValue::Text(origin.host),
            Column::Message => ColumnValue::Text(record.message),
            Column::TraceId => ColumnValue::Text(record.trace_id),
            Column::SpanId => ColumnValue::Text(record.span_id),
            Column::EventName => ColumnValue::Text(record.event_name),
            Column::File => ColumnValue::Text(origin.file),
            Column::Function => ColumnValue::Text(origin.function),
            Column::Thread => ColumnValue::Text(origin.thread),
        }
    }
}

/// A set of columns, and the attributes. A search fills only the wanted ones, which spares reading
/// the others; id, time and severity number are always filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnSet(u32);

impl ColumnSet {
    /// All columns, and the attributes.
    pub const ALL: ColumnSet = ColumnSet(u32::MAX);

    /// No column but those that are always filled.
    pub const NONE: ColumnSet = ColumnSet(0);

    /// The attributes. Their bit comes after those of all columns.
    pub const ATTRIBUTES: ColumnSet = ColumnSet(1 << 31);

    /// Returns the set of one column.
    pub const fn of_column(column: Column) -> ColumnSet {
        ColumnSet(1 << column as u32)
    }

    /// Returns the union with another set.
    pub const fn and(self, others: ColumnSet) -> ColumnSet {
        ColumnSet(self.0 | others.0)
    }

    /// Returns true if all columns of another set are in this one.
    pub const fn has(self, others: ColumnSet) -> bool {
        self.0 & others.0 == others.0
    }
}
