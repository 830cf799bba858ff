//! Tests one attribute in the JSON text of all attributes, without parsing the rest and, except for
//! escapes, without allocating.
//!
//! The text was validated when the record arrived, so this code assumes that it is JSON. If it is
//! not, attributes are merely not found.

use std::borrow::Cow;
use std::cmp::Ordering;

use memchr::{memchr, memchr2, memmem};

use super::ast::Order;
use super::words::{self, EncodedPattern};

/// What must be true of an attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Comparison<'a> {
    /// It is present.
    Present,
    /// The attribute equals this text, or is a number of the same value.
    Equal(&'a str),
    /// The attribute has this order relative to the value: by number if the value is one, else by
    /// text.
    Order(Order, &'a str),
    /// The whole text of the attribute fits the pattern.
    Fits(EncodedPattern<'a>),
}

/// Returns true if the attribute of this name fulfils the comparison; an absent attribute never
/// does.
pub(crate) fn matches(attributes: &str, name: &str, comparison: Comparison<'_>) -> bool {
    let Some(value) = find(attributes, name) else {
        return false;
    };
    let is_number = value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let text = match value.as_bytes().first() {
        _ if matches!(comparison, Comparison::Present) => return true,
        None | Some(b'{' | b'[') => return false,
        Some(b'"') => unquoted(value),
        Some(_) => Cow::Borrowed(value),
    };
    match comparison {
        Comparison::Present => true,
        Comparison::Equal(other) => text == other || is_number && has_value_of(&text, other),
        Comparison::Order(order, other) => compare(&text, other).is_some_and(|found| order.holds(found)),
        Comparison::Fits(pattern) => pattern.fits(text.as_bytes()),
    }
}

/// Returns the value of an attribute as written: the member of that name, or the value that the
/// dots lead to.
pub(super) fn find<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    if !may_hold(attributes, name) {
        return None;
    }
    member(attributes, name).or_else(|| match name.contains('.') {
        true => name.split('.').try_fold(attributes, member),
        false => None,
    })
}

/// Returns false only if the last step of the name does not occur in the text. This check decides
/// most records.
fn may_hold(attributes: &str, name: &str) -> bool {
    let last_step = name.rsplit('.').next().unwrap_or(name);
    memmem::find(attributes.as_bytes(), last_step.as_bytes()).is_some()
        || memchr(b'\\', attributes.as_bytes()).is_some()
}

/// Returns the value of the last member of that name, which is the one that counts.
fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let named = Members::new(object).filter(|(own, _)| unquoted(own) == name);
    named.last().map(|(_, value)| value)
}

/// The value of a member.
#[derive(Clone, Copy, Debug)]
pub(super) enum MemberValue<'a> {
    /// The content of a string without escapes.
    String(&'a str),
    /// A string as written.
    Escaped(&'a str),
    Number(&'a str),
    /// `true`, `false` or `null`.
    Word(&'a str),
    /// A list or an object.
    Nested,
}

/// Passes the name and the value of each member to `found`, including members of nested values at
/// any depth.
pub(super) fn each(attributes: &str, mut found: impl FnMut(&str, MemberValue<'_>)) {
    if memchr(b'\\', attributes.as_bytes()).is_none() {
        let _ = each_without_escapes(attributes, found); // returns `None` after the last quote
        return;
    }
    let mut rest = attributes;
    while let Some((name, value)) = next_member(&mut rest) {
        match name {
            MemberValue::String(name) => found(name, value),
            MemberValue::Escaped(name) => found(&unquoted(name), value),
            _ => {}
        }
    }
}

/// If no quote is escaped, every second quote ends a string: all quotes are found in one pass.
fn each_without_escapes(attributes: &str, mut found: impl FnMut(&str, MemberValue<'_>)) -> Option<()> {
    let mut quotes = words::places(attributes.as_bytes(), |byte| byte == b'"');
    loop {
        let (start, end) = (quotes.next()?, quotes.next()?);
        let (name, after) = (attributes.get(start + 1..end)?, attributes.get(end + 1..)?);
        let Some(value) = after.trim_ascii_start().strip_prefix(':') else { continue };
        let value = value.trim_ascii_start();
        match value.as_bytes().first()? {
            b'"' => found(name, MemberValue::String(attributes.get(quotes.next()? + 1..quotes.next()?)?)),
            b'{' | b'[' => found(name, MemberValue::Nested),
            _ => found(name, scalar(value)?),
        }
    }
}

/// Returns the number or word that a text begins with.
fn scalar(text: &str) -> Option<MemberValue<'_>> {
    // A blank, a comma, or one of the closing brackets, which differ in one bit.
    let is_end = |byte: u8| byte <= b' ' || byte == b',' || byte | 0x20 == b'}';
    let value = text.get(..text.bytes().position(is_end)?)?;
    let is_number = value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    Some(if is_number { MemberValue::Number(value) } else { MemberValue::Word(value) })
}

/// Returns the next string that is a name, and its value. `rest` then begins after the value, or
/// inside it if the value is nested.
fn next_member<'a>(rest: &mut &'a str) -> Option<(MemberValue<'a>, MemberValue<'a>)> {
    loop {
        let name = next_string(rest)?;
        let Some(value) = rest.trim_ascii_start().strip_prefix(':') else { continue };
        *rest = value.trim_ascii_start();
        let first = *rest.as_bytes().first()?;
        if first == b'"' {
            return Some((name, next_string(rest)?));
        }
        if matches!(first, b'{' | b'[') {
            *rest = rest.get(1..)?;
            return Some((name, MemberValue::Nested));
        }
        let value = scalar(rest)?;
        if let MemberValue::Number(text) | MemberValue::Word(text) = value {
            *rest = rest.get(text.len()..)?;
        }
        return Some((name, value));
    }
}

/// Returns the next string; `rest` then begins after it.
fn next_string<'a>(rest: &mut &'a str) -> Option<MemberValue<'a>> {
    let start = memchr(b'"', rest.as_bytes())?;
    let content = rest.get(start + 1..)?;
    let end = memchr2(b'"', b'\\', content.as_bytes())?;
    if content.as_bytes()[end] == b'"' {
        *rest = content.get(end + 1..)?;
        return content.get(..end).map(MemberValue::String);
    }
    let (string, after) = rest.get(start..)?.split_at_checked(end_of_string(rest.get(start..)?)?)?;
    *rest = after;
    Some(MemberValue::Escaped(string))
}

/// Iterates over the members of an object: each name with its quotes, and each value as written.
pub(super) struct Members<'a> {
    rest: &'a str,
}

impl<'a> Members<'a> {
    /// Creates the iterator, which is empty if the text is not an object.
    pub(super) fn new(object: &'a str) -> Members<'a> {
        Members { rest: object.trim_start().strip_prefix('{').unwrap_or("") }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let start = self.rest.trim_start_matches(|c: char| c == ',' || c.is_ascii_whitespace());
        let (name, rest) = start.split_at_checked(end_of_string(start)?)?;
        let value = rest.trim_start().strip_prefix(':')?.trim_start();
        let (value, rest) = value.split_at_checked(end_of_value(value)?)?;
        self.rest = rest;
        Some((name, value))
    }
}

/// Returns the end of the value that a text begins with.
fn end_of_value(text: &str) -> Option<usize> {
    match text.as_bytes().first()? {
        b'"' => end_of_string(text),
        b'{' | b'[' => end_of_nested(text),
        _ => text.find(|c: char| matches!(c, ',' | '}' | ']') || c.is_ascii_whitespace()),
    }
}

fn end_of_string(text: &str) -> Option<usize> {
    let bytes = text.strip_prefix('"')?.as_bytes();
    let mut position = 0;
    loop {
        position += memchr2(b'"', b'\\', bytes.get(position..)?)?;
        if bytes[position] == b'"' {
            return Some(position + 2);
        }
        position += 2;
    }
}

fn end_of_nested(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut position, mut depth) = (0, 0usize);
    loop {
        match bytes.get(position)? {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b'"' => position += end_of_string(text.get(position..)?)? - 1,
            _ => {}
        }
        position += 1;
        if depth == 0 {
            return Some(position);
        }
    }
}

/// Returns the content of a JSON string that has its quotes. Escapes remain as written if the
/// string contains half of a surrogate pair, which a text cannot contain.
pub(super) fn unquoted(string: &str) -> Cow<'_, str> {
    let inner = string.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(string);
    if memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(string).map_or(Cow::Borrowed(inner), Cow::Owned)
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
