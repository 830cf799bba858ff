//! Tests of the contract of all stores, and of what only SQLite must do.

mod contract;
mod copies;
mod damage;
mod deletion;
mod filters_and_counts;
mod migration;
mod names;
mod others;
mod refusal;
mod retention;
mod versions;
mod write_ahead_log;

use std::time::Duration;

use rusqlite::types::ValueRef;
use tempfile::TempDir;

use super::*;
use crate::limits::{SQLITE_BLOCK_ROWS, SQLITE_WAL_BYTES_TARGET};
use crate::record::{Batch, Origin, RecordRef, time};
use crate::store::ServiceRetention;
use crate::store::contract::{Expiring, Failing, Refusing, StoredRecord, Subject, chunk, select};

struct SqliteSubject(TempDir);

impl SqliteSubject {
    fn new() -> SqliteSubject {
        SqliteSubject(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("logboom.db")
    }

    fn with(&self, retention: Retention) -> SqliteStore {
        SqliteStore::new(self.path(), retention).with_threads(Threads::Many(2))
    }

    /// Replaces a trigger by one that raises an error for records with these ids.
    fn raise_at(&self, trigger: &str, ids: &[RecordId], error: &str) {
        let ids: Vec<_> = ids.iter().map(RecordId::to_string).collect();
        let sql = format!(
            "DROP TRIGGER IF EXISTS {trigger};
             CREATE TRIGGER {trigger} BEFORE INSERT ON record WHEN new.id IN ({})
                 BEGIN SELECT raise({error}); END",
            ids.join(", ")
        );
        Connection::open(self.path()).unwrap().execute_batch(&sql).unwrap();
    }

    fn query<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        Connection::open(self.path()).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

impl Subject for SqliteSubject {
    type Store = SqliteStore;

    fn open(&self) -> SqliteStore {
        self.with(Retention::default())
    }

    fn open_for(&self, claimant: Claimant) -> SqliteStore {
        self.open().with_claimant(claimant)
    }

    fn read(&self) -> Vec<StoredRecord> {
        let text = |value: ValueRef<'_>| match value {
            ValueRef::Null => String::new(),
            ValueRef::Integer(number) => number.to_string(),
            value => value.as_str().unwrap().to_owned(),
        };
        let connection = Connection::open(self.path()).unwrap();
        let time = "(SELECT timestamp FROM record WHERE record.id = logs.id)";
        let mut select = connection.prepare(&select(time)).unwrap();
        let columns = 0..select.column_count();
        let values = |row: &rusqlite::Row<'_>| columns.clone().map(|at| row.get_ref(at).map(text)).collect();
        let rows = select.query_map([], values).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

impl Failing for SqliteSubject {
    fn fail_at(&self, id: Option<RecordId>) {
        self.raise_at("failing", id.as_slice(), "ROLLBACK, 'no room'");
    }
}

impl Refusing for SqliteSubject {
    fn refuse(&self, ids: &[RecordId]) {
        self.raise_at("picky", ids, "ABORT, 'not these'");
    }

    fn dead_letters(&self) -> Vec<(RecordId, String, String)> {
        let letters =
            "SELECT id, reason, json_extract(record, '$.message') FROM logs_dead_letter ORDER BY id";
        let connection = Connection::open(self.path()).unwrap();
        let mut select = connection.prepare(letters).unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

impl Expiring for SqliteSubject {
    fn open_with(&self, retention: Retention) -> SqliteStore {
        self.with(retention)
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Returns a database with two blocks, and a part of a third.
fn filled() -> SqliteSubject {
    let subject = SqliteSubject::new();
    block_on(subject.open().write(&chunk(1, 9001))).unwrap();
    subject
}

fn aged_chunk(from: RecordId, to: RecordId, observed_timestamp: i64) -> Chunk {
    let mut batch = Batch::new();
    for id in from..to {
        batch.push(&RecordRef {
            observed_timestamp,
            message: &format!("message {id}"),
            ..RecordRef::default()
        });
    }
    Chunk::of(from, batch.bytes(), to - from)
}

fn maintain_all(store: &mut SqliteStore) -> u32 {
    let mut slices = 0;
    while block_on(store.maintain()).unwrap() {
        slices += 1;
    }
    slices
}

fn to_delete(ids: impl IntoIterator<Item = RecordId>) -> RecordsToDelete {
    let mut to_delete = RecordsToDelete::default();
    ids.into_iter().for_each(|id| to_delete.push(id, 0));
    to_delete
}

/// Returns a search for a word in all records.
fn search_of(word: &str) -> crate::store::Search {
    let query = crate::query::Query::parse(word, 0).unwrap();
    let (time_min, time_max) = (i64::MIN, i64::MAX);
    let (ids, fields) = (0..i64::MAX as u64, crate::record::ColumnSet::NONE);
    crate::store::Search { query, ids, time_min, time_max, descending: false, fields }
}

/// Returns what a search for a word finds, and how many blocks it reads.
fn searched(subject: &SqliteSubject, word: &str) -> (Vec<RecordId>, usize) {
    let mut search = search_of(word);
    let reader = search::SqliteReadConnection::open(&subject.path()).unwrap();
    let (mut found, mut slices) = (Vec::new(), 0);
    while !search.ids.is_empty() {
        let slice = reader.slice(&search, SQLITE_BLOCK_ROWS, |id, _| {
            found.push(id);
            true
        });
        search.ids = slice.unwrap();
        slices += 1;
    }
    (found, slices - 1) // the last slice only shows that there is no other block
}

/// Returns a name that is not like the previous one, so that indexes are written in no order.
fn name(id: RecordId) -> String {
    format!("{:016x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
