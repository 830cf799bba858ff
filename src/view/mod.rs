//! Reads back what was stored: the query language, the HTTP API that answers in it, and the web page.

mod answer;
mod context;
mod count;
mod cursor;
mod delete;
mod errors;
mod export;
mod fields;
mod histogram;
mod log_keeper;
mod openapi;
pub mod page;
mod parameters;
mod records;
mod scan;
mod sql;
mod status;
mod tail;
mod timeline;

pub use log_keeper::keep_logs_small;
pub use openapi::openapi;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use tokio::sync::Semaphore;

use crate::blocking::Threads;
use crate::limits::{ANSWERS_MAX, QUERIES_HEAVY_MAX, QUERIES_MAX, SQL_ANSWERS_KIB_MAX};
use crate::metrics::{Metrics, Sources};
use crate::server::{Body, HangUp, problem};
use crate::spool::Spool;
use crate::store::{self, Database, StoreError};

pub use tail::Tails;

/// What the HTTP API reads from.
pub struct View {
    /// How queries run.
    pub threads: Threads,
    /// The first store that can be queried.
    pub database: Option<Database>,
    /// All that can be deleted from, the one above first; and whether that is allowed.
    pub databases: Vec<(Arc<store::Progress>, Database)>,
    /// See above.
    pub may_delete: bool,
    /// The queue.
    pub spool: Arc<Spool>,
    /// How far each store is.
    pub stores: Vec<Arc<store::Progress>>,
    /// What each source has brought.
    pub sources: Sources,
    /// All counters.
    pub metrics: Metrics,
    /// The longest that a query may run.
    pub query_duration_max: Duration,
    /// The most rows that a statement of `sql` gives.
    pub query_rows_max: usize,
    /// When the program started.
    pub started: Instant,
    /// Who follows the records.
    pub tails: Tails,
    /// Bounds the queries that run, and the answers that are open, at once.
    pub queries: Queries,
}

/// What a request asks for.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// What stands behind its `?`.
    pub query: &'a str,
    /// What its path names, decoded.
    pub name: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Tells when its client has gone.
    pub hang_up: &'a HangUp,
}

/// A problem instead of an answer.
type Refusal = Box<Response<Body>>;

/// Bounds of queries.
#[derive(Clone)]
pub struct Queries {
    running: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    /// Those that take much memory.
    heavy: Arc<Semaphore>,
    /// In KiB: answers of `sql`, which are made as a whole.
    sql_answers: Arc<Semaphore>,
}

impl View {
    /// Bounds for [`View::queries`].
    pub fn queries() -> Queries {
        Queries {
            running: Arc::new(Semaphore::new(QUERIES_MAX)),
            answers: Arc::new(Semaphore::new(ANSWERS_MAX)),
            heavy: Arc::new(Semaphore::new(QUERIES_HEAVY_MAX)),
            sql_answers: Arc::new(Semaphore::new(SQL_ANSWERS_KIB_MAX)),
        }
    }

    fn database(&self) -> Result<Database, Refusal> {
        self.database.clone().ok_or_else(|| {
            Box::new(problem(
                StatusCode::NOT_IMPLEMENTED,
                "there is nothing to query",
                "no store of this server can be queried",
                Some("configure a database as a store: `sqlite`, or `postgres://...`"),
            ))
        })
    }
}

fn answered(result: Result<Response<Body>, Refusal>) -> Response<Body> {
    result.unwrap_or_else(|refusal| *refusal)
}

fn bad(detail: &str, hint: &str) -> Refusal {
    Box::new(problem(StatusCode::BAD_REQUEST, "the request is not understood", detail, Some(hint)))
}

fn busy() -> Refusal {
    let mut answer = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many answers are open",
        &format!("{ANSWERS_MAX} answers to queries are being made or read"),
        Some("try again, and read answers to their end"),
    );
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    Box::new(answer)
}

fn store_problem(error: &StoreError) -> Response<Body> {
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "the database cannot be read",
        &error.what,
        error.hint.as_deref(),
    )
}
