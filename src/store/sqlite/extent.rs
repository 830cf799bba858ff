//! Detects that a file was cut short in place while it was open, and that readers cannot read it.
//!
//! The writer would continue with what it has in memory, and what it appends would leave a hole in
//! a file that was cut. So lengths are compared with what must be there before anything is written,
//! before a sync counts, and by housekeeping:
//! - the write-ahead log has at least the frames that its index counts;
//! - the database has at least the pages that it had when the log was last empty or moved as a
//!   whole. Only VACUUM makes a database smaller, and VACUUM raises the version of the schema.
//!
//! Housekeeping also reads a few rows over a separate connection, as every query does: what only
//! the writer has in memory is found missing there.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::{Database, schema, write_ahead_log};
use crate::limits::{SQLITE_WAL_BYTES_HELD_MAX, SQLITE_WAL_BYTES_TARGET};

/// Length of the header of a write-ahead log.
const LOG_HEADER_BYTES: u64 = 32;
/// Length of the header of each frame, before its page.
const FRAME_HEADER_BYTES: u64 = 24;

/// The state of the database file when it last contained everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    bytes: u64,
    schema_version: i64,
}

/// The number of frames in the write-ahead log, and how many of them were moved into the database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames {
    written: u64,
    moved: u64,
}

impl Database {
    /// Describes what is missing at the end of a file.
    pub(super) fn find_cut(&mut self) -> rusqlite::Result<Option<String>> {
        let Some(frames) = self.frames()? else { return Ok(None) };
        let log_bytes = match frames.written {
            0 => 0,
            written => LOG_HEADER_BYTES + written * (FRAME_HEADER_BYTES + self.page_bytes),
        };
        let [log_identity, _] = self.companions;
        let log = write_ahead_log(&self.path);
        if let Some(cut) = describe_cut("its -wal file", &log, log_identity, log_bytes) {
            return Ok(Some(cut));
        }
        let now = self.extent_of_pages()?;
        if frames.moved == frames.written {
            self.extent = Some(now);
        }
        let known = self.extent.filter(|known| known.schema_version == now.schema_version);
        Ok(known.and_then(|extent| describe_cut("its file", &self.path, self.identity, extent.bytes)))
    }

    /// Returns what the file certainly has when it is opened.
    pub(super) fn measure(&self) -> rusqlite::Result<Extent> {
        let extent = self.extent_of_pages()?;
        let bytes = std::fs::metadata(&self.path).map_or(0, |data| data.len());
        Ok(Extent { bytes: bytes.min(extent.bytes), ..extent })
    }

    fn extent_of_pages(&self) -> rusqlite::Result<Extent> {
        let number = |pragma| self.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let bytes = number("page_count")?.unsigned_abs().saturating_mul(self.page_bytes);
        Ok(Extent { bytes, schema_version: number("schema_version")? })
    }

    /// Returns the frames of the write-ahead log, or `None` if they cannot be determined now.
    fn frames(&self) -> rusqlite::Result<Option<Frames>> {
        self.connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
            let (is_busy, written, moved): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let is_known = !is_busy && written >= 0 && moved >= 0;
            Ok(is_known.then_some(Frames { written: written.unsigned_abs(), moved: moved.unsigned_abs() }))
        })
    }

    /// Returns the number of bytes of the write-ahead log that are not in the database yet.
    pub(super) fn unmoved_bytes(&self) -> rusqlite::Result<u64> {
        let frames = self.frames()?;
        Ok(frames.map_or(0, |frames| frames.written.saturating_sub(frames.moved) * self.page_bytes))
    }

    /// Returns true if the write-ahead log is large and a part of it is not in the database yet. A
    /// log that was moved in part, because of a reader at that time, is moved further at every
    /// check: the log is written from its start again only once all of it was moved.
    pub(super) fn is_log_due(&self) -> rusqlite::Result<bool> {
        let is_due = |frames: Frames| {
            frames.moved < frames.written && frames.written * self.page_bytes >= SQLITE_WAL_BYTES_TARGET
        };
        Ok(self.frames()?.is_some_and(is_due))
    }

    /// Returns true if a reader holds back so much in the write-ahead log that more should not be
    /// written without need.
    pub(super) fn is_log_held(&mut self) -> rusqlite::Result<bool> {
        let bytes = self.unmoved_bytes()?;
        let is_held = bytes > SQLITE_WAL_BYTES_HELD_MAX;
        if is_held && !self.is_held_told {
            tracing::warn!(
                database = %self.path.display(),
                bytes,
                "a program that reads the database keeps its write-ahead log from being emptied: retention deletes only \
                 while records arrive; end that program, or its transaction"
            );
        }
        self.is_held_told = is_held;
        Ok(is_held)
    }

    /// Closes the connection without moving anything into a file of which a part is missing.
    pub(super) fn abandon(self) {
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }
}

/// Describes a file that has fewer bytes than it must have. A file that is gone, or another file at
/// the path, is not cut.
fn describe_cut(file: &str, path: &Path, identity: Option<(u64, u64)>, expected: u64) -> Option<String> {
    let data = std::fs::metadata(path).ok().filter(|data| Some((data.dev(), data.ino())) == identity)?;
    let bytes = data.len();
    (bytes < expected)
        .then(|| format!("{file} was truncated while it was open: it has {bytes} bytes of {expected}"))
}

/// Reads the ends of each table as a query does. Damage in between is found by the query that reads
/// it.
pub(super) fn probe(path: &Path) -> rusqlite::Result<()> {
    let result = schema::open_read_only(path).and_then(|connection| {
        connection.busy_timeout(Duration::ZERO)?; // the writer never waits for a lock
        let tables = [
            ("record", "id"),
            ("sender", "id"),
            ("place", "id"),
            ("word", "id"),
            ("block", "first_id"),
            ("shipped", "one"),
        ];
        for (table, key) in tables {
            for order in ["ASC", "DESC"] {
                read(&connection, &format!("SELECT * FROM {table} ORDER BY {key} {order} LIMIT 1"))?;
            }
        }
        read(&connection, "SELECT * FROM logs LIMIT 0")
    });
    match result {
        // A lack of descriptors, locks or memory is not damage of the database: a later query may
        // get them, and the writer goes on.
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::CannotOpen
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::OutOfMemory
                        | ErrorCode::SchemaChanged // it waits for its migration
                )
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

fn read(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
