//! The tables, and opening a database that has them.
//!
//! A row of `record` is narrow: what repeats is stored once in the dictionaries of its generation
//! (`dictionary.rs`), and the view `logs` shows all fields flat. For each run of consecutive ids,
//! `block` has the times that occur in it, and the filters have what else may occur in it, so that
//! queries and retention need not read every row. Empty texts are NULL.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{columns, confine, delete, dictionary, migrate};
use crate::disk;
use crate::record::Column;

/// The version of the tables, raised with every change of them. A database of an older version is
/// migrated, and one of a newer version is refused.
pub(super) const SCHEMA_VERSION: i64 = 5;

/// The version of a database that has these tables, and rows of version 3 that are still to be
/// moved into them; see `migrate.rs`.
pub(super) const MIGRATING_VERSION: i64 = 4;

/// The last version with the table `origin`.
const LAST_WITH_ORIGINS: i64 = 3;

/// `logb` in ASCII: identifies the database to `file` and to this program.
const APPLICATION_ID: i64 = 0x6c6f_6762;

/// The rows. The table is not STRICT, so that a column may have a number or a text. What is mostly
/// absent comes last.
pub(super) const RECORD: &str = "
CREATE TABLE record (
    id INTEGER PRIMARY KEY,
    timestamp INTEGER NOT NULL, -- ns since the Unix epoch
    severity INTEGER NOT NULL, -- the severity number, plus 32 times the index of a spelling
    sender INTEGER, place INTEGER, -- numbers of rows of these dictionaries
    line INTEGER,
    thread, -- the number of a word, or the text; likewise all columns without a type
    message TEXT,
    trace_id, -- 16 bytes, or the text
    attributes TEXT, -- a JSON object
    process_id INTEGER, host, service, -- only without a sender
    function, logger, file, -- only without a place
    span_id, -- 8 bytes, or the text
    severity_text, event_name
);
";

/// What all versions have.
pub(super) const COMMON: &str = "
CREATE TABLE block (
    first_id INTEGER PRIMARY KEY, end_id INTEGER NOT NULL,
    timestamp_min INTEGER NOT NULL, timestamp_max INTEGER NOT NULL,
    observed_max INTEGER NOT NULL -- when the last of them was received, ns
) STRICT;
CREATE TABLE logs_dead_letter (id INTEGER PRIMARY KEY, time TEXT NOT NULL, reason TEXT NOT NULL, record TEXT) STRICT;
CREATE TABLE shipped (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL) STRICT;
INSERT INTO shipped VALUES (1, 1);
";

/// What version 2 added: filters and counts of blocks, as [`super::filter`] and [`super::counts`]
/// describe them.
pub(super) const INDEX: &str = "
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
pub(super) const OWNER: &str = "
ALTER TABLE shipped ADD COLUMN node TEXT; -- the data folder that ships into it
ALTER TABLE shipped ADD COLUMN claim INTEGER NOT NULL DEFAULT 0; -- the number of its claim: any other can write no more
ALTER TABLE shipped ADD COLUMN checksum INTEGER; -- of database, node, claim and position; NULL: nobody has claimed it yet
ALTER TABLE shipped ADD COLUMN database TEXT; -- random
UPDATE shipped SET database = lower(hex(randomblob(16)));
";

/// Opens the database for the writer, and creates its tables or brings them to version 3.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    if version_of(&connection)? == 0 {
        let tables = [RECORD, dictionary::TABLES, COMMON, INDEX, OWNER];
        change(&connection, &tables, SCHEMA_VERSION)?;
    }
    match version_of(&connection)? {
        1 => change(&connection, &[INDEX, OWNER], LAST_WITH_ORIGINS)?,
        2 => change(&connection, &[OWNER], LAST_WITH_ORIGINS)?,
        LAST_WITH_ORIGINS => {}
        version @ (MIGRATING_VERSION | SCHEMA_VERSION) => {
            connection.execute_batch(delete::TABLES)?;
            connection.execute_batch(&views(version == MIGRATING_VERSION))?;
        }
        version => {
            let why =
                format!("it has schema version {version}, this program supports version {SCHEMA_VERSION}");
            return Err(refused(rusqlite::ffi::SQLITE_MISMATCH, why));
        }
    }
    Ok(connection)
}

/// Begins to migrate a database of an older version, which must have been claimed before.
pub(super) fn begin_migration(connection: &Connection) -> rusqlite::Result<()> {
    if version_of(connection)? == LAST_WITH_ORIGINS {
        connection.execute_batch(delete::TABLES)?;
        migrate::begin(connection)?;
    }
    Ok(())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
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
    Ok(connection)
}

/// Returns the version of the tables.
pub(super) fn version_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))
}

/// Returns statements that create the views, unless they are there.
pub(super) fn views(is_migrating: bool) -> String {
    let flat = |rows| format!("SELECT {} FROM {rows} AS r", columns_of_logs());
    let (logs, tables) = match is_migrating {
        false => (flat("record"), "record".to_owned()),
        true => (
            format!("{} UNION ALL {}", flat("record"), flat(migrate::EARLIER_ROWS)),
            format!("(SELECT id FROM record UNION ALL SELECT id FROM {})", migrate::EARLIER_TABLE),
        ),
    };
    format!("CREATE VIEW IF NOT EXISTS logs AS {logs}; {}", delete::ACCOUNTS.replace("{rows}", &tables))
}

/// Returns the list of columns of the view `logs`, which shows each record as all stores do.
fn columns_of_logs() -> String {
    let column = |column: Column| {
        let sql = match column {
            Column::Time => columns::time_text().to_owned(),
            Column::Severity => columns::severity_text(),
            other => columns::expression(other),
        };
        format!("{sql} AS {}", column.name())
    };
    let all = Column::ALL.map(column).join(",\n    ");
    format!("{all},\n    r.attributes AS attributes")
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
pub(super) fn change(connection: &Connection, statements: &[&str], version: i64) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}; COMMIT;",
        statements.concat()
    ))
}

/// Opens the database for a reader, which can do nothing but read.
pub(super) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    check_regular(path)?;
    confine::install();
    let connection = Connection::open_with_flags(path, READ_ONLY)?;
    set_read_only(&connection, crate::limits::SQLITE_READER_CACHE_KIB_MAX)?;
    let version = version_of(&connection)?;
    if (1..MIGRATING_VERSION).contains(&version) {
        let why = format!("it has schema version {version}, and the server has not begun to migrate it yet");
        return Err(refused(rusqlite::ffi::SQLITE_SCHEMA, why));
    }
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
