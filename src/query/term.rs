//! Builds a term from a field, an operator and a value, according to the kind of the field.

use super::ast::{Expression, Term, Test};
use super::error::QueryProblem;
use super::field::Field;
use super::lexer::QueryText;
use super::order::Inequality;
use super::range::IntegerRange;
use super::time;
use super::words::Pattern;
use crate::record::{Column, severity};

/// Builds the term that compares `field` with `value`: by `order`, or by equality without an order.
/// Without a field the message is searched, and a lone `*` matches every record.
pub(super) fn build(
    field: Option<Field>,
    order: Option<Inequality>,
    value: &QueryText,
    now: i64,
) -> Result<Expression, QueryProblem> {
    let star = !value.quoted && value.text == "*";
    let Some(field) = field else {
        if star {
            return Ok(Expression::all(Vec::new()));
        }
        return Ok(term(Field::Column(Column::Message), words(value)?));
    };
    let test = match (order, star) {
        (None, true) => Test::Present,
        (Some(_), true) => return Err(QueryProblem::StarHasNoOrder),
        _ => test(&field, order, value, now)?,
    };
    Ok(term(field, test))
}

fn term(field: Field, test: Test) -> Expression {
    // A severity word stands for numbers, which have their own column.
    let field = match (field, &test) {
        (Field::Column(Column::Severity), Test::Range(_)) => Field::Column(Column::SeverityNumber),
        (field, _) => field,
    };
    Expression::Term(Term { field, test })
}

fn test(field: &Field, order: Option<Inequality>, value: &QueryText, now: i64) -> Result<Test, QueryProblem> {
    let Field::Column(column) = field else {
        return text(order, value);
    };
    match column {
        Column::Message if order.is_some() => Err(QueryProblem::MessageHasNoOrder),
        Column::Message => words(value),
        Column::Time => {
            check_exact("time", value)?;
            let (first, last) = time::span(&value.text, now).ok_or(QueryProblem::NotATime)?;
            Ok(Test::Range(within(IntegerRange { first, last }, order)))
        }
        Column::Id | Column::SeverityNumber | Column::Line | Column::ProcessId => {
            check_exact(column.name(), value)?;
            number(column.name(), order, &value.text)
        }
        Column::Severity => severity(order, value),
        _ if value.text.is_empty() => Err(QueryProblem::EmptyColumn(column.name())),
        _ => text(order, value),
    }
}

fn words(value: &QueryText) -> Result<Test, QueryProblem> {
    match pattern(value)? {
        pattern if pattern.text.is_empty() => Err(QueryProblem::EmptyText),
        pattern => Ok(Test::Words(pattern)),
    }
}

fn text(order: Option<Inequality>, value: &QueryText) -> Result<Test, QueryProblem> {
    let pattern = pattern(value)?;
    match (order, pattern.is_open()) {
        (Some(_), true) => Err(QueryProblem::StarHasNoOrder),
        (Some(order), false) => Ok(Test::Inequality(order, pattern.text)),
        (None, true) => Ok(Test::Fits(pattern)),
        (None, false) => Ok(Test::Equal(pattern.text)),
    }
}

fn severity(order: Option<Inequality>, value: &QueryText) -> Result<Test, QueryProblem> {
    check_exact("severity", value)?;
    let text = value.text.as_str();
    if text.is_empty() {
        return Err(QueryProblem::EmptyColumn("severity"));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return number("severity", order, text);
    }
    match (severity::range_of_text(text), order) {
        (Some((first, last)), _) => {
            let range = IntegerRange { first: first.into(), last: last.into() };
            Ok(Test::Range(from_one(within(range, order))))
        }
        (None, None) => Ok(Test::Equal(text.to_owned())),
        (None, Some(_)) => Err(QueryProblem::UnknownSeverity),
    }
}

fn number(name: &'static str, order: Option<Inequality>, text: &str) -> Result<Test, QueryProblem> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(QueryProblem::NotANumber(name));
    }
    let number = text.parse().unwrap_or(i64::MAX); // digits alone fail only if there are too many
    if number == 0 && order.is_none() {
        return Err(QueryProblem::ZeroColumn(name));
    }
    Ok(Test::Range(from_one(within(IntegerRange { first: number, last: number }, order))))
}

fn within(range: IntegerRange, order: Option<Inequality>) -> IntegerRange {
    order.map_or(range, |order| range.ordered(order))
}

/// Excludes the numbers that no present value has: 0 means that the value is absent.
fn from_one(range: IntegerRange) -> IntegerRange {
    match range.intersection(IntegerRange { first: 1, ..IntegerRange::EVERYTHING }) {
        range if range.is_empty() => IntegerRange::NOTHING,
        range => range,
    }
}

fn check_exact(name: &'static str, value: &QueryText) -> Result<(), QueryProblem> {
    match !value.quoted && value.text.contains('*') {
        true => Err(QueryProblem::StarInExactColumn(name)),
        false => Ok(()),
    }
}

fn pattern(value: &QueryText) -> Result<Pattern, QueryProblem> {
    if value.quoted {
        return Ok(Pattern { text: value.text.clone(), open_start: false, open_end: false });
    }
    let text = value.text.as_str();
    let (open_start, text) = text.strip_prefix('*').map_or((false, text), |rest| (true, rest));
    let (open_end, text) = text.strip_suffix('*').map_or((false, text), |rest| (true, rest));
    match text {
        "" if open_start => Err(QueryProblem::EmptyText),
        text if text.contains('*') => Err(QueryProblem::InnerStar),
        text => Ok(Pattern { text: text.to_owned(), open_start, open_end }),
    }
}
