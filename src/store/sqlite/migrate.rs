//! Moves the rows of a database of version 3, or of an older one, into the tables of this version,
//! while the server runs.
//!
//! Version 3 had the table `origin`, with a row for each combination of all names that occurred,
//! and rows of `record` that referred to it. Both tables are renamed. Housekeeping moves their
//! rows, from the highest id downwards, so all rows from one id on are in `record`, and all rows
//! below it are in the earlier table. The view [`EARLIER_ROWS`] shows the earlier rows with the
//! columns of `record`, in the form in which no row refers to a dictionary; so a reader only
//! selects the table.

use rusqlite::{Connection, params};

use super::dictionary::{Dictionaries, generation_of};
use super::insert::{InsertRow, SingleInserter};
use super::row::{self, RowReader};
use super::schema::{self, MIGRATING_VERSION, SCHEMA_VERSION};
use super::{Database, dictionary, expect_row};
use crate::limits::{SQLITE_BLOCK_ROWS, SQLITE_MIGRATION_BYTES, SQLITE_MIGRATION_NAMES};
use crate::record::{ColumnSet, RecordId};
use crate::store::WriteOutcome;
use crate::store::sql::select_list;

/// The table that has the earlier rows.
pub(super) const EARLIER_TABLE: &str = "record_3";

/// The earlier rows, with the columns of `record`.
pub(super) const EARLIER_ROWS: &str = "earlier_record";

/// The columns of the earlier table that have texts.
pub(super) const EARLIER_TEXTS: [&str; 5] = ["message", "trace_id", "span_id", "event_name", "attributes"];

/// Turns the tables of version 3 into earlier tables. Triggers and indexes that users have added to
/// `record` or `origin` would apply to every row that is moved, so they are dropped.
pub(super) fn begin(connection: &Connection) -> rusqlite::Result<()> {
    let mut drops = String::new();
    let mut select = connection.prepare(
        "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('trigger', 'index') AND tbl_name IN ('record', 'origin')
             AND sql IS NOT NULL AND name <> 'origin_used_until'",
    )?;
    let mut added = select.query([])?;
    while let Some(row) = added.next()? {
        let (kind, name, sql): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        tracing::warn!(
            sql,
            "the tables of the database change: a {kind} that was added is dropped; add it again where it is needed"
        );
        drops += &format!("DROP {kind} \"{}\"; ", name.replace('"', "\"\""));
    }
    drop(added);
    drop(select);
    // Otherwise a view that a user has added, and that names `logs`, would keep the tables from
    // being renamed.
    let rename = format!(
        "PRAGMA legacy_alter_table = ON;
         DROP VIEW IF EXISTS logs; DROP VIEW IF EXISTS logs_accounted;
         ALTER TABLE record RENAME TO {EARLIER_TABLE};
         ALTER TABLE origin RENAME TO origin_3;
         PRAGMA legacy_alter_table = OFF;
         CREATE VIEW {EARLIER_ROWS} AS SELECT
             r.id, r.timestamp, max(0, min(31, r.severity_number)) AS severity, NULL AS sender, NULL AS place, o.line,
             o.thread, r.message, r.trace_id, r.attributes, o.process_id, o.host, o.service, o.function, o.logger, o.file,
             r.span_id, o.severity_text, r.event_name
         FROM {EARLIER_TABLE} r LEFT JOIN origin_3 o ON o.id = r.origin_id;"
    );
    let statements = [&drops, &rename, schema::RECORD, dictionary::TABLES, &schema::views(true)];
    schema::change(connection, &statements, MIGRATING_VERSION)
}

/// Returns the tables that have rows, each with what shows its rows with the columns of `record`.
pub(super) fn tables(is_migrating: bool) -> &'static [(&'static str, &'static str)] {
    const TABLES: [(&str, &str); 2] = [("record", "record"), (EARLIER_TABLE, EARLIER_ROWS)];
    if is_migrating { &TABLES } else { &TABLES[..1] }
}

/// Returns the id below which all rows are in the earlier table. It is 0 if all rows have moved.
pub(super) fn end_of_earlier_rows(connection: &Connection) -> rusqlite::Result<RecordId> {
    if schema::version_of(connection)? != MIGRATING_VERSION {
        return Ok(0);
    }
    let mut select =
        connection.prepare_cached(&format!("SELECT max(id) FROM {EARLIER_TABLE} WHERE id < ?"))?;
    let last: Option<RecordId> = select.query_row([i64::MAX], |row| row.get(0))?;
    Ok(last.map_or(0, |last| last + 1))
}

/// A migration that has not ended.
#[derive(Debug)]
pub(super) struct Migration {
    /// The dictionaries of the generation whose rows are being moved, unless it is the one that is
    /// being written.
    dictionaries: Option<Dictionaries>,
}

impl Migration {
    /// Continues with the migration of a database, if it is not of this version.
    pub(super) fn open(connection: &Connection) -> rusqlite::Result<Option<Migration>> {
        let is_migrating = schema::version_of(connection)? == MIGRATING_VERSION;
        Ok(is_migrating.then_some(Migration { dictionaries: None }))
    }
}

impl Database {
    /// Does one slice of a migration. Returns true if there was one.
    pub(super) fn migrate(&mut self) -> rusqlite::Result<bool> {
        if self.migration.is_none() {
            return Ok(false);
        }
        let end = end_of_earlier_rows(&self.connection)?;
        if end > 0 {
            self.move_rows(end)?;
        } else if !self.delete_earlier_names()? {
            self.end_migration()?;
        }
        Ok(true)
    }

    /// Moves some rows before an id, all of one generation. They are inserted in ascending order,
    /// because SQLite fills pages that way, and what they leave behind is overwritten.
    fn move_rows(&mut self, end: RecordId) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "secure_delete", "on")?;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.owner.check(&self.connection)?;
        let first = first_to_move(&self.connection, end)?;
        let (written, refused) = self.insert_moved(first, end)?;
        self.index.forget_records(&self.connection, &refused)?;
        let deleted = self
            .connection
            .prepare_cached(&format!("DELETE FROM {EARLIER_TABLE} WHERE id >= ? AND id < ?"))?
            .execute(params![first as i64, end as i64])?;
        if deleted as u64 != written.stored + written.dead_letters {
            return Err(rusqlite::Error::StatementChangedRows(deleted)); // nothing is moved
        }
        self.connection.execute_batch("COMMIT")?;
        self.connection.pragma_update(None, "secure_delete", "fast")
    }

    /// Inserts the earlier rows from an id on. Returns how many there were, and those that became
    /// dead letters.
    fn insert_moved(
        &mut self,
        first: RecordId,
        end: RecordId,
    ) -> rusqlite::Result<(WriteOutcome, Vec<RecordId>)> {
        let Database { connection, dictionaries, migration, .. } = self;
        let generation = generation_of(first);
        let dictionaries = match migration {
            Some(migration) if dictionaries.generation() != generation => match &mut migration.dictionaries {
                Some(own) => own,
                none => none.insert(Dictionaries::open(connection, generation)?),
            },
            _ => dictionaries,
        };
        let columns = select_list(ColumnSet::ALL, &row::COLUMNS);
        let mut select = connection.prepare_cached(&format!(
            "SELECT {columns} FROM {EARLIER_ROWS} AS r WHERE r.id >= ? AND r.id < ? ORDER BY r.id"
        ))?;
        let mut found = select.query(params![first as i64, end as i64])?;
        let (mut reader, mut rows, mut refused) =
            (RowReader::new(connection), SingleInserter::new(connection), Vec::new());
        while let Some(row) = found.next()? {
            let (id, record) = reader.record(row)?;
            let names = dictionaries.names(connection, id, &record)?;
            if !rows.insert(&InsertRow { id, names, record })? {
                refused.push(id);
            }
        }
        Ok((rows.written(), refused))
    }

    /// Deletes some of the names that the moved rows had. Returns false if there are none left.
    fn delete_earlier_names(&mut self) -> rusqlite::Result<bool> {
        let deleted = self.securely(|connection, _| {
            let delete = "DELETE FROM origin_3 WHERE id IN (SELECT id FROM origin_3 LIMIT ?)";
            connection.prepare_cached(delete)?.execute([SQLITE_MIGRATION_NAMES])
        })?;
        Ok(deleted > 0)
    }

    fn end_migration(&mut self) -> rusqlite::Result<()> {
        let drop = format!(
            "DROP VIEW IF EXISTS logs; DROP VIEW IF EXISTS logs_accounted; DROP VIEW {EARLIER_ROWS};
             DROP TABLE {EARLIER_TABLE}; DROP TABLE origin_3;"
        );
        schema::change(&self.connection, &[&drop, &schema::views(false)], SCHEMA_VERSION)?;
        self.migration = None;
        tracing::info!(database = %self.path.display(), "all records were moved into the tables of this version");
        Ok(())
    }
}

/// Returns the first of the earlier rows before an id that are moved together.
fn first_to_move(connection: &Connection, end: RecordId) -> rusqlite::Result<RecordId> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT id, coalesce(octet_length(message), 0) + coalesce(octet_length(attributes), 0) FROM {EARLIER_TABLE}
         WHERE id < ? ORDER BY id DESC LIMIT ?"
    ))?;
    let mut found = select.query(params![end as i64, SQLITE_BLOCK_ROWS as i64])?;
    let (mut first, mut bytes) = (end, 0);
    while bytes < SQLITE_MIGRATION_BYTES
        && let Some(row) = found.next()?
    {
        let id: RecordId = row.get(0)?;
        if first < end && generation_of(id) != generation_of(first) {
            break;
        }
        first = id;
        bytes += row.get::<_, usize>(1)?;
    }
    // There was a row before the end.
    expect_row(usize::from(first < end))?;
    Ok(first)
}
