//! The shapes of values: how each is written, and parsed from text.

use std::path::PathBuf;
use std::time::Duration;

use crate::limits::DURATION_SECONDS_MAX;

/// How the values of an option are written, and the function that parses one.
#[derive(Clone, Copy)]
pub struct Shape<T> {
    /// The placeholder for the value in `--help`, such as `SIZE`.
    pub name: &'static str,
    /// What is accepted, as the rest of the sentence "It takes ...".
    pub accepts: &'static str,
    /// Whether there is one value, a list, or a switch.
    pub form: Arity,
    /// Parses one value. The error is a sentence without its subject, such as "is not a size".
    pub parse: fn(&str) -> Result<T, String>,
}

/// How many values an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Exactly one.
    One,
    /// One or more. On the command line the flag is repeated.
    List,
    /// `true` or `false`. A flag without a value means `true`.
    Switch,
}

impl<T> Shape<T> {
    /// Returns the shape of an option that takes exactly one value.
    pub(super) const fn one(
        name: &'static str,
        accepts: &'static str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Shape<T> {
        Shape { name, accepts, form: Arity::One, parse }
    }
}

/// A path, relative to the working directory.
pub(super) const PATH: Shape<PathBuf> = Shape::one("PATH", "a path", path);

/// A path or `none`.
pub(super) const OPTIONAL_PATH: Shape<Option<PathBuf>> =
    Shape::one("PATH", "a path, or `none`", |text| optional(path, text));

/// Any text except the empty one.
pub(super) const TEXT: Shape<String> = Shape::one("TEXT", "a text", text);

/// `true` or `false`.
pub(super) const SWITCH: Shape<bool> =
    Shape { form: Arity::Switch, ..Shape::one("true|false", "`true` or `false`", switch) };

/// An integer from 1.
pub(super) const COUNT: Shape<usize> = Shape::one("N", "a whole number from 1", count);

/// An integer from 0.
pub(super) const COUNT_OR_ZERO: Shape<usize> = Shape::one("N", "a whole number", count_or_zero);

/// An integer from 1, or `none`.
pub(super) const OPTIONAL_COUNT: Shape<Option<u32>> =
    Shape::one("N", "a whole number from 1, or `none`", optional_count);

/// A number of bytes, above 0.
pub(super) const SIZE: Shape<u64> = Shape::one("SIZE", SIZES, size);

/// A number of bytes that is held in memory at once, above 0.
pub(super) const MEMORY_SIZE: Shape<usize> = Shape::one("SIZE", SIZES, memory_size);

/// A number of bytes, or `none`.
pub(super) const OPTIONAL_SIZE: Shape<Option<u64>> =
    Shape::one("SIZE", "a size such as `64MiB`, `64MB` or plain bytes, or `none`", |text| {
        optional(size, text)
    });

/// A duration, above 0.
pub(super) const DURATION: Shape<Duration> =
    Shape::one("DURATION", "a duration such as `200ms`, `30s`, `15m`, `12h` or `30d`", duration);

/// A duration, or `none`.
pub(super) const OPTIONAL_DURATION: Shape<Option<Duration>> =
    Shape::one("DURATION", "a duration such as `15m`, `12h` or `30d`, or `none`", |text| {
        optional(duration, text)
    });

/// Whole seconds, above 0.
pub(super) const SECONDS: Shape<u64> =
    Shape::one("SECONDS", "whole seconds, or a duration such as `2m`", seconds);

const SIZES: &str = "a size such as `64MiB`, `64MB` or plain bytes";

fn path(text: &str) -> Result<PathBuf, String> {
    self::text(text).map(PathBuf::from)
}

fn text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("is empty".into()) } else { Ok(text.into()) }
}

fn switch(text: &str) -> Result<bool, String> {
    one_of(text, &[("true", true), ("false", false)])
}

fn count(text: &str) -> Result<usize, String> {
    match count_or_zero(text)? {
        0 => Err("is not above 0".into()),
        number => Ok(number),
    }
}

fn count_or_zero(text: &str) -> Result<usize, String> {
    text.replace('_', "").parse().map_err(|_| "is not a whole number".into())
}

fn optional_count(text: &str) -> Result<Option<u32>, String> {
    optional(|text| u32::try_from(count(text)?).map_err(|_| "is too large".into()), text)
}

fn memory_size(text: &str) -> Result<usize, String> {
    usize::try_from(size(text)?).map_err(|_| "is too large".into())
}

pub(super) fn optional<T>(
    parse: impl FnOnce(&str) -> Result<T, String>,
    text: &str,
) -> Result<Option<T>, String> {
    if text == "none" { Ok(None) } else { parse(text).map(Some) }
}

/// Parses one of a few words, such as `shed` or `block`.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    Err(format!("is none of {}", words.join(", ")))
}

/// Parses a number of bytes: `64MiB` (powers of 1024), `64MB` (powers of 1000) or plain bytes.
/// Upper and lower case are equal.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = number_and_unit(text).ok_or("is not a size")?;
    let unit_bytes: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1000u64.pow(2),
        "gb" => 1000u64.pow(3),
        "tb" => 1000u64.pow(4),
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(format!("has the unknown unit `{unit}`")),
    };
    match number.checked_mul(unit_bytes) {
        None => Err("is too large".into()),
        Some(0) => Err("is not above 0".into()),
        Some(bytes) => Ok(bytes),
    }
}

/// Parses a duration: an integer with `ms`, `s`, `m`, `h`, `d` or `w`; above 0, at most 100 years.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(text).ok_or("is not a duration")?;
    let unit_milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        "" => return Err("has no unit".into()),
        _ => return Err(format!("has the unknown unit `{unit}`")),
    };
    match number.checked_mul(unit_milliseconds) {
        Some(0) => Err("is not above 0".into()),
        Some(milliseconds) if milliseconds / 1000 <= DURATION_SECONDS_MAX => {
            Ok(Duration::from_millis(milliseconds))
        }
        _ => Err("is more than 100 years".into()),
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    let with_unit =
        if text.bytes().all(|byte| byte.is_ascii_digit()) { format!("{text}s") } else { text.into() };
    let duration = duration(&with_unit)?;
    if duration.subsec_nanos() == 0 { Ok(duration.as_secs()) } else { Err("is not whole seconds".into()) }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.replace('_', "").parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_parsed() {
        for (text, bytes) in [
            ("1", 1),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("64MB", 64_000_000),
            ("4GiB", 4 << 30),
            ("1TB", 1_000_000_000_000),
            ("1_000", 1000),
            ("12B", 12),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for (text, error) in [
            ("", "is not a size"),
            ("-1", "is not a size"),
            ("MiB", "is not a size"),
            ("0", "is not above 0"),
            ("64M", "has the unknown unit `M`"),
            ("1.5GiB", "has the unknown unit `.5GiB`"),
            ("99999999TiB", "is too large"),
        ] {
            assert_eq!(size(text), Err(error.into()), "{text}");
        }
    }

    #[test]
    fn duration_is_parsed() {
        for (text, milliseconds) in
            [("200ms", 200), ("30s", 30_000), ("15m", 900_000), ("12h", 43_200_000), ("30d", 2_592_000_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for (text, error) in [
            ("", "is not a duration"),
            ("soon", "is not a duration"),
            ("200", "has no unit"),
            ("0s", "is not above 0"),
            ("3months", "has the unknown unit `months`"),
            ("36600d", "is more than 100 years"),
            ("18446744073709551615w", "is more than 100 years"),
        ] {
            assert_eq!(duration(text), Err(error.into()), "{text}");
        }
    }

    #[test]
    fn seconds_need_no_unit() {
        assert_eq!((seconds("30"), seconds("2m")), (Ok(30), Ok(120)));
        assert_eq!(seconds("1500ms"), Err("is not whole seconds".into()));
        assert_eq!(seconds("0"), Err("is not above 0".into()));
    }

    #[test]
    fn none_is_parsed_as_no_value() {
        assert_eq!((OPTIONAL_SIZE.parse)("none"), Ok(None));
        assert_eq!((OPTIONAL_DURATION.parse)("30d"), Ok(Some(Duration::from_secs(30 * 86_400))));
        assert_eq!((OPTIONAL_COUNT.parse)("7"), Ok(Some(7)));
        assert_eq!((OPTIONAL_COUNT.parse)("4294967296"), Err("is too large".into()));
    }

    #[test]
    fn word_is_parsed() {
        assert_eq!(one_of("false", &[("true", true), ("false", false)]), Ok(false));
        assert_eq!((SWITCH.parse)("yes"), Err("is none of `true`, `false`".into()));
    }
}
