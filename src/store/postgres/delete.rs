//! Deletes selected records, and accounts for them.
//!
//! Deletion leaves gaps in the ids that are not losses. `logs_deleted` records how many are missing
//! in each block of ids, so that the ids still add up: see the view `logs_accounted`. Both are
//! created when the first record is deleted, for databases whose tables are older.

use super::connect::{Fault, Session};
use super::partitions::{Day, name};
use super::schema::change_tables;
use super::{PostgresStore, connected};
use crate::limits::{POSTGRES_DEFINITION_SECONDS_MAX, POSTGRES_DELETED_BLOCK_IDS};
use crate::record::time::SECOND;
use crate::store::RecordsToDelete;

/// The tables that deletion needs. `logs_version` does not cover them: a database without deletions
/// does not need them.
pub(super) const TABLES: &str = include_str!("deleted.sql");

/// Upgrades the tables of an earlier version, which had no day.
const ADD_DAY: &str = "ALTER TABLE logs_deleted ADD COLUMN IF NOT EXISTS day text NOT NULL DEFAULT '';
    ALTER TABLE logs_deleted DROP CONSTRAINT IF EXISTS logs_deleted_pkey, ADD PRIMARY KEY (node, block, reason, day);";

/// The day of a row, as the name of the day's partition.
pub(super) const DAY: &str = "to_char(time AT TIME ZONE 'UTC', '\"logs_\"YYYYMMDD')";

/// Returns true if the notes table exists, so that there may be deletions to account for.
pub(super) async fn has_notes(session: &mut Session) -> Result<bool, Fault> {
    session.value("SELECT to_regclass('logs_deleted') IS NOT NULL", &[]).await
}

/// Creates [`TABLES`] if they are missing, and upgrades those of an earlier version.
pub(super) async fn ensure_tables(session: &mut Session) -> Result<(), Fault> {
    let is_there = "SELECT to_regclass('logs_accounted') IS NOT NULL AND EXISTS (SELECT FROM pg_attribute
        WHERE attrelid = to_regclass('logs_deleted') AND attname = 'day' AND NOT attisdropped)";
    if session.value(is_there, &[]).await? {
        return Ok(());
    }
    let Session { client, driver } = session;
    let change = change_tables(client, format!("{TABLES} {ADD_DAY}"));
    driver.drive_within(POSTGRES_DEFINITION_SECONDS_MAX, change).await
}

/// Returns the `WITH` part of a statement that records the deletions in `logs_deleted`. An earlier
/// part, `gone`, must return the deleted ids and their days, and `$1` must be the node.
pub(super) fn note(reason: &str) -> String {
    let block = POSTGRES_DELETED_BLOCK_IDS;
    format!(
        "noted AS (INSERT INTO logs_deleted AS known (node, block, reason, day, first_id, last_id, records, time)
            SELECT $1, id / {block} * {block}, '{reason}', day, min(id), max(id), count(*), now() FROM gone GROUP BY 2, 4
            ON CONFLICT (node, block, reason, day) DO UPDATE SET
                first_id = least(known.first_id, excluded.first_id), last_id = greatest(known.last_id, excluded.last_id),
                records = known.records + excluded.records, time = excluded.time)"
    )
}

/// Returns the statements that delete the notes of a day, and the notes of ids that are completely
/// gone, for every node.
pub(super) fn forget(day: Day) -> String {
    let day = name(day);
    format!(
        "DELETE FROM logs_retention WHERE day = '{day}'; DELETE FROM logs_deleted WHERE day = '{day}';
         WITH known AS MATERIALIZED (
             SELECT node, coalesce((SELECT min(id) FROM logs WHERE logs.node = logs_node.node), position) AS first_id FROM logs_node
         ) DELETE FROM logs_deleted USING known
             WHERE logs_deleted.node = known.node AND logs_deleted.last_id < known.first_id"
    )
}

impl PostgresStore {
    pub(super) async fn try_delete(&mut self, to_delete: &RecordsToDelete) -> Result<u64, Fault> {
        let PostgresStore { database, claimant, writer, .. } = self;
        let writer = connected(writer, database, claimant).await?;
        ensure_tables(&mut writer.session).await?;
        let Some((first, last)) = to_delete.times else { return Ok(0) };
        // The times let the server skip most of the partitions. A dead letter may be older than
        // everything that is accounted for; no note is written for it.
        let sql = format!(
            "WITH records AS (DELETE FROM logs WHERE node = $1 AND id = ANY ($2)
                    AND time >= to_timestamp({}) AND time < to_timestamp({}) RETURNING id, {DAY} AS day),
                letters AS (DELETE FROM logs_dead_letter WHERE node = $1 AND id = ANY ($2) RETURNING id),
                gone AS (SELECT id, day FROM records UNION ALL SELECT id, '' FROM letters WHERE id >= least(
                    (SELECT min(id) FROM logs WHERE node = $1), (SELECT min(first_id) FROM logs_deleted WHERE node = $1))),
                {}
             SELECT (SELECT count(*) FROM records) + (SELECT count(*) FROM letters)",
            first.div_euclid(SECOND),
            last.div_euclid(SECOND) + 2,
            note("deleted")
        );
        let ids: Vec<i64> = to_delete.ids.iter().map(|id| *id as i64).collect();
        let deleted: i64 = writer.session.value(&sql, &[&database.node, &ids]).await?;
        Ok(deleted as u64)
    }
}
