//! Python's notation of values: `repr` of texts, bytes and floats.

use std::fmt::Write;

/// Appends a text in quotes, as `repr` does: single quotes, unless the text contains single and no
/// double quotes.
pub(crate) fn text(value: &str, out: &mut String) {
    let quote = if value.contains('\'') && !value.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '\x7f'..='\u{a0}' => drop(write!(out, "\\x{:02x}", u32::from(character))),
            _ if character == quote => out.extend(['\\', quote]),
            _ => out.push(character),
        }
    }
    out.push(quote);
}

/// Appends bytes as `repr` does: `b'..'`.
pub(crate) fn bytes(value: &[u8], out: &mut String) {
    let quote = if value.contains(&b'\'') && !value.contains(&b'"') { '"' } else { '\'' };
    out.extend(['b', quote]);
    for &byte in value {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0..=0x1f | 0x7f.. => drop(write!(out, "\\x{byte:02x}")),
            _ if char::from(byte) == quote => out.extend(['\\', quote]),
            _ => out.push(char::from(byte)),
        }
    }
    out.push(quote);
}

/// Appends what Python's `ascii` returns for a text that `repr` has returned: every character
/// beyond ASCII is escaped.
pub(crate) fn ascii(value: &str, out: &mut String) {
    for character in value.chars() {
        // Writing to a String cannot fail.
        let _ = match u32::from(character) {
            0..=0x7f => {
                out.push(character);
                Ok(())
            }
            code @ 0x80..=0xff => write!(out, "\\x{code:02x}"),
            code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
            code => write!(out, "\\U{code:08x}"),
        };
    }
}

/// Appends a float as `repr` does: the shortest digits that identify it, with an exponent from 1e16
/// on and below 1e-4.
pub(crate) fn float(value: f64, out: &mut String) {
    if !value.is_finite() {
        out.push_str(if value.is_nan() {
            "nan"
        } else if value > 0.0 {
            "inf"
        } else {
            "-inf"
        });
        return;
    }
    let size = value.abs();
    // Writing to a String cannot fail.
    let _ = if value != 0.0 && !(1e-4..1e16).contains(&size) {
        exponent(&format!("{value:e}"), out);
        Ok(())
    } else {
        write!(out, "{value}{}", if value.fract() == 0.0 { ".0" } else { "" })
    };
}

/// Appends Rust's `1.5e-7` as Python's and C's `1.5e-07`.
pub(crate) fn exponent(text: &str, out: &mut String) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    let _ = write!(out, "{mantissa}e{sign}{digits:0>2}"); // writing to a String cannot fail
}
