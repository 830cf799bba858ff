//! What others ask of a store while its shipper ships: deleting records that a person has chosen.
//!
//! Only the store's own connection writes, so that nobody ever waits for a lock of ours. One errand waits at a time, and the
//! shipper runs it between two chunks; it is small enough not to hold these up.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::StoreError;
use crate::record::RecordId;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// [`super::Store::delete`].
    Delete(Doomed),
    /// [`super::Store::delete_names`].
    DeleteNames(Names),
    /// [`super::Store::scrub`].
    Scrub,
}

/// Records that are to be deleted.
#[derive(Clone, Debug, Default)]
pub struct Doomed {
    /// Their ids, ascending; at most [`crate::limits::DELETE_SLICE_RECORDS`].
    pub ids: Vec<RecordId>,
    /// Their earliest and latest time, in ns since the Unix epoch.
    pub times: Option<(i64, i64)>,
}

/// Names that no record below an id has any more, as far as the database keeps names apart from records.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// What the database knows them by.
    pub ids: Vec<i64>,
    /// The first id that was not looked at.
    pub end: RecordId,
}

impl Doomed {
    /// Adds one.
    pub fn push(&mut self, id: RecordId, timestamp: i64) {
        self.ids.push(id);
        let (first, last) = self.times.unwrap_or((timestamp, timestamp));
        self.times = Some((first.min(timestamp), last.max(timestamp)));
    }
}

/// A request, and who waits for its answer.
pub(super) struct Errand {
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Result<u64, StoreError>>,
}

/// Where errands wait for the shipper.
#[derive(Default)]
pub(super) struct Errands {
    /// Whoever asks keeps it until there is an answer.
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Option<Errand>>,
    arrival: Notify,
}

impl Errands {
    /// Has the shipper do it. `None` when there is no shipper any more.
    pub(super) async fn ask(&self, request: Request) -> Option<Result<u64, StoreError>> {
        let _turn = self.turn.lock().await;
        let (answer, answered) = oneshot::channel();
        *self.lock() = Some(Errand { request, answer });
        self.arrival.notify_one();
        answered.await.ok()
    }

    /// Returns when something waits.
    pub(super) async fn arrived(&self) {
        loop {
            let arrival = self.arrival.notified();
            if self.lock().is_some() {
                return;
            }
            arrival.await;
        }
    }

    /// Takes out what waits; those who asked may have gone.
    pub(super) fn take(&self) -> Option<Errand> {
        self.lock().take().filter(|errand| !errand.answer.is_closed())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Errand>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Errands {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Errands")
    }
}
