//! Copies a database while it is written to, and checks whether a copy is intact.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::schema::{SCHEMA_VERSION, check_regular};
use super::{io_error, owner};
use crate::disk::beside;
use crate::limits::{BACKUP_STEP_PAGES, BACKUP_WAIT_MILLISECONDS};
use crate::record::RecordId;

/// What a database contains, as figures by which two databases can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The id of the first record, even if that record was deleted since; 0 if there is none.
    pub first_id: RecordId,
    /// The id of the last record, even if that record was deleted since; 0 if there is none.
    pub last_id: RecordId,
    /// Records that are present.
    pub records: u64,
    /// Records that were deleted on purpose.
    pub deleted: u64,
    /// Records that became dead letters.
    pub dead_letters: u64,
    /// Ids that are none of these.
    pub missing: u64,
    /// The id of the first record that the database does not have yet.
    pub position: RecordId,
}

/// Why a database, or the copy of one, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// SQLite cannot read or write the database.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// The database is damaged, or is not what it should be.
    #[error("{0}")]
    Unsound(String),
}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> BackupError {
        BackupError::Database(io_error(&error))
    }
}

/// Copies a database as it is at this moment, durably, to a file that is empty or does not exist
/// yet. Writers continue in the meantime, but their write-ahead log cannot be emptied until the
/// copy is complete. `progress` receives the number of pages that are done, and of all pages.
pub fn copy(from: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Figures, BackupError> {
    check_regular(from)?;
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    source.busy_timeout(Duration::from_millis(BACKUP_WAIT_MILLISECONDS))?;
    // One snapshot for the whole copy: otherwise the copy would start over with each transaction of
    // a writer.
    source.execute_batch("BEGIN")?;
    let figures = figures(&source)?;
    let mut target = Connection::open(to)?;
    target.pragma_update(None, "synchronous", "off")?; // the copy is synced as a whole
    target.pragma_update_and_check(None, "journal_mode", "off", |_| Ok(()))?;
    let backup = Backup::new(&source, &mut target)?;
    loop {
        let step = backup.step(BACKUP_STEP_PAGES)?;
        let pages = backup.progress();
        progress((pages.pagecount - pages.remaining) as u64, pages.pagecount as u64);
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            // `Busy`, `Locked`, and what a later version may return: another process is using the
            // database.
            _ => std::thread::sleep(Duration::from_millis(BACKUP_WAIT_MILLISECONDS)),
        }
    }
    drop(backup);
    drop(target);
    File::open(to)?.sync_all()?;
    Ok(figures)
}

/// Returns the id of the first record that a database does not have yet, while it is written to.
pub fn position(path: &Path) -> Result<RecordId, BackupError> {
    check_regular(path)?;
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_millis(BACKUP_WAIT_MILLISECONDS))?;
    Ok(owner::position(&connection)?)
}

/// Reads all of a database that is not written to: checks its pages, and returns what it contains.
pub fn verify(path: &Path) -> Result<Figures, BackupError> {
    for log in ["-wal", "-journal"].map(|suffix| beside(path, suffix)) {
        if std::fs::metadata(&log).is_ok_and(|data| data.len() > 0) {
            return Err(BackupError::Unsound(format!(
                "{} belongs to it: it is not a copy but a database that was or is in use",
                log.display()
            )));
        }
    }
    check_regular(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(immutable(path), flags)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let is_ours: bool = connection.query_row(
        "SELECT count(*) = 2 FROM sqlite_schema WHERE name IN ('record', 'shipped')",
        [],
        |row| row.get(0),
    )?;
    if !is_ours || !(1..=SCHEMA_VERSION).contains(&version) {
        return Err(BackupError::Unsound(format!(
            "it is not a database of this program (schema version {version})"
        )));
    }
    let damage: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if damage != "ok" {
        return Err(BackupError::Unsound(format!("it is damaged: {damage}")));
    }
    figures(&connection)
}

/// Returns the path as SQLite accepts it, for a file that does not change.
fn immutable(path: &Path) -> String {
    let path = path.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}?immutable=1")
}

fn figures(connection: &Connection) -> Result<Figures, BackupError> {
    let accounts = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'logs_accounted')",
        [],
        |row| row.get::<_, bool>(0),
    )?;
    let of_all = match accounts {
        true => "SELECT coalesce(first_id, 0), coalesce(last_id, 0), kept, deleted, dead_letters, missing FROM logs_accounted",
        // From a version without `logs_accounted`, in which no record was deleted on purpose.
        false => {
            "SELECT first_id, last_id, kept, 0, dead, CASE kept WHEN 0 THEN 0 ELSE last_id - first_id + 1 - kept - dead END FROM (
                SELECT *, (SELECT count(*) FROM logs_dead_letter WHERE id BETWEEN first_id AND last_id) AS dead FROM (
                    SELECT coalesce(min(id), 0) AS first_id, coalesce(max(id), 0) AS last_id, count(*) AS kept FROM record))"
        }
    };
    let position = owner::position(connection)?;
    let end_id: Option<i64> = connection.query_row("SELECT max(end_id) FROM block", [], |row| row.get(0))?;
    if end_id.is_some_and(|end_id| end_id != position as i64) {
        return Err(BackupError::Unsound(format!(
            "its position is {position}, and its records end before {}",
            end_id.unwrap_or_default()
        )));
    }
    let figures = connection.query_row(of_all, [], |row| {
        let number = |at| row.get::<_, i64>(at).map(|number| number.max(0) as u64);
        Ok(Figures {
            first_id: number(0)?,
            last_id: number(1)?,
            records: number(2)?,
            deleted: number(3)?,
            dead_letters: number(4)?,
            missing: number(5)?,
            position,
        })
    })?;
    Ok(figures)
}
