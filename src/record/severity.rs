//! Severities: OpenTelemetry's numbers, and the names that senders use.
//!
//! The numbers are those of OpenTelemetry's log data model (1 to 24 in six ranges of four).
//! Python's levels are mapped as in OpenTelemetry's Python SDK (`std_to_otel`), except that levels
//! 1 to 9, which loguru uses for TRACE, are TRACE here.

/// Severity number 1, the first of its range.
pub const TRACE: u8 = 1;
/// Severity number 5, the first of its range.
pub const DEBUG: u8 = 5;
/// Severity number 9, the first of its range.
pub const INFO: u8 = 9;
/// Severity number 13, the first of its range.
pub const WARN: u8 = 13;
/// Severity number 17, the first of its range. Records with this number or a higher one report an
/// error.
pub const ERROR: u8 = 17;
/// Severity number 21, the first of its range.
pub const FATAL: u8 = 21;

const NAMES: [&str; 25] = [
    "", "TRACE", "TRACE2", "TRACE3", "TRACE4", "DEBUG", "DEBUG2", "DEBUG3", "DEBUG4", "INFO", "INFO2",
    "INFO3", "INFO4", "WARN", "WARN2", "WARN3", "WARN4", "ERROR", "ERROR2", "ERROR3", "ERROR4", "FATAL",
    "FATAL2", "FATAL3", "FATAL4",
];

/// Returns OpenTelemetry's short name of a severity number, or an empty text for 0 and numbers out
/// of range.
pub fn name(number: u8) -> &'static str {
    NAMES.get(usize::from(number)).copied().unwrap_or("")
}

/// Returns the name of the range of four that contains a severity number, or an empty text for 0
/// and numbers out of range.
pub fn name_of_range(number: u8) -> &'static str {
    name(number - number.saturating_sub(1) % 4)
}

/// Returns the severity number of a Python level.
pub fn from_python(level: i64) -> u8 {
    match level {
        i64::MIN..=0 => 0,
        1..=9 => TRACE,
        10..=52 => {
            let (tens, ones) = ((level / 10) as u8, (level % 10).min(3) as u8);
            1 + tens * 4 + ones
        }
        _ => 24,
    }
}

/// Returns the Python level that is nearest to a severity number, or 0 (`NOTSET`) for no severity.
pub fn to_python(number: u8) -> i64 {
    match number {
        0 => 0,
        TRACE..DEBUG => 5,
        _ => i64::from((number - 1) / 4 * 10 + (number - 1) % 4),
    }
}

/// Returns the severity number of a level of pino or bunyan, 10 to 60.
pub fn from_pino(level: i64) -> u8 {
    match level {
        i64::MIN..=0 => 0,
        1..=60 => (1 + (level - 10).max(0) / 10 * 4 + (level % 10).min(3)) as u8,
        _ => 24,
    }
}

/// Returns the severity number of a syslog severity, 0 (emergency) to 7 (debug), which GELF and the
/// journal also use.
pub fn from_syslog(severity: i64) -> u8 {
    const NUMBERS: [u8; 8] = [21, 19, 18, 17, 13, 10, 9, 5];
    usize::try_from(severity).ok().and_then(|severity| NUMBERS.get(severity).copied()).unwrap_or(0)
}

/// Returns the severity number of a word in any case, in the spellings of the common logging
/// libraries.
pub fn from_text(text: &str) -> Option<u8> {
    let mut upper = [0; 16];
    let upper = upper.get_mut(..text.len())?;
    upper.copy_from_slice(text.as_bytes());
    upper.make_ascii_uppercase();
    Some(match &*upper {
        b"TRACE" | b"VERBOSE" | b"SILLY" | b"FINEST" | b"FINER" => TRACE,
        b"DEBUG" | b"DBG" | b"FINE" => DEBUG,
        b"INFO" | b"INFORMATION" | b"INFORMATIONAL" | b"DEFAULT" | b"HTTP" => INFO,
        b"NOTICE" => 10,
        b"SUCCESS" => 12,
        b"WARN" | b"WARNING" => WARN,
        b"ERROR" | b"ERR" | b"SEVERE" => ERROR,
        b"CRITICAL" | b"CRIT" => FATAL,
        b"ALERT" => 19,
        b"FATAL" | b"PANIC" | b"EMERG" | b"EMERGENCY" => FATAL,
        other => {
            let number = NAMES.iter().skip(1).position(|name| name.as_bytes() == other)?;
            return Some(number as u8 + 1);
        }
    })
}

/// Returns the range of numbers that a word denotes in a query: `warn` is 13 to 16, `warn2` is 14
/// alone.
pub fn range_of_text(text: &str) -> Option<(u8, u8)> {
    let first = from_text(text)?;
    let exact = text.ends_with(|last: char| last.is_ascii_digit());
    let whole_range = !exact && first % 4 == 1;
    Some((first, if whole_range { first + 3 } else { first }))
}
