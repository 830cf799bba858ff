//! SQLite alone: one thread that inserts the rows of a logboom database into an empty one, 4,000
//! per transaction.
//!
//! It has the tables, the pragmas and the insert statement of logboom's store, interns origins in
//! the same way, and moves the write-ahead log into the database as often. It does nothing else:
//! the rows are in memory already, nothing is decoded, no spool is read, no blocks and no position
//! are kept, and nothing is synced.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, params};

use logboom::limits::{SQLITE_CACHE_KIB_MAX, SQLITE_WAL_BYTES_TARGET};

const ROWS_PER_TRANSACTION: u64 = 4000;
const PAGE_BYTES: u64 = 4096;

/// Maximum number of rows that are kept. After these, the rows are inserted again under new ids.
const ROWS_MAX: u64 = 100_000;

/// Rows of a database, and the tables in which they were.
pub struct Rows {
    tables: Vec<String>,
    origins: HashMap<i64, Vec<u8>>,
    rows: Vec<Row>,
}

struct Row {
    timestamp: i64,
    severity_number: i64,
    origin_id: i64,
    /// `message`, `trace_id`, `span_id`, `event_name`, `attributes`.
    texts: [Option<String>; 5],
}

impl Rows {
    /// Reads the rows of a database that a server has filled.
    pub fn of(database: &Path) -> Rows {
        let connection = Connection::open(database).unwrap();
        let all = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let mut origins = connection.prepare("SELECT id, key FROM origin").unwrap();
        let mut rows = connection
            .prepare("SELECT timestamp, severity_number, origin_id, message, trace_id, span_id, event_name, attributes FROM record ORDER BY id LIMIT ?")
            .unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            let text = |column| row.get(3 + column).unwrap();
            Ok(Row {
                timestamp: row.get(0)?,
                severity_number: row.get(1)?,
                origin_id: row.get(2)?,
                texts: std::array::from_fn(text),
            })
        };
        Rows {
            tables: all("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND type IN ('table', 'index')"),
            origins: origins
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap()
                .map(Result::unwrap)
                .collect(),
            rows: rows.query_map([ROWS_MAX as i64], row).unwrap().map(Result::unwrap).collect(),
        }
    }

    /// Returns the seconds to insert this many of the rows into a new database.
    pub fn insert(&self, database: &Path, records: u64) -> f64 {
        let connection = self.create(database);
        let start = Instant::now();
        let mut known: HashMap<&[u8], i64> = HashMap::new();
        let mut insert = connection
            .prepare(
                "INSERT INTO record (id, timestamp, severity_number, origin_id, message, trace_id, span_id, event_name, attributes)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .unwrap();
        for (id, row) in (1..=records).zip(self.rows.iter().cycle()) {
            if id % ROWS_PER_TRANSACTION == 1 {
                connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            }
            let key = self.origins[&row.origin_id].as_slice();
            let origin = *known.entry(key).or_insert_with(|| insert_origin(&connection, key));
            insert.raw_bind_parameter(1, id as i64).unwrap();
            insert.raw_bind_parameter(2, row.timestamp).unwrap();
            insert.raw_bind_parameter(3, row.severity_number).unwrap();
            insert.raw_bind_parameter(4, origin).unwrap();
            for (index, text) in row.texts.iter().enumerate() {
                insert.raw_bind_parameter(5 + index, text.as_deref()).unwrap();
            }
            insert.raw_execute().unwrap();
            if id % ROWS_PER_TRANSACTION == 0 || id == records {
                connection.execute_batch("COMMIT").unwrap();
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let count: i64 = connection.query_row("SELECT count(*) FROM record", [], |row| row.get(0)).unwrap();
        assert_eq!(count as u64, records);
        seconds
    }

    fn create(&self, database: &Path) -> Connection {
        let connection = Connection::open(database).unwrap();
        let set = |name, value: &dyn rusqlite::ToSql| {
            connection.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => Ok(()),
                error => Err(error),
            })
        };
        set("journal_mode", &"wal").unwrap();
        set("synchronous", &"normal").unwrap();
        set("cache_size", &-(SQLITE_CACHE_KIB_MAX as i64)).unwrap();
        set("wal_autocheckpoint", &((SQLITE_WAL_BYTES_TARGET / PAGE_BYTES) as i64)).unwrap();
        self.tables.iter().for_each(|table| connection.execute_batch(table).unwrap());
        connection
    }
}

fn insert_origin(connection: &Connection, key: &[u8]) -> i64 {
    connection.execute("INSERT INTO origin (key, used_until) VALUES (?, 0)", params![key]).unwrap();
    connection.last_insert_rowid()
}
