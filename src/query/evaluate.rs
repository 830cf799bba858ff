//! Evaluates a query on a record itself, as live tail needs it. This code shares nothing with the
//! databases except the search for words and the tests of attributes.

use super::ast::{Expression, Term, Test};
use super::attribute::{self, Comparison};
use super::field::Field;
use super::words::EncodedPattern;
use crate::record::{Column, ColumnValue, RecordId, RecordRef};

/// Returns true if the record fulfils the expression. Recurses as deep as the parser allows
/// parentheses to nest.
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
    match column.get(id, record) {
        ColumnValue::Number(number) => number_holds(column, number, test),
        ColumnValue::Text("") => {
            column == Column::Severity && *test == Test::Present && record.severity_number > 0
        }
        ColumnValue::Text(text) => text_holds(column, text, test),
    }
}

/// The parser creates no text tests for numbers, and excludes 0, which means absent, from all
/// ranges except those of times.
fn number_holds(column: Column, number: i64, test: &Test) -> bool {
    match test {
        Test::Present => number != 0 || column == Column::Time,
        Test::Range(range) => (range.first..=range.last).contains(&number),
        Test::Equal(_) | Test::Inequality(..) | Test::Fits(_) | Test::Words(_) => false,
    }
}

fn text_holds(column: Column, text: &str, test: &Test) -> bool {
    match test {
        Test::Present => true,
        Test::Range(_) => false,
        Test::Equal(other) if column == Column::Severity => text.eq_ignore_ascii_case(other),
        Test::Equal(other) => text == other,
        Test::Inequality(order, other) => order.holds(text.cmp(other)),
        Test::Fits(pattern) => EncodedPattern::from(pattern).fits(text.as_bytes()),
        Test::Words(pattern) => EncodedPattern::from(pattern).is_in(text.as_bytes()),
    }
}

fn attribute_holds(name: &str, test: &Test, attributes: &str) -> bool {
    let comparison = match test {
        Test::Present => Comparison::Present,
        Test::Equal(text) => Comparison::Equal(text),
        Test::Inequality(order, text) => Comparison::Inequality(*order, text),
        Test::Fits(pattern) | Test::Words(pattern) => Comparison::Fits(EncodedPattern::from(pattern)),
        Test::Range(_) => return false,
    };
    attribute::matches(attributes, name, comparison)
}
