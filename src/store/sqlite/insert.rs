//! Inserts rows: many with one statement, and one by one where the database refuses some of them.

use rusqlite::types::Null;
use rusqlite::{CachedStatement, Connection, ErrorCode, ToSql, params};

use super::dictionary::NamesOfRow;
use super::null_if_empty;
use super::row::packed_hexadecimal;
use crate::limits::SQLITE_STATEMENT_ROWS;
use crate::log;
use crate::record::{RecordId, RecordRef, json, time};
use crate::store::WriteOutcome;

/// The columns, the id first, and those that are mostly absent last: SQLite stores nothing for NULL
/// at the end of a row.
pub(super) const COLUMNS: [&str; 19] = [
    "id",
    "timestamp",
    "severity",
    "sender",
    "place",
    "line",
    "thread",
    "message",
    "trace_id",
    "attributes",
    "process_id",
    "host",
    "service",
    "function",
    "logger",
    "file",
    "span_id",
    "severity_text",
    "event_name",
];

/// A row to be inserted.
#[derive(Clone, Copy)]
pub(super) struct InsertRow<'a> {
    pub(super) id: RecordId,
    pub(super) names: NamesOfRow<'a>,
    pub(super) record: RecordRef<'a>,
}

/// Collects rows and inserts them.
pub(super) struct RowInserter<'c, 'a> {
    connection: &'c Connection,
    rows: Vec<InsertRow<'a>>,
    many: Option<Insert<'c>>,
    one: SingleInserter<'c>,
}

/// Inserts rows one by one.
pub(super) struct SingleInserter<'c> {
    connection: &'c Connection,
    insert: Option<Insert<'c>>,
    written: WriteOutcome,
}

/// A statement that inserts a fixed number of rows.
struct Insert<'c> {
    statement: CachedStatement<'c>,
    /// Which parameters are NULL: parameters keep their values from one execution to the next.
    nulls: Vec<bool>,
}

impl<'c, 'a> RowInserter<'c, 'a> {
    pub(super) fn new(connection: &'c Connection) -> RowInserter<'c, 'a> {
        let rows = Vec::with_capacity(SQLITE_STATEMENT_ROWS);
        RowInserter { connection, rows, many: None, one: SingleInserter::new(connection) }
    }

    /// Accepts a row, which is inserted together with others.
    pub(super) fn push(&mut self, row: InsertRow<'a>) -> rusqlite::Result<()> {
        self.rows.push(row);
        if self.rows.len() < SQLITE_STATEMENT_ROWS {
            return Ok(());
        }
        let insert = match &mut self.many {
            Some(insert) => insert,
            None => self.many.insert(Insert::new(self.connection, SQLITE_STATEMENT_ROWS)?),
        };
        match insert.execute(&self.rows) {
            Ok(inserted) if inserted == self.rows.len() => {
                self.one.written.stored += inserted as u64;
                self.rows.clear();
                Ok(())
            }
            Ok(_) => self.put_missing_aside(),
            Err(error) if is_about_a_row(self.connection, &error) => {
                // A trigger's `RAISE(FAIL)` leaves the rows that were inserted before it.
                let ids = params![self.rows[0].id as i64, row.id as i64];
                self.connection.execute("DELETE FROM record WHERE id BETWEEN ? AND ?", ids)?;
                self.insert_one_by_one()
            }
            Err(error) => Err(error),
        }
    }

    /// Inserts the remaining rows, and returns the outcome of all rows.
    pub(super) fn finish(mut self) -> rusqlite::Result<WriteOutcome> {
        self.insert_one_by_one()?;
        Ok(self.one.written())
    }

    fn insert_one_by_one(&mut self) -> rusqlite::Result<()> {
        for row in self.rows.drain(..) {
            self.one.insert(&row)?;
        }
        Ok(())
    }

    /// Turns the rows that a trigger's `RAISE(IGNORE)` has kept out into dead letters; the other
    /// rows were inserted.
    fn put_missing_aside(&mut self) -> rusqlite::Result<()> {
        let reason = vanished(self.connection)?;
        let mut is_there =
            self.connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM record WHERE id = ?)")?;
        for row in self.rows.drain(..) {
            if is_there.query_row([row.id as i64], |row| row.get(0))? {
                self.one.written.stored += 1;
            } else {
                put_aside(self.connection, &row, &reason)?;
                self.one.written.dead_letters += 1;
            }
        }
        Ok(())
    }
}

impl<'c> SingleInserter<'c> {
    pub(super) fn new(connection: &'c Connection) -> SingleInserter<'c> {
        SingleInserter { connection, insert: None, written: WriteOutcome::default() }
    }

    /// Returns the outcome of all rows so far.
    pub(super) fn written(&self) -> WriteOutcome {
        self.written
    }

    /// Inserts a row. A row that the database refuses becomes a dead letter. Returns true if the
    /// row was stored.
    pub(super) fn insert(&mut self, row: &InsertRow<'_>) -> rusqlite::Result<bool> {
        let insert = match &mut self.insert {
            Some(insert) => insert,
            None => self.insert.insert(Insert::new(self.connection, 1)?),
        };
        let reason = match insert.execute(std::slice::from_ref(row)) {
            Ok(1..) => {
                self.written.stored += 1;
                return Ok(true);
            }
            Ok(0) => vanished(self.connection)?,
            Err(error) if is_about_a_row(self.connection, &error) => error.to_string(),
            Err(error) => return Err(error),
        };
        put_aside(self.connection, row, &reason)?;
        self.written.dead_letters += 1;
        Ok(false)
    }
}

/// Returns true if the row itself is refused, for example by a constraint or trigger that the user
/// added, and the transaction goes on.
fn is_about_a_row(connection: &Connection, error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch))
        && !connection.is_autocommit()
}

impl<'c> Insert<'c> {
    fn new(connection: &'c Connection, rows: usize) -> rusqlite::Result<Insert<'c>> {
        let row = format!("(?{})", ", ?".repeat(COLUMNS.len() - 1));
        let statement = connection.prepare_cached(&format!(
            "INSERT INTO record ({}) VALUES {}",
            COLUMNS.join(", "),
            vec![row; rows].join(", ")
        ))?;
        Ok(Insert { statement, nulls: vec![true; rows * COLUMNS.len()] })
    }

    /// Inserts as many rows as the statement is for, and returns how many were written.
    fn execute(&mut self, rows: &[InsertRow<'_>]) -> rusqlite::Result<usize> {
        for (row, first) in rows.iter().zip((1..).step_by(COLUMNS.len())) {
            self.bind_row(row, first)?;
        }
        self.statement.raw_execute()
    }

    /// Binds a row to the parameters from `first` on, in the order of [`COLUMNS`].
    fn bind_row(&mut self, row: &InsertRow<'_>, first: usize) -> rusqlite::Result<()> {
        let InsertRow { id, names, record } = row;
        let [host, service] = names.of_sender;
        let [function, logger, file] = names.of_place;
        self.bind(first, Some(*id as i64))?;
        self.bind(first + 1, Some(record.timestamp))?;
        self.bind(first + 2, Some(names.severity))?;
        self.bind(first + 3, names.sender)?;
        self.bind(first + 4, names.place)?;
        self.bind(first + 5, number_or_null(record.origin.line))?;
        self.bind(first + 6, names.thread)?;
        self.bind(first + 7, null_if_empty(record.message))?;
        self.bind_hexadecimal(first + 8, record.trace_id)?;
        self.bind(first + 9, null_if_empty(record.attributes))?;
        self.bind(first + 10, number_or_null(names.process_id))?;
        self.bind(first + 11, host)?;
        self.bind(first + 12, service)?;
        self.bind(first + 13, function)?;
        self.bind(first + 14, logger)?;
        self.bind(first + 15, file)?;
        self.bind_hexadecimal(first + 16, record.span_id)?;
        self.bind(first + 17, names.severity_text)?;
        self.bind(first + 18, names.event_name)
    }

    fn bind(&mut self, parameter: usize, value: Option<impl ToSql>) -> rusqlite::Result<()> {
        let was_null = std::mem::replace(&mut self.nulls[parameter - 1], value.is_none());
        match value {
            Some(value) => self.statement.raw_bind_parameter(parameter, value),
            None if was_null => Ok(()),
            None => self.statement.raw_bind_parameter(parameter, Null),
        }
    }

    fn bind_hexadecimal(&mut self, parameter: usize, text: &str) -> rusqlite::Result<()> {
        let mut bytes = [0; 16];
        match packed_hexadecimal(text, &mut bytes) {
            Some(bytes) => self.bind(parameter, Some(bytes)),
            None => self.bind(parameter, null_if_empty(text)),
        }
    }
}

fn number_or_null(number: u32) -> Option<u32> {
    (number != 0).then_some(number)
}

/// Returns the reason why a row is missing although no error was raised.
fn vanished(connection: &Connection) -> rusqlite::Result<String> {
    let triggers =
        "SELECT group_concat(name, ', ') FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'record'";
    let triggers: Option<String> = connection.query_row(triggers, [], |row| row.get(0))?;
    Ok(match triggers {
        Some(names) => format!("the row did not arrive in `record`: blocked by a trigger ({names})"),
        None => "the row did not arrive in `record`".into(),
    })
}

fn put_aside(connection: &Connection, row: &InsertRow<'_>, reason: &str) -> rusqlite::Result<()> {
    let InsertRow { id, record, .. } = row;
    let mut text = Vec::new();
    json::write(*id, record, &mut text);
    if log::admits(log::LimitedMessage::RefusedRecord) {
        tracing::warn!(id, reason, "the database refuses a record: it is stored in logs_dead_letter");
    }
    let mut insert =
        connection.prepare_cached("INSERT OR REPLACE INTO logs_dead_letter VALUES (?, ?, ?, ?)")?;
    let letter = params![*id as i64, time::format(time::now()), reason, String::from_utf8_lossy(&text)];
    super::expect_row(insert.execute(letter)?)
}
