//! Reading records back, slice by slice, so that a long search can be stopped and shares its thread.

use std::ops::Range;
use std::path::Path;

use rusqlite::{Connection, ToSql, params_from_iter};

use super::schema;
use crate::record::{Origin, RecordId, RecordRef};
use crate::store::Search;
use crate::view::query::sqlite;

/// A connection that can only read.
pub struct SqliteReader {
    connection: Connection,
}

const COLUMNS: &str =
    "r.id, r.timestamp, r.severity_number, o.severity_text, o.service, o.logger, o.host, o.file, o.line,
    o.function, o.process_id, o.thread, r.message, r.trace_id, r.span_id, r.event_name, r.attributes";

impl SqliteReader {
    /// Opens the database.
    pub fn open(path: &Path) -> rusqlite::Result<SqliteReader> {
        let connection = schema::open_read_only(path)?;
        sqlite::register(&connection)?;
        Ok(SqliteReader { connection })
    }

    /// Gives back the memory that reading took: a client may take its time before the next slice.
    pub fn release_memory(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("PRAGMA shrink_memory")
    }

    /// Searches about `rows` rows from one end of `search.ids`, and emits matches in order until `emit` says that it has
    /// enough. Gives the ids that are yet to be searched. Blocks whose times do not fit are skipped.
    pub fn slice(
        &self,
        search: &Search,
        rows: u64,
        mut emit: impl FnMut(RecordId, &RecordRef<'_>) -> bool,
    ) -> rusqlite::Result<Range<RecordId>> {
        let Some(ids) = self.next_ids(search, rows)? else { return Ok(0..0) };
        let condition = sqlite::condition(&search.query);
        let order = if search.descending { "DESC" } else { "ASC" };
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM record r JOIN origin o ON o.id = r.origin_id
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

    /// The ids of the next blocks whose times fit, about `rows` of them.
    fn next_ids(&self, search: &Search, rows: u64) -> rusqlite::Result<Option<Range<RecordId>>> {
        let order = if search.descending { "DESC" } else { "ASC" };
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT first_id, end_id FROM block
             WHERE end_id > ? AND first_id < ? AND timestamp_max >= ? AND timestamp_min <= ? ORDER BY first_id {order}"
        ))?;
        let bounds = [search.ids.start as i64, search.ids.end as i64, search.time_min, search.time_max];
        let mut blocks = select.query(params_from_iter(bounds))?;
        let mut ids: Option<Range<RecordId>> = None;
        while let Some(row) = blocks.next()? {
            let block = row.get::<_, i64>(0)? as u64..row.get::<_, i64>(1)? as u64;
            let joined = match ids {
                None => block,
                Some(ids) if ids.end == block.start || ids.start == block.end => {
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
        Ok(ids.map(|ids| ids.start.max(search.ids.start)..ids.end.min(search.ids.end)))
    }

    /// The connection, for statements that readers write themselves.
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}

fn from_row<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<(RecordId, RecordRef<'a>)> {
    let text = |index| Ok::<_, rusqlite::Error>(row.get_ref(index)?.as_str_or_null()?.unwrap_or_default());
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
    Ok((row.get::<_, i64>(0)? as u64, record))
}
