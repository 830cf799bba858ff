//! `POST /api/v1/sql`: one statement that reads, with `{"sql": "select ..", "limit": 100}` as its body.
//!
//! The answer is `{"columns":[..],"rows":[[..]..],"truncated":false}`. The statement is one of the database's own dialect, runs on a
//! connection that can only read, and has its time.

mod postgres;
mod sqlite;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use tokio::time::timeout;

use super::scan::Abandoned;
use super::{Refusal, View};
use crate::blocking::Threads;
use crate::limits::{PAGE_BYTES_MAX, SQL_INLINE_MILLISECONDS_MAX};
use crate::record::json;
use crate::server::{self, Body, problem};
use crate::store::Database;

/// The body of a request.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Statements {
    sql: String,
    limit: Option<usize>,
}

impl View {
    /// Answers with the rows of a statement, which the body of the request has.
    pub async fn sql(&self, body: &[u8]) -> Response<Body> {
        self.try_sql(body).await.unwrap_or_else(|refusal| *refusal)
    }

    async fn try_sql(&self, body: &[u8]) -> Result<Response<Body>, Refusal> {
        let database = self.database()?;
        let Statements { sql, limit } = serde_json::from_slice(body).map_err(|error| {
            bad(&error.to_string(), "the body is JSON: {\"sql\": \"select ..\", \"limit\": 100}")
        })?;
        let rows_max = limit.unwrap_or(usize::MAX).min(self.query_rows_max);
        let turn = Arc::clone(&self.queries.running).acquire_owned();
        let permit = timeout(self.query_duration_max, turn).await.map_err(|_| others_run())?;
        let answer = match database {
            Database::Postgres(database) => {
                postgres::run(&database, &sql, rows_max, self.query_duration_max).await?
            }
            Database::Sqlite(path) => {
                let threads = self.threads;
                let duration_max = match threads {
                    Threads::One => {
                        self.query_duration_max.min(Duration::from_millis(SQL_INLINE_MILLISECONDS_MAX))
                    }
                    Threads::Many(_) => self.query_duration_max,
                };
                // Dropped when the client goes away: then the statement stops too.
                let abandoned = Abandoned::default();
                let is_abandoned = Arc::clone(&abandoned.0);
                let answer = threads.call(move || {
                    let _permit = permit;
                    sqlite::run(&path, &sql, rows_max, duration_max, is_abandoned)
                });
                answer.await.ok_or_else(|| Box::new(thread_has_ended()))??
            }
        };
        Ok(server::json(StatusCode::OK, answer))
    }
}

fn bad(detail: &str, hint: &str) -> Refusal {
    Box::new(problem(StatusCode::BAD_REQUEST, "the statement is not understood", detail, Some(hint)))
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
    not_begun("other queries ran for as long as it may take")
}

fn thread_is_missing() -> Refusal {
    not_begun("no thread can be started that would end it in time")
}

fn not_begun(detail: &str) -> Refusal {
    let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, "the statement was not begun", detail, None);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    Box::new(answer)
}

fn thread_has_ended() -> Response<Body> {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "the statement failed", "its thread has ended", None)
}

/// An answer being written, within its bounds.
struct Answer {
    out: Vec<u8>,
    rows: usize,
    rows_max: usize,
    is_truncated: bool,
}

impl Answer {
    fn new<'a>(columns: impl IntoIterator<Item = &'a str>, rows_max: usize) -> Answer {
        let mut out = b"{\"columns\":[".to_vec();
        for (index, name) in columns.into_iter().enumerate() {
            separate(&mut out, index);
            json::string(&mut out, name);
        }
        out.extend_from_slice(b"],\"rows\":[");
        Answer { out, rows: 0, rows_max, is_truncated: false }
    }

    /// Adds a row of values that `write` appends as JSON. Gives `false`, and the row is not there, once the answer is too large.
    fn row(&mut self, columns: usize, mut write: impl FnMut(usize, &mut Vec<u8>)) -> bool {
        let length = self.out.len();
        self.is_truncated = self.rows >= self.rows_max;
        separate(&mut self.out, self.rows);
        self.out.push(b'[');
        for column in 0..columns {
            self.is_truncated |= self.out.len() >= PAGE_BYTES_MAX;
            if !self.is_truncated {
                separate(&mut self.out, column);
                write(column, &mut self.out);
            }
        }
        self.out.push(b']');
        self.rows += 1;
        if self.is_truncated {
            self.out.truncate(length);
        }
        !self.is_truncated
    }

    fn finish(mut self) -> Vec<u8> {
        let _ = write!(self.out, "],\"truncated\":{}}}", self.is_truncated); // a Vec takes any text
        self.out
    }
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}
