//! The default store: one SQLite database.
//!
//! The writer's position is a row of the same database. It is set in the transaction that inserts
//! the rows, and only from where this process left it (`owner.rs`). The database runs in WAL mode
//! with `synchronous=NORMAL`, so a commit costs no sync. [`Store::sync`] syncs the write-ahead log,
//! which is all that SQLite itself would do with `synchronous=FULL`, but only once for many
//! commits. Until then the spool keeps the records.

pub mod backup;
mod blocks;
mod columns;
pub mod condition;
pub(crate) mod confine;
mod counts;
mod delete;
mod dictionary;
mod extent;
mod filter;
pub mod functions;
pub mod histogram;
pub mod in_memory;
mod index;
mod insert;
mod migrate;
mod owner;
pub mod reader;
mod retention;
mod row;
mod schema;
pub mod search;
mod services;
mod statement;
mod unused_names;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::Builder;

use rusqlite::{Connection, ErrorCode};

use self::blocks::Blocks;
use self::dictionary::Dictionaries;
use self::extent::Extent;
use self::index::Index;
use self::insert::{InsertRow, RowInserter};
use self::migrate::Migration;
use self::owner::{ClaimError, Owner};
use super::claim::{Claimant, StoreKind};
use super::clock::{AgeLimit, ServiceLimit};
use super::{RecordsToDelete, Retention, Store, StoreError, UnusedNames, WriteOutcome};
use crate::blocking::Threads;
use crate::disk::{beside, create_folder};
use crate::limits::{SQLITE_BLOCK_ROWS, SQLITE_INDEX_BESIDE_ROWS_MIN, STORE_MAINTAIN_PACE};
use crate::record::{EncodedRecord, RecordId};
use crate::spool::Chunk;

/// A store that ships into an SQLite database.
pub struct SqliteStore {
    path: PathBuf,
    claimant: Claimant,
    age_limit: Option<AgeLimit>,
    bytes_max: Option<u64>,
    threads: Threads,
    services: Vec<ServiceLimit>,
    database: Option<Database>,
    /// True if a write or a sync has failed. The system may have dropped what it could not write,
    /// and reports that only once, and only to a caller of sync. So the next sync forces a full
    /// checkpoint.
    is_doubtful: bool,
    damage: Option<Damage>,
    /// Records written since retention last deleted, while a reader kept the write-ahead log from
    /// being emptied.
    rows_while_held: u64,
}

/// A file that was cut short. The database is not opened again: data that is written into the file
/// would hide what is missing.
struct Damage {
    /// The device and inode of the database file. The error ends once another file is at the path.
    identity: Option<(u64, u64)>,
    what: String,
}

/// An open database. It is closed after the first error.
struct Database {
    connection: Connection,
    /// The file itself, with all links resolved: the write-ahead log is beside it.
    path: PathBuf,
    owner: Owner,
    position: RecordId,
    dictionaries: Dictionaries,
    migration: Option<Migration>,
    blocks: Blocks,
    index: Index,
    /// The device and inode of the open file, to detect whether the path still leads to it.
    identity: Option<(u64, u64)>,
    /// The same for the write-ahead log and its index.
    companions: [Option<(u64, u64)>; 2],
    page_bytes: u64,
    extent: Option<Extent>,
    /// True if it was already logged that a reader keeps the write-ahead log from being emptied.
    is_held_told: bool,
}

impl SqliteStore {
    /// Creates a store without opening anything: [`Store::position`] opens the database.
    pub fn new(path: PathBuf, retention: Retention) -> SqliteStore {
        SqliteStore {
            path,
            claimant: Claimant::detached("none").of_kind(StoreKind::Sqlite),
            age_limit: retention.age.map(AgeLimit::new),
            bytes_max: retention.bytes,
            threads: Threads::One,
            services: Vec::new(),
            database: None,
            is_doubtful: false,
            damage: None,
            rows_while_held: 0,
        }
    }

    /// Makes the store ship for a data folder, and only into a database that belongs to this
    /// folder.
    #[must_use]
    pub fn with_claimant(self, claimant: Claimant) -> SqliteStore {
        SqliteStore { claimant: claimant.of_kind(StoreKind::Sqlite), ..self }
    }

    /// Makes the store use a second thread where there is much to write, unless the program has
    /// only one.
    #[must_use]
    pub fn with_threads(self, threads: Threads) -> SqliteStore {
        SqliteStore { threads, ..self }
    }

    fn database(&mut self) -> Result<&mut Database, StoreError> {
        if self.database.is_none() {
            self.check_damage()?;
            let opened = Database::open(&self.path, &mut self.claimant);
            self.database = Some(opened.map_err(|error| match error {
                ClaimError::Database(error) => describe(&self.path, &error),
                ClaimError::Refused(refusal) => {
                    refusal.about(format!("the database {}", self.path.display()))
                }
            })?);
        }
        self.database.as_mut().ok_or_else(|| StoreError::new("the database is not open"))
    }

    /// Fails, and makes the store open the database anew, if a file was removed under the open
    /// connection or cut short: what the connection writes would be lost.
    fn check_files(&mut self) -> Result<(), StoreError> {
        let Some(database) = &self.database else { return Ok(()) };
        if database.identity != identity(&self.path) {
            self.database = None;
            let path = self.path.display();
            return Err(StoreError::new(format!("the database {path} was moved or deleted while it was open"))
                .hint("a new database starts with the records that are still in the spool; move databases only while the server is stopped"));
        }
        self.check_lengths()?;
        let Some(database) = &self.database else { return Ok(()) };
        if database.companions == companions(&database.path) {
            return self.step(|database| database.owner.check(&database.connection));
        }
        // The connection still has the log open, and is the last one that has. Until the log is
        // saved, the connection stays open.
        database.checkpoint(true).map_err(|error| describe(&self.path, &error))?;
        let path = self.path.display();
        let what =
            format!("the -wal or -shm file of the database {path} was moved or deleted while it was open");
        self.database = None;
        Err(StoreError::new(what)
            .hint("its content was saved into the database; do not touch these files while the server runs"))
    }

    /// Does one slice of retention, or of a migration. Returns true if there was one.
    fn clean_up(&mut self) -> Result<bool, StoreError> {
        let (mut age_limit, bytes_max) = (self.age_limit, self.bytes_max);
        let result = self.step(|database| database.delete_oldest(age_limit.as_mut(), bytes_max));
        self.age_limit = age_limit;
        Ok(result? || self.expire()? || self.step(Database::migrate)?)
    }

    /// Fails while the file that was cut short is still there.
    fn check_damage(&mut self) -> Result<(), StoreError> {
        self.damage.take_if(|damage| damage.identity != identity(&self.path));
        match &self.damage {
            Some(damage) => Err(damaged(&self.path, &damage.what)),
            None => Ok(()),
        }
    }

    /// Fails if a file was cut short under the open connection.
    fn check_lengths(&mut self) -> Result<(), StoreError> {
        if self.database.is_none() {
            return Ok(());
        }
        let Some(what) = self.step(Database::find_cut)? else { return Ok(()) };
        self.damage = Some(Damage { identity: identity(&self.path), what });
        if let Some(database) = self.database.take() {
            database.abandon();
        }
        self.check_damage()
    }

    /// Runs one step on the open database. After any error the database is opened anew, so that
    /// nothing incomplete remains.
    fn step<T>(&mut self, step: impl FnOnce(&mut Database) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let result = step(self.database()?);
        result.map_err(|error| {
            self.database = None;
            self.is_doubtful |= error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
            describe(&self.path, &error)
        })
    }
}

impl Store for SqliteStore {
    async fn position(&mut self) -> Result<RecordId, StoreError> {
        self.step(|database| Ok(database.position))
    }

    async fn write(&mut self, chunk: &Chunk) -> Result<WriteOutcome, StoreError> {
        self.check_lengths()?;
        let threads = self.threads;
        let written = self.step(|database| database.write(chunk, threads))?;
        self.rows_while_held += chunk.len();
        Ok(written)
    }

    async fn sync(&mut self) -> Result<RecordId, StoreError> {
        self.check_files()?;
        let is_doubtful = self.is_doubtful;
        let position = self.step(|database| {
            sync_write_ahead_log(&database.path).map_err(|error| io_error(&error))?;
            database.checkpoint(is_doubtful)?;
            Ok(database.position)
        })?;
        self.is_doubtful = false;
        Ok(position)
    }

    async fn maintain(&mut self) -> Result<bool, StoreError> {
        self.check_files()?;
        // What housekeeping writes is checkpointed as it proceeds, whether or not records arrive.
        let is_held = self.step(|database| {
            database.checkpoint(false)?;
            database.is_log_held()
        })?;
        // While nothing else is written, deleting would only lengthen a log that cannot be emptied.
        // While records arrive, the log grows anyway, and without deletions the database would grow
        // with it.
        let rows_of_slice = SQLITE_BLOCK_ROWS / STORE_MAINTAIN_PACE;
        if !is_held {
            self.rows_while_held = 0;
        }
        if (!is_held || self.rows_while_held >= rows_of_slice) && self.clean_up()? {
            self.rows_while_held = self.rows_while_held.saturating_sub(rows_of_slice);
            return Ok(true);
        }
        let path = &self.path;
        extent::probe(path).map_err(|error| describe(path, &error)).inspect_err(|_| self.database = None)?;
        Ok(false)
    }

    async fn delete(&mut self, to_delete: &RecordsToDelete) -> Result<u64, StoreError> {
        self.check_files()?;
        self.step(|database| database.delete(to_delete))
    }

    async fn delete_names(&mut self, names: &UnusedNames) -> Result<u64, StoreError> {
        self.check_files()?;
        self.step(|database| database.delete_names(names))
    }

    async fn scrub(&mut self) -> Result<u64, StoreError> {
        self.check_files()?;
        self.step(|database| database.scrub())
    }
}

impl Database {
    fn open(path: &Path, claimant: &mut Claimant) -> Result<Database, ClaimError> {
        if let Some(folder) = path.parent() {
            create_folder(folder).map_err(|error| io_error(&error))?;
        }
        let connection = schema::open(path)?;
        extent::probe(path)?;
        let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let (owner, position) = Owner::claim(&connection, claimant)?;
        schema::begin_migration(&connection)?;
        let blocks = Blocks::open(&connection)?;
        let index = Index::open(&connection, position)?;
        let real_path = std::fs::canonicalize(path).map_err(|error| io_error(&error))?;
        let mut database = Database {
            owner,
            position,
            dictionaries: Dictionaries::open(&connection, dictionary::generation_of(position))?,
            migration: Migration::open(&connection)?,
            blocks,
            index,
            identity: identity(path),
            companions: companions(&real_path), // both files exist, since something was read
            path: real_path,
            page_bytes: page_bytes.unsigned_abs(),
            extent: None,
            is_held_told: false,
            connection,
        };
        database.extent = Some(database.measure()?);
        Ok(database)
    }

    fn write(&mut self, chunk: &Chunk, threads: Threads) -> rusqlite::Result<WriteOutcome> {
        if chunk.first_id() < self.position {
            return Err(owner::is_behind(self.position, chunk.first_id()));
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let written = self.insert(chunk, threads)?;
        self.owner.advance(&self.connection, self.position, chunk.end_id())?;
        self.connection.execute_batch("COMMIT")?;
        self.position = chunk.end_id();
        Ok(written)
    }

    fn insert(&mut self, chunk: &Chunk, threads: Threads) -> rusqlite::Result<WriteOutcome> {
        let Database { connection, dictionaries, blocks, index, .. } = self;
        let is_beside = threads != Threads::One && chunk.len() >= SQLITE_INDEX_BESIDE_ROWS_MIN;
        let written = if is_beside {
            let mut index_all = || chunk.records().for_each(|(id, record)| index.add(id, &record));
            let (written, is_indexed) = std::thread::scope(|scope| {
                let thread = Builder::new().name("index".into()).spawn_scoped(scope, &mut index_all);
                (insert_rows(connection, dictionaries, blocks, chunk, |_, _| ()), thread.is_ok())
            });
            if !is_indexed {
                index_all(); // the thread could not be started
            }
            written?
        } else {
            insert_rows(connection, dictionaries, blocks, chunk, |id, record| index.add(id, record))?
        };
        index.write(connection, written)?;
        Ok(written)
    }

    /// Moves the content of the write-ahead log into the database file once the log is large.
    /// Readers may hold back a part of it; the next call continues. With `all`, moves everything or
    /// fails.
    fn checkpoint(&self, all: bool) -> rusqlite::Result<()> {
        if all {
            let is_busy = self
                .connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))?;
            let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            return if is_busy { Err(rusqlite::Error::SqliteFailure(busy, None)) } else { Ok(()) };
        }
        if !self.is_log_due()? {
            return Ok(());
        }
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }
}

fn insert_rows(
    connection: &Connection,
    dictionaries: &mut Dictionaries,
    blocks: &mut Blocks,
    chunk: &Chunk,
    mut also: impl FnMut(RecordId, &EncodedRecord<'_>),
) -> rusqlite::Result<WriteOutcome> {
    let mut rows = RowInserter::new(connection);
    for (id, record) in chunk.records() {
        blocks.add(connection, id, &record.body)?;
        also(id, &record);
        // The record was encoded by this program and has passed its checksum; the fallback, a
        // record without an origin, is a valid record too.
        let record = record.record().unwrap_or(record.body);
        let names = dictionaries.names(connection, id, &record)?;
        rows.push(InsertRow { id, names, record })?;
    }
    blocks.write(connection)?;
    rows.finish()
}

/// Fails if a trigger has kept out a row that this program inserts.
fn expect_row(written: usize) -> rusqlite::Result<()> {
    if written == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(written)) }
}

fn null_if_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Returns the size of the write-ahead log of a database, which may be open.
pub fn log_bytes(path: &Path) -> u64 {
    let real_path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    std::fs::metadata(write_ahead_log(&real_path)).map_or(0, |data| data.len())
}

fn write_ahead_log(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// Returns the device and inode of the write-ahead log and of its index.
fn companions(path: &Path) -> [Option<(u64, u64)>; 2] {
    ["-wal", "-shm"].map(|suffix| identity(&beside(path, suffix)))
}

/// Makes all commits durable. SQLite holds no lock on this file, so closing it again releases none.
fn sync_write_ahead_log(path: &Path) -> io::Result<()> {
    File::open(write_ahead_log(path))?.sync_data()
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|data| (data.dev(), data.ino()))
}

fn io_error(error: &io::Error) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR),
        Some(error.to_string()),
    )
}

/// Describes an error of the database for a person. Every error has a hint, because the store waits
/// until its cause is gone.
pub(crate) fn describe(path: &Path, error: &rusqlite::Error) -> StoreError {
    let what = format!("the database {} does not accept records: {error}", path.display());
    let hint = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process holds a lock on it; logboom retries until the lock is released"
        }
        Some(ErrorCode::DiskFull) => "make room on the disk; logboom retries by itself",
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            return StoreError::new(what).lasting().hint(
                "check that it is a regular file, that the folder exists, and that this user may write to both",
            );
        }
        Some(ErrorCode::SystemIoFailure) => "check the disk and the system's log; logboom retries by itself",
        Some(ErrorCode::OutOfMemory) => "there is not enough memory; logboom retries by itself",
        Some(ErrorCode::ConstraintViolation) => {
            "a constraint or trigger that was added to one of logboom's own tables refuses it: change or drop the \
             constraint or trigger; logboom retries by itself"
        }
        Some(ErrorCode::OperationInterrupted | ErrorCode::OperationAborted) => "logboom retries by itself",
        _ if matches!(error, rusqlite::Error::StatementChangedRows(_)) => {
            "a trigger that was added to one of logboom's own tables rejects a row: change or drop it; logboom \
             retries by itself"
        }
        Some(ErrorCode::FileLockingProtocolFailed) => {
            "move the database to a local file system: network file systems lack what a write-ahead log needs"
        }
        Some(ErrorCode::TypeMismatch) => "run the version of logboom that wrote it last, or a newer one",
        // A part of the database is missing, or is not what it should be.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) | None => {
            return StoreError::new(what).hint(replace_hint(path));
        }
        Some(_) => "logboom retries by itself",
    };
    StoreError::new(what).hint(hint)
}

/// Returns the error for a database of which a part is missing.
fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::new(format!("the database {} does not accept records: {what}", path.display()))
        .hint(replace_hint(path))
}

/// Returns the hint that lists the ways to replace a damaged database.
fn replace_hint(path: &Path) -> String {
    let path = path.display();
    format!(
        "move {path} (with its -wal and -shm files) away: a new database is created at once with the records that \
         are still in the spool, and `sqlite3 OLD .recover` recovers what can be read from the old one; or stop the \
         server and restore a copy with \
         `logboom restore`"
    )
}
