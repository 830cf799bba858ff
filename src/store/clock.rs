//! Whether the clock can be believed when it says that records are too old.
//!
//! Age is a difference between two readings of the clock, and clocks step. Nothing else would tell a step of ten years
//! forward from ten years that have passed: every record would be too old at once. So age deletes only while there is
//! evidence that the clock has been running as it does for a while (a day, or as long as records are kept if that is
//! less): the process has watched it for so long, or the database shows that records came about so long ago. After a step, or a
//! long time without a server, the deletion waits for so long, and says so. A restart neither shortens nor repeats the wait.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::limits::RETENTION_EVIDENCE_SECONDS_MAX;
use crate::record::time;

/// What is known of the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Since when it has run evenly, and the last look at it: on a clock that never steps, and on the wall.
    even_since: Instant,
    last: (Instant, i64),
    /// It was said that the deletion waits.
    is_told: bool,
}

impl Clock {
    /// One that is seen for the first time.
    pub(super) fn new() -> Clock {
        let now = Instant::now();
        Clock { even_since: now, last: (now, time::now()), is_told: false }
    }

    /// Looks at the clock, and tells for how long it has not stepped by more than a tolerance.
    fn even_for(&mut self, steady: Instant, wall: i64, tolerance: i64) -> Duration {
        let (last_steady, last_wall) = self.last;
        let expected = last_wall.saturating_add(nanoseconds(steady - last_steady));
        if wall.abs_diff(expected) > tolerance.unsigned_abs() {
            self.even_since = steady;
        }
        self.last = (steady, wall);
        steady - self.even_since
    }

    /// Whether records that are too old may be deleted. The database is asked whether records came in a stretch of time.
    pub(super) fn is_credible<E>(
        &mut self,
        age: Duration,
        now: i64,
        were_received: impl FnOnce(RangeInclusive<i64>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let wait = age.min(Duration::from_secs(RETENTION_EVIDENCE_SECONDS_MAX));
        let tolerance = nanoseconds(age) / 4;
        if self.even_for(Instant::now(), now, tolerance) >= wait {
            return Ok(true);
        }
        let then = now.saturating_sub(nanoseconds(wait));
        were_received(then.saturating_sub(tolerance)..=then)
    }

    /// Says once that the deletion waits.
    pub(super) fn tell(&mut self, is_credible: bool, age: Duration) {
        if !is_credible && !self.is_told {
            tracing::warn!(
                wait_seconds_max = age.as_secs().min(RETENTION_EVIDENCE_SECONDS_MAX),
                "retention waits: by the clock the oldest records are too old, but the clock has stepped or no server has run \
                 for long; set the clock right if it is wrong"
            );
        }
        self.is_told = !is_credible;
    }
}

/// A span of time in ns, as far as that goes.
pub(super) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_clock_begins_its_watch_anew() {
        let start = Instant::now();
        let second = time::SECOND;
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut clock = Clock { even_since: start, last: (start, 0), is_told: false };
        let mut look = |seconds, wall| clock.even_for(at(seconds), wall * second, 10 * second).as_secs();
        assert_eq!(look(100, 100), 100);
        assert_eq!(look(200, 209), 200, "what is tolerated");
        assert_eq!(look(300, 1_000_000), 0, "forward");
        assert_eq!(look(400, 1_000_100), 100);
        assert_eq!(look(500, 500), 0, "and back");
        assert_eq!(look(600, 600), 100);
    }
}
