//! In-memory databases with the tables of the SQLite store that queries read, filled row by row.
//!
//! The fuzz target `query` includes this file too (`fuzz/src/query.rs`). It sees only the public
//! interface of the program, so this file takes what it needs from the module above it.

use rusqlite::{Connection, params};

use super::{Origin, RecordRef, functions};

const SCHEMA: &str = "
    CREATE TABLE origin (id INTEGER PRIMARY KEY, severity_text TEXT, service TEXT, logger TEXT, host TEXT, file TEXT,
                         line INTEGER, function TEXT, process_id INTEGER, thread TEXT);
    CREATE TABLE record (id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, severity_number INTEGER NOT NULL,
                         origin_id INTEGER NOT NULL, message TEXT, trace_id TEXT, span_id TEXT, event_name TEXT,
                         attributes TEXT);";

/// Creates a database with empty tables, and with the functions of queries.
pub(super) fn create() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    functions::register(&connection).unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

/// Replaces all rows by these records, whose ids begin at 1.
pub(super) fn fill(connection: &Connection, records: &[RecordRef<'_>]) {
    connection.execute_batch("DELETE FROM record; DELETE FROM origin").unwrap();
    for (id, record) in (1..).zip(records) {
        insert_origin(connection, id, &record.origin);
        insert_record(connection, id, id, record);
    }
}

pub(super) fn insert_origin(connection: &Connection, id: i64, origin: &Origin<'_>) {
    let number = |number: u32| (number != 0).then_some(number);
    let row = params![
        id,
        text(origin.severity_text),
        text(origin.service),
        text(origin.logger),
        text(origin.host),
        text(origin.file),
        number(origin.line),
        text(origin.function),
        number(origin.process_id),
        text(origin.thread),
    ];
    insert(connection, "INSERT INTO origin VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row);
}

pub(super) fn insert_record(connection: &Connection, id: i64, origin_id: i64, record: &RecordRef<'_>) {
    let row = params![
        id,
        record.timestamp,
        record.severity_number,
        origin_id,
        text(record.message),
        text(record.trace_id),
        text(record.span_id),
        text(record.event_name),
        text(record.attributes),
    ];
    insert(connection, "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row);
}

fn insert(connection: &Connection, sql: &str, row: &[&dyn rusqlite::ToSql]) {
    connection.prepare_cached(sql).unwrap().execute(row).unwrap();
}

fn text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
