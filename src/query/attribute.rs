//! Tests one attribute of a record, and compares texts as the numbers that they contain.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::order::Inequality;
use super::words::EncodedPattern;
use crate::record::attributes;

/// What must be true of an attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Comparison<'a> {
    /// It is present.
    Present,
    /// The attribute equals this text, or is a number of the same value.
    Equal(&'a str),
    /// The attribute has this order relative to the value: by number if the value is one, else by
    /// text.
    Inequality(Inequality, &'a str),
    /// The whole text of the attribute fits the pattern.
    Fits(EncodedPattern<'a>),
}

/// Returns true if the attribute of this name fulfils the comparison; an absent attribute never
/// does.
pub(crate) fn matches(attributes: &str, name: &str, comparison: Comparison<'_>) -> bool {
    let Some(value) = attributes::get(attributes, name) else {
        return false;
    };
    let is_number = value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let text = match value.as_bytes().first() {
        _ if matches!(comparison, Comparison::Present) => return true,
        None | Some(b'{' | b'[') => return false,
        Some(b'"') => attributes::unquoted(value),
        Some(_) => Cow::Borrowed(value),
    };
    match comparison {
        Comparison::Present => true,
        Comparison::Equal(other) => text == other || is_number && has_value_of(&text, other),
        Comparison::Inequality(order, other) => compare(&text, other).is_some_and(|found| order.holds(found)),
        Comparison::Fits(pattern) => pattern.fits(text.as_bytes()),
    }
}

/// A JSON number.
#[derive(Clone, Copy, Debug)]
enum Number {
    Integer(i64),
    Real(f64),
}

impl Number {
    fn new(text: &str) -> Option<Number> {
        if !is_number(text) {
            return None;
        }
        text.parse().map(Number::Integer).or_else(|_| text.parse().map(Number::Real)).ok()
    }

    fn real(self) -> f64 {
        match self {
            Number::Integer(number) => number as f64,
            Number::Real(number) => number,
        }
    }

    fn compare(self, other: Number) -> Option<Ordering> {
        match (self, other) {
            (Number::Integer(one), Number::Integer(two)) => Some(one.cmp(&two)),
            _ => self.real().partial_cmp(&other.real()),
        }
    }
}

/// Returns the value of a JSON number; infinite if it is beyond the range of floats.
pub(crate) fn number(text: &str) -> Option<f64> {
    Number::new(text).map(Number::real)
}

/// Returns true if a text is a number in the grammar of JSON, which has no `+`, no leading zeros,
/// no `.5` and no `NaN`.
pub(super) fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && digits(fraction)
        && digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
}

/// Returns true if a number is written without a fraction and without an exponent.
pub(super) fn is_whole(number: &str) -> bool {
    number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Returns true if two different texts are the same number. A whole number has only one text, and
/// beyond `i64` only the text distinguishes whole numbers.
fn has_value_of(number: &str, other: &str) -> bool {
    if is_whole(number) && is_whole(other) {
        return false;
    }
    match (Number::new(number), Number::new(other)) {
        (Some(number), Some(other)) => number.compare(other) == Some(Ordering::Equal),
        _ => false,
    }
}

fn compare(text: &str, other: &str) -> Option<Ordering> {
    match Number::new(other) {
        Some(other) => Number::new(text)?.compare(other),
        None => Some(text.cmp(other)),
    }
}
