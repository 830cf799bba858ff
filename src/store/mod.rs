//! Ships what is durable in the spool into databases and files: one file a store, one shipper for all.

mod claim;
mod clock;
mod errand;
pub mod file;
pub mod postgres;
mod search;
mod shipper;
pub mod sql;
pub mod sqlite;

#[cfg(test)]
mod agreement;
#[cfg(test)]
pub(crate) mod contract;

pub use claim::{Claimant, Claims, DEFAULT_DATABASE, adopt};
pub use errand::{Doomed, Names};
pub use search::Search;
pub use shipper::{Flush, Progress, Shipper};

use std::path::PathBuf;
use std::time::Duration;

use crate::record::RecordId;
use crate::spool::Chunk;

/// Where records end up.
///
/// The contract, which one suite holds every store to:
/// * `write` stores a chunk and advances the position to its end in one transaction: after an error, or a crash at any
///   moment, either both or neither have happened.
/// * A record that the store refuses for what it is (and not for the state of the store) is put aside as a dead letter
///   with the reason; the others of its chunk are stored.
/// * After an error the store may be called again at any time; it then begins anew, reconnecting as needed, and the caller
///   asks for the position first.
/// * `position` claims the store for the data folder, or fails: see `claim`. Whatever is written afterwards is written only if the claim
///   and the position are still what this process has left there.
/// * No call waits for another party's lock or answer without giving the thread back; none blocks it for longer than
///   one chunk or one slice of housekeeping takes.
pub trait Store: Send + 'static {
    /// Connects if need be, and gives the id of the first record that is not stored yet; 1 for a new store.
    fn position(&mut self) -> impl Future<Output = Result<RecordId, StoreError>> + Send;

    /// Stores a chunk that starts at the position.
    fn write(&mut self, chunk: &Chunk) -> impl Future<Output = Result<Written, StoreError>> + Send;

    /// Makes what is stored survive a loss of power, and gives the position that does.
    fn sync(&mut self) -> impl Future<Output = Result<RecordId, StoreError>> + Send;

    /// Does one bounded slice of housekeeping (retention, rotation), and tells whether there is
    /// more to do at once. What a slice writes is synced soon, like records; the store itself keeps
    /// what it takes on the way there within bounds.
    fn maintain(&mut self) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Deletes records and dead letters in one transaction, which also notes in `logs_deleted` how many; those that are not
    /// there are passed over. Gives how many there were. Only databases can. Durable after the next `sync`, which comes soon: what is
    /// written for it may be much.
    fn delete(&mut self, doomed: &Doomed) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let _ = doomed;
        async { Err(StoreError::new("this store cannot delete single records")) }
    }

    /// Deletes names that no record has any more, unless one that came since has them. Gives how many went.
    fn delete_names(&mut self, names: &Names) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let _ = names;
        async { Ok(0) }
    }

    /// Makes what was deleted durable, and takes it out of the store's own files as far as it can. Gives 1 when that is done, 0
    /// when somebody who reads is in the way for a moment.
    fn scrub(&mut self) -> impl Future<Output = Result<u64, StoreError>> + Send {
        async { Ok(1) }
    }
}

/// What can be read back.
#[derive(Clone, Debug)]
pub enum Database {
    /// The file of an SQLite database.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(postgres::read::PostgresDatabase),
}

/// What became of a chunk's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Stored.
    pub stored: u64,
    /// Put aside with a reason.
    pub dead_letters: u64,
}

/// How long, and how much, a database keeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Older records are deleted.
    pub age: Option<Duration>,
    /// The oldest are deleted once the database holds more bytes than this.
    pub bytes: Option<u64>,
}

/// How long the records of one service are kept, where that is shorter than for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRetention {
    /// The service; empty for records without one.
    pub service: String,
    /// Older records are deleted.
    pub age: Duration,
}

/// Why a store does not take anything now. The shipper tries again, for ever; the spool keeps the records meanwhile.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct StoreError {
    /// What failed and why.
    pub what: String,
    /// What a person can do.
    pub hint: Option<String>,
    /// It lasts until somebody changes something, so that a stop does not wait for it to pass.
    pub is_lasting: bool,
}

impl StoreError {
    /// An error without advice.
    pub fn new(what: impl Into<String>) -> StoreError {
        StoreError { what: what.into(), hint: None, is_lasting: false }
    }

    /// Says that it lasts until somebody changes something.
    #[must_use]
    pub fn lasting(self) -> StoreError {
        StoreError { is_lasting: true, ..self }
    }

    /// Says what the error is about, where it says only why.
    pub(crate) fn about(self, subject: impl std::fmt::Display) -> StoreError {
        StoreError { what: format!("{subject} is not written to: {}", self.what), ..self }
    }

    /// Adds advice.
    pub fn hint(mut self, hint: impl Into<String>) -> StoreError {
        self.hint = Some(hint.into());
        self
    }
}
