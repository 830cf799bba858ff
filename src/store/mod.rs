//! Ships durable records from the spool into databases and files, and reads them back: one module
//! per kind of store, one shipper for all of them ([`Store`] is the write half), and one search
//! ([`reader::Reader`] is the read half).

mod admin_queue;
mod claim;
mod clock;
pub mod database;
pub mod deletion;
mod error;
pub mod file;
pub mod postgres;
pub mod read_gate;
pub mod reader;
pub mod scan;
mod search;
mod shipper;
pub mod sql;
pub mod sqlite;
pub mod statement;

#[cfg(test)]
mod agreement;
#[cfg(test)]
pub(crate) mod contract;

pub use admin_queue::{RecordsToDelete, UnusedName, UnusedNames};
pub use claim::{Claimant, Claims, DEFAULT_DATABASE, adopt};
pub use database::Database;
pub use error::StoreError;
pub use read_gate::ReadGate;
pub use scan::Scan;
pub use search::Search;
pub use shipper::{Flush, Progress, Shipper};

use std::time::Duration;

use crate::record::RecordId;
use crate::spool::Chunk;

/// A destination of records.
///
/// The contract, which one test suite checks for every store:
/// * `write` stores a chunk and advances the position to the end of the chunk in one transaction:
///   after an error, or after a crash at any moment, either both or neither have happened.
/// * A record that the store refuses because of the record itself (and not because of the state of
///   the store) becomes a dead letter with the reason; the other records of its chunk are stored.
/// * After an error the store may be called again at any time. The store then starts over,
///   reconnecting as needed, and the caller requests the position first.
/// * `position` claims the store for the data folder, or fails; see the module `claim`. Every later
///   write succeeds only if the claim and the position in the store are still what this process has
///   left there.
/// * No call waits for another party's lock or response without yielding its thread, and no call
///   blocks the thread for longer than one chunk or one slice of housekeeping takes.
pub trait Store: Send + 'static {
    /// Connects if needed, and returns the id of the first record that is not stored yet; 1 for a
    /// new store.
    fn position(&mut self) -> impl Future<Output = Result<RecordId, StoreError>> + Send;

    /// Stores a chunk that starts at the position, or beyond it if the records between are lost. Of
    /// a chunk that starts below the position, no record is stored twice: it is refused, or stored
    /// from the position on.
    fn write(&mut self, chunk: &Chunk) -> impl Future<Output = Result<WriteOutcome, StoreError>> + Send;

    /// Makes the stored records survive a loss of power, and returns the position up to which they
    /// do.
    fn sync(&mut self) -> impl Future<Output = Result<RecordId, StoreError>> + Send;

    /// Does one bounded slice of housekeeping (retention, rotation), and returns true if there is
    /// more to do at once. What a slice writes is synced soon, like records; the store itself
    /// bounds what accumulates until then.
    fn maintain(&mut self) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Deletes records and dead letters in one transaction, which also notes their number in
    /// `logs_deleted`; ids that are not in the store are skipped. Returns how many were in the
    /// store. Only databases support deletion. The deletion is durable after the next `sync`, which
    /// comes soon because a deletion may write much.
    fn delete(
        &mut self,
        to_delete: &RecordsToDelete,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let _ = to_delete;
        async { Err(StoreError::new("this store cannot delete single records")) }
    }

    /// Deletes names that no record refers to any more, unless a record that was stored since
    /// refers to them. Returns how many names were deleted.
    fn delete_names(&mut self, names: &UnusedNames) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let _ = names;
        async { Ok(0) }
    }

    /// Makes deletions durable, and removes the deleted bytes from the store's own files as far as
    /// possible. Returns 1 when that is done, or 0 if a reader prevents it for the moment.
    fn scrub(&mut self) -> impl Future<Output = Result<u64, StoreError>> + Send {
        async { Ok(1) }
    }
}

/// The outcome of writing a chunk, as numbers of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOutcome {
    /// Records that were stored.
    pub stored: u64,
    /// Records that became dead letters, each with a reason.
    pub dead_letters: u64,
}

/// Limits on the age and the size of what a database keeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Records that are older than this are deleted.
    pub age: Option<Duration>,
    /// The oldest records are deleted once the database holds more bytes than this.
    pub bytes: Option<u64>,
}

/// How long the records of one service are kept, where that is shorter than for the other records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRetention {
    /// The service; empty for records without a service.
    pub service: String,
    /// Records of the service that are older than this are deleted.
    pub age: Duration,
}
