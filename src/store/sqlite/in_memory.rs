//! Databases in memory, to compare what queries find with what the query language means.

use rusqlite::Connection;

use super::dictionary::{self, Dictionaries};
use super::functions;
use super::insert::{InsertRow, RowInserter};
use super::schema::RECORD;
use crate::limits::SQLITE_NAME_OCCURRENCES_MIN;
use crate::record::RecordRef;

/// Creates a database without records, with the functions of queries.
pub fn create() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    functions::register(&connection)?;
    connection.execute_batch(&[RECORD, dictionary::TABLES].concat())?;
    Ok(connection)
}

/// Replaces all records by these, whose ids begin at 1. Their names are in dictionaries, or all in
/// the rows themselves.
pub fn fill(
    connection: &Connection,
    records: &[RecordRef<'_>],
    are_in_dictionaries: bool,
) -> rusqlite::Result<()> {
    connection
        .execute_batch("DELETE FROM record; DELETE FROM sender; DELETE FROM place; DELETE FROM word")?;
    let mut dictionaries = Dictionaries::open(connection, 0)?;
    let mut rows = RowInserter::new(connection);
    for (id, record) in (1..).zip(records) {
        let occurrences = if are_in_dictionaries { SQLITE_NAME_OCCURRENCES_MIN } else { 1 };
        let mut names = dictionaries.names(connection, id, record)?;
        for _ in 1..occurrences {
            names = dictionaries.names(connection, id, record)?;
        }
        if !are_in_dictionaries {
            dictionaries = Dictionaries::open(connection, 0)?; // forgets the occurrence
        }
        rows.push(InsertRow { id, names, record: *record })?;
    }
    rows.finish().map(|_| ())
}
