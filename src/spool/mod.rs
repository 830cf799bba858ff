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
//! * A start makes the last segment's name and last frame durable again, for both may be in memory only: the program may have
//!   been killed before a sync, or a sync may have failed.
//! * After a failed write or sync of a frame the writer is **poisoned**: the kernel may have dropped what it could not
//!   write, so a retry could claim what is not there. Nothing is acknowledged until a restart has read what is durable.
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
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

pub use append::{AppendError, DISK_ERROR, Receipt, Witness};
pub use reader::{Chunk, Reader};
pub use spectator::{Place, Span, Spectator};
pub use writer::Writer;

use crate::disk::Disk;
use crate::limits::DAMAGES_MAX;
use crate::record::RecordId;
use append::{Commit, Open};
use segments::{Released, Segment, Segments};

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
        self.forget_below.fetch_max(self.durable_id(), Relaxed);
        self.remove_free()
    }

    fn remove_free(&self) -> io::Result<()> {
        loop {
            let free = lock(&self.segments).take_any_free();
            let Some((name, bytes)) = free else { return Ok(()) };
            if let Err(error) = self.disk.remove(&name) {
                lock(&self.segments).give_free(name, bytes);
                return Err(error);
            }
        }
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
            lock(&self.open).admit_again();
        }
    }

    fn give_up(&self, released: Released, forget_below: RecordId) -> io::Result<()> {
        let Released { name, free_name, bytes } = released;
        let Some(free_name) = free_name else { return self.disk.remove(&name) };
        self.disk.rename(&name, &free_name)?;
        lock(&self.segments).give_free(free_name, bytes);
        // Whoever has had all forgotten since this was decided did not find this file.
        if self.forget_below.load(Relaxed) == forget_below { Ok(()) } else { self.remove_free() }
    }

    /// Sets a damaged stretch of a segment aside, if that was not done before.
    fn quarantine(&self, segment: &Segment, from: u64, to: u64) {
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
        if let Err(error) = segments::quarantine(&*self.disk, &name, segment, from, from + room) {
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
