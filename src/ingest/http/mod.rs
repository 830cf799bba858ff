//! `POST /api/v1/records`: JSON events, answered once they are durable.
//!
//! The body streams through: it is inflated, cut into values and decoded piece by piece, so that its size does not
//! matter to memory. A body that makes one batch is stored whole or not at all; of a larger one, what was appended
//! before an error stays, and the answer says how much that is.

mod inflate;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::inflate::Inflater;
use super::Rejection;
use super::json::{self, Framing, Splitter};
use super::source::Source;
use crate::limits::{
    BODY_ERRORS_MAX, BODY_KIB_MAX, BODY_MEMORY_KIB_MAX, BODY_PIECE_BYTES, BODY_SMALL_BYTES_MAX,
    BODY_WAIT_SECONDS_MAX, INFLATE_PIECE_BYTES,
};
use crate::record::Batch;
use crate::spool::{AppendError, Receipt};

/// What all requests of a listener share.
pub struct Bounds {
    /// The largest body, before inflation.
    pub compressed_bytes_max: usize,
    /// The largest body, after inflation.
    pub bytes_max: usize,
    /// The longest that a body may take to arrive.
    pub duration_max: Duration,
    memory: Semaphore,
}

impl Bounds {
    /// With no body under way yet.
    pub fn new(compressed_bytes_max: usize, bytes_max: usize, duration_max: Duration) -> Bounds {
        Bounds {
            compressed_bytes_max,
            bytes_max,
            duration_max,
            memory: Semaphore::new(BODY_MEMORY_KIB_MAX as usize),
        }
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
    #[error("the body did not arrive in time")]
    Slow,
    /// Too many others are being read.
    #[error("too many large bodies are being read at once")]
    Busy,
    /// The spool does not take it.
    #[error("{0}")]
    Spool(#[from] AppendError),
}

impl Outcome {
    /// The status that tells it.
    pub fn status(&self) -> StatusCode {
        match &self.failure {
            None if self.accepted > 0 || self.rejected == 0 => StatusCode::OK,
            Some(Failure::Broken(_)) if self.accepted > 0 => StatusCode::OK,
            None => StatusCode::BAD_REQUEST,
            Some(Failure::TooLarge(..)) => StatusCode::PAYLOAD_TOO_LARGE,
            Some(Failure::Encoding(_)) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Some(Failure::Broken(_)) => StatusCode::BAD_REQUEST,
            Some(Failure::Slow) => StatusCode::REQUEST_TIMEOUT,
            Some(Failure::Spool(AppendError::Full(_))) => StatusCode::TOO_MANY_REQUESTS,
            Some(Failure::Busy | Failure::Spool(_)) => StatusCode::SERVICE_UNAVAILABLE,
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

/// Reads a request's body to its end and makes its records durable.
pub async fn post(request: Request<Incoming>, source: &Arc<Source>, bounds: &Bounds, host: &str) -> Outcome {
    let (parts, body) = request.into_parts();
    let mut upload = Upload {
        source: Arc::clone(source),
        host,
        splitter: Splitter::new(framing(&parts)),
        scratch: json::Scratch::default(),
        batch: Batch::new(),
        receipts: Vec::new(),
        outcome: Outcome::default(),
        bytes_left: bounds.bytes_max,
    };
    if let Err(failure) = upload.run(&parts, body, bounds).await {
        upload.outcome.failure = Some(failure);
    }
    upload.finish().await
}

fn framing(parts: &Parts) -> Framing {
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    Framing::of_content_type(content_type.unwrap_or_default())
}

/// What a body may take of the memory for bodies, in KiB.
fn memory_kib(length: Option<u64>, inflater: &Inflater) -> u32 {
    match length {
        Some(length) if length <= BODY_SMALL_BYTES_MAX && inflater.is_plain() => (length >> 10) as u32 + 1,
        _ => BODY_KIB_MAX + inflater.memory_kib(),
    }
}

/// One body on its way.
struct Upload<'a> {
    source: Arc<Source>,
    host: &'a str,
    splitter: Splitter,
    scratch: json::Scratch,
    batch: Batch,
    /// Of the batches that are under way, with their numbers of records.
    receipts: Vec<(Receipt, u64)>,
    outcome: Outcome,
    bytes_left: usize,
}

impl Upload<'_> {
    async fn run(&mut self, parts: &Parts, body: Incoming, bounds: &Bounds) -> Result<(), Failure> {
        let length =
            parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > bounds.compressed_bytes_max.max(bounds.bytes_max) as u64) {
            return Err(Failure::TooLarge(bounds.bytes_max, ""));
        }
        let mut inflater = Inflater::of(parts)?;
        let wait = Duration::from_secs(BODY_WAIT_SECONDS_MAX);
        let _memory = match timeout(wait, bounds.memory.acquire_many(memory_kib(length, &inflater))).await {
            Ok(Ok(permit)) => permit,
            _ => return Err(Failure::Busy),
        };
        let read = self.read(body, &mut inflater, bounds);
        timeout(bounds.duration_max, read).await.unwrap_or(Err(Failure::Slow))
    }

    async fn read(
        &mut self,
        mut body: Incoming,
        inflater: &mut Inflater,
        bounds: &Bounds,
    ) -> Result<(), Failure> {
        let mut compressed_left = if inflater.is_plain() { usize::MAX } else { bounds.compressed_bytes_max };
        let mut is_first = true;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::Broken(error.to_string()))?;
            let Ok(bytes) = frame.into_data() else { continue };
            compressed_left = compressed_left
                .checked_sub(bytes.len())
                .ok_or(Failure::TooLarge(bounds.compressed_bytes_max, " before inflation"))?;
            if std::mem::take(&mut is_first) {
                inflater.sniff(&bytes)?;
            }
            self.inflate(&bytes, inflater, bounds).await?;
        }
        inflater.finish().map_err(|error| Failure::Broken(error.to_string()))?;
        let rest = inflater.take();
        self.take(&rest, bounds).await
    }

    async fn inflate(
        &mut self,
        bytes: &Bytes,
        inflater: &mut Inflater,
        bounds: &Bounds,
    ) -> Result<(), Failure> {
        if inflater.is_plain() {
            return self.take(bytes, bounds).await;
        }
        // Small pieces, so that what they inflate to is bounded too.
        for mut piece in bytes.chunks(INFLATE_PIECE_BYTES) {
            loop {
                let taken = inflater.push(piece).map_err(|error| Failure::Broken(error.to_string()))?;
                piece = &piece[taken..];
                let inflated = inflater.take();
                if piece.is_empty() && inflated.is_empty() {
                    break;
                }
                self.take(&inflated, bounds).await?;
            }
        }
        Ok(())
    }

    /// Takes a part of the body as it was before compression.
    async fn take(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<(), Failure> {
        self.bytes_left = self
            .bytes_left
            .checked_sub(bytes.len())
            .ok_or(Failure::TooLarge(bounds.bytes_max, " after inflation"))?;
        for piece in bytes.chunks(BODY_PIECE_BYTES) {
            if self.batch.is_full() {
                self.append().await?;
            }
            self.decode(|splitter, take| splitter.push(piece, take));
        }
        Ok(())
    }

    /// Decodes the values that the splitter gives.
    fn decode(&mut self, split: impl FnOnce(&mut Splitter, &mut dyn FnMut(u64, Result<&[u8], Rejection>))) {
        let Upload { source, host, splitter, scratch, batch, outcome, .. } = self;
        let arrival = source.arrival(host, 0);
        split(splitter, &mut |line, value| {
            source.counters.received.inc();
            if let Err(rejection) = value.and_then(|value| json::decode(value, &arrival, scratch, batch)) {
                source.counters.rejected.add(rejection.reason, 1);
                outcome.reject(line, &rejection);
            }
        });
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
