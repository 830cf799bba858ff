//! `POST /api/v1/records`: JSON events. The response is sent once they are durable.
//!
//! The body is streamed: it is inflated, split into values and decoded piece by piece, so that its
//! size does not affect memory. A body that makes one batch is stored whole or not at all. Of a
//! larger body, what was appended before an error stays, and the response states how much that is.
//!
//! Small bodies have their own memory, so that large and slow bodies never delay them. No body
//! takes memory before its first bytes have arrived.

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
use super::json::{self, Framing, JsonScratch, Splitter};
use super::source::Source;
use crate::limits::{
    BODY_BATCH_KEPT_BYTES_MAX, BODY_BATCH_KIB_MAX, BODY_BATCHES_KEPT_MAX, BODY_ERRORS_MAX, BODY_KIB_MAX,
    BODY_MEMORY_KIB_MAX, BODY_PAUSE_SECONDS_MAX, BODY_PIECE_BYTES, BODY_SMALL_BYTES_MAX,
    BODY_SMALL_MEMORY_KIB_MAX, BODY_WAIT_SECONDS_MAX,
};
use crate::record::Batch;
use crate::slots::{Slots, Stall};
use crate::spool::{AppendError, Receipt};

/// Bounds that all requests of a listener share.
pub struct UploadBounds {
    /// The largest body, before inflation.
    pub compressed_bytes_max: usize,
    /// The largest body, after inflation.
    pub bytes_max: usize,
    /// The longest that a body may take to arrive.
    pub duration_max: Duration,
    /// Memory for large bodies, in KiB.
    memory: Slots,
    /// Memory for small bodies, in KiB.
    memory_small: Slots,
}

/// The memory that one body holds, in KiB.
struct BodyMemory<'a> {
    slots: &'a Slots,
    _permit: SemaphorePermit<'a>,
}

impl UploadBounds {
    /// Returns bounds without any body in progress.
    pub fn new(compressed_bytes_max: usize, bytes_max: usize, duration_max: Duration) -> UploadBounds {
        UploadBounds {
            compressed_bytes_max,
            bytes_max,
            duration_max,
            memory: Slots::new(BODY_MEMORY_KIB_MAX as usize),
            memory_small: Slots::new(BODY_SMALL_MEMORY_KIB_MAX as usize),
        }
    }

    /// Waits a short time until there is memory for a body.
    async fn admit(&self, length: Option<u64>, inflater: &Inflater) -> Result<BodyMemory<'_>, UploadFailure> {
        let (memory, kib) = match length {
            Some(length) if length <= BODY_SMALL_BYTES_MAX && inflater.is_plain() => {
                (&self.memory_small, (length >> 10) as u32 + 1)
            }
            Some(length) if inflater.is_plain() => {
                (&self.memory, BODY_KIB_MAX.min(BODY_BATCH_KIB_MAX + (length >> 10) as u32))
            }
            _ => (&self.memory, BODY_KIB_MAX + inflater.memory_kib()),
        };
        BodyMemory::wait(memory, kib).await
    }
}

impl BodyMemory<'_> {
    async fn wait(memory: &Slots, kib: u32) -> Result<BodyMemory<'_>, UploadFailure> {
        let wait = within(Duration::from_secs(BODY_WAIT_SECONDS_MAX), memory.acquire(kib));
        let permit = wait.await.flatten().ok_or(UploadFailure::Busy)?;
        Ok(BodyMemory { slots: memory, _permit: permit })
    }
}

/// Memory that the requests of one thread reuse one after another.
#[derive(Default)]
struct Memory {
    scratch: JsonScratch,
    /// Small batches. A request has one until its records are appended.
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

/// The outcome of a request's records.
#[derive(Debug, Default)]
pub struct UploadOutcome {
    /// Number of records that were made durable.
    pub accepted: u64,
    /// Number of records that were not accepted.
    pub rejected: u64,
    /// The first few rejections: the line in the body, and what is wrong with it.
    pub errors: Vec<(u64, String)>,
    /// Why the rest of the body was not accepted.
    pub failure: Option<UploadFailure>,
}

/// Why a body was not accepted to its end.
#[derive(Debug, thiserror::Error)]
pub enum UploadFailure {
    /// The body is larger than allowed.
    #[error("the body is larger than {0} bytes{1}")]
    TooLarge(usize, &'static str),
    /// The encoding of the body is unknown.
    #[error("the content encoding `{0}` is not supported; gzip, deflate and zstd are")]
    Encoding(String),
    /// The body does not inflate, or the client disconnected.
    #[error("the body cannot be read: {0}")]
    Broken(String),
    /// The body did not arrive in time.
    #[error("the body did not arrive in time, or paused for too long")]
    Slow,
    /// Too many other bodies are being read.
    #[error("too many large bodies are being read at once")]
    Busy,
    /// The spool rejected the records.
    #[error("{0}")]
    Spool(#[from] AppendError),
}

impl UploadFailure {
    fn broken(error: impl std::fmt::Display) -> UploadFailure {
        UploadFailure::Broken(error.to_string())
    }

    /// Returns the HTTP status for this failure.
    pub fn status(&self) -> StatusCode {
        match self {
            UploadFailure::TooLarge(..) => StatusCode::PAYLOAD_TOO_LARGE,
            UploadFailure::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            UploadFailure::Broken(_) => StatusCode::BAD_REQUEST,
            UploadFailure::Slow => StatusCode::REQUEST_TIMEOUT,
            UploadFailure::Spool(AppendError::Full(_)) => StatusCode::TOO_MANY_REQUESTS,
            UploadFailure::Busy | UploadFailure::Spool(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl UploadOutcome {
    /// Returns the HTTP status for this outcome.
    pub fn status(&self) -> StatusCode {
        match &self.failure {
            None if self.accepted > 0 || self.rejected == 0 => StatusCode::OK,
            Some(UploadFailure::Broken(_)) if self.accepted > 0 => StatusCode::OK,
            None => StatusCode::BAD_REQUEST,
            Some(failure) => failure.status(),
        }
    }

    /// Returns `{"accepted":1,"rejected":1,"errors":[{"line":2,"error":".."}]}`. The failure that
    /// stopped the body has line 0.
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

/// Reads a request's body to its end and makes its records durable. `slots` are the slots of which
/// the connection holds one.
pub async fn post(
    request: Request<Incoming>,
    source: &Arc<Source>,
    bounds: &UploadBounds,
    slots: Option<&Slots>,
    host: &str,
) -> UploadOutcome {
    let (parts, body) = request.into_parts();
    let mut upload = Upload {
        source: Arc::clone(source),
        bounds,
        host,
        splitter: Splitter::new(framing(&parts)),
        is_exported: is_exported(&parts),
        batch: Memory::batch(),
        receipts: Vec::new(),
        outcome: UploadOutcome::default(),
        bytes_left: bounds.bytes_max,
        memory: None,
    };
    let body = IncomingBody::new(body, slots);
    if let Err(failure) = upload.run(&parts, body).await {
        upload.outcome.failure = Some(failure);
    }
    upload.finish().await
}

/// Reads a small body that is needed whole, such as a statement.
pub async fn read_whole(
    body: Incoming,
    bytes_max: usize,
    bounds: &UploadBounds,
    slots: Option<&Slots>,
) -> Result<Vec<u8>, UploadFailure> {
    let mut body = IncomingBody::new(body, slots);
    let read = async {
        let (mut bytes, mut share) = (Vec::new(), None);
        while let Some(piece) = body.next(share.as_ref()).await? {
            if share.is_none() {
                share = Some(BodyMemory::wait(&bounds.memory_small, (bytes_max >> 10) as u32).await?);
            }
            if bytes.len() + piece.len() > bytes_max {
                return Err(UploadFailure::TooLarge(bytes_max, ""));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    within(bounds.duration_max, read).await.unwrap_or(Err(UploadFailure::Slow))
}

fn is_exported(parts: &Parts) -> bool {
    parts.headers.get(CONTENT_TYPE).is_some_and(|content_type| content_type == json::EXPORTED)
}

fn framing(parts: &Parts) -> Framing {
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    Framing::of_content_type(content_type.unwrap_or_default())
}

/// Returns the output of a future that completes in time. A future that completes as soon as other
/// tasks have run needs no timer: most bodies have already arrived.
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

/// A body that arrives at the pace of its client. It ends early if the client stalls while others
/// wait for memory or slots.
struct IncomingBody<'a> {
    incoming: Incoming,
    stall: Stall,
    /// The slots of which the connection holds one.
    slots: Option<&'a Slots>,
}

impl<'a> IncomingBody<'a> {
    fn new(incoming: Incoming, slots: Option<&'a Slots>) -> IncomingBody<'a> {
        IncomingBody { incoming, stall: Stall::new(Duration::from_secs(BODY_PAUSE_SECONDS_MAX)), slots }
    }

    /// Returns the next bytes, or `None` at the end.
    async fn next(&mut self, memory: Option<&BodyMemory<'_>>) -> Result<Option<Bytes>, UploadFailure> {
        loop {
            let frame = self.frame(memory).await.ok_or(UploadFailure::Slow)?;
            let Some(frame) = frame else { return Ok(None) };
            match frame.map_err(UploadFailure::broken)?.into_data() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.stall.moved(bytes.len());
                    return Ok(Some(bytes));
                }
                Err(_trailers) => {}
            }
        }
    }

    /// Returns the next frame, or `None` if the client takes too long. A frame that arrives as soon
    /// as other tasks have run needs no timer.
    async fn frame(
        &mut self,
        memory: Option<&BodyMemory<'_>>,
    ) -> Option<Option<hyper::Result<Frame<Bytes>>>> {
        let IncomingBody { incoming, stall, slots } = self;
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
                slots.is_some_and(Slots::is_scarce) || memory.is_some_and(|memory| memory.slots.is_scarce());
            stall.poll_over(context, is_scarce).map(|()| None)
        })
        .await
    }
}

/// One body that is being received.
struct Upload<'a> {
    source: Arc<Source>,
    bounds: &'a UploadBounds,
    host: &'a str,
    splitter: Splitter,
    /// Whether the records are in the format that `logboom export` writes, so that they are not
    /// interpreted.
    is_exported: bool,
    batch: Batch,
    /// The receipts of the batches that are not yet durable, with their numbers of records.
    receipts: Vec<(Receipt, u64)>,
    outcome: UploadOutcome,
    bytes_left: usize,
    /// The memory that the body holds; `None` before its first bytes have arrived.
    memory: Option<BodyMemory<'a>>,
}

impl Upload<'_> {
    async fn run(&mut self, parts: &Parts, body: IncomingBody<'_>) -> Result<(), UploadFailure> {
        let bounds = self.bounds;
        let length =
            parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > bounds.compressed_bytes_max.max(bounds.bytes_max) as u64) {
            return Err(UploadFailure::TooLarge(bounds.bytes_max, ""));
        }
        let read = self.read(body, Inflater::of(parts)?, length);
        within(bounds.duration_max, read).await.unwrap_or(Err(UploadFailure::Slow))
    }

    async fn read(
        &mut self,
        mut body: IncomingBody<'_>,
        mut inflater: Inflater,
        length: Option<u64>,
    ) -> Result<(), UploadFailure> {
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
                    .ok_or(UploadFailure::TooLarge(compressed_bytes_max, " before inflation"))?;
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

    /// Processes what can be inflated of the bytes that have arrived.
    async fn inflate(&mut self, inflater: &mut Inflater) -> Result<(), UploadFailure> {
        loop {
            let portion = inflater.next(BODY_PIECE_BYTES).map_err(UploadFailure::broken)?;
            if portion.is_empty() {
                return Ok(());
            }
            self.take(&portion).await?;
            if portion.len() == BODY_PIECE_BYTES {
                // Much may follow, so other tasks may run first.
                yield_now().await;
            }
        }
    }

    /// Processes a small part of the body, in the form before compression.
    async fn take(&mut self, piece: &[u8]) -> Result<(), UploadFailure> {
        self.bytes_left = self
            .bytes_left
            .checked_sub(piece.len())
            .ok_or(UploadFailure::TooLarge(self.bounds.bytes_max, " after inflation"))?;
        if self.batch.is_full() {
            self.append().await?;
        }
        self.decode(|splitter, take| splitter.push(piece, take));
        Ok(())
    }

    /// Decodes the values that the splitter returns.
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

    async fn append(&mut self) -> Result<(), UploadFailure> {
        let receipt = self.source.append(&self.batch).await?;
        self.receipts.push((receipt, u64::from(self.batch.count())));
        self.batch.clear();
        Ok(())
    }

    /// Appends the rest, unless the body failed for another reason than [`UploadFailure::Broken`],
    /// and waits for all receipts.
    async fn finish(mut self) -> UploadOutcome {
        let keep =
            self.outcome.failure.is_none() || matches!(self.outcome.failure, Some(UploadFailure::Broken(_)));
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
        // Records that were not appended because of a failure.
        self.outcome.rejected += u64::from(self.batch.count());
        Memory::keep(std::mem::take(&mut self.batch));
        self.memory = None;
        for (receipt, records) in self.receipts {
            match receipt.durable().await {
                Ok(_) => self.outcome.accepted += records,
                Err(refusal) => {
                    self.outcome.rejected += records;
                    self.outcome.failure.get_or_insert(UploadFailure::Spool(refusal));
                }
            }
        }
        self.outcome
    }
}
