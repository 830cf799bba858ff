//! Rows that a trigger or a constraint keeps out.

use super::*;

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
        assert_eq!(written, WriteOutcome { stored: 197, dead_letters: 3 }, "{raise}");
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
    assert_eq!(written, WriteOutcome { stored: 197, dead_letters: 3 });
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
    let mut batch = Batch::new();
    for id in 1..9 {
        let message = format!("message {id}");
        let origin = Origin { service: "s", logger: "l", thread: "t", ..Origin::default() };
        batch.push(&RecordRef { message: &message, origin, ..RecordRef::default() });
    }
    let chunk = Chunk::of(1, batch.bytes(), 8);
    for table in ["sender", "place", "word", "block", "logs_dead_letter"] {
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
        let error = block_on(store.write(&chunk)).unwrap_err();
        assert!(error.hint.unwrap().contains("a trigger that was added"), "{table}: {}", error.what);
        assert_eq!(block_on(store.position()).unwrap(), 1);
        assert_eq!(subject.query::<i64>("SELECT count(*) FROM record"), 0);
        connection.execute_batch("DROP TRIGGER deaf").unwrap();
        let written = block_on(store.write(&chunk)).unwrap();
        assert_eq!(written, WriteOutcome { stored: 7, dead_letters: 1 });
    }
}
