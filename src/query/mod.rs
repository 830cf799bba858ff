//! The query language: parses a text into an expression tree, and evaluates the tree on records.
//!
//! ```text
//! service:billing level>=warn "connection refused" -logger:health user_id>1000
//! ```
//!
//! # Grammar
//!
//! ```text
//! query      = [ any ]                            an empty query, like `*`, matches every record
//! any        = all { "OR" all }
//! all        = operand { [ "AND" ] operand }      binds closer than OR
//! operand    = { "-" | "NOT" } ( term | "(" any ")" )
//! term       = text | field operator text | field equality "(" any of bare texts ")"
//! equality   = ":" | "=" | "!="
//! operator   = equality | "<" | "<=" | ">" | ">="
//! text       = quoted | word
//! field      = quoted | name
//! name       = letters, digits and "_.-/@$"; begins with a letter, "_" or "@",
//!              ends with a letter, digit or "_"
//! quoted     = a text between `"`, in which `\"` stands for `"` and `\\` for `\`
//! word       = anything up to a space, a parenthesis or a `"`
//! ```
//!
//! `OR`, `AND` and `NOT` are written in capitals. `::` and `://` are not operators, so `app::views`
//! and `https://host/` are words; a text that begins with a digit is also a word (`10.0.0.1:80`,
//! `12:30:00`). An unquoted value may not begin with `<`, `>` or `=`. Quotes remove the special
//! meaning of the characters between them; they do not change how a value is compared.
//!
//! # Semantics
//!
//! - A text without a field searches the message. It matches where no word continues across either
//!   of its ends; a word consists of letters, digits and `_`, as defined by Unicode. Therefore
//!   `fail` does not find `failed`. ASCII letters match in either case, all other letters only
//!   themselves. A `*` at an end of an unquoted word allows the word to continue there. `message:x`
//!   is `x`.
//! - An absent field (an empty text, the number 0) fulfils no test: neither `x:1` nor `x<1`
//!   matches, but `-x:1` does. `x:*` matches if the field is present.
//! - Text columns are compared for equality byte by byte; `*` at an end of an unquoted value stands
//!   for any text; `<` and `>` order by bytes.
//! - `id`, `line`, `process_id` and `severity_number` are whole numbers.
//! - `severity` accepts every word of [`severity::range_of_text`] for the range of numbers that the
//!   word stands for (`level:warn` is 13 to 16, `level>warn` is from 17), and numbers. Any other
//!   word is compared with the severity text of the sender, ASCII letters in either case.
//! - `time` accepts what [`time::parse`] accepts. A date stands for its whole day in UTC
//!   (`time:2026-11-21`, `time<=2026-11-21`); anything else is an instant.
//! - Any other name is an attribute, and so is the part of a name after `attributes.`. The
//!   attribute is the member of exactly that name, else the member found by using the dots as steps
//!   into nested objects. Of equal names the last counts. The text of an attribute is the content
//!   of a string, a number as written, `true`, `false` or `null`. Lists and objects have no text,
//!   so only `x:*` matches them. `x:v` compares the texts or, if both are numbers, their values (17
//!   equals 17.0). If `v` is a number, `x>v` compares it with numbers and with strings that contain
//!   a number, and with nothing else. If `v` is not a number, `x>v` orders texts by bytes. A number
//!   is a JSON number, compared as `i64` if both fit, else as `f64`.
//!
//! Each store translates the tree into a condition of its database. [`Query::matches`] evaluates a
//! query on a record. [`Field::value`] returns the value of a field. Nothing here does I/O or names
//! a database.
//!
//! [`severity::range_of_text`]: crate::record::severity::range_of_text

mod ast;
pub(crate) mod attribute;
mod error;
mod evaluate;
mod field;
mod lexer;
mod order;
mod parser;
mod range;
mod term;
pub mod time;
pub mod tokens;
mod value;
mod words;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

pub use ast::{Expression, Term, Test};
pub use error::{QueryError, QueryProblem};
pub use field::Field;
pub use order::Inequality;
pub use range::IntegerRange;
pub use value::{FieldValue, JsonKind, attributes};
pub(crate) use words::EncodedPattern;
pub use words::Pattern;

use crate::record::{Column, ColumnSet, RecordId, RecordRef};

/// A parsed query.
///
/// Its display is a query of the same meaning, with every default written out. That query may
/// exceed the limits on terms, parentheses or bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    expression: Expression,
}

impl Query {
    /// Parses a query; see the module for the grammar. Times like `1h` count back from `now`, in ns
    /// since the Unix epoch.
    pub fn parse(text: &str, now: i64) -> Result<Query, QueryError> {
        Ok(Query { expression: parser::parse(text, now)? })
    }

    /// Returns the query that matches every record.
    pub fn all() -> Query {
        Query { expression: Expression::All(Vec::new()) }
    }

    /// Returns the query that matches where a column equals this text or, if the text is empty,
    /// where the column is absent.
    pub fn of_column(column: Column, text: &str) -> Query {
        let term = |test| Expression::Term(Term { field: Field::Column(column), test });
        let expression = match text {
            "" => Expression::not(term(Test::Present)),
            text => term(Test::Equal(text.to_owned())),
        };
        Query { expression }
    }

    /// Returns the query that matches where both queries match.
    pub fn and(self, other: Query) -> Query {
        Query { expression: Expression::all(vec![self.expression, other.expression]) }
    }

    /// Returns everything that [`Query::matches`] reads.
    pub fn fields(&self) -> ColumnSet {
        fields(&self.expression)
    }

    /// Returns the tree, no deeper than three times [`crate::limits::QUERY_DEPTH_MAX`].
    pub fn expression(&self) -> &Expression {
        &self.expression
    }

    /// Returns true if a record matches, with the same result as a database.
    pub fn matches(&self, id: RecordId, record: &RecordRef<'_>) -> bool {
        evaluate::holds(&self.expression, id, record)
    }

    /// Returns true if the query reads no field except these columns.
    pub fn asks_only_for(&self, columns: &[Column]) -> bool {
        let columns = columns.iter().map(|column| ColumnSet::of_column(*column));
        columns.fold(ColumnSet::NONE, ColumnSet::and).has(self.fields())
    }

    /// Returns the smallest and the largest id that a match can have, as far as terms that every
    /// match fulfils limit the id. The smallest may be above the largest: then nothing matches.
    pub fn id_bounds(&self) -> (Option<u64>, Option<u64>) {
        let bounds = self.bounds(Column::Id);
        let id = |bound: i64| bound.max(0).cast_unsigned();
        (bounds.lower().map(id), bounds.upper().map(id))
    }

    /// Returns the earliest and the latest time that a match can have, in ns since the Unix epoch.
    pub fn time_bounds(&self) -> (Option<i64>, Option<i64>) {
        let bounds = self.bounds(Column::Time);
        (bounds.lower(), bounds.upper())
    }

    fn bounds(&self, column: Column) -> IntegerRange {
        let terms = match &self.expression {
            Expression::All(terms) => terms,
            other => std::slice::from_ref(other),
        };
        let ranges = terms.iter().filter_map(|term| match term {
            Expression::Term(Term { field: Field::Column(own), test: Test::Range(range) })
                if *own == column =>
            {
                Some(*range)
            }
            _ => None,
        });
        ranges.fold(IntegerRange::EVERYTHING, IntegerRange::intersection)
    }
}

fn fields(expression: &Expression) -> ColumnSet {
    match expression {
        Expression::All(inner) | Expression::Any(inner) => {
            inner.iter().map(fields).fold(ColumnSet::NONE, ColumnSet::and)
        }
        Expression::Not(inner) => fields(inner),
        Expression::Term(term) => term.field.column_set(),
    }
}

impl fmt::Display for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt(formatter)
    }
}
