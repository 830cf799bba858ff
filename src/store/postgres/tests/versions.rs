//! Tables and columns, of this version and of others.

use super::*;

#[test]
fn every_field_has_its_column() {
    let database = new_database();
    let mut store = database.open();
    let record = RecordRef {
        timestamp: -1,
        severity_number: 14,
        origin: Origin {
            service: "s",
            logger: "l",
            host: "h",
            file: "f",
            line: u32::MAX,
            function: "g",
            process_id: u32::MAX,
            thread: "t",
            severity_text: "",
        },
        message: "m",
        trace_id: "a",
        span_id: "b",
        event_name: "e",
        attributes: r#"{"k":1}"#,
        ..RecordRef::default()
    };
    write(&mut store, [record, RecordRef::default()]);
    let flat = "SELECT json_build_array(id, to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), severity_number, severity,
        service, logger, host, message, trace_id, span_id, event_name, file, line, function, process_id, thread, attributes, node,
        time_ns)::text FROM logs WHERE id = ";
    assert_eq!(
        database.value(&format!("{flat} 1")),
        r#"[1, "1969-12-31 23:59:59.999999", 14, "WARN2", "s", "l", "h", "m", "a", "b", "e", "f", 4294967295, "g", 4294967295, "t", {"k": 1}, "test", 999]"#
    );
    assert_eq!(
        database.value(&format!("{flat} 2")),
        r#"[2, "1970-01-01 00:00:00.000000", 0, null, null, null, null, null, null, null, null, null, null, null, null, null, null, "test", null]"#
    );
}

#[test]
fn user_columns_and_indexes_are_kept() {
    let database = new_database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database.execute(
        "ALTER TABLE logs ADD COLUMN team text DEFAULT 'unknown';
         ALTER TABLE logs ADD COLUMN length int GENERATED ALWAYS AS (length(message)) STORED;
         CREATE INDEX mine ON logs (service)",
    );
    let now = RecordRef { timestamp: time::now(), message: "four", ..RecordRef::default() };
    write(&mut store, [now]);
    block_on(database.open().position()).unwrap();
    assert_eq!(
        database.rows("SELECT team, length FROM logs")[0].iter().flatten().collect::<Vec<_>>(),
        ["unknown", "4"]
    );
    assert_eq!(database.value("SELECT count(*) FROM pg_inherits WHERE inhparent = 'mine'::regclass"), "2");
}

/// Restores the tables of version 1, as far as claims have changed them.
#[test]
fn version_1_tables_are_migrated_with_positions() {
    let database = new_database();
    write(&mut database.open(), (0..10).map(|_| at("2026-11-20T00:00:00Z")));
    database.execute(
        "DROP TABLE logs_claim; ALTER TABLE logs_node DROP COLUMN checksum, ADD COLUMN process bigint NOT NULL DEFAULT 0;
         ALTER TABLE logs_version DROP COLUMN database; UPDATE logs_version SET version = 1; UPDATE logs_node SET epoch = 17",
    );
    let mut store = database.open();
    assert_eq!(block_on(store.position()).unwrap(), 11);
    assert_eq!(write(&mut store, [at("2026-11-20T00:00:00Z")]).stored, 1);
    assert_eq!(database.value("SELECT version || ' ' || length(database) FROM logs_version"), "2 32");
    assert_eq!(database.value("SELECT position FROM logs_node WHERE checksum IS NOT NULL"), "12");
    assert_eq!(block_on(database.open().position()).unwrap(), 12);
}

#[test]
fn newer_schema_is_rejected() {
    let database = new_database();
    block_on(database.open().position()).unwrap();
    database.execute("UPDATE logs_version SET version = 99");
    let error = block_on(database.open().position()).unwrap_err();
    assert!(error.what.contains("tables have version 99, this program supports version 2"), "{}", error.what);
}
