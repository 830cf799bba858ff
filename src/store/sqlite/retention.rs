//! Deleting the oldest records, block by block, once they are too old or too much.
//!
//! Age is a difference between two readings of the clock, and clocks step. Nothing else would tell a step of ten years
//! forward from ten years that have passed: every record would be too old at once. So age deletes only while there is
//! evidence that the clock has been running as it does for a while (a day, or as long as records are kept if that is
//! less): the process has watched it for so long, or records were received about so long ago. After a step, or a long time
//! without a server, the deletion waits for so long, and says so. A restart neither shortens nor repeats the wait.
//!
//! A block that was received in the future, before the clock was set back, is as old as the one behind it.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::{Database, blocks, origins};
use crate::limits::RETENTION_EVIDENCE_SECONDS_MAX;
use crate::record::time;

/// How long, and how much, a database keeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Records received longer ago than this are deleted.
    pub age: Option<Duration>,
    /// The oldest are deleted once the database holds more bytes than this.
    pub bytes: Option<u64>,
}

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

    /// Whether records that are too old may be deleted.
    fn is_credible(&mut self, connection: &Connection, age: Duration, now: i64) -> rusqlite::Result<bool> {
        let wait = age.min(Duration::from_secs(RETENTION_EVIDENCE_SECONDS_MAX));
        let tolerance = nanoseconds(age) / 4;
        if self.even_for(Instant::now(), now, tolerance) >= wait {
            return Ok(true);
        }
        let then = now.saturating_sub(nanoseconds(wait));
        blocks::were_received(connection, then.saturating_sub(tolerance)..=then)
    }

    fn tell(&mut self, is_credible: bool, age: Duration) {
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

impl Database {
    /// Deletes the oldest block if it is due, and tells whether it was.
    pub(super) fn delete_oldest(
        &mut self,
        retention: Retention,
        clock: &mut Clock,
    ) -> rusqlite::Result<bool> {
        let too_old = match retention.age {
            Some(age) => self.is_too_old(age, clock)?,
            None => false,
        };
        let too_large = match retention.bytes {
            Some(bytes_max) => self.used_bytes()? > bytes_max,
            None => false,
        };
        if !too_old && !too_large {
            return Ok(false);
        }
        let Some(oldest) = blocks::oldest(&self.connection, i64::MAX)? else { return Ok(false) };
        if self.blocks.is_growing(&oldest) {
            return Ok(false);
        }
        let ids = params![oldest.first_id as i64, oldest.end_id as i64];
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.connection.prepare_cached("DELETE FROM record WHERE id >= ? AND id < ?")?.execute(ids)?;
        self.connection
            .prepare_cached("DELETE FROM block WHERE first_id = ?")?
            .execute([oldest.first_id as i64])?;
        origins::delete_unused(&self.connection, oldest.end_id)?;
        self.connection.execute_batch("COMMIT")?;
        self.blocks.forget(oldest.first_id);
        Ok(true)
    }

    fn is_too_old(&self, age: Duration, clock: &mut Clock) -> rusqlite::Result<bool> {
        let now = time::now();
        let is_credible = clock.is_credible(&self.connection, age, now)?;
        let limit = now.saturating_sub(nanoseconds(age));
        let oldest = blocks::oldest(&self.connection, now)?;
        let is_due =
            oldest.is_some_and(|block| block.observed_max < limit && !self.blocks.is_growing(&block));
        clock.tell(is_credible || !is_due, age);
        Ok(is_due && is_credible)
    }

    /// What rows take; deleted ones leave pages that are written again.
    fn used_bytes(&self) -> rusqlite::Result<u64> {
        let number = |pragma| self.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let pages = number("page_count")? - number("freelist_count")?;
        Ok((pages * number("page_size")?) as u64)
    }
}

fn nanoseconds(duration: Duration) -> i64 {
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
