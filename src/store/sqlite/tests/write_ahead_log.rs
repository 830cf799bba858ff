//! The write-ahead log: its durability, and its size.

use super::*;

#[test]
fn linked_database_is_synced_and_its_log_stays_small() {
    let subject = SqliteSubject::new();
    let real = subject.0.path().join("real.db");
    std::fs::write(&real, b"").unwrap();
    std::os::unix::fs::symlink(&real, subject.path()).unwrap();
    let mut store = subject.open();
    let mut next = 1;
    while next < 600_000 {
        block_on(store.write(&chunk(next, next + 20_000))).unwrap();
        next += 20_000;
        assert_eq!(block_on(store.sync()).unwrap(), next);
    }
    let written_ahead = std::fs::metadata(write_ahead_log(&real)).unwrap().len();
    assert!(written_ahead < 2 * SQLITE_WAL_BYTES_TARGET, "{written_ahead}");
    std::fs::remove_file(write_ahead_log(&real)).unwrap();
    assert!(block_on(store.sync()).is_err());
}

/// The system reports only once what it could not write, and then reports success.
#[test]
fn any_failed_sync_forces_full_checkpoint() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    block_on(store.write(&chunk(1, 100))).unwrap();
    let reader = Connection::open(subject.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM record").unwrap();
    let _: i64 = reader.query_row("SELECT count(*) FROM record", [], |row| row.get(0)).unwrap();
    // Changes the path of the store's write-ahead log to one where there is no file.
    let database = store.database.as_mut().unwrap();
    (database.path, database.companions) = (subject.0.path().join("nowhere"), [None, None]);
    assert!(block_on(store.scrub()).is_err());
    // A sync is not trusted before everything is in the database itself, which the reader prevents.
    assert!(block_on(store.sync()).is_err());
    assert!(block_on(store.sync()).is_err());
    drop(reader);
    assert_eq!(block_on(store.sync()).unwrap(), 100);
    assert_eq!(std::fs::metadata(write_ahead_log(&subject.path())).unwrap().len(), 0);
}

fn log_bytes(subject: &SqliteSubject) -> u64 {
    std::fs::metadata(beside(&subject.path(), "-wal")).map_or(0, |data| data.len())
}

/// Writes records of two services in turns, so that deleting those of one rewrites all pages.
fn two_services(subject: &SqliteSubject, blocks: u64) {
    let mut store = subject.open();
    let message = "x".repeat(900);
    for from in (1..1 + blocks * SQLITE_BLOCK_ROWS).step_by(1024) {
        let mut batch = Batch::new();
        for id in from..from + 1024 {
            let service = if id % 2 == 0 { "noise" } else { "shop" };
            let origin = Origin { service, ..Origin::default() };
            batch.push(&RecordRef { origin, message: &message, ..RecordRef::default() });
        }
        block_on(store.write(&Chunk::of(from, batch.bytes(), 1024))).unwrap();
        block_on(store.sync()).unwrap();
    }
    block_on(store.scrub()).unwrap();
}

#[test]
fn write_ahead_log_stays_small_while_records_expire() {
    let subject = SqliteSubject::new();
    two_services(&subject, 16);
    let noise = ServiceRetention { service: "noise".into(), age: Duration::from_millis(1) };
    let mut store = subject.open().with_services(&[noise]);
    let (mut slices, mut bytes_max) = (0, 0);
    while slices < 16 {
        slices += u32::from(block_on(store.maintain()).unwrap());
        bytes_max = log_bytes(&subject).max(bytes_max);
    }
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 16 * 2048);
    assert!(bytes_max < SQLITE_WAL_BYTES_TARGET * 3 / 2, "{bytes_max}");
}

#[test]
fn retention_waits_while_reader_holds_write_ahead_log() {
    let subject = SqliteSubject::new();
    two_services(&subject, 4);
    let reader = Connection::open(subject.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM record LIMIT 1").unwrap();
    let mut store = subject.with(Retention { age: None, bytes: Some(1) });
    let message = "x".repeat(500 << 10);
    for id in 16_385..16_385 + 2 * SQLITE_WAL_BYTES_TARGET / message.len() as u64 {
        let mut batch = Batch::new();
        batch.push(&RecordRef { message: &message, ..RecordRef::default() });
        block_on(store.write(&Chunk::of(id, batch.bytes(), 1))).unwrap();
    }
    assert!(!block_on(store.maintain()).unwrap(), "it would only lengthen the log");
    assert_eq!(subject.query::<i64>("SELECT min(id) FROM record"), 1);
    reader.execute_batch("COMMIT").unwrap();
    block_on(store.sync()).unwrap();
    while block_on(store.maintain()).unwrap() {}
    assert!(subject.query::<i64>("SELECT coalesce(min(id), 99999) FROM record") > 16_384);
}

#[test]
fn retention_keeps_pace_while_reader_holds_log() {
    let subject = SqliteSubject::new();
    two_services(&subject, 16);
    let reader = Connection::open(subject.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM record LIMIT 1").unwrap();
    let mut store = subject.with(Retention { age: None, bytes: Some(1) });
    let message = "x".repeat(900);
    let mut batch = Batch::new();
    let rows = SQLITE_BLOCK_ROWS / 2;
    (0..rows).for_each(|_| batch.push(&RecordRef { message: &message, ..RecordRef::default() }));
    for number in 0..10 {
        let first = 16 * SQLITE_BLOCK_ROWS + 1 + number * rows;
        block_on(store.write(&Chunk::of(first, batch.bytes(), rows))).unwrap();
    }
    let deleted = (0..20).filter(|_| block_on(store.maintain()).unwrap()).count();
    assert_eq!(deleted, 10, "twice the rows that were written");
    reader.execute_batch("COMMIT").unwrap();
}

#[test]
fn write_ahead_log_stays_small_during_deletion() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    let large = "x".repeat(900 << 10);
    for id in 1..65 {
        let mut batch = Batch::new();
        batch.push(&RecordRef { message: &large, ..RecordRef::default() });
        block_on(store.write(&Chunk::of(id, batch.bytes(), 1))).unwrap();
    }
    block_on(store.scrub()).unwrap();
    let log_bytes = || std::fs::metadata(beside(&subject.path(), "-wal")).unwrap().len();
    assert_eq!(log_bytes(), 0);
    for from in (1..65).step_by(8) {
        assert_eq!(block_on(store.delete(&to_delete(from..from + 8))).unwrap(), 8);
        block_on(store.sync()).unwrap(); // as the shipper does
        assert!(log_bytes() < 3 * SQLITE_WAL_BYTES_TARGET, "{}", log_bytes());
    }
}
