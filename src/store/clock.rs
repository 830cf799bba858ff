//! Decides whether the clock can be trusted when it shows that records are too old.
//!
//! An age is the difference between two readings of the clock, and clocks step. Nothing else would
//! distinguish a step of ten years forward from ten years that have passed: every record would be
//! too old at once. So records are deleted for their age only while there is evidence that the
//! clock has been running steadily for a while (a day, or as long as records are kept if that is
//! less): either the process has watched the clock for that long, or the database shows that
//! records were received about that long ago. After a step, or a long time without a server, the
//! deletion waits for that long and logs that it waits. A restart neither shortens nor repeats the
//! wait.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::ServiceRetention;
use crate::limits::RETENTION_EVIDENCE_SECONDS_MAX;
use crate::record::time;

/// An age beyond which records are deleted, and what is known about the clock that shows their age.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgeLimit {
    age: Duration,
    /// Since when the wall clock has run steadily, on the monotonic clock.
    even_since: Instant,
    /// The last reading of the monotonic clock, and of the wall clock in ns since the Unix epoch.
    last: (Instant, i64),
    /// True if it was already logged that the deletion waits.
    is_told: bool,
}

impl AgeLimit {
    /// Creates a limit for a clock that is read for the first time.
    pub(super) fn new(age: Duration) -> AgeLimit {
        let now = Instant::now();
        AgeLimit { age, even_since: now, last: (now, time::now()), is_told: false }
    }

    /// Returns the time before which records are too old.
    pub(super) fn time(&self, now: i64) -> i64 {
        now.saturating_sub(nanoseconds(self.age))
    }

    /// Returns true if records that are too old may be deleted, because the clock can be trusted.
    /// Otherwise, logs once that the deletion waits, if there `are_due` records. `were_received`
    /// queries the database for whether records were received in a range of times.
    pub(super) fn is_credible<E>(
        &mut self,
        now: i64,
        are_due: bool,
        were_received: impl FnOnce(RangeInclusive<i64>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let wait = self.age.min(Duration::from_secs(RETENTION_EVIDENCE_SECONDS_MAX));
        let tolerance = nanoseconds(self.age) / 4;
        let is_credible = self.even_for(Instant::now(), now, tolerance) >= wait || {
            let then = now.saturating_sub(nanoseconds(wait));
            were_received(then.saturating_sub(tolerance)..=then)?
        };
        let is_waiting = are_due && !is_credible;
        if is_waiting && !self.is_told {
            tracing::warn!(
                wait_seconds_max = wait.as_secs(),
                "retention waits: according to the clock the oldest records have expired, but the clock has stepped \
                 or no server has run for a long time; correct the clock if it is wrong"
            );
        }
        self.is_told = is_waiting;
        Ok(is_credible)
    }

    /// Reads the clock, and returns for how long it has not stepped by more than `tolerance` ns.
    fn even_for(&mut self, steady: Instant, wall: i64, tolerance: i64) -> Duration {
        let (last_steady, last_wall) = self.last;
        let expected = last_wall.saturating_add(nanoseconds(steady - last_steady));
        if wall.abs_diff(expected) > tolerance.unsigned_abs() {
            self.even_since = steady;
        }
        self.last = (steady, wall);
        steady - self.even_since
    }
}

/// The retention of one service.
pub(super) struct ServiceLimit {
    pub(super) service: String,
    pub(super) limit: AgeLimit,
}

impl ServiceLimit {
    pub(super) fn new(retention: &ServiceRetention) -> ServiceLimit {
        ServiceLimit { service: retention.service.clone(), limit: AgeLimit::new(retention.age) }
    }
}

/// Converts a span of time to ns, at most `i64::MAX`.
fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_step_restarts_its_observation() {
        let start = Instant::now();
        let second = time::SECOND;
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut limit = AgeLimit { even_since: start, last: (start, 0), ..AgeLimit::new(Duration::ZERO) };
        let mut look = |seconds, wall| limit.even_for(at(seconds), wall * second, 10 * second).as_secs();
        assert_eq!(look(100, 100), 100);
        assert_eq!(look(200, 209), 200, "what is tolerated");
        assert_eq!(look(300, 1_000_000), 0, "forward");
        assert_eq!(look(400, 1_000_100), 100);
        assert_eq!(look(500, 500), 0, "and back");
        assert_eq!(look(600, 600), 100);
    }

    #[test]
    fn deletion_waits_only_while_records_are_due() {
        let mut limit = AgeLimit::new(Duration::from_secs(30 * 86_400));
        for (are_due, is_shown, is_waiting) in
            [(true, false, true), (false, false, false), (true, false, true), (true, true, false)]
        {
            let is_credible = limit.is_credible(time::now(), are_due, |_| Ok::<_, ()>(is_shown));
            assert_eq!((is_credible, limit.is_told), (Ok(is_shown), is_waiting));
        }
    }
}
