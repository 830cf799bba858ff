//! Python's `%` operator on a text, which `logging` applies to a message and its arguments.
//!
//! Follows "printf-style String Formatting" of Python's library reference. If Python would raise an
//! error, or if the result would exceed the limits, there is no result. The caller then shows the
//! template and the arguments unmerged.

mod convert;

#[cfg(test)]
mod tests;

use crate::limits::{PERCENT_DIRECTIVES_MAX, PERCENT_WIDTH_MAX, RECORD_BYTES_MAX};
use crate::record::python_format::{FormatSpec, take_digits};

/// An argument of the `%` operator.
#[derive(Clone, Debug, PartialEq)]
pub enum PercentValue<'a> {
    /// A `bool`, which counts as 0 or 1 where a number is required.
    Bool(bool),
    /// An `int` that fits into `i64`.
    Integer(i64),
    /// An `int` that does not fit into `i64`, as decimal digits.
    Long(String),
    /// A `float`.
    Float(f64),
    /// A `str`.
    Text(&'a str),
    /// Anything else, as `str` or `repr` shows it.
    Other(String),
}

impl PercentValue<'_> {
    fn text_bytes(&self) -> usize {
        match self {
            PercentValue::Text(text) => text.len(),
            PercentValue::Long(text) | PercentValue::Other(text) => text.len(),
            PercentValue::Bool(_) | PercentValue::Integer(_) | PercentValue::Float(_) => 0,
        }
    }
}

/// The right operand of `%`.
#[derive(Clone, Copy, Debug)]
pub enum PercentArguments<'a> {
    /// The elements of a tuple, or one value that is not a dict.
    Positional(&'a [PercentValue<'a>]),
    /// The items of a dict, and the dict as one value for templates that name none of its keys.
    Named(&'a [(&'a str, PercentValue<'a>)], &'a PercentValue<'a>),
}

/// Merges a template with its arguments. Returns `None` where Python would raise an error, and for
/// templates and results that exceed the limits ([`PERCENT_DIRECTIVES_MAX`], [`PERCENT_WIDTH_MAX`],
/// [`RECORD_BYTES_MAX`]).
pub fn format(template: &str, arguments: &PercentArguments<'_>) -> Option<String> {
    let mut merge = Merge { rest: template, arguments: *arguments, used: 0, bytes: 0, is_named: false };
    let mut out = Vec::with_capacity(template.len() + 64);
    for _ in 0..PERCENT_DIRECTIVES_MAX {
        match merge.rest.split_once('%') {
            None => {
                out.extend_from_slice(merge.rest.as_bytes());
                let text = String::from_utf8(out).ok(); // only whole texts were appended
                return text.filter(|_| merge.are_all_used());
            }
            Some((before, after)) => {
                out.extend_from_slice(before.as_bytes());
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

/// A template that is being merged.
struct Merge<'a> {
    rest: &'a str,
    arguments: PercentArguments<'a>,
    /// Number of positional arguments used so far.
    used: usize,
    /// Bytes of text in the arguments used so far.
    bytes: usize,
    is_named: bool,
}

impl<'a> Merge<'a> {
    fn directive(&mut self, out: &mut Vec<u8>) -> Option<()> {
        if self.take('%') {
            out.push(b'%');
            return Some(());
        }
        let name = self.name()?;
        let mut rest = self.rest;
        let spec = FormatSpec::parse(&mut rest, |rest| self.number(rest).ok_or(())).ok()?;
        self.rest = rest;
        if spec.width > PERCENT_WIDTH_MAX || spec.precision > Some(PERCENT_WIDTH_MAX) {
            return None;
        }
        while self.take('h') || self.take('l') || self.take('L') {}
        let kind = self.next_character()?;
        let value = match name {
            Some(name) => self.named(name)?,
            None => self.positional()?,
        };
        self.bytes += value.text_bytes();
        if self.bytes > RECORD_BYTES_MAX {
            return None; // even if a precision of zero keeps none of the text
        }
        convert::convert(kind, spec, value, out)
    }

    /// Reads an optional `(name)`, which may contain balanced parentheses. The outer `None` is an
    /// error.
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

    /// Reads optional digits, or takes the next argument for `*`. The outer `None` is an error.
    fn number(&mut self, rest: &mut &str) -> Option<Option<i64>> {
        if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            return match self.positional()? {
                PercentValue::Integer(value) => Some(Some(*value)),
                PercentValue::Bool(value) => Some(Some(i64::from(*value))),
                _ => None,
            };
        }
        match take_digits(rest) {
            "" => Some(None),
            digits => digits.parse().ok().map(Some),
        }
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

    fn named(&mut self, name: &str) -> Option<&'a PercentValue<'a>> {
        let PercentArguments::Named(values, _) = self.arguments else { return None };
        self.is_named = true;
        values.iter().rev().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    fn positional(&mut self) -> Option<&'a PercentValue<'a>> {
        self.used += 1;
        match self.arguments {
            PercentArguments::Positional(values) => values.get(self.used - 1),
            PercentArguments::Named(_, whole) => (self.used == 1 && !self.is_named).then_some(whole),
        }
    }

    fn are_all_used(&self) -> bool {
        match self.arguments {
            PercentArguments::Positional(values) => values.len() == self.used,
            PercentArguments::Named(..) => true,
        }
    }
}
