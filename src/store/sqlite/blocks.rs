//! Blocks: for each run of consecutive ids, the times that occur in it.

use std::ops::{Range, RangeInclusive};

use rusqlite::{Connection, OptionalExtension, params};

use crate::limits::SQLITE_BLOCK_ROWS;
use crate::record::{RecordId, RecordRef};

/// One row of `block`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) first_id: RecordId,
    pub(super) end_id: RecordId,
    timestamp_min: i64,
    timestamp_max: i64,
    pub(super) observed_max: i64,
}

impl Block {
    /// Returns true if the block accepts no more rows. Blocks end at fixed ids, where their filters
    /// end.
    fn is_full(&self) -> bool {
        (self.end_id - 1).is_multiple_of(SQLITE_BLOCK_ROWS)
            || self.end_id - self.first_id >= SQLITE_BLOCK_ROWS
    }
}

/// Writes the blocks of the rows that are being written; small chunks share a block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Blocks {
    last: Option<Block>,
}

impl Blocks {
    /// Continues with the last block of the database.
    pub(super) fn open(connection: &Connection) -> rusqlite::Result<Blocks> {
        let mut select = connection.prepare_cached("SELECT * FROM block ORDER BY first_id DESC LIMIT 1")?;
        Ok(Blocks { last: select.query_row([], from_row).optional()? })
    }

    /// Adds a record to its block, and writes a block that is complete.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        id: RecordId,
        record: &RecordRef<'_>,
    ) -> rusqlite::Result<()> {
        if let Some(block) = &mut self.last
            && block.end_id == id
            && !block.is_full()
        {
            block.end_id = id + 1;
            block.timestamp_min = block.timestamp_min.min(record.timestamp);
            block.timestamp_max = block.timestamp_max.max(record.timestamp);
            block.observed_max = block.observed_max.max(record.observed_timestamp);
            return Ok(());
        }
        self.write(connection)?;
        self.last = Some(Block {
            first_id: id,
            end_id: id + 1,
            timestamp_min: record.timestamp,
            timestamp_max: record.timestamp,
            observed_max: record.observed_timestamp,
        });
        Ok(())
    }

    /// Writes the block that is still growing.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(block) = &self.last else { return Ok(()) };
        let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?, ?)")?;
        super::expect_row(insert.execute(params![
            block.first_id as i64,
            block.end_id as i64,
            block.timestamp_min,
            block.timestamp_max,
            block.observed_max
        ])?)
    }

    /// Returns true if a block is the one that is still growing.
    pub(super) fn is_growing(&self, block: &Block) -> bool {
        self.last.is_some_and(|last| last.first_id == block.first_id && !last.is_full())
    }

    /// Forgets a block that has been deleted.
    pub(super) fn forget(&mut self, first_id: RecordId) {
        self.last.take_if(|block| block.first_id == first_id);
    }
}

/// Returns the oldest of the blocks that were received up to a time.
pub(super) fn oldest(connection: &Connection, observed_max: i64) -> rusqlite::Result<Option<Block>> {
    let mut select =
        connection.prepare_cached("SELECT * FROM block WHERE observed_max <= ? ORDER BY first_id LIMIT 1")?;
    select.query_row([observed_max], from_row).optional()
}

/// Returns the first of the blocks with ids from `from` on that were received up to a time.
pub(super) fn next(
    connection: &Connection,
    from: RecordId,
    observed_max: i64,
) -> rusqlite::Result<Option<Block>> {
    let mut select = connection.prepare_cached(
        "SELECT * FROM block WHERE first_id >= ? AND observed_max <= ? ORDER BY first_id LIMIT 1",
    )?;
    select.query_row(params![from as i64, observed_max], from_row).optional()
}

/// Returns true if there is a block whose last record was received in a range of times.
pub(super) fn were_received(connection: &Connection, times: RangeInclusive<i64>) -> rusqlite::Result<bool> {
    let mut select = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM block WHERE observed_max BETWEEN ? AND ?)")?;
    select.query_row([times.start(), times.end()], |row| row.get(0))
}

/// Returns the ids of a block, from the first two columns of a row. Ids that no block can have are
/// an error, because readers of blocks count from the first id to the last.
pub(super) fn ids(row: &rusqlite::Row<'_>) -> rusqlite::Result<Range<RecordId>> {
    let ids = row.get::<_, RecordId>(0)?..row.get::<_, RecordId>(1)?;
    let is_possible =
        ids.end.checked_sub(ids.start).is_some_and(|rows| (1..=SQLITE_BLOCK_ROWS).contains(&rows));
    if !is_possible || ids.start == 0 {
        return Err(rusqlite::Error::IntegralValueOutOfRange(1, ids.end.cast_signed()));
    }
    Ok(ids)
}

fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Block> {
    let ids = ids(row)?;
    Ok(Block {
        first_id: ids.start,
        end_id: ids.end,
        timestamp_min: row.get(2)?,
        timestamp_max: row.get(3)?,
        observed_max: row.get(4)?,
    })
}
