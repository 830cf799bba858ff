//! Numbers, sizes and durations as people read them.

use indicatif::HumanCount;

/// Formats a number with its noun: `1 segment`, `2 segments`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// Formats a number with separated thousands.
pub(crate) fn thousands(number: u64) -> String {
    HumanCount(number).to_string()
}

/// Formats a number in at most five characters: `1234`, `12.3k`.
pub(crate) fn compact(number: u64) -> String {
    const UNITS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if number < 10_000 {
        return number.to_string();
    }
    let (mut scaled, mut unit) = (number as f64 / 1000.0, 0);
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    if scaled < 99.95 { format!("{scaled:.1}{}", UNITS[unit]) } else { format!("{scaled:.0}{}", UNITS[unit]) }
}

/// Formats a number of bytes in the largest unit in which it is not below 1.
pub(crate) fn bytes(number: f64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1024.0 {
        return format!("{number} B");
    }
    let (mut scaled, mut unit) = (number / 1024.0, 0);
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// Formats seconds in the two largest units: `3 d 4 h`.
pub(crate) fn duration(seconds: f64) -> String {
    // Whole seconds are enough for a person. Negative numbers and NaN become 0, infinity becomes
    // the largest number.
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_with_units() {
        assert_eq!([1, 999, 1000, 1_234_567].map(thousands), ["1", "999", "1,000", "1,234,567"]);
        assert_eq!([9999, 12_345, 999_999, u64::MAX].map(compact), ["9999", "12.3k", "1.0M", "18.4E"]);
        assert_eq!([0.0, 59.0, 61.0, 3660.0].map(duration), ["0 s", "59 s", "1 min 1 s", "1 h 1 min"]);
        assert_eq!(bytes((1u64 << 62) as f64), "4096.0 PiB");
    }
}
