//! An error in the middle of a chunk leaves neither a part of the chunk nor its position.

use super::{Failing, chunk, numbered, open_filled, write};
use crate::store::Store;

/// Fills the store up to id 10, and lets it fail in the middle of the next chunk.
async fn fail<S: Failing>(subject: &S) -> S::Store {
    let mut store = open_filled(subject, 1, 11).await;
    subject.fail_at(Some(60));
    for _ in 0..3 {
        store.write(&chunk(11, 111)).await.unwrap_err();
        let _ = store.position().await; // may fail too
    }
    store
}

async fn retry(subject: &impl Failing, store: &mut impl Store) {
    subject.fail_at(None);
    assert_eq!(store.position().await.unwrap(), 11);
    assert_eq!(subject.messages(), numbered(1, 11));
    write(store, 11, 111).await;
    assert_eq!(store.sync().await.unwrap(), 111);
    assert_eq!(subject.messages(), numbered(1, 111));
}

pub(crate) async fn failed_chunk_is_stored_once_by_retry(subject: &impl Failing) {
    let mut store = fail(subject).await;
    retry(subject, &mut store).await;
}

pub(crate) async fn failed_chunk_is_stored_once_by_reopened_store(subject: &impl Failing) {
    drop(fail(subject).await);
    retry(subject, &mut subject.open()).await;
}
