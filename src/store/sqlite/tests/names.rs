//! The table `origin`: rows are deleted once no record refers to them.

use super::*;
use crate::store::reader::NameSearchStep;
use crate::store::sqlite::unused_names::NameSearch;

#[test]
fn retention_deletes_unused_origins() {
    let subject = SqliteSubject::new();
    let retention = Retention { age: Some(Duration::from_secs(3600)), bytes: None };
    let mut store = subject.with(retention);
    let old = time::now() - 61 * 60 * time::SECOND;
    let write =
        |store: &mut SqliteStore, from: RecordId, thread: &dyn Fn(RecordId) -> String, observed_timestamp| {
            let mut batch = Batch::new();
            for id in from..from + 10_000 {
                let thread = thread(id);
                let origin = Origin { thread: &thread, ..Origin::default() };
                batch.push(&RecordRef { observed_timestamp, origin, message: "m", ..RecordRef::default() });
            }
            block_on(store.write(&Chunk::of(from, batch.bytes(), 10_000))).unwrap();
        };
    write(&mut store, 1, &|id| format!("thread {id}"), old);
    let mut next = 10_001;
    while next < 2 * crate::limits::SQLITE_ORIGIN_LEASE_IDS {
        write(&mut store, next, &|_| "main".to_owned(), old);
        next += 10_000;
    }
    write(&mut store, next, &|_| "main".to_owned(), time::now());
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM origin"), 10_001);
    maintain_all(&mut store);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM origin"), 1);
    // An origin that was deleted is inserted again with its next record.
    write(&mut store, next + 10_000, &|_| "thread 17".to_owned(), time::now());
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs WHERE thread = 'thread 17'"), 10_000);
    let flat = subject.query::<i64>("SELECT count(*) FROM logs");
    assert_eq!(flat, subject.query::<i64>("SELECT count(*) FROM record"));
}

/// There are as many origins as records, and together they exceed the size limit.
#[test]
fn retention_by_size_frees_origins_before_more_records() {
    const BYTES_MAX: u64 = 6 << 20;
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: None, bytes: Some(BYTES_MAX) });
    let mut last_kept = 0;
    for from in (1..90_001).step_by(10_000) {
        let mut batch = Batch::new();
        for id in from..from + 10_000 {
            let (thread, now) = (name(id), time::now());
            let origin = Origin { thread: &thread, service: "s", ..Origin::default() };
            batch.push(&RecordRef { origin, message: "m", observed_timestamp: now, ..RecordRef::default() });
        }
        block_on(store.write(&Chunk::of(from, batch.bytes(), 10_000))).unwrap();
        maintain_all(&mut store);
        let kept: u64 = subject.query::<i64>("SELECT count(*) FROM logs").unsigned_abs();
        if from > 40_000 {
            assert!(kept > 12_000, "{kept} records are left of {from}");
        }
        last_kept = kept;
    }
    let used = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    assert!(subject.query::<i64>(used).unsigned_abs() <= BYTES_MAX);
    let origins: u64 = subject.query::<i64>("SELECT count(*) FROM origin").unsigned_abs();
    assert!(origins <= last_kept + SQLITE_BLOCK_ROWS, "{origins} for {last_kept}");
    assert_eq!(subject.query::<i64>("SELECT count(*) = max(id) - min(id) + 1 FROM logs"), 1);
}

/// However rarely an origin occurs, its row stays as long as a record refers to it, and not much
/// longer.
#[test]
fn origins_stay_as_long_as_records_use_them() {
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: None, bytes: Some(2 << 20) });
    let periods = [1, 7, 4096, 5000, 30_000];
    for from in (1..120_001).step_by(5000) {
        let mut batch = Batch::new();
        for id in from..from + 5000 {
            let period = periods.iter().rev().find(|period| id % **period == 0).unwrap();
            let thread = if id % 2 == 0 { format!("every {period}") } else { format!("once {id}") };
            let origin = Origin { thread: &thread, ..Origin::default() };
            batch.push(&RecordRef { origin, message: "m", ..RecordRef::default() });
        }
        block_on(store.write(&Chunk::of(from, batch.bytes(), 5000))).unwrap();
        maintain_all(&mut store);
        let lost = "SELECT count(*) FROM record WHERE origin_id NOT IN (SELECT id FROM origin)";
        assert_eq!(subject.query::<i64>(lost), 0, "{from}");
        if from % 20_000 == 1 {
            store = subject.with(Retention { age: None, bytes: Some(2 << 20) });
        }
    }
    let first: i64 = subject.query("SELECT min(id) FROM record");
    assert!(first > 50_000, "{first}");
    let left = "SELECT count(*) FROM origin WHERE thread LIKE 'once %'
        AND id NOT IN (SELECT origin_id FROM record)";
    assert!(subject.query::<i64>(left) <= SQLITE_BLOCK_ROWS as i64);
}

/// There may be as many origins as records: one bit is held for each id, for at most
/// `DELETE_NAMES_IDS` ids at once.
#[test]
fn origins_are_examined_in_parts() {
    let subject = SqliteSubject::new();
    let mut batch = Batch::new();
    for id in 1..=3000 {
        let thread = name(id);
        batch.push(&RecordRef {
            origin: Origin { thread: &thread, ..Origin::default() },
            message: "m",
            ..RecordRef::default()
        });
    }
    block_on(subject.open().write(&Chunk::of(1, batch.bytes(), 3000))).unwrap();
    Connection::open(subject.path())
        .unwrap()
        .execute_batch(
            "DELETE FROM record WHERE id % 3 = 0; DELETE FROM origin WHERE id BETWEEN 1000 AND 2500",
        )
        .unwrap();
    let reader = search::SqliteReadConnection::open(&subject.path()).unwrap();
    let (mut search, mut unused) = (NameSearch::default(), Vec::new());
    loop {
        match search.step(&reader, 500).unwrap() {
            NameSearchStep::Searching => {}
            NameSearchStep::Found(found) => {
                assert_eq!(found.end, 3001);
                unused.extend(found.ids);
            }
            NameSearchStep::Done => break,
        }
    }
    let expected: Vec<i64> = (1..=3000).filter(|id| id % 3 == 0 && !(1000..=2500).contains(id)).collect();
    assert_eq!(unused, expected);
}
