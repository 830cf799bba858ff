//! A search in PostgreSQL finds what the oracle finds.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::test_runner::TestRunner;
use test_support::postgres::Server;
use tokio::runtime::{Builder, Runtime};

use crate::query::tests::corpus::records;
use crate::query::tests::generators::{TERMS, queries, values};
use crate::query::tests::{NOW, oracle};
use crate::query::{IntegerRange, Query};
use crate::record::time::SECOND;
use crate::record::{Batch, Column, ColumnSet, RecordId, RecordRef};
use crate::spool::Chunk;
use crate::store::postgres::condition;
use crate::store::postgres::histogram::can_count;
use crate::store::postgres::search::PostgresReadConnection;
use crate::store::postgres::{PostgresStore, PostgresUrl};
use crate::store::sql;
use crate::store::{Retention, Search, Store};

/// A reader of the records, in a separate database.
struct Postgres {
    runtime: Runtime,
    reader: PostgresReadConnection,
}

/// Returns false for the record with a NUL, which PostgreSQL does not accept: that record is a dead
/// letter.
fn is_stored(id: RecordId) -> bool {
    !records()[id as usize - 1].message.contains('\0')
}

/// Returns the records as `jsonb` stores them: it keeps the value of a number, but not its
/// notation.
fn stored() -> Vec<RecordRef<'static>> {
    let mut records = records();
    for record in &mut records {
        if record.attributes == r#"{ "k" : 1.7e1 , "user_id" : 99 }"# {
            record.attributes = r#"{"k":17,"user_id":99}"#;
        }
    }
    records
}

impl Postgres {
    fn start() -> Postgres {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let url = PostgresUrl::parse(&Server::shared().database().url()).unwrap();
        let mut batch = Batch::new();
        records().iter().for_each(|record| batch.push(record));
        let reader = runtime.block_on(async {
            for node in ["other", "own"] {
                let mut store = PostgresStore::new(&url, |_| None, node, Retention::default()).unwrap();
                store.position().await.unwrap();
                let chunk = Chunk::of(1, batch.bytes(), records().len() as u64);
                assert_eq!(store.write(&chunk).await.unwrap().dead_letters, 1);
            }
            let store = PostgresStore::new(&url, |_| None, "own", Retention::default()).unwrap();
            let mut reader = store.database().connect().await.unwrap();
            assert_eq!(reader.position().await.unwrap(), records().len() as u64 + 1);
            reader
        });
        Postgres { runtime, reader }
    }

    fn found(&mut self, search: Search, rows: u64) -> Vec<RecordId> {
        let (mut search, mut found) = (search, Vec::new());
        while !search.ids.is_empty() {
            let emit = |id, record: &RecordRef<'_>| {
                let written = &records()[id as usize - 1];
                assert_eq!((record.timestamp, record.message), (written.timestamp, written.message));
                found.push(id);
                found.len() % 3 > 0 // ends the slice now and then
            };
            let slice = self.reader.slice(&search, rows, 1000, Duration::from_secs(60), emit);
            search.ids = self.runtime.block_on(slice).unwrap();
        }
        found
    }

    fn check(&mut self, query: &str) {
        let query = Query::parse(query, NOW).unwrap_or_else(|error| panic!("{query}: {error}"));
        let mut expected = oracle::expected(&query, &stored());
        let ids = (1..).zip(stored()).filter(|(id, record)| query.matches(*id, record)).map(|(id, _)| id);
        assert_eq!(ids.collect::<Vec<RecordId>>(), expected, "{query} without SQL");
        expected.retain(|id| is_stored(*id));
        assert_eq!(self.found(everything(query.clone()), 1000), expected, "{query}\n{:?}", condition(&query));
        let (time_min, time_max) = (NOW - 3 * 3600 * SECOND, NOW - 3600 * SECOND - 1);
        let is_within =
            |id: &RecordId| (time_min..=time_max).contains(&records()[*id as usize - 1].timestamp);
        expected.retain(is_within);
        expected.reverse();
        let search = Search { time_min, time_max, descending: true, ..everything(query.clone()) };
        assert_eq!(self.found(search.clone(), 7), expected, "{query} for two hours, backwards");
        if can_count(&search) {
            let mut counts = BTreeMap::new();
            for id in expected {
                let line = records()[id as usize - 1].origin.line;
                *counts.entry(if line == 0 { String::new() } else { line.to_string() }).or_insert(0) += 1;
            }
            assert_eq!(self.counted(&search), counts, "{query} counted\n{:?}", condition(&query));
        }
    }

    /// Counts by line, in two ranges of time that meet at the time of a record.
    fn counted(&mut self, search: &Search) -> BTreeMap<String, u64> {
        let middle = records()[10].timestamp;
        let mut counts = BTreeMap::new();
        for times in [
            IntegerRange { first: i64::MIN, last: middle - 1 },
            IntegerRange { first: middle, last: i64::MAX },
        ] {
            let add = |line: &str, count| *counts.entry(line.to_owned()).or_insert(0) += count;
            let counting = self.reader.count(search, Column::Line, times, Duration::from_secs(60), add);
            self.runtime.block_on(counting).unwrap();
        }
        counts
    }
}

fn condition(query: &Query) -> sql::Condition {
    condition::condition(query)
}

fn everything(query: Query) -> Search {
    let ids = 1..records().len() as u64 + 1;
    Search { query, ids, time_min: i64::MIN, time_max: i64::MAX, descending: false, fields: ColumnSet::ALL }
}

#[test]
fn postgres_agrees_on_every_kind_of_term() {
    let mut postgres = Postgres::start();
    for term in TERMS {
        postgres.check(term);
        postgres.check(&format!("-{term}"));
    }
    for term in ["inside", "\"\0\"", "service:\"\0\"", "\"\0\":x", "-trace_id>\"\0\"", "thread:\"\\\\%_\""] {
        postgres.check(term);
    }
    let deep = vec!["k"; 2000].join(".");
    for test in ["17", "x", "*"] {
        postgres.check(&format!("{deep}:{test} OR k.k:17"));
    }
}

#[test]
fn postgres_agrees_on_random_queries() {
    let mut postgres = Postgres::start();
    let postgres = std::cell::RefCell::new(&mut postgres);
    let mut runner = TestRunner::default();
    let result = runner.run(&queries(), |query| {
        if Query::parse(&query, NOW).is_ok() {
            postgres.borrow_mut().check(&query);
        }
        Ok(())
    });
    result.unwrap();
}

#[test]
fn postgres_agrees_on_random_values() {
    let mut postgres = Postgres::start();
    let postgres = std::cell::RefCell::new(&mut postgres);
    let mut runner = TestRunner::default();
    let result = runner.run(&values(), |query| {
        postgres.borrow_mut().check(&query);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn conditions_exclude_rows_where_possible() {
    let sql = |query| condition(&Query::parse(query, NOW).unwrap()).sql;
    assert_eq!(sql(""), "TRUE");
    assert_eq!(sql("trace_id:17"), "trace_id = ?");
    assert_eq!(sql("-service:x id>9"), "(((service = ?) IS NOT TRUE) AND id >= ?::bigint)");
    assert_eq!(sql("fail*"), r#"lower(message COLLATE "C") LIKE ?"#);
    assert_eq!(sql("-fail*"), "TRUE");
    assert_eq!(sql("k:x OR level>=warn"), "(attributes @> ?::text::jsonb OR severity_number >= ?::bigint)");
    assert_eq!(sql("http.status>x"), "(attributes ?? ? OR attributes ?? ?)");
    assert_eq!(sql("time>=1h"), "time >= ?");
    assert_eq!(
        sql("-time<=\"2026-11-21T10:00:00.000000001Z\""),
        "(((time <= ? AND (time < ? OR coalesce(time_ns, 0) <= ?::bigint))) IS NOT TRUE)"
    );
}
