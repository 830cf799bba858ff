//! Deleting chosen records, and accounting for them.
//!
//! Ids then have gaps that are no losses. `logs_deleted` tells how many are missing in each stretch of ids, so that they still add up:
//! see the view `logs_accounted`. Both are made when the first record is deleted, for databases whose tables are older.

use tokio_postgres::types::ToSql;

use super::PostgresStore;
use super::days::{Day, name};
use super::fault::Fault;
use super::schema::LOCK;
use super::session::Session;
use crate::limits::{POSTGRES_DEFINITION_SECONDS_MAX, POSTGRES_DELETED_BLOCK_IDS};
use crate::record::time::SECOND;
use crate::store::Doomed;

/// The tables that deleting needs, which `logs_version` does not speak of: whoever deletes nothing can do without.
pub(super) const TABLES: &str = include_str!("deleted.sql");

/// Brings those of an earlier version, which had no day, to this one.
const ADD_DAY: &str = "ALTER TABLE logs_deleted ADD COLUMN IF NOT EXISTS day text NOT NULL DEFAULT '';
    ALTER TABLE logs_deleted DROP CONSTRAINT IF EXISTS logs_deleted_pkey, ADD PRIMARY KEY (node, block, reason, day);";

/// The day of a row.
pub(super) const DAY: &str = "to_char(time AT TIME ZONE 'UTC', '\"logs_\"YYYYMMDD')";

/// Whether there is anything to be accounted for.
pub(super) async fn has_notes(session: &mut Session) -> Result<bool, Fault> {
    let Session { client, line } = session;
    let is_there = "SELECT to_regclass('logs_deleted') IS NOT NULL";
    line.drive(async { client.query_one(is_there, &[]).await?.try_get(0) }).await
}

/// Makes sure that these tables are there.
pub(super) async fn ensure_tables(session: &mut Session) -> Result<(), Fault> {
    let Session { client, line } = session;
    let is_there = "SELECT to_regclass('logs_accounted') IS NOT NULL AND EXISTS (SELECT FROM pg_attribute
        WHERE attrelid = to_regclass('logs_deleted') AND attname = 'day' AND NOT attisdropped)";
    let is_there: bool = line.drive(async { client.query_one(is_there, &[]).await?.try_get(0) }).await?;
    if is_there {
        return Ok(());
    }
    let make = async {
        let result = client.batch_execute(&format!("BEGIN; {LOCK}; {TABLES} {ADD_DAY} COMMIT;")).await;
        if result.is_err() {
            client.batch_execute("ROLLBACK").await?;
        }
        result
    };
    line.drive_within(POSTGRES_DEFINITION_SECONDS_MAX, make).await
}

/// The rest of a statement whose `WITH` gives the ids of `gone` and their days, and whose `$1` is the node: notes them.
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

/// What forgets the notes of a day and of ids that are gone as a whole, of every node.
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
    pub(super) async fn try_delete(&mut self, doomed: &Doomed) -> Result<u64, Fault> {
        self.connect().await?;
        let PostgresStore { writer: Some(writer), database, .. } = self else { return Ok(0) };
        ensure_tables(&mut writer.session).await?;
        let Some((first, last)) = doomed.times else { return Ok(0) };
        // The times spare the server most of the partitions. A letter may be older than all that is accounted for.
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
        let ids: Vec<i64> = doomed.ids.iter().map(|id| *id as i64).collect();
        let parameters: [&(dyn ToSql + Sync); 2] = [&database.node, &ids];
        let Session { client, line } = &mut writer.session;
        let deleted: i64 =
            line.drive(async { client.query_one(&sql, &parameters).await?.try_get(0) }).await?;
        Ok(deleted as u64)
    }
}
