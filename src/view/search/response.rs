//! Responses that consist of records: a document, lines of JSON (NDJSON), or CSV, produced while
//! the records are read.
//!
//! A document ends in time: `"partial":true` means that time or room ran out before everything was
//! searched. A stream may have any length as long as it advances. If nothing is found for the
//! duration of a query, or if the client does not read, the stream is aborted, so that it cannot be
//! mistaken for a complete one. No response keeps more than a few slices in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Either;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;

use super::csv_table::CsvTable;
use super::cursor::Cursor;
use crate::limits::{
    ANSWER_READ_SECONDS_MAX, ANSWER_SHORT_BYTES_MAX, ANSWERS_MAX, EXPORTS_MAX, PAGE_BYTES_MAX,
    QUERY_SLICE_BYTES, QUERY_SLICE_MILLISECONDS,
};
use crate::log;
use crate::net::http::body::{BodySender, stream};
use crate::net::http::{Body, ConnectionAbort};
use crate::record::{RecordId, RecordRef, json};
use crate::store::Scan;
use crate::store::reader::MatchSink;
use crate::view::{ApiResult, Refusal, View, busy};

/// The format of records.
pub(in crate::view) enum OutputFormat {
    /// Elements of an array in a document.
    Document,
    /// One line of JSON per record.
    Lines,
    /// Rows of CSV.
    Table(CsvTable),
}

/// Encoded records.
pub(in crate::view) struct EncodedRecords {
    form: OutputFormat,
    /// The encoded bytes.
    pub(in crate::view) out: Vec<u8>,
    /// The number of records that are still wanted.
    pub(in crate::view) left: u64,
    first_id: Option<RecordId>,
    last_id: Option<RecordId>,
}

/// What follows the records of a document.
#[derive(Clone, Copy, Default)]
pub(in crate::view) struct DocumentEnding {
    /// Whether the document contains the cursors of the neighbouring pages.
    pub(in crate::view) has_cursors: bool,
    /// The cursor of this page.
    pub(in crate::view) cursor: Option<Cursor>,
    /// Time ran out before the start of the page was found.
    pub(in crate::view) is_partial: bool,
}

/// A response in progress.
pub(in crate::view) struct ResponseStream {
    pub(in crate::view) scan: Scan,
    pub(in crate::view) records: EncodedRecords,
    pub(in crate::view) ending: DocumentEnding,
    /// The number of bytes produced so far.
    bytes: usize,
}

/// The resources that an open response holds.
pub(in crate::view) struct OpenResponse {
    abort: ConnectionAbort,
    _permit: OwnedSemaphorePermit,
    /// Held by a stream of records.
    _export: Option<OwnedSemaphorePermit>,
}

/// A piece of a response that was produced as a whole.
pub(in crate::view) struct ResponsePiece {
    pub(in crate::view) bytes: Bytes,
    /// The memory permit of this piece, if it has one of its own.
    pub(in crate::view) share: Option<OwnedSemaphorePermit>,
}

/// The result of sending a response.
enum Outcome {
    Whole,
    /// The client has disconnected.
    Gone,
    BrokenOff,
}

impl View {
    /// Reserves room for one more response.
    pub(in crate::view) fn open(&self, abort: &ConnectionAbort) -> Result<OpenResponse, Refusal> {
        let permit = Arc::clone(&self.queries.answers).try_acquire_owned();
        let permit = permit.map_err(|_| busy("answers to queries", ANSWERS_MAX))?;
        Ok(OpenResponse { abort: abort.clone(), _permit: permit, _export: None })
    }

    /// Reserves room for one more stream of any number of records. Such a stream lasts for as long
    /// as its client reads it, and there is always room for other responses.
    pub(in crate::view) fn open_export(&self, abort: &ConnectionAbort) -> Result<OpenResponse, Refusal> {
        let export = Arc::clone(&self.queries.exports).try_acquire_owned();
        let export = export.map_err(|_| busy("exports", EXPORTS_MAX))?;
        Ok(OpenResponse { _export: Some(export), ..self.open(abort)? })
    }
}

impl OpenResponse {
    /// Sends JSON that was produced as a whole. A long response counts towards the limits of
    /// responses until it is read.
    pub(in crate::view) fn respond(self, pieces: Vec<ResponsePiece>, deadline: Instant) -> Response<Body> {
        let mut answer = Response::new(());
        answer
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(OutputFormat::Document.content_type()));
        if pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>() <= ANSWER_SHORT_BYTES_MAX {
            let bytes: Vec<u8> = pieces.iter().flat_map(|piece| &piece.bytes).copied().collect();
            return answer.map(|()| Either::Left(bytes.into()));
        }
        let (sender, body) = stream();
        tokio::spawn(async move {
            let outcome = self.unless_gone(send_all(pieces, read_until(deadline), &sender)).await;
            self.finish(outcome, sender);
        });
        answer.map(|()| Either::Right(body))
    }

    /// Sends at the pace of the client. Returns immediately once the client has disconnected.
    async fn unless_gone(&self, sending: impl Future<Output = Option<Outcome>>) -> Option<Outcome> {
        let mut abort = self.abort.clone();
        tokio::select! {
            outcome = sending => outcome,
            () = abort.gone() => Some(Outcome::Gone),
        }
    }

    fn finish(self, outcome: Option<Outcome>, sender: BodySender) {
        match outcome {
            Some(Outcome::Whole) => sender.end(),
            Some(Outcome::Gone | Outcome::BrokenOff) => {}
            None => {
                if log::admits(log::LimitedMessage::UnreadAnswer) {
                    tracing::info!("the answer to a query was not read in time: its connection is closed");
                }
                self.abort.now();
            }
        }
    }
}

/// Sends all pieces. Returns `None` if the client does not read.
async fn send_all(
    pieces: Vec<ResponsePiece>,
    read_until: tokio::time::Instant,
    sender: &BodySender,
) -> Option<Outcome> {
    for ResponsePiece { bytes, share } in pieces {
        if !timeout_at(read_until, sender.send(bytes)).await.ok()? {
            return Some(Outcome::Gone);
        }
        drop(share);
    }
    Some(Outcome::Whole)
}

fn read_until(deadline: Instant) -> tokio::time::Instant {
    (deadline + Duration::from_secs(ANSWER_READ_SECONDS_MAX)).into()
}

impl OutputFormat {
    fn content_type(&self) -> &'static str {
        match self {
            OutputFormat::Document => "application/json",
            OutputFormat::Lines => "application/x-ndjson",
            OutputFormat::Table(_) => "text/csv; charset=utf-8; header=present",
        }
    }

    pub(in crate::view) fn is_stream(&self) -> bool {
        !matches!(self, OutputFormat::Document)
    }
}

impl EncodedRecords {
    /// Creates an encoder of at most `limit` records.
    pub(in crate::view) fn new(form: OutputFormat, limit: u64) -> EncodedRecords {
        EncodedRecords { form, out: Vec::new(), left: limit, first_id: None, last_id: None }
    }
}

impl MatchSink for EncodedRecords {
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) -> bool {
        match &self.form {
            OutputFormat::Document => {
                if self.last_id.is_some() {
                    self.out.push(b',');
                }
                json::write(id, record, &mut self.out);
            }
            OutputFormat::Lines => {
                json::write(id, record, &mut self.out);
                self.out.push(b'\n');
            }
            OutputFormat::Table(table) => table.row(id, record, &mut self.out),
        }
        self.first_id.get_or_insert(id);
        self.last_id = Some(id);
        self.left -= 1;
        self.left > 0 && self.out.len() < QUERY_SLICE_BYTES
    }
}

impl ResponseStream {
    /// Creates a response with the matches of a search.
    pub(in crate::view) fn new(
        scan: Scan,
        records: EncodedRecords,
        ending: DocumentEnding,
    ) -> ResponseStream {
        ResponseStream { scan, records, ending, bytes: 0 }
    }

    /// Produces the response slice by slice. An error in the first slices is reported as an error
    /// response.
    pub(in crate::view) async fn respond(
        mut self,
        open: OpenResponse,
        file_name: Option<&'static str>,
    ) -> ApiResult {
        let mut answer = Response::new(());
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.records.form.content_type()));
        if let Some(disposition) = file_name {
            answer.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
        }
        match &self.records.form {
            OutputFormat::Document => self.records.out.extend_from_slice(b"{\"records\":["),
            OutputFormat::Lines => {}
            OutputFormat::Table(table) => table.heading(&mut self.records.out),
        }
        // Short results are sent as a whole: the search continues for a moment after a first slice.
        let end = Instant::now() + Duration::from_millis(QUERY_SLICE_MILLISECONDS);
        while !self.is_done() {
            self = self.slice().await?;
            let is_long = self.records.out.len() > ANSWER_SHORT_BYTES_MAX;
            if is_long || self.scan.is_late() || Instant::now() >= end {
                break;
            }
        }
        if self.is_done() && self.records.out.len() <= ANSWER_SHORT_BYTES_MAX {
            return Ok(answer.map(|()| Either::Left(self.into_whole().into())));
        }
        let (sender, body) = stream();
        let start = self.piece();
        if !start.is_empty() {
            let _ = sender.send(start).await; // there is room for one piece
        }
        tokio::spawn(self.send(sender, open));
        Ok(answer.map(|()| Either::Right(body)))
    }

    /// Returns the bytes of a response that is already complete.
    fn into_whole(mut self) -> Vec<u8> {
        if !self.records.form.is_stream() {
            let end = self.end();
            self.records.out.extend_from_slice(end.as_bytes());
        }
        self.records.out
    }

    fn is_done(&self) -> bool {
        let is_full = !self.records.form.is_stream() && self.bytes >= PAGE_BYTES_MAX;
        self.is_complete() || is_full
    }

    /// Returns true if no further records are wanted.
    fn is_complete(&self) -> bool {
        self.records.left == 0 || self.scan.is_done()
    }

    async fn slice(self) -> Result<ResponseStream, Refusal> {
        let ResponseStream { mut scan, records, ending, bytes } = self;
        let records = scan.slice(records).await?;
        Ok(ResponseStream { scan, records, ending, bytes })
    }

    /// Returns the bytes that were produced and not sent yet.
    fn piece(&mut self) -> Bytes {
        let piece = std::mem::take(&mut self.records.out);
        self.bytes += piece.len();
        piece.into()
    }

    /// Sends the rest of the response at the pace of the client, within the limits.
    async fn send(self, sender: BodySender, open: OpenResponse) {
        let outcome = open.unless_gone(self.send_rest(&sender)).await;
        open.finish(outcome, sender);
    }

    /// Sends the remaining slices. Returns `None` if the client does not read.
    async fn send_rest(mut self, sender: &BodySender) -> Option<Outcome> {
        while !self.is_done() {
            if self.scan.is_late() {
                if !self.records.form.is_stream() {
                    break;
                }
                if log::admits(log::LimitedMessage::LateAnswer) {
                    tracing::info!("a query ran out of time: its answer is broken off");
                }
                return Some(Outcome::BrokenOff);
            }
            let read_until = read_until(self.scan.deadline);
            if !timeout_at(read_until, sender.ready()).await.ok()? {
                return Some(Outcome::Gone);
            }
            let Ok(slice) = timeout_at(read_until, self.slice()).await.ok()? else {
                return Some(Outcome::BrokenOff);
            };
            self = slice;
            let piece = self.piece();
            if piece.is_empty() {
                continue;
            }
            if !timeout_at(read_until, sender.send(piece)).await.ok()? {
                return Some(Outcome::Gone);
            }
            if self.records.form.is_stream() {
                self.scan.reset_deadline();
            }
        }
        if !self.records.form.is_stream() {
            // The client may have disconnected.
            timeout_at(read_until(self.scan.deadline), sender.send(self.end().into())).await.ok()?;
        }
        Some(Outcome::Whole)
    }

    /// Returns the end of a document.
    fn end(&self) -> String {
        let is_partial = !self.is_complete() || self.ending.is_partial;
        if !self.ending.has_cursors {
            return format!("],\"partial\":{is_partial}}}");
        }
        let shown =
            |cursor: Option<Cursor>| cursor.map_or("null".to_owned(), |cursor| format!("\"{cursor}\""));
        let (next, previous) = (shown(self.next()), shown(self.previous()));
        format!("],\"next_cursor\":{next},\"previous_cursor\":{previous},\"partial\":{is_partial}}}")
    }

    /// Returns the cursor that the search has reached, whether or not there is a match.
    fn next(&self) -> Option<Cursor> {
        let DocumentEnding { cursor, .. } = self.ending;
        if !self.scan.is_done() {
            return Some(Cursor::reached(&self.scan.search));
        }
        // A page that ends at a cursor is followed at least by the record that the cursor was made
        // from.
        let backward = cursor.filter(|cursor| cursor.is_backward)?;
        Some(self.records.last_id.map_or(backward.opposite(self.scan.search.descending), Cursor::after))
    }

    fn previous(&self) -> Option<Cursor> {
        let DocumentEnding { cursor, .. } = self.ending;
        let beside = |cursor: Cursor| match cursor.is_backward {
            true => cursor,
            false => cursor.opposite(self.scan.search.descending),
        };
        self.records.first_id.map(Cursor::before).or(cursor.map(beside))
    }
}
