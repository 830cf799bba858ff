//! Compiles queries to conditions of PostgreSQL, over the columns of `logs`. In the conditions `??`
//! is the `?` of an operator.
//!
//! A condition is necessary but need not be sufficient: it makes the server skip most of the rows
//! that do not match, and [`Query::matches`] decides about the rows that the server returns.
//! Therefore PostgreSQL needs no custom functions for words and attributes, and its results are
//! those of every other store. An exact condition may be negated; the negation of an inexact
//! condition is true for all rows.

use crate::query::{Expression, Field, IntegerRange, Pattern, Query, Term, Test, attribute};
use crate::record::Column;
use crate::store::sql::{Condition, Connective, SqlParameter};

/// Returns a condition that is true for all records of a query, for a statement whose `FROM` is
/// `logs`.
pub fn condition(query: &Query) -> Condition {
    part(query.expression()).condition
}

/// Returns the condition if it is true only for matches: the rows that fulfil it can be counted
/// without being read.
pub fn exact_condition(query: &Query) -> Option<Condition> {
    let Part { condition, is_exact } = part(query.expression());
    is_exact.then_some(condition)
}

/// A compiled expression.
struct Part {
    condition: Condition,
    /// The condition is true only for matches.
    is_exact: bool,
}

impl Part {
    fn exact(condition: Condition) -> Part {
        Part { condition, is_exact: true }
    }

    fn necessary(condition: Condition) -> Part {
        Part { condition, is_exact: false }
    }
}

/// Compiles an expression. Recurses as deep as the parser allows parentheses to nest.
fn part(expression: &Expression) -> Part {
    match expression {
        Expression::All(inner) => joined(inner, Connective::And),
        Expression::Any(inner) => joined(inner, Connective::Or),
        Expression::Not(inner) => match part(inner) {
            Part { condition, is_exact: true } => Part::exact(condition.negated()),
            _ => Part::necessary(Condition::always()),
        },
        Expression::Term(Term { field: Field::Attribute(name), test }) => attribute_part(name, test),
        Expression::Term(Term { field: Field::Column(column), test }) => column_part(*column, test),
    }
}

fn joined(expressions: &[Expression], connective: Connective) -> Part {
    let parts: Vec<Part> = expressions.iter().map(part).collect();
    let is_exact = parts.iter().all(|part| part.is_exact);
    let conditions = parts.into_iter().map(|part| part.condition).collect();
    Part { condition: Condition::joined(conditions, connective), is_exact }
}

/// Compiles the test of an attribute for its value or its presence: as a member of that name, or at
/// the path of its steps.
fn attribute_part(name: &str, test: &Test) -> Part {
    let steps: Vec<&str> = name.split('.').collect();
    let mut paths = vec![std::slice::from_ref(&name), &steps];
    paths.dedup();
    let has_nul = name.contains('\0') || matches!(test, Test::Equal(text) if text.contains('\0'));
    let conditions = match test {
        _ if has_nul => vec![Condition::always()], // PostgreSQL accepts NUL in no text
        Test::Equal(text) => paths.iter().flat_map(|path| equal_conditions(path, text)).collect(),
        _ => paths.iter().map(|path| attribute_condition("attributes ?? ?", path[0].to_owned())).collect(),
    };
    Part::necessary(Condition::joined(conditions, Connective::Or))
}

/// Returns conditions for a text, and for any other value with that text. A number is searched in a
/// small range around its value, because rounding decides whether it is equal.
fn equal_conditions(path: &[&str], text: &str) -> Vec<Condition> {
    let holds = |value: &str| attribute_condition("attributes @> ?::text::jsonb", document(path, value));
    let mut conditions = vec![holds(&quoted(text))];
    if matches!(text, "true" | "false" | "null") {
        conditions.push(holds(text));
    }
    if let Some(number) = attribute::number(text) {
        let steps: String = path.iter().map(|step| format!(".{}", quoted(step))).collect();
        let (lower, upper) = (number.next_down().next_down(), number.next_up().next_up());
        let bounds = [(">=", lower), ("<=", upper)].into_iter().filter(|(_, bound)| bound.is_finite());
        let bounds: Vec<_> = bounds.map(|(order, bound)| format!("@ {order} {bound:e}")).collect();
        let path = format!("${steps} ? ({})", bounds.join(" && "));
        conditions.push(attribute_condition("attributes @?? ?::text::jsonpath", path));
    }
    conditions
}

fn attribute_condition(sql: &str, parameter: String) -> Condition {
    Condition::new(sql, vec![SqlParameter::Text(parameter)])
}

/// Returns an object in which a path leads to a value.
fn document(path: &[&str], value: &str) -> String {
    let start: String = path.iter().map(|step| format!("{{{}:", quoted(step))).collect();
    format!("{start}{value}{}", "}".repeat(path.len()))
}

/// Quotes a text as in JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn column_part(column: Column, test: &Test) -> Part {
    let name = column.name();
    match (column, test) {
        (Column::Id | Column::Time, Test::Present) => Part::exact(Condition::always()),
        (Column::SeverityNumber, Test::Present) => {
            Part::exact(Condition::new("severity_number > 0", Vec::new()))
        }
        (Column::Severity, Test::Present) => {
            Part::exact(Condition::new("(severity IS NOT NULL OR severity_number > 0)", Vec::new()))
        }
        (_, Test::Present) => Part::exact(Condition::new(format!("{name} IS NOT NULL"), Vec::new())),
        (Column::Time, Test::Range(range)) => Part::exact(time_condition(*range)),
        (_, Test::Range(range)) => Part::exact(range_condition(name, *range)),
        (Column::Severity, Test::Equal(text)) => {
            let own = format!("lower({name} COLLATE \"C\") = ?");
            text_part(own, &text.to_ascii_lowercase(), true)
        }
        (_, Test::Equal(text)) => text_part(format!("{name} = ?"), text, true),
        (_, Test::Inequality(order, text)) => {
            text_part(format!("{name} COLLATE \"C\" {} ?", order.symbol()), text, true)
        }
        (_, Test::Fits(pattern)) => {
            text_part(format!("{name} LIKE ?"), &like(pattern, pattern.open_start, pattern.open_end), true)
        }
        (_, Test::Words(pattern)) => {
            let anywhere = like(pattern, true, true).to_ascii_lowercase();
            text_part(format!("lower({name} COLLATE \"C\") LIKE ?"), &anywhere, false)
        }
    }
}

fn text_part(sql: String, text: &str, is_exact: bool) -> Part {
    if text.contains('\0') {
        return Part::necessary(Condition::always()); // PostgreSQL accepts NUL in no text
    }
    Part { condition: Condition::new(sql, vec![SqlParameter::Text(text.to_owned())]), is_exact }
}

/// Returns a pattern in the syntax of LIKE.
fn like(pattern: &Pattern, open_start: bool, open_end: bool) -> String {
    let mut like = String::new();
    like.push_str(if open_start { "%" } else { "" });
    for character in pattern.text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            like.push('\\');
        }
        like.push(character);
    }
    like.push_str(if open_end { "%" } else { "" });
    like
}

fn range_condition(name: &str, range: IntegerRange) -> Condition {
    if range.is_empty() {
        return Condition::never();
    }
    let bounds = [(">=", range.lower()), ("<=", range.upper())];
    let conditions = bounds.into_iter().filter_map(|(operator, bound)| {
        Some(Condition::new(format!("{name} {operator} ?::bigint"), vec![SqlParameter::Integer(bound?)]))
    });
    let joined = Condition::joined(conditions.collect(), Connective::And);
    if joined.parameters.is_empty() {
        return Condition::new(format!("{name} IS NOT NULL"), Vec::new());
    }
    joined
}

/// Returns the condition for a range of times. The column has microseconds, and `time_ns` has the
/// remainder, which decides about times at the bounds.
pub fn time_condition(range: IntegerRange) -> Condition {
    if range.is_empty() {
        return Condition::never();
    }
    let mut conditions = Vec::new();
    for (bound, order, whole) in [(range.lower(), ">", 0), (range.upper(), "<", 999)] {
        let Some(bound) = bound else { continue };
        conditions.push(Condition::new(format!("time {order}= ?"), vec![SqlParameter::Time(bound)]));
        let rest = bound.rem_euclid(1000);
        if rest != whole {
            let sql = format!("(time {order} ? OR coalesce(time_ns, 0) {order}= ?::bigint)");
            conditions
                .push(Condition::new(sql, vec![SqlParameter::Time(bound), SqlParameter::Integer(rest)]));
        }
    }
    Condition::joined(conditions, Connective::And)
}
