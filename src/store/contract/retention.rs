//! Housekeeping deletes the oldest records, and only these.
//!
//! A store may delete whole days, or blocks of up to some thousand records.

use std::time::Duration;

use super::{Expiring, id_of, write, write_chunk};
use crate::record::{Batch, RecordId, RecordRef, time};
use crate::spool::Chunk;
use crate::store::{Retention, Store};

const DAY_SECONDS: u64 = 86_400;

/// Records of one day: more than a block.
const DAY_ROWS: u64 = 5000;

/// Slices of housekeeping after which it must be done.
const SLICES_MAX: u32 = 1000;

/// Writes [`DAY_ROWS`] records for each of these days, which are numbers of days before now, does
/// all housekeeping, and returns the first id that is left. The following ids are left too.
async fn first_left(subject: &impl Expiring, days: &[i64], retention: Retention) -> RecordId {
    let mut store = subject.open_with(retention);
    store.position().await.unwrap();
    let now = time::now();
    let mut end = 1;
    for days_ago in days {
        let received = now - days_ago * DAY_SECONDS as i64 * time::SECOND;
        let record = RecordRef { timestamp: received, observed_timestamp: received, ..RecordRef::default() };
        let mut batch = Batch::new();
        (0..DAY_ROWS).for_each(|_| batch.push(&record));
        write_chunk(&mut store, &Chunk::of(end, batch.bytes(), DAY_ROWS)).await;
        end += DAY_ROWS;
    }
    maintain_all(&mut store).await;
    let left: Vec<RecordId> = subject.read().iter().map(|values| id_of(values)).collect();
    let first = *left.first().unwrap();
    assert!(left.into_iter().eq(first..end), "the ids from {first} on have gaps");
    assert_eq!(store.sync().await.unwrap(), end);
    assert!(!store.maintain().await.unwrap(), "all is done");
    drop(store);
    let mut store = subject.open_with(retention);
    assert_eq!(store.position().await.unwrap(), end);
    write(&mut store, end, end + 1).await;
    first
}

async fn maintain_all(store: &mut impl Store) {
    for _ in 0..SLICES_MAX {
        if !store.maintain().await.unwrap() {
            return;
        }
    }
    panic!("housekeeping does not end");
}

fn days(days: u64) -> Option<Duration> {
    Some(Duration::from_secs(days * DAY_SECONDS))
}

pub(crate) async fn records_beyond_age_are_deleted(subject: &impl Expiring) {
    let retention = Retention { age: days(3), bytes: None };
    let first = first_left(subject, &[6, 5, 2, 1, 0], retention).await;
    assert!((1 + DAY_ROWS..=1 + 2 * DAY_ROWS).contains(&first), "{first}");
}

/// Ten days may have passed since the oldest records, or the clock may have stepped.
pub(crate) async fn records_are_kept_until_clock_is_credible(subject: &impl Expiring) {
    let retention = Retention { age: days(1), bytes: None };
    assert_eq!(first_left(subject, &[10, 0], retention).await, 1);
}

pub(crate) async fn oldest_records_beyond_size_are_deleted(subject: &impl Expiring) {
    let retention = Retention { age: None, bytes: Some(1) };
    let first = first_left(subject, &[2, 1, 0], retention).await;
    assert!(first > 2 * DAY_ROWS, "{first}");
}

pub(crate) async fn records_within_limits_are_kept(subject: &impl Expiring) {
    let retention = Retention { age: days(30), bytes: Some(1 << 40) };
    assert_eq!(first_left(subject, &[3, 2, 1, 0], retention).await, 1);
}
