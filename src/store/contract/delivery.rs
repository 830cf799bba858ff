//! Every record is stored exactly once, in order, wherever the store stops.

use super::{Subject, chunk, numbered, open_filled, write, write_chunk};
use crate::store::{Store, WriteOutcome};

pub(crate) async fn new_store_begins_at_one(subject: &impl Subject) {
    let mut store = subject.open();
    assert_eq!(store.position().await.unwrap(), 1);
    assert_eq!(store.sync().await.unwrap(), 1);
    assert_eq!(subject.messages(), []);
}

pub(crate) async fn position_follows_each_chunk(subject: &impl Subject) {
    let mut store = subject.open();
    store.position().await.unwrap();
    let written = write_chunk(&mut store, &chunk(1, 11)).await;
    assert_eq!(written, WriteOutcome { stored: 10, dead_letters: 0 });
    write(&mut store, 11, 12).await;
    assert_eq!(subject.messages(), numbered(1, 12));
}

pub(crate) async fn synced_position_is_kept_by_reopened_store(subject: &impl Subject) {
    drop(open_filled(subject, 1, 51).await);
    let mut store = subject.open();
    assert_eq!(store.position().await.unwrap(), 51);
    assert_eq!(subject.messages(), numbered(1, 51));
    write(&mut store, 51, 61).await;
    assert_eq!(subject.messages(), numbered(1, 61));
}

/// Records that were written after the last sync may or may not be present, but position and rows
/// must agree. What is missing is delivered again.
pub(crate) async fn rows_and_position_agree_after_drop(subject: &impl Subject) {
    let (mut next, mut synced) = (1, 1);
    for round in 0..6 {
        let mut store = subject.open();
        let position = store.position().await.unwrap();
        assert!((synced..=next).contains(&position), "round {round}");
        assert_eq!(subject.messages(), numbered(1, position), "round {round}");
        for step in 0..3 {
            let from = position + step * 100;
            next = from + 100;
            write(&mut store, from, next).await;
            if step == round % 3 {
                synced = store.sync().await.unwrap();
                assert_eq!(synced, next);
            }
        }
    }
}

/// A store that is added later begins at the first record that the spool still has, and damage of
/// the spool leaves gaps.
pub(crate) async fn ids_may_start_anywhere_and_have_gaps(subject: &impl Subject) {
    drop(open_filled(subject, 1000, 1010).await);
    let mut store = subject.open();
    assert_eq!(store.position().await.unwrap(), 1010);
    write(&mut store, 1020, 1030).await;
    assert_eq!(subject.messages(), [numbered(1000, 1010), numbered(1020, 1030)].concat());
}

/// The store refuses such a chunk, or stores only the records that it lacks.
pub(crate) async fn chunk_below_position_is_not_stored_twice(subject: &impl Subject) {
    let mut store = open_filled(subject, 1, 11).await;
    let mut position = 11;
    for (from, to) in [(6, 16), (1, 11), (3, 5), (1, 100)] {
        if let Ok(written) = store.write(&chunk(from, to)).await {
            let lacking = to.saturating_sub(position);
            assert_eq!(written, WriteOutcome { stored: lacking, dead_letters: 0 }, "{from} to {to}");
            position += lacking;
        }
        assert_eq!(store.position().await.unwrap(), position, "{from} to {to}");
        assert_eq!(subject.messages(), numbered(1, position), "{from} to {to}");
    }
    write(&mut store, position, 121).await;
    assert_eq!(subject.messages(), numbered(1, 121));
}

pub(crate) async fn many_small_chunks_are_stored_in_order(subject: &impl Subject) {
    let mut store = subject.open();
    store.position().await.unwrap();
    for id in 1..101 {
        write(&mut store, id, id + 1).await;
        if id % 20 == 0 {
            assert_eq!(store.sync().await.unwrap(), id + 1);
        }
    }
    assert_eq!(subject.messages(), numbered(1, 101));
}

pub(crate) async fn large_chunk_is_stored_whole(subject: &impl Subject) {
    drop(open_filled(subject, 1, 30_001).await);
    assert_eq!(subject.messages(), numbered(1, 30_001));
}

pub(crate) async fn maintenance_and_scrub_keep_all_records(subject: &impl Subject) {
    let mut store = subject.open();
    for end in [1, 11, 21] {
        assert!(!store.maintain().await.unwrap(), "there is nothing to do");
        assert_eq!(store.scrub().await.unwrap(), 1);
        assert_eq!(store.position().await.unwrap(), end);
        assert_eq!(subject.messages(), numbered(1, end));
        write(&mut store, end, end + 10).await;
    }
}
