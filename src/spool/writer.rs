//! The only writer: takes the open buffer, writes it as one frame, syncs, and wakes the tasks that
//! wait for the commit.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::sync::atomic::fence;
use std::time::{Duration, Instant};

use super::append::PendingCommit;
use super::frame::{self, Begun, FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES};
use super::segments::{self, Segment, Segments, Standing};
use super::{AppendError, Spool, SpoolPlace, SpoolSizes, lock};
use crate::blocking::Threads;
use crate::disk::{Disk, is_out_of_space};
use crate::limits::{GATHER_BELOW_MICROSECONDS, GATHER_MICROSECONDS};
use crate::log;
use crate::record::RecordId;

/// Commits appended batches. There is one writer per spool.
pub struct SpoolWriter {
    spool: Arc<Spool>,
    /// The id of the next record.
    next_id: RecordId,
    /// The current segment. `None` after it was abandoned, or if a new one could not be created.
    segment: Option<Segment>,
    /// The offset of the next frame in the segment.
    end: u64,
    /// The size of a frame that could not be written for lack of space; 0 if there is none.
    refused_bytes: usize,
    /// Why nothing may be written now, as found by the last check of the lock.
    barred: Option<Arc<str>>,
    /// The buffer that is not open, kept to reuse its memory.
    spare: Vec<u8>,
}

/// If batches come, on average, at shorter intervals than this, the next commit waits until more
/// have gathered.
const GATHER_BELOW: Duration = Duration::from_micros(GATHER_BELOW_MICROSECONDS);
/// How long such a commit waits.
const GATHER: Duration = Duration::from_micros(GATHER_MICROSECONDS);

/// The content of the open buffer.
enum Taken {
    Batches(PendingCommit),
    Nothing,
    /// Nothing, and no more batches will follow.
    Closed,
}

/// Finds the end of the durable records: returns the next id, and the offset of the next frame in
/// the last segment.
pub(super) fn recover(
    disk: &dyn Disk,
    segments: &mut Segments,
    sizes: SpoolSizes,
    floor: RecordId,
) -> io::Result<(RecordId, u64)> {
    let floor = floor.max(segments.floor());
    let Some(last) = segments.last() else { return add(disk, segments, floor, sizes.segment_bytes) };
    let scan = last.scan(|_| {})?;
    last.confirm(disk, &scan)?;
    let mut next_id = scan.end_id;
    match scan.tail {
        Begun::Nothing | Begun::Whole => {}
        Begun::Torn => tracing::warn!(
            next_id,
            offset = scan.end,
            "removed an unfinished commit from the end of the spool; it was never acknowledged as durable"
        ),
        Begun::Unreadable => {
            next_id += frame::ids_max(last.bytes() - scan.end);
            tracing::error!(
                from = scan.end_id,
                next_id,
                "the end of the spool cannot be read: ids that may have been assigned there are skipped"
            );
        }
    }
    if next_id < floor {
        tracing::warn!(
            spool = next_id,
            floor,
            "a store is ahead of the spool, whose folder must have been lost, replaced or damaged; new ids start at \
             `floor`"
        );
        next_id = floor;
    }
    if scan.frames == 0 {
        segments.grow_last(sizes.segment_bytes)?;
    }
    if next_id == scan.end_id {
        return Ok((next_id, scan.end));
    }
    add(disk, segments, next_id, sizes.segment_bytes)
}

/// Adds a segment. The ceiling is ignored, because a start always needs a segment.
fn add(
    disk: &dyn Disk,
    segments: &mut Segments,
    first_id: RecordId,
    bytes: u64,
) -> io::Result<(RecordId, u64)> {
    let (name, size) = segments.take_free(bytes, u64::MAX)?;
    segments.push(segments::prepare(disk, &name, first_id, size.max(bytes))?);
    Ok((first_id, SEGMENT_HEADER_BYTES as u64))
}

impl SpoolWriter {
    pub(super) fn new(spool: Arc<Spool>, end: u64) -> SpoolWriter {
        let segment = lock(&spool.segments).last().cloned();
        let writer = SpoolWriter {
            next_id: spool.durable_id(),
            segment,
            end,
            refused_bytes: 0,
            barred: None,
            spare: Vec::new(),
            spool,
        };
        writer.tell_end();
        writer
    }

    /// Publishes the place of the next record for cursors.
    fn tell_end(&self) {
        if let Some(segment) = &self.segment {
            *lock(&self.spool.end) = SpoolPlace::known(self.next_id, segment.header.first_id, self.end);
        }
    }

    /// Commits until the spool is closed and empty. Each commit blocks the thread for its write and
    /// sync.
    pub async fn run(mut self, threads: Threads) {
        let mut last = Instant::now();
        loop {
            if self.spool.look_due.swap(false, Relaxed) {
                self.look();
            }
            let mut batches = 0;
            match self.take() {
                Taken::Batches(pending) => {
                    batches = pending.batches;
                    self.commit(pending, threads);
                }
                Taken::Nothing => self.spool.filled.notified().await,
                Taken::Closed => break,
            }
            // On a shared thread, the sources run between two commits.
            tokio::task::yield_now().await;
            // Under very many small batches, commits without a pause would take the processor from
            // the sources.
            let now = Instant::now();
            if now - last < GATHER_BELOW * batches {
                threads.pause(GATHER);
            }
            last = now;
        }
        self.spool.finished.store(true, Release);
        self.spool.wake_readers();
    }

    fn take(&mut self) -> Taken {
        let mut open = lock(&self.spool.open);
        if open.pending.count == 0 {
            return if open.closed { Taken::Closed } else { Taken::Nothing };
        }
        let next = PendingCommit { frame: std::mem::take(&mut self.spare), ..PendingCommit::default() };
        let pending = std::mem::replace(&mut open.pending, next);
        open.previous = Arc::clone(&pending.commit);
        open.waits = 0;
        drop(open);
        self.spool.drained.notify_waiters();
        Taken::Batches(pending)
    }

    fn commit(&mut self, mut pending: PendingCommit, threads: Threads) {
        let payload_bytes = (pending.frame.len() - FRAME_HEADER_BYTES) as u64;
        let outcome = self.write(&mut pending);
        match &outcome {
            Ok(_) => {
                self.publish(payload_bytes);
                lock(&self.spool.open).admit_again();
            }
            Err(refusal) => {
                lock(&self.spool.open).refuse(refusal.clone());
                if !matches!(refusal, AppendError::Full(_)) || log::admits(log::LimitedMessage::FullSpool) {
                    tracing::error!(records = pending.count, "{refusal}");
                }
            }
        }
        for (observer, records) in &pending.observers {
            observer.committed(*records, outcome.as_ref().map(|_| ()));
        }
        pending.frame.clear();
        self.spare = pending.frame;
        // Only this writer sets the outcome, once.
        threads.hand_over(move || {
            let _ = pending.commit.set(outcome);
        });
    }

    /// Writes one frame durably, and returns the id of its first record.
    fn write(&mut self, pending: &mut PendingCommit) -> Result<RecordId, AppendError> {
        if let Some((refusal @ AppendError::Poisoned(_), _)) = &lock(&self.spool.open).refusal {
            return Err(refusal.clone());
        }
        if let Some(why) = &self.barred {
            return Err(AppendError::Failing(Arc::clone(why)));
        }
        let header = FrameHeader {
            salt: 0,
            first_id: self.next_id,
            length: (pending.frame.len() - FRAME_HEADER_BYTES) as u32, // at most COMMIT_BYTES_MAX
            count: pending.count,
        };
        // Retries once, in a new segment, if the segment of the first attempt is no longer in
        // place.
        let is_written = self.write_frame(header, pending)? || self.write_frame(header, pending)?;
        if !is_written {
            return Err(AppendError::Failing(
                "files of the spool are removed while the server writes them".into(),
            ));
        }
        self.end += header.size();
        self.next_id = header.end_id();
        Ok(header.first_id)
    }

    /// Writes one frame durably to the segment that has room for it. Returns false if the segment
    /// is no longer at its name.
    fn write_frame(&mut self, header: FrameHeader, pending: &mut PendingCommit) -> Result<bool, AppendError> {
        let segment = self.segment_for(header.size())?;
        pending.frame.truncate(FRAME_HEADER_BYTES + header.length as usize);
        FrameHeader { salt: segment.header.salt, ..header }.seal(&mut pending.frame);
        if let Err(error) = segment.file.write_at(&pending.frame, self.end) {
            self.refused_bytes = pending.frame.len();
            return Err(self.write_failed(&segment, &error));
        }
        self.refused_bytes = 0;
        if let Err(error) = segment.file.sync() {
            return Err(self.sync_failed(&segment, &error));
        }
        match segment.standing(&*self.spool.disk) {
            Ok(Standing::InPlace) => Ok(true),
            Ok(standing) => {
                // If the file is put back, the frame must not be found twice.
                let _ = self.take_back(&segment);
                self.leave(&segment, standing);
                Ok(false)
            }
            Err(error) => {
                let _ = self.take_back(&segment);
                Err(AppendError::Failing(error.to_string().into()))
            }
        }
    }

    fn write_failed(&mut self, segment: &Segment, error: &io::Error) -> AppendError {
        if !is_out_of_space(error) {
            return AppendError::Poisoned(error.to_string().into());
        }
        match self.take_back(segment) {
            Ok(()) => self.full(error),
            Err(error) => self.sync_failed(segment, &error),
        }
    }

    /// Handles a failed sync: the state of everything written since the last sync is unknown, but
    /// data that was synced before remains durable.
    fn sync_failed(&mut self, segment: &Segment, error: &io::Error) -> AppendError {
        if !is_out_of_space(error) {
            return AppendError::Poisoned(error.to_string().into());
        }
        let _ = self.take_back(segment); // best effort: a restart is better off without the frame
        self.segment = None;
        AppendError::Failing(error.to_string().into())
    }

    /// Takes back the unacknowledged frame at the end of a segment: overwrites its start, durably,
    /// if anything of the frame was written.
    fn take_back(&self, segment: &Segment) -> io::Result<()> {
        let mut salt = [0; 8];
        segment.file.read_at(&mut salt, self.end)?;
        if salt != segment.header.salt.to_le_bytes() {
            return Ok(()); // nothing was written: a write begins at the start of the frame
        }
        segment.file.write_at(&[0; 8], self.end)?;
        segment.file.sync()
    }

    /// Abandons a segment that is no longer in place. The next commit begins another one.
    fn leave(&mut self, segment: &Segment, standing: Standing) {
        tracing::error!(
            segment = segment.name(),
            next_id = self.next_id,
            "the spool's current segment was {} while the server wrote it: starting a new segment",
            if standing == Standing::Cut { "truncated" } else { "moved, removed or replaced" },
        );
        self.segment = None;
        if standing == Standing::Gone {
            self.spool.displaced.fetch_add(1, Relaxed);
        }
        self.spool.look_soon(); // the segment's records are copied right after the next commit
    }

    /// Returns the segment that has room for a frame: the current one, otherwise a new one.
    fn segment_for(&mut self, size: u64) -> Result<Segment, AppendError> {
        let is_kept = |segment: &&Segment| {
            // A segment with records to be purged is not continued. One without any record is: a
            // new segment would get the same name.
            let first_id = segment.header.first_id;
            first_id > self.spool.forget_below.load(Relaxed) || first_id == self.next_id
        };
        let has_room = |segment: &&Segment| self.end + size <= segment.frames_end();
        let current = self.segment.as_ref().filter(has_room);
        if let Some(segment) = current.filter(is_kept) {
            return Ok(segment.clone());
        }
        if let Some(segment) = current.filter(|_| !self.has_room_for_another()) {
            return Ok(segment.clone());
        }
        self.begin_segment()
    }

    fn begin_segment(&mut self) -> Result<Segment, AppendError> {
        self.check_lock()?;
        let segment = self.new_segment().map_err(|error| self.full(&error))?;
        // Checked again: another server's folder may have replaced this one during the creation.
        if let Err(refusal) = self.check_lock() {
            let _ = self.spool.disk.remove(&segment.name());
            return Err(refusal);
        }
        lock(&self.spool.segments).push(segment.clone());
        self.end = SEGMENT_HEADER_BYTES as u64;
        self.segment = Some(segment.clone());
        Ok(segment)
    }

    /// Returns true if the ceiling allows another segment.
    fn has_room_for_another(&self) -> bool {
        let SpoolSizes { segment_bytes, bytes_max } = self.spool.sizes;
        lock(&self.spool.segments).has_room(segment_bytes, bytes_max)
    }

    fn new_segment(&mut self) -> io::Result<Segment> {
        let SpoolSizes { segment_bytes, bytes_max } = self.spool.sizes;
        let (name, size) = lock(&self.spool.segments).take_free(segment_bytes, bytes_max)?;
        // Even if the creation fails, the new segment may have its name. A restart then looks for
        // the next ids only there.
        self.segment = None;
        let disk = &*self.spool.disk;
        let segment = segments::prepare(disk, &name, self.next_id, size.max(segment_bytes));
        segment.inspect_err(|_| self.discard(name, size))
    }

    /// Removes a partial file, which is of no use on a full disk. If it cannot be removed, it is
    /// kept for the next attempt.
    fn discard(&self, name: String, size: u64) {
        if self.spool.disk.remove(&name).is_err() {
            lock(&self.spool.segments).give_free(name, size);
        }
    }

    fn full(&self, error: &io::Error) -> AppendError {
        AppendError::Full(match error.kind() {
            io::ErrorKind::QuotaExceeded if error.raw_os_error().is_none() => {
                format!("it has reached its ceiling of {} bytes", self.spool.sizes.bytes_max).into()
            }
            io::ErrorKind::FileTooLarge => {
                format!("{error}; a limit on the size of files is in force (ulimit -f)").into()
            }
            _ => error.to_string().into(),
        })
    }

    /// Checks whether all files are still in place, and repairs what can be repaired.
    fn look(&mut self) {
        if let Some((AppendError::Poisoned(_), _)) = lock(&self.spool.open).refusal {
            return;
        }
        let disk = Arc::clone(&self.spool.disk);
        let was_barred = self.barred.is_some();
        if let Err(refusal) = self.check_lock() {
            return self.refuse(refusal);
        }
        if was_barred {
            tracing::info!("the data folder is back in place: accepting records again");
            lock(&self.spool.open).admit_again();
        }
        if let Some(segment) = self.segment.clone() {
            match segment.standing(&*disk) {
                Ok(Standing::InPlace) => self.try_again(&segment),
                Ok(standing) => self.leave(&segment, standing),
                Err(error) => return self.refuse(AppendError::Failing(error.to_string().into())),
            }
        }
        if self.segment.is_none() {
            match self.begin_segment() {
                Ok(_) => lock(&self.spool.open).admit_again(),
                Err(refusal) => self.refuse(refusal),
            }
        }
        self.restore_one(&*disk);
    }

    /// Tries to write zeros in place of a frame that did not fit on the disk, so that the server
    /// accepts records again before a client sends some.
    fn try_again(&mut self, segment: &Segment) {
        if self.refused_bytes == 0 {
            // The file of the segment could not be found before, and is in place now.
            return lock(&self.spool.open).admit_if_failing();
        }
        let zeros = vec![0; self.refused_bytes];
        let written = segment.file.write_at(&zeros, self.end);
        match written.map_err(|error| self.write_failed(segment, &error)) {
            Ok(()) => {
                self.refused_bytes = 0;
                lock(&self.spool.open).admit_again();
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Checks the lock. Nothing is written while the check fails.
    fn check_lock(&mut self) -> Result<(), AppendError> {
        let before = self.barred.take();
        let Err(error) = self.spool.disk.check_lock() else { return Ok(()) };
        let why: Arc<str> = error.to_string().into();
        if before.as_ref() != Some(&why) {
            tracing::error!("not accepting records: {why}");
        }
        self.barred = Some(Arc::clone(&why));
        Err(AppendError::Failing(why))
    }

    fn refuse(&self, refusal: AppendError) {
        lock(&self.spool.open).refuse(refusal);
    }

    /// Copies one segment whose file is gone to a new file. Only one at a time, so that commits
    /// continue in between.
    fn restore_one(&self, disk: &dyn Disk) {
        let written = self.segment.as_ref().map(|segment| segment.header);
        let segments: Vec<_> = lock(&self.spool.segments).iter().cloned().collect();
        let is_gone = |segment: &&Segment| {
            Some(segment.header) != written && matches!(segment.standing(disk), Ok(Standing::Gone))
        };
        let mut gone = segments.iter().filter(is_gone);
        let first = gone.next();
        let others = gone.count();
        let displaced = usize::from(first.is_some()) + others;
        let before = self.spool.displaced.swap(displaced, Relaxed);
        let Some(first) = first else { return };
        if displaced > before {
            tracing::error!(
                segments = displaced,
                "segments of the spool were moved, removed or replaced: their records can be read only until this \
                 process exits, and are copied to new files"
            );
        }
        match self.restore(disk, first) {
            Ok(()) => {
                self.spool.displaced.store(others, Relaxed);
                if others > 0 {
                    self.spool.look_soon();
                }
            }
            Err(error) => {
                tracing::warn!(%error, segment = first.name(), "the segment could not be copied; retrying");
            }
        }
    }

    fn restore(&self, disk: &dyn Disk, segment: &Segment) -> io::Result<()> {
        let name = segment.name();
        if let Some(other) = disk.stat(&name)? {
            let aside = segments::whole_quarantine_name(&name);
            disk.rename(&name, &aside)?;
            lock(&self.spool.segments).add_quarantined(aside, other.bytes);
        }
        // The ceiling is ignored: the original takes its space until it is closed, and is counted
        // until then.
        let (free, size) = lock(&self.spool.segments).take_free(segment.bytes(), u64::MAX)?;
        let copy = segments::copy(disk, &free, segment).inspect_err(|_| self.discard(free, size))?;
        if !lock(&self.spool.segments).replace(copy) {
            disk.remove(&name)?; // the segment was released during the copy
        }
        self.spool.restored.fetch_add(1, Relaxed);
        tracing::info!(segment = name, "the segment was copied to a new file");
        Ok(())
    }

    fn publish(&self, payload_bytes: u64) {
        self.tell_end();
        let bytes = self.spool.durable_bytes.fetch_add(payload_bytes, Relaxed) + payload_bytes;
        self.spool.durable.store(self.next_id, Release);
        self.spool.commits.fetch_add(1, Relaxed);
        fence(SeqCst); // pairs with the fence in `Reader::filled`
        for reader in &*lock(&self.spool.readers) {
            if self.next_id >= reader.wake_id.load(Relaxed) || bytes >= reader.wake_bytes.load(Relaxed) {
                reader.wake.notify_one();
            }
        }
    }
}
