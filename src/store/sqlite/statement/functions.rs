//! Replacements for those functions of SQLite whose time grows with the product of the lengths of
//! their arguments. Here the time grows with the sum of the lengths, or the clock is checked.
//!
//! SQLite does not check the clock inside a function: its own `instr` runs for minutes on two texts
//! of 1 MiB. The results are the same with two exceptions: a number with a fraction must be cast to
//! text explicitly if its digits are meant, and the character NUL does not end a text.

mod pattern;

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memmem;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error};

use self::pattern::{LikePattern, PatternKind};
use crate::limits::{SQL_PATTERN_BYTES_MAX, SQL_TRIMMED_CHARACTERS_MAX, SQL_VALUE_BYTES_MAX};
use crate::store::sqlite::confine;

/// Registers the replacements under the names of SQLite's own functions.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("instr", 2, flags, instr)?;
    connection.create_scalar_function("replace", 3, flags, replace)?;
    for (name, at_start, at_end) in [("trim", true, true), ("ltrim", true, false), ("rtrim", false, true)] {
        for arguments in [1, 2] {
            let trim = move |context: &Context<'_>| trim(context, at_start, at_end);
            connection.create_scalar_function(name, arguments, flags, trim)?;
        }
    }
    for (name, kind, arguments) in
        [("like", PatternKind::Like, 2), ("like", PatternKind::Like, 3), ("glob", PatternKind::Glob, 2)]
    {
        let compare = move |context: &Context<'_>| compare(context, kind);
        connection.create_scalar_function(name, arguments, flags, compare)?;
    }
    Ok(())
}

/// Returns the position of a text within another, in characters from 1, or in bytes if both are
/// blobs; 0 if it does not occur.
fn instr(context: &Context<'_>) -> rusqlite::Result<Option<i64>> {
    let (Some((text, is_blob)), Some((part, is_part_blob))) = (value(context, 0)?, value(context, 1)?) else {
        return Ok(None);
    };
    let is_counted = |byte: &&u8| is_blob && is_part_blob || !is_continuation(**byte);
    let place = memmem::find(&text, &part).map(|at| text[..at].iter().filter(is_counted).count() + 1);
    Ok(Some(place.unwrap_or(0) as i64)) // the position is within a value, which has far fewer bytes
}

fn replace(context: &Context<'_>) -> rusqlite::Result<Option<String>> {
    let (Some(text), Some(part)) = (text(context, 0)?, text(context, 1)?) else { return Ok(None) };
    if part.is_empty() {
        return Ok(Some(shown(text.into_owned())));
    }
    let Some(other) = self::text(context, 2)? else { return Ok(None) };
    let (mut out, mut rest) = (Vec::new(), 0);
    for at in memmem::find_iter(&text, &part) {
        out.extend_from_slice(&text[rest..at]);
        out.extend_from_slice(&other);
        rest = at + part.len();
        if out.len() > SQL_VALUE_BYTES_MAX as usize {
            return Err(failed("string or blob too big"));
        }
    }
    out.extend_from_slice(&text[rest..]);
    Ok(Some(shown(out)))
}

/// Removes spaces, or any of the characters of the second argument, at these ends.
fn trim(context: &Context<'_>, at_start: bool, at_end: bool) -> rusqlite::Result<Option<String>> {
    let Some(text) = text(context, 0)? else { return Ok(None) };
    let mut characters = HashSet::new();
    match context.len() {
        1 => drop(characters.insert(' ')),
        _ => {
            let Some(trimmed) = self::text(context, 1)? else { return Ok(None) };
            for character in trimmed.utf8_chunks().flat_map(characters_of) {
                characters.insert(character);
                if characters.len() > SQL_TRIMMED_CHARACTERS_MAX {
                    return Err(failed("trim removes 1000 different characters at most"));
                }
            }
        }
    }
    let text = String::from_utf8_lossy(&text);
    let mut rest = &*text;
    if at_start {
        rest = rest.trim_start_matches(|c| characters.contains(&c));
    }
    if at_end {
        rest = rest.trim_end_matches(|c| characters.contains(&c));
    }
    Ok(Some(rest.to_owned()))
}

/// An invalid UTF-8 sequence counts as one character.
fn characters_of(chunk: std::str::Utf8Chunk<'_>) -> impl Iterator<Item = char> {
    let invalid = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
    chunk.valid().chars().chain(invalid)
}

/// `text LIKE pattern` calls `like(pattern, text)`, and GLOB likewise; with ESCAPE there is a third
/// argument.
fn compare(context: &Context<'_>, kind: PatternKind) -> rusqlite::Result<Option<bool>> {
    let escape = match context.len() {
        3 => {
            let Some(escape) = text(context, 2)? else { return Ok(None) };
            let escape = String::from_utf8_lossy(&escape);
            let mut characters = escape.chars();
            let (Some(escape), None) = (characters.next(), characters.next()) else {
                return Err(failed("ESCAPE expression must be a single character"));
            };
            Some(escape)
        }
        _ => None,
    };
    let (Some(pattern), Some(text)) = (text(context, 0)?, text(context, 1)?) else { return Ok(None) };
    if pattern.len() > SQL_PATTERN_BYTES_MAX {
        return Err(failed("LIKE or GLOB pattern too complex: it has 256 bytes at most"));
    }
    let matches = LikePattern::parse(&String::from_utf8_lossy(&pattern), kind, escape)
        .matches(&String::from_utf8_lossy(&text), confine::is_late);
    matches.map(Some).ok_or_else(|| failed("interrupted"))
}

/// Returns an argument as text; `None` for NULL.
fn text<'a>(context: &'a Context<'_>, argument: usize) -> rusqlite::Result<Option<Cow<'a, [u8]>>> {
    Ok(value(context, argument)?.map(|(bytes, _)| bytes))
}

/// Returns the bytes of an argument, and whether it is a blob; `None` for NULL.
fn value<'a>(context: &'a Context<'_>, argument: usize) -> rusqlite::Result<Option<(Cow<'a, [u8]>, bool)>> {
    let value = confine::with_reserve(|| context.get_raw(argument)).ok_or_else(|| failed("out of memory"))?;
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(number) => Ok(Some((number.to_string().into_bytes().into(), false))),
        // SQLite formats the digits of such a number in its own way.
        ValueRef::Real(_) => Err(failed("instr, replace, trim, LIKE and GLOB take texts: cast(.. as text)")),
        ValueRef::Text(bytes) => Ok(Some((bytes.into(), false))),
        ValueRef::Blob(bytes) => Ok(Some((bytes.into(), true))),
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

fn shown(text: Vec<u8>) -> String {
    String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn failed(message: &str) -> Error {
    Error::UserFunctionError(message.into())
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::*;

    #[test]
    fn functions_return_same_as_sqlite() {
        confine::install();
        let (theirs, ours) = (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
        register(&ours).unwrap();
        let values = [
            "''",
            "'a'",
            "'aa'",
            "'\u{e4}a\u{1f332}aab'",
            "' a b  '",
            "'ab'",
            "'b'",
            "'\u{1f332}'",
            "'\u{e4}'",
            "NULL",
            "1211",
            "21",
            "x'6161ff'",
            "x'61'",
            "x''",
        ];
        let mut calls = Vec::new();
        for one in values {
            calls.extend(["trim", "ltrim", "rtrim"].map(|name| format!("{name}({one})")));
            for other in values {
                calls.extend(
                    ["instr", "trim", "ltrim", "rtrim", "like", "glob"]
                        .map(|name| format!("{name}({one},{other})")),
                );
                calls.extend(values.map(|third| format!("replace({one},{other},{third})")));
            }
        }
        for call in calls {
            let ask = |connection: &Connection| {
                let sql = format!("select {call}, typeof({call})");
                let row = |row: &rusqlite::Row<'_>| {
                    let value = match row.get_ref(0)? {
                        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
                        other => other.try_into()?,
                    };
                    Ok((value, row.get::<_, String>(1)?))
                };
                connection.query_row(&sql, [], row).unwrap()
            };
            assert_eq!(ask(&ours), ask(&theirs), "{call}");
        }
    }

    #[test]
    fn too_long_result_and_fraction_are_rejected() {
        confine::install();
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        let ask = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let long = "replace(hex(zeroblob(500000)), '0', hex(zeroblob(500000)))";
        assert!(ask(&format!("select length({long})")).unwrap_err().to_string().contains("too big"));
        assert_eq!(
            ask("select instr(1.5, '.')").unwrap_err().to_string(),
            "instr, replace, trim, LIKE and GLOB take texts: cast(.. as text)"
        );
    }
}
