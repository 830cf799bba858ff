//! The test suite that every store must pass; see [`super::Store`].
//!
//! A store implements [`Subject`], and as many of the other traits as it can, and lists the groups
//! of checks that apply to it:
//!
//! ```ignore
//! contract::tests!(SqliteSubject::new() => delivery content ownership failure);
//! ```

pub(crate) mod content;
pub(crate) mod deletion;
pub(crate) mod delivery;
pub(crate) mod failure;
pub(crate) mod ownership;
pub(crate) mod refusal;
pub(crate) mod retention;

use super::{Claimant, Retention, Store, WriteOutcome};
use crate::record::{Batch, Column, ColumnValue, RecordId, RecordRef, time};
use crate::spool::Chunk;

/// A kind of store: opens the store again on the same data, and reads all of it back.
pub(crate) trait Subject {
    type Store: Store;

    /// Opens the store in the state that it has on disk. The store that was opened before has been
    /// dropped, perhaps in the middle of its work.
    fn open(&self) -> Self::Store;

    /// Opens the store for a data folder.
    fn open_for(&self, claimant: Claimant) -> Self::Store;

    /// Returns all records, in the order of the store, which has been opened before.
    fn read(&self) -> Vec<StoredRecord>;

    /// Returns true if the store keeps the values of a column.
    fn keeps(&self, _column: Column) -> bool {
        true
    }

    /// Returns true if the store cannot hold a value of a record, so that the record becomes a dead
    /// letter.
    fn cannot_hold(&self, _record: &RecordRef<'_>) -> bool {
        false
    }

    /// Returns the ids and messages of all records.
    fn messages(&self) -> Vec<(RecordId, String)> {
        let message = Column::ALL.iter().position(|column| *column == Column::Message).unwrap();
        self.read().into_iter().map(|mut values| (id_of(&values), values.swap_remove(message))).collect()
    }
}

/// A store that can be made to fail.
pub(crate) trait Failing: Subject {
    /// Makes each write of the record with this id fail after a part of its chunk was written, and
    /// perhaps all other writes too. `None` ends that. The store has been opened before.
    fn fail_at(&self, id: Option<RecordId>);
}

/// A store that can be made to refuse single records.
pub(crate) trait Refusing: Subject {
    /// Makes the store refuse the records with these ids, and no others. The store has been opened
    /// before.
    fn refuse(&self, ids: &[RecordId]);

    /// Returns the ids of all dead letters in order, each with its reason and its message.
    fn dead_letters(&self) -> Vec<(RecordId, String, String)>;
}

/// A store that deletes records by their age, and the oldest records if it is too large.
pub(crate) trait Expiring: Subject {
    fn open_with(&self, retention: Retention) -> Self::Store;
}

/// Makes a test of each check in some groups.
macro_rules! tests {
    ($subject:expr => $($group:ident)+) => {
        $($crate::store::contract::tests!(@$group $subject);)+
    };
    (@delivery $subject:expr) => {
        $crate::store::contract::tests!(@each delivery $subject =>
            new_store_begins_at_one
            position_follows_each_chunk
            synced_position_is_kept_by_reopened_store
            rows_and_position_agree_after_drop
            ids_may_start_anywhere_and_have_gaps
            chunk_below_position_is_not_stored_twice
            many_small_chunks_are_stored_in_order
            large_chunk_is_stored_whole
            maintenance_and_scrub_keep_all_records
        );
    };
    (@content $subject:expr) => {
        $crate::store::contract::tests!(@each content $subject =>
            unusual_values_come_back_unchanged
            absent_values_are_not_taken_from_neighbours
            severity_without_text_is_named_by_its_number
        );
    };
    (@ownership $subject:expr) => {
        $crate::store::contract::tests!(@each ownership $subject =>
            store_of_another_folder_is_refused
            adopted_store_refuses_its_former_folder
        );
    };
    (@failure $subject:expr) => {
        $crate::store::contract::tests!(@each failure $subject =>
            failed_chunk_is_stored_once_by_retry
            failed_chunk_is_stored_once_by_reopened_store
        );
    };
    (@refusal $subject:expr) => {
        $crate::store::contract::tests!(@each refusal $subject =>
            refused_records_alone_become_dead_letters
            chunk_of_refused_records_becomes_dead_letters
        );
    };
    (@deletion $subject:expr) => {
        $crate::store::contract::tests!(@each deletion $subject =>
            deleted_records_are_counted_once
            unknown_ids_are_skipped_by_deletion
            deleted_records_are_not_requested_again
            dead_letters_are_deleted_like_records
        );
    };
    (@retention $subject:expr) => {
        $crate::store::contract::tests!(@each retention $subject =>
            records_beyond_age_are_deleted
            records_are_kept_until_clock_is_credible
            oldest_records_beyond_size_are_deleted
            records_within_limits_are_kept
        );
    };
    (@each $group:ident $subject:expr => $($check:ident)+) => {
        $(
            #[tokio::test]
            async fn $check() {
                $crate::store::contract::$group::$check(&$subject).await;
            }
        )+
    };
}
pub(crate) use tests;

/// A record as a store has it: the values of [`Column::ALL`] and the attributes, as texts. A time
/// is in ns since the Unix epoch. An absent value is an empty text.
pub(crate) type StoredRecord = Vec<String>;

/// Returns the statement that reads all records of a database. `time` is the expression for the
/// time of a record in ns.
pub(crate) fn select(time: &str) -> String {
    let columns = Column::ALL.map(|column| if column == Column::Time { time } else { column.name() });
    format!("SELECT {}, attributes FROM logs ORDER BY id", columns.join(", "))
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

/// Returns what [`Subject::messages`] returns for [`chunk`].
fn numbered(from: RecordId, to: RecordId) -> Vec<(RecordId, String)> {
    (from..to).map(|id| (id, format!("message {id}"))).collect()
}

fn id_of(values: &[String]) -> RecordId {
    values[0].parse().unwrap()
}

/// Opens the store, and stores these records durably.
async fn open_filled<S: Subject>(subject: &S, from: RecordId, to: RecordId) -> S::Store {
    let mut store = subject.open();
    store.position().await.unwrap();
    write(&mut store, from, to).await;
    assert_eq!(store.sync().await.unwrap(), to);
    store
}

/// Writes [`chunk`]s, of which the store refuses no record.
async fn write(store: &mut impl Store, from: RecordId, to: RecordId) {
    assert_eq!(write_chunk(store, &chunk(from, to)).await.dead_letters, 0);
}

/// Writes a chunk. Each of its records is stored or becomes a dead letter.
async fn write_chunk(store: &mut impl Store, chunk: &Chunk) -> WriteOutcome {
    let written = store.write(chunk).await.unwrap();
    assert_eq!(written.stored + written.dead_letters, chunk.len());
    assert_eq!(store.position().await.unwrap(), chunk.end_id());
    written
}

/// Returns the values that a store has of a record.
fn values_of(id: RecordId, record: &RecordRef<'_>) -> StoredRecord {
    let value = |column: Column| match column.get(id, record) {
        _ if column == Column::Severity => record.severity().to_owned(),
        ColumnValue::Number(0) if matches!(column, Column::Line | Column::ProcessId) => String::new(),
        ColumnValue::Number(number) => number.to_string(),
        ColumnValue::Text(text) => text.to_owned(),
    };
    Column::ALL.into_iter().map(value).chain([record.attributes.to_owned()]).collect()
}
