//! Python's notation of values: `repr` of texts, bytes and floats.

use std::fmt::Write;

use memchr::memchr;

/// Returns a text in quotes, as `repr` does.
pub(crate) fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    put_quoted(&mut out, quote_for(value.as_bytes()), value.chars(), '\u{a0}');
    out
}

/// Returns bytes as `repr` does: `b'..'`.
pub(crate) fn bytes(value: &[u8]) -> String {
    let mut out = String::from("b");
    put_quoted(&mut out, quote_for(value), value.iter().copied().map(char::from), '\u{ff}');
    out
}

/// Returns single quotes, unless the text contains single and no double quotes.
fn quote_for(text: &[u8]) -> char {
    if memchr(b'\'', text).is_some() && memchr(b'"', text).is_none() { '"' } else { '\'' }
}

/// Appends characters in quotes. Control characters are escaped, and so are the characters from
/// U+007F to `escaped_last`.
fn put_quoted(out: &mut String, quote: char, characters: impl Iterator<Item = char>, escaped_last: char) {
    out.push(quote);
    for character in characters {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character < ' ' || ('\x7f'..=escaped_last).contains(&character) => {
                let _ = write!(out, "\\x{:02x}", u32::from(character)); // a String takes any text
            }
            _ if character == quote => out.extend(['\\', quote]),
            _ => out.push(character),
        }
    }
    out.push(quote);
}

/// Returns what Python's `ascii` returns for a text that `repr` has returned: every character
/// beyond ASCII is escaped.
pub(crate) fn ascii(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        // Writing to a String cannot fail.
        let _ = match u32::from(character) {
            0..=0x7f => out.write_char(character),
            code @ 0x80..=0xff => write!(out, "\\x{code:02x}"),
            code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
            code => write!(out, "\\U{code:08x}"),
        };
    }
    out
}

/// Returns a float as `repr` does: the shortest digits that identify it, with an exponent from 1e16
/// on and below 1e-4.
pub(crate) fn float(value: f64) -> String {
    let has_exponent = value != 0.0 && !(1e-4..1e16).contains(&value.abs());
    match value {
        _ if value.is_nan() => "nan".to_owned(),
        _ if value.is_infinite() => value.to_string(), // `inf` or `-inf`, as in Python
        _ if has_exponent => exponent(&format!("{value:e}")),
        _ if value.fract() == 0.0 => format!("{value}.0"),
        _ => value.to_string(),
    }
}

/// Returns Rust's `1.5e-7` as Python's and C's `1.5e-07`.
pub(crate) fn exponent(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}
