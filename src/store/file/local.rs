//! Local time in the format of Python's `logging`, computed once per second.

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::record::time::{SECOND, day_number};

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
        day_number(self.date_time(nanoseconds.div_euclid(SECOND)).date())
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

/// Parses a date in the form that [`civil::Date`] displays, such as `2026-11-21`.
pub(super) fn parse_day(text: &str) -> Option<i32> {
    let date: civil::Date = text.parse().ok()?;
    (date.to_string() == text).then(|| day_number(date))
}
