//! Compiles queries to conditions of SQLite, over the tables of the store.
//!
//! ```text
//! record AS r (id, timestamp, severity_number, origin_id, message, trace_id, span_id, event_name,
//!              attributes)
//! origin      (id, severity_text, service, logger, host, file, line, function, process_id, thread)
//! ```
//!
//! An absent field is NULL; only `id`, `timestamp`, `severity_number` (0 if absent) and `origin_id`
//! are never NULL. There are few origins: a condition on the origin alone becomes one list of
//! origin ids, created once, and each record costs one lookup in the list. Words and attributes are
//! tested by functions of this program, see [`super::functions::register`]. Among terms that must
//! all hold, the cheap ones come first.

use rusqlite::ToSql;
use rusqlite::types::ToSqlOutput;

use crate::query::{Expression, Field, IntegerRange, Query, Term, Test};
use crate::record::Column;
use crate::store::sql::{Condition, Connective, SqlParameter};

/// Returns the condition that the records of a query fulfil, for a statement whose `FROM` names
/// `record AS r`, on a connection with the functions of [`super::functions::register`].
pub fn condition(query: &Query) -> Condition {
    part(query.expression()).into_record().1
}

/// A compiled expression, by the ways in which it can be combined.
enum Part {
    /// A condition on the table `origin` alone.
    Origin(Condition),
    /// Patterns that the message must contain, all of them.
    Words(Vec<SqlParameter>),
    /// A condition on the record, with its cost.
    Record(Cost, Condition),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    Number,
    Origin,
    Text,
    Words,
    Attribute,
    Nested,
}

impl Part {
    fn into_record(self) -> (Cost, Condition) {
        match self {
            Part::Origin(condition) => (Cost::Origin, of_origin(condition)),
            Part::Words(patterns) => {
                let sql = format!("matches_words(r.message{})", ", ?".repeat(patterns.len()));
                (Cost::Words, Condition::new(sql, patterns))
            }
            Part::Record(cost, condition) => (cost, condition),
        }
    }
}

fn of_origin(condition: Condition) -> Condition {
    let sql = format!("r.origin_id IN (SELECT origin.id FROM origin WHERE {})", condition.sql);
    Condition::new(sql, condition.parameters)
}

/// Compiles an expression. Recurses as deep as the parser allows parentheses to nest.
fn part(expression: &Expression) -> Part {
    match expression {
        Expression::All(inner) => joined(inner, Connective::And),
        Expression::Any(inner) => joined(inner, Connective::Or),
        Expression::Not(inner) => match part(inner) {
            Part::Origin(condition) => Part::Origin(condition.negated()),
            other => {
                let (cost, condition) = other.into_record();
                Part::Record(cost, condition.negated())
            }
        },
        Expression::Term(term) => term_part(term),
    }
}

/// Combines conditions on the origin into one list, and words that must all occur into one call.
fn joined(expressions: &[Expression], connective: Connective) -> Part {
    let (mut origin, mut words, mut record) = (Vec::new(), Vec::new(), Vec::new());
    for expression in expressions {
        match part(expression) {
            Part::Origin(condition) => origin.push(condition),
            Part::Words(patterns) if connective == Connective::And => words.extend(patterns),
            other => record.push(other.into_record()),
        }
    }
    if record.is_empty() && words.is_empty() && !origin.is_empty() {
        return Part::Origin(Condition::joined(origin, connective));
    }
    if record.is_empty() && origin.is_empty() && !words.is_empty() {
        return Part::Words(words);
    }
    if !origin.is_empty() {
        record.push(Part::Origin(Condition::joined(origin, connective)).into_record());
    }
    if !words.is_empty() {
        record.push(Part::Words(words).into_record());
    }
    record.sort_by_key(|(cost, _)| *cost);
    let conditions = record.into_iter().map(|(_, condition)| condition).collect();
    Part::Record(Cost::Nested, Condition::joined(conditions, connective))
}

fn term_part(term: &Term) -> Part {
    let column = match &term.field {
        Field::Column(column) => *column,
        Field::Attribute(name) => {
            return Part::Record(Cost::Attribute, attribute_condition(name, &term.test));
        }
    };
    match (place(column), column, &term.test) {
        (_, Column::Message, Test::Words(pattern)) => {
            Part::Words(vec![SqlParameter::Text(pattern.encoded())])
        }
        (_, Column::Severity, Test::Present) => Part::Record(Cost::Origin, severity_is_present()),
        (Place::Origin(name), Column::Severity, Test::Equal(text)) => Part::Origin(Condition::new(
            format!("{name} = ? COLLATE NOCASE"),
            vec![SqlParameter::Text(text.clone())],
        )),
        (Place::Origin(name), _, test) => Part::Origin(column_condition(name, test)),
        (Place::Number(name), _, test) => Part::Record(Cost::Number, number_condition(column, name, test)),
        (Place::Text(name), _, test) => Part::Record(Cost::Text, text_condition(name, test)),
    }
}

/// Where a column is stored.
enum Place {
    /// In `origin`.
    Origin(&'static str),
    /// In `record`, as a number that is never NULL.
    Number(&'static str),
    /// In `record`, as a text that may be NULL.
    Text(&'static str),
}

fn place(column: Column) -> Place {
    match column {
        Column::Id => Place::Number("r.id"),
        Column::Time => Place::Number("r.timestamp"),
        Column::SeverityNumber => Place::Number("r.severity_number"),
        Column::Message => Place::Text("r.message"),
        Column::TraceId => Place::Text("r.trace_id"),
        Column::SpanId => Place::Text("r.span_id"),
        Column::EventName => Place::Text("r.event_name"),
        Column::Severity => Place::Origin("origin.severity_text"),
        Column::Service => Place::Origin("origin.service"),
        Column::Logger => Place::Origin("origin.logger"),
        Column::Host => Place::Origin("origin.host"),
        Column::File => Place::Origin("origin.file"),
        Column::Line => Place::Origin("origin.line"),
        Column::Function => Place::Origin("origin.function"),
        Column::ProcessId => Place::Origin("origin.process_id"),
        Column::Thread => Place::Origin("origin.thread"),
    }
}

fn severity_is_present() -> Condition {
    let text = of_origin(column_condition("origin.severity_text", &Test::Present));
    let number = Condition::new("r.severity_number > 0", Vec::new());
    Condition::joined(vec![number, text], Connective::Or)
}

fn number_condition(column: Column, name: &str, test: &Test) -> Condition {
    match test {
        Test::Present if column == Column::SeverityNumber => {
            Condition::new(format!("{name} > 0"), Vec::new())
        }
        Test::Present => Condition::always(),
        test => column_condition(name, test),
    }
}

/// Compiles the test of a column of `record` that may be NULL, into a condition that is never NULL.
fn text_condition(name: &str, test: &Test) -> Condition {
    let condition = column_condition(name, test);
    match test {
        Test::Equal(_) | Test::Inequality(..) | Test::Range(_) => {
            Condition::new(format!("({name} IS NOT NULL AND {})", condition.sql), condition.parameters)
        }
        Test::Present | Test::Fits(_) | Test::Words(_) => condition,
    }
}

/// Compiles the test of a column; the condition is NULL where the column is NULL.
fn column_condition(name: &str, test: &Test) -> Condition {
    let text = |text: &str| vec![SqlParameter::Text(text.to_owned())];
    match test {
        Test::Present => Condition::new(format!("{name} IS NOT NULL"), Vec::new()),
        Test::Range(range) => range_condition(name, *range),
        Test::Equal(value) => Condition::new(format!("{name} = ?"), text(value)),
        Test::Inequality(order, value) => Condition::new(format!("{name} {} ?", order.symbol()), text(value)),
        Test::Fits(pattern) => Condition::new(format!("matches_text({name}, ?)"), text(&pattern.encoded())),
        Test::Words(pattern) => Condition::new(format!("matches_words({name}, ?)"), text(&pattern.encoded())),
    }
}

fn range_condition(name: &str, range: IntegerRange) -> Condition {
    if range.is_empty() {
        return Condition::never();
    }
    let integers = |numbers: &[i64]| numbers.iter().copied().map(SqlParameter::Integer).collect();
    match (range.lower(), range.upper()) {
        (Some(first), Some(last)) if first == last => {
            Condition::new(format!("{name} = ?"), integers(&[first]))
        }
        (Some(first), Some(last)) => {
            Condition::new(format!("{name} BETWEEN ? AND ?"), integers(&[first, last]))
        }
        (Some(first), None) => Condition::new(format!("{name} >= ?"), integers(&[first])),
        (None, Some(last)) => Condition::new(format!("{name} <= ?"), integers(&[last])),
        (None, None) => Condition::new(format!("{name} IS NOT NULL"), Vec::new()),
    }
}

fn attribute_condition(name: &str, test: &Test) -> Condition {
    let (operator, value) = match test {
        Test::Equal(text) => ("=", text.clone()),
        Test::Inequality(order, text) => (order.symbol(), text.clone()),
        Test::Fits(pattern) | Test::Words(pattern) => ("*", pattern.encoded()),
        Test::Present => ("", String::new()),
        Test::Range(_) => return Condition::never(), // the parser creates no ranges for attributes
    };
    let parameters = vec![SqlParameter::Text(name.to_owned()), SqlParameter::Text(value)];
    Condition::new(format!("attribute_matches(r.attributes, ?, '{operator}', ?)"), parameters)
}

impl ToSql for SqlParameter {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            SqlParameter::Text(text) => text.to_sql(),
            SqlParameter::Integer(number) | SqlParameter::Time(number) => number.to_sql(),
        }
    }
}
