//! Tables and views, of this version and of others.

use super::*;

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
fn dropped_view_is_created_again() {
    let subject = filled();
    let mut store = subject.open();
    block_on(store.position()).unwrap();
    Connection::open(subject.path()).unwrap().execute_batch("DROP VIEW logs").unwrap();
    assert!(block_on(store.maintain()).unwrap_err().what.contains("no such table: logs"));
    assert!(!block_on(store.maintain()).unwrap());
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 9000);
}

#[test]
fn database_of_newer_version_is_refused() {
    let subject = SqliteSubject::new();
    Connection::open(subject.path()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(block_on(subject.open().position()).unwrap_err().what.contains("schema version 99"));
}

/// The tables of version 3, without what came with versions 2 and 3.
pub(super) const TABLES_OF_VERSION_1: &str = "
    CREATE TABLE origin (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, used_until INTEGER NOT NULL, severity_text TEXT, service TEXT,
        logger TEXT, host TEXT, file TEXT, line INTEGER, function TEXT, process_id INTEGER, thread TEXT
    ) STRICT;
    CREATE INDEX origin_used_until ON origin (used_until);
    CREATE TABLE record (
        id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, severity_number INTEGER NOT NULL, origin_id INTEGER NOT NULL,
        message TEXT, trace_id TEXT, span_id TEXT, event_name TEXT, attributes TEXT
    ) STRICT;
    CREATE VIEW logs AS SELECT r.id, o.service, r.message FROM record r JOIN origin o ON o.id = r.origin_id;
    PRAGMA user_version = 1;";

/// Creates a database as version 1 did: without filters, and with blocks that end anywhere.
fn database_of_version_1(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(TABLES_OF_VERSION_1).unwrap();
    connection.execute_batch(schema::COMMON).unwrap();
    connection
        .execute_batch(
            "INSERT INTO origin (id, key, used_until) VALUES (1, x'0000000000000000', 1000000);
             WITH ids AS (SELECT 1000 AS id UNION ALL SELECT id + 1 FROM ids WHERE id < 9999)
                 INSERT INTO record (id, timestamp, severity_number, origin_id, message)
                 SELECT id, 0, 9, 1, iif(id = 9000, 'late quokka', iif(id = 3000, 'quokka', 'message ' || id)) FROM ids;
             INSERT INTO block VALUES (1000, 5096, 0, 0, 0), (5096, 9192, 0, 0, 0), (9192, 10000, 0, 0, 0);
             UPDATE shipped SET position = 10000;",
        )
        .unwrap();
}

#[test]
fn version_1_database_is_searched_during_and_after_migration() {
    let subject = SqliteSubject::new();
    database_of_version_1(&subject.path());
    let Err(error) = search::SqliteReadConnection::open(&subject.path()) else { panic!("it was read") };
    assert!(error.to_string().contains("has not begun to migrate"), "{error}");
    let mut store = subject.open();
    assert_eq!(block_on(store.position()).unwrap(), 10_000);
    assert_eq!(subject.query::<i64>("PRAGMA user_version"), schema::MIGRATING_VERSION);
    block_on(store.write(&chunk(10_000, 20_000))).unwrap();
    let check = || {
        // The blocks from before the migration are searched, and none of the blocks since.
        assert_eq!(searched(&subject, "quokka").0, [3000, 9000]);
        for word in ["9999", "10000", "12288", "12289", "19999"] {
            assert_eq!(searched(&subject, word).0, [word.parse::<u64>().unwrap()], "{word}");
        }
        assert_eq!(
            searched(&subject, "12289").1,
            4,
            "two old blocks, one that has it, and the one that is growing"
        );
        assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 19_000);
        assert_eq!(subject.query::<i64>("SELECT missing FROM logs_accounted"), 0);
    };
    check();
    maintain_all(&mut store);
    assert_eq!(subject.query::<i64>("PRAGMA user_version"), schema::SCHEMA_VERSION);
    assert_eq!(subject.query::<String>("SELECT group_concat(number) FROM filter"), "2,3");
    check();
}
