//! Single records are deleted, and stay deleted.

use super::{Refusing, Subject, chunk, numbered, open_filled, refusal, write, write_chunk};
use crate::record::{RecordId, time};
use crate::store::{RecordsToDelete, Store};

/// Deletes records of [`chunk`]s, and returns their number.
async fn delete(store: &mut impl Store, ids: &[RecordId]) -> u64 {
    let mut to_delete = RecordsToDelete::default();
    ids.iter().for_each(|id| to_delete.push(*id, *id as i64 * time::SECOND));
    store.delete(&to_delete).await.unwrap()
}

fn assert_only(subject: &impl Subject, end: RecordId, deleted: &[RecordId]) {
    let expected: Vec<_> = numbered(1, end).into_iter().filter(|(id, _)| !deleted.contains(id)).collect();
    assert_eq!(subject.messages(), expected);
}

pub(crate) async fn deleted_records_are_counted_once(subject: &impl Subject) {
    let mut store = open_filled(subject, 1, 101).await;
    assert_eq!(delete(&mut store, &[3, 4, 50]).await, 3);
    assert_only(subject, 101, &[3, 4, 50]);
    assert_eq!(delete(&mut store, &[3, 4, 50]).await, 0);
    assert_eq!(delete(&mut store, &[4, 5]).await, 1);
    assert_only(subject, 101, &[3, 4, 5, 50]);
}

pub(crate) async fn unknown_ids_are_skipped_by_deletion(subject: &impl Subject) {
    let mut store = open_filled(subject, 11, 21).await;
    assert_eq!(delete(&mut store, &[]).await, 0);
    assert_eq!(delete(&mut store, &[1, 10, 21, 1_000_000]).await, 0);
    assert_eq!(subject.messages(), numbered(11, 21));
    assert_eq!(delete(&mut store, &[10, 11, 21]).await, 1);
    assert_eq!(subject.messages(), numbered(12, 21));
}

/// The position does not depend on the records that are left.
pub(crate) async fn deleted_records_are_not_requested_again(subject: &impl Subject) {
    let mut store = open_filled(subject, 1, 11).await;
    assert_eq!(delete(&mut store, &[1, 9, 10]).await, 3);
    assert_eq!(store.sync().await.unwrap(), 11);
    assert_eq!(store.scrub().await.unwrap(), 1);
    drop(store);
    let mut store = subject.open();
    assert_eq!(store.position().await.unwrap(), 11);
    write(&mut store, 11, 21).await;
    assert_only(subject, 21, &[1, 9, 10]);
    let rest: Vec<RecordId> = (2..9).chain(11..21).collect();
    assert_eq!(delete(&mut store, &rest).await, 17);
    assert_eq!(store.sync().await.unwrap(), 21);
    drop(store);
    assert_eq!(subject.open().position().await.unwrap(), 21);
    assert_eq!(subject.messages(), []);
}

pub(crate) async fn dead_letters_are_deleted_like_records(subject: &impl Refusing) {
    let mut store = subject.open();
    store.position().await.unwrap();
    subject.refuse(&[3, 7]);
    assert_eq!(write_chunk(&mut store, &chunk(1, 11)).await.dead_letters, 2);
    assert_eq!(delete(&mut store, &[2, 3]).await, 2);
    assert_eq!(delete(&mut store, &[2, 3]).await, 0);
    refusal::assert_dead(subject, &[7]);
    assert_only(subject, 11, &[2, 3, 7]);
}
