//! Inserts rows: many with one statement, and one by one where the database refuses some of them.

use rusqlite::{CachedStatement, Connection, ErrorCode, params};

use super::null_if_empty;
use crate::limits::SQLITE_STATEMENT_ROWS;
use crate::log;
use crate::record::{EncodedRecord, RecordId, json, time};
use crate::store::WriteOutcome;

const COLUMNS: usize = 9;

/// A row to be inserted.
#[derive(Clone, Copy)]
pub(super) struct InsertRow<'a> {
    pub(super) id: RecordId,
    pub(super) origin_id: i64,
    pub(super) record: EncodedRecord<'a>,
}

/// Collects rows and inserts them.
pub(super) struct RowInserter<'c, 'a> {
    connection: &'c Connection,
    rows: Vec<InsertRow<'a>>,
    many: Option<Insert<'c>>,
    one: Option<Insert<'c>>,
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
        RowInserter { connection, rows, many: None, one: None, written: WriteOutcome::default() }
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
                self.written.stored += inserted as u64;
                self.rows.clear();
                Ok(())
            }
            Ok(_) => self.put_missing_aside(),
            Err(error) if self.is_about_a_row(&error) => {
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
        Ok(self.written)
    }

    /// Inserts rows of which the database may refuse some: refused rows become dead letters.
    fn insert_one_by_one(&mut self) -> rusqlite::Result<()> {
        let mut rows = std::mem::take(&mut self.rows);
        for row in &rows {
            let insert = match &mut self.one {
                Some(insert) => insert,
                None => self.one.insert(Insert::new(self.connection, 1)?),
            };
            match insert.execute(std::slice::from_ref(row)) {
                Ok(1..) => self.written.stored += 1,
                Ok(0) => {
                    put_aside(self.connection, row, &vanished(self.connection)?)?;
                    self.written.dead_letters += 1;
                }
                Err(error) if self.is_about_a_row(&error) => {
                    put_aside(self.connection, row, &error.to_string())?;
                    self.written.dead_letters += 1;
                }
                Err(error) => return Err(error),
            }
        }
        rows.clear();
        self.rows = rows;
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
                self.written.stored += 1;
            } else {
                put_aside(self.connection, &row, &reason)?;
                self.written.dead_letters += 1;
            }
        }
        Ok(())
    }

    /// Returns true if the row itself is refused, for example by a constraint or trigger that the
    /// user added, and the transaction goes on.
    fn is_about_a_row(&self, error: &rusqlite::Error) -> bool {
        let code = error.sqlite_error_code();
        matches!(code, Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch))
            && !self.connection.is_autocommit()
    }
}

impl<'c> Insert<'c> {
    fn new(connection: &'c Connection, rows: usize) -> rusqlite::Result<Insert<'c>> {
        let row = format!("(?{})", ", ?".repeat(COLUMNS - 1));
        let statement = connection.prepare_cached(&format!(
            "INSERT INTO record (id, timestamp, severity_number, origin_id, message, trace_id, span_id, event_name, attributes)
             VALUES {}",
            vec![row; rows].join(", ")
        ))?;
        Ok(Insert { statement, nulls: vec![true; rows * COLUMNS] })
    }

    /// Inserts as many rows as the statement is for, and returns how many were written.
    fn execute(&mut self, rows: &[InsertRow<'_>]) -> rusqlite::Result<usize> {
        for (row, first) in rows.iter().zip((1..).step_by(COLUMNS)) {
            let InsertRow { id, origin_id, record } = row;
            let record = &record.body;
            self.statement.raw_bind_parameter(first, *id as i64)?;
            self.statement.raw_bind_parameter(first + 1, record.timestamp)?;
            self.statement.raw_bind_parameter(first + 2, record.severity_number)?;
            self.statement.raw_bind_parameter(first + 3, origin_id)?;
            let texts =
                [record.message, record.trace_id, record.span_id, record.event_name, record.attributes];
            for (text, parameter) in texts.into_iter().zip(first + 4..) {
                let was_null = std::mem::replace(&mut self.nulls[parameter - 1], text.is_empty());
                if !(text.is_empty() && was_null) {
                    self.statement.raw_bind_parameter(parameter, null_if_empty(text))?;
                }
            }
        }
        self.statement.raw_execute()
    }
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
    json::write(*id, &record.record().unwrap_or(record.body), &mut text);
    if log::admits(log::LimitedMessage::RefusedRecord) {
        tracing::warn!(id, reason, "the database refuses a record: it is stored in logs_dead_letter");
    }
    let mut insert =
        connection.prepare_cached("INSERT OR REPLACE INTO logs_dead_letter VALUES (?, ?, ?, ?)")?;
    let letter = params![*id as i64, time::format(time::now()), reason, String::from_utf8_lossy(&text)];
    super::expect_row(insert.execute(letter)?)
}
