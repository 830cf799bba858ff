//! Splits a query into tokens; the grammar is in the documentation of the parent module.

use std::fmt::{self, Write};
use std::ops;

use super::error::{QueryError, QueryProblem};
use super::order::Inequality;

/// A token of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum QueryToken {
    Open,
    Close,
    Or,
    And,
    /// `NOT` or `-`.
    Not(&'static str),
    Text(QueryText),
    /// The name and the operator of a field; [`Lexer::value`] reads what follows.
    Field(String, Operator),
}

/// A word, or the content of quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueryText {
    pub(super) text: String,
    pub(super) quoted: bool,
}

/// The operator between a field and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Is,
    IsNot,
    Inequality(Inequality),
}

/// Longer operators come first, because they begin with a shorter one.
const OPERATORS: [(&str, Operator); 7] = [
    ("!=", Operator::IsNot),
    ("<=", Operator::Inequality(Inequality::LessOrEqual)),
    (">=", Operator::Inequality(Inequality::GreaterOrEqual)),
    ("<", Operator::Inequality(Inequality::Less)),
    (">", Operator::Inequality(Inequality::Greater)),
    (":", Operator::Is),
    ("=", Operator::Is),
];

/// Texts that begin like an operator but are not one: path separators of some languages, and
/// addresses.
const NOT_OPERATORS: [&str; 2] = ["::", "://"];

pub(super) struct Lexer<'a> {
    query: &'a str,
    position: usize,
}

/// A token with the bytes that it was read from.
pub(super) type Spanned<T> = (T, ops::Range<usize>);

impl<'a> Lexer<'a> {
    pub(super) fn new(query: &'a str) -> Lexer<'a> {
        Lexer { query, position: 0 }
    }

    /// Returns the next token; `None` at the end.
    pub(super) fn token(&mut self) -> Result<Option<Spanned<QueryToken>>, QueryError> {
        self.position = self.query.len() - self.rest().trim_start().len();
        let start = self.position;
        let token = match self.rest().chars().next() {
            None => return Ok(None),
            Some('(') => self.advance(1, QueryToken::Open),
            Some(')') => self.advance(1, QueryToken::Close),
            Some('-') => self.advance(1, QueryToken::Not("-")),
            Some('"') => {
                let text = self.quoted()?;
                match self.operator() {
                    Some(operator) => QueryToken::Field(text, operator),
                    None => QueryToken::Text(QueryText { text, quoted: true }),
                }
            }
            Some(_) => self.word_or_field()?,
        };
        Ok(Some((token, start..self.position)))
    }

    /// Returns the value that follows a field's operator; `None` if there is none. The value is a
    /// text, or [`QueryToken::Open`].
    pub(super) fn value(&mut self) -> Result<Option<Spanned<QueryToken>>, QueryError> {
        let start = self.position;
        let token = match self.rest().chars().next() {
            Some('(') => self.advance(1, QueryToken::Open),
            Some('"') => QueryToken::Text(QueryText { text: self.quoted()?, quoted: true }),
            Some('<' | '>' | '=') => {
                self.word();
                return Err(QueryError::new(start..self.position, QueryProblem::OperatorInValue));
            }
            _ => match self.word() {
                "" => return Ok(None),
                word => QueryToken::Text(QueryText { text: word.to_owned(), quoted: false }),
            },
        };
        Ok(Some((token, start..self.position)))
    }

    fn rest(&self) -> &'a str {
        &self.query[self.position..]
    }

    fn advance(&mut self, bytes: usize, token: QueryToken) -> QueryToken {
        self.position += bytes;
        token
    }

    fn word_or_field(&mut self) -> Result<QueryToken, QueryError> {
        let start = self.position;
        let name = self.take_until(|character| !is_of_name(character));
        let operator = self.operator();
        match operator {
            Some(_) if name.is_empty() => {
                Err(QueryError::new(start..self.position, QueryProblem::MissingName))
            }
            Some(operator) if is_name(name) => Ok(QueryToken::Field(name.to_owned(), operator)),
            _ => {
                self.position = start;
                Ok(match self.word() {
                    "OR" => QueryToken::Or,
                    "AND" => QueryToken::And,
                    "NOT" => QueryToken::Not("NOT"),
                    word => QueryToken::Text(QueryText { text: word.to_owned(), quoted: false }),
                })
            }
        }
    }

    fn operator(&mut self) -> Option<Operator> {
        let rest = self.rest();
        if NOT_OPERATORS.iter().any(|text| rest.starts_with(text)) {
            return None;
        }
        let (symbol, operator) = OPERATORS.iter().find(|(symbol, _)| rest.starts_with(symbol))?;
        self.position += symbol.len();
        Some(*operator)
    }

    fn word(&mut self) -> &'a str {
        self.take_until(|character| character.is_whitespace() || matches!(character, '(' | ')' | '"'))
    }

    fn take_until(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.position += taken.len();
        taken
    }

    /// Returns the text between the quote at the current position and the next one.
    fn quoted(&mut self) -> Result<String, QueryError> {
        let start = self.position;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1).peekable();
        while let Some((index, character)) = characters.next() {
            match (character, characters.peek()) {
                ('"', _) => {
                    self.position += index + 1;
                    return Ok(text);
                }
                ('\\', Some(&(_, escaped @ ('"' | '\\')))) => {
                    text.push(escaped);
                    characters.next();
                }
                _ => text.push(character),
            }
        }
        Err(QueryError::new(start..self.query.len(), QueryProblem::UnclosedQuote))
    }
}

fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | '-' | '/' | '@' | '$')
}

fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|first: char| first.is_alphabetic() || matches!(first, '_' | '@'));
    starts && name.ends_with(|last: char| last.is_alphanumeric() || last == '_')
}

/// Writes a text in quotes, in the form that the lexer reads.
pub(super) fn write_quoted(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    formatter.write_char('"')?;
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            formatter.write_char('\\')?;
        }
        formatter.write_char(character)?;
    }
    formatter.write_char('"')
}
