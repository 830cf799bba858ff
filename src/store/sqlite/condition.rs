//! Compiles queries to conditions of SQLite, over the rows of one generation.
//!
//! An absent field is NULL; only `id`, `timestamp` and `severity` are never NULL. A condition on
//! the columns of one dictionary alone becomes a list of the numbers that fulfil it, created once,
//! and each row costs one lookup in the list; rows that have the columns themselves are tested one
//! by one. Words and attributes are tested by functions of this program, see
//! [`super::functions::register`]. Among terms that must all hold, the cheap ones come first.

use rusqlite::ToSql;
use rusqlite::types::ToSqlOutput;

use super::columns::{self, Reference, Storage};
use super::dictionary::{NUMBER_BITS, first_row_of};
use super::row::packed_hexadecimal;
use crate::query::{Expression, Field, IntegerRange, Query, Term, Test};
use crate::record::Column;
use crate::store::sql::{Condition, Connective, SqlParameter};

/// Returns the condition that the records of a query fulfil, for a statement that reads `record AS
/// r` within one generation, on a connection with the functions of [`super::functions::register`].
pub fn condition(query: &Query, generation: u64) -> Condition {
    let compiler = Compiler { generation };
    compiler.on_record(compiler.part(query.expression())).1
}

/// A compiled expression, by the ways in which it can be combined.
enum Part {
    /// A condition on the columns of one dictionary alone.
    Named(Reference, NamedCondition),
    /// Patterns that the message must contain, all of them.
    Words(Vec<SqlParameter>),
    /// A condition on the record, with its cost.
    Record(Cost, Condition),
}

/// A condition on columns that either a dictionary or the row has.
struct NamedCondition {
    in_dictionary: Condition,
    in_row: Condition,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    Number,
    Named,
    Text,
    Words,
    Attribute,
    Nested,
}

impl NamedCondition {
    fn new(reference: Reference, name: &str, test: &Test) -> NamedCondition {
        NamedCondition {
            in_dictionary: column_condition(&format!("{}.{name}", reference.table()), test),
            in_row: column_condition(&columns::in_row(reference, name), test),
        }
    }

    fn negated(self) -> NamedCondition {
        NamedCondition { in_dictionary: self.in_dictionary.negated(), in_row: self.in_row.negated() }
    }

    fn joined(conditions: Vec<NamedCondition>, connective: Connective) -> NamedCondition {
        let both = conditions.into_iter().map(|condition| (condition.in_dictionary, condition.in_row));
        let (in_dictionary, in_row) = both.unzip();
        NamedCondition {
            in_dictionary: Condition::joined(in_dictionary, connective),
            in_row: Condition::joined(in_row, connective),
        }
    }
}

struct Compiler {
    generation: u64,
}

impl Compiler {
    fn on_record(&self, part: Part) -> (Cost, Condition) {
        match part {
            Part::Named(reference, condition) => (Cost::Named, self.named(reference, condition)),
            Part::Words(patterns) => {
                let sql = format!("matches_words(r.message{})", ", ?".repeat(patterns.len()));
                (Cost::Words, Condition::new(sql, patterns))
            }
            Part::Record(cost, condition) => (cost, condition),
        }
    }

    fn named(&self, reference: Reference, condition: NamedCondition) -> Condition {
        let NamedCondition { in_dictionary, in_row } = condition;
        let (table, number) = (reference.table(), reference.number());
        let first = first_row_of(self.generation);
        let last = first + ((1 << NUMBER_BITS) - 1);
        let sql = format!(
            "CASE WHEN {} THEN {number} IN (SELECT {table}.id - {first} FROM {table} \
             WHERE {table}.id BETWEEN {first} AND {last} AND {}) ELSE ({}) IS TRUE END",
            reference.is_used(),
            in_dictionary.sql,
            in_row.sql
        );
        Condition::new(sql, [in_dictionary.parameters, in_row.parameters].concat())
    }

    /// Compiles an expression. Recurses as deep as the parser allows parentheses to nest.
    fn part(&self, expression: &Expression) -> Part {
        match expression {
            Expression::All(inner) => self.joined(inner, Connective::And),
            Expression::Any(inner) => self.joined(inner, Connective::Or),
            Expression::Not(inner) => match self.part(inner) {
                Part::Named(reference, condition) => Part::Named(reference, condition.negated()),
                other => {
                    let (cost, condition) = self.on_record(other);
                    Part::Record(cost, condition.negated())
                }
            },
            Expression::Term(term) => term_part(term),
        }
    }

    /// Combines conditions on one dictionary into one list, and words that must all occur into one
    /// call.
    fn joined(&self, expressions: &[Expression], connective: Connective) -> Part {
        let mut named: Vec<(Reference, Vec<NamedCondition>)> = Vec::new();
        let (mut words, mut record) = (Vec::new(), Vec::new());
        for expression in expressions {
            match self.part(expression) {
                Part::Named(reference, condition) => {
                    match named.iter_mut().find(|(own, _)| *own == reference) {
                        Some((_, conditions)) => conditions.push(condition),
                        None => named.push((reference, vec![condition])),
                    }
                }
                Part::Words(patterns) if connective == Connective::And => words.extend(patterns),
                other => record.push(self.on_record(other)),
            }
        }
        let mut parts: Vec<Part> = named
            .into_iter()
            .map(|(reference, conditions)| {
                Part::Named(reference, NamedCondition::joined(conditions, connective))
            })
            .collect();
        if !words.is_empty() {
            parts.push(Part::Words(words));
        }
        match parts.pop() {
            Some(only) if parts.is_empty() && record.is_empty() => return only,
            last => parts.extend(last),
        }
        record.extend(parts.into_iter().map(|part| self.on_record(part)));
        record.sort_by_key(|(cost, _)| *cost);
        let conditions = record.into_iter().map(|(_, condition)| condition).collect();
        Part::Record(Cost::Nested, Condition::joined(conditions, connective))
    }
}

fn term_part(term: &Term) -> Part {
    let column = match &term.field {
        Field::Column(column) => *column,
        Field::Attribute(name) => {
            return Part::Record(Cost::Attribute, attribute_condition(name, &term.test));
        }
    };
    match (columns::storage(column), column, &term.test) {
        (_, Column::Message, Test::Words(pattern)) => {
            Part::Words(vec![SqlParameter::Text(pattern.encoded())])
        }
        (Storage::Value(name), Column::Severity, test) => {
            Part::Record(Cost::Text, severity_condition(&name, test))
        }
        (Storage::Number(name), _, test) => Part::Record(Cost::Number, number_condition(column, &name, test)),
        (Storage::Value(name), _, test) => Part::Record(Cost::Text, value_condition(&name, test)),
        (Storage::Hexadecimal(name), _, test) => Part::Record(Cost::Text, hexadecimal_condition(name, test)),
        (Storage::Named(reference, name), _, test) => {
            Part::Named(reference, NamedCondition::new(reference, name, test))
        }
    }
}

fn severity_condition(name: &str, test: &Test) -> Condition {
    match test {
        Test::Present => Condition::new("(r.severity > 0 OR r.severity_text IS NOT NULL)", Vec::new()),
        Test::Equal(text) => Condition::new(
            format!("(({name} = ? COLLATE NOCASE) IS TRUE)"),
            vec![SqlParameter::Text(text.clone())],
        ),
        test => {
            let condition = column_condition(name, test);
            Condition::new(format!("(({}) IS TRUE)", condition.sql), condition.parameters)
        }
    }
}

fn hexadecimal_condition(name: &str, test: &Test) -> Condition {
    match test {
        Test::Present => column_condition(name, test),
        Test::Equal(text) => {
            if packed_hexadecimal(text, &mut [0; 16]).is_none() {
                return value_condition(name, test);
            }
            let text = SqlParameter::Text(text.clone());
            // Rows of an earlier version have the text.
            let sql = format!("({name} IS NOT NULL AND {name} IN (unhex(?), ?))");
            Condition::new(sql, vec![text.clone(), text])
        }
        test => value_condition(&columns::hexadecimal(name), test),
    }
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
fn value_condition(name: &str, test: &Test) -> Condition {
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
