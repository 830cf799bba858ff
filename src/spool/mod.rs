//! The crash-safe queue on disk, and the only module that decides whether a record is durable.
//!
//! A record is *accepted* when [`Spool::append`] has copied its batch into the open buffer. It is
//! *durable* when its [`Receipt`] reports so: the [`SpoolWriter`] has then written the buffer as
//! one frame, and `fdatasync` has returned. The next buffer fills while a commit runs (group
//! commit), so load makes commits larger, not slower. [`SpoolReader`]s read the durable records,
//! each at its own pace. A segment is freed once every reader has released it: its file is removed,
//! or kept for reuse.
//!
//! # Format, version 1
//!
//! The folder holds segments (`<first id, 20 digits>.segment`), files of freed segments that are
//! kept for reuse (`<n>.free`), and quarantined damaged ranges (`*.quarantine`). All integers are
//! little-endian.
//!
//! A segment has a fixed size (16 MiB unless configured) and starts with a header of 64 bytes:
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 8 | `LOGBOOM` and the format version, 1 |
//! | 8 | 8 | salt: random, new for each use of the file |
//! | 16 | 8 | id of the first record |
//! | 24 | 4 | CRC32C of bytes 0 to 23 |
//! | 28 | 36 | zero |
//!
//! Frames follow. Each starts at a multiple of 8 and is padded with zeros:
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 8 | the segment's salt |
//! | 8 | 8 | id of the first record |
//! | 16 | 4 | length of the payload, less than 4 MiB |
//! | 20 | 4 | number of records, at least 1; their ids are consecutive |
//! | 24 | 1 | codec of the payload: 0 (stored as is) |
//! | 25 | 1 | encoding of the records, see [`crate::record`] |
//! | 26 | 2 | zero |
//! | 28 | 4 | CRC32C of bytes 0 to 27 and the payload |
//! | 32 | | payload: batches, end to end |
//!
//! The last 64 bytes of the file repeat the segment's header, so that one unreadable page does not
//! cost the whole segment. The bytes between the last frame and this copy have no meaning: they are
//! zeros, or remain from an earlier use of the file, whose frames have another salt.
//!
//! # Crash rules
//!
//! * One commit is one frame, so a commit is present completely or not at all.
//! * A frame is written only after the previous frame is durable. So where an invalid frame is
//!   *followed* by a complete one, the invalid frame had been acknowledged and is **damage**: the
//!   range is copied to quarantine, the missing ids are counted and reported, and reading continues
//!   after it. Where no complete frame follows, the invalid frame is the **torn tail** of a commit
//!   that was never acknowledged: the next frame overwrites it.
//! * A segment's header is durable before the file gets its name, and the name is durable before
//!   the first frame is written.
//! * Once the writer has started to create a segment, it writes nothing more to the previous
//!   segment, even if the creation failed: the new segment may already have its name, and a restart
//!   looks for the next ids only in the last segment.
//! * Each start makes three facts durable again: the last segment's name, its last frame, and that
//!   no frame follows. Until then all three may be in memory only, because the program was killed
//!   before a sync or because a sync failed.
//! * After a failed write or sync of a frame the writer is **poisoned**: the kernel may have
//!   dropped the pages that it could not write, so a retry could acknowledge a frame that is not on
//!   the disk. Nothing is acknowledged until a restart has read what is durable. Errors that report
//!   a lack of space (of the disk, a quota, or a limit on the size of files) are the exception:
//!   * After a failed *write* the start of the frame is overwritten, durably, unless nothing of the
//!     frame was written. The commit is refused, and the next frame is written to the same offset.
//!   * After a failed *sync* the segment is abandoned: nothing more is written to it, and nothing
//!     is acknowledged before a new segment is durable. The new segment begins with the id that the
//!     failed frame would have had.
//! * **The ids of a segment end where the next segment begins.** A frame with ids from that point
//!   on exists in the earlier segment only after a commit that failed, and is never read. (If there
//!   is no next segment yet, a restart may find this frame, complete and in its place.)
//! * After the sync of a commit and before it is acknowledged, the writer checks that the segment's
//!   name still refers to the open file and that the file has its full length. If not, the file was
//!   moved, removed, replaced or truncated by another process: the segment is abandoned as after a
//!   failed sync, and the frame is written again to a new segment.
//! * Other segments whose files are gone remain readable through their open files. They are copied
//!   to new files, one at a time.
//! * Nothing is acknowledged while the lock of the data folder does not cover the folder at its
//!   path.
//! * Ids are assigned at the commit, so a refused commit leaves no gap.
//! * If the end of the last segment, or the whole segment, cannot be read, nothing is written over
//!   it, and the next id is above all ids that may have been assigned there. The ids passed over
//!   are counted as lost, although most of them were never assigned.
//!
//! # Assumptions about the disk
//!
//! `fdatasync` makes file content durable, `fsync` of the folder makes names durable, and `rename`
//! is atomic. Nothing is assumed about the order or completeness of writes that were not synced: a
//! sector, too, may be written in part. Synced bytes stay unchanged while neighbouring bytes in the
//! same sector are written. Wrong bits in the very last commit look like a torn write, and are
//! treated as one.

mod append;
mod cursor;
mod frame;
pub mod inspect;
mod reader;
mod segments;
mod writer;

#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod testing;
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

pub use append::{AppendError, CommitObserver, DISK_ERROR, DISK_FAILING, NoObserver, Receipt};
pub use cursor::{SpoolCursor, SpoolPlace, SpoolSpan};
pub use reader::{Chunk, SpoolReader};
pub use writer::SpoolWriter;

use crate::disk::Disk;
use crate::limits::DAMAGES_MAX;
use crate::record::RecordId;
use append::OpenBuffer;
use segments::{Released, Segment, Segments, Standing};

/// The sizes of a spool.
#[derive(Clone, Copy, Debug)]
pub struct SpoolSizes {
    /// Bytes of a segment file, at least [`crate::limits::SPOOL_SEGMENT_BYTES_MIN`].
    pub segment_bytes: u64,
    /// The ceiling: bytes of all segment files.
    pub bytes_max: u64,
}

/// The spool: appends batches, and holds the state that its readers and its writer share.
pub struct Spool {
    disk: Arc<dyn Disk>,
    sizes: SpoolSizes,
    open: Mutex<OpenBuffer>,
    segments: Mutex<Segments>,
    /// The first id that is not durable yet.
    durable: AtomicU64,
    /// The place of the next record. Its id is never below `durable`.
    end: Mutex<SpoolPlace>,
    /// Payload bytes made durable since the start.
    durable_bytes: AtomicU64,
    commits: AtomicU64,
    /// Released segments that begin at or below this id are removed instead of being kept for
    /// reuse; see [`Spool::forget`]. A segment that begins exactly here is included because it may
    /// have been created from a reused file just before.
    forget_below: AtomicU64,
    /// Requests that the writer check whether all files are still in place.
    look_due: AtomicBool,
    /// Segments whose files were removed or replaced, as found by the last check.
    displaced: AtomicUsize,
    /// Displaced segments that were copied to new files since the start.
    restored: AtomicU64,
    /// The writer has ended: no further record becomes durable.
    finished: AtomicBool,
    /// Records lost to damage: the first id after each gap, and the number of records missing
    /// before it.
    lost: Mutex<BTreeMap<RecordId, u64>>,
    /// Wakes the writer.
    filled: Notify,
    /// Wakes the tasks that wait for room in the open buffer.
    drained: Notify,
    /// Orders these tasks by arrival, so that none is passed over.
    turns: Semaphore,
    readers: Mutex<Vec<Arc<ReaderState>>>,
}

/// The state of one reader, shared between the reader and the spool.
struct ReaderState {
    /// The reader no longer needs ids below this one.
    released: AtomicU64,
    /// True for a cursor, which holds back at most the last segment that the others have released.
    is_cursor: bool,
    /// The reader is woken once all ids below this one are durable.
    wake_id: AtomicU64,
    /// The reader is woken once the durable bytes of the spool reach this number.
    wake_bytes: AtomicU64,
    wake: Notify,
}

/// The released position of a cursor that needs no record: above every id.
const HOLDS_NOTHING: RecordId = u64::MAX;

/// Figures for status and metrics.
#[derive(Clone, Copy, Debug)]
pub struct SpoolStatus {
    /// The oldest id still in the spool (its record may have been shipped already).
    pub oldest_id: RecordId,
    /// The first id that is not durable yet.
    pub durable_id: RecordId,
    /// Bytes of all segment files.
    pub bytes: u64,
    /// The ceiling of `bytes`.
    pub bytes_max: u64,
    /// Segments in use.
    pub segments: usize,
    /// Bytes in quarantine.
    pub quarantined_bytes: u64,
    /// Records lost to damage since the start.
    pub lost_records: u64,
    /// Segments whose files were removed or replaced. Their records are readable only as long as
    /// this process lives.
    pub displaced_segments: usize,
    /// Displaced segments that were copied to new files since the start.
    pub restored_segments: u64,
    /// Commits since the start.
    pub commits: u64,
}

impl Spool {
    /// Opens a folder, recovers the durable records in it, and returns the spool and its only
    /// writer.
    ///
    /// `floor` is a lower bound for the id of the next record: the highest position of the stores,
    /// which may be ahead of the spool when the spool's folder was lost or restored from an older
    /// copy.
    pub fn open(
        disk: Arc<dyn Disk>,
        sizes: SpoolSizes,
        floor: RecordId,
    ) -> io::Result<(Arc<Spool>, SpoolWriter)> {
        let mut segments = Segments::open(&*disk)?;
        let (next_id, end) = writer::recover(&*disk, &mut segments, sizes, floor.max(1))?;
        let spool = Arc::new(Spool {
            disk,
            sizes,
            open: Mutex::new(OpenBuffer::new(next_id)),
            segments: Mutex::new(segments),
            durable: AtomicU64::new(next_id),
            end: Mutex::new(SpoolPlace::at(next_id)),
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
        let writer = SpoolWriter::new(Arc::clone(&spool), end);
        Ok((spool, writer))
    }

    /// Returns the first id that is not durable yet.
    pub fn durable_id(&self) -> RecordId {
        self.durable.load(Acquire)
    }

    /// Returns a reader that starts at `position` (or at the oldest id that exists) and holds back
    /// the records that it has not released.
    pub fn reader(self: &Arc<Self>, position: RecordId) -> SpoolReader {
        SpoolReader::new(Arc::clone(self), self.add_reader(position, false), position)
    }

    /// Returns a cursor, which holds back no records unless [`SpoolCursor::keep_from`] is called.
    pub fn cursor(self: &Arc<Self>) -> SpoolCursor {
        SpoolCursor::new(Arc::clone(self), self.add_reader(HOLDS_NOTHING, true))
    }

    fn add_reader(&self, released: RecordId, is_cursor: bool) -> Arc<ReaderState> {
        let state = Arc::new(ReaderState {
            released: AtomicU64::new(released),
            is_cursor,
            wake_id: AtomicU64::new(u64::MAX),
            wake_bytes: AtomicU64::new(u64::MAX),
            wake: Notify::new(),
        });
        lock(&self.readers).push(Arc::clone(&state));
        state
    }

    /// Returns the oldest id that can be read.
    pub fn oldest_id(&self) -> RecordId {
        lock(&self.segments).iter().next().map_or(1, |segment| segment.header.first_id)
    }

    /// Wakes every reader, whether or not there is something to read.
    pub fn wake_readers(&self) {
        for reader in &*lock(&self.readers) {
            reader.wake.notify_one();
        }
    }

    /// Purges released records from the disk. Free segment files are removed now, and the current
    /// segments are removed on release instead of being kept for reuse. The next commit begins a
    /// new segment.
    pub fn forget(&self) -> io::Result<()> {
        self.disk.check_lock()?; // otherwise the files may be another server's
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

    /// Requests that the writer soon check whether all files are still in place. Called
    /// periodically, so that a loss is noticed while nothing is written.
    pub fn look_soon(&self) {
        self.look_due.store(true, Relaxed);
        self.filled.notify_one();
    }

    /// Returns figures for status and metrics.
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

    /// Frees the segments that no reader needs any more.
    fn release(&self) {
        let lowest = |is_cursor: bool| {
            let readers = lock(&self.readers);
            let readers = readers.iter().filter(|reader| reader.is_cursor == is_cursor);
            readers.map(|reader| reader.released.load(Relaxed)).min()
        };
        let Some(released) = lowest(false) else { return };
        let followed = lowest(true).unwrap_or(HOLDS_NOTHING);
        loop {
            let forget_below = self.forget_below.load(Relaxed);
            let mut segments = lock(&self.segments);
            let has_room = segments.has_room(self.sizes.segment_bytes, self.sizes.bytes_max);
            let followed = if has_room { followed } else { HOLDS_NOTHING };
            let Some(released) = segments.take_released(released, followed, forget_below) else { return };
            drop(segments);
            if let Err(error) = self.give_up(released, forget_below) {
                tracing::warn!(%error, "an emptied spool segment could not be removed or recycled; the next start retries");
                return;
            }
            lock(&self.open).admit_if_full();
        }
    }

    fn give_up(&self, released: Released, forget_below: RecordId) -> io::Result<()> {
        let Released { segment, free_name } = released;
        if segment.standing(&*self.disk)? == Standing::Gone {
            return Ok(()); // the file that has the name now is not of this spool
        }
        let Some(free_name) = free_name else { return self.disk.remove(&segment.name()) };
        self.disk.rename(&segment.name(), &free_name)?;
        lock(&self.segments).give_free(free_name, segment.bytes());
        // A call of `forget` since `forget_below` was read did not find this file.
        if self.forget_below.load(Relaxed) == forget_below { Ok(()) } else { self.remove_free() }
    }

    /// Copies a damaged range of a segment to quarantine, unless it is there already.
    fn quarantine(&self, segment: &Segment, from: u64, to: u64) {
        let to = segment.file.stat().map_or(to, |now| to.min(now.bytes));
        if to <= from {
            return; // the file was truncated: nothing is left to copy
        }
        let name = segments::quarantine_name(segment, from);
        let Some(room) = lock(&self.segments).reserve_quarantine(&name, to - from) else { return };
        tracing::error!(
            segment = segment.header.first_id,
            from,
            to,
            "a range of the spool is damaged and was quarantined"
        );
        if room == 0 {
            return;
        }
        let copied = self
            .disk
            .check_lock()
            .and_then(|()| segments::quarantine(&*self.disk, &name, segment, from, from + room));
        if let Err(error) = copied {
            tracing::error!(%error, "the damaged range could not be copied to quarantine");
        }
    }

    /// Counts the records of a gap, once for all readers that reach it.
    fn lose(&self, from: RecordId, to: RecordId) {
        let mut lost = lock(&self.lost);
        if lost.len() < DAMAGES_MAX || lost.contains_key(&to) {
            let known = lost.entry(to).or_default();
            *known = (*known).max(to - from);
        } else if let Some(mut rest) = lost.last_entry() {
            *rest.get_mut() += to - from; // too many gaps to count them separately
        }
    }
}

/// Locks a mutex, also after a holder panicked: the data is consistent even then, because every
/// critical section only moves values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
