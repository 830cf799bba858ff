//! Reads back what was stored: the query language, and the HTTP API that answers in it.

pub mod query;
mod records;
mod sql;
mod status;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::{Response, StatusCode};
use tokio::sync::Semaphore;

use crate::blocking::Threads;
use crate::limits::{ANSWERS_MAX, QUERIES_MAX};
use crate::metrics::{Metrics, Sources};
use crate::server::{Body, problem};
use crate::spool::Spool;
use crate::store::{self, Database, StoreError};

/// What the HTTP API reads from.
pub struct View {
    /// How queries run.
    pub threads: Threads,
    /// The first store that can be queried.
    pub database: Option<Database>,
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
    /// Bounds the queries that run, and the answers that are open, at once.
    pub queries: Queries,
}

/// Bounds of queries.
#[derive(Clone)]
pub struct Queries {
    running: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl View {
    /// Bounds for [`View::queries`].
    pub fn queries() -> Queries {
        Queries {
            running: Arc::new(Semaphore::new(QUERIES_MAX)),
            answers: Arc::new(Semaphore::new(ANSWERS_MAX)),
        }
    }

    fn database(&self) -> Result<Database, Box<Response<Body>>> {
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

fn store_problem(error: &StoreError) -> Response<Body> {
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "the database cannot be read",
        &error.what,
        error.hint.as_deref(),
    )
}
