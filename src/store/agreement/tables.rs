//! Databases with the tables of the SQLite store, filled row by row.

use rusqlite::{Connection, params};

use crate::query::tests::corpus::{ORIGINS, records};
use crate::record::{Origin, RecordRef};
use crate::store::sqlite::functions;

/// Creates a database with the records in the tables of the SQLite store, and the functions of
/// queries.
pub(super) fn database() -> Connection {
    let connection = empty_database();
    for (index, origin) in ORIGINS.iter().enumerate() {
        insert_origin(&connection, index as i64 + 1, origin);
    }
    for (index, record) in records().iter().enumerate() {
        insert_record(&connection, index as i64 + 1, (index % ORIGINS.len()) as i64 + 1, record);
    }
    connection
}

/// Creates the same database for any records.
pub(super) fn database_of(records: &[RecordRef<'_>]) -> Connection {
    let connection = empty_database();
    for (id, record) in (1..).zip(records) {
        insert_origin(&connection, id, &record.origin);
        insert_record(&connection, id, id, record);
    }
    connection
}

fn empty_database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    functions::register(&connection).unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

const SCHEMA: &str = "
    CREATE TABLE origin (id INTEGER PRIMARY KEY, severity_text TEXT, service TEXT, logger TEXT, host TEXT, file TEXT,
                         line INTEGER, function TEXT, process_id INTEGER, thread TEXT);
    CREATE TABLE record (id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, severity_number INTEGER NOT NULL,
                         origin_id INTEGER NOT NULL, message TEXT, trace_id TEXT, span_id TEXT, event_name TEXT,
                         attributes TEXT);";

fn insert_origin(connection: &Connection, id: i64, origin: &Origin<'_>) {
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
    connection.execute("INSERT INTO origin VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row).unwrap();
}

fn insert_record(connection: &Connection, id: i64, origin_id: i64, record: &RecordRef<'_>) {
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
    connection.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row).unwrap();
}

fn text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
