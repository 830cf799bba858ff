//! Administrative requests to a store while its shipper runs: deletions of records that a person
//! has chosen.
//!
//! Only the store's own connection writes, so a client of the database never waits for a lock that
//! this program holds because of a deletion.
//! One request waits at a time, and the shipper executes it between two chunks. A request is small
//! enough not to delay the chunks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::error::StoreError;
use crate::record::RecordId;

/// What is requested.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// A call of [`super::Store::delete`].
    Delete(RecordsToDelete),
    /// A call of [`super::Store::delete_names`].
    DeleteNames(UnusedNames),
    /// A call of [`super::Store::scrub`].
    Scrub,
}

/// Records to be deleted.
#[derive(Clone, Debug, Default)]
pub struct RecordsToDelete {
    /// The ids of the records, ascending; at most [`crate::limits::DELETE_SLICE_RECORDS`].
    pub ids: Vec<RecordId>,
    /// The earliest and the latest time of the records, in ns since the Unix epoch.
    pub times: Option<(i64, i64)>,
}

/// Names that no record below an id refers to any more, in databases that store names
/// separately from records.
#[derive(Clone, Debug, Default)]
pub struct UnusedNames {
    /// The names in the database.
    pub ids: Vec<UnusedName>,
    /// The generation of records to which the names belong.
    pub generation: u64,
    /// The first id of a record that was not examined.
    pub end: RecordId,
}

/// A name in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusedName {
    /// The index of the table of names.
    pub table: usize,
    /// The id of the row.
    pub id: i64,
}

impl RecordsToDelete {
    /// Adds a record.
    pub fn push(&mut self, id: RecordId, timestamp: i64) {
        self.ids.push(id);
        let (first, last) = self.times.unwrap_or((timestamp, timestamp));
        self.times = Some((first.min(timestamp), last.max(timestamp)));
    }
}

/// A request, and the channel on which its result is returned.
pub(super) struct AdminRequest {
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Result<u64, StoreError>>,
}

/// Where a request waits for the shipper.
#[derive(Default)]
pub(super) struct AdminQueue {
    /// Held by the requesting task until it has the result, so that only one request waits.
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Option<AdminRequest>>,
    arrival: Notify,
}

impl AdminQueue {
    /// Makes the shipper execute a request, and returns the result. `None` if there is no shipper
    /// any more.
    pub(super) async fn ask(&self, request: Request) -> Option<Result<u64, StoreError>> {
        let _turn = self.turn.lock().await;
        let (answer, answered) = oneshot::channel();
        *self.lock() = Some(AdminRequest { request, answer });
        self.arrival.notify_one();
        answered.await.ok()
    }

    /// Returns when a request is waiting.
    pub(super) async fn arrived(&self) {
        loop {
            let arrival = self.arrival.notified();
            if self.lock().is_some() {
                return;
            }
            arrival.await;
        }
    }

    /// Removes the waiting request, and returns it unless the requesting task has gone.
    pub(super) fn take(&self) -> Option<AdminRequest> {
        self.lock().take().filter(|admin_queue| !admin_queue.answer.is_closed())
    }

    fn lock(&self) -> MutexGuard<'_, Option<AdminRequest>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for AdminQueue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("AdminQueue")
    }
}
