//! Tests of the contract of all stores on a real server, and of what only PostgreSQL must do.

mod connection;
mod contract;
mod deletion;
mod partitions;
mod plans;
mod position;
mod refusal;
mod retention;
mod roles;
mod versions;

use std::time::Duration;

use test_support::postgres::{Database, Server};
use tokio::runtime::{Builder, Runtime};

use super::partitions::day_of;
use super::*;
use crate::record::{Batch, Origin, RecordRef, time};
use crate::store::contract::{Expiring, Failing, Refusing, StoredRecord, Subject, chunk, select};

impl Subject for Database {
    type Store = PostgresStore;

    fn open(&self) -> PostgresStore {
        store(&self.url())
    }

    fn open_for(&self, claimant: Claimant) -> PostgresStore {
        store_with(&self.url(), claimant.node(), Retention::default()).with_claimant(claimant)
    }

    fn read(&self) -> Vec<StoredRecord> {
        let time = "(extract(epoch FROM time) * 1000000000 + coalesce(time_ns, 0))::bigint";
        let texts = |row: Vec<Option<String>>| row.into_iter().map(Option::unwrap_or_default).collect();
        self.rows(&select(time)).into_iter().map(texts).collect()
    }

    fn cannot_hold(&self, record: &RecordRef<'_>) -> bool {
        let escapes = [r"\u0000", r"\ud800"];
        record.message.contains('\0')
            || record.origin.thread.contains('\0')
            || escapes.iter().any(|escape| record.attributes.contains(escape))
    }
}

impl Failing for Database {
    fn fail_at(&self, id: Option<RecordId>) {
        raise_at(self, "failing", id.as_slice(), "USING ERRCODE = ''53100'', MESSAGE = ''no room''");
    }
}

impl Refusing for Database {
    fn refuse(&self, ids: &[RecordId]) {
        raise_at(self, "picky", ids, "''not these''");
    }

    fn dead_letters(&self) -> Vec<(RecordId, String, String)> {
        let letters = "SELECT id, reason, record::json->>'message' FROM logs_dead_letter ORDER BY id";
        let letter = |row: Vec<Option<String>>| {
            let [id, reason, message] = row.try_into().unwrap();
            (id.unwrap().parse().unwrap(), reason.unwrap(), message.unwrap())
        };
        self.rows(letters).into_iter().map(letter).collect()
    }
}

impl Expiring for Database {
    fn open_with(&self, retention: Retention) -> PostgresStore {
        store_with(&self.url(), "test", retention)
    }
}

/// Replaces a trigger by one that raises an error for records with these ids.
fn raise_at(database: &Database, trigger: &str, ids: &[RecordId], error: &str) {
    let ids: Vec<_> = ids.iter().map(RecordId::to_string).collect();
    database.execute(&format!(
        "CREATE OR REPLACE FUNCTION {trigger}() RETURNS trigger AS 'BEGIN IF NEW.id = ANY (''{{{}}}'') THEN
             RAISE EXCEPTION {error}; END IF; RETURN NEW; END' LANGUAGE plpgsql;
         DROP TRIGGER IF EXISTS {trigger} ON logs;
         CREATE TRIGGER {trigger} BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION {trigger}()",
        ids.join(", ")
    ));
}

/// Creates a database on the server that all tests share.
fn new_database() -> Database {
    Server::shared().database()
}

fn store(url: &str) -> PostgresStore {
    store_with(url, "test", Retention::default())
}

fn store_with(url: &str, node: &str, retention: Retention) -> PostgresStore {
    PostgresStore::new(&PostgresUrl::parse(url).unwrap(), |_| None, node, retention).unwrap()
}

/// Runs a future on one runtime per test, because a socket belongs to the runtime that opened it.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

fn records<'a>(records: impl IntoIterator<Item = RecordRef<'a>>) -> (Batch, u64) {
    let mut batch = Batch::new();
    records.into_iter().for_each(|record| batch.push(&record));
    let count = u64::from(batch.count());
    (batch, count)
}

/// Writes records from the position on.
fn write<'a>(store: &mut PostgresStore, all: impl IntoIterator<Item = RecordRef<'a>>) -> WriteOutcome {
    let (batch, count) = records(all);
    block_on(async {
        let position = store.position().await.unwrap();
        store.write(&Chunk::of(position, batch.bytes(), count)).await.unwrap()
    })
}

fn at(timestamp: &str) -> RecordRef<'static> {
    RecordRef { timestamp: time::parse(timestamp).unwrap(), ..RecordRef::default() }
}

fn partitions(database: &Database) -> Vec<String> {
    let names = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                 WHERE i.inhparent = 'logs'::regclass ORDER BY 1";
    database.rows(names).into_iter().map(|row| row[0].clone().unwrap()).collect()
}

fn to_delete(ids: impl IntoIterator<Item = RecordId>, times: (i64, i64)) -> RecordsToDelete {
    RecordsToDelete { ids: ids.into_iter().collect(), times: Some(times) }
}

/// Opens a session of another client, in the middle of a transaction.
async fn other(database: &Database, statement: &str) -> Session {
    let endpoint = store(&database.url()).database().endpoint;
    let mut session = Session::open(&endpoint).await.unwrap();
    execute(&mut session, &format!("BEGIN; {statement}")).await;
    session
}

async fn execute(Session { client, driver }: &mut Session, sql: &str) {
    driver.drive(client.batch_execute(sql)).await.unwrap();
}

/// Waits until a session waits for a lock in this database.
async fn a_lock_is_waited_for(database: &Database) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while database.value(waiting) == "0" {
        tokio::task::yield_now().await;
    }
}

/// Repeats an attempt that may be too slow. The store waits for another session's lock for a
/// second, and a slow machine may need longer to release the lock.
fn in_time(attempt: impl Fn() -> bool) {
    assert!((0..20).any(|_| attempt()));
}
