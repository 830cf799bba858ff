//! The functions of this program that conditions of SQLite call.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error};

use crate::query::attribute::{self, Comparison};
use crate::query::{EncodedPattern, Inequality};

/// Registers the functions that conditions call. Each returns 0 or 1, and 0 for NULL.
///
/// - `matches_words(text, pattern, ...)`: the text contains all patterns, see the parent module; a
///   pattern is enclosed in two characters, `|` for an end of a word and `*` for any end:
///   `'|refused|'`, `'|conn*'`
/// - `matches_text(text, pattern)`: the whole text equals the pattern, byte by byte; `*` allows
///   anything at that end
/// - `attribute_matches(attributes, name, operator, value)`: the operator is `=`, `<`, `<=`, `>`,
///   `>=`, `*` (the value is a pattern) or empty (the attribute is present)
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("matches_words", -1, flags, matches_words)?;
    connection.create_scalar_function("matches_text", 2, flags, matches_text)?;
    connection.create_scalar_function("attribute_matches", 4, flags, attribute_matches)
}

fn matches_words(context: &Context<'_>) -> rusqlite::Result<bool> {
    if context.is_empty() {
        return Err(error("matches_words needs a text and patterns"));
    }
    let Some(text) = bytes(context, 0) else {
        return Ok(false);
    };
    for index in 1..context.len() {
        if !pattern(context, index)?.is_in(text) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn matches_text(context: &Context<'_>) -> rusqlite::Result<bool> {
    let pattern = pattern(context, 1)?;
    Ok(bytes(context, 0).is_some_and(|text| pattern.fits(text)))
}

fn attribute_matches(context: &Context<'_>) -> rusqlite::Result<bool> {
    let (Some(attributes), Some(name), Some(value)) = (text(context, 0), text(context, 1), text(context, 3))
    else {
        return Ok(false);
    };
    let comparison = match text(context, 2) {
        Some("") => Comparison::Present,
        Some("=") => Comparison::Equal(value),
        Some("<") => Comparison::Inequality(Inequality::Less, value),
        Some("<=") => Comparison::Inequality(Inequality::LessOrEqual, value),
        Some(">") => Comparison::Inequality(Inequality::Greater, value),
        Some(">=") => Comparison::Inequality(Inequality::GreaterOrEqual, value),
        Some("*") => Comparison::Fits(pattern(context, 3)?),
        _ => return Err(error("attribute_matches supports the operators '', =, <, <=, >, >= and *")),
    };
    Ok(attribute::matches(attributes, name, comparison))
}

fn pattern<'a>(context: &'a Context<'_>, index: usize) -> rusqlite::Result<EncodedPattern<'a>> {
    bytes(context, index)
        .and_then(EncodedPattern::new)
        .ok_or_else(|| error("a pattern stands between two characters, each `|` or `*`"))
}

fn bytes<'a>(context: &'a Context<'_>, index: usize) -> Option<&'a [u8]> {
    match context.get_raw(index) {
        ValueRef::Text(bytes) => Some(bytes),
        _ => None,
    }
}

fn text<'a>(context: &'a Context<'_>, index: usize) -> Option<&'a str> {
    std::str::from_utf8(bytes(context, index)?).ok()
}

fn error(message: &str) -> Error {
    Error::UserFunctionError(message.into())
}
