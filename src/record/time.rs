//! Times: ns since the Unix epoch in an `i64`, and the formats in which senders and users write
//! them.

use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;

/// Returns the current time in ns since the Unix epoch, limited to the range of an `i64` (1677 to
/// 2262). All code uses this function: conversions of the system's clock in libraries panic before
/// 1970.
pub fn now() -> i64 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

/// Converts seconds since the epoch as a float, rounded to whole microseconds: today's times in a
/// float64 are 238 ns apart, so anything finer would be noise. Returns `None` if the number is not
/// finite or out of range.
pub fn from_seconds(seconds: f64) -> Option<i64> {
    let microseconds = (seconds * 1e6).round();
    (microseconds.abs() < 9.2e15).then(|| microseconds as i64 * 1000)
}

/// Converts an integer since the epoch in s, ms, us or ns. The unit follows from the size: below
/// 1e11 it is seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds.
pub fn from_epoch(number: i64) -> Option<i64> {
    let factor = match number.unsigned_abs() {
        0..100_000_000_000 => SECOND,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1000,
        _ => 1,
    };
    number.checked_mul(factor)
}

/// Converts a number with a fraction as [`from_epoch`] does an integer.
pub fn from_epoch_float(number: f64) -> Option<i64> {
    let unit = match number.abs() {
        size if size < 1e11 => 1.0,
        size if size < 1e14 => 1e3,
        size if size < 1e17 => 1e6,
        _ => 1e9,
    };
    from_seconds(number / unit)
}

/// Parses a time: RFC 3339 (also with a space instead of the `T`, a comma before the fraction, or
/// no offset, which means UTC), or a number as accepted by [`from_epoch`].
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some(nanoseconds) = parse_rfc3339_utc(text.as_bytes()) {
        return Some(nanoseconds);
    }
    if let Ok(number) = text.parse::<i64>() {
        return from_epoch(number);
    }
    if let Ok(number) = text.parse::<f64>() {
        return from_epoch_float(number);
    }
    let dotted;
    let text = if text.contains(',') {
        dotted = text.replacen(',', ".", 1);
        &dotted
    } else {
        text
    };
    let timestamp = match text.parse::<Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) => text.parse::<civil::DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
    };
    i64::try_from(timestamp.as_nanosecond()).ok()
}

/// Parses only the form that nearly every sender uses, `2026-11-21T10:00:00[.fraction]Z`, without
/// the generality of the other parsers.
fn parse_rfc3339_utc(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    if (head[4], head[7], head[10], head[13], head[16]) != (b'-', b'-', b'T', b':', b':') {
        return None;
    }
    let two = |at: usize| digits(&[head[at], head[at + 1]]);
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if !(1..=12).contains(&month) || !(1..=28).contains(&day) && !is_day(year, month, day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match tail {
        [b'Z'] => 0,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => {
            digits(fraction)? * 10i64.pow(9 - fraction.len() as u32)
        }
        _ => return None,
    };
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    seconds.checked_mul(SECOND)?.checked_add(fraction)
}

/// Parses a few decimal digits.
fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| value * 10 + i64::from(digit))
    })
}

fn is_day(year: i64, month: i64, day: i64) -> bool {
    civil::Date::new(year as i16, month as i8, day as i8).is_ok()
}

/// Returns the days from the epoch to a date of the Gregorian calendar (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

const EPOCH: civil::Date = civil::date(1970, 1, 1);

/// Returns the date of a day, given as the number of days since 1970-01-01.
pub fn date_of(day: i32) -> civil::Date {
    EPOCH.saturating_add(SignedDuration::from_hours(i64::from(day) * 24))
}

/// Returns a date as the number of days since 1970-01-01.
pub fn day_number(date: civil::Date) -> i32 {
    (date.duration_since(EPOCH).as_hours() / 24) as i32 // fits, because years have four digits
}

/// Formats a time as RFC 3339 in UTC with nine digits: `2026-11-21T10:00:00.123456789Z`. The texts
/// sort as the times do.
pub fn format(nanoseconds: i64) -> String {
    let timestamp = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default();
    format!("{timestamp:.9}")
}
