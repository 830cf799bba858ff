//! Deletes the oldest records, block by block, once they are too old or the database is too large.
//!
//! Records are deleted for their age only with evidence that the clock can be trusted; see
//! [`crate::store::clock`].
//!
//! A block that was received in the future, before the clock was set back, is treated as being as
//! old as the block that follows it.

use rusqlite::params;

use super::{Database, blocks, counts, delete, dictionary, filter, migrate};
use crate::record::time;
use crate::store::clock::AgeLimit;

impl Database {
    /// Deletes the oldest block if it is due. Returns true if it was due.
    pub(super) fn delete_oldest(
        &mut self,
        limit: Option<&mut AgeLimit>,
        bytes_max: Option<u64>,
    ) -> rusqlite::Result<bool> {
        let oldest = blocks::oldest(&self.connection, i64::MAX)?;
        // Names that no record refers to any more are deleted first: the room that they release
        // need not be taken from records.
        let first_id = oldest.map_or(self.position, |block| block.first_id);
        if dictionary::delete_before(&self.connection, first_id)? > 0 {
            return Ok(true);
        }
        let too_old = match limit {
            Some(limit) => self.is_too_old(limit)?,
            None => false,
        };
        let too_large = match bytes_max {
            Some(bytes_max) => self.used_bytes()? > self.bytes_allowed(bytes_max),
            None => false,
        };
        if !too_old && !too_large {
            return Ok(false);
        }
        let Some(oldest) = oldest else { return Ok(false) };
        if self.blocks.is_growing(&oldest) {
            return Ok(false);
        }
        let ids = params![oldest.first_id as i64, oldest.end_id as i64];
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        for (table, _) in migrate::tables(self.migration.is_some()) {
            let delete = format!("DELETE FROM {table} WHERE id >= ? AND id < ?");
            self.connection.prepare_cached(&delete)?.execute(ids)?;
        }
        // Dead letters of earlier blocks were deleted with their blocks, unless an earlier version
        // has left them.
        self.connection
            .prepare_cached("DELETE FROM logs_dead_letter WHERE id < ?")?
            .execute([oldest.end_id as i64])?;
        self.connection
            .prepare_cached("DELETE FROM block WHERE first_id = ?")?
            .execute([oldest.first_id as i64])?;
        let number = filter::number_of(oldest.end_id);
        filter::delete_before(&self.connection, number)?;
        counts::delete_before(&self.connection, number)?;
        delete::forget(&self.connection, oldest.first_id)?;
        self.connection.execute_batch("COMMIT")?;
        self.blocks.forget(oldest.first_id);
        Ok(true)
    }

    fn is_too_old(&self, limit: &mut AgeLimit) -> rusqlite::Result<bool> {
        let now = time::now();
        let oldest = blocks::oldest(&self.connection, now)?;
        let is_due = oldest
            .is_some_and(|block| block.observed_max < limit.time(now) && !self.blocks.is_growing(&block));
        let is_credible =
            limit.is_credible(now, is_due, |times| blocks::were_received(&self.connection, times))?;
        Ok(is_due && is_credible)
    }

    /// Returns the size beyond which records are deleted. A migration takes a little room of its
    /// own, which must not cost records.
    fn bytes_allowed(&self, bytes_max: u64) -> u64 {
        match self.migration {
            Some(_) => bytes_max.saturating_add(bytes_max / 4),
            None => bytes_max,
        }
    }

    /// Returns the bytes that rows use; deleted rows leave pages that are written again.
    fn used_bytes(&self) -> rusqlite::Result<u64> {
        let number = |pragma| self.connection.pragma_query_value(None, pragma, |row| row.get::<_, u64>(0));
        let pages = number("page_count")?.saturating_sub(number("freelist_count")?);
        Ok(pages.saturating_mul(number("page_size")?))
    }
}
