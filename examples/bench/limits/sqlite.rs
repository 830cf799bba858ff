//! SQLite alone: one thread that inserts the rows of a logboom database into an empty one, 4,000
//! per transaction.
//!
//! It has the tables, the pragmas and the rows of logboom's store, and moves the write-ahead log
//! into the database as often. It does nothing else: the rows are in memory already, nothing is
//! decoded or looked up, no spool is read, no blocks and no position are kept, and nothing is
//! synced.

use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::types::Value;

use logboom::limits::{SQLITE_CACHE_KIB_MAX, SQLITE_PAGE_BYTES, SQLITE_WAL_BYTES_TARGET};

const ROWS_PER_TRANSACTION: u64 = 4000;

/// Maximum number of rows that are kept. After these, the rows are inserted again under new ids.
const ROWS_MAX: u64 = 100_000;

/// Rows of a database, and the tables in which they were.
pub struct Rows {
    tables: Vec<String>,
    columns: usize,
    /// All columns but the id, which comes first.
    rows: Vec<Vec<Value>>,
}

impl Rows {
    /// Reads the rows of a database that a server has filled.
    pub fn of(database: &Path) -> Rows {
        let connection = Connection::open(database).unwrap();
        let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND type IN ('table', 'index')";
        let mut tables = connection.prepare(sql).unwrap();
        let tables = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let mut select = connection.prepare("SELECT * FROM record ORDER BY id LIMIT ?").unwrap();
        let columns = select.column_count();
        let row = |row: &rusqlite::Row<'_>| (1..columns).map(|column| row.get(column)).collect();
        let rows = select.query_map([ROWS_MAX as i64], row).unwrap().map(Result::unwrap).collect();
        Rows { tables, columns, rows }
    }

    /// Returns the seconds to insert this many of the rows into a new database.
    pub fn insert(&self, database: &Path, records: u64) -> f64 {
        let connection = self.create(database);
        let start = Instant::now();
        let parameters = vec!["?"; self.columns].join(", ");
        let mut insert = connection.prepare(&format!("INSERT INTO record VALUES ({parameters})")).unwrap();
        for (id, row) in (1..=records).zip(self.rows.iter().cycle()) {
            if id % ROWS_PER_TRANSACTION == 1 {
                connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            }
            insert.raw_bind_parameter(1, id as i64).unwrap();
            for (index, value) in row.iter().enumerate() {
                insert.raw_bind_parameter(2 + index, value).unwrap();
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
        set("page_size", &SQLITE_PAGE_BYTES).unwrap();
        set("journal_mode", &"wal").unwrap();
        set("synchronous", &"normal").unwrap();
        set("cache_size", &-(SQLITE_CACHE_KIB_MAX as i64)).unwrap();
        let pages = SQLITE_WAL_BYTES_TARGET / u64::from(SQLITE_PAGE_BYTES);
        set("wal_autocheckpoint", &(pages as i64)).unwrap();
        self.tables.iter().for_each(|table| connection.execute_batch(table).unwrap());
        connection
    }
}
