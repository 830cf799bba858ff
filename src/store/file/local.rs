//! Local time in the format of Python's `logging`, computed once per second.

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::record::time::SECOND;

/// A time zone, and the last second that was formatted.
pub(super) struct LocalTime {
    zone: TimeZone,
    second: i64,
    /// `2026-11-21 10:00:00,123`. Its first [`SECOND_BYTES`] bytes belong to `second`.
    text: String,
}

/// The length of `2026-11-21 10:00:00,`.
const SECOND_BYTES: usize = 20;

impl LocalTime {
    pub(super) fn new(zone: TimeZone) -> LocalTime {
        let mut local = LocalTime { zone, second: 0, text: String::new() };
        local.show_second();
        local
    }

    /// Returns a time as `%(asctime)s`. The time is in ns since the Unix epoch.
    pub(super) fn asctime(&mut self, nanoseconds: i64) -> &str {
        let second = nanoseconds.div_euclid(SECOND);
        if second != self.second {
            self.second = second;
            self.show_second();
        }
        self.text.truncate(SECOND_BYTES);
        let milliseconds = (nanoseconds.rem_euclid(SECOND) / 1_000_000) as u32; // below 1000
        for divisor in [100, 10, 1] {
            self.text.push(char::from(b'0' + (milliseconds / divisor % 10) as u8));
        }
        &self.text
    }

    /// Returns the local day, as the number of days since the day of the Unix epoch.
    pub(super) fn day(&self, nanoseconds: i64) -> i32 {
        let date = self.date_time(nanoseconds.div_euclid(SECOND)).date();
        // A civil day has 24 hours, and the times in i64 ns span 213,504 days.
        date.duration_since(EPOCH).as_hours() as i32 / 24
    }

    fn show_second(&mut self) {
        self.text.clear();
        let time = self.date_time(self.second);
        let year = time.year(); // times in i64 ns are between 1677 and 2262
        let pairs = [(year / 100) as i8, (year % 100) as i8, time.month(), time.day()];
        let clock = [time.hour(), time.minute(), time.second()];
        for (pair, after) in pairs.into_iter().chain(clock).zip(["", "-", "-", " ", ":", ":", ","]) {
            self.text.push(char::from(b'0' + (pair / 10) as u8));
            self.text.push(char::from(b'0' + (pair % 10) as u8));
            self.text.push_str(after);
        }
    }

    fn date_time(&self, second: i64) -> civil::DateTime {
        self.zone.to_datetime(Timestamp::from_second(second).unwrap_or_default())
    }
}

const EPOCH: civil::Date = civil::date(1970, 1, 1);

/// Formats a day that [`LocalTime::day`] returned, such as `2026-11-21`.
pub(super) fn date_text(day: i32) -> String {
    EPOCH.saturating_add(jiff::SignedDuration::from_hours(i64::from(day) * 24)).to_string()
}

/// Parses a date as [`date_text`] writes it.
pub(super) fn day_of(text: &str) -> Option<i32> {
    let date: civil::Date = text.parse().ok()?;
    // The cast fits, because years have four digits.
    (date.to_string() == text).then(|| (date.duration_since(EPOCH).as_hours() / 24) as i32)
}
