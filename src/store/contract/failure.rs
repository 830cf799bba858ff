//! An error in the middle of a chunk leaves neither a part of the chunk nor its position.

use super::{Failing, chunk, numbered, open_filled, write};
use crate::record::RecordId;
use crate::store::Store;

/// The end of a chunk from id 11 on. A log file is written to several times for it.
const END: RecordId = 5001;

/// Fills the store up to id 10, and lets it fail in the middle of the next chunk.
async fn fail<S: Failing>(subject: &S, times: u32) -> S::Store {
    let mut store = open_filled(subject, 1, 11).await;
    subject.fail_at(Some(END / 2));
    for _ in 0..times {
        store.write(&chunk(11, END)).await.unwrap_err();
        let _ = store.position().await; // may fail too
    }
    store
}

async fn retry(subject: &impl Failing, store: &mut impl Store) {
    subject.fail_at(None);
    assert_eq!(store.position().await.unwrap(), 11);
    assert_eq!(subject.messages(), numbered(1, 11));
    write(store, 11, END).await;
    assert_eq!(store.sync().await.unwrap(), END);
    assert_eq!(subject.messages(), numbered(1, END));
}

pub(crate) async fn failed_chunk_is_stored_once_by_retry(subject: &impl Failing) {
    let mut store = fail(subject, 1).await;
    retry(subject, &mut store).await;
}

pub(crate) async fn failed_chunk_is_stored_once_by_reopened_store(subject: &impl Failing) {
    drop(fail(subject, 3).await);
    retry(subject, &mut subject.open()).await;
}
