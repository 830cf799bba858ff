//! The move of rows of version 3 into the tables of this version.

use super::versions::TABLES_OF_VERSION_1;
use super::*;
use crate::store::sqlite::dictionary::GENERATION_BITS;

/// A database of version 3 on both sides of a border of generations, with names that repeat and
/// names that do not.
fn database_of_version_3(subject: &SqliteSubject) -> std::ops::Range<RecordId> {
    let ids = 255_000..270_000;
    let connection = Connection::open(subject.path()).unwrap();
    connection.execute_batch(TABLES_OF_VERSION_1).unwrap();
    connection.execute_batch(schema::COMMON).unwrap();
    connection
        .execute_batch(&format!(
            "WITH numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 3000)
                 INSERT INTO origin SELECT n, cast(n AS BLOB), 1000000, iif(n % 3, NULL, 'WARNING'), 's' || (n % 7), 'l' || (n % 90),
                     'h' || n, nullif('f' || (n % 4), 'f0'), nullif(n % 50, 0), NULL, nullif(n % 9, 0), iif(n % 2, 'main', 'thread ' || n) FROM numbers;
             WITH ids AS (SELECT {first} AS id UNION ALL SELECT id + 1 FROM ids WHERE id < {end} - 1)
                 INSERT INTO record SELECT id, id * 1000, 13, id * 7919 % 3000 + 1, 'message ' || id,
                     CASE id % 4 WHEN 0 THEN NULL WHEN 1 THEN 'odd ' || id ELSE lower(hex(zeroblob(12))) || printf('%08x', id) END,
                     iif(id % 2, NULL, printf('%016x', id)), iif(id % 5, NULL, 'event'), '{{\"k\":' || id || '}}' FROM ids;
             WITH blocks AS (SELECT {first} AS a, 258049 AS b UNION ALL SELECT b, min(b + 4096, {end}) FROM blocks WHERE b < {end})
                 INSERT INTO block SELECT a, b, a * 1000, b * 1000 - 1000, (strftime('%s', 'now') - 4000) * 1000000000 FROM blocks;
             UPDATE shipped SET position = {end};",
            first = ids.start,
            end = ids.end,
        ))
        .unwrap();
    let statements = [schema::INDEX, schema::OWNER];
    schema::change(&connection, &statements, 3).unwrap();
    ids
}

/// Returns all rows of the view `logs`.
fn all_rows(subject: &SqliteSubject, from: &str) -> Vec<String> {
    let connection = Connection::open(subject.path()).unwrap();
    let mut select = connection
        .prepare(&format!(
            "SELECT json_array(id, time, severity_number, severity, service, logger, host, message, trace_id, span_id,
                 event_name, file, line, function, process_id, thread, attributes) FROM {from} ORDER BY id"
        ))
        .unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn answers_are_the_same_before_during_and_after_migration() {
    let subject = SqliteSubject::new();
    let ids = database_of_version_3(&subject);
    let before = all_rows(
        &subject,
        "(SELECT r.*, o.*, r.id AS id,
            strftime('%Y-%m-%dT%H:%M:%S', timestamp / 1000000000, 'unixepoch') || printf('.%09dZ', timestamp % 1000000000) AS time,
            coalesce(o.severity_text, 'WARN') AS severity FROM record r JOIN origin o ON o.id = r.origin_id)",
    );
    assert_eq!(before.len() as u64, ids.end - ids.start);
    let mut store = subject.open();
    assert_eq!(block_on(store.position()).unwrap(), ids.end);
    assert!(all_rows(&subject, "logs") == before);
    let mut slices = 0;
    while block_on(store.maintain()).unwrap() {
        slices += 1;
        if slices % 2 == 0 {
            assert!(all_rows(&subject, "logs") == before, "after {slices} slices");
            let found = searched(&subject, "message").0;
            assert_eq!(found.len(), 15_000, "after {slices} slices");
            assert!(found == ids.clone().collect::<Vec<_>>(), "after {slices} slices");
        }
        for word in ["260000", "255000", "269999"] {
            assert_eq!(searched(&subject, word).0, [word.parse::<u64>().unwrap()], "after {slices} slices");
        }
        if slices % 3 == 0 {
            store = subject.open(); // as after a crash
        }
    }
    assert!(slices > 5);
    assert!(all_rows(&subject, "logs") == before);
    assert_eq!(subject.query::<i64>("PRAGMA user_version"), schema::SCHEMA_VERSION);
    let left =
        "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%\\_3' ESCAPE '\\' OR name LIKE '%earlier%'";
    assert_eq!(subject.query::<i64>(left), 0);
    assert!(subject.query::<i64>("SELECT count(*) FROM record WHERE place IS NOT NULL") > 0);
}

/// Records are stored and deleted, and retention runs, while rows are still being moved.
#[test]
fn migrating_database_works_as_any_other() {
    let subject = SqliteSubject::new();
    let ids = database_of_version_3(&subject);
    let mut store = subject.open();
    assert_eq!(block_on(store.position()).unwrap(), ids.end);
    for round in 0..2 {
        let first = ids.end + round * 100;
        let mut batch = Batch::new();
        for _ in 0..100 {
            let origin = Origin { service: "s1", host: "h5", thread: "main", ..Origin::default() };
            batch.push(&RecordRef {
                origin,
                message: "new",
                observed_timestamp: time::now(),
                ..RecordRef::default()
            });
        }
        block_on(store.write(&Chunk::of(first, batch.bytes(), 100))).unwrap();
        assert!(block_on(store.maintain()).unwrap());
    }
    assert_eq!(subject.query::<i64>("PRAGMA user_version"), schema::MIGRATING_VERSION);
    assert_eq!(block_on(store.delete(&to_delete([255_001, 255_002, 269_000, 270_050]))).unwrap(), 4);
    let missing = "SELECT missing FROM logs_accounted";
    assert_eq!(subject.query::<i64>(missing), 0);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 15_196);
    let expiring = [ServiceRetention { service: "s1".into(), age: Duration::from_secs(3600) }];
    let mut store = subject.open().with_services(&expiring);
    assert_eq!(block_on(store.position()).unwrap(), ids.end + 200);
    let old = "SELECT count(*) FROM logs WHERE service = 's1' AND id < 270000";
    assert!(subject.query::<i64>(old) > 2000);
    maintain_all(&mut store);
    assert_eq!(subject.query::<i64>("PRAGMA user_version"), schema::SCHEMA_VERSION);
    // The last block has records that have just been received.
    assert_eq!(subject.query::<i64>(&format!("{old} AND id < 266241")), 0);
    assert_eq!(
        subject.query::<i64>("SELECT count(*) FROM logs WHERE service = 's1' AND message = 'new'"),
        199
    );
    assert_eq!(subject.query::<i64>(missing), 0);
    let mut store = subject.with(Retention { age: Some(Duration::from_secs(3600)), bytes: None });
    maintain_all(&mut store);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs WHERE id < 266241"), 0);
}

fn version(subject: &SqliteSubject) -> i64 {
    subject.query("PRAGMA user_version")
}

/// Views of users stay; their triggers and indexes would apply to rows that are only moved.
#[test]
fn additions_of_users_do_not_keep_rows_from_moving() {
    let subject = SqliteSubject::new();
    let ids = database_of_version_3(&subject);
    Connection::open(subject.path())
        .unwrap()
        .execute_batch(
            "CREATE VIEW mine AS SELECT service, count(*) AS records FROM logs GROUP BY service;
             CREATE INDEX \"by \"\"message\" ON record (message);
             CREATE TRIGGER keeps BEFORE DELETE ON record BEGIN SELECT raise(IGNORE); END;
             CREATE TRIGGER refuses BEFORE INSERT ON record BEGIN SELECT raise(FAIL, 'no'); END",
        )
        .unwrap();
    let mut store = subject.open();
    assert_eq!(block_on(store.position()).unwrap(), ids.end);
    let sum = "SELECT sum(records) FROM mine";
    assert_eq!(subject.query::<i64>(sum), 15_000);
    maintain_all(&mut store);
    assert_eq!(version(&subject), schema::SCHEMA_VERSION);
    assert_eq!(subject.query::<i64>(sum), 15_000);
    let added = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' OR name LIKE 'by %'";
    assert_eq!(subject.query::<i64>(added), 0);
}

/// A trigger that is added to the new table refuses some of the rows.
#[test]
fn refused_rows_become_dead_letters_once() {
    let subject = SqliteSubject::new();
    database_of_version_3(&subject);
    let mut store = subject.open();
    block_on(store.position()).unwrap();
    subject.raise_at("picky", &[255_100, 260_000, 269_999], "FAIL, 'not these'");
    maintain_all(&mut store);
    assert_eq!(version(&subject), schema::SCHEMA_VERSION);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 14_997);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs_dead_letter"), 3);
    assert_eq!(subject.query::<i64>("SELECT missing FROM logs_accounted"), 0);
}

#[test]
fn bound_on_size_costs_no_record_because_of_migration() {
    let subject = SqliteSubject::new();
    database_of_version_3(&subject);
    let used = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    let before: u64 = subject.query(used);
    let mut store = subject.with(Retention { age: None, bytes: Some(before + (16 << 10)) });
    maintain_all(&mut store);
    assert_eq!(version(&subject), schema::SCHEMA_VERSION);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 15_000);
    let after = subject.query::<u64>(used);
    assert!(after < before, "{after} bytes, {before} before");
}

#[test]
fn moved_and_then_deleted_texts_are_in_no_file() {
    let subject = SqliteSubject::new();
    let ids = database_of_version_3(&subject);
    let mut store = subject.open();
    block_on(store.position()).unwrap();
    maintain_all(&mut store);
    let doomed: Vec<RecordId> = ids.filter(|id| id % 37 == 0).collect();
    assert_eq!(block_on(store.delete(&to_delete(doomed.iter().copied()))).unwrap(), doomed.len() as u64);
    assert_eq!(block_on(store.position()).unwrap(), 270_000);
    assert_eq!(block_on(store.scrub()).unwrap(), 1);
    let read = |suffix| std::fs::read(beside(&subject.path(), suffix)).unwrap_or_default();
    let bytes = ["", "-wal", "-shm"].map(read).concat();
    let is_held = |id: &RecordId| memchr::memmem::find(&bytes, format!("message {id}").as_bytes()).is_some();
    assert_eq!(doomed.into_iter().filter(is_held).count(), 0);
}

/// A folder that may not ship into the database leaves its tables as they are.
#[test]
fn refused_folder_begins_no_migration() {
    let subject = SqliteSubject::new();
    database_of_version_3(&subject);
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let [mut owner, other] =
        [&folders[0], &folders[1]].map(|folder| Claimant::in_folder(folder.path(), "sqlite"));
    let connection = schema::open(&subject.path()).unwrap();
    assert!(Owner::claim(&connection, &mut owner).is_ok());
    assert!(block_on(subject.open().with_claimant(other).position()).is_err());
    assert_eq!(version(&subject), 3);
}

/// Numbers that no program of this project writes.
#[test]
fn impossible_numbers_do_not_stop_the_work() {
    let subject = SqliteSubject::new();
    let border: RecordId = 1 << GENERATION_BITS;
    let mut store = subject.open();
    block_on(store.write(&chunk(border - 99, border + 101))).unwrap();
    Connection::open(subject.path())
        .unwrap()
        .execute_batch(
            "UPDATE record SET sender = -1, place = 70000, thread = -9223372036854775807, severity = 1e9 WHERE id % 3 = 0;
             UPDATE record SET sender = 9223372036854775807, host = 9223372036854775807, line = -5 WHERE id % 3 = 1;
             INSERT INTO sender VALUES (3, 's', 'h', 99999999999)",
        )
        .unwrap();
    let mut store = subject.open();
    assert_eq!(block_on(store.position()).unwrap(), border + 101);
    let _ = searched(&subject, "message");
    block_on(store.delete(&to_delete([border + 5]))).unwrap();
    for names in names::unused_names(&subject) {
        block_on(store.delete_names(&names)).unwrap();
    }
}
