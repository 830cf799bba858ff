//! Deleted records: what accounts for them, and where their bytes are.

use super::*;

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

/// Returns those of the texts that any file of the database contains.
fn held(subject: &SqliteSubject, texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let read = |suffix| std::fs::read(beside(&subject.path(), suffix)).unwrap_or_default();
    let bytes = ["", "-wal", "-shm"].map(read).concat();
    texts.into_iter().filter(|text| memchr::memmem::find(&bytes, text.as_bytes()).is_some()).collect()
}

/// Names of each kind, some in dictionaries and some in rows.
#[test]
fn deleted_names_are_in_no_file() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    let is_doomed = |group: &RecordId| group % 3 == 1;
    // Groups of six records with the same names, and of one record.
    let group = |id: RecordId| if id <= 6000 { id / 6 } else { id };
    let text = |kind: RecordId, id| name(kind * 100_000 + group(id));
    for from in (1..9001).step_by(100) {
        let mut batch = Batch::new();
        for id in from..from + 100 {
            let [thread, service, file, event_name] = [1, 2, 3, 4].map(|kind| text(kind, id));
            let origin = Origin { thread: &thread, service: &service, file: &file, ..Origin::default() };
            let trace_id = format!("{}{}", text(5, id), text(6, id));
            let record =
                RecordRef { origin, event_name: &event_name, trace_id: &trace_id, ..RecordRef::default() };
            batch.push(&record);
        }
        block_on(store.write(&Chunk::of(from, batch.bytes(), 100))).unwrap();
        block_on(store.sync()).unwrap();
    }
    assert!(subject.query::<i64>("SELECT count(*) FROM word") > 1000);
    for from in (1..9001).step_by(1000) {
        let ids = (from..from + 1000).filter(|id| is_doomed(&group(*id)));
        block_on(store.delete(&to_delete(ids))).unwrap();
    }
    for names in names::unused_names(&subject) {
        block_on(store.delete_names(&names)).unwrap();
    }
    assert_eq!(block_on(store.position()).unwrap(), 9001);
    assert_eq!(block_on(store.scrub()).unwrap(), 1);
    let of_kinds = |id: RecordId| [1, 2, 3, 4].map(|kind| text(kind, id));
    let left = held(&subject, (1..9001).filter(|id| is_doomed(&group(*id))).flat_map(of_kinds));
    assert_eq!(left, Vec::<String>::new());
    for id in [12, 8000] {
        assert_eq!(held(&subject, of_kinds(id)), of_kinds(id));
    }
    // Trace ids are stored as bytes.
    let bytes =
        ["", "-wal", "-shm"].map(|suffix| std::fs::read(beside(&subject.path(), suffix)).unwrap_or_default());
    let bytes = bytes.concat();
    let is_held = |id: RecordId| {
        let half = 5 * 100_000 + group(id);
        let trace = half.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        memchr::memmem::find(&bytes, &trace).is_some()
    };
    assert!((1..9001).all(|id| is_held(id) != is_doomed(&group(id))));
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
