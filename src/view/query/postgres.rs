//! Queries as conditions of PostgreSQL, over the columns of `logs`.
//!
//! A condition is necessary here and need not be sufficient: it spares the server most of the rows that do not match, and
//! [`Query::matches`] has the last word on those that it gives. So PostgreSQL needs no functions of ours for words and attributes, and
//! its answers are those of every other store. What it can say exactly may be negated; where it cannot, a negation holds for all rows.

use super::Query;
use super::ast::{Expression, Term, Test};
use super::field::{Column, Field};
use super::range::Range;
use super::sql::{Condition, Connective, Value};
use super::words::Pattern;

/// What holds for all records of a query, for a statement whose `FROM` is `logs`.
pub fn condition(query: &Query) -> Condition {
    part(query.expression()).condition
}

/// A compiled expression.
struct Part {
    condition: Condition,
    /// It holds for matches only.
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

/// Compiles an expression. It recurses as deep as the parser lets parentheses nest.
fn part(expression: &Expression) -> Part {
    match expression {
        Expression::All(inner) => joined(inner, Connective::And),
        Expression::Any(inner) => joined(inner, Connective::Or),
        Expression::Not(inner) => match part(inner) {
            Part { condition, is_exact: true } => Part::exact(condition.negated()),
            _ => Part::necessary(Condition::always()),
        },
        Expression::Term(Term { field: Field::Attribute(name), .. }) => attribute_part(name),
        Expression::Term(Term { field: Field::Column(column), test }) => column_part(*column, test),
    }
}

fn joined(expressions: &[Expression], connective: Connective) -> Part {
    let parts: Vec<Part> = expressions.iter().map(part).collect();
    let is_exact = parts.iter().all(|part| part.is_exact);
    let conditions = parts.into_iter().map(|part| part.condition).collect();
    Part { condition: Condition::joined(conditions, connective), is_exact }
}

/// A member of that name, or the object that its first step leads into.
fn attribute_part(name: &str) -> Part {
    let first_step = name.split('.').next().unwrap_or(name);
    let Some(mut names) = texts(&[name, first_step]) else { return Part::necessary(Condition::always()) };
    names.dedup();
    let is_there = vec!["jsonb_exists(attributes, ?)"; names.len()].join(" OR ");
    Part::necessary(Condition::new(format!("({is_there})"), names))
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
        // To the microsecond, which is what the column has.
        (Column::Time, Test::Range(range)) => Part::necessary(time_condition(*range)),
        (_, Test::Range(range)) => Part::exact(range_condition(name, *range)),
        (Column::Severity, Test::Equal(text)) => {
            let own = format!("lower({name} COLLATE \"C\") = ?");
            text_part(own, &text.to_ascii_lowercase(), true)
        }
        (_, Test::Equal(text)) => text_part(format!("{name} = ?"), text, true),
        (_, Test::Order(order, text)) => {
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
    match texts(&[text]) {
        Some(parameters) => Part { condition: Condition::new(sql, parameters), is_exact },
        None => Part::necessary(Condition::always()),
    }
}

/// Texts as parameters, unless one has a NUL, which PostgreSQL takes in none.
fn texts(texts: &[&str]) -> Option<Vec<Value>> {
    let value = |text: &&str| (!text.contains('\0')).then(|| Value::Text((*text).to_owned()));
    texts.iter().map(value).collect()
}

/// A pattern in the language of LIKE.
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

fn range_condition(name: &str, range: Range) -> Condition {
    if range.is_empty() {
        return Condition::never();
    }
    let bounds = [(">=", range.lower()), ("<=", range.upper())];
    let conditions = bounds.into_iter().filter_map(|(operator, bound)| {
        Some(Condition::new(format!("{name} {operator} ?::bigint"), vec![Value::Integer(bound?)]))
    });
    let joined = Condition::joined(conditions.collect(), Connective::And);
    if joined.parameters.is_empty() {
        return Condition::new(format!("{name} IS NOT NULL"), Vec::new());
    }
    joined
}

/// The range of a time as microseconds, each of which holds a thousand nanoseconds.
fn time_condition(range: Range) -> Condition {
    if range.is_empty() {
        return Condition::never();
    }
    let bounds = [(">=", range.lower()), ("<=", range.upper())];
    let conditions = bounds.into_iter().filter_map(|(operator, bound)| {
        Some(Condition::new(format!("time {operator} ?"), vec![Value::Time(bound?)]))
    });
    Condition::joined(conditions.collect(), Connective::And)
}
