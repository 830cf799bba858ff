//! Reads the spool for all tails at once: what several wait for is decoded once, and written as JSON once.

use std::collections::VecDeque;
use std::io::Write;
use std::mem::take;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::mailbox::{Mailbox, write_position};
use super::{Shared, lock};
use crate::limits::{TAIL_GATHER_MILLISECONDS, TAIL_LAST_BYTES_MAX, TAIL_PIECE_BYTES, TAIL_READ_BYTES};
use crate::query::Query;
use crate::record::{RecordId, RecordRef, json};
use crate::spool::{Chunk, Place, Span};

const GATHER: Duration = Duration::from_millis(TAIL_GATHER_MILLISECONDS);

/// After the spool could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// What a tail wants to see.
pub(super) struct Wanted {
    pub(super) query: Query,
    /// Of the records, in ns since the Unix epoch.
    pub(super) times: RangeInclusive<i64>,
}

impl Wanted {
    fn includes(&self, id: RecordId, record: &RecordRef<'_>) -> bool {
        self.times.contains(&record.timestamp) && self.query.matches(id, record)
    }
}

/// What the follower knows of one tail.
pub(super) struct Tail {
    wanted: Wanted,
    place: Place,
    mailbox: Arc<Mailbox>,
    /// The last records before the stream begins, while they are being looked for.
    last: Option<Last>,
    /// Found, and not yet in the mailbox.
    events: Vec<u8>,
    /// It takes what the piece brings.
    takes_part: bool,
}

impl Tail {
    pub(super) fn new(wanted: Wanted, place: Place, mailbox: Arc<Mailbox>) -> Tail {
        Tail { wanted, place, mailbox, last: None, events: Vec::new(), takes_part: false }
    }

    /// The same, beginning with the last that match.
    pub(super) fn with_last(self, last: Last) -> Tail {
        Tail { last: Some(last), ..self }
    }

    /// Before the first piece: clients are told at once where they are.
    fn begin(&mut self) {
        if self.last.is_none() {
            write_position(Some(self.place.id), &mut self.events);
        }
        self.hand_over();
    }

    fn has_room(&self) -> bool {
        self.mailbox.has_room()
    }

    /// Goes on at a place behind its own, and says how many records are between them.
    pub(super) fn miss(&mut self, place: Place, missed: &AtomicU64) {
        let count = place.id - self.place.id;
        self.place = place;
        if self.last.is_some() {
            return; // those were before its time
        }
        missed.fetch_add(count, Relaxed);
        let last = place.id - 1;
        // Writing to a Vec cannot fail.
        let _ = write!(self.events, "id: {last}\nevent: missed\ndata: {{\"count\":{count}}}\n\n");
    }

    /// Takes one that matches, as an event.
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

    /// A piece ended: it has seen all up to its place.
    fn hand_over(&mut self) {
        if self.last.as_ref().is_some_and(|last| last.until <= self.place.id) {
            self.show_last();
        }
        if self.last.is_none() {
            self.mailbox.put(&mut self.events, self.place.id);
        }
    }
}

/// The last matches before an id.
pub(super) struct Last {
    count: u64,
    until: RecordId,
    events: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Last {
    /// The last so many before `until`.
    pub(super) fn new(count: u64, until: RecordId) -> Last {
        Last { count, until, events: VecDeque::new(), bytes: 0 }
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

/// The one who reads.
pub(super) struct Follower {
    shared: Arc<Shared>,
    tails: Vec<Tail>,
    chunk: Chunk,
    /// A record as an event.
    event: Vec<u8>,
}

impl Drop for Follower {
    /// Also after a defect: streams that nobody feeds end, and none begins.
    fn drop(&mut self) {
        self.shared.places.close();
        self.tails.append(&mut lock(&self.shared.joined));
        self.tails.iter().for_each(|tail| tail.mailbox.close());
    }
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>) -> Follower {
        Follower { shared, tails: Vec::new(), chunk: Chunk::default(), event: Vec::new() }
    }

    /// Reads for whoever joins, until it is told to stop.
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
            if self.round().await {
                // On a shared thread the sources get their turn between two slices.
                tokio::task::yield_now().await;
            } else {
                self.wait(began).await;
            }
        }
    }

    /// Takes in who has joined, and forgets who has left.
    fn admit(&mut self) {
        self.tails.retain(|tail| !tail.mailbox.has_left());
        for mut tail in take(&mut *lock(&self.shared.joined)) {
            tail.begin();
            self.tails.push(tail);
        }
        if self.tails.is_empty() {
            (self.chunk, self.event) = (Chunk::default(), Vec::new());
        }
    }

    /// Waits for records that somebody has room for; for a while even then, so that more come at once.
    async fn wait(&self, began: Instant) {
        let places = self.tails.iter().filter(|tail| tail.has_room()).map(|tail| tail.place.id);
        let Some(next) = places.min() else { return self.shared.changed.notified().await };
        tokio::select! {
            () = self.shared.spectator.durable(next) => sleep_until(began + GATHER).await,
            () = self.shared.changed.notified() => {}
        }
    }

    /// Reads a chunk for each tail that can go on, and those that are at the same place; says whether there was one.
    async fn round(&mut self) -> bool {
        let mut has_read = false;
        self.tails.sort_unstable_by_key(|tail| tail.place.id);
        for index in 0..self.tails.len() {
            let tail = &self.tails[index];
            if tail.place.id < self.shared.spectator.durable_id()
                && tail.has_room()
                && !tail.mailbox.has_left()
            {
                has_read |= self.read_for(index).await;
            }
        }
        has_read
    }

    /// Says whether it came further.
    async fn read_for(&mut self, index: usize) -> bool {
        let Shared { spectator, missed, .. } = &*self.shared;
        let tail = &mut self.tails[index];
        let oldest = spectator.oldest_id();
        if tail.place.id < oldest {
            let place = if tail.last.is_some() { Place::at(oldest) } else { spectator.end() };
            tail.miss(place, missed);
            tail.hand_over();
            return true;
        }
        let place = tail.place;
        match spectator.read(place, &mut self.chunk, TAIL_READ_BYTES) {
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

    /// Shows the chunk, piece by piece, to the tails that are in it and have room. One that has none stays where it is.
    async fn show(&mut self, place: Place, span: Span) {
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
                let Ok(record) = encoded.record() else { continue }; // a defect, of which stores tell
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
        // What cannot be decoded ends the walk early: nobody may wait for it for ever.
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
    // A line end would end the data. In JSON none stands within a text, only between values.
    for byte in out[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    out.extend_from_slice(b"\n\n");
}
