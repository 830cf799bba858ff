//! The meaning of a query, written as plainly as possible: the databases must agree with it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::query::{Expression, Field, Pattern, Query, Term, Test};
use crate::record::Column;
use crate::record::{RecordId, RecordRef};

/// Returns true if a record matches.
pub(crate) fn matches(expression: &Expression, id: RecordId, record: &RecordRef<'_>) -> bool {
    match expression {
        Expression::All(inner) => inner.iter().all(|inner| matches(inner, id, record)),
        Expression::Any(inner) => inner.iter().any(|inner| matches(inner, id, record)),
        Expression::Not(inner) => !matches(inner, id, record),
        Expression::Term(Term { field: Field::Attribute(name), test }) => attribute(record, name, test),
        Expression::Term(Term { field: Field::Column(column), test }) => match value(*column, id, record) {
            OracleValue::Number(number) => number_passes(number, test),
            OracleValue::Text("") if *column == Column::Severity => {
                *test == Test::Present && record.severity_number > 0
            }
            OracleValue::Text(text) => !text.is_empty() && text_passes(*column, text, test),
        },
    }
}

enum OracleValue<'a> {
    Number(i64),
    Text(&'a str),
}

fn value<'a>(column: Column, id: RecordId, record: &RecordRef<'a>) -> OracleValue<'a> {
    let origin = record.origin;
    match column {
        Column::Id => OracleValue::Number(id as i64),
        Column::Time => OracleValue::Number(record.timestamp),
        Column::SeverityNumber => OracleValue::Number(record.severity_number.into()),
        Column::Line => OracleValue::Number(origin.line.into()),
        Column::ProcessId => OracleValue::Number(origin.process_id.into()),
        Column::Severity => OracleValue::Text(origin.severity_text),
        Column::Service => OracleValue::Text(origin.service),
        Column::Logger => OracleValue::Text(origin.logger),
        Column::Host => OracleValue::Text(origin.host),
        Column::Message => OracleValue::Text(record.message),
        Column::TraceId => OracleValue::Text(record.trace_id),
        Column::SpanId => OracleValue::Text(record.span_id),
        Column::EventName => OracleValue::Text(record.event_name),
        Column::File => OracleValue::Text(origin.file),
        Column::Function => OracleValue::Text(origin.function),
        Column::Thread => OracleValue::Text(origin.thread),
    }
}

fn number_passes(number: i64, test: &Test) -> bool {
    match test {
        Test::Present => number != 0,
        Test::Range(range) => number != 0 && (range.first..=range.last).contains(&number),
        other => panic!("{other:?} of a number"),
    }
}

fn text_passes(column: Column, text: &str, test: &Test) -> bool {
    match test {
        Test::Present => true,
        Test::Equal(other) if column == Column::Severity => text.eq_ignore_ascii_case(other),
        Test::Equal(other) => text == other,
        Test::Inequality(order, other) => order.holds(text.as_bytes().cmp(other.as_bytes())),
        Test::Fits(pattern) => fits(text, pattern),
        Test::Words(pattern) => holds_words(text, pattern),
        Test::Range(range) => panic!("{range:?} of a text"),
    }
}

fn fits(text: &str, pattern: &Pattern) -> bool {
    let other = pattern.text.as_str();
    text.contains(other)
        && (pattern.open_start || text.starts_with(other))
        && (pattern.open_end || text.ends_with(other))
        && (pattern.is_open() || text == other)
}

/// Tries every position of the text, character by character.
pub(crate) fn holds_words(text: &str, pattern: &Pattern) -> bool {
    let (text, pattern_text): (Vec<char>, Vec<char>) =
        (text.chars().collect(), pattern.text.chars().collect());
    let length = pattern_text.len();
    let is_of_word = |place: Option<&char>| place.is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let cuts_word =
        |place: usize| place > 0 && is_of_word(text.get(place - 1)) && is_of_word(text.get(place));
    (0..(text.len() + 1).saturating_sub(length)).any(|place| {
        let found = &text[place..place + length];
        found.iter().zip(&pattern_text).all(|(one, two)| one.eq_ignore_ascii_case(two))
            && (pattern.open_start || !cuts_word(place))
            && (pattern.open_end || !cuts_word(place + length))
    })
}

type Object = BTreeMap<String, Box<RawValue>>;

fn attribute(record: &RecordRef<'_>, name: &str, test: &Test) -> bool {
    let Some(value) = find(record.attributes, name) else {
        return false;
    };
    if *test == Test::Present {
        return true;
    }
    let text = match value.as_bytes()[0] {
        b'{' | b'[' => return false,
        b'"' => serde_json::from_str(&value).unwrap(),
        _ => value.clone(),
    };
    match test {
        Test::Equal(other) => text == *other || !value.starts_with('"') && same_number(&text, other),
        Test::Inequality(order, other) => match number(other) {
            Some(_) => compare(&text, other).is_some_and(|found| order.holds(found)),
            None => order.holds(text.as_bytes().cmp(other.as_bytes())),
        },
        Test::Fits(pattern) => fits(&text, pattern),
        other => panic!("{other:?} of an attribute"),
    }
}

fn find(attributes: &str, name: &str) -> Option<String> {
    let object: Object = serde_json::from_str(attributes).ok()?;
    if let Some(value) = object.get(name) {
        return Some(value.get().to_owned());
    }
    let mut value = attributes.to_owned();
    for step in name.split('.') {
        value = serde_json::from_str::<Object>(&value).ok()?.get(step)?.get().to_owned();
    }
    Some(value)
}

fn number(text: &str) -> Option<serde_json::Number> {
    serde_json::from_str(text).ok().filter(|_| text.trim() == text)
}

/// Compares whole numbers by their digits, others as floats.
fn same_number(one: &str, two: &str) -> bool {
    let is_whole = |text: &str| !text.contains(['.', 'e', 'E']);
    match (number(one), number(two)) {
        (Some(_), Some(_)) if is_whole(one) && is_whole(two) => one == two,
        (Some(one), Some(two)) => one.as_f64() == two.as_f64(),
        _ => false,
    }
}

fn compare(one: &str, two: &str) -> Option<Ordering> {
    match (number(one)?, number(two)?) {
        (one, two) if one.is_i64() && two.is_i64() => Some(one.as_i64()?.cmp(&two.as_i64()?)),
        (one, two) => one.as_f64()?.partial_cmp(&two.as_f64()?),
    }
}

/// Returns the ids of the matching records, whose ids are their places counted from 1.
pub(crate) fn expected(query: &Query, records: &[RecordRef<'_>]) -> Vec<u64> {
    let ids = 1..=records.len() as u64;
    ids.filter(|id| matches(query.expression(), *id, &records[*id as usize - 1])).collect()
}
