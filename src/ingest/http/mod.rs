//! `POST /api/v1/records`: JSON events, answered once they are durable.
//!
//! The body streams through: it is inflated, cut into values and decoded piece by piece, so that its size does not
//! matter to memory. A body that makes one batch is stored whole or not at all; of a larger one, what was appended
//! before an error stays, and the answer says how much that is.
//!
//! Small bodies have memory of their own, so that large and slow ones never keep them waiting; no body takes any before its
//! first bytes are here.

mod inflate;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use tokio::sync::SemaphorePermit;
use tokio::task::yield_now;
use tokio::time::timeout;

use self::inflate::Inflater;
use super::Rejection;
use super::json::{self, Framing, Splitter};
use super::source::Source;
use crate::limits::{
    BODY_BATCH_KEPT_BYTES_MAX, BODY_BATCH_KIB_MAX, BODY_BATCHES_KEPT_MAX, BODY_ERRORS_MAX, BODY_KIB_MAX,
    BODY_MEMORY_KIB_MAX, BODY_PAUSE_SECONDS_MAX, BODY_PIECE_BYTES, BODY_SMALL_BYTES_MAX,
    BODY_SMALL_MEMORY_KIB_MAX, BODY_WAIT_SECONDS_MAX,
};
use crate::record::Batch;
use crate::slots::{Slots, Stall};
use crate::spool::{AppendError, Receipt};

/// What all requests of a listener share.
pub struct Bounds {
    /// The largest body, before inflation.
    pub compressed_bytes_max: usize,
    /// The largest body, after inflation.
    pub bytes_max: usize,
    /// The longest that a body may take to arrive.
    pub duration_max: Duration,
    /// For large bodies, in KiB.
    memory: Slots,
    /// For small ones.
    memory_small: Slots,
}

/// Memory that a body has, in KiB.
struct Share<'a> {
    memory: &'a Slots,
    _permit: SemaphorePermit<'a>,
}

impl Bounds {
    /// With no body under way yet.
    pub fn new(compressed_bytes_max: usize, bytes_max: usize, duration_max: Duration) -> Bounds {
        Bounds {
            compressed_bytes_max,
            bytes_max,
            duration_max,
            memory: Slots::new(BODY_MEMORY_KIB_MAX as usize),
            memory_small: Slots::new(BODY_SMALL_MEMORY_KIB_MAX as usize),
        }
    }

    /// Waits a little until there is memory for a body.
    async fn admit(&self, length: Option<u64>, inflater: &Inflater) -> Result<Share<'_>, Failure> {
        let (memory, kib) = match length {
            Some(length) if length <= BODY_SMALL_BYTES_MAX && inflater.is_plain() => {
                (&self.memory_small, (length >> 10) as u32 + 1)
            }
            Some(length) if inflater.is_plain() => {
                (&self.memory, BODY_KIB_MAX.min(BODY_BATCH_KIB_MAX + (length >> 10) as u32))
            }
            _ => (&self.memory, BODY_KIB_MAX + inflater.memory_kib()),
        };
        Share::wait(memory, kib).await
    }
}

impl Share<'_> {
    async fn wait(memory: &Slots, kib: u32) -> Result<Share<'_>, Failure> {
        let wait = within(Duration::from_secs(BODY_WAIT_SECONDS_MAX), memory.acquire(kib));
        let permit = wait.await.flatten().ok_or(Failure::Busy)?;
        Ok(Share { memory, _permit: permit })
    }
}

/// Memory that the requests of one thread use one after the other.
#[derive(Default)]
struct Memory {
    scratch: json::Scratch,
    /// Small batches; a request has one until its records are appended.
    batches: Vec<Batch>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

impl Memory {
    fn batch() -> Batch {
        MEMORY.with_borrow_mut(|memory| memory.batches.pop()).unwrap_or_default()
    }

    fn keep(mut batch: Batch) {
        batch.clear();
        MEMORY.with_borrow_mut(|Memory { batches, .. }| {
            if batches.len() < BODY_BATCHES_KEPT_MAX && batch.capacity() <= BODY_BATCH_KEPT_BYTES_MAX {
                batches.push(batch);
            }
        });
    }
}

/// What became of a request's records.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Made durable.
    pub accepted: u64,
    /// Not taken.
    pub rejected: u64,
    /// Why not: the line in the body, and what is wrong; the first few.
    pub errors: Vec<(u64, String)>,
    /// Why the rest of the body was not taken.
    pub failure: Option<Failure>,
}

/// Why a body was not taken to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It is larger than allowed.
    #[error("the body is larger than {0} bytes{1}")]
    TooLarge(usize, &'static str),
    /// Its encoding is not known.
    #[error("the content encoding `{0}` is not understood; gzip, deflate and zstd are")]
    Encoding(String),
    /// It does not inflate, or the client went away.
    #[error("the body cannot be read: {0}")]
    Broken(String),
    /// It did not arrive in time.
    #[error("the body did not arrive in time, or paused for too long")]
    Slow,
    /// Too many others are being read.
    #[error("too many large bodies are being read at once")]
    Busy,
    /// The spool does not take it.
    #[error("{0}")]
    Spool(#[from] AppendError),
}

impl Failure {
    fn broken(error: impl std::fmt::Display) -> Failure {
        Failure::Broken(error.to_string())
    }

    /// The status that tells it.
    pub fn status(&self) -> StatusCode {
        match self {
            Failure::TooLarge(..) => StatusCode::PAYLOAD_TOO_LARGE,
            Failure::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Failure::Broken(_) => StatusCode::BAD_REQUEST,
            Failure::Slow => StatusCode::REQUEST_TIMEOUT,
            Failure::Spool(AppendError::Full(_)) => StatusCode::TOO_MANY_REQUESTS,
            Failure::Busy | Failure::Spool(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Outcome {
    /// The status that tells it.
    pub fn status(&self) -> StatusCode {
        match &self.failure {
            None if self.accepted > 0 || self.rejected == 0 => StatusCode::OK,
            Some(Failure::Broken(_)) if self.accepted > 0 => StatusCode::OK,
            None => StatusCode::BAD_REQUEST,
            Some(failure) => failure.status(),
        }
    }

    /// `{"accepted":1,"rejected":1,"errors":[{"line":2,"error":".."}]}`; what stopped the body has line 0.
    pub fn body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let _ = write!(out, "{{\"accepted\":{},\"rejected\":{},\"errors\":[", self.accepted, self.rejected);
        let failure = self.failure.iter().map(|failure| (0, failure.to_string()));
        for (index, (line, error)) in self.errors.iter().cloned().chain(failure).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{{\"line\":{line},\"error\":");
            crate::record::json::string(&mut out, &error);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        out
    }

    fn reject(&mut self, line: u64, rejection: &Rejection) {
        self.rejected += 1;
        if self.errors.len() < BODY_ERRORS_MAX {
            self.errors.push((line, rejection.to_string()));
        }
    }
}

/// The content type of what `logboom export` writes: lines of records that are taken for exactly what they are.
pub const EXPORTED: &str = "application/vnd.logboom.records+ndjson";

/// Reads a request's body to its end and makes its records durable. `slots` are those that the connection has one of.
pub async fn post(
    request: Request<Incoming>,
    source: &Arc<Source>,
    bounds: &Bounds,
    slots: Option<&Slots>,
    host: &str,
) -> Outcome {
    let (parts, body) = request.into_parts();
    let mut upload = Upload {
        source: Arc::clone(source),
        bounds,
        host,
        splitter: Splitter::new(framing(&parts)),
        is_exported: is_exported(&parts),
        batch: Memory::batch(),
        receipts: Vec::new(),
        outcome: Outcome::default(),
        bytes_left: bounds.bytes_max,
        memory: None,
    };
    let body = Body::new(body, slots);
    if let Err(failure) = upload.run(&parts, body).await {
        upload.outcome.failure = Some(failure);
    }
    upload.finish().await
}

/// Reads a body that is to be had whole, such as a statement, and is a small one.
pub async fn read_whole(
    body: Incoming,
    bytes_max: usize,
    bounds: &Bounds,
    slots: Option<&Slots>,
) -> Result<Vec<u8>, Failure> {
    let mut body = Body::new(body, slots);
    let read = async {
        let (mut bytes, mut share) = (Vec::new(), None);
        while let Some(piece) = body.next(share.as_ref()).await? {
            if share.is_none() {
                share = Some(Share::wait(&bounds.memory_small, (bytes_max >> 10) as u32).await?);
            }
            if bytes.len() + piece.len() > bytes_max {
                return Err(Failure::TooLarge(bytes_max, ""));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    within(bounds.duration_max, read).await.unwrap_or(Err(Failure::Slow))
}

fn is_exported(parts: &Parts) -> bool {
    parts.headers.get(CONTENT_TYPE).is_some_and(|content_type| content_type == EXPORTED)
}

fn framing(parts: &Parts) -> Framing {
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    Framing::of_content_type(content_type.unwrap_or_default())
}

/// The output of a future that ends in time. One that ends as soon as others have had their turn costs no timer: most bodies
/// are here already.
async fn within<F: Future>(duration: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut looks = 0;
    let soon = poll_fn(|context| {
        looks += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if looks > 1 => Poll::Ready(None),
            Poll::Pending => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    });
    match soon.await {
        Some(output) => Some(output),
        None => timeout(duration, future).await.ok(),
    }
}

/// A body that arrives at the pace of its client, which gives way to others where it stalls.
struct Body<'a> {
    incoming: Incoming,
    stall: Stall,
    /// The slots that the connection has one of.
    slots: Option<&'a Slots>,
}

impl<'a> Body<'a> {
    fn new(incoming: Incoming, slots: Option<&'a Slots>) -> Body<'a> {
        Body { incoming, stall: Stall::new(Duration::from_secs(BODY_PAUSE_SECONDS_MAX)), slots }
    }

    /// The next bytes, or nothing at the end.
    async fn next(&mut self, share: Option<&Share<'_>>) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = self.frame(share).await.ok_or(Failure::Slow)?;
            let Some(frame) = frame else { return Ok(None) };
            match frame.map_err(Failure::broken)?.into_data() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.stall.moved(bytes.len());
                    return Ok(Some(bytes));
                }
                Err(_trailers) => {}
            }
        }
    }

    /// Nothing where the client takes too long. A frame that comes as soon as others have had their turn costs no timer.
    async fn frame(&mut self, share: Option<&Share<'_>>) -> Option<Option<hyper::Result<Frame<Bytes>>>> {
        let Body { incoming, stall, slots } = self;
        let mut frame = pin!(incoming.frame());
        let mut is_first = true;
        poll_fn(|context| {
            if let Poll::Ready(frame) = frame.as_mut().poll(context) {
                return Poll::Ready(Some(frame));
            }
            if std::mem::take(&mut is_first) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let is_scarce =
                slots.is_some_and(Slots::is_scarce) || share.is_some_and(|share| share.memory.is_scarce());
            stall.poll_over(context, is_scarce).map(|()| None)
        })
        .await
    }
}

/// One body on its way.
struct Upload<'a> {
    source: Arc<Source>,
    bounds: &'a Bounds,
    host: &'a str,
    splitter: Splitter,
    /// The records are this program's own, not to be interpreted.
    is_exported: bool,
    batch: Batch,
    /// Of the batches that are under way, with their numbers of records.
    receipts: Vec<(Receipt, u64)>,
    outcome: Outcome,
    bytes_left: usize,
    /// What it may take of the memory for bodies; nothing before its first bytes are here.
    memory: Option<Share<'a>>,
}

impl Upload<'_> {
    async fn run(&mut self, parts: &Parts, body: Body<'_>) -> Result<(), Failure> {
        let bounds = self.bounds;
        let length =
            parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > bounds.compressed_bytes_max.max(bounds.bytes_max) as u64) {
            return Err(Failure::TooLarge(bounds.bytes_max, ""));
        }
        let read = self.read(body, Inflater::of(parts)?, length);
        within(bounds.duration_max, read).await.unwrap_or(Err(Failure::Slow))
    }

    async fn read(
        &mut self,
        mut body: Body<'_>,
        mut inflater: Inflater,
        length: Option<u64>,
    ) -> Result<(), Failure> {
        let compressed_bytes_max = self.bounds.compressed_bytes_max;
        let mut compressed_left = compressed_bytes_max;
        while let Some(bytes) = body.next(self.memory.as_ref()).await? {
            if self.memory.is_none() {
                inflater.sniff(&bytes)?;
                self.memory = Some(self.bounds.admit(length, &inflater).await?);
            }
            if !inflater.is_plain() {
                compressed_left = compressed_left
                    .checked_sub(bytes.len())
                    .ok_or(Failure::TooLarge(compressed_bytes_max, " before inflation"))?;
            }
            inflater.feed(bytes);
            self.inflate(&mut inflater).await?;
        }
        if self.memory.is_none() {
            return Ok(()); // nothing was sent
        }
        inflater.end();
        self.inflate(&mut inflater).await
    }

    /// Takes what can be inflated of what has arrived.
    async fn inflate(&mut self, inflater: &mut Inflater) -> Result<(), Failure> {
        loop {
            let portion = inflater.next(BODY_PIECE_BYTES).map_err(Failure::broken)?;
            if portion.is_empty() {
                return Ok(());
            }
            self.take(&portion).await?;
            if portion.len() == BODY_PIECE_BYTES {
                // Much may follow: others get their turn.
                yield_now().await;
            }
        }
    }

    /// Takes a small part of the body as it was before compression.
    async fn take(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.bytes_left = self
            .bytes_left
            .checked_sub(piece.len())
            .ok_or(Failure::TooLarge(self.bounds.bytes_max, " after inflation"))?;
        if self.batch.is_full() {
            self.append().await?;
        }
        self.decode(|splitter, take| splitter.push(piece, take));
        Ok(())
    }

    /// Decodes the values that the splitter gives.
    fn decode(&mut self, split: impl FnOnce(&mut Splitter, &mut dyn FnMut(u64, Result<&[u8], Rejection>))) {
        let Upload { source, host, splitter, is_exported, batch, outcome, .. } = self;
        let arrival = source.arrival(host, 0);
        let mut received = 0;
        MEMORY.with_borrow_mut(|Memory { scratch, .. }| {
            split(splitter, &mut |line, value| {
                received += 1;
                let decoded = value.and_then(|value| match is_exported {
                    false => json::decode(value, &arrival, scratch, batch),
                    true => json::decode_exported(value, arrival.observed_timestamp, batch),
                });
                if let Err(rejection) = decoded {
                    source.counters.rejected.add(rejection.reason, 1);
                    outcome.reject(line, &rejection);
                }
            });
        });
        source.counters.received.inc_by(received);
    }

    async fn append(&mut self) -> Result<(), Failure> {
        let receipt = self.source.append(&self.batch).await?;
        self.receipts.push((receipt, u64::from(self.batch.count())));
        self.batch.clear();
        Ok(())
    }

    /// Appends the rest (unless the body failed, and nothing of it was appended yet) and waits for all receipts.
    async fn finish(mut self) -> Outcome {
        let keep = self.outcome.failure.is_none() || matches!(self.outcome.failure, Some(Failure::Broken(_)));
        if keep {
            self.decode(|splitter, take| {
                std::mem::replace(splitter, Splitter::new(Framing::Lines)).finish(take);
            });
            if !self.batch.is_empty()
                && let Err(failure) = self.append().await
            {
                self.outcome.failure.get_or_insert(failure);
            }
        }
        self.outcome.rejected += u64::from(self.batch.count()); // what a failure kept from being appended
        Memory::keep(std::mem::take(&mut self.batch));
        self.memory = None;
        for (receipt, records) in self.receipts {
            match receipt.durable().await {
                Ok(_) => self.outcome.accepted += records,
                Err(refusal) => {
                    self.outcome.rejected += records;
                    self.outcome.failure.get_or_insert(Failure::Spool(refusal));
                }
            }
        }
        self.outcome
    }
}
