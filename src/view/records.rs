//! `GET /api/v1/records?q=&since=&until=&limit=&order=&cursor=`: records that match a query.
//!
//! `since` is the first moment that is wanted, `until` the first that is not.
//! Records come in the order in which they arrived (by id), newest first unless `order=asc`. With
//! `Accept: application/x-ndjson` they are streamed, one a line; else the answer is one document,
//! `{"records":[..],"next_cursor":".."|null,"partial":false}`. `partial` says that time ran out before the search was
//! complete; `next_cursor` goes on in either case. A stream that runs out of time is broken off, so that it cannot be
//! taken for whole. Either is sent at the client's pace; a connection that does not read is closed.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Either;
use http_body_util::channel::{Channel, Sender};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::View;
use super::query::{self, Query};
use crate::blocking::Threads;
use crate::limits::{
    ANSWER_READ_SECONDS_MAX, ANSWERS_MAX, PAGE_BYTES_MAX, QUERY_PAGE_RECORDS_MAX, QUERY_SLICE_BYTES,
    QUERY_SLICE_ROWS_MAX, QUERY_SLICE_ROWS_MIN,
};
use crate::record::{RecordId, RecordRef, json, time};
use crate::server::{Body, HangUp, problem};
use crate::store::postgres::read::{PostgresDatabase, PostgresReader, ReadError};
use crate::store::sqlite::read::SqliteReader;
use crate::store::{self, Database, Search, StoreError};

/// What the request asks for.
struct Parameters {
    query: String,
    since: Option<String>,
    until: Option<String>,
    limit: u64,
    descending: bool,
    cursor: Option<RecordId>,
}

const LIMIT_DEFAULT: u64 = 100;

type Refusal = Box<Response<Body>>;

impl Parameters {
    fn parse(query: &str) -> Result<Parameters, Refusal> {
        let mut parameters = Parameters {
            query: String::new(),
            since: None,
            until: None,
            limit: LIMIT_DEFAULT,
            descending: true,
            cursor: None,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "q" => parameters.query = value.into_owned(),
                "since" => parameters.since = Some(value.into_owned()).filter(|value| !value.is_empty()),
                "until" => parameters.until = Some(value.into_owned()).filter(|value| !value.is_empty()),
                "limit" => parameters.limit = number("limit", &value)?,
                "cursor" if value.is_empty() => {}
                "cursor" => parameters.cursor = Some(number("cursor", &value)?),
                "order" => parameters.descending = parse_order(&value)?,
                _ => {
                    return Err(bad(
                        &format!("there is no parameter `{name}`"),
                        "q, since, until, limit, order and cursor are known",
                    ));
                }
            }
        }
        Ok(parameters)
    }

    /// What is to be searched for, of the records that are there now.
    fn search(&self) -> Result<Search, Refusal> {
        let now = time::now();
        let query = Query::parse(&self.query, now).map_err(|error| {
            bad(&format!("{}\n{}", error.problem, error.render(&self.query)), &error.problem.hint())
        })?;
        let moment = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => query::time::parse(text, now)
                .map(Some)
                .map_err(|error| bad(&error.to_string(), query::time::FORMS)),
        };
        let until = moment(&self.until)?.map(|until| until.saturating_sub(1)); // days and hours follow each other
        let (lower, upper) = query.time_bounds();
        let (first, last) = query.id_bounds();
        let mut ids = first.unwrap_or(0)..last.map_or(i64::MAX as u64, |last| last.saturating_add(1));
        match self.cursor {
            Some(cursor) if self.descending => ids.end = ids.end.min(cursor),
            Some(cursor) => ids.start = ids.start.max(cursor.saturating_add(1)),
            None => {}
        }
        Ok(Search {
            ids,
            time_min: moment(&self.since)?.unwrap_or(i64::MIN).max(lower.unwrap_or(i64::MIN)),
            time_max: until.unwrap_or(i64::MAX).min(upper.unwrap_or(i64::MAX)),
            descending: self.descending,
            query,
        })
    }
}

fn parse_order(order: &str) -> Result<bool, Refusal> {
    match order {
        "desc" | "" => Ok(true),
        "asc" => Ok(false),
        other => Err(bad(&format!("the order `{other}` is not known"), "`asc` and `desc` are")),
    }
}

fn number(name: &str, value: &str) -> Result<u64, Refusal> {
    value.parse().map_err(|_| bad(&format!("the parameter `{name}` is `{value}`"), "it takes a whole number"))
}

fn bad(detail: &str, hint: &str) -> Refusal {
    Box::new(problem(StatusCode::BAD_REQUEST, "the request is not understood", detail, Some(hint)))
}

fn busy() -> Refusal {
    let mut answer = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many answers are open",
        &format!("{ANSWERS_MAX} answers to queries are being read"),
        Some("try again, and read answers to their end"),
    );
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    Box::new(answer)
}

impl View {
    /// Answers with the records that match.
    pub async fn records(&self, request: &Request<Incoming>, hang_up: &HangUp) -> Response<Body> {
        self.try_records(request, hang_up).await.unwrap_or_else(|refusal| *refusal)
    }

    async fn try_records(
        &self,
        request: &Request<Incoming>,
        hang_up: &HangUp,
    ) -> Result<Response<Body>, Refusal> {
        let parameters = Parameters::parse(request.uri().query().unwrap_or_default())?;
        let accept =
            request.headers().get(ACCEPT).map(hyper::header::HeaderValue::as_bytes).unwrap_or_default();
        let streams = memchr::memmem::find(accept, b"ndjson").is_some();
        let permit = Arc::clone(&self.queries.answers).try_acquire_owned().map_err(|_| busy())?;
        let open = Open { hang_up: hang_up.clone(), _permit: permit };
        let scan = Scan {
            threads: self.threads,
            queries: Arc::clone(&self.queries.running),
            database: self.database()?,
            search: parameters.search()?,
            limit: if streams { parameters.limit } else { parameters.limit.min(QUERY_PAGE_RECORDS_MAX) },
            rows: QUERY_SLICE_ROWS_MIN,
            deadline: Instant::now() + self.query_duration_max,
            reader: None,
            page: (!streams).then(Page::default),
        };
        scan.answer(open).await
    }
}

/// A search on its way.
struct Scan {
    threads: Threads,
    queries: Arc<Semaphore>,
    database: Database,
    search: Search,
    /// Records that are still wanted.
    limit: u64,
    /// Rows that the next slice looks at.
    rows: u64,
    deadline: Instant,
    reader: Option<Reader>,
    /// Unless the answer is a stream of lines.
    page: Option<Page>,
}

enum Reader {
    Sqlite(SqliteReader),
    Postgres(Box<PostgresReader>),
}

/// How much of an answer that is one document was sent.
#[derive(Default)]
struct Page {
    bytes: usize,
    last_id: Option<RecordId>,
}

/// What an open answer holds.
struct Open {
    hang_up: HangUp,
    _permit: OwnedSemaphorePermit,
}

/// What one slice found.
#[derive(Default)]
struct Slice {
    /// Records as JSON, each followed by a newline.
    lines: Vec<u8>,
    matches: u64,
    last_id: RecordId,
}

impl Slice {
    /// Takes a match, and says whether there is room for another.
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>, limit: u64) -> bool {
        json::write(id, record, &mut self.lines);
        self.lines.push(b'\n');
        self.matches += 1;
        self.last_id = id;
        self.matches < limit && self.lines.len() < QUERY_SLICE_BYTES
    }
}

impl Scan {
    fn is_done(&self) -> bool {
        self.limit == 0 || self.search.ids.is_empty()
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    async fn next(mut self) -> Result<(Scan, Slice), Refusal> {
        let permit = Arc::clone(&self.queries).acquire_owned().await;
        let threads = self.threads;
        let result = match self.database.clone() {
            Database::Sqlite(path) => {
                let work = move || {
                    let _permit = permit;
                    self.slice_of_sqlite(&path).map(|slice| (self, slice))
                };
                threads
                    .call(work)
                    .await
                    .unwrap_or_else(|| Err(StoreError::new("the query's thread has ended")))
            }
            Database::Postgres(database) => {
                self.slice_of_postgres(&database).await.map(|slice| (self, slice))
            }
        };
        result.map_err(|error| Box::new(super::store_problem(&error)))
    }

    /// Blocks for one slice.
    fn slice_of_sqlite(&mut self, path: &Path) -> Result<Slice, StoreError> {
        let failed = |error: rusqlite::Error| store::sqlite::describe(path, &error);
        let reader = match self.reader.take() {
            Some(Reader::Sqlite(reader)) => reader,
            _ => SqliteReader::open(path).map_err(failed)?,
        };
        let mut slice = Slice::default();
        let rest = reader.slice(&self.search, self.rows, |id, record| slice.take(id, record, self.limit));
        let rest = rest.map_err(failed)?;
        reader.release_memory().map_err(failed)?;
        self.reader = Some(Reader::Sqlite(reader));
        let rows_max = if self.threads == Threads::One { self.rows } else { QUERY_SLICE_ROWS_MAX };
        self.advance(rest, &slice, rows_max);
        Ok(slice)
    }

    async fn slice_of_postgres(&mut self, database: &PostgresDatabase) -> Result<Slice, StoreError> {
        let mut reader = match self.reader.take() {
            Some(Reader::Postgres(reader)) => reader,
            _ => {
                let mut reader = database.reader().await?;
                self.search.ids.end = self.search.ids.end.min(reader.position().await?);
                Box::new(reader)
            }
        };
        let mut slice = Slice::default();
        let time_left = self.deadline.saturating_duration_since(Instant::now());
        let emit = |id, record: &RecordRef<'_>| slice.take(id, record, self.limit);
        match reader.slice(&self.search, self.rows, time_left, emit).await {
            // The server looks only where its indexes lead it, however many ids there are.
            Ok(rest) => self.advance(rest, &slice, u64::MAX),
            Err(ReadError::Late) => self.deadline = Instant::now(),
            Err(ReadError::Store(error)) => return Err(error),
        }
        self.reader = Some(Reader::Postgres(reader));
        Ok(slice)
    }

    /// Goes on with `rest`, faster where nothing is found.
    fn advance(&mut self, rest: Range<RecordId>, slice: &Slice, rows_max: u64) {
        self.search.ids = rest;
        self.limit -= slice.matches;
        if slice.matches == 0 {
            self.rows = self.rows.saturating_mul(2).min(rows_max);
        }
    }

    /// The answer, slice by slice. What fails before the first of them is answered as a problem.
    async fn answer(mut self, open: Open) -> Result<Response<Body>, Refusal> {
        let (mut sender, body) = Channel::new(1);
        let mut start = Vec::new();
        let mut content_type = "application/x-ndjson";
        if self.page.is_some() {
            content_type = "application/json";
            start.extend_from_slice(b"{\"records\":[");
        }
        if !self.is_done() {
            let (scan, slice) = self.next().await?;
            self = scan;
            start.extend(self.chunk(slice));
        }
        if !start.is_empty() {
            let _ = sender.send_data(Bytes::from(start)).await; // the channel has room for one
        }
        tokio::spawn(self.send(sender, open));
        let answer = Response::builder().header(CONTENT_TYPE, content_type).body(Either::Right(body));
        Ok(answer.unwrap_or_else(|_| Response::new(Either::Left(Default::default())))) // only constant headers are set
    }

    /// A slice as it stands in the answer: as lines, or as elements of the page's array.
    fn chunk(&mut self, slice: Slice) -> Vec<u8> {
        let mut lines = slice.lines;
        let Some(page) = &mut self.page else { return lines };
        if slice.matches == 0 {
            return lines;
        }
        lines.pop();
        for byte in lines.iter_mut().filter(|byte| **byte == b'\n') {
            *byte = b',';
        }
        if page.last_id.replace(slice.last_id).is_some() {
            lines.insert(0, b',');
        }
        page.bytes += lines.len();
        lines
    }

    /// Sends the rest of the answer, at the pace of the client, within bounds.
    async fn send(self, mut sender: Sender<Bytes, io::Error>, open: Open) {
        let read_until = self.deadline + Duration::from_secs(ANSWER_READ_SECONDS_MAX);
        match timeout_at(read_until.into(), self.send_rest(&mut sender)).await {
            Ok(true) => {}
            Ok(false) => sender.abort(io::Error::other("the query was not complete")),
            Err(_) => {
                tracing::info!("the answer to a query was not read in time: its connection is closed");
                open.hang_up.now();
            }
        }
    }

    /// Says whether the answer is whole, or the client has gone.
    async fn send_rest(mut self, sender: &mut Sender<Bytes, io::Error>) -> bool {
        while !self.is_done() && self.page.as_ref().is_none_or(|page| page.bytes < PAGE_BYTES_MAX) {
            if self.is_late() {
                if self.page.is_some() {
                    break;
                }
                tracing::info!("a query ran out of time: its answer is broken off");
                return false;
            }
            let Ok((scan, slice)) = self.next().await else { return false };
            self = scan;
            let chunk = self.chunk(slice);
            if !chunk.is_empty() && sender.send_data(Bytes::from(chunk)).await.is_err() {
                return true;
            }
        }
        if let Some(page) = &self.page {
            let _ = sender.send_data(Bytes::from(self.end(page))).await; // the client may have gone
        }
        true
    }

    /// The end of the page's document.
    fn end(&self, page: &Page) -> String {
        let partial = !self.is_done();
        // Where nothing was found in time, the search goes on at the place that it has reached.
        let reached = if self.search.descending {
            self.search.ids.end
        } else {
            self.search.ids.start.saturating_sub(1)
        };
        let last = if partial { reached } else { page.last_id.unwrap_or(reached) };
        let cursor = if self.search.ids.is_empty() { "null".to_owned() } else { format!("\"{last}\"") };
        format!("],\"next_cursor\":{cursor},\"partial\":{partial}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(query: &str) -> (i64, i64) {
        let search = Parameters::parse(query).and_then(|parameters| parameters.search()).unwrap();
        (search.time_min, search.time_max)
    }

    #[test]
    fn days_that_follow_each_other_have_no_moment_in_common() {
        let (_, first_day) = times("until=2026-11-21");
        let (second_day, _) = times("since=2026-11-21");
        assert_eq!((first_day, second_day), (1_795_219_199_999_999_999, 1_795_219_200 * time::SECOND));
        assert_eq!(times(""), (i64::MIN, i64::MAX));
    }
}
