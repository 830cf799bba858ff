//! Errors in a query, described for the person who wrote it.

use std::fmt;
use std::ops;

use unicode_width::UnicodeWidthStr;

use crate::limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_TERMS_MAX};

/// Why a query is invalid, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// The bytes of the query that the error is about; always whole characters.
    pub range: ops::Range<usize>,
    /// What is wrong with these bytes.
    pub problem: QueryProblem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum QueryProblem {
    #[error("the query is {0} bytes long, {QUERY_BYTES_MAX} are allowed")]
    TooLong(usize),
    #[error("the query has more than {QUERY_TERMS_MAX} terms")]
    TooManyTerms,
    #[error("more than {QUERY_DEPTH_MAX} parentheses are open at once")]
    TooDeep,
    #[error("the quote is not closed")]
    UnclosedQuote,
    #[error("the parenthesis is not closed")]
    UnclosedParenthesis,
    #[error("nothing opens this parenthesis")]
    UnopenedParenthesis,
    #[error("there is nothing in the parentheses")]
    EmptyParentheses,
    #[error("`{0}` has nothing on its left")]
    MissingLeft(&'static str),
    #[error("`{0}` has nothing on its right")]
    MissingRight(&'static str),
    #[error("there is no field name on the left")]
    MissingName,
    #[error("the field has no value")]
    MissingValue,
    #[error("an unquoted value cannot start with `<`, `>` or `=`")]
    OperatorInValue,
    #[error("there is no text to look for")]
    EmptyText,
    #[error("an empty `{0}` is not stored, so that nothing can equal it")]
    EmptyColumn(&'static str),
    #[error("a `{0}` of 0 means that there is none, so that nothing can equal it")]
    ZeroColumn(&'static str),
    #[error("`*` stands only at the ends of a value")]
    InnerStar,
    #[error("`{0}` cannot be looked up by a part of it")]
    StarInExactColumn(&'static str),
    #[error("`{0}` is compared with whole numbers from 0")]
    NotANumber(&'static str),
    #[error("this is not a time")]
    NotATime,
    #[error("this is not a severity that has an order")]
    UnknownSeverity,
    #[error("a value with `*` has no order")]
    StarHasNoOrder,
    #[error("the message has no order")]
    MessageHasNoOrder,
    #[error("parentheses follow only `:`, `=` or `!=`")]
    GroupHasNoOrder,
    #[error("the parentheses after a field hold values, not other fields")]
    FieldInGroup,
}

impl QueryProblem {
    /// Returns what to do about the problem.
    pub fn hint(&self) -> String {
        match self {
            QueryProblem::TooLong(_) | QueryProblem::TooManyTerms => {
                "ask for less at once, in several queries".into()
            }
            QueryProblem::TooDeep => "leave out parentheses that change nothing".into(),
            QueryProblem::UnclosedQuote => "add a `\"`; inside quotes, `\\\"` stands for a quote".into(),
            QueryProblem::UnclosedParenthesis => "add a `)`, or quote the text that it belongs to".into(),
            QueryProblem::UnopenedParenthesis => "leave it out, or quote the text that it belongs to".into(),
            QueryProblem::EmptyParentheses => "leave them out, or quote the text, as in \"main()\"".into(),
            QueryProblem::MissingLeft(word) | QueryProblem::MissingRight(word) => {
                format!("to search for the text itself, quote it: \"{word}\"")
            }
            QueryProblem::MissingName => "write `field>value`, or quote the text to search for it".into(),
            QueryProblem::MissingValue => {
                "put the value right after it, without a space; `field:*` finds every value, \
                 and quotes around the whole search for it as a text"
                    .into()
            }
            QueryProblem::OperatorInValue => {
                "write `field>value` to compare, or quote the value: `function:\"<module>\"`".into()
            }
            QueryProblem::EmptyText => "write the word between the quotes, or leave it out".into(),
            QueryProblem::EmptyColumn(name) | QueryProblem::ZeroColumn(name) => {
                format!("`-{name}:*` finds records without one")
            }
            QueryProblem::InnerStar => "quote the value to look for the star itself".into(),
            QueryProblem::StarInExactColumn("severity") => {
                "write a word or a number, as in `level>=warn`".into()
            }
            QueryProblem::StarInExactColumn("time") => {
                "write a range, as in `time>=2026-11-21 time<2026-11-22`".into()
            }
            QueryProblem::StarInExactColumn(name) => format!("write a range, as in `{name}>=10 {name}<20`"),
            QueryProblem::NotANumber(name) => format!("write it like `{name}:17` or `{name}>=17`"),
            QueryProblem::NotATime => super::time::FORMS.into(),
            QueryProblem::UnknownSeverity => {
                "known are trace, debug, info, notice, warn, error, alert, fatal and their other spellings, \
                 and the numbers 1 to 24"
                    .into()
            }
            QueryProblem::StarHasNoOrder => "leave out the `*`, or quote the value".into(),
            QueryProblem::MessageHasNoOrder => "search it for words: `message:word` or just `word`".into(),
            QueryProblem::GroupHasNoOrder => "repeat the field: `(line>10 OR line>20)`".into(),
            QueryProblem::FieldInGroup => "quote the value, or write the fields one by one".into(),
        }
    }
}

impl QueryError {
    pub(super) fn new(range: ops::Range<usize>, problem: QueryProblem) -> QueryError {
        QueryError { range, problem }
    }

    /// Returns the query and, below it, a line of `^` under the part that the error is about, as a
    /// terminal shows them.
    pub fn render(&self, query: &str) -> String {
        let shown =
            |text: &str| -> String { text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect() };
        let cells = |range| shown(query.get(range).unwrap_or("")).width();
        let before = " ".repeat(cells(0..self.range.start));
        let marks = "^".repeat(cells(self.range.clone()).max(1));
        let shown = shown(query);
        format!("{shown}\n{before}{marks}")
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (at byte {})", self.problem, self.range.start)
    }
}

impl std::error::Error for QueryError {}
