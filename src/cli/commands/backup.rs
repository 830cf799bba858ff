//! `logboom backup` and `logboom restore`: copies a database into one file, and back.
//!
//! Neither sends a request to a server: SQLite allows reading a database while another process
//! writes to it. A file under its final name is complete and was checked; until then it has a
//! temporary name.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use clap::ArgMatches;

use super::data_dir;
use crate::cli::partial_file::PartialFile;
use crate::cli::terminal::{Output, numbers::counted, progress};
use crate::data_dir::DataDir;
use crate::disk::beside;
use crate::failure::Failure;
use crate::limits::{BACKUP_SPOOL_SECONDS_MAX, BACKUP_WAIT_MILLISECONDS, COPY_PIECE_BYTES};
use crate::record::RecordId;
use crate::spool;
use crate::store::DEFAULT_DATABASE;
use crate::store::sqlite::backup::{self, BackupError, Figures};

/// Copies the database of a data folder, and checks the copy.
pub(super) fn back_up(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let from = database(matches)?;
    let to = path(matches, "dest");
    let failed = || Failure::new(format!("cannot back up {} to {}", from.display(), to.display()));
    if fs::symlink_metadata(&to).is_ok() {
        return Err(failed().because("it exists already").hint("choose a file that does not exist"));
    }
    if !from.exists() {
        return Err(failed()
            .because("the database does not exist")
            .hint("--data-dir or --database selects it; PostgreSQL is backed up with pg_dump"));
    }
    let accepted = wait_for_spool(matches, &from).map_err(|error| failed().because(error))?;
    let partial = begin(&to, ".partial").map_err(|error| failed().because(error))?;
    let bar = progress::of_bytes("copying", 0);
    let copied = backup::copy(&from, &partial.path, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let expected = copied.map_err(|error| failed().because(error))?;
    let figures = verify_copy(&partial.path, expected).map_err(|error| failed().because(error))?;
    partial.persist_new(&to).map_err(|error| failed().because(error))?;
    write_figures(output, "backed up", &figures, &to)?;
    let left = accepted.saturating_sub(figures.position);
    if left > 0 {
        let left = counted(left, "record");
        writeln!(output, "not included: {left} of the spool that the database does not have yet")?;
    }
    Ok(())
}

/// Waits until the database contains everything that was accepted before, as long as its position
/// advances. Returns the id that follows. The limit counts polls, not seconds: while the machine is
/// suspended, there are none.
fn wait_for_spool(matches: &ArgMatches, database: &Path) -> Result<RecordId, BackupError> {
    if matches.contains_id("database") {
        return Ok(0); // the data folder of this database is unknown
    }
    let spool = data_dir(matches).map_err(|failure| BackupError::Unsound(failure.to_string()))?.join(SPOOL);
    let end = spool::inspect::end(&spool)?.unwrap_or_default();
    let (mut position, mut looks) = (backup::position(database)?, 0);
    while position < end && looks < BACKUP_SPOOL_SECONDS_MAX * 1000 / BACKUP_WAIT_MILLISECONDS {
        sleep(Duration::from_millis(BACKUP_WAIT_MILLISECONDS));
        let now = backup::position(database)?;
        (position, looks) = if now > position { (now, 0) } else { (position, looks + 1) };
    }
    Ok(end)
}

/// Puts a backup into a data folder that has no database.
pub(super) fn restore(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let from = path(matches, "backup");
    let data_dir = data_dir(matches)?;
    let to = data_dir.join(DATABASE);
    let failed = || Failure::new(format!("cannot restore {} to {}", from.display(), to.display()));
    let expected = backup::verify(&from).map_err(|error| failed().because(error))?;
    let held = DataDir::open(&data_dir)?; // no server runs there while this is held
    for path in ["", "-wal", "-shm", "-journal"].map(|suffix| beside(&to, suffix)) {
        if fs::symlink_metadata(&path).is_ok() {
            return Err(failed()
                .because(format!("{} exists already", path.display()))
                .hint("move it away, with the files beside it, or choose another --data-dir"));
        }
    }
    let partial = begin(&to, ".restoring").map_err(|error| failed().because(error))?;
    copy(&from, &partial.file).map_err(|error| failed().because(error))?;
    let figures = verify_copy(&partial.path, expected).map_err(|error| failed().because(error))?;
    held.adopt(DEFAULT_DATABASE)?; // the backup may come from another data folder
    partial.persist_new(&to).map_err(|error| failed().because(error))?;
    write_figures(output, "restored", &figures, &to)
}

/// The name of the database within a data folder.
const DATABASE: &str = "logboom.db";
/// The name of the spool within a data folder.
const SPOOL: &str = "spool";

fn database(matches: &ArgMatches) -> Result<PathBuf, Failure> {
    match matches.get_one::<OsString>("database") {
        Some(path) => Ok(path.into()),
        None => Ok(data_dir(matches)?.join(DATABASE)),
    }
}

fn path(matches: &ArgMatches, name: &str) -> PathBuf {
    matches.get_one::<OsString>(name).cloned().unwrap_or_default().into()
}

/// Begins a database file under a temporary name. Removes what SQLite may have left beside an
/// earlier partial, because those files do not belong to this one.
fn begin(to: &Path, suffix: &str) -> io::Result<PartialFile> {
    let path = beside(to, suffix);
    let partial = PartialFile::begin(path.clone())?;
    for suffix in ["-journal", "-wal", "-shm"] {
        match fs::remove_file(beside(&path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(partial)
}

fn copy(from: &Path, mut to: &File) -> io::Result<()> {
    let from = File::open(from)?;
    let bar = progress::of_bytes("copying", from.metadata()?.len());
    io::copy(&mut BufReader::with_capacity(COPY_PIECE_BYTES, bar.wrap_read(from)), &mut to)?;
    bar.finish_and_clear();
    Ok(())
}

/// Checks a copy, and that it contains what the original contains.
fn verify_copy(path: &Path, expected: Figures) -> Result<Figures, BackupError> {
    let figures = backup::verify(path)?;
    if figures == expected {
        return Ok(figures);
    }
    let why = format!("the copy differs from the original: {figures:?} instead of {expected:?}");
    Err(BackupError::Unsound(why))
}

fn write_figures(output: &mut Output, what: &str, figures: &Figures, to: &Path) -> Result<(), Failure> {
    let Figures { first_id, last_id, records, deleted, dead_letters, missing, position } = *figures;
    writeln!(output, "{what} {} to {}", counted(records, "record"), to.display())?;
    if last_id > 0 {
        write!(output, "checked: ids {first_id} to {last_id}, {missing} missing")?;
        for (number, what) in [(deleted, "deleted on purpose"), (dead_letters, "in logs_dead_letter")] {
            if number > 0 {
                write!(output, ", {number} {what}")?;
            }
        }
        writeln!(output)?;
    }
    writeln!(output, "the id of the next record to store is {position}")
}
