//! `GET /api/v1/tail?q=&since=&until=&last=&last_event_id=`: records that match a query, as they
//! become durable.
//!
//! The answer is a stream of server-sent events (WHATWG HTML, section 9.2):
//!
//! ```text
//! id: 7
//! event: record
//! data: {"id":7,"timestamp":...}
//!
//! id: 20
//! event: missed
//! data: {"count":13}
//! ```
//!
//! The stream reads the spool and delays the release of one segment at most, and only for clients
//! that keep up or pause for moments. A client that reads more slowly than records arrive waits at
//! its position. Once that position has been released, the client receives the number of records
//! that it has missed, whether or not they would have matched, and the stream continues with the
//! current records. A comment is sent at the beginning and every 15 s. Each comment has the id up
//! to which the stream has advanced. A client that resumes after its last id (the header
//! `Last-Event-ID`, or the parameter) therefore also skips the records that did not match.
//!
//! One task, the [`Follower`], reads for all tails. Each tail has a [`buffer::TailBuffer`], which a
//! separate task empties into the body of the response.

mod buffer;
mod follower;
mod sender;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::Either;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::search::parameters::{Parameters, number};
use super::{ApiRequest, ApiResult, Refusal, View};
use crate::limits::{TAIL_LAST_RECORDS_MAX, TAIL_LAST_SCANNED_MAX, TAILS_MAX};
use crate::net::http::body::stream;
use crate::net::http::retry_later;
use crate::record::RecordId;
use crate::spool::{Spool, SpoolCursor, SpoolPlace};
use crate::store::Search;
use buffer::TailBuffer;
use follower::{Follower, LastRecords, Tail, TailFilter};
use sender::TailSender;

/// All live tails.
pub struct Tails {
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
}

/// What the tails and their follower share.
struct Shared {
    cursor: SpoolCursor,
    places: Arc<Semaphore>,
    /// Tails that the follower has not added yet; at most as many as there are places.
    joined: Mutex<Vec<Tail>>,
    /// Wakes the follower: a tail joined, left, or has room again.
    changed: Notify,
    /// The number of records that tails have missed.
    missed: AtomicU64,
}

/// The slot of one tail, held until its client has disconnected.
struct TailSlot {
    shared: Arc<Shared>,
    buffer: Arc<TailBuffer>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for TailSlot {
    fn drop(&mut self) {
        self.buffer.leave();
        self.shared.changed.notify_one();
    }
}

/// The position at which a tail begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// With the records that arrive from now on.
    Now,
    /// With this many of the last matches.
    Last(u64),
    /// After this id.
    After(RecordId),
}

impl Tails {
    /// Creates the set of tails, which is empty. The tails end once `stop` is true.
    pub fn new(spool: &Arc<Spool>, stop: watch::Receiver<bool>) -> Tails {
        let shared = Shared {
            cursor: spool.cursor(),
            places: Arc::new(Semaphore::new(TAILS_MAX)),
            joined: Mutex::default(),
            changed: Notify::new(),
            missed: AtomicU64::new(0),
        };
        Tails { shared: Arc::new(shared), stop }
    }

    /// Returns the task that reads for all tails.
    pub fn follow(&self) -> impl Future<Output = ()> + Send + use<> {
        Follower::new(Arc::clone(&self.shared)).run(self.stop.clone())
    }

    /// Returns the number of open tails.
    pub fn open(&self) -> usize {
        TAILS_MAX - self.shared.places.available_permits().min(TAILS_MAX)
    }

    /// Returns the number of records that tails have missed since the start.
    pub fn missed(&self) -> u64 {
        self.shared.missed.load(Relaxed)
    }

    /// Opens a tail; `None` if the maximum number of tails is open.
    fn join(&self, wanted: TailFilter, start: Start) -> Option<TailSlot> {
        let permit = Arc::clone(&self.shared.places).try_acquire_owned().ok()?;
        let buffer = Arc::<TailBuffer>::default();
        let tail = self.shared.begin(wanted, start, Arc::clone(&buffer));
        lock(&self.shared.joined).push(tail);
        self.shared.changed.notify_one();
        Some(TailSlot { shared: Arc::clone(&self.shared), buffer, _permit: permit })
    }
}

impl Shared {
    fn begin(&self, wanted: TailFilter, start: Start, buffer: Arc<TailBuffer>) -> Tail {
        let (oldest, end) = (self.cursor.oldest_id(), self.cursor.end());
        let at = |id: RecordId| if id < end.id { SpoolPlace::at(id) } else { end };
        match start {
            Start::Now => Tail::new(wanted, end, buffer),
            Start::Last(count) => {
                let first = oldest.max(end.id.saturating_sub(TAIL_LAST_SCANNED_MAX));
                let last = LastRecords::new(count.min(TAIL_LAST_RECORDS_MAX), end.id);
                Tail::new(wanted, at(first), buffer).with_last(last)
            }
            Start::After(id) => {
                let wish = id.saturating_add(1).min(end.id);
                let mut tail = Tail::new(wanted, at(wish), buffer);
                if wish < oldest {
                    tail.miss(at(oldest), &self.missed);
                }
                tail
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic leaves the content consistent, because it is only moved.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the selection of a request, and the position at which the tail begins.
fn asked(ask: &ApiRequest<'_>) -> Result<(TailFilter, Start), Refusal> {
    let mut parameters = Parameters::parse(ask.query);
    let Search { query, time_min, time_max, .. } = parameters.search()?;
    let last = parameters.number("last")?.unwrap_or(0);
    let after = parameters.number("last_event_id")?;
    parameters.end()?;
    // A browser that reconnects sends the header in addition to the parameters of its first
    // request.
    let header = ask.headers.get("last-event-id").filter(|id| !id.is_empty());
    let header = header.map(|id| number("Last-Event-ID", &String::from_utf8_lossy(id.as_bytes())));
    let start = match (header.transpose()?.or(after), last) {
        (Some(id), _) => Start::After(id),
        (None, 0) => Start::Now,
        (None, count) => Start::Last(count),
    };
    Ok((TailFilter { query, times: time_min..=time_max }, start))
}

impl View {
    /// Responds with the matching records as they arrive.
    pub fn tail(&self, ask: &ApiRequest<'_>) -> ApiResult {
        let (wanted, start) = asked(ask)?;
        let slot = self.tails.join(wanted, start).ok_or_else(too_many)?;
        let (sender, body) = stream();
        let tail = TailSender { slot, abort: ask.abort.clone(), stop: self.tails.stop.clone() };
        tokio::spawn(tail.run(sender));
        let answer = Response::builder()
            .header(CONTENT_TYPE, "text/event-stream")
            .header(CACHE_CONTROL, "no-store")
            .header("x-accel-buffering", "no") // otherwise nginx delays events
            .body(Either::Right(body));
        // Only constant headers are set.
        Ok(answer.unwrap_or_else(|_| Response::new(Either::Left(Default::default()))))
    }
}

fn too_many() -> Refusal {
    let detail = format!("{TAILS_MAX} clients follow the records");
    retry_later("too many tails are open", &detail, "try again when one of them has ended", 5).into()
}
