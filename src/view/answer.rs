//! Answers that are records: a document, lines of JSON (NDJSON), or CSV; made as they are read.
//!
//! A document ends in time: `"partial":true` says that time or room ran out before everything was looked at. A stream may be of any
//! length, as long as it goes on: where for the time of a query nothing is found, or the client takes nothing, it is broken off,
//! so that it cannot be taken for whole. No answer keeps more than a few slices.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Either;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;

use super::cursor::Cursor;
use super::export::Table;
use super::scan::{Scan, Sink};
use super::{Refusal, View, busy};
use crate::limits::{ANSWER_READ_SECONDS_MAX, ANSWER_SHORT_BYTES_MAX, PAGE_BYTES_MAX, QUERY_SLICE_BYTES};
use crate::log;
use crate::record::{RecordId, RecordRef, json};
use crate::server::stream::{Sender, stream};
use crate::server::{Body, HangUp};

/// What records look like.
pub(super) enum Form {
    /// Elements of an array in a document.
    Document,
    /// A line of JSON each.
    Lines,
    /// Rows of CSV.
    Table(Table),
}

/// Records as bytes.
pub(super) struct Records {
    form: Form,
    out: Vec<u8>,
    /// How many are still wanted.
    pub(super) left: u64,
    first_id: Option<RecordId>,
    last_id: Option<RecordId>,
}

/// What stands behind the records of a document.
#[derive(Clone, Copy, Default)]
pub(super) struct Ending {
    /// The cursors of the pages around it.
    pub(super) has_cursors: bool,
    /// The cursor of this page.
    pub(super) cursor: Option<Cursor>,
    /// Time ran out before the place was found where it begins.
    pub(super) is_partial: bool,
}

/// An answer on its way.
pub(super) struct Answer {
    pub(super) scan: Scan,
    pub(super) records: Records,
    pub(super) ending: Ending,
    /// Bytes made so far.
    bytes: usize,
}

/// What an open answer holds.
pub(super) struct Open {
    hang_up: HangUp,
    _permit: OwnedSemaphorePermit,
}

/// A piece of an answer that was made as a whole.
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    /// Its memory, where it has some of its own.
    pub(super) share: Option<OwnedSemaphorePermit>,
}

/// What became of an answer.
enum Outcome {
    Whole,
    /// The client has gone.
    Gone,
    BrokenOff,
}

impl View {
    /// Room for one more answer.
    pub(super) fn open(&self, hang_up: &HangUp) -> Result<Open, Refusal> {
        let permit = Arc::clone(&self.queries.answers).try_acquire_owned().map_err(|_| busy())?;
        Ok(Open { hang_up: hang_up.clone(), _permit: permit })
    }
}

impl Open {
    /// Answers with JSON that was made as a whole. A long one takes part in the bounds of answers until it is read.
    pub(super) fn respond(self, pieces: Vec<Piece>, deadline: Instant) -> Response<Body> {
        let mut answer = Response::new(());
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Form::Document.content_type()));
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

    /// Sends at the pace of the client. Once the client has gone, this ends at once.
    async fn unless_gone(&self, sending: impl Future<Output = Option<Outcome>>) -> Option<Outcome> {
        let mut hang_up = self.hang_up.clone();
        tokio::select! {
            outcome = sending => outcome,
            () = hang_up.gone() => Some(Outcome::Gone),
        }
    }

    fn finish(self, outcome: Option<Outcome>, sender: Sender) {
        match outcome {
            Some(Outcome::Whole) => sender.end(),
            Some(Outcome::Gone | Outcome::BrokenOff) => {}
            None => {
                if log::admits(log::Kind::UnreadAnswer) {
                    tracing::info!("the answer to a query was not read in time: its connection is closed");
                }
                self.hang_up.now();
            }
        }
    }
}

/// Nothing where the client does not read.
async fn send_all(pieces: Vec<Piece>, read_until: tokio::time::Instant, sender: &Sender) -> Option<Outcome> {
    for Piece { bytes, share } in pieces {
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

impl Form {
    fn content_type(&self) -> &'static str {
        match self {
            Form::Document => "application/json",
            Form::Lines => "application/x-ndjson",
            Form::Table(_) => "text/csv; charset=utf-8; header=present",
        }
    }

    fn is_stream(&self) -> bool {
        !matches!(self, Form::Document)
    }
}

impl Records {
    /// At most so many.
    pub(super) fn new(form: Form, limit: u64) -> Records {
        Records { form, out: Vec::new(), left: limit, first_id: None, last_id: None }
    }

    /// What was made of them.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

impl Sink for Records {
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) -> bool {
        match &self.form {
            Form::Document => {
                if self.last_id.is_some() {
                    self.out.push(b',');
                }
                json::write(id, record, &mut self.out);
            }
            Form::Lines => {
                json::write(id, record, &mut self.out);
                self.out.push(b'\n');
            }
            Form::Table(table) => table.row(id, record, &mut self.out),
        }
        self.first_id.get_or_insert(id);
        self.last_id = Some(id);
        self.left -= 1;
        self.left > 0 && self.out.len() < QUERY_SLICE_BYTES
    }
}

impl Answer {
    /// An answer with what a search finds.
    pub(super) fn new(scan: Scan, records: Records, ending: Ending) -> Answer {
        Answer { scan, records, ending, bytes: 0 }
    }

    /// Makes the answer slice by slice. What fails before the first of them is answered as a problem.
    pub(super) async fn respond(
        mut self,
        open: Open,
        file_name: Option<&'static str>,
    ) -> Result<Response<Body>, Refusal> {
        let mut answer = Response::new(());
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.records.form.content_type()));
        if let Some(disposition) = file_name {
            answer.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
        }
        match &self.records.form {
            Form::Document => self.records.out.extend_from_slice(b"{\"records\":["),
            Form::Lines => {}
            Form::Table(table) => table.heading(&mut self.records.out),
        }
        if !self.is_done() {
            self = self.slice().await?;
        }
        let (sender, body) = stream();
        let start = self.piece();
        if !start.is_empty() {
            let _ = sender.send(start).await; // there is room for one
        }
        tokio::spawn(self.send(sender, open));
        Ok(answer.map(|()| Either::Right(body)))
    }

    fn is_done(&self) -> bool {
        let is_full = !self.records.form.is_stream() && self.bytes >= PAGE_BYTES_MAX;
        self.is_complete() || is_full
    }

    /// There is nothing more that is wanted.
    fn is_complete(&self) -> bool {
        self.records.left == 0 || self.scan.is_done()
    }

    async fn slice(self) -> Result<Answer, Refusal> {
        let Answer { scan, records, ending, bytes } = self;
        let (scan, records) = scan.slice(records).await?;
        Ok(Answer { scan, records, ending, bytes })
    }

    /// What was made and is not sent yet.
    fn piece(&mut self) -> Bytes {
        let piece = std::mem::take(&mut self.records.out);
        self.bytes += piece.len();
        piece.into()
    }

    /// Sends the rest of the answer, at the pace of the client, within bounds.
    async fn send(self, sender: Sender, open: Open) {
        let outcome = open.unless_gone(self.send_rest(&sender)).await;
        open.finish(outcome, sender);
    }

    /// Nothing where the client does not read.
    async fn send_rest(mut self, sender: &Sender) -> Option<Outcome> {
        while !self.is_done() {
            if self.scan.is_late() {
                if !self.records.form.is_stream() {
                    break;
                }
                if log::admits(log::Kind::LateAnswer) {
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
                self.scan.renew();
            }
        }
        if !self.records.form.is_stream() {
            timeout_at(read_until(self.scan.deadline), sender.send(self.end().into())).await.ok()?; // the client may have gone
        }
        Some(Outcome::Whole)
    }

    /// The end of a document.
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

    /// Where the search has come to, whether it has found something there or not.
    fn next(&self) -> Option<Cursor> {
        let Ending { cursor, .. } = self.ending;
        if !self.scan.is_done() {
            return Some(self.scan.reached());
        }
        // Behind a page that ends at a cursor there is at least the record that it was made from.
        let backward = cursor.filter(|cursor| cursor.is_backward)?;
        Some(self.records.last_id.map_or(backward.opposite(self.scan.search.descending), Cursor::after))
    }

    fn previous(&self) -> Option<Cursor> {
        let Ending { cursor, .. } = self.ending;
        let beside = |cursor: Cursor| match cursor.is_backward {
            true => cursor,
            false => cursor.opposite(self.scan.search.descending),
        };
        self.records.first_id.map(Cursor::before).or(cursor.map(beside))
    }
}
