//! Deletes chosen records: those that a person requests, and those that are kept for a shorter time
//! than the rest.
//!
//! The ids then have gaps that are not losses. `logs_deleted` has the number of records that are
//! missing in each block, so that all ids still add up; see the view `logs_accounted`. The table
//! never contains the query of a deletion, which may be the very secret that had to be deleted.

use rusqlite::{Connection, OptionalExtension, params};

use super::dictionary::{DICTIONARIES, Dictionaries};
use super::index::Index;
use super::unused_names::NumbersInUse;
use super::{Database, blocks, insert, migrate, sync_write_ahead_log};
use crate::record::{RecordId, time};
use crate::store::{RecordsToDelete, UnusedNames};

/// What is added to the tables of any version: older programs work with these additions.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS logs_deleted ( -- records that are missing on purpose
    block INTEGER NOT NULL, -- the first id of their block
    reason TEXT NOT NULL, -- 'deleted' by a person, or 'expired' for the age of their service
    first_id INTEGER NOT NULL, last_id INTEGER NOT NULL,
    records INTEGER NOT NULL,
    time TEXT NOT NULL, -- when the last of them went
    PRIMARY KEY (block, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retention ( -- how far records of a service were looked at for their age
    service TEXT PRIMARY KEY, next_id INTEGER NOT NULL
) STRICT;
";

/// The view `logs_accounted`; `{rows}` stands for the table that has the rows.
pub(super) const ACCOUNTS: &str = "
CREATE VIEW IF NOT EXISTS logs_accounted AS
    SELECT first_id, last_id, kept, deleted, dead_letters,
        coalesce(last_id - first_id + 1, 0) - kept - deleted - dead_letters AS missing
    FROM (
        SELECT first_id, last_id,
            (SELECT count(*) FROM {rows}) AS kept,
            (SELECT coalesce(sum(records), 0) FROM logs_deleted) AS deleted,
            (SELECT count(*) FROM logs_dead_letter WHERE id BETWEEN first_id AND last_id) AS dead_letters
        FROM (
            SELECT min(one) AS first_id, max(other) AS last_id FROM (
                SELECT min(id) AS one, NULL AS other FROM {rows} UNION ALL SELECT NULL, max(id) FROM {rows}
                UNION ALL SELECT min(first_id), max(last_id) FROM logs_deleted
            )
        )
    );
";

/// Returns a statement that overwrites the texts of a row without changing their lengths, so that
/// their bytes are overwritten in place.
fn blank(table: &str, columns: &[&str]) -> String {
    let blanked = columns.iter().map(|column| {
        format!(
            "{column} = CASE typeof({column}) WHEN 'text' THEN printf('%.*c', octet_length({column}), ' ') \
             WHEN 'blob' THEN zeroblob(length({column})) ELSE {column} END"
        )
    });
    format!("UPDATE {table} SET {} WHERE id = ?", blanked.collect::<Vec<_>>().join(", "))
}

/// Why a record is missing.
#[derive(Clone, Copy)]
pub(super) enum Reason {
    /// A person requested the deletion.
    Deleted,
    /// The records of its service are kept for a shorter time.
    Expired,
}

impl Database {
    /// Deletes records and dead letters; see [`crate::store::Store::delete`].
    pub(super) fn delete(&mut self, to_delete: &RecordsToDelete) -> rusqlite::Result<u64> {
        let mut tables = vec![("record", blank("record", &insert::COLUMNS[1..]))];
        if self.migration.is_some() {
            tables.push((migrate::EARLIER_TABLE, blank(migrate::EARLIER_TABLE, &migrate::EARLIER_TEXTS)));
        }
        let deleted = self.securely(|connection, index| {
            // First blank all records in place: deleting a record moves its neighbours, which would
            // leave their bytes behind.
            for id in &to_delete.ids {
                for (_, blank) in &tables {
                    connection.prepare_cached(blank)?.execute([*id as i64])?;
                }
            }
            let tables = tables.iter().map(|(table, _)| *table).chain(["logs_dead_letter"]);
            let mut deleted = Vec::new();
            for id in &to_delete.ids {
                if delete_one(connection, tables.clone(), *id)? {
                    deleted.push(*id);
                }
            }
            note(connection, Reason::Deleted, &deleted)?;
            index.forget_records(connection, &deleted)?;
            Ok(deleted.len())
        })?;
        Ok(deleted as u64)
    }

    /// Runs a transaction that overwrites what it deletes; otherwise SQLite leaves the bytes in
    /// pages that become free.
    pub(super) fn securely<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Index) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.connection.pragma_update(None, "secure_delete", "on")?;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let result = work(&self.connection, &mut self.index)?;
        self.connection.execute_batch("COMMIT")?;
        self.connection.pragma_update(None, "secure_delete", "fast")?;
        Ok(result)
    }

    /// Deletes names that no record refers to any more; see [`crate::store::Store::delete_names`].
    pub(super) fn delete_names(&mut self, names: &UnusedNames) -> rusqlite::Result<u64> {
        let deleted = self.securely(|connection, _| {
            let used = NumbersInUse::of_rows(connection, names.generation, names.end)?;
            let mut deleted = 0;
            for name in names.ids.iter().filter(|name| !used.has(name.table, name.id)) {
                let table = DICTIONARIES[name.table];
                deleted += connection
                    .prepare_cached(&format!("DELETE FROM {table} WHERE id = ?"))?
                    .execute([name.id])?;
            }
            Ok(deleted)
        })?;
        // The dictionaries in memory may have what was deleted.
        self.dictionaries = Dictionaries::open(&self.connection, self.dictionaries.generation())?;
        Ok(deleted as u64)
    }

    /// Makes the deletion durable and empties the write-ahead log, which contains the earlier state
    /// of the pages; see [`crate::store::Store::scrub`].
    pub(super) fn scrub(&self) -> rusqlite::Result<u64> {
        sync_write_ahead_log(&self.path).map_err(|error| super::io_error(&error))?;
        match self.checkpoint(true) {
            Ok(()) => Ok(1),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// Deletes a record from the first of the tables that has it.
fn delete_one<'a>(
    connection: &Connection,
    tables: impl Iterator<Item = &'a str>,
    id: RecordId,
) -> rusqlite::Result<bool> {
    for table in tables {
        if connection.prepare_cached(&format!("DELETE FROM {table} WHERE id = ?"))?.execute([id as i64])? > 0
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Notes deleted ids, in ascending order, at their blocks. Ids that have no block any more are
/// below all ids that count.
pub(super) fn note(connection: &Connection, reason: Reason, ids: &[RecordId]) -> rusqlite::Result<()> {
    let mut rest = ids;
    while let Some(first) = rest.first() {
        let block = connection
            .prepare_cached(
                "SELECT first_id, end_id FROM block WHERE first_id <= ? ORDER BY first_id DESC LIMIT 1",
            )?
            .query_row([*first as i64], blocks::ids)
            .optional()?;
        let (of_block, others) = match &block {
            Some(block) if *first < block.end => rest.split_at(rest.partition_point(|id| *id < block.end)),
            _ => rest.split_at(1),
        };
        if let (Some(block), Some(last)) = (block, of_block.last())
            && *last < block.end
        {
            write_note(connection, reason, block.start, (*first, *last), of_block.len())?;
        }
        rest = others;
    }
    Ok(())
}

/// Adds to the number of records that are missing in a block.
pub(super) fn write_note(
    connection: &Connection,
    reason: Reason,
    block: RecordId,
    (first, last): (RecordId, RecordId),
    records: usize,
) -> rusqlite::Result<()> {
    let reason = match reason {
        Reason::Deleted => "deleted",
        Reason::Expired => "expired",
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO logs_deleted VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
            first_id = min(first_id, excluded.first_id), last_id = max(last_id, excluded.last_id),
            records = records + excluded.records, time = excluded.time",
    )?;
    let row =
        params![block as i64, reason, first as i64, last as i64, records as i64, time::format(time::now())];
    insert.execute(row).map(|_| ())
}

/// Deletes the notes of a block that is deleted as a whole.
pub(super) fn forget(connection: &Connection, block: RecordId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM logs_deleted WHERE block = ?")?.execute([block as i64]).map(|_| ())
}
