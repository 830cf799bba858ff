//! Python's `%` operator on a text: what `logging` does to a message and its arguments.
//!
//! By the "printf-style String Formatting" of Python's library reference. Where Python would raise, or where the
//! result would be out of bounds, there is no result: the caller then shows template and arguments as they are.

use std::borrow::Cow;
use std::fmt::Write;

use super::repr;
use crate::limits::{PERCENT_DIRECTIVES_MAX, PERCENT_WIDTH_MAX, RECORD_BYTES_MAX};

/// An argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Counts as 0 or 1 where a number is asked for.
    Bool(bool),
    /// An `int` that fits.
    Integer(i64),
    /// An `int` that does not fit, as decimal digits.
    Long(String),
    /// A `float`.
    Float(f64),
    /// A `str`.
    Text(&'a str),
    /// Anything else, as `str` or `repr` shows it.
    Other(String),
}

/// What stands on the right of `%`.
#[derive(Clone, Copy, Debug)]
pub enum Arguments<'a> {
    /// A tuple, or one value that is no dict.
    Positional(&'a [Value<'a>]),
    /// A dict, and the same as one value, for templates that name none of its keys.
    Named(&'a [(&'a str, Value<'a>)], &'a Value<'a>),
}

/// Merges a template with its arguments. `None` where Python would raise an error, and for templates and results
/// out of bounds ([`PERCENT_DIRECTIVES_MAX`], [`PERCENT_WIDTH_MAX`], [`RECORD_BYTES_MAX`]).
pub fn format(template: &str, arguments: &Arguments<'_>) -> Option<String> {
    let mut merge = Merge { rest: template, arguments: *arguments, used: 0, is_named: false };
    let mut out = String::with_capacity(template.len() + 64);
    for _ in 0..PERCENT_DIRECTIVES_MAX {
        match merge.rest.split_once('%') {
            None => {
                out.push_str(merge.rest);
                return merge.are_all_used().then_some(out);
            }
            Some((before, after)) => {
                out.push_str(before);
                merge.rest = after;
                merge.directive(&mut out)?;
            }
        }
        if out.len() > RECORD_BYTES_MAX {
            return None;
        }
    }
    None
}

/// A template being merged.
struct Merge<'a> {
    rest: &'a str,
    arguments: Arguments<'a>,
    /// Arguments taken so far, in order.
    used: usize,
    is_named: bool,
}

/// What stands between `%` and the type.
#[derive(Clone, Copy, Debug, Default)]
struct Directive {
    alternate: bool,
    zero: bool,
    left: bool,
    space: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

impl<'a> Merge<'a> {
    fn directive(&mut self, out: &mut String) -> Option<()> {
        let name = self.name()?;
        let mut directive = self.flags();
        directive.width = match self.number()? {
            Some(width) => {
                directive.left |= width < 0;
                usize::try_from(width.unsigned_abs()).ok()?
            }
            None => 0,
        };
        if self.take('.') {
            directive.precision = Some(usize::try_from(self.number()?.unwrap_or(0).max(0)).ok()?);
        }
        if directive.width > PERCENT_WIDTH_MAX || directive.precision > Some(PERCENT_WIDTH_MAX) {
            return None;
        }
        while self.take('h') || self.take('l') || self.take('L') {}
        let kind = self.next_character()?;
        if kind == '%' {
            out.push('%');
            return Some(());
        }
        let value = match name {
            Some(name) => self.named(name)?,
            None => self.positional()?,
        };
        convert(kind, directive, value, out)
    }

    /// `(name)`, which may hold parentheses in pairs.
    fn name(&mut self) -> Option<Option<&'a str>> {
        let Some(inner) = self.rest.strip_prefix('(') else { return Some(None) };
        let mut depth = 1;
        for (at, byte) in inner.bytes().enumerate() {
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.rest = &inner[at + 1..];
                return Some(Some(&inner[..at]));
            }
        }
        None
    }

    fn flags(&mut self) -> Directive {
        let mut directive = Directive::default();
        loop {
            let flag = match self.rest.bytes().next() {
                Some(b'#') => &mut directive.alternate,
                Some(b'0') => &mut directive.zero,
                Some(b'-') => &mut directive.left,
                Some(b' ') => &mut directive.space,
                Some(b'+') => &mut directive.plus,
                _ => return directive,
            };
            *flag = true;
            self.rest = &self.rest[1..];
        }
    }

    /// Digits, or `*` for the next argument; the outer `None` is an error.
    fn number(&mut self) -> Option<Option<i64>> {
        if self.take('*') {
            return match self.positional()? {
                Value::Integer(value) => Some(Some(*value)),
                Value::Bool(value) => Some(Some(i64::from(*value))),
                _ => None,
            };
        }
        let length = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        if digits.is_empty() { Some(None) } else { digits.parse().ok().map(Some) }
    }

    fn take(&mut self, character: char) -> bool {
        let stripped = self.rest.strip_prefix(character);
        self.rest = stripped.unwrap_or(self.rest);
        stripped.is_some()
    }

    fn next_character(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let character = characters.next()?;
        self.rest = characters.as_str();
        Some(character)
    }

    fn named(&mut self, name: &str) -> Option<&'a Value<'a>> {
        let Arguments::Named(values, _) = self.arguments else { return None };
        self.is_named = true;
        values.iter().rev().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    fn positional(&mut self) -> Option<&'a Value<'a>> {
        self.used += 1;
        match self.arguments {
            Arguments::Positional(values) => values.get(self.used - 1),
            Arguments::Named(_, whole) => (self.used == 1 && !self.is_named).then_some(whole),
        }
    }

    fn are_all_used(&self) -> bool {
        match self.arguments {
            Arguments::Positional(values) => values.len() == self.used,
            Arguments::Named(..) => true,
        }
    }
}

fn convert(kind: char, directive: Directive, value: &Value<'_>, out: &mut String) -> Option<()> {
    match kind {
        's' => pad_text(&str_of(value), directive, out),
        'r' => pad_text(&repr_of(value), directive, out),
        'a' => {
            let mut text = String::new();
            repr::ascii(&repr_of(value), &mut text);
            pad_text(&text, directive, out);
        }
        'c' => pad_text(&character(value)?, Directive { precision: None, ..directive }, out),
        'd' | 'i' | 'u' => whole_number(&decimal(value)?, "", directive, out),
        'x' | 'X' | 'o' => radix(kind, directive, value, out)?,
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => float(kind, directive, value, out)?,
        _ => return None,
    }
    Some(())
}

fn str_of<'a>(value: &'a Value<'_>) -> Cow<'a, str> {
    match value {
        Value::Bool(value) => Cow::Borrowed(if *value { "True" } else { "False" }),
        Value::Integer(value) => Cow::Owned(value.to_string()),
        Value::Float(value) => {
            let mut text = String::new();
            repr::float(*value, &mut text);
            Cow::Owned(text)
        }
        Value::Text(text) => Cow::Borrowed(text),
        Value::Long(text) | Value::Other(text) => Cow::Borrowed(text),
    }
}

fn repr_of<'a>(value: &'a Value<'_>) -> Cow<'a, str> {
    match value {
        Value::Text(text) => {
            let mut quoted = String::with_capacity(text.len() + 2);
            repr::text(text, &mut quoted);
            Cow::Owned(quoted)
        }
        other => str_of(other),
    }
}

/// `%c`: a character, or the number of one.
fn character(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) if text.chars().count() == 1 => Some((*text).to_owned()),
        Value::Integer(code) => Some(char::from_u32(u32::try_from(*code).ok()?)?.to_string()),
        _ => None,
    }
}

/// `%d`: the digits of a whole number, or of a float without its fraction.
fn decimal(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Bool(value) => Some(u8::from(*value).to_string()),
        Value::Integer(value) => Some(value.to_string()),
        Value::Long(digits) => Some(digits.clone()),
        Value::Float(value) if value.is_finite() => Some(format!("{:.0}", value.trunc() + 0.0)),
        _ => None,
    }
}

/// `%x`, `%X`, `%o`.
fn radix(kind: char, directive: Directive, value: &Value<'_>, out: &mut String) -> Option<()> {
    let value = match value {
        Value::Bool(value) => i64::from(*value),
        Value::Integer(value) => *value,
        _ => return None,
    };
    let size = value.unsigned_abs();
    let (digits, prefix) = match kind {
        'x' => (format!("{size:x}"), "0x"),
        'X' => (format!("{size:X}"), "0X"),
        _ => (format!("{size:o}"), "0o"),
    };
    let text = if value < 0 { format!("-{digits}") } else { digits };
    whole_number(&text, if directive.alternate { prefix } else { "" }, directive, out);
    Some(())
}

/// Digits with a sign, to which the precision adds zeros.
fn whole_number(text: &str, prefix: &str, directive: Directive, out: &mut String) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let precision = directive.precision.unwrap_or(0);
    pad_number(text.starts_with('-'), prefix, &format!("{digits:0>precision$}"), directive, out);
}

/// `%e`, `%f`, `%g` and their capitals, as C's `printf`.
fn float(kind: char, directive: Directive, value: &Value<'_>, out: &mut String) -> Option<()> {
    let value = match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Integer(value) => *value as f64,
        Value::Long(digits) => digits.parse().ok()?,
        Value::Float(value) => *value,
        _ => return None,
    };
    let (size, precision) = (value.abs(), directive.precision.unwrap_or(6));
    let mut text = match kind.to_ascii_lowercase() {
        _ if value.is_nan() => "nan".to_owned(),
        _ if value.is_infinite() => "inf".to_owned(),
        'f' => fixed(size, precision),
        'e' => scientific(size, precision),
        _ => general(size, precision.max(1), directive.alternate),
    };
    if directive.alternate && precision == 0 && !text.contains('.') {
        text.insert(text.find('e').unwrap_or(text.len()), '.');
    }
    if kind.is_ascii_uppercase() {
        text.make_ascii_uppercase();
    }
    pad_number(value.is_sign_negative() && !value.is_nan(), "", &text, directive, out);
    Some(())
}

fn fixed(size: f64, precision: usize) -> String {
    format!("{size:.precision$}")
}

fn scientific(size: f64, precision: usize) -> String {
    let mut text = String::new();
    repr::exponent(&format!("{size:.precision$e}"), &mut text);
    text
}

/// `%g`: `precision` digits in all, with an exponent where it is small or large, without zeros at the end.
fn general(size: f64, precision: usize, keep_zeros: bool) -> String {
    let scientific = scientific(size, precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i64 = exponent.parse().unwrap_or(0);
    if (-4..precision as i64).contains(&power) {
        let text = fixed(size, (precision as i64 - 1 - power) as usize); // not below 0, since power < precision
        return if keep_zeros { text } else { without_zeros(&text).to_owned() };
    }
    let mantissa = if keep_zeros { mantissa } else { without_zeros(mantissa) };
    format!("{mantissa}e{exponent}")
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Pads a number: zeros go between its sign and its digits.
fn pad_number(is_negative: bool, prefix: &str, digits: &str, directive: Directive, out: &mut String) {
    let sign = match (is_negative, directive.plus, directive.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    let width = directive.width;
    // Writing to a String cannot fail.
    let _ = if directive.left {
        write!(out, "{:<width$}", format!("{sign}{prefix}{digits}"))
    } else if directive.zero {
        let width = width.saturating_sub(sign.len() + prefix.len());
        write!(out, "{sign}{prefix}{digits:0>width$}")
    } else {
        write!(out, "{:>width$}", format!("{sign}{prefix}{digits}"))
    };
}

/// Pads a text, of which the precision keeps so many characters.
fn pad_text(text: &str, directive: Directive, out: &mut String) {
    let (width, precision) = (directive.width, directive.precision.unwrap_or(usize::MAX));
    let cut = match text.char_indices().nth(precision) {
        Some((end, _)) => &text[..end],
        None => text,
    };
    // Writing to a String cannot fail.
    let _ = if directive.left { write!(out, "{cut:<width$}") } else { write!(out, "{cut:>width$}") };
}
