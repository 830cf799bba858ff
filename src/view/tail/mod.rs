//! `GET /api/v1/tail?q=&since=&until=&last=&last_event_id=`: records that match a query, as they become durable.
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
//! It reads the spool and holds nothing back there. A client that reads more slowly than records come waits at its place;
//! once that has been released it is told how many records it has missed, whether they would have matched or not, and the
//! stream goes on with those of the present. A comment comes every 15 s, and at the beginning. Each has the id up to
//! which the stream has come, so that a client which goes on after its last id (the header `Last-Event-ID`, or the
//! parameter) need not know where records that do not match have brought the stream.
//!
//! One task, the [`Follower`], reads for all tails. Each tail has a [`mailbox::Mailbox`], which a task of its own empties
//! into the body of the answer.

mod follower;
mod mailbox;
mod relay;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::Either;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Response, StatusCode};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::parameters::{Parameters, number};
use super::{Ask, Refusal, View};
use crate::limits::{TAIL_LAST_RECORDS_MAX, TAIL_LAST_SCANNED_MAX, TAILS_MAX};
use crate::record::RecordId;
use crate::server::stream::stream;
use crate::server::{Body, problem};
use crate::spool::{Place, Spectator, Spool};
use crate::store::Search;
use follower::{Follower, Last, Tail, Wanted};
use mailbox::Mailbox;
use relay::Relay;

/// All tails.
pub struct Tails {
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
}

/// What tails and their follower share.
struct Shared {
    spectator: Spectator,
    places: Arc<Semaphore>,
    /// Those that the follower does not know yet; no more than there are places.
    joined: Mutex<Vec<Tail>>,
    /// Wakes the follower: somebody joined, left, or has room again.
    changed: Notify,
    /// Records that tails have missed.
    missed: AtomicU64,
}

/// The place of one tail, until its client has gone.
struct Seat {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.mailbox.leave();
        self.shared.changed.notify_one();
    }
}

/// Where a tail begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// With what comes now.
    Now,
    /// With so many of the last that match.
    Last(u64),
    /// After this id.
    After(RecordId),
}

impl Tails {
    /// No tails yet. `stop` tells when they have to end.
    pub fn new(spool: &Arc<Spool>, stop: watch::Receiver<bool>) -> Tails {
        let shared = Shared {
            spectator: spool.spectator(),
            places: Arc::new(Semaphore::new(TAILS_MAX)),
            joined: Mutex::default(),
            changed: Notify::new(),
            missed: AtomicU64::new(0),
        };
        Tails { shared: Arc::new(shared), stop }
    }

    /// The one task that reads for all of them.
    pub fn follow(&self) -> impl Future<Output = ()> + Send + use<> {
        Follower::new(Arc::clone(&self.shared)).run(self.stop.clone())
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        TAILS_MAX - self.shared.places.available_permits().min(TAILS_MAX)
    }

    /// Records that tails have missed since the start.
    pub fn missed(&self) -> u64 {
        self.shared.missed.load(Relaxed)
    }

    /// `None` when there are as many as may be.
    fn join(&self, wanted: Wanted, start: Start) -> Option<Seat> {
        let permit = Arc::clone(&self.shared.places).try_acquire_owned().ok()?;
        let mailbox = Arc::<Mailbox>::default();
        let tail = self.shared.begin(wanted, start, Arc::clone(&mailbox));
        lock(&self.shared.joined).push(tail);
        self.shared.changed.notify_one();
        Some(Seat { shared: Arc::clone(&self.shared), mailbox, _permit: permit })
    }
}

impl Shared {
    fn begin(&self, wanted: Wanted, start: Start, mailbox: Arc<Mailbox>) -> Tail {
        let (oldest, end) = (self.spectator.oldest_id(), self.spectator.end());
        let at = |id: RecordId| if id < end.id { Place::at(id) } else { end };
        match start {
            Start::Now => Tail::new(wanted, end, mailbox),
            Start::Last(count) => {
                let first = oldest.max(end.id.saturating_sub(TAIL_LAST_SCANNED_MAX));
                let last = Last::new(count.min(TAIL_LAST_RECORDS_MAX), end.id);
                Tail::new(wanted, at(first), mailbox).with_last(last)
            }
            Start::After(id) => {
                let wish = id.saturating_add(1).min(end.id);
                let mut tail = Tail::new(wanted, at(wish), mailbox);
                if wish < oldest {
                    tail.miss(at(oldest), &self.missed);
                }
                tail
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner) // what it guards is consistent: it is only moved
}

/// What is wanted, and from where on.
fn asked(ask: &Ask<'_>) -> Result<(Wanted, Start), Refusal> {
    let mut parameters = Parameters::parse(ask.query);
    let Search { query, time_min, time_max, .. } = parameters.search()?;
    let last = parameters.number("last")?.unwrap_or(0);
    let after = parameters.number("last_event_id")?;
    parameters.end()?;
    // A browser that connects again sends the header, beside the parameters of its first request.
    let header = ask.headers.get("last-event-id").filter(|id| !id.is_empty());
    let header = header.map(|id| number("Last-Event-ID", &String::from_utf8_lossy(id.as_bytes())));
    let start = match (header.transpose()?.or(after), last) {
        (Some(id), _) => Start::After(id),
        (None, 0) => Start::Now,
        (None, count) => Start::Last(count),
    };
    Ok((Wanted { query, times: time_min..=time_max }, start))
}

impl View {
    /// Answers with the records that match, as they come.
    pub fn tail(&self, ask: &Ask<'_>) -> Response<Body> {
        let (wanted, start) = match asked(ask) {
            Ok(asked) => asked,
            Err(refusal) => return *refusal,
        };
        let Some(seat) = self.tails.join(wanted, start) else { return too_many() };
        let (sender, body) = stream();
        tokio::spawn(Relay::new(seat, ask.hang_up.clone(), self.tails.stop.clone()).run(sender));
        let answer = Response::builder()
            .header(CONTENT_TYPE, "text/event-stream")
            .header(CACHE_CONTROL, "no-store")
            .header("x-accel-buffering", "no") // else nginx holds events back
            .body(Either::Right(body));
        answer.unwrap_or_else(|_| Response::new(Either::Left(Default::default()))) // only constant headers are set
    }
}

fn too_many() -> Response<Body> {
    let mut answer = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many tails are open",
        &format!("{TAILS_MAX} clients follow the records"),
        Some("try again when one of them has ended"),
    );
    answer.headers_mut().insert(RETRY_AFTER, hyper::header::HeaderValue::from_static("5"));
    answer
}
