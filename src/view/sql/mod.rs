//! `POST /api/v1/sql`: one statement that reads, with the body
//! `{"sql": "select ..", "limit": 100}`.
//!
//! The response is `{"columns":[..],"rows":[[..]..],"truncated":false}`. The statement is in the
//! dialect of the database, runs on a connection that can only read, and has limits on its time,
//! its memory and its temporary files. The response is produced as a whole, because a statement
//! cannot be paused for a client that reads slowly. The memory of all such responses together is
//! limited, too.

mod postgres;
mod sqlite;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::answer::Piece;
use super::scan::Abandoned;
use super::{Refusal, View};
use crate::blocking::Threads;
use crate::limits::{ANSWER_PIECE_BYTES, PAGE_BYTES_MAX, SQL_INLINE_MILLISECONDS_MAX};
use crate::net::http::{Body, ConnectionAbort, problem};
use crate::record::json;
use crate::store::Database;

/// The body of a request.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Statements {
    sql: String,
    limit: Option<usize>,
}

impl View {
    /// Responds with the rows of the statement in the body of the request.
    pub async fn sql(&self, body: &[u8], abort: &ConnectionAbort) -> Response<Body> {
        self.try_sql(body, abort).await.unwrap_or_else(|refusal| *refusal)
    }

    async fn try_sql(&self, body: &[u8], abort: &ConnectionAbort) -> Result<Response<Body>, Refusal> {
        let database = self.database()?;
        let Statements { sql, limit } = serde_json::from_slice(body).map_err(|error| {
            bad(&error.to_string(), "the body is JSON: {\"sql\": \"select ..\", \"limit\": 100}")
        })?;
        let open = self.open(abort)?;
        let rows_max = limit.unwrap_or(usize::MAX).min(self.query_rows_max);
        let deadline = Instant::now() + self.query_duration_max;
        let turn = async {
            let heavy = Arc::clone(&self.queries.heavy).acquire_owned().await.ok()?;
            Some((heavy, Arc::clone(&self.queries.running).acquire_owned().await.ok()?))
        };
        let turn = timeout_at(deadline.into(), turn).await.ok().flatten().ok_or_else(others_run)?;
        let answer = Answer::new(rows_max, &self.queries.sql_answers);
        let answer = match database {
            Database::Postgres(database) => {
                let _turn = turn;
                postgres::run(&database, &sql, answer, self.query_duration_max).await?
            }
            Database::Sqlite(path) => {
                let threads = self.threads;
                let duration_max = match threads {
                    Threads::One => {
                        self.query_duration_max.min(Duration::from_millis(SQL_INLINE_MILLISECONDS_MAX))
                    }
                    Threads::Many(_) => self.query_duration_max,
                };
                // Dropped when the client disconnects, which also stops the statement.
                let abandoned = Abandoned::default();
                let stop = sqlite::Stop {
                    is_abandoned: Arc::clone(&abandoned.0),
                    is_log_too_large: Arc::clone(&self.queries.is_log_too_large),
                };
                let answer = threads.call(move || {
                    let _turn = turn;
                    sqlite::run(&path, &sql, answer, threads, duration_max, &stop)
                });
                answer.await.ok_or_else(|| Box::new(thread_has_ended()))??
            }
        };
        // The client may take as long to read the response as if the statement had used all its
        // time.
        Ok(open.respond(answer.finish()?, Instant::now() + self.query_duration_max))
    }
}

fn bad(detail: &str, hint: &str) -> Refusal {
    Box::new(problem(StatusCode::BAD_REQUEST, "invalid statement", detail, Some(hint)))
}

fn stopped(duration_max: Duration) -> Refusal {
    Box::new(problem(
        StatusCode::REQUEST_TIMEOUT,
        "the statement was stopped",
        &format!("it ran for longer than {} ms", duration_max.as_millis()),
        Some("narrow it (ids and times are the fastest to narrow), or raise query_seconds_max"),
    ))
}

fn others_run() -> Refusal {
    not_begun_or_ended("the statement was not started", "other queries ran for as long as it may take")
}

fn not_begun_or_ended(title: &str, detail: &str) -> Refusal {
    let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, title, detail, Some("try again"));
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    Box::new(answer)
}

fn thread_has_ended() -> Response<Body> {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "the statement failed", "its thread has ended", None)
}

/// A response that is being written, within its limits.
struct Answer {
    pieces: Vec<Piece>,
    bytes: usize,
    /// The current piece, which is the last.
    out: Vec<u8>,
    share: Option<OwnedSemaphorePermit>,
    /// The source of the memory permits.
    memory: Arc<Semaphore>,
    /// There was not enough memory for the whole response.
    is_crowded: bool,
    rows: usize,
    rows_max: usize,
    is_truncated: bool,
}

impl Answer {
    fn new(rows_max: usize, memory: &Arc<Semaphore>) -> Answer {
        Answer {
            pieces: Vec::new(),
            bytes: 0,
            out: Vec::new(),
            share: None,
            memory: Arc::clone(memory),
            is_crowded: false,
            rows: 0,
            rows_max,
            is_truncated: false,
        }
    }

    /// Starts the response with the names of the columns.
    fn begin<'a>(&mut self, columns: impl IntoIterator<Item = &'a str>) {
        self.out.extend_from_slice(b"{\"columns\":[");
        for (index, name) in columns.into_iter().enumerate() {
            separate(&mut self.out, index);
            json::string(&mut self.out, name);
        }
        self.out.extend_from_slice(b"],\"rows\":[");
    }

    /// Adds a row of values. `write` appends a value as JSON, and returns false for a value that
    /// has more bytes than its last argument. Returns false, without adding the row, once the
    /// response is too large.
    fn row(&mut self, columns: usize, mut write: impl FnMut(usize, &mut Vec<u8>, usize) -> bool) -> bool {
        let length = self.out.len();
        self.is_truncated = self.rows >= self.rows_max;
        separate(&mut self.out, self.rows);
        self.out.push(b'[');
        for column in 0..columns {
            let left = PAGE_BYTES_MAX.saturating_sub(self.bytes + self.out.len());
            self.is_truncated |= left == 0;
            if self.is_truncated || self.is_crowded {
                break;
            }
            separate(&mut self.out, column);
            self.is_truncated |= !write(column, &mut self.out, left);
            self.take_share();
        }
        self.out.push(b']');
        self.rows += 1;
        if self.is_truncated {
            self.out.truncate(length);
        }
        if self.out.len() >= ANSWER_PIECE_BYTES {
            self.end_piece();
        }
        !self.is_truncated && !self.is_crowded
    }

    /// Reserves memory for the last piece, as much as it has grown.
    fn take_share(&mut self) {
        let has = self.share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = (self.out.len() >> 10).saturating_sub(has);
        if missing == 0 {
            return;
        }
        match Arc::clone(&self.memory).try_acquire_many_owned(missing as u32) {
            Ok(more) => match &mut self.share {
                Some(share) => share.merge(more),
                None => self.share = Some(more),
            },
            Err(_) => self.is_crowded = true,
        }
    }

    fn end_piece(&mut self) {
        let mut piece = std::mem::take(&mut self.out);
        piece.shrink_to_fit(); // the piece stays in memory until the client reads it
        self.bytes += piece.len();
        self.pieces.push(Piece { bytes: piece.into(), share: self.share.take() });
    }

    fn finish(mut self) -> Result<Vec<Piece>, Refusal> {
        if self.is_crowded {
            return Err(not_begun_or_ended(
                "the statement was stopped",
                "the answers to other statements, which are being read, take the memory for this one",
            ));
        }
        // Writing to a Vec cannot fail.
        let _ = write!(self.out, "],\"truncated\":{}}}", self.is_truncated);
        self.end_piece();
        Ok(self.pieces)
    }
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

/// Returns the maximum number of bytes of a text as JSON.
fn json_bytes_max(text: &[u8]) -> usize {
    // A control character has six bytes, an invalid byte becomes a character of three, a quote or a
    // backslash has two.
    let more = |byte: &u8| match byte {
        0..0x20 | 0x7f => 5,
        0x80.. => 2,
        b'"' | b'\\' => 1,
        _ => 0,
    };
    text.len() + 2 + text.iter().map(more).sum::<usize>()
}

/// Appends a text as JSON. Returns false, without appending, if it has more bytes than `bytes_max`.
fn write_text(out: &mut Vec<u8>, text: &[u8], bytes_max: usize) -> bool {
    // Most texts are short, and need no inspection of each byte.
    let fits = 6 * text.len() + 2 <= bytes_max || json_bytes_max(text) <= bytes_max;
    if fits {
        json::string(out, &String::from_utf8_lossy(text));
    }
    fits
}
