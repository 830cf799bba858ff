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
    /// All columns, in the order of every list of columns. The attributes follow them.
    pub const ALL: [Column; 16] = [
        Column::Id,
        Column::Time,
        Column::SeverityNumber,
        Column::Severity,
        Column::Service,
        Column::Logger,
        Column::Host,
        Column::Message,
        Column::TraceId,
        Column::SpanId,
        Column::EventName,
        Column::File,
        Column::Line,
        Column::Function,
        Column::ProcessId,
        Column::Thread,
    ];

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

    /// Returns true if a column of another set is in this one.
    pub const fn intersects(self, others: ColumnSet) -> bool {
        self.0 & others.0 != 0
    }

    /// Returns true if all columns of another set are in this one.
    pub const fn has(self, others: ColumnSet) -> bool {
        self.0 & others.0 == others.0
    }
}

/// Texts that cannot derive from the list of columns have its names.
#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Returns the names of all columns and of the attributes.
    fn all() -> Vec<&'static str> {
        Column::ALL.iter().map(|column| column.name()).chain(["attributes"]).collect()
    }

    fn words(text: &str) -> Vec<&str> {
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        text.split(|c| !is_of_word(c)).filter(|word| !word.is_empty()).collect()
    }

    fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
        text.split_once(start).unwrap().1.split_once(end).unwrap().0
    }

    #[test]
    fn web_page_has_all_names_and_aliases() {
        let page = include_str!("../view/page/query.js");
        let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(words(between(page, "COLUMNS = new Set(", ".split")), names);
        let detail = include_str!("../view/page/detail.js");
        let shown = words(between(detail, "const FIELDS = [", "]"));
        assert!(shown.iter().all(|name| all().contains(name)), "{shown:?}");
    }

    #[test]
    fn api_description_has_all_columns() {
        let document: serde_json::Value =
            serde_json::from_str(include_str!("../view/endpoints/openapi.json")).unwrap();
        let schema = document["components"]["schemas"]["Record"]["properties"].as_object().unwrap();
        let described: BTreeSet<_> = schema.keys().map(String::as_str).collect();
        // The API's name of the time is an alias.
        let columns = all().into_iter().map(|name| if name == "time" { "timestamp" } else { name });
        assert_eq!(described, columns.collect());
    }

    #[test]
    fn tables_of_postgres_have_all_columns() {
        let table =
            between(include_str!("../store/postgres/schema.sql"), "CREATE TABLE logs (", ") PARTITION");
        let names: Vec<_> = table.lines().filter_map(|line| line.split_ascii_whitespace().next()).collect();
        assert_eq!(names[..17], all());
    }

    #[test]
    fn documents_list_all_columns() {
        let csv = include_str!("../../docs/http-api.md");
        let csv: Vec<_> =
            between(csv, "Its columns are", "(as JSON)").split('`').skip(1).step_by(2).collect();
        assert_eq!(csv, all());
        let help = include_str!("../cli/arguments.rs").replace("\\\n", "");
        let help = words(between(&help, "The view `logs` has the columns", "(JSON)")).into_iter();
        assert_eq!(help.filter(|word| *word != "and").collect::<Vec<_>>(), all());
        let query = include_str!("../../docs/query.md");
        let query: Vec<_> =
            between(query, "The columns are", "are\naccepted").split('`').skip(1).step_by(2).collect();
        assert!(
            query.iter().all(|name| name.contains("...") || Column::of_name(name).is_some()),
            "{query:?}"
        );
        assert!(Column::ALL.iter().all(|column| query.contains(&column.name())), "{query:?}");
    }
}
