//! The SQLite store.

use tempfile::TempDir;

use super::*;
use std::time::Duration;

use super::unused_names::NameSearch;
use crate::limits::{SQLITE_BLOCK_ROWS, SQLITE_WAL_BYTES_TARGET};
use crate::record::{Batch, Origin, RecordRef, time};
use crate::store::ServiceRetention;
use crate::store::contract::{self, Subject, chunk};
use crate::store::reader::{CountedMatches, NameSearchStep};

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

    fn query<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        Connection::open(self.path()).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

impl Subject for SqliteSubject {
    type Store = SqliteStore;

    fn open(&self) -> SqliteStore {
        self.with(Retention::default())
    }

    fn read(&self, _: RecordId) -> Vec<(RecordId, String)> {
        let connection = Connection::open(self.path()).unwrap();
        let mut select = connection.prepare("SELECT id, message FROM logs ORDER BY id").unwrap();
        let rows = select.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[test]
fn contract() {
    contract::check(SqliteSubject::new);
}

#[test]
fn view_shows_every_field_flat() {
    let subject = SqliteSubject::new();
    let mut batch = Batch::new();
    batch.push(&RecordRef {
        timestamp: -1,
        severity_number: 14,
        origin: Origin {
            service: "s",
            logger: "l",
            host: "h",
            file: "f",
            line: 3,
            function: "g",
            process_id: 4,
            thread: "t",
            severity_text: "",
        },
        message: "m",
        trace_id: "a",
        span_id: "b",
        event_name: "e",
        attributes: r#"{"k":1}"#,
        ..RecordRef::default()
    });
    batch.push(&RecordRef {
        origin: Origin { severity_text: "Level 25", ..Origin::default() },
        ..RecordRef::default()
    });
    block_on(subject.open().write(&Chunk::of(1, batch.bytes(), 2))).unwrap();
    let flat = "SELECT json_array(id, time, severity_number, severity, service, logger, host, message, trace_id, span_id,
        event_name, file, line, function, process_id, thread, attributes) FROM logs WHERE id = ";
    assert_eq!(
        subject.query::<String>(&format!("{flat} 1")),
        r#"[1,"1969-12-31T23:59:59.999999999Z",14,"WARN2","s","l","h","m","a","b","e","f",3,"g",4,"t","{\"k\":1}"]"#
    );
    assert_eq!(
        subject.query::<String>(&format!("{flat} 2")),
        r#"[2,"1970-01-01T00:00:00.000000000Z",0,"Level 25",null,null,null,null,null,null,null,null,null,null,null,null,null]"#
    );
}

#[test]
fn view_names_severities_like_records() {
    let subject = SqliteSubject::new();
    let mut batch = Batch::new();
    for severity_number in 0..=24 {
        batch.push(&RecordRef { severity_number, ..RecordRef::default() });
    }
    block_on(subject.open().write(&Chunk::of(1, batch.bytes(), 25))).unwrap();
    for number in 0..=24u8 {
        let name: Option<String> =
            subject.query(&format!("SELECT severity FROM logs WHERE severity_number = {number}"));
        assert_eq!(name.unwrap_or_default(), crate::record::severity::name(number));
    }
}

#[test]
fn refused_rows_alone_become_dead_letters() {
    for raise in ["ABORT", "FAIL"] {
        let subject = SqliteSubject::new();
        block_on(subject.open().position()).unwrap();
        Connection::open(subject.path())
            .unwrap()
            .execute_batch(&format!(
                "CREATE TRIGGER picky BEFORE INSERT ON record WHEN new.message IN ('message 3', 'message 70', 'message 200')
                 BEGIN SELECT raise({raise}, 'not these'); END"
            ))
            .unwrap();
        let written = block_on(subject.open().write(&chunk(1, 201))).unwrap();
        assert_eq!(written, Written { stored: 197, dead_letters: 3 }, "{raise}");
        assert_eq!(block_on(subject.open().position()).unwrap(), 201);
        assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 197);
        let dead: String = subject.query(
            "SELECT group_concat(id || reason || json_extract(record, '$.message'), ' ') FROM logs_dead_letter",
        );
        assert_eq!(dead, "3not thesemessage 3 70not thesemessage 70 200not thesemessage 200");
    }
}

/// `RAISE(IGNORE)` raises no error.
#[test]
fn rows_ignored_by_trigger_become_dead_letters() {
    let subject = SqliteSubject::new();
    block_on(subject.open().position()).unwrap();
    let ignore = "CREATE TRIGGER greedy BEFORE INSERT ON record WHEN new.message IN ('message 3', 'message 70', 'message 200')
         BEGIN SELECT raise(IGNORE); END";
    Connection::open(subject.path()).unwrap().execute_batch(ignore).unwrap();
    let written = block_on(subject.open().write(&chunk(1, 201))).unwrap();
    assert_eq!(written, Written { stored: 197, dead_letters: 3 });
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 197);
    let dead: String =
        subject.query("SELECT group_concat(json_extract(record, '$.message'), ', ') FROM logs_dead_letter");
    assert_eq!(dead, "message 3, message 70, message 200");
    let reason: String = subject.query("SELECT DISTINCT reason FROM logs_dead_letter");
    assert_eq!(reason, "the row did not arrive in `record`: blocked by a trigger (greedy)");
    assert_eq!(subject.query::<i64>("SELECT missing FROM logs_accounted"), 0);
}

#[test]
fn trigger_ignoring_rows_of_other_tables_is_an_error() {
    for table in ["origin", "block", "logs_dead_letter"] {
        let subject = SqliteSubject::new();
        block_on(subject.open().position()).unwrap();
        let connection = Connection::open(subject.path()).unwrap();
        connection
            .execute_batch(&format!(
                "CREATE TRIGGER picky BEFORE INSERT ON record WHEN new.message = 'message 3'
                     BEGIN SELECT raise(ABORT, 'not this'); END;
                 CREATE TRIGGER deaf BEFORE INSERT ON {table} BEGIN SELECT raise(IGNORE); END"
            ))
            .unwrap();
        let mut store = subject.open();
        let error = block_on(store.write(&chunk(1, 5))).unwrap_err();
        assert!(error.hint.unwrap().contains("a trigger that was added"), "{table}: {}", error.what);
        assert_eq!(block_on(store.position()).unwrap(), 1);
        assert_eq!(subject.query::<i64>("SELECT count(*) FROM record"), 0);
        connection.execute_batch("DROP TRIGGER deaf").unwrap();
        let written = block_on(store.write(&chunk(1, 5))).unwrap();
        assert_eq!(written, Written { stored: 3, dead_letters: 1 });
    }
}

#[test]
fn missing_fields_are_not_taken_from_previous_row() {
    let subject = SqliteSubject::new();
    let mut batch = Batch::new();
    let text = |id: u32, of: u32| if id.is_multiple_of(of) { "x" } else { "" };
    for id in 1..=500 {
        let (message, trace_id, span_id) = (text(id, 2), text(id, 3), text(id, 5));
        let (event_name, attributes) = (text(id, 7), if id % 11 == 0 { "{}" } else { "" });
        batch.push(&RecordRef { message, trace_id, span_id, event_name, attributes, ..RecordRef::default() });
    }
    block_on(subject.open().write(&Chunk::of(1, batch.bytes(), 500))).unwrap();
    let wrong = "SELECT count(*) FROM record WHERE (message IS NULL) <> (id % 2 > 0) OR (trace_id IS NULL) <> (id % 3 > 0)
        OR (span_id IS NULL) <> (id % 5 > 0) OR (event_name IS NULL) <> (id % 7 > 0) OR (attributes IS NULL) <> (id % 11 > 0)";
    assert_eq!(subject.query::<i64>(wrong), 0);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM record"), 500);
}

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

#[test]
fn invalid_database_is_refused_until_moved_away() {
    let subject = SqliteSubject::new();
    std::fs::write(subject.path(), "not a database, and long enough to be read as one's header. ".repeat(20))
        .unwrap();
    let mut store = subject.open();
    let error = block_on(store.position()).unwrap_err();
    assert!(error.what.contains("not a database"), "{error}");
    assert!(error.hint.unwrap().contains("move"));
    std::fs::remove_file(subject.path()).unwrap();
    assert_eq!(block_on(store.position()).unwrap(), 1);
}

/// Returns a database with two blocks, and a part of a third.
fn filled() -> SqliteSubject {
    let subject = SqliteSubject::new();
    block_on(subject.open().write(&chunk(1, 9001))).unwrap();
    subject
}

#[test]
fn invalid_utf8_hides_no_other_record() {
    let subject = filled();
    let spoil = "UPDATE record SET message = CAST(x'6f6b20ff' AS TEXT) WHERE id = 9000;
        UPDATE record SET attributes = CAST(x'ff' AS TEXT) WHERE id = 100;
        UPDATE origin SET service = CAST(x'fe' AS TEXT)";
    Connection::open(subject.path()).unwrap().execute_batch(spoil).unwrap();
    let mut store = subject.open();
    assert_eq!(block_on(store.position()).unwrap(), 9001);
    block_on(store.write(&chunk(9001, 9101))).unwrap();
    assert!(!block_on(store.maintain()).unwrap());
    assert_eq!(searched(&subject, "8999").0, [8999], "the block goes without a filter");
    assert_eq!(searched(&subject, "9050").0, [9050]);
    let reader = search::SqliteReadConnection::open(&subject.path()).unwrap();
    let mut messages = Vec::new();
    let search = crate::store::Search {
        query: crate::query::Query::parse("", 0).unwrap(),
        ids: 9000..9002,
        time_min: i64::MIN,
        time_max: i64::MAX,
        descending: false,
        fields: crate::record::ColumnSet::ALL,
    };
    let slice = reader.slice(&search, 10, |_, record| {
        messages.push(record.message.to_owned());
        true
    });
    slice.unwrap();
    assert_eq!(messages, ["ok ", "message 9001"]);
}

#[test]
fn incomplete_database_is_an_error_with_hint() {
    for damage in ["DROP TABLE block", "DROP TABLE origin", "DELETE FROM shipped", "DROP TABLE shipped"] {
        let subject = filled();
        Connection::open(subject.path()).unwrap().execute_batch(damage).unwrap();
        let mut store = subject.open();
        for _ in 0..2 {
            let error = block_on(store.position()).unwrap_err();
            let hint = error.hint.unwrap_or_default();
            assert!(hint.contains("move ") && hint.contains("`logboom restore`"), "{damage}: {}", error.what);
        }
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&subject.path(), suffix));
        }
        assert_eq!(block_on(store.position()).unwrap(), 1, "a new one");
    }
}

#[test]
fn impossible_block_ids_are_an_error() {
    for wrong in ["end_id = 9223372036854775807", "first_id = -4096"] {
        let subject = filled();
        let connection = Connection::open(subject.path()).unwrap();
        connection.execute_batch(&format!("UPDATE block SET {wrong} WHERE first_id = 4097")).unwrap();
        let reader = search::SqliteReadConnection::open(&subject.path()).unwrap();
        for word in ["", "8000"] {
            let mut search = search_of(word);
            let error = loop {
                match reader.slice(&search, SQLITE_BLOCK_ROWS, |_, _| true) {
                    Ok(rest) => search.ids = rest,
                    Err(error) => break error,
                }
                assert!(!search.ids.is_empty(), "{wrong} is believed");
            };
            assert!(error.to_string().contains("out of range"), "{wrong}: {error}");
        }
    }
    let subject = filled();
    let connection = Connection::open(subject.path()).unwrap();
    connection.execute_batch("UPDATE block SET end_id = -1 WHERE first_id = 8193").unwrap();
    assert!(block_on(subject.open().position()).is_err(), "the last block");
}

#[test]
fn dropped_view_is_created_again() {
    let subject = filled();
    let mut store = subject.open();
    block_on(store.position()).unwrap();
    Connection::open(subject.path()).unwrap().execute_batch("DROP VIEW logs").unwrap();
    assert!(block_on(store.maintain()).unwrap_err().what.contains("no such table: logs"));
    assert!(!block_on(store.maintain()).unwrap());
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 9000);
}

/// The shell command `> logboom.db` cuts the file short like this.
#[test]
fn truncated_file_is_detected_and_not_written_to() {
    let cut = |subject: &SqliteSubject, suffix: &str, part: u64| {
        let file = File::options().write(true).open(beside(&subject.path(), suffix)).unwrap();
        file.set_len(file.metadata().unwrap().len() / 4 * part).unwrap();
        file.metadata().unwrap().len()
    };
    type Call = fn(&mut SqliteStore) -> Result<(), StoreError>;
    let calls: [Call; 3] = [
        |store| block_on(store.write(&chunk(9101, 9102))).map(|_| ()),
        |store| block_on(store.sync()).map(|_| ()),
        |store| block_on(store.maintain()).map(|_| ()),
    ];
    for (suffix, part) in [("", 0), ("", 3), ("-wal", 0), ("-wal", 3)] {
        for call in calls {
            let subject = filled();
            let mut store = subject.open();
            block_on(store.write(&chunk(9001, 9101))).unwrap();
            let bytes = cut(&subject, suffix, part);
            for _ in 0..3 {
                let error = call(&mut store).unwrap_err();
                let hint = error.hint.unwrap_or_default();
                assert!(error.what.contains("was truncated"), "{suffix} {part}: {}", error.what);
                assert!(hint.contains("move ") && hint.contains("`logboom restore`"), "{hint}");
                assert!(block_on(store.position()).is_err(), "it is not opened again");
            }
            let data = std::fs::metadata(beside(&subject.path(), suffix)).unwrap();
            assert_eq!(data.len(), bytes, "nothing hides what is missing");
            for suffix in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(beside(&subject.path(), suffix));
            }
            assert_eq!(block_on(store.position()).unwrap(), 1);
            block_on(store.write(&chunk(1, 11))).unwrap();
            assert_eq!(block_on(store.sync()).unwrap(), 11);
        }
    }
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
fn database_of_newer_version_is_refused() {
    let subject = SqliteSubject::new();
    Connection::open(subject.path()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(block_on(subject.open().position()).unwrap_err().what.contains("schema version 99"));
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

#[test]
fn retention_by_age_deletes_old_blocks_in_slices() {
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: Some(Duration::from_secs(3600)), bytes: None });
    let old = time::now() - 65 * 60 * time::SECOND;
    block_on(store.write(&aged_chunk(1, 10_001, old))).unwrap();
    block_on(store.write(&aged_chunk(10_001, 20_001, time::now()))).unwrap();
    assert_eq!(maintain_all(&mut store), 2);
    // The block with both old and new records stays whole, so the ids have no gaps.
    assert_eq!(subject.query::<i64>("SELECT min(id) FROM logs"), 8193);
    assert_eq!(subject.query::<i64>("SELECT count(*) = max(id) - min(id) + 1 FROM logs"), 1);
    assert_eq!(block_on(store.position()).unwrap(), 20_001);
}

/// Ten years may have passed, or the clock may be wrong.
#[test]
fn retention_by_age_waits_for_evidence_of_clock() {
    const DAY: i64 = 86_400 * time::SECOND;
    let retention = Retention { age: Some(Duration::from_secs(30 * 86_400)), bytes: None };
    let now = time::now();
    for (received, deleted) in [
        (&[now - 3650 * DAY, now][..], 0),
        // The same again, but the clock has run for a day since; a restart in between does not
        // matter.
        (&[now - 3650 * DAY, now - DAY - DAY / 24, now], 1),
        (&[now - 3650 * DAY, now - 20 * DAY, now], 0),
        // Records that were received while the clock was ahead do not keep earlier ones from being
        // deleted.
        (&[now + 3650 * DAY, now - 31 * DAY, now - 2 * DAY, now], 2),
        (&[now + 3650 * DAY, now - 2 * DAY, now], 0),
        // Records that were received while the clock was behind do not cause the deletion of
        // earlier ones.
        (&[now - 2 * DAY, now - 3650 * DAY, now - 2 * DAY, now], 0),
    ] {
        let subject = SqliteSubject::new();
        let mut store = subject.with(retention);
        for (index, received) in received.iter().enumerate() {
            let from = 1 + index as u64 * SQLITE_BLOCK_ROWS;
            block_on(store.write(&aged_chunk(from, from + SQLITE_BLOCK_ROWS, *received))).unwrap();
        }
        assert_eq!(maintain_all(&mut store), deleted, "{received:?}");
        assert_eq!(subject.query::<i64>("SELECT min(id) FROM logs"), 1 + i64::from(deleted) * 4096);
    }
}

#[test]
fn retention_by_size_keeps_newest_records() {
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: None, bytes: Some(1 << 20) });
    for from in (1..100_000).step_by(10_000) {
        block_on(store.write(&chunk(from, from + 10_000))).unwrap();
    }
    assert!(maintain_all(&mut store) > 5);
    assert_eq!(subject.query::<i64>("SELECT max(id) FROM logs"), 100_000);
    assert!(subject.query::<i64>("SELECT count(*) FROM logs") > 10_000);
    assert_eq!(subject.query::<i64>("SELECT count(*) = max(id) - min(id) + 1 FROM logs"), 1);
}

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

fn to_delete(ids: impl IntoIterator<Item = RecordId>) -> RecordsToDelete {
    let mut to_delete = RecordsToDelete::default();
    ids.into_iter().for_each(|id| to_delete.push(id, 0));
    to_delete
}

#[test]
fn deleted_records_are_accounted_for() {
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: Some(Duration::from_secs(3600)), bytes: None });
    let old = time::now() - 65 * 60 * time::SECOND;
    block_on(store.write(&aged_chunk(1, 5001, old))).unwrap();
    block_on(store.write(&aged_chunk(5001, 10_001, time::now()))).unwrap();
    let missing = || subject.query::<i64>("SELECT missing FROM logs_accounted");
    assert_eq!(missing(), 0);
    // The first and the last id, ids around the border of a block, and ids that do not exist.
    let ids = [1, 2, 5, 4095, 4096, 4097, 4098, 9999, 10_000, 10_001, 20_000];
    assert_eq!(block_on(store.delete(&to_delete(ids))).unwrap(), 9);
    assert_eq!(block_on(store.delete(&to_delete(ids))).unwrap(), 0);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 9991);
    assert_eq!(missing(), 0);
    assert_eq!(
        subject.query::<String>("SELECT group_concat(block || ':' || first_id || '-' || last_id || ':' || records, ' ') FROM logs_deleted"),
        "1:1-4096:5 4097:4097-4098:2 8193:9999-10000:2"
    );
    // Deletions in a block that is deleted as a whole are no longer accounted for separately.
    maintain_all(&mut store);
    assert_eq!(subject.query::<i64>("SELECT min(id) FROM logs"), 4099);
    assert_eq!(missing(), 0);
    assert_eq!(subject.query::<i64>("SELECT sum(records) FROM logs_deleted"), 4);
    assert_eq!(block_on(store.position()).unwrap(), 10_001);
    // A record that is really lost is reported as missing.
    Connection::open(subject.path()).unwrap().execute_batch("DELETE FROM record WHERE id = 5000").unwrap();
    assert_eq!(missing(), 1);
}

/// Otherwise dead letters would stay forever, and take the room of stored records.
#[test]
fn retention_deletes_dead_letters_with_their_block() {
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: Some(Duration::from_secs(3600)), bytes: None });
    block_on(store.position()).unwrap();
    Connection::open(subject.path())
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER picky BEFORE INSERT ON record WHEN new.id % 4 = 1 BEGIN SELECT raise(ABORT, 'not this'); END",
        )
        .unwrap();
    let old = time::now() - 65 * 60 * time::SECOND;
    block_on(store.write(&aged_chunk(1, 4097, old))).unwrap();
    block_on(store.write(&aged_chunk(4097, 5001, time::now()))).unwrap();
    assert_eq!(maintain_all(&mut store), 1);
    assert_eq!(
        subject.query::<String>("SELECT min(id) || ' ' || count(*) FROM logs_dead_letter"),
        "4097 226"
    );
    assert_eq!(subject.query::<i64>("SELECT missing FROM logs_accounted"), 0);
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

#[test]
fn deleted_bytes_are_in_no_file() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    let secret = format!("secret {}", "x".repeat(30_000)); // also longer than a page
    for from in (1..1000).step_by(10) {
        let mut batch = Batch::new();
        for id in from..from + 10 {
            let message = if id % 7 == 0 { format!("{secret} {id}") } else { format!("plain {id}") };
            batch.push(&RecordRef { message: &message, ..RecordRef::default() });
        }
        block_on(store.write(&Chunk::of(from, batch.bytes(), 10))).unwrap();
    }
    block_on(store.sync()).unwrap();
    let holds = |text: &str| {
        ["", "-wal", "-shm"].iter().any(|suffix| {
            let bytes = std::fs::read(beside(&subject.path(), suffix)).unwrap_or_default();
            memchr::memmem::find(&bytes, text.as_bytes()).is_some()
        })
    };
    assert!(holds("secret xxx"));
    assert_eq!(block_on(store.delete(&to_delete((1..1000).filter(|id| id % 7 == 0)))).unwrap(), 142);
    let reader = Connection::open(subject.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM record").unwrap();
    let read: i64 = reader.query_row("SELECT count(*) FROM record", [], |row| row.get(0)).unwrap();
    assert_eq!(read, 858);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(block_on(store.scrub()).unwrap(), 1);
    assert!(!holds("secret") && !holds("xxxxxxxx"));
    assert!(holds("plain 999"));
}

#[test]
fn reader_holds_back_scrub_but_not_writes() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    block_on(store.write(&chunk(1, 100))).unwrap();
    let reader = Connection::open(subject.path()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let _: i64 = reader.query_row("SELECT count(*) FROM record", [], |row| row.get(0)).unwrap();
    block_on(store.delete(&to_delete([7]))).unwrap();
    assert_eq!(block_on(store.scrub()).unwrap(), 0);
    block_on(store.write(&chunk(100, 200))).unwrap();
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(block_on(store.scrub()).unwrap(), 1);
}

#[test]
fn services_have_their_own_shorter_retention() {
    let subject = SqliteSubject::new();
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let rule = |service: &str, age| ServiceRetention { service: service.into(), age: hours(age) };
    let rules = [rule("noise", 1), rule("", 1), rule("chatter", 10)];
    let open = || subject.open().with_services(&rules);
    let mut store = open();
    let write = |store: &mut SqliteStore, from: RecordId, observed_timestamp| {
        let mut batch = Batch::new();
        for id in from..from + 4096 {
            let service = ["noise", "chatter", "billing", ""][id as usize % 4];
            let origin = Origin { service, ..Origin::default() };
            batch.push(&RecordRef { observed_timestamp, origin, message: "m", ..RecordRef::default() });
        }
        block_on(store.write(&Chunk::of(from, batch.bytes(), 4096))).unwrap();
    };
    let ago = |minutes: i64| time::now() - minutes * 60 * time::SECOND;
    write(&mut store, 1, ago(65));
    write(&mut store, 4097, ago(64));
    write(&mut store, 8193, ago(1));
    let slices = maintain_all(&mut store);
    assert_eq!(slices, 4, "two blocks for each of two services");
    let count = |service: &str| {
        subject.query::<i64>(&format!("SELECT count(*) FROM logs WHERE service IS {service}"))
    };
    assert_eq!((count("'noise'"), count("NULL")), (1024, 1024));
    assert_eq!((count("'chatter'"), count("'billing'")), (3 * 1024, 3 * 1024));
    assert_eq!(subject.query::<i64>("SELECT missing FROM logs_accounted"), 0);
    assert_eq!(subject.query::<i64>("SELECT sum(records) FROM logs_deleted WHERE reason = 'expired'"), 4096);
    // Neither a restart nor further records make the store examine a block again.
    drop(store);
    let mut store = open();
    assert_eq!(maintain_all(&mut store), 0);
    write(&mut store, 12_289, ago(1));
    assert_eq!(maintain_all(&mut store), 0);
}

#[test]
fn copy_of_database_in_use_is_one_snapshot() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    block_on(store.write(&chunk(1, 30_001))).unwrap();
    block_on(store.delete(&to_delete([5, 6, 30_000]))).unwrap();
    let copy = subject.0.path().join("a copy%20?.db");
    let mut next = 30_001;
    let mut pages = 0;
    let figures = backup::copy(&subject.path(), &copy, |done, _| {
        pages = done;
        block_on(store.write(&chunk(next, next + 1000))).unwrap();
        next += 1000;
    })
    .unwrap();
    assert!(pages > 0 && next > 30_001);
    assert_eq!(backup::verify(&copy).unwrap(), figures);
    let expected = backup::Figures {
        first_id: 1,
        last_id: 30_000,
        records: 29_997,
        deleted: 3,
        dead_letters: 0,
        missing: 0,
        position: 30_001,
    };
    assert_eq!(figures, expected);
    // The copy is a database like any other.
    let mut copied = SqliteStore::new(copy.clone(), Retention::default());
    assert_eq!(block_on(copied.position()).unwrap(), 30_001);
    block_on(copied.write(&chunk(30_001, 30_101))).unwrap();
    drop(copied);
    assert_eq!(backup::verify(&copy).unwrap().records, 30_097);
}

#[test]
fn damaged_copy_fails_verification() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    block_on(store.write(&chunk(1, 10_001))).unwrap();
    let copy = subject.0.path().join("copy.db");
    backup::copy(&subject.path(), &copy, |_, _| {}).unwrap();
    let whole = std::fs::read(&copy).unwrap();
    let verify_after = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(&copy, bytes).unwrap();
        backup::verify(&copy).is_err()
    };
    assert!(!verify_after(&|_| {}));
    assert!(verify_after(&|bytes| bytes.truncate(bytes.len() / 2)));
    assert!(verify_after(&|bytes| bytes.clear()));
    assert!(verify_after(&|bytes| {
        let middle = bytes.len() / 2 / 8192 * 8192;
        bytes[middle..middle + 8192].fill(0x55);
    }));
    // A copy that is sound by itself, but is not what it should be.
    std::fs::write(&copy, &whole).unwrap();
    Connection::open(&copy).unwrap().execute_batch("UPDATE shipped SET position = 9000").unwrap();
    assert!(backup::verify(&copy).unwrap_err().to_string().contains("its position is 9000"));
    // A database that is in use.
    assert!(backup::verify(&subject.path()).unwrap_err().to_string().contains("-wal"));
    assert!(backup::verify(Path::new("/nowhere")).is_err());
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

#[test]
fn retention_by_size_keeps_growing_block() {
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: None, bytes: Some(1) });
    block_on(store.write(&chunk(1, 10))).unwrap();
    assert_eq!(maintain_all(&mut store), 0);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 9);
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

/// Creates a database as version 1 did: without filters, and with blocks that end anywhere.
fn database_of_version_1(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(schema::TABLES).unwrap();
    connection.execute_batch(schema::VIEW).unwrap();
    connection
        .execute_batch(
            "PRAGMA user_version = 1;
             INSERT INTO origin (id, key, used_until) VALUES (1, x'0000000000000000', 1000000);
             WITH ids AS (SELECT 1000 AS id UNION ALL SELECT id + 1 FROM ids WHERE id < 9999)
                 INSERT INTO record (id, timestamp, severity_number, origin_id, message)
                 SELECT id, 0, 9, 1, iif(id = 9000, 'late quokka', iif(id = 3000, 'quokka', 'message ' || id)) FROM ids;
             INSERT INTO block VALUES (1000, 5096, 0, 0, 0), (5096, 9192, 0, 0, 0), (9192, 10000, 0, 0, 0);
             UPDATE shipped SET position = 10000;",
        )
        .unwrap();
}

#[test]
fn database_of_version_2_is_migrated_with_position() {
    let subject = SqliteSubject::new();
    block_on(subject.open().write(&chunk(1, 101))).unwrap();
    Connection::open(subject.path())
        .unwrap()
        .execute_batch(
            "ALTER TABLE shipped DROP COLUMN node; ALTER TABLE shipped DROP COLUMN claim;
             ALTER TABLE shipped DROP COLUMN checksum; ALTER TABLE shipped DROP COLUMN database; PRAGMA user_version = 2",
        )
        .unwrap();
    let mut store = subject.open();
    assert_eq!(block_on(store.position()).unwrap(), 101);
    block_on(store.write(&chunk(101, 111))).unwrap();
    assert_eq!(subject.query::<i64>("SELECT position FROM shipped WHERE checksum IS NOT NULL"), 111);
    assert_eq!(block_on(subject.open().position()).unwrap(), 111);
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

#[test]
fn version_1_database_is_searched_before_and_after_migration() {
    let subject = SqliteSubject::new();
    database_of_version_1(&subject.path());
    assert_eq!(searched(&subject, "quokka"), (vec![3000, 9000], 3));
    let mut store = subject.open();
    assert_eq!(block_on(store.position()).unwrap(), 10_000);
    assert_eq!(subject.query::<i64>("PRAGMA user_version"), schema::SCHEMA_VERSION);
    block_on(store.write(&chunk(10_000, 20_000))).unwrap();
    // The blocks from before the migration are searched, and none of the blocks since.
    assert_eq!(searched(&subject, "quokka").0, [3000, 9000]);
    assert_eq!(subject.query::<String>("SELECT group_concat(number) FROM filter"), "2,3");
    for word in ["9999", "10000", "12288", "12289", "19999"] {
        assert_eq!(searched(&subject, word).0, [word.parse::<u64>().unwrap()], "{word}");
    }
    assert_eq!(
        searched(&subject, "12289").1,
        4,
        "two old blocks, one that has it, and the one that is growing"
    );
}

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

/// Returns those of the texts that any file of the database contains.
fn held(subject: &SqliteSubject, texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let read = |suffix| std::fs::read(beside(&subject.path(), suffix)).unwrap_or_default();
    let bytes = ["", "-wal", "-shm"].map(read).concat();
    texts.into_iter().filter(|text| memchr::memmem::find(&bytes, text.as_bytes()).is_some()).collect()
}

/// Returns a name that is not like the previous one, so that indexes are written in no order.
fn name(id: RecordId) -> String {
    format!("{:016x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[test]
fn deleted_names_are_in_no_file() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    let is_doomed = |id: &RecordId| id % 3 == 1;
    for from in (1..6001).step_by(100) {
        let mut batch = Batch::new();
        for id in from..from + 100 {
            let (thread, logger) = (name(id), "x".repeat(id as usize % 97));
            let origin = Origin { thread: &thread, logger: &logger, ..Origin::default() };
            batch.push(&RecordRef { origin, message: "m", ..RecordRef::default() });
        }
        block_on(store.write(&Chunk::of(from, batch.bytes(), 100))).unwrap();
        block_on(store.sync()).unwrap();
    }
    let ids = |connection: &Connection, sql: &str| {
        let mut select = connection.prepare(sql).unwrap();
        let ids = select.query_map([], |row| row.get(0)).unwrap();
        ids.collect::<rusqlite::Result<Vec<i64>>>().unwrap()
    };
    let connection = Connection::open(subject.path()).unwrap();
    let before = ids(&connection, "SELECT id FROM origin ORDER BY id");
    for from in (1..6001).step_by(1000) {
        block_on(store.delete(&to_delete((from..from + 1000).filter(is_doomed)))).unwrap();
    }
    let used = ids(&connection, "SELECT DISTINCT origin_id FROM record");
    let unused = before.into_iter().filter(|id| !used.contains(id)).collect();
    assert_eq!(block_on(store.delete_names(&UnusedNames { ids: unused, end: 6001 })).unwrap(), 2000);
    drop(connection);
    assert_eq!(block_on(store.position()).unwrap(), 6001);
    assert_eq!(block_on(store.scrub()).unwrap(), 1);
    let left = held(&subject, (1..6001).filter(is_doomed).map(name));
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(held(&subject, [name(2)]), [name(2)]);
}

#[test]
fn deleted_dead_letters_are_in_no_file() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    block_on(store.position()).unwrap();
    let connection = Connection::open(subject.path()).unwrap();
    connection
        .execute_batch(
            "CREATE TRIGGER picky BEFORE INSERT ON record WHEN new.message LIKE '%secret%'
             BEGIN SELECT raise(ABORT, 'not these'); END",
        )
        .unwrap();
    drop(connection);
    for from in (1..3001).step_by(50) {
        let mut batch = Batch::new();
        for id in from..from + 50 {
            let message = format!("{} secret {}", name(id), "x".repeat(id as usize * 7919 % 1500));
            batch.push(&RecordRef { message: &message, ..RecordRef::default() });
        }
        block_on(store.write(&Chunk::of(from, batch.bytes(), 50))).unwrap();
    }
    let is_doomed = |id: &RecordId| id % 3 == 1 || id % 100 < 50;
    for from in (1..3001).step_by(1000) {
        block_on(store.delete(&to_delete((from..from + 1000).filter(is_doomed)))).unwrap();
    }
    assert_eq!(block_on(store.scrub()).unwrap(), 1);
    let left = held(&subject, (1..3001).filter(is_doomed).map(name));
    assert_eq!(left, Vec::<String>::new());
    let kept = (1..3001).filter(|id| !is_doomed(id)).map(name).collect::<Vec<_>>();
    assert_eq!(held(&subject, kept.clone()), kept);
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
