//! Times as people write them: the forms of [`record::time::parse`](crate::record::time::parse),
//! dates, and times ago.

use jiff::civil;

use crate::record::time::{SECOND, parse as parse_instant};

/// The accepted forms, for hints.
pub const FORMS: &str = "a time is like 2026-11-21T10:00:00Z, 2026-11-21, 1h (an hour ago), 1h30m, now, \
                         or a Unix time in s, ms, us or ns";

const DAY: i64 = 86_400 * SECOND;

/// Units of times ago, in ns. A unit that begins with the letter of another unit comes before that
/// unit.
const UNITS: [(&str, i64); 6] =
    [("ms", 1_000_000), ("s", SECOND), ("m", 60 * SECOND), ("h", 3600 * SECOND), ("d", DAY), ("w", 7 * DAY)];

/// The text is not a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time; {FORMS}")]
pub struct TimeError {
    /// The text.
    pub text: String,
}

/// Returns the time that a text names, in ns since the Unix epoch; for a date, its start in UTC.
///
/// `now`, `1h`, `-1h`, `now-1h` and `1h30m` (in ms, s, m, h, d, w) count back from the argument
/// `now`.
pub fn parse(text: &str, now: i64) -> Result<i64, TimeError> {
    match span(text, now) {
        Some((first, _)) => Ok(first),
        None => Err(TimeError { text: text.to_owned() }),
    }
}

/// Returns the first and the last ns that a text stands for: those of the day for a date, else the
/// same instant twice.
pub(super) fn span(text: &str, now: i64) -> Option<(i64, i64)> {
    let text = text.trim();
    if let Some(start) = parse_date(text) {
        return Some((start, start.checked_add(DAY - 1)?));
    }
    let instant = match parse_ago(text) {
        Some(ago) => now.saturating_sub(ago),
        None => parse_instant(text)?,
    };
    Some((instant, instant))
}

/// Parses `2026-11-21`, and no other form of a date: all other forms have a time of day.
fn parse_date(text: &str) -> Option<i64> {
    let is_date = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    (is_date && text.parse::<civil::Date>().is_ok()).then(|| parse_instant(text))?
}

/// Returns the distance before now, in ns.
fn parse_ago(text: &str) -> Option<i64> {
    if text == "now" {
        return Some(0);
    }
    let text = text.strip_prefix("now").filter(|rest| rest.starts_with('-')).unwrap_or(text);
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    let mut sum = None;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().ok()?;
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest[digits..].starts_with(unit))?;
        rest = &rest[digits + unit.len()..];
        sum = Some(number.checked_mul(*factor)?.checked_add(sum.unwrap_or(0))?);
    }
    sum
}
