//! The header `Date`; replaces the crate of this name from crates.io.
//!
//! hyper formats the system's time whenever it polls a connection, even if it does not send the
//! header. The original crate panics if the clock is before 1970 or after 9999, so that no request
//! is answered. This one uses the nearest time that the format can express. It has only what hyper
//! uses.

#![forbid(unsafe_code)]

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A time in the form of RFC 9110: `Sun, 06 Nov 1994 08:49:37 GMT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate {
    /// Seconds since 1970, up to the last of 9999.
    seconds: u64,
}

/// 9999-12-31 23:59:59.
const SECONDS_MAX: u64 = 253_402_300_799;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // from 1970-01-01 on

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl From<SystemTime> for HttpDate {
    fn from(time: SystemTime) -> HttpDate {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        HttpDate { seconds: since.as_secs().min(SECONDS_MAX) }
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.seconds / 86_400, self.seconds % 86_400);
        let (year, month, day) = civil(days);
        write!(
            formatter,
            "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
            DAYS[(days % 7) as usize],
            MONTHS[(month - 1) as usize],
            second / 3600,
            second / 60 % 60,
            second % 60,
        )
    }
}

/// Returns the date of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153; // March is 0
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (400 * era + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_have_their_form_and_borders() {
        let show = |seconds| HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_255_200, "Sat, 21 Nov 2026 10:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (SECONDS_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (SECONDS_MAX + 1, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(show(seconds), text);
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(HttpDate::from(before).to_string(), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
