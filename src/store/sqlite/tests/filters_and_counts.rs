//! The filters and the counts of blocks.

use super::*;
use crate::store::reader::CountedMatches;

#[test]
fn filter_has_rows_from_before_restart() {
    let subject = SqliteSubject::new();
    for (from, to) in [(1, 101), (101, 4000), (4000, 4096), (4096, 5000), (5000, 8193), (8193, 8194)] {
        block_on(subject.open().write(&chunk(from, to))).unwrap();
    }
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM filter"), 2);
    for id in [1, 100, 101, 3999, 4000, 4095, 4096, 4097, 5000, 8192, 8193] {
        let (found, slices) = searched(&subject, &id.to_string());
        assert_eq!(found, [id]);
        // The growing block, and perhaps the other one by chance.
        assert!(slices <= 3, "{id}: {slices}");
    }
    assert_eq!(searched(&subject, "quokka").1, 1);
}

#[test]
fn filters_and_counts_do_not_depend_on_threads() {
    let of = |threads, rows: usize| {
        let subject = SqliteSubject::new();
        let mut store = subject.open().with_threads(threads);
        for from in (1..10_001).step_by(rows) {
            block_on(store.write(&chunk(from, (from + rows as u64).min(10_001)))).unwrap();
        }
        let rows = |sql| subject.query::<String>(sql);
        (
            rows("SELECT group_concat(number || hex(bits)) FROM filter"),
            rows("SELECT group_concat(number || ' ' || slot_seconds || hex(counts)) FROM block_counts"),
        )
    };
    let of_one = of(Threads::One, 5000);
    assert_eq!(of_one.0.matches(',').count(), 1);
    assert!(of(Threads::Many(2), 5000) == of_one && of(Threads::Many(2), 100) == of_one);
}

#[test]
fn failed_transaction_leaves_no_filter() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    block_on(store.position()).unwrap();
    Connection::open(subject.path())
        .unwrap()
        .execute_batch("CREATE TRIGGER broken BEFORE UPDATE ON shipped BEGIN SELECT raise(FAIL, 'no'); END")
        .unwrap();
    assert!(block_on(store.write(&chunk(1, 5000))).is_err());
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM filter"), 0);
    Connection::open(subject.path()).unwrap().execute_batch("DROP TRIGGER broken").unwrap();
    block_on(store.write(&aged_chunk(1, 5000, 1))).unwrap();
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM filter"), 1);
    assert_eq!(searched(&subject, "4096").0, [4096]);
}

#[test]
fn retention_deletes_filters_with_their_blocks() {
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: Some(Duration::from_secs(3600)), bytes: None });
    let old = time::now() - 65 * 60 * time::SECOND;
    let group = 64 * SQLITE_BLOCK_ROWS;
    // A few rows of each block: the gaps end the blocks.
    for block in 0..70 {
        let from = 1 + block * SQLITE_BLOCK_ROWS;
        block_on(store.write(&aged_chunk(from, from + 10, old))).unwrap();
    }
    block_on(store.write(&aged_chunk(1 + 2 * group, 11 + 2 * group, time::now()))).unwrap();
    block_on(store.write(&aged_chunk(1 + 3 * group, 11 + 3 * group, time::now()))).unwrap();
    let count = |table: &str| subject.query::<i64>(&format!("SELECT count(*) FROM {table}"));
    assert_eq!((count("filter_group"), count("filter"), count("filter_line")), (3, 0, 3));
    maintain_all(&mut store);
    // The second group is deleted with the next block: until then it might have continued.
    assert_eq!((count("filter_group"), count("filter"), count("filter_line")), (2, 0, 2));
    assert_eq!(searched(&subject, "message").0.len(), 20);
}

#[test]
fn blocks_are_counted_unless_rows_are_missing() {
    let subject = SqliteSubject::new();
    block_on(subject.open().position()).unwrap();
    Connection::open(subject.path())
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER picky BEFORE INSERT ON record WHEN new.message = 'message 4097'
             BEGIN SELECT raise(ABORT, 'not this'); END",
        )
        .unwrap();
    for (from, to) in [(1, 4000), (4000, 4097), (4097, 4098), (4098, 9000), (9000, 12_289), (12_289, 12_290)]
    {
        block_on(subject.open().write(&chunk(from, to))).unwrap();
    }
    assert_eq!(subject.query::<String>("SELECT group_concat(number) FROM block_counts"), "0,2");
    let mut store = subject.open();
    block_on(store.write(&chunk(12_290, 20_000))).unwrap();
    block_on(store.write(&chunk(20_000, 24_577))).unwrap();
    assert_eq!(subject.query::<String>("SELECT group_concat(number) FROM block_counts"), "0,2,3,4,5");
}

#[test]
fn block_with_dead_letter_stays_uncounted_as_it_grows() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    block_on(store.position()).unwrap();
    Connection::open(subject.path())
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER picky BEFORE INSERT ON record WHEN new.message IN ('message 10', 'message 9000')
             BEGIN SELECT raise(ABORT, 'not this'); END",
        )
        .unwrap();
    for (from, to) in [(1, 100), (100, 8193), (8193, 12_289), (12_289, 20_000)] {
        block_on(store.write(&chunk(from, to))).unwrap();
    }
    assert_eq!(subject.query::<String>("SELECT group_concat(number) FROM block_counts"), "1,3");
}

#[test]
fn block_too_large_to_be_read_again_has_no_filter() {
    let subject = SqliteSubject::new();
    let long = "long ".repeat(crate::limits::SQLITE_REREAD_BYTES_MAX / 45);
    let mut store = subject.open();
    for id in 1..11 {
        let mut batch = Batch::new();
        batch.push(&RecordRef { message: &long, ..RecordRef::default() });
        block_on(store.write(&Chunk::of(id, batch.bytes(), 1))).unwrap();
    }
    block_on(subject.open().write(&chunk(11, 12))).unwrap();
    block_on(subject.open().write(&chunk(12, 10_000))).unwrap();
    assert_eq!(subject.query::<String>("SELECT group_concat(number) FROM filter"), "1");
    for id in [11, 12, 4096, 4097, 9999] {
        assert_eq!(searched(&subject, &id.to_string()).0, [id]);
    }
    assert_eq!(searched(&subject, "long").0.len(), 10);
}

/// Returns what a histogram counts, by service, and the number of records.
fn counted(subject: &SqliteSubject) -> (std::collections::BTreeMap<String, u64>, u64) {
    let query = crate::query::Query::parse("", 0).unwrap();
    let (ids, fields) =
        (0..i64::MAX as u64, crate::record::ColumnSet::of_column(crate::record::Column::Service));
    let (time_min, time_max) = (i64::MIN, i64::MAX);
    let mut search = crate::store::Search { query, ids, time_min, time_max, descending: false, fields };
    let reader = search::SqliteReadConnection::open(&subject.path()).unwrap();
    let mut by_service = std::collections::BTreeMap::new();
    let mut add = |service: &str, records| *by_service.entry(service.to_owned()).or_insert(0) += records;
    while !search.ids.is_empty() {
        let take = |counted: CountedMatches<'_>| add(counted.service, counted.records);
        let reached = reader.counts(&search, 3600 * time::SECOND, SQLITE_BLOCK_ROWS, take).unwrap();
        search.ids = reached.rest;
        let mut rows = crate::store::Search { ids: reached.rows.clone(), ..search.clone() };
        while !rows.ids.is_empty() {
            let take = |_, record: &RecordRef<'_>| {
                add(record.origin.service, 1);
                true
            };
            rows.ids = reader.slice(&rows, SQLITE_BLOCK_ROWS, take).unwrap();
        }
        if !reached.rows.is_empty() {
            search.ids = search.rest_after(&reached.rows);
        }
    }
    let sum = by_service.values().sum();
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM record"), i64::try_from(sum).unwrap());
    (by_service, sum)
}

fn chunk_of_services(from: RecordId, to: RecordId, observed_timestamp: i64) -> Chunk {
    let mut batch = Batch::new();
    for id in from..to {
        let service = ["noise", "shop"][id as usize % 2];
        let origin = Origin { service, ..Origin::default() };
        batch.push(&RecordRef { observed_timestamp, origin, message: "m", ..RecordRef::default() });
    }
    Chunk::of(from, batch.bytes(), to - from)
}

#[test]
fn deleted_records_are_not_counted_in_any_block() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    let numbers = || subject.query::<String>("SELECT group_concat(number) FROM block_counts");
    block_on(store.write(&chunk_of_services(1, 10_000, 0))).unwrap();
    assert_eq!(numbers(), "0,1");
    assert_eq!(counted(&subject).1, 9999);
    block_on(store.delete(&to_delete([4095, 4096, 9000, 9002]))).unwrap();
    assert_eq!(numbers(), "1");
    assert_eq!(counted(&subject).1, 9995);
    // The block that was growing is completed later, and so is one that is read again after a
    // restart.
    block_on(store.write(&chunk_of_services(10_000, 13_000, 0))).unwrap();
    assert_eq!(numbers(), "1");
    block_on(store.delete(&to_delete([12_300]))).unwrap();
    drop(store);
    let mut store = subject.open();
    block_on(store.write(&chunk_of_services(13_000, 25_000, 0))).unwrap();
    assert_eq!(numbers(), "1,4,5");
    assert_eq!(counted(&subject).1, 24_994);
    // A deletion that deletes nothing changes nothing.
    block_on(store.delete(&to_delete([4096, 20_000_000]))).unwrap();
    assert_eq!(numbers(), "1,4,5");
}

#[test]
fn expired_records_of_service_are_not_counted() {
    let subject = SqliteSubject::new();
    let rule = ServiceRetention { service: "noise".into(), age: Duration::from_secs(3600) };
    let mut store = subject.open().with_services(&[rule]);
    block_on(store.write(&chunk_of_services(1, 8193, time::now() - 65 * 60 * time::SECOND))).unwrap();
    block_on(store.write(&chunk_of_services(8193, 13_000, time::now()))).unwrap();
    assert_eq!(counted(&subject).0["noise"], 6499);
    assert_eq!(maintain_all(&mut store), 2);
    assert_eq!(counted(&subject).0["noise"], 6499 - 4096);
    assert_eq!(counted(&subject).0["shop"], 6500);
    assert_eq!(subject.query::<String>("SELECT group_concat(number) FROM block_counts"), "2");
}
