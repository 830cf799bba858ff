//! Reads the durable records from any place on. A cursor holds back the release of at most one
//! segment, so that a task that keeps up misses nothing although the stores were faster. Records
//! that are released before they are read are missed, and so are records lost to damage.
//!
//! A segment may be freed, and its file reused, while a cursor reads from it. The data that the
//! cursor reads is correct even then, because the checksum of a frame covers the salt, which is
//! new for each use of the file. A cursor holds no file open between two reads, so that a
//! removed file releases its space at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;

use super::frame::{self, FrameHeader, SEGMENT_HEADER_BYTES};
use super::segments::Segment;
use super::{Chunk, HOLDS_NOTHING, ReaderState, Spool, lock};
use crate::record::RecordId;

/// A reader that holds back at most one segment. See [`Spool::cursor`].
pub struct SpoolCursor {
    spool: Arc<Spool>,
    state: Arc<ReaderState>,
}

/// A place in the spool to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolPlace {
    /// The next id.
    pub id: RecordId,
    /// The place of the record's frame or of an earlier one: the first id of the segment, and the
    /// offset in the segment.
    frame: Option<(RecordId, u64)>,
}

impl SpoolPlace {
    /// Returns the place of an id whose frame is not known.
    pub fn at(id: RecordId) -> SpoolPlace {
        SpoolPlace { id, frame: None }
    }

    /// Returns the place of a later id, in the same frame or a later one.
    pub fn behind(self, id: RecordId) -> SpoolPlace {
        SpoolPlace { id, ..self }
    }

    /// Returns the place of an id whose frame is, or will be, at `offset` in the segment that
    /// begins at id `segment`.
    pub(super) fn known(id: RecordId, segment: RecordId, offset: u64) -> SpoolPlace {
        SpoolPlace { id, frame: Some((segment, offset)) }
    }
}

/// The extent of what [`SpoolCursor::read`] has read.
#[derive(Clone, Copy, Debug)]
pub struct SpoolSpan {
    /// The place of the chunk's first record.
    pub start: SpoolPlace,
    /// The place after the chunk's last record.
    pub end: SpoolPlace,
}

impl SpoolCursor {
    pub(super) fn new(spool: Arc<Spool>, state: Arc<ReaderState>) -> SpoolCursor {
        SpoolCursor { spool, state }
    }

    /// Returns the oldest id that can be read.
    pub fn oldest_id(&self) -> RecordId {
        self.spool.oldest_id()
    }

    /// Returns the first id that is not durable yet.
    pub fn durable_id(&self) -> RecordId {
        self.spool.durable_id()
    }

    /// Returns the place of the next record that becomes durable.
    pub fn end(&self) -> SpoolPlace {
        *lock(&self.spool.end)
    }

    /// Requests that records from this id on are kept if they are in the last segment that the
    /// stores have released; `None` if no record is needed any more. The segment is freed
    /// nevertheless if the spool needs the room.
    pub fn keep_from(&self, id: Option<RecordId>) {
        let id = id.unwrap_or(HOLDS_NOTHING);
        let before = self.state.released.swap(id, Relaxed);
        if before < id {
            self.spool.release();
        }
    }

    /// Resolves when this id is durable. May also return spuriously.
    pub async fn durable(&self, id: RecordId) {
        self.state.wake_id.store(id.saturating_add(1), Relaxed);
        fence(SeqCst); // pairs with the fence in `Writer::publish`
        if self.durable_id() <= id {
            self.state.wake.notified().await;
        }
        self.state.wake_id.store(u64::MAX, Relaxed);
    }

    /// Reads complete frames from a place on, until the chunk has `bytes` bytes or no more records
    /// are available. The chunk is then empty or consecutive. Records between `place` and the
    /// chunk's first id can no longer be read. At most `bytes` bytes of earlier frames are skipped
    /// per call, so the caller may have to call again from the returned end.
    pub fn read(&self, place: SpoolPlace, chunk: &mut Chunk, bytes: usize) -> io::Result<SpoolSpan> {
        chunk.clear(place.id);
        let (mut start, mut end) = (place, place);
        let mut passed = 0;
        while chunk.bytes.len() < bytes && passed < bytes as u64 && end.id < self.durable_id() {
            let Some((segment, offset, end_id)) = self.find(end) else { break };
            let before = chunk.bytes.len();
            let header = frame::read_frame(&*segment.file, segment.header.salt, offset, &mut chunk.bytes)?;
            let Some(header) = header.filter(|header| header.end_id() <= end_id) else {
                chunk.bytes.truncate(before);
                if !chunk.is_empty() || !self.step_over(&segment, offset, end_id, &mut end)? {
                    break;
                }
                chunk.clear(end.id);
                start = end;
                continue;
            };
            let first_id = segment.header.first_id;
            let following = Some((first_id, offset + header.size()));
            if header.end_id() <= end.id {
                chunk.bytes.truncate(before);
                passed += header.size();
                end.frame = following;
                continue;
            }
            if chunk.is_empty() {
                let id = end.id.max(header.first_id);
                chunk.clear_to(id, &header);
                start = SpoolPlace::known(id, first_id, offset);
            } else if header.first_id > end.id {
                chunk.bytes.truncate(before);
                break;
            }
            end = SpoolPlace { id: header.end_id(), frame: following };
            chunk.end_id = end.id;
        }
        if chunk.is_empty() {
            start = end;
        }
        Ok(SpoolSpan { start, end })
    }

    /// Returns the segment that holds the id now, the offset to read from, and the exclusive upper
    /// bound for the ids of its valid frames.
    fn find(&self, place: SpoolPlace) -> Option<(Segment, u64, RecordId)> {
        // Read first: records that become durable from here on may be in a new segment.
        let durable_id = self.durable_id();
        let segments = lock(&self.spool.segments);
        let segment = segments.holding(place.id)?;
        let offset = place.frame.filter(|(first_id, _)| *first_id == segment.header.first_id);
        let following = segments.following(segment.header.first_id);
        let end_id = following.map_or(durable_id, |next| next.header.first_id);
        Some((segment.clone(), offset.map_or(SEGMENT_HEADER_BYTES as u64, |(_, offset)| offset), end_id))
    }

    /// Handles a place without the expected complete frame: it is damaged, or the segment was freed
    /// since it was found. Returns true if there is another place to continue at.
    fn step_over(
        &self,
        segment: &Segment,
        offset: u64,
        go_on_at: RecordId,
        place: &mut SpoolPlace,
    ) -> io::Result<bool> {
        let first_id = segment.header.first_id;
        if let Some((found, _)) = frame::find_frame(&*segment.file, segment.header.salt, offset, go_on_at)? {
            place.frame = Some((first_id, found));
            return Ok(true);
        }
        let is_further = go_on_at > place.id;
        *place = SpoolPlace::at(go_on_at.max(place.id));
        Ok(is_further)
    }
}

impl Chunk {
    /// Makes the chunk empty, positioned before this id.
    pub(super) fn clear(&mut self, id: RecordId) {
        self.bytes.clear();
        self.skip = 0;
        (self.first_id, self.end_id) = (id, id);
    }

    /// Begins the chunk at an id within the frame whose bytes it already has.
    fn clear_to(&mut self, id: RecordId, header: &FrameHeader) {
        self.skip = (id - header.first_id) as usize; // less than the frame's u32 count
        (self.first_id, self.end_id) = (id, id);
    }
}
