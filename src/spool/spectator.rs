//! Reads the durable records from any place on, without holding back their release: what is released before it has been
//! read is missed, and so is what damage has cost.
//!
//! A segment may be given up, and its file be written anew, while a spectator reads from it. What it gets is right all the
//! same: the checksum of a frame covers the salt of that use of the file. Between two reads no file is held, so that a
//! removed one gives its space back at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;

use super::frame::{self, FrameHeader, SEGMENT_HEADER_BYTES};
use super::segments::Segment;
use super::{Chunk, ReaderState, Spool, lock};
use crate::record::RecordId;

/// Looks on. See [`Spool::spectator`].
pub struct Spectator {
    spool: Arc<Spool>,
    state: Arc<ReaderState>,
}

/// Where to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The next id.
    pub id: RecordId,
    /// Where its frame is, or one before: the first id of the segment, and the offset in it.
    frame: Option<(RecordId, u64)>,
}

impl Place {
    /// An id, wherever its frame is.
    pub fn at(id: RecordId) -> Place {
        Place { id, frame: None }
    }

    /// A later id, in the same frame or behind it.
    pub fn behind(self, id: RecordId) -> Place {
        Place { id, ..self }
    }

    /// An id whose frame is, or will be, at an offset in the segment with this first id.
    pub(super) fn known(id: RecordId, segment: RecordId, offset: u64) -> Place {
        Place { id, frame: Some((segment, offset)) }
    }
}

/// What [`Spectator::read`] has read: the places of the chunk's first record, and behind its last.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// See above.
    pub start: Place,
    /// See above.
    pub end: Place,
}

impl Spectator {
    pub(super) fn new(spool: Arc<Spool>, state: Arc<ReaderState>) -> Spectator {
        Spectator { spool, state }
    }

    /// The oldest id that can be read.
    pub fn oldest_id(&self) -> RecordId {
        self.spool.oldest_id()
    }

    /// The first id that is not durable yet.
    pub fn durable_id(&self) -> RecordId {
        self.spool.durable_id()
    }

    /// The place of the next record that becomes durable.
    pub fn end(&self) -> Place {
        *lock(&self.spool.end)
    }

    /// Returns once this id is durable, or for no reason.
    pub async fn durable(&self, id: RecordId) {
        self.state.wake_id.store(id.saturating_add(1), Relaxed);
        fence(SeqCst); // pairs with the one in `Writer::publish`
        if self.durable_id() <= id {
            self.state.wake.notified().await;
        }
        self.state.wake_id.store(u64::MAX, Relaxed);
    }

    /// Reads whole frames from a place on until there are so many bytes, or no more. The chunk is then empty or consecutive;
    /// what is between the place and its first id can no longer be read. Looks at no more than so many bytes of earlier
    /// frames, so it may have to be called again, from where it has come to.
    pub fn read(&self, place: Place, chunk: &mut Chunk, bytes: usize) -> io::Result<Span> {
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
                start = Place::known(id, first_id, offset);
            } else if header.first_id > end.id {
                chunk.bytes.truncate(before);
                break;
            }
            end = Place { id: header.end_id(), frame: following };
            chunk.end_id = end.id;
        }
        if chunk.is_empty() {
            start = end;
        }
        Ok(Span { start, end })
    }

    /// The segment that holds the id now, where to look in it, and the id that its frames lie below.
    fn find(&self, place: Place) -> Option<(Segment, u64, RecordId)> {
        let durable_id = self.durable_id(); // first: what becomes durable from here on may be in a new segment
        let segments = lock(&self.spool.segments);
        let segment = segments.holding(place.id)?;
        let offset = place.frame.filter(|(first_id, _)| *first_id == segment.header.first_id);
        let following = segments.following(segment.header.first_id);
        let end_id = following.map_or(durable_id, |next| next.header.first_id);
        Some((segment.clone(), offset.map_or(SEGMENT_HEADER_BYTES as u64, |(_, offset)| offset), end_id))
    }

    /// No whole frame stands where one should be: there is damage, or the segment was given up since it was found. Says
    /// whether there is another place to go on at.
    fn step_over(
        &self,
        segment: &Segment,
        offset: u64,
        go_on_at: RecordId,
        place: &mut Place,
    ) -> io::Result<bool> {
        let first_id = segment.header.first_id;
        if let Some((found, _)) = frame::find_frame(&*segment.file, segment.header.salt, offset, go_on_at)? {
            place.frame = Some((first_id, found));
            return Ok(true);
        }
        let is_further = go_on_at > place.id;
        *place = Place::at(go_on_at.max(place.id));
        Ok(is_further)
    }
}

impl Chunk {
    /// Empty, before this id.
    fn clear(&mut self, id: RecordId) {
        self.bytes.clear();
        self.skip = 0;
        (self.first_id, self.end_id) = (id, id);
    }

    /// Begins at an id within the frame, whose bytes it has already.
    fn clear_to(&mut self, id: RecordId, header: &FrameHeader) {
        self.skip = (id - header.first_id) as usize; // less than the frame's u32 count
        (self.first_id, self.end_id) = (id, id);
    }
}
