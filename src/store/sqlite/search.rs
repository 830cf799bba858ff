//! Reads records back, slice by slice, so that a long search can be stopped and shares its thread.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use rusqlite::{Connection, ToSql, params_from_iter};

use super::dictionary::{first_id_of_generation, generation_of};
use super::filter::BlockPruner;
use super::row::{self, RowReader};
use super::{condition, functions, migrate, schema};
use crate::limits::SQLITE_FILTER_LOOKUPS_MAX;
use crate::query::tokens;
use crate::record::{ColumnSet, RecordId, RecordRef};
use crate::store::Search;
use crate::store::sql::select_list;

/// A connection that can only read.
pub struct SqliteReadConnection {
    pub(super) connection: Connection,
}

/// Steps of SQLite's virtual machine between two checks of the clock and of whether a client still
/// waits: a few rows, which may be long.
const STEPS_BETWEEN_LOOKS: i32 = 200;

impl SqliteReadConnection {
    /// Opens the database.
    pub fn open(path: &Path) -> rusqlite::Result<SqliteReadConnection> {
        let connection = schema::open_read_only(path)?;
        functions::register(&connection)?;
        Ok(SqliteReadConnection { connection })
    }

    /// Interrupts later statements at `deadline`, or soon after `is_abandoned` becomes true.
    pub fn stop_when(
        &mut self,
        is_abandoned: Arc<AtomicBool>,
        deadline: Option<Instant>,
    ) -> rusqlite::Result<()> {
        let is_over =
            move || is_abandoned.load(Relaxed) || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(is_over))
    }

    /// Returns the earliest and the latest time of all records, in ns since the Unix epoch.
    pub fn times(&self) -> rusqlite::Result<Option<(i64, i64)>> {
        let sql = "SELECT min(timestamp_min), max(timestamp_max) FROM block";
        let times = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let (earliest, latest): (Option<i64>, Option<i64>) = self.connection.query_row(sql, [], times)?;
        Ok(earliest.zip(latest))
    }

    /// Releases the memory that reading used: a client may take its time before the next slice.
    pub fn release_memory(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("PRAGMA shrink_memory")
    }

    /// Searches about `rows` rows from one end of `search.ids`, and emits matches in order until
    /// `emit` returns false. Returns the ids that remain to be searched. Blocks whose times do not
    /// match are skipped, and so are blocks whose filters lack what the query requires.
    pub fn slice(
        &self,
        search: &Search,
        rows: u64,
        mut emit: impl FnMut(RecordId, &RecordRef<'_>) -> bool,
    ) -> rusqlite::Result<Range<RecordId>> {
        // Filters and rows move from one table to another: all statements here must see the same
        // state.
        let _snapshot = self.connection.unchecked_transaction()?;
        let Some(ids) = self.next_ids(search, rows)? else { return Ok(0..0) };
        if ids.is_empty() {
            return Ok(search.rest_after(&ids));
        }
        let (table, ids) = self.in_one_table(within_generation(ids, search.descending), search.descending)?;
        let condition = condition::condition(&search.query, generation_of(ids.start));
        let order = if search.descending { "DESC" } else { "ASC" };
        let columns = select_list(search.fields, &row::COLUMNS);
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT {columns} FROM {table} AS r
             WHERE r.id >= ? AND r.id < ? AND r.timestamp BETWEEN ? AND ? AND {} ORDER BY r.id {order}",
            condition.sql
        ))?;
        let bounds = [ids.start as i64, ids.end as i64, search.time_min, search.time_max];
        let bounds = bounds.iter().map(|bound| bound as &dyn ToSql);
        let parameters = condition.parameters.iter().map(|value| value as &dyn ToSql);
        let mut found = select.query(params_from_iter(bounds.chain(parameters)))?;
        let mut rows = RowReader::new(&self.connection);
        while let Some(row) = found.next()? {
            let (id, record) = rows.record(row)?;
            if !emit(id, &record) {
                return Ok(search.rest_after(&(id..id + 1)));
            }
        }
        Ok(search.rest_after(&ids))
    }

    /// Returns the table that has the rows at the start of a search of these ids, and its ids.
    fn in_one_table(
        &self,
        ids: Range<RecordId>,
        descending: bool,
    ) -> rusqlite::Result<(&'static str, Range<RecordId>)> {
        let end = migrate::end_of_earlier_rows(&self.connection)?;
        Ok(match descending {
            true if ids.end <= end => (migrate::EARLIER_ROWS, ids),
            true => ("record", ids.start.max(end)..ids.end),
            false if ids.start < end => (migrate::EARLIER_ROWS, ids.start..ids.end.min(end)),
            false => ("record", ids),
        })
    }

    /// Returns the next ids in blocks that may have matches, at most `rows` of them. If no such
    /// block was found for long, returns an empty range at the id where the search continues.
    fn next_ids(&self, search: &Search, rows: u64) -> rusqlite::Result<Option<Range<RecordId>>> {
        let order = if search.descending { "DESC" } else { "ASC" };
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT first_id, end_id FROM block
             WHERE end_id > ? AND first_id < ? AND timestamp_max >= ? AND timestamp_min <= ? ORDER BY first_id {order}"
        ))?;
        let bounds = [search.ids.start as i64, search.ids.end as i64, search.time_min, search.time_max];
        let mut blocks = select.query(params_from_iter(bounds))?;
        let requirement = tokens::requirement(&search.query);
        let mut sieve = BlockPruner::new(&self.connection, &requirement);
        let mut ids: Option<Range<RecordId>> = None;
        while let Some(row) = blocks.next()? {
            let block = super::blocks::ids(row)?;
            let joined = match ids {
                None if sieve.lookups() >= SQLITE_FILTER_LOOKUPS_MAX => {
                    let reached = if search.descending { block.end } else { block.start };
                    return Ok(Some(reached..reached));
                }
                None if sieve.lets_through(&block)? => block,
                None => continue,
                Some(ids)
                    if (ids.end == block.start || ids.start == block.end)
                        && sieve.lets_through(&block)? =>
                {
                    ids.start.min(block.start)..ids.end.max(block.end)
                }
                Some(_) => break,
            };
            let enough = joined.end - joined.start >= rows;
            ids = Some(joined);
            if enough {
                break;
            }
        }
        Ok(ids.map(|ids| {
            let ids = ids.start.max(search.ids.start)..ids.end.min(search.ids.end);
            match search.descending {
                true => ids.start.max(ids.end.saturating_sub(rows))..ids.end,
                false => ids.start..ids.end.min(ids.start.saturating_add(rows)),
            }
        }))
    }

    /// Returns the first `count` dead letters with ids from `from` on, as JSON.
    pub fn dead_letters(&self, from: RecordId, count: usize) -> rusqlite::Result<Vec<(RecordId, String)>> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, coalesce(record, '') FROM logs_dead_letter WHERE id >= ? ORDER BY id LIMIT ?",
        )?;
        let rows = select.query_map([from as i64, count as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }

    /// Returns the first id that the store does not have.
    pub fn position(&self) -> rusqlite::Result<RecordId> {
        super::owner::position(&self.connection)
    }
}

/// Passes the rows from an id on to `found` until `found` returns false. Returns true if all rows
/// were passed. A damaged row ends the reading.
pub(super) fn each_from(
    connection: &Connection,
    first: RecordId,
    mut found: impl FnMut(RecordId, &RecordRef<'_>) -> bool,
) -> rusqlite::Result<bool> {
    let columns = select_list(ColumnSet::ALL, &row::COLUMNS);
    let is_migrating = schema::version_of(connection)? == schema::MIGRATING_VERSION;
    for (_, rows) in migrate::tables(is_migrating).iter().rev() {
        let mut select = connection
            .prepare(&format!("SELECT {columns} FROM {rows} AS r WHERE r.id >= ? ORDER BY r.id"))?;
        let mut rows = select.query([first as i64])?;
        let mut reader = RowReader::new(connection);
        while let Some(row) = rows.next()? {
            let Ok((id, record)) = reader.record(row) else { return Ok(false) };
            if !found(id, &record) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Returns those of the ids that are in the generation at which a search of them begins.
fn within_generation(ids: Range<RecordId>, descending: bool) -> Range<RecordId> {
    match descending {
        true => ids.start.max(first_id_of_generation(generation_of(ids.end - 1)))..ids.end,
        false => ids.start..ids.end.min(first_id_of_generation(generation_of(ids.start) + 1)),
    }
}
