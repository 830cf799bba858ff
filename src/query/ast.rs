//! The tree that a query is parsed into.

use std::fmt::{self, Display, Write};

use super::field::Field;
use super::lexer::write_quoted;
use super::order::Inequality;
use super::range::IntegerRange;
use super::words::Pattern;
use crate::record::{Column, time};

/// A condition on a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// All of these hold; true if there are none.
    All(Vec<Expression>),
    /// At least one of these holds.
    Any(Vec<Expression>),
    /// The inner expression does not hold.
    Not(Box<Expression>),
    /// A test of one field.
    Term(Term),
}

/// A test of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The field.
    pub field: Field,
    /// What must be true of the field. No test is true of an absent field.
    pub test: Test,
}

/// What must be true of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The field is present.
    Present,
    /// The number (or the time, in ns since the Unix epoch) lies in the range.
    Range(IntegerRange),
    /// The text equals this one; for [`Column::Severity`], with ASCII letters in either case.
    Equal(String),
    /// The text has this order relative to the given text.
    Inequality(Inequality, String),
    /// The whole text fits the pattern.
    Fits(Pattern),
    /// The text contains the pattern, its ends at ends of words and ASCII letters in either case.
    Words(Pattern),
}

impl Expression {
    /// Returns the conjunction of these, without redundant levels.
    pub(super) fn all(expressions: Vec<Expression>) -> Expression {
        let operands = expressions.into_iter().flat_map(|expression| match expression {
            Expression::All(inner) => inner,
            other => vec![other],
        });
        single_or(operands.collect(), Expression::All)
    }

    /// Returns the disjunction of these, without redundant levels.
    pub(super) fn any(expressions: Vec<Expression>) -> Expression {
        let operands = expressions.into_iter().flat_map(|expression| match expression {
            Expression::Any(inner) => inner,
            other => vec![other],
        });
        single_or(operands.collect(), Expression::Any)
    }

    /// Returns the negation; a double negation returns the inner expression.
    pub(super) fn not(expression: Expression) -> Expression {
        match expression {
            Expression::Not(inner) => *inner,
            other => Expression::Not(Box::new(other)),
        }
    }
}

fn single_or(mut operands: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    if operands.len() == 1 { operands.swap_remove(0) } else { join(operands) }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::All(inner) if inner.is_empty() => formatter.write_char('*'),
            Expression::All(inner) => write_joined(formatter, inner, " "),
            Expression::Any(inner) => write_joined(formatter, inner, " OR "),
            Expression::Not(inner) => write!(formatter, "-{inner}"),
            Expression::Term(term) => term.fmt(formatter),
        }
    }
}

fn write_joined(formatter: &mut fmt::Formatter<'_>, inner: &[Expression], separator: &str) -> fmt::Result {
    formatter.write_char('(')?;
    for (index, expression) in inner.iter().enumerate() {
        formatter.write_str(if index == 0 { "" } else { separator })?;
        expression.fmt(formatter)?;
    }
    formatter.write_char(')')
}

impl fmt::Display for Term {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = &self.field;
        match &self.test {
            Test::Present => write!(formatter, "{field}:*"),
            Test::Range(range) => self.write_range(formatter, *range),
            Test::Equal(text) => {
                write!(formatter, "{field}:")?;
                write_quoted(formatter, text)
            }
            Test::Inequality(order, text) => {
                write!(formatter, "{field}{}", order.symbol())?;
                write_quoted(formatter, text)
            }
            Test::Fits(pattern) | Test::Words(pattern) => {
                // `::` and `://` are not operators, so `=` precedes such a value.
                let is_taken_wrong = pattern.text.starts_with(':') || pattern.text.starts_with("//");
                write!(formatter, "{field}{}{pattern}", if is_taken_wrong { '=' } else { ':' })
            }
        }
    }
}

impl Term {
    fn write_range(&self, formatter: &mut fmt::Formatter<'_>, range: IntegerRange) -> fmt::Result {
        let field = &self.field;
        let value = |number| match field {
            Field::Column(Column::Time) => format!("\"{}\"", time::format(number)),
            _ => number.to_string(),
        };
        match (range.lower(), range.upper()) {
            (Some(first), Some(last)) if first == last => write!(formatter, "{field}:{}", value(first)),
            (Some(first), Some(last)) => {
                write!(formatter, "({field}>={} {field}<={})", value(first), value(last))
            }
            (Some(first), None) => write!(formatter, "{field}>={}", value(first)),
            (None, Some(last)) => write!(formatter, "{field}<={}", value(last)),
            (None, None) => write!(formatter, "{field}:*"),
        }
    }
}
