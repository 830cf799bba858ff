//! Converts a value for each type of directive.

use std::borrow::Cow;

use super::super::repr;
use super::PercentValue;
use crate::record::python_format::FormatSpec;

/// Appends a value as converted by a directive of type `kind`. Returns `None` if the value cannot
/// be converted.
pub(super) fn convert(
    kind: char,
    spec: FormatSpec,
    value: &PercentValue<'_>,
    out: &mut Vec<u8>,
) -> Option<()> {
    match kind {
        's' => spec.put_text(out, &str_of(value)),
        'r' => spec.put_text(out, &repr_of(value)),
        'a' => spec.put_text(out, &repr::ascii(&repr_of(value))),
        'c' => FormatSpec { precision: None, ..spec }.put_text(out, &character(value)?),
        'd' | 'i' | 'u' => put_integer(out, &decimal(value)?, spec),
        'x' | 'X' | 'o' => radix(kind, spec, value, out)?,
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => float(kind, spec, value, out)?,
        _ => return None,
    }
    Some(())
}

fn str_of<'a>(value: &'a PercentValue<'_>) -> Cow<'a, str> {
    match value {
        PercentValue::Bool(value) => Cow::Borrowed(if *value { "True" } else { "False" }),
        PercentValue::Integer(value) => Cow::Owned(value.to_string()),
        PercentValue::Float(value) => Cow::Owned(repr::float(*value)),
        PercentValue::Text(text) => Cow::Borrowed(text),
        PercentValue::Long(text) | PercentValue::Other(text) => Cow::Borrowed(text),
    }
}

fn repr_of<'a>(value: &'a PercentValue<'_>) -> Cow<'a, str> {
    match value {
        PercentValue::Text(text) => Cow::Owned(repr::text(text)),
        other => str_of(other),
    }
}

/// Converts a value for `%c`: a character, or the code point of a character.
fn character(value: &PercentValue<'_>) -> Option<String> {
    match value {
        PercentValue::Text(text) if text.chars().count() == 1 => Some((*text).to_owned()),
        PercentValue::Integer(code) => Some(char::from_u32(u32::try_from(*code).ok()?)?.to_string()),
        PercentValue::Bool(code) => Some(char::from(u8::from(*code)).to_string()),
        _ => None,
    }
}

/// Converts a value for `%d`: the digits of an integer, or of a float without its fraction.
fn decimal(value: &PercentValue<'_>) -> Option<String> {
    match value {
        PercentValue::Bool(value) => Some(u8::from(*value).to_string()),
        PercentValue::Integer(value) => Some(value.to_string()),
        PercentValue::Long(digits) => Some(digits.clone()),
        PercentValue::Float(value) if value.is_finite() => Some(format!("{:.0}", value.trunc() + 0.0)),
        _ => None,
    }
}

/// Appends a value for `%x`, `%X` or `%o`.
fn radix(kind: char, spec: FormatSpec, value: &PercentValue<'_>, out: &mut Vec<u8>) -> Option<()> {
    let value = match value {
        PercentValue::Bool(value) => i64::from(*value),
        PercentValue::Integer(value) => *value,
        _ => return None,
    };
    let size = value.unsigned_abs();
    let (digits, prefix) = match kind {
        'x' => (format!("{size:x}"), "0x"),
        'X' => (format!("{size:X}"), "0X"),
        _ => (format!("{size:o}"), "0o"),
    };
    let prefix = if spec.alternate { prefix } else { "" };
    spec.put_whole(out, value < 0, prefix, |out| out.extend_from_slice(digits.as_bytes()));
    Some(())
}

/// Appends digits that a minus may precede.
fn put_integer(out: &mut Vec<u8>, text: &str, spec: FormatSpec) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    spec.put_whole(out, digits.len() < text.len(), "", |out| out.extend_from_slice(digits.as_bytes()));
}

/// Appends a value for `%e`, `%f`, `%g` or their capitals, as C's `printf` does.
fn float(kind: char, spec: FormatSpec, value: &PercentValue<'_>, out: &mut Vec<u8>) -> Option<()> {
    let value = match value {
        PercentValue::Bool(value) => f64::from(u8::from(*value)),
        PercentValue::Integer(value) => *value as f64,
        PercentValue::Long(digits) => digits.parse().ok()?,
        PercentValue::Float(value) => *value,
        _ => return None,
    };
    if value.is_finite() && matches!(kind, 'f' | 'F') {
        spec.put_fixed(out, value);
        return Some(());
    }
    let (size, precision) = (value.abs(), spec.precision.unwrap_or(6));
    let mut text = match kind {
        _ if value.is_nan() => "nan".to_owned(),
        _ if value.is_infinite() => "inf".to_owned(),
        'e' | 'E' => scientific(size, precision),
        _ => general(size, precision.max(1), spec.alternate),
    };
    if spec.alternate && precision == 0 && !text.contains('.') {
        text.insert(text.find('e').unwrap_or(text.len()), '.');
    }
    if kind.is_ascii_uppercase() {
        text.make_ascii_uppercase();
    }
    let is_negative = value.is_sign_negative() && !value.is_nan();
    spec.put_number(out, is_negative, "", |out| out.extend_from_slice(text.as_bytes()));
    Some(())
}

fn scientific(size: f64, precision: usize) -> String {
    repr::exponent(&format!("{size:.precision$e}"))
}

/// Formats a number for `%g`: `precision` digits in total, an exponent if the number is small or
/// large, and no trailing zeros unless `keep_zeros` is set.
fn general(size: f64, precision: usize, keep_zeros: bool) -> String {
    let scientific = scientific(size, precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i64 = exponent.parse().unwrap_or(0);
    if (-4..precision as i64).contains(&power) {
        // The number of decimals is not below 0, since power < precision.
        let text = format!("{size:.*}", (precision as i64 - 1 - power) as usize);
        return if keep_zeros { text } else { without_zeros(&text).to_owned() };
    }
    let mantissa = if keep_zeros { mantissa } else { without_zeros(mantissa) };
    format!("{mantissa}e{exponent}")
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}
