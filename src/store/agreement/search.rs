//! A search in the SQLite store, which uses its filters, finds what a search of every record finds.

use std::collections::BTreeMap;

use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use crate::limits::SQLITE_BLOCK_ROWS;
use crate::query::Query;
use crate::query::tests::NOW;
use crate::query::tests::corpus::records;
use crate::query::tests::generators::{TERMS, queries, values};
use crate::record::{Batch, ColumnSet, RecordId, RecordRef};
use crate::spool::Chunk;
use crate::store::reader::CountedMatches;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::histogram::can_count;
use crate::store::sqlite::search::SqliteReadConnection;
use crate::store::{Retention, Search, Store};

/// More than two groups of blocks, some of which are missing.
const BLOCKS: u64 = 150;

/// A database of many blocks, each with some of the records.
struct Database {
    _folder: TempDir,
    reader: SqliteReadConnection,
    stored: Vec<(RecordId, RecordRef<'static>)>,
}

impl Database {
    fn new() -> Database {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("logboom.db");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut store = SqliteStore::new(path.clone(), Retention::default());
        let mut stored = Vec::new();
        for block in (0..BLOCKS).filter(|block| block % 11 > 0) {
            let mut batch = Batch::new();
            let first = 1 + block * SQLITE_BLOCK_ROWS;
            let of_block = records()
                .into_iter()
                .enumerate()
                .filter(|(index, _)| (*index as u64 + block).is_multiple_of(9));
            for ((_, record), id) in of_block.zip(first..) {
                batch.push(&record);
                stored.push((id, record));
            }
            runtime.block_on(store.position()).unwrap();
            let chunk = Chunk::of(first, batch.bytes(), batch.count().into());
            assert_eq!(runtime.block_on(store.write(&chunk)).unwrap().dead_letters, 0);
            if block % 7 == 0 {
                store = SqliteStore::new(path.clone(), Retention::default());
            }
        }
        let reader = SqliteReadConnection::open(&path).unwrap();
        Database { _folder: folder, reader, stored }
    }

    /// Returns what is found, and the number of slices.
    fn found(&self, mut search: Search) -> (Vec<RecordId>, usize) {
        let (mut found, mut slices) = (Vec::new(), 0);
        while !search.ids.is_empty() {
            let emit = |id, _: &RecordRef<'_>| {
                found.push(id);
                found.len() % 5 > 0 // ends the slice now and then
            };
            search.ids = self.reader.slice(&search, SQLITE_BLOCK_ROWS, emit).unwrap();
            slices += 1;
        }
        (found, slices)
    }

    fn check(&self, query: &str) {
        let query = Query::parse(query, NOW).unwrap_or_else(|error| panic!("{query}: {error}"));
        let matching = self.stored.iter().filter(|(id, record)| query.matches(*id, record));
        let mut expected: Vec<RecordId> = matching.map(|(id, _)| *id).collect();
        assert_eq!(self.found(everything(query.clone())).0, expected, "{query}");
        expected.reverse();
        let search = Search { descending: true, ..everything(query.clone()) };
        assert_eq!(self.found(search).0, expected, "{query} backwards");
    }
}

fn everything(query: Query) -> Search {
    Search {
        query,
        ids: 0..i64::MAX as u64,
        time_min: i64::MIN,
        time_max: i64::MAX,
        descending: false,
        fields: ColumnSet::ALL,
    }
}

#[test]
fn search_agrees_on_every_kind_of_term() {
    let database = Database::new();
    for term in TERMS {
        database.check(term);
        database.check(&format!("-{term}"));
    }
}

#[test]
fn search_agrees_on_random_queries() {
    let database = Database::new();
    let result = TestRunner::default().run(&queries(), |query| {
        if Query::parse(&query, NOW).is_ok() {
            database.check(&query);
        }
        Ok(())
    });
    result.unwrap();
}

#[test]
fn search_agrees_on_random_values() {
    let database = Database::new();
    let result = TestRunner::default().run(&values(), |query| {
        database.check(&query);
        Ok(())
    });
    result.unwrap();
}

/// The counts equal those of the records found, both for blocks counted as a whole and for rows
/// counted one by one.
#[test]
fn counts_equal_those_of_found_records() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("logboom.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut store = SqliteStore::new(path.clone(), Retention::default());
    let corpus = records();
    let mut stored: Vec<RecordRef<'static>> = Vec::new();
    for chunk in 0..10u64 {
        let mut batch = Batch::new();
        for index in 0..1500u64 {
            let number = chunk * 1500 + index;
            let mut record = corpus[(number * 7 % corpus.len() as u64) as usize];
            // Some blocks span seconds, some minutes, and now and then a clock is wrong.
            let pace = [1_000_000, 1, 60_000_000_000, 100_000_000][(number / 4096) as usize % 4];
            record.timestamp =
                NOW + number as i64 * pace - i64::from(number % 1000 == 0) * 86_400_000_000_000;
            batch.push(&record);
            stored.push(record);
        }
        runtime.block_on(store.position()).unwrap();
        runtime.block_on(store.write(&Chunk::of(1 + chunk * 1500, batch.bytes(), 1500))).unwrap();
        if chunk % 3 == 0 {
            store = SqliteStore::new(path.clone(), Retention::default());
        }
    }
    let reader = SqliteReadConnection::open(&path).unwrap();
    let minute = 60_000_000_000;
    let mut by_blocks = 0;
    for query in ["", "service:billing", "level>=warn -service:billing", "service:b* OR level:error"] {
        for step in [1_000_000, minute / 60, minute / 12, minute, 60 * minute, 1440 * minute, i64::MAX] {
            for (time_min, time_max) in
                [(i64::MIN, i64::MAX), (NOW, NOW + 700 * minute), (NOW - 1, NOW + minute / 30)]
            {
                for descending in [false, true] {
                    let query = Query::parse(query, NOW).unwrap();
                    assert!(can_count(&query));
                    let search = Search { time_min, time_max, descending, ..everything(query) };
                    by_blocks += check_counts(&reader, search, step, &stored);
                }
            }
        }
    }
    assert!(by_blocks > 0);
    for query in ["refused", "k:17 OR service:b*", "id>=4097", "time>1s"] {
        assert!(!can_count(&Query::parse(query, NOW).unwrap()), "{query}");
    }
}

/// Returns how many records were counted by whole blocks.
fn check_counts(reader: &SqliteReadConnection, search: Search, step: i64, stored: &[RecordRef<'_>]) -> u64 {
    type Counts = BTreeMap<(i64, u8, String), u64>;
    let add = |counts: &mut Counts, timestamp: i64, severity_number, service: &str, records| {
        let key = (timestamp.div_euclid(step), severity_number, service.to_owned());
        *counts.entry(key).or_insert(0) += records;
    };
    let mut expected = Counts::new();
    for (record, id) in stored.iter().zip(1..) {
        if (search.time_min..=search.time_max).contains(&record.timestamp) && search.query.matches(id, record)
        {
            add(&mut expected, record.timestamp, record.severity_number, record.origin.service, 1);
        }
    }
    let (mut counted, mut by_blocks, mut rest) = (Counts::new(), 0, search.clone());
    while !rest.ids.is_empty() {
        let emit = |count: CountedMatches<'_>| {
            add(&mut counted, count.timestamp, count.severity_number, count.service, count.records);
            by_blocks += count.records;
        };
        let reached = reader.counts(&rest, step, 500, emit).unwrap();
        let mut rows = Search { ids: reached.rows.clone(), ..search.clone() };
        while !rows.ids.is_empty() {
            let slice = reader.slice(&rows, 5000, |_, record| {
                add(&mut counted, record.timestamp, record.severity_number, record.origin.service, 1);
                true
            });
            rows.ids = slice.unwrap();
        }
        rest.ids = reached.rest;
        if !reached.rows.is_empty() {
            rest.ids = rest.rest_after(&reached.rows);
        }
    }
    assert!(counted == expected, "{search:?} by {step}");
    by_blocks
}

/// Blocks that lack a required token are skipped, in complete groups and in the incomplete one.
#[test]
fn rare_terms_read_few_blocks() {
    let database = Database::new();
    let slices = |query| database.found(everything(Query::parse(query, NOW).unwrap())).1;
    let all = slices("*");
    assert!(all > BLOCKS as usize / 2);
    for query in ["\"app::views\"", "k:17", "http.status:404", "logged in", "service:billing k:17"] {
        assert!((1..all / 3).contains(&slices(query)), "{query}: {} of {all}", slices(query));
    }
    for query in
        ["quokka", "k:quokka", "quokka:*", "service:quokka", "trace_id:quokka", "level:fatal4 quokka"]
    {
        assert!(slices(query) <= 3, "{query}: {} of {all}", slices(query));
    }
}
