//! Deleting chosen records, and accounting for them.
//!
//! Ids then have gaps that are no losses. `logs_deleted` tells how many are missing in each stretch of ids, so that they still add up:
//! see the view `logs_accounted`. Both are made when the first record is deleted, for databases whose tables are older.

use tokio_postgres::types::ToSql;

use super::PostgresStore;
use super::fault::Fault;
use super::schema::LOCK;
use super::session::Session;
use crate::limits::{POSTGRES_DEFINITION_SECONDS_MAX, POSTGRES_DELETED_BLOCK_IDS};
use crate::record::time::SECOND;
use crate::store::Doomed;

/// The tables that deleting needs, which `logs_version` does not speak of: whoever deletes nothing can do without.
pub(super) const TABLES: &str = include_str!("deleted.sql");

/// Makes sure that these tables are there.
pub(super) async fn ensure_tables(session: &mut Session) -> Result<(), Fault> {
    let Session { client, line } = session;
    let is_there = "SELECT to_regclass('logs_accounted') IS NOT NULL";
    let is_there: bool = line.drive(async { client.query_one(is_there, &[]).await?.try_get(0) }).await?;
    if is_there {
        return Ok(());
    }
    let make = async {
        let result = client.batch_execute(&format!("BEGIN; {LOCK}; {TABLES} COMMIT;")).await;
        if result.is_err() {
            client.batch_execute("ROLLBACK").await?;
        }
        result
    };
    line.drive_within(POSTGRES_DEFINITION_SECONDS_MAX, make).await
}

/// The rest of a statement whose `WITH` gives the ids of `gone`, and whose `$1` is the node: notes them.
pub(super) fn note(reason: &str) -> String {
    let block = POSTGRES_DELETED_BLOCK_IDS;
    format!(
        "noted AS (INSERT INTO logs_deleted AS known (node, block, reason, first_id, last_id, records, time)
            SELECT $1, id / {block} * {block}, '{reason}', min(id), max(id), count(*), now() FROM gone GROUP BY 2
            ON CONFLICT (node, block, reason) DO UPDATE SET
                first_id = least(known.first_id, excluded.first_id), last_id = greatest(known.last_id, excluded.last_id),
                records = known.records + excluded.records, time = excluded.time)"
    )
}

impl PostgresStore {
    pub(super) async fn try_delete(&mut self, doomed: &Doomed) -> Result<u64, Fault> {
        self.connect().await?;
        let PostgresStore { writer: Some(writer), database, .. } = self else { return Ok(0) };
        ensure_tables(&mut writer.session).await?;
        let Some((first, last)) = doomed.times else { return Ok(0) };
        // The times spare the server most of the partitions.
        let sql = format!(
            "WITH records AS (DELETE FROM logs WHERE node = $1 AND id = ANY ($2) AND time >= {} AND time < {} RETURNING id),
                letters AS (DELETE FROM logs_dead_letter WHERE node = $1 AND id = ANY ($2) RETURNING id),
                gone AS (SELECT id FROM records UNION ALL SELECT id FROM letters),
                {}
             SELECT count(*) FROM gone",
            seconds(first),
            seconds(last.saturating_add(2 * SECOND)),
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

/// A time, down to its second, as SQL.
pub(super) fn seconds(time: i64) -> String {
    format!("to_timestamp({})", time.div_euclid(SECOND))
}
