//! The crash-safe queue on disk, and the only place where durability is decided.
//!
//! A record is *accepted* when [`Spool::append`] has copied its batch into the open buffer, and *durable* when the
//! [`Receipt`] says so: the [`Writer`] has then written the buffer as one frame and `fdatasync` has returned. While one
//! commit runs the next buffer fills (group commit), so load makes commits larger, not slower. [`Reader`]s follow
//! behind, each at its own pace; a segment is given up once every reader has released it.
//!
//! # Format, version 1
//!
//! The folder holds segments, `<first id, 20 digits>.segment`; emptied ones that wait to be written again, `<n>.free`;
//! and damaged stretches that were set aside, `*.quarantine`. All integers are little-endian.
//!
//! A segment has a fixed size (16 MiB unless configured) and starts with a header of 64 bytes:
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 8 | `LOGBOOM` and the format version, 1 |
//! | 8 | 8 | salt: drawn at random at each use of the file |
//! | 16 | 8 | id of the first record |
//! | 24 | 4 | CRC32C of the bytes before |
//! | 28 | 36 | zero |
//!
//! Frames follow, each at a multiple of 8, padded with zeros:
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 8 | the segment's salt |
//! | 8 | 8 | id of the first record |
//! | 16 | 4 | length of the payload, less than 4 MiB |
//! | 20 | 4 | number of records, at least 1; they have consecutive ids |
//! | 24 | 1 | codec of the payload: 0, as it is |
//! | 25 | 1 | encoding of the records, see [`crate::record`] |
//! | 26 | 2 | zero |
//! | 28 | 4 | CRC32C of the bytes before and the payload |
//! | 32 | | payload: batches, end to end |
//!
//! The last 64 bytes of the file repeat its header, so that one page that cannot be read does not cost the segment. What
//! stands between them and the last frame is of no meaning: zeros, or an earlier life of the file, whose frames have another
//! salt.
//!
//! # Crash rules
//!
//! * One commit is one frame, so it is there whole or not at all.
//! * A frame is written only after the one before it is durable. So where something unreadable is *followed* by a whole
//!   frame, it had been acknowledged and is **damage**: the stretch is copied to quarantine, the missing ids are counted
//!   and reported, reading goes on. Where nothing whole follows, it is the **torn tail** of a commit that no one was
//!   told about: the next frame is written over it.
//! * A segment's header is durable before the file gets its name, and its name before its first frame is written.
//! * Once a segment was to be made, nothing is written to the one before, even if that failed: it may have its name, and a
//!   restart looks for the next ids in the last segment alone.
//! * A start makes the last segment's name and last frame durable again, and that nothing follows: all of it may be in memory
//!   only. The program may have been killed before a sync, or a sync may have failed.
//! * After a failed write or sync of a frame the writer is **poisoned**: the kernel may have dropped what it could not
//!   write, so a retry could claim what is not there. Nothing is acknowledged until a restart has read what is durable.
//!   Errors that mean that there is no space (of the disk, a quota, or a limit on the size of files) are the exception:
//!   * After a failed *write* the start of the frame is overwritten, durably, unless nothing of it was written. The commit is
//!     refused, and the next frame goes to the same place.
//!   * After a failed *sync* the segment is left: nothing more is written to it, and nothing is acknowledged before a new
//!     segment is durable, which begins with the id that the failed frame would have had.
//! * **Where a segment begins, the ids of the one before it end.** A frame with further ids stands there only after a commit
//!   that failed, and is never read. (If there is no next segment yet, a restart may find it, whole and in its place.)
//! * Before a commit is acknowledged, after its sync, the name of its segment still leads to the open file, in its full
//!   length. If not, somebody has moved, removed, replaced or cut it: the segment is left as above, and the frame is written
//!   again to a new one.
//! * Other segments whose files are gone stay readable through their open files. They are copied to new files, one at a time.
//! * Nothing is acknowledged while the lock of the data folder does not cover what is at its path.
//! * Ids are given at the commit, so a refused commit leaves no gap.
//! * Where the end of the last segment cannot be read, or the whole of it, nothing is written over it, and ids go on behind
//!   all that it may have given. They are counted as lost, though most were never given.
//!
//! # What is assumed of the disk
//!
//! `fdatasync` makes file content durable, `fsync` of the folder makes names durable, `rename` is atomic. Nothing is
//! assumed of the order or completeness of what was not synced, nor that a sector is written whole. What was synced stays as
//! it is while its neighbours in the same sector are written. Wrong bits in the very last commit look like a torn write,
//! and are taken for one.

mod append;
mod frame;
pub mod inspect;
mod reader;
mod segments;
mod spectator;
mod writer;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

pub use append::{AppendError, DISK_ERROR, DISK_FAILING, Receipt, Witness};
pub use reader::{Chunk, Reader};
pub use spectator::{Place, Span, Spectator};
pub use writer::Writer;

use crate::disk::Disk;
use crate::limits::DAMAGES_MAX;
use crate::record::RecordId;
use append::{Commit, Open};
use segments::{Released, Segment, Segments, Standing};

/// The sizes of a spool.
#[derive(Clone, Copy, Debug)]
pub struct SpoolSizes {
    /// Bytes of a segment file, at least [`crate::limits::SPOOL_SEGMENT_BYTES_MIN`].
    pub segment_bytes: u64,
    /// The ceiling: bytes of all segment files.
    pub bytes_max: u64,
}

/// The spool: appending, and what its readers and its writer share.
pub struct Spool {
    disk: Arc<dyn Disk>,
    sizes: SpoolSizes,
    open: Mutex<Open>,
    segments: Mutex<Segments>,
    /// The first id that is not durable yet.
    durable: AtomicU64,
    /// The place of the next record; never behind `durable`.
    end: Mutex<Place>,
    /// Payload bytes made durable since the start.
    durable_bytes: AtomicU64,
    commits: AtomicU64,
    /// Segments that do not begin behind this id are not to be kept once they are released; see [`Spool::forget`]. One that begins
    /// here may have been made of an emptied file just before.
    forget_below: AtomicU64,
    /// The writer is to look whether all files are where they were.
    look_due: AtomicBool,
    /// Segments whose files were removed or replaced, as the last look found them.
    displaced: AtomicUsize,
    /// How many of those were copied to new files since the start.
    restored: AtomicU64,
    /// The writer has ended: nothing more becomes durable.
    finished: AtomicBool,
    /// What damage has cost: the first id after each hole, and how many are missing before it.
    lost: Mutex<BTreeMap<RecordId, u64>>,
    /// Wakes the writer.
    filled: Notify,
    /// Wakes those who wait for room in the open buffer.
    drained: Notify,
    /// They wait one behind the other, so that none is passed over.
    turns: Semaphore,
    readers: Mutex<Vec<Arc<ReaderState>>>,
}

/// What the spool knows of one of its readers.
struct ReaderState {
    /// The reader has no need of ids below this one; [`HOLDS_NOTHING`] for a spectator.
    released: AtomicU64,
    /// It wants to be woken once this id, or so many bytes, are durable.
    wake_id: AtomicU64,
    wake_bytes: AtomicU64,
    wake: Notify,
}

/// What a spectator has released: everything there will ever be.
const HOLDS_NOTHING: RecordId = u64::MAX;

/// Figures for status and metrics.
#[derive(Clone, Copy, Debug)]
pub struct SpoolStatus {
    /// The oldest id still there (it may have been shipped already).
    pub oldest_id: RecordId,
    /// The first id that is not durable yet.
    pub durable_id: RecordId,
    /// Bytes of all segment files, and their ceiling.
    pub bytes: u64,
    /// See above.
    pub bytes_max: u64,
    /// Segments in use.
    pub segments: usize,
    /// Bytes set aside as damaged.
    pub quarantined_bytes: u64,
    /// Records that damage has cost since the start.
    pub lost_records: u64,
    /// Segments whose files were removed or replaced: their records can be read as long as this process lives.
    pub displaced_segments: usize,
    /// How many of those were copied to new files since the start.
    pub restored_segments: u64,
    /// Commits since the start.
    pub commits: u64,
}

impl Spool {
    /// Opens a folder, recovers what is durable in it, and gives the spool and its one writer.
    ///
    /// `floor` is an id that the next record's must not be below: the furthest position of the stores, which may be ahead
    /// when the spool's folder was lost or restored from an older copy.
    pub fn open(disk: Arc<dyn Disk>, sizes: SpoolSizes, floor: RecordId) -> io::Result<(Arc<Spool>, Writer)> {
        let mut segments = Segments::open(&*disk)?;
        let (next_id, end) = writer::recover(&*disk, &mut segments, sizes, floor.max(1))?;
        let spool = Arc::new(Spool {
            disk,
            sizes,
            open: Mutex::new(Open::new(next_id)),
            segments: Mutex::new(segments),
            durable: AtomicU64::new(next_id),
            end: Mutex::new(Place::at(next_id)),
            durable_bytes: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            forget_below: AtomicU64::new(0),
            look_due: AtomicBool::new(false),
            displaced: AtomicUsize::new(0),
            restored: AtomicU64::new(0),
            finished: AtomicBool::new(false),
            lost: Mutex::default(),
            filled: Notify::new(),
            drained: Notify::new(),
            turns: Semaphore::new(1),
            readers: Mutex::default(),
        });
        let writer = Writer::new(Arc::clone(&spool), end);
        Ok((spool, writer))
    }

    /// The first id that is not durable yet.
    pub fn durable_id(&self) -> RecordId {
        self.durable.load(Acquire)
    }

    /// A reader that starts at an id (or at the oldest there is), and holds back the release of what it has not released.
    pub fn reader(self: &Arc<Self>, position: RecordId) -> Reader {
        Reader::new(Arc::clone(self), self.add_reader(position), position)
    }

    /// One that holds nothing back.
    pub fn spectator(self: &Arc<Self>) -> Spectator {
        Spectator::new(Arc::clone(self), self.add_reader(HOLDS_NOTHING))
    }

    fn add_reader(&self, released: RecordId) -> Arc<ReaderState> {
        let state = Arc::new(ReaderState {
            released: AtomicU64::new(released),
            wake_id: AtomicU64::new(u64::MAX),
            wake_bytes: AtomicU64::new(u64::MAX),
            wake: Notify::new(),
        });
        lock(&self.readers).push(Arc::clone(&state));
        state
    }

    /// The oldest id that can be read.
    pub fn oldest_id(&self) -> RecordId {
        lock(&self.segments).iter().next().map_or(1, |segment| segment.header.first_id)
    }

    /// Wakes every reader, whether there is something to read or not.
    pub fn wake_readers(&self) {
        for reader in &*lock(&self.readers) {
            reader.wake.notify_one();
        }
    }

    /// Has what is released leave the disk: emptied files are removed at once, and the segments that there are as soon as they
    /// are released, instead of being kept to be written again. The next commit begins a new one.
    pub fn forget(&self) -> io::Result<()> {
        self.disk.check_lock()?; // else the files may be another server's
        self.forget_below.fetch_max(self.durable_id(), Relaxed);
        self.remove_free()
    }

    fn remove_free(&self) -> io::Result<()> {
        loop {
            let free = lock(&self.segments).take_any_free();
            let Some((name, bytes)) = free else { return Ok(()) };
            match self.disk.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    lock(&self.segments).give_free(name, bytes);
                    return Err(error);
                }
                _ => {}
            }
        }
    }

    /// Has the writer look soon whether all files are where they were. Somebody asks for it now and then, so that a loss is
    /// noticed while nothing is written.
    pub fn look_soon(&self) {
        self.look_due.store(true, Relaxed);
        self.filled.notify_one();
    }

    /// Figures for status and metrics.
    pub fn status(&self) -> SpoolStatus {
        let segments = lock(&self.segments);
        SpoolStatus {
            oldest_id: segments.iter().next().map_or(0, |segment| segment.header.first_id),
            durable_id: self.durable_id(),
            bytes: segments.bytes(),
            bytes_max: self.sizes.bytes_max,
            segments: segments.count(),
            quarantined_bytes: segments.quarantined_bytes(),
            lost_records: lock(&self.lost).values().sum(),
            displaced_segments: self.displaced.load(Relaxed),
            restored_segments: self.restored.load(Relaxed),
            commits: self.commits.load(Relaxed),
        }
    }

    /// Gives up the segments that no reader needs any more.
    fn release(&self) {
        let released = |reader: &Arc<ReaderState>| reader.released.load(Relaxed);
        let slowest = lock(&self.readers).iter().map(released).filter(|id| *id != HOLDS_NOTHING).min();
        let Some(slowest) = slowest else { return };
        loop {
            let forget_below = self.forget_below.load(Relaxed);
            let Some(released) = lock(&self.segments).take_released(slowest, forget_below) else { return };
            if let Err(error) = self.give_up(released, forget_below) {
                tracing::warn!(%error, "an emptied spool segment could not be given up; the next start will");
                return;
            }
            lock(&self.open).admit_if_full();
        }
    }

    fn give_up(&self, released: Released, forget_below: RecordId) -> io::Result<()> {
        let Released { segment, free_name } = released;
        if segment.standing(&*self.disk)? == Standing::Gone {
            return Ok(()); // what has the name now is not of this spool
        }
        let Some(free_name) = free_name else { return self.disk.remove(&segment.name()) };
        self.disk.rename(&segment.name(), &free_name)?;
        lock(&self.segments).give_free(free_name, segment.bytes());
        // Whoever has had all forgotten since this was decided did not find this file.
        if self.forget_below.load(Relaxed) == forget_below { Ok(()) } else { self.remove_free() }
    }

    /// Sets a damaged stretch of a segment aside, if that was not done before.
    fn quarantine(&self, segment: &Segment, from: u64, to: u64) {
        let to = segment.file.stat().map_or(to, |now| to.min(now.bytes));
        if to <= from {
            return; // the file was cut short: nothing is left to set aside
        }
        let name = segments::quarantine_name(segment, from);
        let Some(room) = lock(&self.segments).reserve_quarantine(&name, to - from) else { return };
        tracing::error!(
            segment = segment.header.first_id,
            from,
            to,
            "a stretch of the spool is damaged: it is set aside"
        );
        if room == 0 {
            return;
        }
        let copied = self
            .disk
            .check_lock()
            .and_then(|()| segments::quarantine(&*self.disk, &name, segment, from, from + room));
        if let Err(error) = copied {
            tracing::error!(%error, "the damaged stretch could not be copied to quarantine");
        }
    }

    /// Counts the records of a hole, once for all readers that come to it.
    fn lose(&self, from: RecordId, to: RecordId) {
        let mut lost = lock(&self.lost);
        if lost.len() < DAMAGES_MAX || lost.contains_key(&to) {
            let known = lost.entry(to).or_default();
            *known = (*known).max(to - from);
        } else if let Some(mut rest) = lost.last_entry() {
            *rest.get_mut() += to - from; // too many to be told apart
        }
    }
}

/// A lock whose holder panicked still guards consistent data here: every critical section only moves values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
