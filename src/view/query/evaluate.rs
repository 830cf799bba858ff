//! Whether a record matches, asked of the record itself: what live tail needs, and what it shares with no database
//! but the search for words and the tests of attributes.

use super::ast::{Expression, Term, Test};
use super::attribute::{self, Comparison};
use super::field::{Column, Field};
use super::words::Encoded;
use crate::record::{RecordId, RecordRef};

/// Whether the record fulfils the expression. It recurses as deep as the parser lets parentheses nest.
pub(super) fn holds(expression: &Expression, id: RecordId, record: &RecordRef<'_>) -> bool {
    match expression {
        Expression::All(inner) => inner.iter().all(|inner| holds(inner, id, record)),
        Expression::Any(inner) => inner.iter().any(|inner| holds(inner, id, record)),
        Expression::Not(inner) => !holds(inner, id, record),
        Expression::Term(term) => term_holds(term, id, record),
    }
}

fn term_holds(Term { field, test }: &Term, id: RecordId, record: &RecordRef<'_>) -> bool {
    let column = match field {
        Field::Column(column) => *column,
        Field::Attribute(name) => return attribute_holds(name, test, record.attributes),
    };
    match value(column, id, record) {
        Value::Number(number) => number_holds(column, number, test),
        Value::Text("") => column == Column::Severity && *test == Test::Present && record.severity_number > 0,
        Value::Text(text) if column == Column::Severity => severity_holds(text, test),
        Value::Text(text) => text_holds(text, test),
    }
}

enum Value<'a> {
    Number(i64),
    /// Empty where it is not given.
    Text(&'a str),
}

fn value<'a>(column: Column, id: RecordId, record: &RecordRef<'a>) -> Value<'a> {
    let origin = &record.origin;
    match column {
        Column::Id => Value::Number(i64::try_from(id).unwrap_or(i64::MAX)),
        Column::Time => Value::Number(record.timestamp),
        Column::SeverityNumber => Value::Number(record.severity_number.into()),
        Column::Line => Value::Number(origin.line.into()),
        Column::ProcessId => Value::Number(origin.process_id.into()),
        Column::Severity => Value::Text(origin.severity_text),
        Column::Service => Value::Text(origin.service),
        Column::Logger => Value::Text(origin.logger),
        Column::Host => Value::Text(origin.host),
        Column::Message => Value::Text(record.message),
        Column::TraceId => Value::Text(record.trace_id),
        Column::SpanId => Value::Text(record.span_id),
        Column::EventName => Value::Text(record.event_name),
        Column::File => Value::Text(origin.file),
        Column::Function => Value::Text(origin.function),
        Column::Thread => Value::Text(origin.thread),
    }
}

/// The parser gives numbers no tests of texts, and keeps 0, which is no value, out of all ranges but those of times.
fn number_holds(column: Column, number: i64, test: &Test) -> bool {
    match test {
        Test::Present => number != 0 || column == Column::Time,
        Test::Range(range) => (range.first..=range.last).contains(&number),
        Test::Equal(_) | Test::Order(..) | Test::Fits(_) | Test::Words(_) => false,
    }
}

fn severity_holds(text: &str, test: &Test) -> bool {
    match test {
        Test::Equal(other) => text.eq_ignore_ascii_case(other),
        test => text_holds(text, test),
    }
}

fn text_holds(text: &str, test: &Test) -> bool {
    match test {
        Test::Present => true,
        Test::Range(_) => false,
        Test::Equal(other) => text == other,
        Test::Order(order, other) => order.holds(text.cmp(other)),
        Test::Fits(pattern) => Encoded::from(pattern).fits(text.as_bytes()),
        Test::Words(pattern) => Encoded::from(pattern).is_in(text.as_bytes()),
    }
}

fn attribute_holds(name: &str, test: &Test, attributes: &str) -> bool {
    let comparison = match test {
        Test::Present => Comparison::Present,
        Test::Equal(text) => Comparison::Equal(text),
        Test::Order(order, text) => Comparison::Order(*order, text),
        Test::Fits(pattern) | Test::Words(pattern) => Comparison::Fits(Encoded::from(pattern)),
        Test::Range(_) => return false,
    };
    attribute::matches(attributes, name, comparison)
}
