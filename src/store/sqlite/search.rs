//! Reads records back, slice by slice, so that a long search can be stopped and shares its thread.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use rusqlite::{Connection, ToSql, params_from_iter};

use super::filter::BlockPruner;
use super::{condition, functions, schema};
use crate::limits::SQLITE_FILTER_LOOKUPS_MAX;
use crate::query::tokens::{self, Requirement};
use crate::record::{Column, ColumnSet, Origin, RecordId, RecordRef};
use crate::store::Search;
use crate::store::sql::select_list;

/// A connection that can only read.
pub struct SqliteReadConnection {
    pub(super) connection: Connection,
    pub(super) has_index: bool,
}

const COLUMNS: [(&str, ColumnSet, &str); 17] = [
    ("r.id", ColumnSet::NONE, "NULL"),
    ("r.timestamp", ColumnSet::NONE, "NULL"),
    ("r.severity_number", ColumnSet::NONE, "NULL"),
    ("o.severity_text", ColumnSet::of_column(Column::Severity), "NULL"),
    ("o.service", ColumnSet::of_column(Column::Service), "NULL"),
    ("o.logger", ColumnSet::of_column(Column::Logger), "NULL"),
    ("o.host", ColumnSet::of_column(Column::Host), "NULL"),
    ("o.file", ColumnSet::of_column(Column::File), "NULL"),
    ("o.line", ColumnSet::of_column(Column::Line), "NULL"),
    ("o.function", ColumnSet::of_column(Column::Function), "NULL"),
    ("o.process_id", ColumnSet::of_column(Column::ProcessId), "NULL"),
    ("o.thread", ColumnSet::of_column(Column::Thread), "NULL"),
    ("r.message", ColumnSet::of_column(Column::Message), "NULL"),
    ("r.trace_id", ColumnSet::of_column(Column::TraceId), "NULL"),
    ("r.span_id", ColumnSet::of_column(Column::SpanId), "NULL"),
    ("r.event_name", ColumnSet::of_column(Column::EventName), "NULL"),
    ("r.attributes", ColumnSet::ATTRIBUTES, "NULL"),
];

/// Steps of SQLite's virtual machine between two checks of the clock and of whether a client still
/// waits: a few rows, which may be long.
const STEPS_BETWEEN_LOOKS: i32 = 200;

impl SqliteReadConnection {
    /// Opens the database.
    pub fn open(path: &Path) -> rusqlite::Result<SqliteReadConnection> {
        let connection = schema::open_read_only(path)?;
        functions::register(&connection)?;
        let has_index = schema::has_index(&connection)?;
        Ok(SqliteReadConnection { connection, has_index })
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
        let Some(ids) = self.next_ids(search, rows)? else { return Ok(0..0) };
        let condition = condition::condition(&search.query);
        let order = if search.descending { "DESC" } else { "ASC" };
        // A left join costs nothing if none of its columns is selected.
        let columns = select_list(search.fields, &COLUMNS);
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT {columns} FROM record r LEFT JOIN origin o ON o.id = r.origin_id
             WHERE r.id >= ? AND r.id < ? AND r.timestamp BETWEEN ? AND ? AND {} ORDER BY r.id {order}",
            condition.sql
        ))?;
        let bounds = [ids.start as i64, ids.end as i64, search.time_min, search.time_max];
        let bounds = bounds.iter().map(|bound| bound as &dyn ToSql);
        let parameters = condition.parameters.iter().map(|value| value as &dyn ToSql);
        let mut found = select.query(params_from_iter(bounds.chain(parameters)))?;
        while let Some(row) = found.next()? {
            let (id, record) = from_row(row)?;
            if !emit(id, &record) {
                return Ok(search.rest_after(&(id..id + 1)));
            }
        }
        Ok(search.rest_after(&ids))
    }

    /// Returns the next ids in blocks that may have matches, at most `rows` of them. If no such
    /// block was found for long, returns an empty range at the id where the search continues.
    fn next_ids(&self, search: &Search, rows: u64) -> rusqlite::Result<Option<Range<RecordId>>> {
        // Filters move from one table to another: all statements here must see the same state.
        let _snapshot = self.connection.unchecked_transaction()?;
        let order = if search.descending { "DESC" } else { "ASC" };
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT first_id, end_id FROM block
             WHERE end_id > ? AND first_id < ? AND timestamp_max >= ? AND timestamp_min <= ? ORDER BY first_id {order}"
        ))?;
        let bounds = [search.ids.start as i64, search.ids.end as i64, search.time_min, search.time_max];
        let mut blocks = select.query(params_from_iter(bounds))?;
        let requirement =
            if self.has_index { tokens::requirement(&search.query) } else { Requirement::Nothing };
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

/// Passes the rows from an id on to `found`, each with its encoded origin, until `found` returns
/// false. Returns true if all rows were passed. A damaged row ends the reading.
pub(super) fn each_from(
    connection: &Connection,
    first: RecordId,
    mut found: impl FnMut(RecordId, &[u8], &RecordRef<'_>) -> bool,
) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {}, o.key FROM record r JOIN origin o ON o.id = r.origin_id WHERE r.id >= ? ORDER BY r.id",
        select_list(ColumnSet::ALL, &COLUMNS)
    ))?;
    let mut rows = select.query([first as i64])?;
    while let Some(row) = rows.next()? {
        let (Ok((id, record)), Ok(origin)) = (from_row(row), row.get_ref(17)?.as_blob()) else {
            return Ok(false);
        };
        if !found(id, origin, &record) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns a text up to the first bytes that are not UTF-8, which a damaged disk or another program
/// may have left: one such record does not keep the other records from a query.
fn valid_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_else(|error| {
        let (valid, _) = bytes.split_at(error.valid_up_to());
        std::str::from_utf8(valid).unwrap_or_default()
    })
}

fn from_row<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<(RecordId, RecordRef<'a>)> {
    let text =
        |index| Ok::<_, rusqlite::Error>(row.get_ref(index)?.as_bytes_or_null()?.map_or("", valid_text));
    let number = |index| row.get::<_, Option<u32>>(index).map(Option::unwrap_or_default);
    let record = RecordRef {
        timestamp: row.get(1)?,
        observed_timestamp: 0,
        severity_number: row.get(2)?,
        origin: Origin {
            severity_text: text(3)?,
            service: text(4)?,
            logger: text(5)?,
            host: text(6)?,
            file: text(7)?,
            line: number(8)?,
            function: text(9)?,
            process_id: number(10)?,
            thread: text(11)?,
        },
        message: text(12)?,
        trace_id: text(13)?,
        span_id: text(14)?,
        event_name: text(15)?,
        attributes: text(16)?,
    };
    Ok((row.get(0)?, record))
}
