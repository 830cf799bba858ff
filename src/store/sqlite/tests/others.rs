//! What other processes do to the database while the store has it open.

use super::*;

#[test]
fn locked_database_is_a_passing_error() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    block_on(store.write(&chunk(1, 2))).unwrap();
    let other = Connection::open(subject.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = block_on(store.write(&chunk(2, 3))).unwrap_err();
    assert!(error.hint.unwrap().contains("another process holds a lock"));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(block_on(store.position()).unwrap(), 2);
    block_on(store.write(&chunk(2, 3))).unwrap();
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 2);
}

/// Other programs may do this while the server runs.
#[test]
fn database_shrunk_by_others_is_accepted() {
    let subject = filled();
    let mut store = subject.open();
    block_on(store.write(&chunk(9001, 9002))).unwrap();
    block_on(store.sync()).unwrap();
    let other = Connection::open(subject.path()).unwrap();
    let checkpoint = |mode: &str| {
        let checkpoint = format!("PRAGMA wal_checkpoint({mode})");
        other.query_row(&checkpoint, [], |row| row.get::<_, bool>(0)).unwrap()
    };
    other.execute_batch("DELETE FROM record WHERE id < 8000").unwrap();
    assert!(!checkpoint("TRUNCATE"));
    block_on(store.write(&chunk(9002, 9003))).unwrap();
    other.execute_batch("VACUUM").unwrap();
    assert!(!checkpoint("TRUNCATE"));
    block_on(store.write(&chunk(9003, 12_003))).unwrap();
    assert_eq!(block_on(store.sync()).unwrap(), 12_003);
    assert!(!checkpoint("RESTART"));
    assert!(!block_on(store.maintain()).unwrap());
    block_on(store.write(&chunk(12_003, 12_004))).unwrap();
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM record"), 12_003 - 7999);
}

#[test]
fn deleted_database_is_detected_before_release() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    block_on(store.write(&chunk(1, 5))).unwrap();
    std::fs::remove_file(subject.path()).unwrap();
    block_on(store.write(&chunk(5, 6))).unwrap();
    assert!(block_on(store.sync()).unwrap_err().what.contains("deleted"));
    assert_eq!(block_on(store.position()).unwrap(), 1);
}

/// The records in the log are durable, so the spool may not have them any more.
#[test]
fn deleted_write_ahead_log_is_saved_into_database() {
    for suffixes in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
        let subject = SqliteSubject::new();
        let mut store = subject.open();
        block_on(store.write(&chunk(1, 1001))).unwrap();
        assert_eq!(block_on(store.sync()).unwrap(), 1001);
        // Keeps the store's own connection from being the last one, whose end would save the log,
        // too.
        let reader = Connection::open(subject.path()).unwrap();
        let count = |connection: &Connection| {
            connection.query_row("SELECT count(*) FROM record", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(count(&reader), 1000);
        for suffix in suffixes {
            std::fs::remove_file(beside(&subject.path(), suffix)).unwrap();
        }
        block_on(store.write(&chunk(1001, 1101))).unwrap();
        let error = block_on(store.sync()).unwrap_err();
        assert!(error.what.contains("moved or deleted"), "{error}");
        assert_eq!(block_on(store.position()).unwrap(), 1101);
        block_on(store.write(&chunk(1101, 1201))).unwrap();
        assert_eq!(block_on(store.sync()).unwrap(), 1201);
        drop(store);
        drop(reader);
        let found = Connection::open(subject.path()).unwrap();
        assert_eq!(count(&found), 1200, "{suffixes:?}");
        let check: String = found.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}

#[test]
fn changed_position_is_rejected() {
    for position in [-5, 0, 1, i64::MAX, 1101, 51] {
        let subject = SqliteSubject::new();
        let mut store = subject.open();
        block_on(store.write(&chunk(1, 101))).unwrap();
        let set = |position: i64| {
            let sql = format!("UPDATE shipped SET position = {position}");
            Connection::open(subject.path()).unwrap().execute_batch(&sql).unwrap();
        };
        set(position);
        // The store that has the database open, and a store that opens it.
        let other = subject.open().with_claimant(Claimant::in_folder(subject.0.path(), "other"));
        for mut store in [store, other] {
            for _ in 0..2 {
                let error = block_on(store.write(&chunk(101, 111))).unwrap_err();
                assert!(error.hint.is_some(), "{position}: {error}");
            }
            let error = block_on(store.position()).unwrap_err();
            assert!(error.what.contains("cannot be trusted"), "{position}: {error}");
        }
        set(101);
        let mut store = subject.open();
        block_on(store.write(&chunk(101, 111))).unwrap();
        assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 110);
    }
}

#[test]
fn taken_over_database_is_not_written_to() {
    let subject = SqliteSubject::new();
    let (mut one, mut two) = (subject.open(), subject.open());
    block_on(one.write(&chunk(1, 11))).unwrap();
    assert_eq!(block_on(two.position()).unwrap(), 11);
    assert!(block_on(one.write(&chunk(11, 21))).is_err());
    assert!(block_on(one.maintain()).is_err());
    let refusal = block_on(one.position()).unwrap_err();
    assert!(refusal.what.contains("ships into it"), "{refusal}");
    block_on(two.write(&chunk(11, 16))).unwrap();
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 15);
}
