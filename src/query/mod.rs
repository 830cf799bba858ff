//! The query language: a text becomes one tree, and the tree becomes a condition of a database.
//!
//! ```text
//! service:billing level>=warn "connection refused" -logger:health user_id>1000
//! ```
//!
//! # Form
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
//! field      = quoted | letters, digits and "_.-/@$", from a letter, "_" or "@" to a letter, digit or "_"
//! quoted     = a text between `"`, in which `\"` stands for `"` and `\\` for `\`
//! word       = anything up to a space, a parenthesis or a `"`
//! ```
//!
//! `OR`, `AND` and `NOT` are written in capitals. `::` and `://` are no operators, so `app::views` and
//! `https://host/` are words, and so is what starts with a digit (`10.0.0.1:80`, `12:30:00`). An unquoted value
//! may not start with `<`, `>` or `=`. Quotes keep the characters between them from meaning anything else; they do
//! not change how a value is compared.
//!
//! # Meaning
//!
//! - A text without a field searches the message. It is found where it stands with no letter, digit or `_` (as
//!   Unicode has them) going on at either end; so `fail` does not find `failed`. ASCII letters match in either case,
//!   all others only themselves. A `*` at an end of an unquoted word lets the word go on there. `message:x` is `x`.
//! - A field that is absent (an empty text, the number 0) matches nothing: neither `x:1` nor `x<1`, but `-x:1`.
//!   `x:*` matches where it is present.
//! - Text columns are equal byte by byte; `*` at an end of an unquoted value stands for any text; `<` and `>` order
//!   by bytes.
//! - `id`, `line`, `process_id` and `severity_number` are whole numbers.
//! - `severity` knows every word of [`severity::range_of_text`] as the range of numbers that it stands for
//!   (`level:warn` is 13 to 16, `level>warn` is from 17), and numbers; any other word is compared with the sender's
//!   own, ASCII letters in either case.
//! - `time` takes what [`time::parse`] takes. A date stands for its whole day in UTC (`time:2026-11-21`,
//!   `time<=2026-11-21`); anything else is an instant.
//! - Any other name is an attribute, and so is what follows `attributes.`. It is the member of that very name, else
//!   the one found by taking its dots as steps into nested objects; of equal names the last counts.
//!   Its text is a string's content, a number as written, `true`, `false` or `null`; lists and objects have none, so
//!   that only `x:*` matches them.
//!   `x:v` compares that text; where both are numbers, their values (17 is 17.0). `x>v` compares numbers when `v` is
//!   one, with numbers and with strings that read as one, and nothing else; when `v` is none it orders texts by bytes.
//!   A number is one of JSON's, compared as `i64` where both fit, else as `f64`.
//!
//! Each store translates the tree into a condition of its database. [`Query::matches`] evaluates a
//! query on a record. [`Field::value`] returns the value of a field. Nothing here does I/O or knows a
//! database.
//!
//! [`severity::range_of_text`]: crate::record::severity::range_of_text

mod ast;
pub(crate) mod attribute;
mod error;
mod evaluate;
mod field;
mod lexer;
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

pub use ast::{Expression, Order, Term, Test};
pub use error::{Problem, QueryError};
pub use field::Field;
pub use range::Range;
pub use value::{Kind, Value, attributes};
pub(crate) use words::EncodedPattern;
pub use words::Pattern;

use crate::record::{Column, ColumnSet, RecordId, RecordRef};

/// A parsed query.
///
/// It displays as a query of the same meaning, with every default written out: which may take more terms, parentheses or
/// bytes than are allowed in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    expression: Expression,
}

impl Query {
    /// Parses a query; see the module for its form. Times like `1h` count back from `now`, ns since the Unix epoch.
    pub fn parse(text: &str, now: i64) -> Result<Query, QueryError> {
        Ok(Query { expression: parser::parse(text, now)? })
    }

    /// What holds for every record.
    pub fn all() -> Query {
        Query { expression: Expression::All(Vec::new()) }
    }

    /// What holds where a column is this text, or, with an empty one, where it is absent.
    pub fn of_column(column: Column, text: &str) -> Query {
        let term = |test| Expression::Term(Term { field: Field::Column(column), test });
        let expression = match text {
            "" => Expression::not(term(Test::Present)),
            text => term(Test::Equal(text.to_owned())),
        };
        Query { expression }
    }

    /// What holds where both do.
    pub fn and(self, other: Query) -> Query {
        Query { expression: Expression::all(vec![self.expression, other.expression]) }
    }

    /// All that [`Query::matches`] looks at.
    pub fn fields(&self) -> ColumnSet {
        fields(&self.expression)
    }

    /// The tree, no deeper than three times [`crate::limits::QUERY_DEPTH_MAX`].
    pub fn expression(&self) -> &Expression {
        &self.expression
    }

    /// Whether a record matches: the same answer as that of a database.
    pub fn matches(&self, id: RecordId, record: &RecordRef<'_>) -> bool {
        evaluate::holds(&self.expression, id, record)
    }

    /// Whether no field but these can make a difference.
    pub fn asks_only_for(&self, columns: &[Column]) -> bool {
        self.expression.asks_only_for(columns)
    }

    /// The smallest and the largest id that a match can have, as far as terms that all matches obey tell. The
    /// smallest may be above the largest: then nothing matches.
    pub fn id_bounds(&self) -> (Option<u64>, Option<u64>) {
        let bounds = self.bounds(Column::Id);
        let id = |bound: i64| bound.max(0).cast_unsigned();
        (bounds.lower().map(id), bounds.upper().map(id))
    }

    /// The same for the time, in ns since the Unix epoch.
    pub fn time_bounds(&self) -> (Option<i64>, Option<i64>) {
        let bounds = self.bounds(Column::Time);
        (bounds.lower(), bounds.upper())
    }

    fn bounds(&self, column: Column) -> Range {
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
        ranges.fold(Range::EVERYTHING, Range::intersection)
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
