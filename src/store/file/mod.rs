//! A log file as the store: one line per record, in the format of Python's `logging`, exactly once
//! across crashes.
//!
//! # Exactly-once delivery
//!
//! Lines are only ever appended. Beside `app.log` is `app.log.position` (`sidecar.rs` specifies its
//! bytes). It records the position and the length up to which the log file is durable, and which
//! file that is. [`Store::sync`] first makes the lines durable and then this record. After a crash,
//! the file is cut back to the recorded length, and its lines are written again from the spool,
//! which keeps every record until a sync has returned its position.
//!
//! Before anything is cut off, the file is identified by its inode number and by a checksum of the
//! last bytes before the recorded length. A file that is recorded as empty has no such bytes: its
//! first bytes are recorded before they are written (see `beginning.rs`), and the file is
//! identified by them. If the file does not match, nothing is cut:
//!
//! * **There is no `.position` file, or it is damaged:** the log file is treated as another
//!   program's. It is kept as it is, and what the spool still has is appended. Some of it may be
//!   there twice; nothing is lost.
//! * **It was emptied or is shorter** (logrotate's `copytruncate`): lines continue at its end. What
//!   was written between logrotate's copy and its truncation is lost, as with every program;
//!   renaming is better.
//! * **Another program wrote to it:** lines continue after the data of that program. What the
//!   program writes after the last sync, or while it alone writes, is cut off at the next start,
//!   because it looks like a torn tail.
//!
//! # Rotation, and rotation by other programs
//!
//! A rotation renames the file, makes it durable, and begins a new one. After a crash between these
//! steps, the recorded file is found under its new name by its inode number, and a new file is
//! begun; a number that the crash left free is filled (see `rotation.rs`). So no step needs to be
//! recorded before it is done. The same holds if logrotate renames the file. At SIGHUP
//! ([`FileStore::reopen_handle`]), and every few seconds without a signal, the store checks which
//! file has the name. If it is another file or none, lines continue in the file of that name. (With
//! logrotate's `compress`, use `delaycompress`: lines are still written to the renamed file until
//! then.)
//!
//! A file is rotated between two chunks, so it may exceed `rotate_bytes` by one chunk.

mod beginning;
mod format;
mod line;
mod local;
mod log;
mod place;
mod rotation;
mod sidecar;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use jiff::tz::TimeZone;

pub use format::{DEFAULT_LINE_FORMAT, LineFormat};
#[cfg(test)]
pub(crate) use sidecar::move_position;

use super::claim::{Claimant, StoreKind};
use super::{Store, StoreError, WriteOutcome};
use crate::disk::Disk;
use crate::limits::LOG_FILE_WRITE_BYTES;
use crate::log::{LimitedMessage, admits};
use crate::record::{Origin, RecordId, RecordRef, origin_of, time};
use crate::spool::Chunk;
use line::LineWriter;
use log::Log;
use place::LogPlace;

/// How a log file is written.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// The path. Its folder is created if it is missing.
    pub path: PathBuf,
    /// The format in which a record becomes a line.
    pub line_format: LineFormat,
    /// Begins a new file once the file has this many bytes.
    pub rotate_bytes: Option<u64>,
    /// Begins a new file with the first write of each local day, and names files by day.
    pub rotate_daily: bool,
    /// How many earlier files are kept; `None` keeps all.
    pub rotate_keep: Option<u32>,
}

/// A store that writes a text file. It refuses no record.
pub struct FileStore {
    options: FileOptions,
    lines: LineWriter,
    /// Lines that are not yet passed to the file.
    buffer: Vec<u8>,
    reopen: Arc<AtomicBool>,
    /// A disk that replaces the folder of the path.
    disk: Option<Arc<dyn Disk>>,
    place: Option<LogPlace>,
    /// `None` before the first call, and after a failure that may have left the file in an unknown
    /// state.
    log: Option<Log>,
    claimant: Claimant,
    /// The clock, in ns since the Unix epoch.
    now: fn() -> i64,
}

impl FileStore {
    /// Returns a store for a path. Nothing is read or written before the first call.
    pub fn new(options: FileOptions) -> FileStore {
        let lines = LineWriter::new(options.line_format.clone(), TimeZone::system());
        FileStore {
            options,
            lines,
            buffer: Vec::new(),
            reopen: Arc::default(),
            disk: None,
            place: None,
            log: None,
            claimant: Claimant::detached("none").of_kind(StoreKind::File),
            now: time::now,
        }
    }

    /// Like [`FileStore::new`], on a disk that replaces the folder of the path. Other processes are
    /// not locked out.
    pub fn with_disk(options: FileOptions, disk: Arc<dyn Disk>) -> FileStore {
        FileStore { disk: Some(disk), ..FileStore::new(options) }
    }

    /// Ships for a data folder, and only into a log file that belongs to this folder.
    #[must_use]
    pub fn with_claimant(self, claimant: Claimant) -> FileStore {
        FileStore { claimant: claimant.of_kind(StoreKind::File), ..self }
    }

    /// Uses another clock.
    #[cfg(test)]
    pub(crate) fn with_clock(self, now: fn() -> i64) -> FileStore {
        FileStore { now, ..self }
    }

    /// Returns a flag. If it is set to `true` (at SIGHUP), the next call checks whether the file
    /// was renamed, and begins a new file in that case.
    pub fn reopen_handle(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.reopen)
    }

    fn today(&self) -> i32 {
        self.lines.day((self.now)())
    }

    /// Takes the log out, and opens it if necessary. The caller puts the log back unless something
    /// failed; otherwise the next call recovers from what is durable.
    fn take_log(&mut self) -> Result<Log, StoreError> {
        match self.log.take() {
            Some(log) => Ok(log),
            None => self.open().map_err(|error| self.explain(&error)),
        }
    }

    /// Opens the folder and the log in it. After a failure, the folder is opened again too, because
    /// it may have been removed.
    fn open(&mut self) -> io::Result<Log> {
        let place = match (self.place.take(), &self.disk) {
            (Some(place), _) => place,
            (None, Some(disk)) => LogPlace::on(Arc::clone(disk), &self.options.path)?,
            (None, None) => LogPlace::open(&self.options.path)?,
        };
        let log = Log::open(place.clone(), self.today(), &mut self.claimant)?;
        if self.options.rotate_bytes.is_some() && !self.options.rotate_daily {
            log.close_gap()?;
        }
        self.place = Some(place);
        Ok(log)
    }

    /// Calls `call` with the log, and keeps the log if the call succeeds.
    fn with_log<T>(
        &mut self,
        call: impl FnOnce(&mut Self, &mut Log) -> io::Result<T>,
    ) -> Result<T, StoreError> {
        let mut log = self.take_log()?;
        let result = call(self, &mut log).map_err(|error| self.explain(&error))?;
        self.log = Some(log);
        Ok(result)
    }

    /// Checks the file before a write, and rotates it if a rotation is due.
    fn prepare(&mut self, log: &mut Log) -> io::Result<()> {
        let today = self.today();
        if self.reopen.swap(false, Relaxed) || self.is_due(log, today) || !log.is_untouched()? {
            log.look(today)?;
        }
        if self.is_due(log, today) {
            log.rotate(self.options.rotate_daily, today)?;
            self.prune(log)?;
        }
        log.begin_day(today);
        Ok(())
    }

    fn is_due(&self, log: &Log, today: i32) -> bool {
        let is_large = self.options.rotate_bytes.is_some_and(|bytes| log.length() >= bytes);
        // A clock that was days ahead must not delay rotation until that day. A clock that crosses
        // midnight and goes back is no reason to rotate.
        let is_another_day = today > log.day() || today < log.day() - 1;
        let is_old = self.options.rotate_daily && is_another_day;
        log.length() > 0 && (is_large || is_old)
    }

    fn prune(&self, log: &Log) -> io::Result<bool> {
        let Some(keep) = self.options.rotate_keep else { return Ok(false) };
        let rotates = self.options.rotate_daily || self.options.rotate_bytes.is_some();
        if rotates { log.prune(keep, self.options.rotate_daily) } else { Ok(false) }
    }

    fn append(&mut self, log: &mut Log, chunk: &Chunk) -> io::Result<WriteOutcome> {
        let position = log.position();
        let mut origins = LastOrigin::default();
        let mut stored = 0;
        self.buffer.clear();
        for (id, record) in chunk.records().skip_while(|(id, _)| *id < position) {
            let record = RecordRef { origin: origins.decode(record.origin), ..record.body };
            self.lines.write(id, &record, &mut self.buffer);
            stored += 1;
            if self.buffer.len() >= LOG_FILE_WRITE_BYTES {
                log.append(&self.buffer)?;
                self.buffer.clear();
            }
        }
        log.append(&self.buffer)?;
        log.commit(chunk.end_id().max(position));
        Ok(WriteOutcome { stored, dead_letters: 0 })
    }

    fn explain(&self, error: &io::Error) -> StoreError {
        let path = self.options.path.display();
        if let Some(refusal) = error.get_ref().and_then(|error| error.downcast_ref::<StoreError>()) {
            return refusal.clone().about(format!("the log file {path}"));
        }
        let (hint, is_lasting) = advice(error).unzip();
        StoreError {
            what: format!("the log file {path} cannot be written: {error}"),
            hint: hint.map(str::to_owned),
            is_lasting: is_lasting.unwrap_or(false),
        }
    }
}

impl Store for FileStore {
    async fn position(&mut self) -> Result<RecordId, StoreError> {
        self.with_log(|_, log| Ok(log.position()))
    }

    async fn write(&mut self, chunk: &Chunk) -> Result<WriteOutcome, StoreError> {
        self.with_log(Self::prepare)?;
        let mut log = self.take_log()?;
        let result = self.append(&mut log, chunk);
        // A partly written chunk is removed again. If that fails too, the log is dropped, and
        // recovered at the next call.
        if result.is_ok() || log.undo().is_ok() {
            self.log = Some(log);
        }
        result.map_err(|error| self.explain(&error))
    }

    async fn sync(&mut self) -> Result<RecordId, StoreError> {
        self.with_log(|_, log| log.sync())
    }

    async fn maintain(&mut self) -> Result<bool, StoreError> {
        self.reopen.store(false, Relaxed);
        self.with_log(|store, log| {
            log.look(store.today())?;
            store.prune(log)
        })
    }
}

/// The origin of the previous record, which is usually that of the next record, too.
#[derive(Default)]
struct LastOrigin<'a> {
    encoded: &'a [u8],
    decoded: Origin<'a>,
}

impl<'a> LastOrigin<'a> {
    /// Decodes an origin. If an origin cannot be decoded (a defect of the program, because the
    /// origin has passed its checksum), only this origin is lost.
    fn decode(&mut self, encoded: &'a [u8]) -> Origin<'a> {
        if !std::ptr::eq(self.encoded, encoded) {
            self.encoded = encoded;
            self.decoded = origin_of(encoded).unwrap_or_else(|error| {
                if admits(LimitedMessage::UndecodableRecord) {
                    tracing::error!(%error, "the origin of a stored record cannot be decoded");
                }
                Origin::default()
            });
        }
        self.decoded
    }
}

/// Returns what to do about an error, and whether only a person can fix the cause.
fn advice(error: &io::Error) -> Option<(&'static str, bool)> {
    use io::ErrorKind as Kind;
    Some(match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => {
            ("free some space on its disk; the spool keeps the records until then", false)
        }
        Kind::FileTooLarge => (
            "raise the limit on the size of files (ulimit -f), or rotate the file earlier (`rotate_bytes`)",
            false,
        ),
        Kind::PermissionDenied => (
            "give the user that runs logboom the right to write to the folder and to the files in it: rotation renames \
             the log file, and its position is kept in a file beside it",
            true,
        ),
        Kind::ReadOnlyFilesystem => ("mount its file system writable, or choose another path", true),
        Kind::ResourceBusy => ("use a separate log file for each logboom, or stop the other process", false),
        Kind::IsADirectory | Kind::NotADirectory | Kind::InvalidFilename | Kind::InvalidInput => {
            ("choose the path of a regular file", true)
        }
        Kind::Unsupported => {
            ("use the newer version of logboom, or move the log file and its .position file away", true)
        }
        _ => return None,
    })
}
