//! A PostgreSQL database as the store: rows by COPY, several programs into one database, exactly
//! once.
//!
//! # Exactly-once delivery
//!
//! Each data folder is a *node* with a row in `logs_node`. The row holds the position, which is
//! moved in the transaction that writes the rows. The node's epoch is the number of the claim of
//! the process that ships (`store::claim`). A transaction is committed only if epoch and position
//! are still the values that this process left there; see `insert.rs`. A COMMIT whose response
//! never arrived leaves no ambiguity: the next connection reads the position, and a transaction
//! still in flight on the old connection is void once the position has moved.
//!
//! If two processes use the same node name (a data folder that was copied), the first one to claim
//! the node continues, and the other one stops with an error. Under another node name, the stopped
//! process continues from where its own records ended, which is stored in `logs_claim`.
//!
//! # Durability
//!
//! Transactions that write rows do not wait for the server's disk (`synchronous_commit = off`).
//! [`Store::sync`] is a transaction that does wait. The server's write-ahead log is sequential, so
//! everything committed earlier becomes durable with it, including on the standbys that the
//! server's owner wants to wait for. If the server loses transactions that were not synced, it
//! reports an earlier position, and the spool still has the records.
//!
//! # Times
//!
//! `timestamptz` counts microseconds. The remaining nanoseconds of a record are stored in
//! `time_ns`, which is NULL for most records.

pub mod condition;
mod connect;
mod copy;
mod delete;
pub mod histogram;
mod insert;
mod owner;
mod partitions;
pub mod reader;
mod retention;
mod schema;
pub mod search;
mod services;
mod statement;

#[cfg(test)]
mod tests;

pub use connect::PostgresUrl;
pub use schema::SCHEMA;
pub use search::PostgresDatabase;

use self::connect::{Endpoint, Fault, Session};
use self::copy::CopyRows;
use self::insert::NodeWriter;
use self::partitions::Days;
use self::services::ServiceDays;
use super::claim::{Claimant, StoreKind};
use super::clock::AgeLimit;
use super::{RecordsToDelete, Retention, ServiceRetention, Store, StoreError, WriteOutcome};
use crate::record::RecordId;
use crate::spool::Chunk;

/// Ships into a PostgreSQL database.
pub struct PostgresStore {
    /// Endpoint and node that the store writes to.
    database: PostgresDatabase,
    age_limit: Option<AgeLimit>,
    bytes_max: Option<u64>,
    services: Vec<ServiceDays>,
    rows: CopyRows,
    claimant: Claimant,
    writer: Option<NodeWriter>,
    /// Reason of the last warning about refused housekeeping. The same reason is not logged twice
    /// in a row.
    told: Option<String>,
}

impl PostgresStore {
    /// Returns a store that is not connected yet; [`Store::position`] connects. `environment`
    /// returns the value of a libpq environment variable. The error is a complete sentence.
    pub fn new(
        url: &PostgresUrl,
        environment: impl Fn(&str) -> Option<String>,
        node: &str,
        retention: Retention,
    ) -> Result<PostgresStore, String> {
        let endpoint = Endpoint::new(url, environment)?;
        Ok(PostgresStore {
            database: PostgresDatabase::new(endpoint, node),
            age_limit: retention.age.map(AgeLimit::new),
            bytes_max: retention.bytes,
            services: Vec::new(),
            rows: CopyRows::new(node),
            claimant: Claimant::detached(node).of_kind(StoreKind::Postgres),
            writer: None,
            told: None,
        })
    }

    /// Ships for a data folder, and only as a node that belongs to this folder. The claimant also
    /// contains the node name.
    #[must_use]
    pub fn with_claimant(self, claimant: Claimant) -> PostgresStore {
        PostgresStore { claimant: claimant.of_kind(StoreKind::Postgres), ..self }
    }

    /// Keeps the records of these services for a shorter time.
    #[must_use]
    pub fn with_services(mut self, services: &[ServiceRetention]) -> PostgresStore {
        self.services = services.iter().map(ServiceDays::new).collect();
        self
    }

    /// Returns the database, for reading the stored records.
    pub fn database(&self) -> PostgresDatabase {
        self.database.clone()
    }

    /// Closes the connection, because a socket belongs to the runtime that opened it.
    pub fn disconnect(&mut self) {
        self.writer = None;
    }

    async fn connect(&mut self) -> Result<&mut NodeWriter, Fault> {
        connected(&mut self.writer, &self.database, &mut self.claimant).await
    }

    /// Drops the connection after a failure, so that no partial state remains. The next call
    /// reconnects.
    fn conclude<T>(&mut self, result: Result<T, Fault>) -> Result<T, StoreError> {
        result.map_err(|fault| {
            self.writer = None;
            fault.explain(&self.database.endpoint, "accept records")
        })
    }

    async fn try_write(&mut self, chunk: &Chunk) -> Result<WriteOutcome, Fault> {
        let writer = connected(&mut self.writer, &self.database, &mut self.claimant).await?;
        writer.write(&mut self.rows, chunk).await
    }
}

/// Returns the writer, which is connected first if there is none.
async fn connected<'a>(
    writer: &'a mut Option<NodeWriter>,
    database: &PostgresDatabase,
    claimant: &mut Claimant,
) -> Result<&'a mut NodeWriter, Fault> {
    let connected = match writer.take() {
        Some(writer) => writer,
        None => {
            let mut session = Session::open(&database.endpoint).await?;
            schema::ensure(&mut session).await?;
            let mut days = Days::default();
            days.load(&mut session).await?;
            let claimed = owner::claim(&mut session, claimant).await?;
            NodeWriter::new(session, days, claimed).await?
        }
    };
    Ok(writer.insert(connected))
}

impl Store for PostgresStore {
    async fn position(&mut self) -> Result<RecordId, StoreError> {
        let result = self.connect().await.map(|writer| writer.claimed.position);
        self.conclude(result)
    }

    async fn write(&mut self, chunk: &Chunk) -> Result<WriteOutcome, StoreError> {
        let result = self.try_write(chunk).await;
        self.conclude(result)
    }

    async fn sync(&mut self) -> Result<RecordId, StoreError> {
        let result = async { self.connect().await?.sync().await }.await;
        self.conclude(result)
    }

    async fn maintain(&mut self) -> Result<bool, StoreError> {
        let result = self.try_maintain().await;
        self.conclude(result)
    }

    async fn delete(&mut self, to_delete: &RecordsToDelete) -> Result<u64, StoreError> {
        let result = self.try_delete(to_delete).await;
        self.conclude(result)
    }

    async fn scrub(&mut self) -> Result<u64, StoreError> {
        self.sync().await.map(|_| 1)
    }
}
