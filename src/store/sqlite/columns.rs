//! Where the columns of a record are stored, as SQL over a row of `record AS r`.
//!
//! Some columns are stored in the row itself, others in the dictionaries of the row's generation
//! (`dictionary.rs`): `sender` has service, host and process, `place` has logger, file and
//! function, and `word` has single texts. A row that refers to no sender has these columns itself,
//! and likewise for the place. A text in a row is either the number of a word or the text itself.

use super::dictionary::{GENERATION_BITS, NUMBER_BITS};
use crate::record::{Column, severity};

/// How a column is stored.
pub(super) enum Storage {
    /// As a number that is never NULL.
    Number(String),
    /// As a value that may be NULL.
    Value(String),
    /// As 8 or 16 bytes if the text is that many bytes in lower-case hexadecimal digits, else as
    /// the text.
    Hexadecimal(&'static str),
    /// In a dictionary, or in the row itself.
    Named(Reference, &'static str),
}

/// A reference from a row to a dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// `r.sender`
    Sender,
    /// `r.place`
    Place,
    /// This column of the row.
    Word(&'static str),
}

impl Reference {
    /// Returns the table.
    pub(super) fn table(self) -> &'static str {
        match self {
            Reference::Sender => "sender",
            Reference::Place => "place",
            Reference::Word(_) => "word",
        }
    }

    /// Returns the column of the row that has the number.
    pub(super) fn number(self) -> &'static str {
        match self {
            Reference::Sender => "r.sender",
            Reference::Place => "r.place",
            Reference::Word(column) => column,
        }
    }

    /// Returns a condition that is true if the row refers to the dictionary, and never NULL.
    pub(super) fn is_used(self) -> String {
        match self {
            Reference::Word(column) => format!("typeof({column}) = 'integer'"),
            _ => format!("{} IS NOT NULL", self.number()),
        }
    }
}

/// Returns how a column is stored.
pub(super) fn storage(column: Column) -> Storage {
    match column {
        Column::Id => Storage::Number("r.id".into()),
        Column::Time => Storage::Number("r.timestamp".into()),
        Column::SeverityNumber => Storage::Number("(r.severity & 31)".into()),
        Column::Severity => Storage::Value(own_severity_text()),
        Column::Message => Storage::Value("r.message".into()),
        Column::Line => Storage::Value("r.line".into()),
        Column::TraceId => Storage::Hexadecimal("r.trace_id"),
        Column::SpanId => Storage::Hexadecimal("r.span_id"),
        Column::Service => Storage::Named(Reference::Sender, "service"),
        Column::Host => Storage::Named(Reference::Sender, "host"),
        Column::ProcessId => Storage::Named(Reference::Sender, "process_id"),
        Column::Logger => Storage::Named(Reference::Place, "logger"),
        Column::File => Storage::Named(Reference::Place, "file"),
        Column::Function => Storage::Named(Reference::Place, "function"),
        Column::Thread => Storage::Named(Reference::Word("r.thread"), "text"),
        Column::EventName => Storage::Named(Reference::Word("r.event_name"), "text"),
    }
}

/// Returns the value of a column; NULL if the record has none.
pub(super) fn expression(column: Column) -> String {
    match storage(column) {
        Storage::Number(sql) | Storage::Value(sql) => sql,
        Storage::Hexadecimal(sql) => hexadecimal(sql),
        Storage::Named(reference, name) => format!(
            "CASE WHEN {} THEN {} ELSE {} END",
            reference.is_used(),
            named(reference, name),
            in_row(reference, name)
        ),
    }
}

/// Returns a column of the dictionary's row to which a row refers.
fn named(reference: Reference, name: &str) -> String {
    let (table, number) = (reference.table(), reference.number());
    format!(
        "(SELECT {table}.{name} FROM {table} \
         WHERE {table}.id = ((r.id - 1) >> {GENERATION_BITS} << {NUMBER_BITS}) + {number})"
    )
}

/// Returns a column of a row that does not refer to the dictionary.
pub(super) fn in_row(reference: Reference, name: &str) -> String {
    match (reference, name) {
        (Reference::Word(column), _) => column.into(),
        (_, "process_id") => "r.process_id".into(),
        _ => word(&format!("r.{name}")),
    }
}

/// Returns the text of a column of the row that has the number of a word, or the text itself.
fn word(column: &str) -> String {
    format!(
        "CASE typeof({column}) WHEN 'integer' THEN (SELECT word.text FROM word \
         WHERE word.id = ((r.id - 1) >> {GENERATION_BITS} << {NUMBER_BITS}) + {column}) ELSE {column} END"
    )
}

pub(super) fn hexadecimal(column: &str) -> String {
    format!("CASE typeof({column}) WHEN 'blob' THEN lower(hex({column})) ELSE {column} END")
}

/// Spellings of severities that need no text in the row: `r.severity` is the severity number, plus
/// 32 times the index of the spelling. With index 0, `r.severity_text` has the sender's own word,
/// if there is one. The frequent ones come first.
const SPELLINGS: [&[(u8, &str)]; 5] = [
    &[],
    &[
        (severity::INFO, "INFO"),
        (severity::DEBUG, "DEBUG"),
        (severity::WARN, "WARN"),
        (severity::ERROR, "ERROR"),
        (severity::FATAL, "FATAL"),
        (severity::TRACE, "TRACE"),
    ],
    &[(severity::WARN, "WARNING"), (severity::FATAL, "CRITICAL")],
    &[
        (severity::INFO, "info"),
        (severity::DEBUG, "debug"),
        (severity::WARN, "warn"),
        (severity::ERROR, "error"),
        (severity::FATAL, "fatal"),
        (severity::TRACE, "trace"),
    ],
    &[(severity::WARN, "warning"), (severity::FATAL, "critical")],
];

/// The severity numbers that `r.severity` can have.
const SEVERITY_NUMBERS: u8 = 32;

/// Returns the number that stands for a severity in `record.severity`, and the text that has to be
/// stored besides it.
pub(super) fn packed_severity(number: u8, text: &str) -> (u8, &str) {
    let number = number.min(SEVERITY_NUMBERS - 1);
    let spelling = SPELLINGS.iter().position(|spelling| spelling.contains(&(number, text)));
    match spelling {
        Some(spelling) => (number + SEVERITY_NUMBERS * spelling as u8, ""),
        None => (number, text),
    }
}

/// Returns the severity number and, unless the row has the text itself, the sender's own word.
pub(super) fn unpacked_severity(packed: i64) -> (u8, &'static str) {
    let number = (packed & i64::from(SEVERITY_NUMBERS - 1)) as u8;
    let spelling = usize::try_from(packed >> SEVERITY_NUMBERS.ilog2()).ok();
    let names = spelling.and_then(|spelling| SPELLINGS.get(spelling)).copied().unwrap_or_default();
    (number, names.iter().find(|(own, _)| *own == number).map_or("", |(_, name)| name))
}

/// Returns the sender's own word for the severity.
fn own_severity_text() -> String {
    format!("CASE r.severity {} ELSE {} END", cases(), word("r.severity_text"))
}

/// Returns the severity as a word: the sender's own, else the name of the number.
pub(super) fn severity_text() -> String {
    let frequent = SPELLINGS[1].iter().map(|(number, _)| *number);
    let numbers = frequent.chain((severity::TRACE..=severity::FATAL + 3).filter(|number| number % 4 != 1));
    let names = numbers.map(|number| format!("WHEN {number} THEN '{}'", severity::name(number)));
    format!(
        "CASE r.severity {} ELSE coalesce({}, CASE r.severity {} END) END",
        cases(),
        word("r.severity_text"),
        names.collect::<Vec<_>>().join(" ")
    )
}

fn cases() -> String {
    let spelled = (0u8..).zip(SPELLINGS).flat_map(|(index, spelling)| {
        spelling.iter().map(move |(number, name)| {
            format!(
                "WHEN {} THEN '{name}'",
                u16::from(*number) + u16::from(SEVERITY_NUMBERS) * u16::from(index)
            )
        })
    });
    spelled.collect::<Vec<_>>().join(" ")
}

/// Returns the time as text.
pub(super) fn time_text() -> &'static str {
    "strftime('%Y-%m-%dT%H:%M:%S', (r.timestamp - (r.timestamp % 1000000000 + 1000000000) % 1000000000) / 1000000000, 'unixepoch')
        || printf('.%09dZ', (r.timestamp % 1000000000 + 1000000000) % 1000000000)"
}
