//! Reads stored records back: the query language, the HTTP API that uses it, and the web page.

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
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use tokio::sync::Semaphore;

use crate::blocking::Threads;
use crate::limits::{ANSWERS_MAX, QUERIES_HEAVY_MAX, QUERIES_MAX, SQL_ANSWERS_KIB_MAX};
use crate::metrics::{Metrics, Sources};
use crate::net::http::{Body, ConnectionAbort, problem};
use crate::spool::Spool;
use crate::store::{self, Database, StoreError};

pub use tail::Tails;

/// What the HTTP API reads from.
pub struct View {
    /// Where the blocking work of queries runs.
    pub threads: Threads,
    /// The first store that can be queried.
    pub database: Option<Database>,
    /// All databases from which records can be deleted; the one in `database` is the first.
    pub databases: Vec<(Arc<store::Progress>, Database)>,
    /// Whether deletion is allowed.
    pub may_delete: bool,
    /// The spool.
    pub spool: Arc<Spool>,
    /// The progress of each store.
    pub stores: Vec<Arc<store::Progress>>,
    /// The counters of each source.
    pub sources: Sources,
    /// All counters.
    pub metrics: Metrics,
    /// The longest time that a query may run.
    pub query_duration_max: Duration,
    /// The most rows that a statement of `sql` returns.
    pub query_rows_max: usize,
    /// When the program started.
    pub started: Instant,
    /// The open tails.
    pub tails: Tails,
    /// Limits the queries that run, and the responses that are open, at the same time.
    pub queries: Queries,
}

/// The parts of a request that a handler needs.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The query string, without `?`.
    pub query: &'a str,
    /// The decoded name in the path.
    pub name: &'a str,
    /// The headers of the request.
    pub headers: &'a HeaderMap,
    /// Closes the connection, and reports that the client has disconnected.
    pub abort: &'a ConnectionAbort,
}

/// An error response.
type Refusal = Box<Response<Body>>;

/// The limits of concurrent queries.
#[derive(Clone)]
pub struct Queries {
    running: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    /// Queries that use much memory.
    heavy: Arc<Semaphore>,
    /// In KiB: responses of `sql`, which are produced as a whole.
    sql_answers: Arc<Semaphore>,
    /// True while SQLite's write-ahead log is too large: statements of `sql` are stopped.
    is_log_too_large: Arc<AtomicBool>,
}

impl View {
    /// Returns the initial value of [`View::queries`].
    pub fn queries() -> Queries {
        Queries {
            running: Arc::new(Semaphore::new(QUERIES_MAX)),
            answers: Arc::new(Semaphore::new(ANSWERS_MAX)),
            heavy: Arc::new(Semaphore::new(QUERIES_HEAVY_MAX)),
            sql_answers: Arc::new(Semaphore::new(SQL_ANSWERS_KIB_MAX)),
            is_log_too_large: Arc::default(),
        }
    }

    fn database(&self) -> Result<Database, Refusal> {
        self.database.clone().ok_or_else(|| {
            Box::new(problem(
                StatusCode::NOT_IMPLEMENTED,
                "no queryable store is configured",
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
    Box::new(problem(StatusCode::BAD_REQUEST, "invalid request", detail, Some(hint)))
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
