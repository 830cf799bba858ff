//! Reads the spool for all tails together: a record that several tails need is decoded once, and
//! encoded as JSON once.

use std::collections::VecDeque;
use std::io::Write;
use std::mem::take;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::buffer::{TailBuffer, write_position};
use super::{Shared, lock};
use crate::limits::{
    TAIL_GATHER_MILLISECONDS, TAIL_KEEP_MILLISECONDS, TAIL_LAST_BYTES_MAX, TAIL_PIECE_BYTES, TAIL_READ_BYTES,
};
use crate::query::Query;
use crate::record::{RecordId, RecordRef, json};
use crate::spool::{Chunk, SpoolPlace, SpoolSpan};

const GATHER: Duration = Duration::from_millis(TAIL_GATHER_MILLISECONDS);

/// How long records are kept for a tail without room.
const KEEP: Duration = Duration::from_millis(TAIL_KEEP_MILLISECONDS);

/// The delay before the next attempt after the spool could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// The selection of records that a tail shows.
pub(super) struct TailFilter {
    pub(super) query: Query,
    /// The times of the records, in ns since the Unix epoch.
    pub(super) times: RangeInclusive<i64>,
}

impl TailFilter {
    fn includes(&self, id: RecordId, record: &RecordRef<'_>) -> bool {
        self.times.contains(&record.timestamp) && self.query.matches(id, record)
    }
}

/// The follower's state of one tail.
pub(super) struct Tail {
    wanted: TailFilter,
    place: SpoolPlace,
    buffer: Arc<TailBuffer>,
    /// Collects the last matches before the stream begins; `None` if none are wanted any more.
    last: Option<LastRecords>,
    /// Events that are not in the buffer yet.
    events: Vec<u8>,
    /// The tail receives the records of the current piece.
    takes_part: bool,
    /// Since when the tail has had no room.
    full_since: Option<Instant>,
}

impl Tail {
    pub(super) fn new(wanted: TailFilter, place: SpoolPlace, buffer: Arc<TailBuffer>) -> Tail {
        Tail { wanted, place, buffer, last: None, events: Vec::new(), takes_part: false, full_since: None }
    }

    /// Makes the tail begin with the last matches.
    pub(super) fn with_last(self, last: LastRecords) -> Tail {
        Tail { last: Some(last), ..self }
    }

    /// Reports the position before the first piece, so that clients receive it immediately.
    fn begin(&mut self) {
        if self.last.is_none() {
            write_position(Some(self.place.id), &mut self.events);
        }
        self.hand_over();
    }

    fn has_room(&self) -> bool {
        self.buffer.has_room()
    }

    /// Returns until when records are kept for a tail without room.
    fn keeps_until(&self) -> Option<Instant> {
        self.full_since.map(|since| since + KEEP)
    }

    /// Moves to a later position, and reports how many records are skipped.
    pub(super) fn miss(&mut self, place: SpoolPlace, missed: &AtomicU64) {
        let count = place.id - self.place.id;
        self.place = place;
        if self.last.is_some() {
            return; // records before the stream begins are not reported as missed
        }
        missed.fetch_add(count, Relaxed);
        let last = place.id - 1;
        // Writing to a Vec cannot fail.
        let _ = write!(self.events, "id: {last}\nevent: missed\ndata: {{\"count\":{count}}}\n\n");
    }

    /// Adds a matching record, encoded as an event.
    fn take(&mut self, id: RecordId, event: &[u8]) {
        match &mut self.last {
            Some(last) if id < last.until => last.push(event),
            Some(_) => {
                self.show_last();
                self.events.extend_from_slice(event);
            }
            None => self.events.extend_from_slice(event),
        }
    }

    fn show_last(&mut self) {
        if let Some(last) = self.last.take() {
            last.events.iter().for_each(|event| self.events.extend_from_slice(event));
            write_position(Some(last.until), &mut self.events);
        }
    }

    /// Passes the events to the buffer at the end of a piece: the tail has seen all records below
    /// its position.
    fn hand_over(&mut self) {
        if self.last.as_ref().is_some_and(|last| last.until <= self.place.id) {
            self.show_last();
        }
        if self.last.is_none() {
            self.buffer.put(&mut self.events, self.place.id);
        }
    }
}

/// The last matches before an id.
pub(super) struct LastRecords {
    count: u64,
    until: RecordId,
    events: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl LastRecords {
    /// Collects the last `count` matches before `until`.
    pub(super) fn new(count: u64, until: RecordId) -> LastRecords {
        LastRecords { count, until, events: VecDeque::new(), bytes: 0 }
    }

    fn push(&mut self, event: &[u8]) {
        self.bytes += event.len();
        self.events.push_back(event.to_vec());
        while self.events.len() as u64 > self.count
            || (self.bytes > TAIL_LAST_BYTES_MAX && self.events.len() > 1)
        {
            self.bytes -= self.events.pop_front().map_or(0, |event| event.len());
        }
    }
}

/// The single task that reads the spool for all tails.
pub(super) struct Follower {
    shared: Arc<Shared>,
    tails: Vec<Tail>,
    chunk: Chunk,
    /// A record encoded as an event.
    event: Vec<u8>,
}

impl Drop for Follower {
    /// Runs after a panic, too: open streams would receive no further events, so they end, and no
    /// new stream begins.
    fn drop(&mut self) {
        self.shared.cursor.keep_from(None);
        self.shared.places.close();
        self.tails.append(&mut lock(&self.shared.joined));
        self.tails.iter().for_each(|tail| tail.buffer.close());
    }
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>) -> Follower {
        Follower { shared, tails: Vec::new(), chunk: Chunk::default(), event: Vec::new() }
    }

    /// Reads for all tails that join, until `stop` is true.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        loop {
            self.admit();
            let began = Instant::now();
            let has_read = self.round().await;
            self.keep_unread();
            if has_read {
                // On a shared thread the sources may run between two slices.
                tokio::task::yield_now().await;
            } else {
                self.wait(began).await;
            }
        }
    }

    /// Requests that the spool keeps what was not read for tails whose clients keep up, or read
    /// again within moments.
    fn keep_unread(&mut self) {
        for tail in &mut self.tails {
            match tail.has_room() {
                true => tail.full_since = None,
                false => drop(tail.full_since.get_or_insert_with(Instant::now)),
            }
        }
        let places =
            self.tails.iter().filter(|tail| tail.keeps_until().is_none_or(|end| Instant::now() < end));
        self.shared.cursor.keep_from(places.map(|tail| tail.place.id).min());
    }

    /// Adds the tails that have joined, and removes those that have left.
    fn admit(&mut self) {
        self.tails.retain(|tail| !tail.buffer.has_left());
        for mut tail in take(&mut *lock(&self.shared.joined)) {
            tail.begin();
            self.tails.push(tail);
        }
        if self.tails.is_empty() {
            (self.chunk, self.event) = (Chunk::default(), Vec::new());
        }
    }

    /// Waits for records for which a tail has room. Even then it waits a little longer, so that
    /// more records arrive together.
    async fn wait(&self, began: Instant) {
        let places = self.tails.iter().filter(|tail| tail.has_room()).map(|tail| tail.place.id);
        let next = places.min();
        let kept = self.tails.iter().filter_map(Tail::keeps_until).filter(|end| *end > began).min();
        tokio::select! {
            () = self.shared.cursor.durable(next.unwrap_or_default()), if next.is_some() => {
                sleep_until(began + GATHER).await;
            }
            () = sleep_until(kept.unwrap_or(began)), if kept.is_some() => {}
            () = self.shared.changed.notified() => {}
        }
    }

    /// Reads a chunk for each tail that can advance, and for the other tails at the same position.
    /// Returns true if a chunk was read.
    async fn round(&mut self) -> bool {
        let mut has_read = false;
        self.tails.sort_unstable_by_key(|tail| tail.place.id);
        for index in 0..self.tails.len() {
            let tail = &self.tails[index];
            if tail.place.id < self.shared.cursor.durable_id() && tail.has_room() && !tail.buffer.has_left() {
                has_read |= self.read_for(index).await;
            }
        }
        has_read
    }

    /// Returns true if the tail has advanced.
    async fn read_for(&mut self, index: usize) -> bool {
        let Shared { cursor, missed, .. } = &*self.shared;
        let tail = &mut self.tails[index];
        let oldest = cursor.oldest_id();
        if tail.place.id < oldest {
            let place = if tail.last.is_some() { SpoolPlace::at(oldest) } else { cursor.end() };
            tail.miss(place, missed);
            tail.hand_over();
            return true;
        }
        let place = tail.place;
        match cursor.read(place, &mut self.chunk, TAIL_READ_BYTES) {
            Ok(span) => {
                self.show(place, span).await;
                span.end != place
            }
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read for those who follow it; it is tried again");
                sleep(RETRY).await;
                false
            }
        }
    }

    /// Shows the chunk, piece by piece, to the tails that are within it and have room. A tail
    /// without room keeps its position.
    async fn show(&mut self, place: SpoolPlace, span: SpoolSpan) {
        let Follower { shared, tails, chunk, event } = self;
        let is_here = |tail: &Tail, end: RecordId| (place.id..end).contains(&tail.place.id);
        for tail in tails.iter_mut().filter(|tail| is_here(tail, span.start.id) && tail.has_room()) {
            tail.miss(span.start, &shared.missed);
            tail.hand_over();
        }
        if chunk.is_empty() {
            tails
                .iter_mut()
                .filter(|tail| tail.place.id == span.end.id)
                .for_each(|tail| tail.place = span.end);
            return;
        }
        let mut records = chunk.records().peekable();
        let mut end = span.start.id;
        while records.peek().is_some() {
            for tail in &mut *tails {
                tail.takes_part = (end..span.end.id).contains(&tail.place.id) && tail.has_room();
            }
            let mut bytes = 0;
            while bytes < TAIL_PIECE_BYTES
                && let Some((id, encoded)) = records.next()
            {
                end = id + 1;
                bytes += encoded.body.message.len() + encoded.body.attributes.len() + encoded.origin.len();
                // A defect, which the stores report.
                let Ok(record) = encoded.record() else { continue };
                event.clear();
                for tail in tails.iter_mut().filter(|tail| tail.takes_part && tail.place.id <= id) {
                    if tail.wanted.includes(id, &record) {
                        if event.is_empty() {
                            write_event(id, &record, event);
                        }
                        tail.take(id, event);
                    }
                }
            }
            let reached = if end == span.end.id { span.end } else { span.start.behind(end) };
            for tail in tails.iter_mut().filter(|tail| tail.takes_part && tail.place.id < end) {
                tail.place = reached;
                tail.hand_over();
            }
            tokio::task::yield_now().await;
        }
        // A record that cannot be decoded ends the iteration early: no tail may wait for it
        // forever.
        for tail in tails.iter_mut().filter(|tail| (end..span.end.id).contains(&tail.place.id)) {
            tail.miss(span.end, &shared.missed);
            tail.hand_over();
        }
    }
}

fn write_event(id: RecordId, record: &RecordRef<'_>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "id: {id}\nevent: record\ndata: ");
    let start = out.len();
    json::write(id, record, out);
    // A line break would end the data. JSON contains line breaks only between values, never within
    // a text.
    for byte in out[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    out.extend_from_slice(b"\n\n");
}
