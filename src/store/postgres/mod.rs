//! A PostgreSQL database as the store: rows by COPY, several programs into one database, exactly once.
//!
//! # How it is exactly once
//!
//! Each data folder is a *node* with a row in `logs_node`: the position, moved in the transaction that brings the rows. Its epoch is
//! the number of the claim of the process that ships (`store::claim`); a transaction is committed only if epoch and position are
//! still those that this process left there; see `write.rs`. A COMMIT whose answer never came is no question: the next
//! connection asks for the position, and what the old one had under way is void once that has moved.
//!
//! Of two processes under one name (a data folder that was copied) the first one that claims it goes on, and the other one stops with an
//! error. Under another name it goes on from where its own records ended, which `logs_claim` knows.
//!
//! # What is durable
//!
//! Transactions of rows do not wait for the server's disk (`synchronous_commit = off`). [`Store::sync`] is a transaction that does:
//! the server's log is one line, so whatever was committed before is durable with it, on the standbys too that the server's owner
//! wants to wait for. Should the server lose what was not synced, the position it tells is an earlier one, and the spool still has
//! the records.
//!
//! # Times
//!
//! `timestamptz` counts microseconds. What is left of a record's nanoseconds stands in `time_ns`, which is NULL for most.

mod channel;
pub mod condition;
pub mod count;
mod days;
mod delete;
mod endpoint;
mod fault;
mod node;
mod passfile;
pub mod read;
mod retention;
mod rows;
mod schema;
mod service;
mod services;
mod session;
mod socket;
pub mod statement;
mod tls;
mod url;
mod write;

#[cfg(test)]
#[allow(dead_code, unreachable_pub, reason = "the integration tests use it too, and more of it")]
pub(crate) mod server;
#[cfg(test)]
mod tests;

pub use schema::SCHEMA;
pub use url::PostgresUrl;

use self::days::Days;
use self::endpoint::Endpoint;
use self::fault::Fault;
use self::read::PostgresDatabase;
use self::rows::Rows;
use self::services::Rule;
use self::session::Session;
use self::write::Writer;
use super::claim::{Claimant, Kind};
use super::clock::Clock;
use super::{Doomed, Retention, ServiceRetention, Store, StoreError, Written};
use crate::record::RecordId;
use crate::spool::Chunk;

/// Ships into a PostgreSQL database.
pub struct PostgresStore {
    /// What it writes to.
    database: PostgresDatabase,
    retention: Retention,
    clock: Clock,
    services: Vec<Rule>,
    rows: Rows,
    claimant: Claimant,
    writer: Option<Writer>,
    /// What was said last of housekeeping that the server refuses.
    told: Option<String>,
}

impl PostgresStore {
    /// Opens nothing yet: [`Store::position`] does. The environment is libpq's; the error is a sentence.
    pub fn new(
        url: &PostgresUrl,
        environment: impl Fn(&str) -> Option<String>,
        node: &str,
        retention: Retention,
    ) -> Result<PostgresStore, String> {
        let endpoint = Endpoint::new(url, environment)?;
        Ok(PostgresStore {
            database: PostgresDatabase::new(endpoint, node),
            retention,
            clock: Clock::new(),
            services: Vec::new(),
            rows: Rows::new(node),
            claimant: Claimant::detached(node).of_kind(Kind::Postgres),
            writer: None,
            told: None,
        })
    }

    /// Ships for a data folder, and only as a node that is this folder's. The claimant names the node, too.
    #[must_use]
    pub fn with_claimant(self, claimant: Claimant) -> PostgresStore {
        PostgresStore { claimant: claimant.of_kind(Kind::Postgres), ..self }
    }

    /// Keeps the records of these services for a shorter time.
    #[must_use]
    pub fn with_services(mut self, services: &[ServiceRetention]) -> PostgresStore {
        self.services = services.iter().map(Rule::new).collect();
        self
    }

    /// For reading what it has written.
    pub fn database(&self) -> PostgresDatabase {
        self.database.clone()
    }

    /// Closes the connection: a socket belongs to the runtime that opened it.
    pub fn disconnect(&mut self) {
        self.writer = None;
    }

    async fn connect(&mut self) -> Result<&mut Writer, Fault> {
        if self.writer.is_none() {
            let mut session = Session::open(&self.database.endpoint).await?;
            schema::ensure(&mut session).await?;
            let mut days = Days::default();
            days.load(&mut session).await?;
            let Session { client, line } = &mut session;
            let claimed = node::claim(client, line, &mut self.claimant).await?;
            self.writer = Some(Writer::new(session, days, claimed).await?);
        }
        self.writer.as_mut().ok_or(Fault::Unreachable("it is not connected".into()))
    }

    /// After a failure the connection is begun anew, so that nothing half-done stays behind.
    fn conclude<T>(&mut self, result: Result<T, Fault>) -> Result<T, StoreError> {
        result.map_err(|fault| {
            self.writer = None;
            fault.explain(&self.database.endpoint, "take records")
        })
    }

    async fn try_write(&mut self, chunk: &Chunk) -> Result<Written, Fault> {
        self.connect().await?;
        let PostgresStore { writer: Some(writer), rows, .. } = self else {
            return Err(Fault::Unreachable("it is not connected".into()));
        };
        writer.write(rows, chunk).await
    }
}

impl Store for PostgresStore {
    async fn position(&mut self) -> Result<RecordId, StoreError> {
        let result = self.connect().await.map(|writer| writer.claimed.position);
        self.conclude(result)
    }

    async fn write(&mut self, chunk: &Chunk) -> Result<Written, StoreError> {
        let result = self.try_write(chunk).await;
        self.conclude(result)
    }

    async fn sync(&mut self) -> Result<RecordId, StoreError> {
        let result = match self.connect().await {
            Ok(writer) => writer.sync().await,
            Err(fault) => Err(fault),
        };
        self.conclude(result)
    }

    async fn maintain(&mut self) -> Result<bool, StoreError> {
        let result = self.try_maintain().await;
        self.conclude(result)
    }

    async fn delete(&mut self, doomed: &Doomed) -> Result<u64, StoreError> {
        let result = self.try_delete(doomed).await;
        self.conclude(result)
    }

    async fn scrub(&mut self) -> Result<u64, StoreError> {
        self.sync().await.map(|_| 1)
    }
}
