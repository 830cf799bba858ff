//! Serves one connection of a `SocketHandler`, over TCP or a Unix socket.
//!
//! A stock client never reads, cannot be notified of anything, and loses records whenever it has to
//! reconnect. So its connection is never closed for idleness and its socket is always read; only
//! the time within a frame is limited. An idle connection owns no buffer: bytes are read into
//! memory that all connections of a thread share, and only the beginning of an unfinished frame is
//! kept.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{PickleScratch, decode, frames};
use crate::ingest::dead_letter::Allowance;
use crate::ingest::source::Source;
use crate::ingest::{Arrival, Rejection};
use crate::limits::{
    PARTIAL_FRAME_BYTES_FREE, PARTIAL_FRAMES_BYTES_MAX, READ_BUFFER_BYTES, STALLED_FRAME_DURATION,
};
use crate::log;
use crate::net::StreamSocket;
use crate::record::Batch;

/// The limits and the memory accounting that all connections of the Python listeners share.
#[derive(Debug)]
pub struct StreamBounds {
    /// The largest frame accepted.
    pub frame_bytes_max: usize,
    /// The longest time that a frame may take once it has begun.
    pub frame_duration_max: Duration,
    /// Bytes of memory that unfinished frames take now.
    partial_bytes: AtomicUsize,
}

impl StreamBounds {
    /// Creates bounds without unfinished frames.
    pub fn new(frame_bytes_max: usize, frame_duration_max: Duration) -> StreamBounds {
        StreamBounds { frame_bytes_max, frame_duration_max, partial_bytes: AtomicUsize::new(0) }
    }
}

/// The memory that all connections of one thread use, one after the other, to read and decode.
#[derive(Default)]
struct Workbench {
    bytes: Vec<u8>,
    batch: Batch,
    scratch: PickleScratch,
}

thread_local! {
    static WORKBENCH: RefCell<Workbench> = RefCell::default();
}

struct Connection {
    source: Arc<Source>,
    bounds: Arc<StreamBounds>,
    host: String,
    process_id: u32,
    /// The beginning of an unfinished frame, or whole frames that the last batch had no room for.
    rest: Vec<u8>,
    /// Bytes that `rest` is counted with in `bounds`.
    charged: usize,
    /// Whether `rest` may contain a complete frame.
    has_frames: bool,
    /// Number of next bytes to skip because they belong to a rejected frame.
    skip: usize,
    /// The time since which a frame has been unfinished.
    unfinished_since: Option<Instant>,
    /// Records of this round that are not counted yet.
    received: u64,
    /// Limits the dead letters of this connection.
    letters: Allowance,
}

/// The result of one round of reading.
enum Round {
    /// Frames were decoded and appended.
    Done,
    /// There was nothing to read.
    Nothing,
    /// Frames were decoded, but the spool was busy: the batch must still be appended.
    Append(Batch),
    /// The connection must be closed.
    End(End),
}

enum End {
    /// The client or the network closed the connection.
    Closed,
    /// The client does not use the `SocketHandler` protocol.
    NotAFrame,
}

/// Serves one connection until the client ends it or, once `stop` is true, until there is nothing
/// more to read.
pub async fn serve(
    stream: StreamSocket,
    source: Arc<Source>,
    bounds: Arc<StreamBounds>,
    host: String,
    process_id: u32,
    mut stop: watch::Receiver<bool>,
) {
    let mut connection = Connection {
        source,
        bounds,
        host,
        process_id,
        rest: Vec::new(),
        charged: 0,
        has_frames: false,
        skip: 0,
        unfinished_since: None,
        received: 0,
        letters: Allowance::default(),
    };
    loop {
        let stopping = *stop.borrow();
        if stopping {
            // Lets other connections run, however much there is to read.
            tokio::task::yield_now().await;
        } else if !connection.has_frames && !connection.wait(&stream, &mut stop).await {
            break;
        }
        let has_room = connection.source.room().await;
        match connection.round(&stream, stopping) {
            // While stopping, only the bytes that have arrived are read.
            Round::Nothing if stopping => break,
            // A client that never pauses must not starve the other tasks of the thread.
            Round::Done | Round::Nothing => tokio::task::coop::consume_budget().await,
            Round::Append(batch) if has_room => connection.source.append_or_shed(&batch).await,
            Round::Append(batch) => connection.source.shed(&batch),
            Round::End(end) => {
                connection.finish(&end);
                break;
            }
        }
    }
    if *stop.borrow() {
        // With a reset the client notices the end at its very next record. A reset costs the client
        // one record, an orderly end two.
        stream.reset_at_close();
    }
}

impl Connection {
    /// Waits for bytes or for `stop`. Returns false if the connection must be closed.
    async fn wait(&mut self, stream: &StreamSocket, stop: &mut watch::Receiver<bool>) -> bool {
        tokio::select! {
            readable = self.readable(stream) => {
                if !readable {
                    self.count_unfinished("slow");
                }
                readable
            }
            _ = stop.changed() => true,
        }
    }

    /// Waits for bytes. Returns false on an error, or if a frame takes too long.
    async fn readable(&self, stream: &StreamSocket) -> bool {
        while let Some(since) = self.unfinished_since {
            let mut deadline = since + self.bounds.frame_duration_max;
            if self.charged > 0 {
                deadline = deadline.min(Instant::now() + STALLED_FRAME_DURATION);
            }
            match timeout_at(deadline, stream.readable()).await {
                Ok(result) => return result.is_ok(),
                Err(_) if self.is_too_slow(since) => return false,
                Err(_) => {}
            }
        }
        stream.readable().await.is_ok()
    }

    /// Returns true if the unfinished frame has taken too long. When memory for unfinished frames
    /// is scarce, a frame that has stalled counts as too slow earlier, so that its memory is
    /// released.
    fn is_too_slow(&self, since: Instant) -> bool {
        let is_scarce = || self.bounds.partial_bytes.load(Relaxed) > PARTIAL_FRAMES_BYTES_MAX / 2;
        let elapsed = since.elapsed();
        elapsed >= self.bounds.frame_duration_max
            || (self.charged > 0 && elapsed >= STALLED_FRAME_DURATION && is_scarce())
    }

    /// Reads once and decodes the complete frames, in the workbench of the thread.
    fn round(&mut self, stream: &StreamSocket, stopping: bool) -> Round {
        WORKBENCH.with_borrow_mut(|bench| {
            bench.bytes.clear();
            bench.bytes.reserve(READ_BUFFER_BYTES);
            if !self.has_frames {
                match self.read(stream, &mut bench.bytes, stopping) {
                    Ok(0) => return Round::End(End::Closed),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Round::Nothing,
                    Err(_) => return Round::End(End::Closed),
                }
            }
            let end = self.decode(bench);
            if !bench.batch.is_empty() && !self.source.try_append(&bench.batch) {
                // The bytes that end the connection stay in `rest` and end it in the next round.
                self.has_frames |= end.is_some();
                return Round::Append(std::mem::take(&mut bench.batch));
            }
            bench.batch.clear();
            end.map_or(Round::Done, Round::End)
        })
    }

    /// Reads into the workbench after the leftover bytes, or, within a large frame, into `rest`
    /// after the beginning of the frame.
    fn read(&mut self, stream: &StreamSocket, bytes: &mut Vec<u8>, stopping: bool) -> io::Result<usize> {
        let read = if stopping { StreamSocket::read_now } else { StreamSocket::try_read };
        if self.rest.len() >= READ_BUFFER_BYTES / 2 {
            self.rest.reserve_exact(READ_BUFFER_BYTES / 4);
            return read(stream, &mut self.rest);
        }
        bytes.extend_from_slice(&self.rest);
        let read = read(stream, bytes)?;
        if read > 0 {
            self.rest.clear();
        }
        Ok(read)
    }

    fn decode(&mut self, bench: &mut Workbench) -> Option<End> {
        let taken = std::mem::take(&mut self.rest);
        let bytes = if taken.is_empty() { &bench.bytes } else { &taken };
        let source = Arc::clone(&self.source);
        let host = std::mem::take(&mut self.host);
        let arrival = source.arrival(&host, self.process_id);
        let (rest, end) = self.decode_frames(bytes, &arrival, &mut bench.scratch, &mut bench.batch);
        source.counters.received.inc_by(std::mem::take(&mut self.received));
        // The beginning of a large frame is kept in place, so that it is not copied at each read.
        let rest = if !taken.is_empty() && rest.len() == taken.len() { taken } else { rest.to_vec() };
        self.keep(rest);
        self.host = host;
        end
    }

    /// Decodes frame by frame. Returns the bytes that are left over, and why the connection ends,
    /// if it does.
    fn decode_frames<'a>(
        &mut self,
        mut bytes: &'a [u8],
        arrival: &Arrival<'_>,
        scratch: &mut PickleScratch,
        batch: &mut Batch,
    ) -> (&'a [u8], Option<End>) {
        self.has_frames = false;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if skipped > 0 && self.skip == 0 {
                self.unfinished_since = None;
            }
            if self.skip > 0 || bytes.is_empty() {
                return (bytes, None);
            }
            match frames::next(bytes, self.bounds.frame_bytes_max) {
                frames::Next::Frame(..) if batch.is_full() => {
                    self.has_frames = true;
                    return (bytes, None);
                }
                frames::Next::Frame(pickle, rest) => {
                    self.unfinished_since = None;
                    self.take(pickle, arrival, scratch, batch);
                    bytes = rest;
                }
                frames::Next::TooLarge(length) => {
                    let rejection = frames::too_large(length, self.bounds.frame_bytes_max);
                    let start = &bytes[..bytes.len().min(4 + length)];
                    self.reject(&rejection, start, arrival, batch);
                    self.skip = 4 + length;
                }
                frames::Next::Partial(needed) => return (self.admit(bytes, needed, arrival, batch), None),
                frames::Next::NotAFrame => return (bytes, Some(End::NotAFrame)),
            }
        }
    }

    fn take(&mut self, pickle: &[u8], arrival: &Arrival<'_>, scratch: &mut PickleScratch, batch: &mut Batch) {
        self.received += 1;
        if let Err(rejection) = decode(pickle, arrival, scratch, batch) {
            self.source.reject(batch, arrival, &rejection, pickle, &mut self.letters);
        }
    }

    fn reject(&mut self, rejection: &Rejection, bytes: &[u8], arrival: &Arrival<'_>, batch: &mut Batch) {
        self.received += 1;
        self.source.reject(batch, arrival, rejection, bytes, &mut self.letters);
    }

    /// Returns the beginning of a frame to keep. If unfinished frames already take too much memory,
    /// rejects the frame and returns nothing to keep.
    fn admit<'a>(
        &mut self,
        bytes: &'a [u8],
        needed: usize,
        arrival: &Arrival<'_>,
        batch: &mut Batch,
    ) -> &'a [u8] {
        self.unfinished_since.get_or_insert_with(Instant::now);
        let others = self.bounds.partial_bytes.load(Relaxed).saturating_sub(self.charged);
        if bytes.len() <= PARTIAL_FRAME_BYTES_FREE || others + bytes.len() <= PARTIAL_FRAMES_BYTES_MAX {
            return bytes;
        }
        let rejection = Rejection::new("memory", "too many unfinished frames are open at once");
        self.reject(&rejection, bytes, arrival, batch);
        self.skip = needed - bytes.len();
        &[]
    }

    fn keep(&mut self, rest: Vec<u8>) {
        if rest.is_empty() && self.skip == 0 {
            self.unfinished_since = None;
        }
        self.bounds.partial_bytes.fetch_add(rest.capacity(), Relaxed);
        self.bounds.partial_bytes.fetch_sub(self.charged, Relaxed);
        self.charged = rest.capacity();
        self.rest = rest;
    }

    fn finish(&self, end: &End) {
        match end {
            End::Closed => self.count_unfinished("truncated"),
            End::NotAFrame => {
                self.source.counters.rejected.add("not_python", 1);
                if log::admits(log::LimitedMessage::Stranger) {
                    tracing::warn!(
                        source = self.source.counters.source,
                        peer = self.host,
                        start = %self.rest[..self.rest.len().min(16)].escape_ascii(),
                        "closed a connection that does not use the protocol of Python's SocketHandler; HTTP has a \
                         separate port"
                    );
                }
            }
        }
    }

    fn count_unfinished(&self, reason: &'static str) {
        if !self.rest.is_empty() || self.skip > 0 {
            self.source.counters.truncated.inc();
            if log::admits(log::LimitedMessage::UnfinishedFrame) {
                tracing::debug!(
                    source = self.source.counters.source,
                    peer = self.host,
                    reason,
                    "a frame was left unfinished"
                );
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.bounds.partial_bytes.fetch_sub(self.charged, Relaxed);
    }
}
