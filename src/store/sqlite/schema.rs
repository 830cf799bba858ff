//! The tables, and opening a database that has them.
//!
//! Rows are narrow: values that repeat are stored once in `origin`, and the view `logs` shows all
//! fields flat. For each run of consecutive ids, `block` has the times that occur in it, and the
//! filters have what else may occur in it, so that queries and retention need not read every row.
//! Empty texts are NULL.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::confine;
use crate::disk;

/// The version of the tables, raised with every change of them. A database of an older version is
/// migrated, and one of a newer version is refused.
pub(super) const SCHEMA_VERSION: i64 = 3;

/// The first version with filters and counts.
const INDEX_SINCE: i64 = 2;

/// `logb` in ASCII: identifies the database to `file` and to this program.
const APPLICATION_ID: i64 = 0x6c6f_6762;

pub(super) const TABLES: &str = "
CREATE TABLE origin (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE, -- the encoded origin: equal bytes, equal origin
    used_until INTEGER NOT NULL, -- no record from this id on has it, unless a later write raises it
    severity_text TEXT, service TEXT, logger TEXT, host TEXT, file TEXT, line INTEGER, function TEXT,
    process_id INTEGER, thread TEXT
) STRICT;
CREATE INDEX origin_used_until ON origin (used_until);
CREATE TABLE record (
    id INTEGER PRIMARY KEY,
    timestamp INTEGER NOT NULL, -- ns since the Unix epoch
    severity_number INTEGER NOT NULL,
    origin_id INTEGER NOT NULL,
    message TEXT, trace_id TEXT, span_id TEXT, event_name TEXT,
    attributes TEXT -- a JSON object
) STRICT;
CREATE TABLE block (
    first_id INTEGER PRIMARY KEY, end_id INTEGER NOT NULL,
    timestamp_min INTEGER NOT NULL, timestamp_max INTEGER NOT NULL,
    observed_max INTEGER NOT NULL -- when the last of them was received, ns
) STRICT;
CREATE TABLE logs_dead_letter (id INTEGER PRIMARY KEY, time TEXT NOT NULL, reason TEXT NOT NULL, record TEXT) STRICT;
CREATE TABLE shipped (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL) STRICT;
INSERT INTO shipped VALUES (1, 1);
";

/// The view `logs`, created again if it was dropped.
pub(super) const VIEW: &str = "CREATE VIEW IF NOT EXISTS logs AS SELECT
    r.id,
    strftime('%Y-%m-%dT%H:%M:%S', (r.timestamp - (r.timestamp % 1000000000 + 1000000000) % 1000000000) / 1000000000, 'unixepoch')
        || printf('.%09dZ', (r.timestamp % 1000000000 + 1000000000) % 1000000000) AS time,
    r.severity_number,
    coalesce(o.severity_text, CASE r.severity_number WHEN 0 THEN NULL ELSE
        substr('TRACEDEBUGINFO WARN ERRORFATAL', (r.severity_number - 1) / 4 * 5 + 1,
            CASE (r.severity_number - 1) / 4 WHEN 2 THEN 4 WHEN 3 THEN 4 ELSE 5 END)
        || CASE (r.severity_number - 1) % 4 WHEN 0 THEN '' ELSE (r.severity_number - 1) % 4 + 1 END END) AS severity,
    o.service, o.logger, o.host, r.message, r.trace_id, r.span_id, r.event_name, o.file, o.line, o.function,
    o.process_id, o.thread, r.attributes
FROM record r JOIN origin o ON o.id = r.origin_id;
";

/// What version 2 added: filters and counts of blocks, as [`super::filter`] and [`super::counts`]
/// describe them.
const INDEX: &str = "
CREATE TABLE filter (number INTEGER PRIMARY KEY, bits BLOB NOT NULL) STRICT; -- of each block of a group that has not ended
CREATE TABLE filter_group (
    number INTEGER PRIMARY KEY,
    lines INTEGER NOT NULL,
    known INTEGER NOT NULL -- a bit for each block that has a filter
) STRICT;
CREATE TABLE filter_line (id INTEGER PRIMARY KEY, blocks BLOB NOT NULL) STRICT;
CREATE TABLE block_counts ( -- whoever deletes a row deletes the counts of its block, (id - 1) / 4096
    number INTEGER PRIMARY KEY, slot_seconds INTEGER NOT NULL, counts BLOB NOT NULL
) STRICT;
";

/// What version 3 added: the data folder that ships into the database; see `store::claim`.
const OWNER: &str = "
ALTER TABLE shipped ADD COLUMN node TEXT; -- the data folder that ships into it
ALTER TABLE shipped ADD COLUMN claim INTEGER NOT NULL DEFAULT 0; -- the number of its claim: any other can write no more
ALTER TABLE shipped ADD COLUMN checksum INTEGER; -- of database, node, claim and position; NULL: nobody has claimed it yet
ALTER TABLE shipped ADD COLUMN database TEXT; -- random
UPDATE shipped SET database = lower(hex(randomblob(16)));
";

/// Opens the database for the writer, and creates or migrates its tables.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    check_regular(path)?;
    confine::install();
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // Never wait for a lock here: the shipper waits, without blocking its thread.
    connection.busy_timeout(std::time::Duration::ZERO)?;
    // No effect on an existing database.
    connection.pragma_update(None, "page_size", crate::limits::SQLITE_PAGE_BYTES)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(refused(
            rusqlite::ffi::SQLITE_PROTOCOL,
            format!("it cannot be put into WAL mode (it stays in `{mode}`)"),
        ));
    }
    connection.pragma_update(None, "synchronous", "normal")?;
    // Otherwise, what SQLite moves from page to page stays at its old place too, and would remain
    // there after a later deletion.
    connection.pragma_update(None, "secure_delete", "fast")?;
    connection.pragma_update(None, "cache_size", -(crate::limits::SQLITE_CACHE_KIB_MAX as i64))?;
    // `sync` makes the checkpoints, and the log file does not stay large after a checkpoint.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", crate::limits::SQLITE_WAL_BYTES_TARGET as i64)?;
    connection.set_prepared_statement_cache_capacity(32);
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => change(&connection, &[TABLES, INDEX, OWNER])?,
        1 => change(&connection, &[INDEX, OWNER])?,
        2 => change(&connection, &[OWNER])?,
        SCHEMA_VERSION => {}
        _ => {
            let why =
                format!("it has schema version {version}, this program supports version {SCHEMA_VERSION}");
            return Err(refused(rusqlite::ffi::SQLITE_MISMATCH, why));
        }
    }
    connection.execute_batch(VIEW)?;
    connection.execute_batch(super::delete::TABLES)?;
    Ok(connection)
}

fn refused(code: i32, why: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(why))
}

/// Fails for a path that is not a regular file, before SQLite opens it: a FIFO would block, and a
/// device would store nothing.
pub(super) fn check_regular(path: &Path) -> rusqlite::Result<()> {
    disk::check_regular(path).map_err(|error| refused(rusqlite::ffi::SQLITE_CANTOPEN, error.to_string()))
}

/// Brings the tables to the current version, all or nothing.
fn change(connection: &Connection, statements: &[&str]) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;",
        statements.concat()
    ))
}

/// Returns true if the database has filters and counts. A database that has none yet still waits
/// for a writer, which migrates it.
pub(super) fn has_index(connection: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version >= INDEX_SINCE)
}

/// Opens the database for a reader, which can do nothing but read.
pub(super) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    check_regular(path)?;
    confine::install();
    let connection = Connection::open_with_flags(path, READ_ONLY)?;
    set_read_only(&connection, crate::limits::SQLITE_READER_CACHE_KIB_MAX)?;
    Ok(connection)
}

/// Opens the database for reading by a statement whose memory, temporary files and time have
/// bounds.
pub(super) fn open_confined(path: &Path) -> rusqlite::Result<Connection> {
    if !confine::install() {
        return Err(refused(
            rusqlite::ffi::SQLITE_MISUSE,
            "SQLite was used before its memory limit was set".into(),
        ));
    }
    check_regular(path)?;
    let connection = Connection::open_with_flags_and_vfs(path, READ_ONLY, confine::FILE_SYSTEM)?;
    set_read_only(&connection, crate::limits::SQL_CACHE_KIB_MAX)?;
    Ok(connection)
}

const READ_ONLY: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

fn set_read_only(connection: &Connection, cache_kib: u64) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_millis(250))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -(cache_kib as i64))
}
