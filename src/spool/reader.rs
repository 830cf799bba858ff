//! Reads the durable records in order from a position, and continues after damage.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::fence;

use super::frame::{self, FrameHeader, SEGMENT_HEADER_BYTES};
use super::segments::Segment;
use super::{ReaderState, Spool, lock};
use crate::limits::SPOOL_READ_TRIES_MAX;
use crate::log;
use crate::record::{DecodeError, EncodedRecord, RecordId, Records};

/// A reader of the spool that holds back the records that it has not released.
pub struct SpoolReader {
    spool: Arc<Spool>,
    state: Arc<ReaderState>,
    /// The next id to read.
    position: RecordId,
    /// Where the frame with this id should be.
    place: Option<(Segment, u64)>,
    /// How often in a row the disk could not read this place.
    failed_tries: u32,
    /// The first id of a segment in which unreadable places are not retried any more.
    impatient_in: Option<RecordId>,
    /// Payload bytes read, counted like the `durable_bytes` of [`Spool`].
    bytes: u64,
}

/// A place in the spool where a frame should be.
#[derive(Clone)]
struct FramePlace {
    segment: Segment,
    offset: u64,
    /// The upper bound for the ids of all valid frames of the segment (exclusive).
    end_id: RecordId,
}

/// Consecutive records as they are stored in the spool.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// Joined batches.
    pub(super) bytes: Vec<u8>,
    /// Number of records at the start of `bytes` that do not belong to the chunk: a reader may
    /// start in the middle of a frame.
    pub(super) skip: usize,
    pub(super) first_id: RecordId,
    pub(super) end_id: RecordId,
}

impl Chunk {
    /// Returns the id of the first record.
    pub fn first_id(&self) -> RecordId {
        self.first_id
    }

    /// Returns the id after the last record, where the next read continues.
    pub fn end_id(&self) -> RecordId {
        self.end_id
    }

    /// Returns the number of records.
    pub fn len(&self) -> u64 {
        self.end_id - self.first_id
    }

    /// Returns true if the chunk holds no records.
    pub fn is_empty(&self) -> bool {
        self.end_id == self.first_id
    }

    /// Returns the records with their ids. A record that cannot be decoded ends the iteration: it
    /// has passed its checksum, so this is a defect of the program and not of the disk.
    pub fn records(&self) -> impl Iterator<Item = (RecordId, EncodedRecord<'_>)> {
        let whole = Records::new(&self.bytes).map_while(|record| record.inspect_err(report_undecodable).ok());
        // The order of `zip` makes no id for a missing record: the largest id has no successor.
        whole.skip(self.skip).zip(self.first_id..).map(|(record, id)| (id, record))
    }

    /// Returns a chunk of consecutive records from `first_id` on, built from joined batches.
    pub fn of(first_id: RecordId, bytes: &[u8], count: u64) -> Chunk {
        Chunk { bytes: bytes.to_vec(), skip: 0, first_id, end_id: first_id + count }
    }
}

impl SpoolReader {
    pub(super) fn new(spool: Arc<Spool>, state: Arc<ReaderState>, position: RecordId) -> SpoolReader {
        let bytes = spool.durable_bytes.load(Relaxed);
        SpoolReader { spool, state, position, place: None, failed_tries: 0, impatient_in: None, bytes }
    }

    /// Returns the next id to read.
    pub fn position(&self) -> RecordId {
        self.position
    }

    /// Returns the oldest id that can be read.
    pub fn oldest_id(&self) -> RecordId {
        self.spool.oldest_id()
    }

    /// Returns the first id that is not durable yet.
    pub fn durable_id(&self) -> RecordId {
        self.spool.durable_id()
    }

    /// Returns the number of durable records that are yet to be read.
    pub fn pending(&self) -> u64 {
        self.spool.durable_id().saturating_sub(self.position)
    }

    /// Returns true if no records will follow the pending ones.
    pub fn is_finished(&self) -> bool {
        self.spool.finished.load(Acquire)
    }

    /// Returns once this many records or bytes are pending, or the spool is finished. May also
    /// return spuriously.
    pub async fn filled(&self, rows: u64, bytes: u64) {
        self.state.wake_id.store(self.position.saturating_add(rows), Relaxed);
        self.state.wake_bytes.store(self.bytes.saturating_add(bytes), Relaxed);
        // With this fence either the writer sees the stored wake values, or this task sees what the
        // writer has published: see `Writer::publish`.
        fence(SeqCst);
        if !self.is_filled(rows, bytes) && !self.is_finished() {
            self.state.wake.notified().await;
        }
        self.state.wake_id.store(u64::MAX, Relaxed);
        self.state.wake_bytes.store(u64::MAX, Relaxed);
    }

    /// Returns true if this many records or bytes are pending.
    pub fn is_filled(&self, rows: u64, bytes: u64) -> bool {
        let pending_bytes = self.spool.durable_bytes.load(Relaxed).saturating_sub(self.bytes);
        self.pending() >= rows || pending_bytes >= bytes
    }

    /// Reads complete frames while the chunk has fewer than `rows` records and stays within `bytes`
    /// bytes (but at least one frame). The chunk is then empty or consecutive. Fails if the disk
    /// cannot read, and treats an unreadable place as damaged only after several calls.
    pub fn read(&mut self, chunk: &mut Chunk, rows: u64, bytes: usize) -> io::Result<()> {
        chunk.clear(self.position);
        while chunk.len() < rows && self.pending() > 0 {
            match self.read_frame(chunk, bytes) {
                Ok(true) => {}
                Err(error) if chunk.is_empty() => return Err(error),
                Ok(false) | Err(_) => break, // the next call fails again
            }
        }
        self.bytes += chunk.bytes.len() as u64;
        if self.pending() == 0 {
            // After a seek or damage the two counts do not match; here they do.
            self.bytes = self.spool.durable_bytes.load(Relaxed);
        }
        Ok(())
    }

    /// Continues at an earlier position, to read its records again.
    pub fn seek(&mut self, position: RecordId) {
        self.position = position;
        self.place = None;
    }

    /// Reports that this reader no longer needs ids below `position`.
    pub fn release(&self, position: RecordId) {
        self.state.released.store(position, Relaxed);
        self.spool.release();
    }

    /// Adds the next frame to the chunk. Returns false if the chunk has to end before this frame.
    fn read_frame(&mut self, chunk: &mut Chunk, bytes_max: usize) -> io::Result<bool> {
        let Some(place) = self.find_place() else { return Ok(false) };
        let FramePlace { segment, offset, end_id } = place.clone();
        let start = chunk.bytes.len();
        let salt = segment.header.salt;
        if !chunk.is_empty() && start + frame::payload_bytes_at(&*segment.file, salt, offset) > bytes_max {
            self.place = Some((segment, offset));
            return Ok(false);
        }
        let header = match frame::read_frame_strictly(&*segment.file, salt, offset, &mut chunk.bytes) {
            Err(error) if frame::is_damage(&error) && !self.is_patient(&segment) => {
                frame::read_frame(&*segment.file, salt, offset, &mut chunk.bytes)?
            }
            result => result?,
        };
        let Some(header) = header.filter(|header| header.end_id() <= end_id) else {
            chunk.bytes.truncate(start);
            return self.step_over(place, chunk);
        };
        let next_place = (segment.clone(), offset + header.size());
        if header.end_id() <= self.position {
            chunk.bytes.truncate(start);
            self.place = Some(next_place);
            return Ok(true);
        }
        if header.first_id > self.position {
            if !chunk.is_empty() {
                chunk.bytes.truncate(start);
                self.place = Some((segment, offset));
                return Ok(false);
            }
            self.lose_until(header.first_id, chunk);
        }
        self.take(&header, chunk);
        self.place = Some(next_place);
        Ok(true)
    }

    fn take(&mut self, header: &FrameHeader, chunk: &mut Chunk) {
        if header.first_id < self.position {
            // The difference is less than the frame's u32 count.
            chunk.skip = (self.position - header.first_id) as usize;
        }
        self.position = header.end_id();
        chunk.end_id = self.position;
        self.failed_tries = 0;
    }

    /// Returns true if an unreadable place is to be tried again later. Only one place of a segment
    /// is retried: where much cannot be read, the readable rest must not wait for each place.
    fn is_patient(&mut self, segment: &Segment) -> bool {
        let first_id = segment.header.first_id;
        if self.impatient_in == Some(first_id) {
            return false;
        }
        self.failed_tries += 1;
        if self.failed_tries < SPOOL_READ_TRIES_MAX {
            return true;
        }
        self.failed_tries = 0;
        self.impatient_in = Some(first_id);
        false
    }

    /// Handles a place without the expected complete frame: the segment ends there, or is damaged.
    fn step_over(&mut self, place: FramePlace, chunk: &mut Chunk) -> io::Result<bool> {
        let FramePlace { segment, offset, end_id } = place;
        if let Some((found, _)) = frame::find_frame(&*segment.file, segment.header.salt, offset, end_id)? {
            if found > offset {
                self.spool.quarantine(&segment, offset, found);
            } // otherwise the place is readable by now
            self.place = Some((segment, found));
            return Ok(true);
        }
        if end_id > self.position {
            if !chunk.is_empty() {
                self.place = Some((segment, offset));
                return Ok(false);
            }
            self.spool.quarantine(&segment, offset, segment.bytes());
            self.lose_until(end_id, chunk);
        }
        self.place = Some((segment, offset));
        Ok(!chunk.is_empty() || self.pending() > 0)
    }

    /// Returns where to look for the position. The remembered place is used only while its segment
    /// is the one that holds the position: after a commit that failed, the next segment may begin
    /// before the end of this one.
    fn find_place(&mut self) -> Option<FramePlace> {
        // Read first: records that become durable from here on may be in a new segment.
        let durable_id = self.spool.durable_id();
        let segments = lock(&self.spool.segments);
        let segment = segments.holding(self.position)?.clone();
        let known = self.place.take().filter(|(known, _)| known.header == segment.header);
        let following = segments.following(segment.header.first_id);
        Some(FramePlace {
            offset: known.map_or(SEGMENT_HEADER_BYTES as u64, |(_, offset)| offset),
            end_id: following.map_or(durable_id, |next| next.header.first_id),
            segment,
        })
    }

    /// Continues at an id beyond the position. The chunk must still be empty.
    fn lose_until(&mut self, id: RecordId, chunk: &mut Chunk) {
        let lost = id - self.position;
        self.spool.lose(self.position, id);
        tracing::error!(from = self.position, to = id - 1, lost, "records are missing from the spool");
        self.position = id;
        (chunk.first_id, chunk.end_id) = (id, id);
    }
}

fn report_undecodable(error: &DecodeError) {
    if log::admits(log::LimitedMessage::UndecodableRecord) {
        tracing::error!(%error, "a stored record cannot be decoded");
    }
}
