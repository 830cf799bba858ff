//! A record that the store refuses becomes a dead letter, and its neighbours are stored.

use super::{Refusing, chunk, numbered, write, write_chunk};
use crate::record::RecordId;
use crate::store::{Store, WriteOutcome};

/// Checks that exactly these records are dead letters, with their messages and a reason.
pub(super) fn assert_dead(subject: &impl Refusing, ids: &[RecordId]) {
    let letters = subject.dead_letters();
    assert!(letters.iter().all(|(_, reason, _)| !reason.is_empty()), "{letters:?}");
    let letters: Vec<_> = letters.into_iter().map(|(id, _, message)| (id, message)).collect();
    let expected: Vec<_> = ids.iter().map(|id| (*id, format!("message {id}"))).collect();
    assert_eq!(letters, expected);
}

pub(crate) async fn refused_records_alone_become_dead_letters(subject: &impl Refusing) {
    let refused = [1, 3, 4, 70, 199, 200];
    let mut store = subject.open();
    store.position().await.unwrap();
    subject.refuse(&refused);
    let written = write_chunk(&mut store, &chunk(1, 201)).await;
    assert_eq!(written, WriteOutcome { stored: 194, dead_letters: 6 });
    assert_eq!(store.sync().await.unwrap(), 201);
    drop(store);
    assert_eq!(subject.open().position().await.unwrap(), 201);
    let expected: Vec<_> = numbered(1, 201).into_iter().filter(|(id, _)| !refused.contains(id)).collect();
    assert_eq!(subject.messages(), expected);
    assert_dead(subject, &refused);
}

pub(crate) async fn chunk_of_refused_records_becomes_dead_letters(subject: &impl Refusing) {
    let mut store = subject.open();
    store.position().await.unwrap();
    let all: Vec<RecordId> = (1..51).collect();
    subject.refuse(&all);
    let written = write_chunk(&mut store, &chunk(1, 51)).await;
    assert_eq!(written, WriteOutcome { stored: 0, dead_letters: 50 });
    assert_dead(subject, &all);
    subject.refuse(&[]);
    write(&mut store, 51, 61).await;
    assert_eq!(subject.messages(), numbered(51, 61));
}
