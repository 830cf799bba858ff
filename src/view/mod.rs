//! Reads stored records back: the query language, the HTTP API that uses it, and the web page.

mod endpoints;
pub mod page;
mod search;
mod tail;

pub use endpoints::openapi::openapi;
pub use tail::Tails;

use std::sync::Arc;
use std::time::Instant;

use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use tokio::sync::Semaphore;

use crate::limits::{ANSWERS_MAX, EXPORTS_MAX, QUERIES_HEAVY_MAX, SQL_ANSWERS_KIB_MAX};
use crate::metrics::{Metrics, Sources};
use crate::net::http::{Body, ConnectionAbort, problem, retry_later};
use crate::spool::Spool;
use crate::store::{self, Database, ReadGate, Scan, Search, StoreError};

/// What the HTTP API reads from.
pub struct View {
    /// Limits how much is read at the same time, and for how long.
    pub gate: ReadGate,
    /// All databases from which records can be deleted. The first is the one that is queried.
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
    /// The most rows that a statement of `sql` returns.
    pub query_rows_max: usize,
    /// When the program started.
    pub started: Instant,
    /// The open tails.
    pub tails: Tails,
    /// Limits the responses that are open at the same time.
    pub queries: ResponseLimits,
}

/// The parts of a request that a handler needs.
#[derive(Clone, Copy)]
pub struct ApiRequest<'a> {
    /// The query string, without `?`.
    pub query: &'a str,
    /// The decoded name in the path.
    pub name: &'a str,
    /// The headers of the request.
    pub headers: &'a HeaderMap,
    /// Closes the connection, and reports that the client has disconnected.
    pub abort: &'a ConnectionAbort,
}

/// The response of a handler, or its error response.
pub type ApiResult = Result<Response<Body>, Refusal>;

/// An error response.
#[derive(Debug)]
pub struct Refusal(Box<Response<Body>>);

impl Refusal {
    /// Returns the response.
    pub fn into_response(self) -> Response<Body> {
        *self.0
    }
}

impl From<Response<Body>> for Refusal {
    fn from(response: Response<Body>) -> Refusal {
        Refusal(Box::new(response))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "the database cannot be read",
            &error.what,
            error.hint.as_deref(),
        )
        .into()
    }
}

/// The limits of open responses, beside those of [`ReadGate`].
#[derive(Clone)]
pub struct ResponseLimits {
    answers: Arc<Semaphore>,
    /// Those of the answers that are streams of records.
    exports: Arc<Semaphore>,
    /// Queries that use much memory.
    heavy: Arc<Semaphore>,
    /// In KiB: responses of `sql`, which are produced as a whole.
    sql_answers: Arc<Semaphore>,
}

impl View {
    /// Returns the initial value of [`View::queries`].
    pub fn queries() -> ResponseLimits {
        ResponseLimits {
            answers: Arc::new(Semaphore::new(ANSWERS_MAX)),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            heavy: Arc::new(Semaphore::new(QUERIES_HEAVY_MAX)),
            sql_answers: Arc::new(Semaphore::new(SQL_ANSWERS_KIB_MAX)),
        }
    }

    fn database(&self) -> Result<&Database, Refusal> {
        self.databases.first().map(|(_, database)| database).ok_or_else(|| {
            refuse(
                StatusCode::NOT_IMPLEMENTED,
                "no queryable store is configured",
                "no store of this server can be queried",
                "configure a database as a store: `sqlite`, or `postgres://...`",
            )
        })
    }

    /// Starts a search with the full time of a query.
    fn scan(&self, search: Search) -> Result<Scan, Refusal> {
        Ok(Scan::new(&self.gate, self.database()?, search))
    }
}

fn refuse(status: StatusCode, title: &str, detail: &str, hint: &str) -> Refusal {
    problem(status, title, detail, Some(hint)).into()
}

fn bad(detail: &str, hint: &str) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, "invalid request", detail, hint)
}

fn busy(what: &str, open_max: usize) -> Refusal {
    let (title, detail) = (format!("too many {what} are open"), format!("{open_max} {what} are open"));
    retry_later(&title, &detail, "try again later, and read answers to their end", 1).into()
}
