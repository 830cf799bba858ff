//! Tokens: hashes of what a record contains, with which an index can exclude blocks that have no
//! match of a query.
//!
//! [`of_record`] and [`of_origin`] return the tokens of a record; [`requirement`] returns the
//! tokens that every match of a query has. A record that does not match may fulfil a requirement,
//! but every match fulfils it. Negated parts of a query require nothing.
//!
//! There is a token for:
//!
//! - each word of the message: the text between two ends of words;
//! - `trace_id`, `span_id`, `event_name`, and each field of the origin, if present;
//! - the severity: the class of its number, four numbers per class, from 1 for TRACE to 6 for
//!   FATAL;
//! - each member of the attributes, at any depth: the last step of its name, and this step together
//!   with the value unless the value is a list, an object or long. A number that is not written as
//!   a whole number counts by its value, everything else by its text.
//!
//! ASCII letters in either case have the same token. Tokens are stored on disk: any change to a
//! token changes the schema.

use std::borrow::Cow;

use super::Query;
use super::ast::{Expression, Term, Test};
use super::attribute;
use super::field::Field;
use super::range::IntegerRange;
use super::words::{self, Pattern};
use crate::limits::{TOKEN_NAME_BYTES_KEPT, TOKEN_NAMES_KEPT, TOKEN_VALUE_BYTES_MAX, TOKENS_OF_PATTERN_MAX};
use crate::record::attributes::{self, MemberValue};
use crate::record::{Column, Origin, RecordRef};

/// The hash of a part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u64);

/// The tokens that every match has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing that tokens can express.
    Nothing,
    /// This token.
    Token(Token),
    /// All of these.
    All(Vec<Requirement>),
    /// At least one of these; if empty, there are no matches.
    Any(Vec<Requirement>),
}

/// What a token represents.
#[derive(Clone, Copy)]
enum TokenKind {
    Word = 1,
    TraceId = 2,
    SpanId = 3,
    EventName = 4,
    Severity = 5,
    SeverityText = 6,
    Service = 7,
    Logger = 8,
    Host = 9,
    File = 10,
    Line = 11,
    Function = 12,
    ProcessId = 13,
    Thread = 14,
    Attribute = 15,
    Text = 16,
    Number = 17,
}

impl TokenKind {
    fn token(self, bytes: &[u8]) -> Token {
        Token(hash(self as u64, bytes))
    }

    fn number(self, number: u64) -> Token {
        Token(mix(mix(self as u64 ^ SEED) ^ number))
    }
}

const SEED: u64 = 0x2545_f491_4f6c_dd1d;
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The bit that distinguishes ASCII capitals from small letters. (The bit also merges some other
/// characters, which costs only a shared token.)
const CASE: u64 = 0x2020_2020_2020_2020;

fn mix(number: u64) -> u64 {
    let product = u128::from(number) * u128::from(MULTIPLIER);
    product as u64 ^ (product >> 64) as u64
}

fn hash(seed: u64, bytes: &[u8]) -> u64 {
    hash_within(seed, bytes, 0..bytes.len())
}

/// Returns the hash of a part of some bytes: eight bytes at a time, ASCII letters in either case
/// alike.
fn hash_within(seed: u64, bytes: &[u8], part: std::ops::Range<usize>) -> u64 {
    let mut hash = seed ^ SEED ^ (part.len() as u64) << 32;
    let (words, rest) = bytes[part.clone()].as_chunks::<8>();
    for word in words {
        hash = mix(hash ^ (u64::from_le_bytes(*word) | CASE));
    }
    let last = match bytes[part.end - rest.len()..].first_chunk() {
        // The bytes after the part are read too, and masked out: that is faster than a check of the
        // length.
        Some(word) => u64::from_le_bytes(*word) & !(u64::MAX << (8 * rest.len())),
        None => last_word(rest),
    };
    mix(hash ^ (last | CASE))
}

/// Returns up to seven bytes in one word, the first in its lowest bits.
fn last_word(bytes: &[u8]) -> u64 {
    let place = |index: usize| u64::from(bytes[index]) << (8 * index);
    match (bytes.len(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (0, ..) => 0,
        (length, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (length - 4))
        }
        (length, ..) => place(0) | place(length / 2) | place(length - 1),
    }
}

/// The attribute names of the previous record, most of which the next record has too. Their tokens
/// are known and have already been passed on.
#[derive(Debug, Default)]
pub struct NameTokens {
    known: Vec<(String, Token)>,
}

impl NameTokens {
    fn token(&mut self, place: usize, name: &str, add: &mut impl FnMut(Token)) -> Token {
        if let Some((known, token)) = self.known.get(place)
            && known == name
        {
            return *token;
        }
        let token = name_token(name);
        add(token);
        let is_short = name.len() <= TOKEN_NAME_BYTES_KEPT;
        match self.known.get_mut(place) {
            Some((known, known_token)) if is_short => {
                name.clone_into(known);
                *known_token = token;
            }
            None if is_short && place < TOKEN_NAMES_KEPT => {
                self.known.push((name.to_owned(), token));
            }
            _ => {}
        }
        token
    }
}

/// Passes on the tokens of a record except those of the origin; of names only those that are not
/// known.
pub fn of_record(record: &RecordRef<'_>, names: &mut NameTokens, mut add: impl FnMut(Token)) {
    let message = record.message.as_bytes();
    words::words(record.message, |word| add(Token(hash_within(TokenKind::Word as u64, message, word))));
    let texts = [
        (TokenKind::TraceId, record.trace_id),
        (TokenKind::SpanId, record.span_id),
        (TokenKind::EventName, record.event_name),
    ];
    for (kind, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        add(kind.token(text.as_bytes()));
    }
    if record.severity_number > 0 {
        add(severity(record.severity_number.into()));
    }
    let mut place = 0;
    attributes::walk(record.attributes, |name, value| {
        let name = names.token(place, name, &mut add);
        place += 1;
        match value {
            MemberValue::Nested => {}
            MemberValue::Number(text) if !attribute::is_whole(text) => {
                if let Ok(number) = text.parse() {
                    add(number_token(name, number));
                }
            }
            MemberValue::Escaped(text) | MemberValue::String(text) if text.len() > TOKEN_VALUE_BYTES_MAX => {}
            MemberValue::Escaped(text) => add(text_token(name, &attributes::unquoted(text))),
            MemberValue::String(text) | MemberValue::Number(text) | MemberValue::Word(text) => {
                add(text_token(name, text));
            }
        }
    });
}

/// Passes on the tokens of an origin.
pub fn of_origin(origin: &Origin<'_>, mut add: impl FnMut(Token)) {
    let texts = [
        (TokenKind::SeverityText, origin.severity_text),
        (TokenKind::Service, origin.service),
        (TokenKind::Logger, origin.logger),
        (TokenKind::Host, origin.host),
        (TokenKind::File, origin.file),
        (TokenKind::Function, origin.function),
        (TokenKind::Thread, origin.thread),
    ];
    for (kind, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        add(kind.token(text.as_bytes()));
    }
    add(TokenKind::Line.number(origin.line.into()));
    add(TokenKind::ProcessId.number(origin.process_id.into()));
}

/// Returns the token of a severity. Numbers above OpenTelemetry's range share one class.
fn severity(number: u64) -> Token {
    TokenKind::Severity.number(number.div_ceil(4).min(7))
}

fn name_token(name: &str) -> Token {
    let name = name.as_bytes();
    let last_step = name.iter().rposition(|byte| *byte == b'.').map_or(0, |dot| dot + 1);
    TokenKind::Attribute.token(&name[last_step..])
}

fn text_token(name: Token, text: &str) -> Token {
    Token(hash(name.0 ^ TokenKind::Text as u64, text.as_bytes()))
}

fn number_token(name: Token, number: f64) -> Token {
    let number = number + 0.0; // the two zeros are equal
    Token(mix(name.0 ^ mix(number.to_bits() ^ TokenKind::Number as u64)))
}

/// Returns the tokens that every match of a query has.
pub fn requirement(query: &Query) -> Requirement {
    of_expression(query.expression())
}

/// Recurses as deep as the parser allows parentheses to nest.
fn of_expression(expression: &Expression) -> Requirement {
    match expression {
        Expression::All(inner) => all(inner.iter().map(of_expression)),
        Expression::Any(inner) => any(inner.iter().map(of_expression)),
        Expression::Not(_) => Requirement::Nothing,
        Expression::Term(Term { field: Field::Attribute(name), test }) => of_attribute(name, test),
        Expression::Term(Term { field: Field::Column(column), test }) => of_column(*column, test),
    }
}

fn all(inner: impl Iterator<Item = Requirement>) -> Requirement {
    let mut inner: Vec<Requirement> = inner.filter(|inner| *inner != Requirement::Nothing).collect();
    match inner.len() {
        0 => Requirement::Nothing,
        1 => inner.swap_remove(0),
        _ => Requirement::All(inner),
    }
}

fn any(inner: impl Iterator<Item = Requirement>) -> Requirement {
    let inner: Vec<Requirement> = inner.collect();
    if inner.contains(&Requirement::Nothing) { Requirement::Nothing } else { Requirement::Any(inner) }
}

fn of_column(column: Column, test: &Test) -> Requirement {
    match (column, test) {
        (Column::Message, Test::Words(pattern)) => of_pattern(pattern),
        (Column::SeverityNumber, Test::Range(range)) => of_severity(*range),
        (_, Test::Equal(text)) => match kind(column) {
            Some(kind) => Requirement::Token(kind.token(text.as_bytes())),
            None => Requirement::Nothing,
        },
        (_, Test::Range(IntegerRange { first, last })) if first == last => {
            match (kind(column), u64::try_from(*first)) {
                (Some(kind), Ok(number)) => Requirement::Token(kind.number(number)),
                _ => Requirement::Nothing,
            }
        }
        _ => Requirement::Nothing,
    }
}

/// Returns the kind of token of a column whose values have tokens as they are.
fn kind(column: Column) -> Option<TokenKind> {
    match column {
        Column::Id | Column::Time | Column::SeverityNumber | Column::Message => None,
        Column::TraceId => Some(TokenKind::TraceId),
        Column::SpanId => Some(TokenKind::SpanId),
        Column::EventName => Some(TokenKind::EventName),
        Column::Severity => Some(TokenKind::SeverityText),
        Column::Service => Some(TokenKind::Service),
        Column::Logger => Some(TokenKind::Logger),
        Column::Host => Some(TokenKind::Host),
        Column::File => Some(TokenKind::File),
        Column::Line => Some(TokenKind::Line),
        Column::Function => Some(TokenKind::Function),
        Column::ProcessId => Some(TokenKind::ProcessId),
        Column::Thread => Some(TokenKind::Thread),
    }
}

/// Returns the requirement of the words of a pattern. A word at an open end may continue, so that
/// word is not known.
pub(super) fn of_pattern(pattern: &Pattern) -> Requirement {
    let text = pattern.text.as_str();
    let mut known = Vec::new();
    words::words(text, |word| {
        let goes_on = pattern.open_start && word.start == 0 || pattern.open_end && word.end == text.len();
        if !goes_on && known.len() < TOKENS_OF_PATTERN_MAX {
            known.push(Requirement::Token(TokenKind::Word.token(&text.as_bytes()[word])));
        }
    });
    all(known.into_iter())
}

fn of_severity(range: IntegerRange) -> Requirement {
    let (first, last) = (range.first.max(1), range.last.min(u8::MAX.into()));
    let mut tokens: Vec<Token> = Vec::new();
    for number in first..=last {
        let token = severity(number.unsigned_abs());
        if tokens.last() != Some(&token) {
            tokens.push(token);
        }
    }
    any(tokens.into_iter().map(Requirement::Token))
}

fn of_attribute(name: &str, test: &Test) -> Requirement {
    let name = name_token(name);
    match test {
        Test::Equal(text) if text.len() <= (TOKEN_VALUE_BYTES_MAX - QUOTES_BYTES) / ESCAPE_BYTES_MAX => {
            of_value(name, text)
        }
        _ => Requirement::Token(name),
    }
}

/// The most bytes that JSON may use for one byte of a text (`\u0000`).
const ESCAPE_BYTES_MAX: usize = 6;

/// The bytes of the quotes around a text in JSON.
const QUOTES_BYTES: usize = 2;

/// Requires the text itself, or a number of the same value that is written in another way.
fn of_value(name: Token, text: &str) -> Requirement {
    /// From here on several whole numbers have the same `f64`.
    const EXACT_MAX: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;
    let mut texts = vec![Cow::Borrowed(text)];
    let mut number = None;
    if attribute::is_number(text) {
        number = text.parse::<f64>().ok();
        if let Some(value) = number.filter(|_| !attribute::is_whole(text)) {
            if value.abs() >= EXACT_MAX {
                return Requirement::Token(name);
            }
            if value.fract() == 0.0 {
                texts.push(Cow::Owned((value as i64).to_string()));
            }
            if value == 0.0 {
                texts.push(Cow::Borrowed("-0"));
            }
        }
    }
    let texts = texts.iter().map(|text| text_token(name, text));
    let tokens = texts.chain(number.map(|number| number_token(name, number)));
    any(tokens.map(Requirement::Token))
}
