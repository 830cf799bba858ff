//! The test suite that every store must pass; see [`super::Store`].

use super::{Store, Written};
use crate::record::{Batch, RecordId, RecordRef, time};
use crate::spool::Chunk;

/// A kind of store, for the test suite: opens the store again on the same data, and reads all of it
/// back.
pub(crate) trait Subject {
    type Store: Store;

    /// Opens the store in the state that it has on disk. The store that was opened before has been
    /// dropped, perhaps in the middle of its work.
    fn open(&self) -> Self::Store;

    /// Returns the ids and messages that are stored, in the order of the store. A store that does
    /// not keep ids returns consecutive ids from `first_id` on.
    fn read(&self, first_id: RecordId) -> Vec<(RecordId, String)>;
}

/// Returns a chunk of records with the messages `message <id>`.
pub(crate) fn chunk(from: RecordId, to: RecordId) -> Chunk {
    let mut batch = Batch::new();
    for id in from..to {
        let message = format!("message {id}");
        batch.push(&RecordRef {
            message: &message,
            timestamp: id as i64 * time::SECOND,
            ..RecordRef::default()
        });
    }
    Chunk::of(from, batch.bytes(), to - from)
}

fn numbered(from: RecordId, to: RecordId) -> Vec<(RecordId, String)> {
    (from..to).map(|id| (id, format!("message {id}"))).collect()
}

/// Runs every check.
pub(crate) fn check<S: Subject>(new_subject: impl Fn() -> S) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        begins_at_one(&new_subject()).await;
        position_moves_with_the_rows(&new_subject()).await;
        a_dropped_store_goes_on_where_it_was(&new_subject()).await;
        a_synced_position_is_the_stored_one(&new_subject()).await;
        ids_may_start_anywhere(&new_subject()).await;
    });
}

async fn begins_at_one(subject: &impl Subject) {
    let mut store = subject.open();
    assert_eq!(store.position().await.unwrap(), 1);
    assert_eq!(subject.read(1), []);
}

async fn position_moves_with_the_rows(subject: &impl Subject) {
    let mut store = subject.open();
    store.position().await.unwrap();
    assert_eq!(store.write(&chunk(1, 11)).await.unwrap(), Written { stored: 10, dead_letters: 0 });
    assert_eq!(store.position().await.unwrap(), 11);
    store.write(&chunk(11, 12)).await.unwrap();
    assert_eq!(store.position().await.unwrap(), 12);
    assert_eq!(subject.read(1), numbered(1, 12));
}

/// Records that were written after the last sync may or may not be present, but position and rows
/// must agree.
async fn a_dropped_store_goes_on_where_it_was(subject: &impl Subject) {
    let mut next = 1;
    for round in 0..6 {
        let mut store = subject.open();
        let position = store.position().await.unwrap();
        assert!(position <= next);
        assert_eq!(subject.read(1), numbered(1, position), "round {round}");
        for step in 0..3 {
            let from = position + step * 100;
            store.write(&chunk(from, from + 100)).await.unwrap();
            next = from + 100;
            if step == round % 3 {
                store.sync().await.unwrap();
            }
        }
    }
}

async fn a_synced_position_is_the_stored_one(subject: &impl Subject) {
    let mut store = subject.open();
    store.position().await.unwrap();
    store.write(&chunk(1, 51)).await.unwrap();
    assert_eq!(store.sync().await.unwrap(), 51);
    drop(store);
    assert_eq!(subject.open().position().await.unwrap(), 51);
    assert_eq!(subject.read(1), numbered(1, 51));
}

/// A store that is added later begins at the first record that the spool still has.
async fn ids_may_start_anywhere(subject: &impl Subject) {
    let mut store = subject.open();
    store.position().await.unwrap();
    store.write(&chunk(1000, 1010)).await.unwrap();
    store.sync().await.unwrap();
    assert_eq!(store.position().await.unwrap(), 1010);
    assert_eq!(subject.read(1000), numbered(1000, 1010));
}
