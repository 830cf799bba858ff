//! Keeps the records of some services for a shorter time than the rest. One step covers a range of
//! ids in one day's partition.
//!
//! A day is processed once it ended longer ago than the age of the service, by the records' own
//! times, as for the general retention. The progress is stored in `logs_retention`. Records that
//! arrive late have higher ids, and are found when the day is processed again.

use tokio_postgres::types::ToSql;

use super::connect::{Fault, Session};
use super::delete::{DAY, ensure_tables, note};
use super::insert::NodeWriter;
use super::partitions::{Day, age, day_of, name};
use crate::limits::{POSTGRES_DELETED_ROWS_MAX, POSTGRES_EXPIRED_IDS};
use crate::record::time;
use crate::store::ServiceRetention;
use crate::store::clock::ServiceLimit;

/// The retention of one service, and the next day to process.
pub(super) struct ServiceDays {
    of: ServiceLimit,
    /// The next day to process is before this one: from the newest day that is due to the oldest,
    /// and then again.
    before: Option<Day>,
}

impl ServiceDays {
    pub(super) fn new(retention: &ServiceRetention) -> ServiceDays {
        ServiceDays { of: ServiceLimit::new(retention), before: None }
    }

    /// Deletes a slice. Returns true if there may be more to delete at once.
    pub(super) async fn expire(&mut self, writer: &mut NodeWriter, node: &str) -> Result<bool, Fault> {
        let now = time::now();
        let limit = self.of.limit.time(now);
        let days = &writer.days;
        let is_due = |day: &Day| age(*day, limit) > 0;
        let is_next = |day: &Day| self.before.is_none_or(|before| *day < before) && is_due(day);
        let day = days.newest_first().find(is_next);
        let was_running = |times: std::ops::RangeInclusive<i64>| {
            let then = day_of(*times.end());
            Ok::<_, Fault>(then < day_of(now) && days.contains(then))
        };
        if !self.of.limit.is_credible(now, day.is_some(), was_running)? {
            return Ok(false);
        }
        ensure_tables(&mut writer.session).await?;
        let service = self.of.service.as_str();
        let Some(day) = day else {
            self.before = None;
            return expire_default(&mut writer.session, node, service, limit).await;
        };
        let is_more = expire_day(&mut writer.session, node, service, day).await?;
        if !is_more {
            self.before = Some(day);
        }
        Ok(is_more)
    }
}

/// Processes the next range of ids of a day. Returns `false` if there is none.
async fn expire_day(session: &mut Session, node: &str, service: &str, day: Day) -> Result<bool, Fault> {
    let Session { client, driver } = session;
    let partition = name(day);
    // Records that arrive later have ids from the position on.
    let place = "SELECT position, coalesce(
        (SELECT next_id FROM logs_retention r WHERE r.node = n.node AND service = $2 AND day = $3), 1)
        FROM logs_node n WHERE node = $1";
    let parameters: [&(dyn ToSql + Sync); 3] = [&node, &service, &partition];
    let place = driver.drive(client.query_one(place, &parameters)).await?;
    let (position, next_id): (i64, i64) = (place.try_get(0)?, place.try_get(1)?);
    if next_id >= position {
        return Ok(false);
    }
    let first = format!("SELECT min(id) FROM {partition} WHERE node = $1 AND id >= $2 AND id < $3");
    let first: Option<i64> = session.value(&first, &[&node, &next_id, &position]).await?;
    let from = first.unwrap_or(position);
    let until = from.saturating_add(POSTGRES_EXPIRED_IDS).min(position);
    let sql = format!(
        "WITH gone AS (DELETE FROM {partition} WHERE node = $1 AND id >= $4 AND id < $5
                AND service IS NOT DISTINCT FROM nullif($2, '') RETURNING id, $3::text AS day),
            {},
            moved AS (INSERT INTO logs_retention VALUES ($1, $2, $3, $5)
                ON CONFLICT (node, service, day) DO UPDATE SET next_id = excluded.next_id)
         SELECT count(*) FROM gone",
        note("expired")
    );
    let _: i64 = session.value(&sql, &[&node, &service, &partition, &from, &until]).await?;
    Ok(first.is_some())
}

/// Like [`expire_day`], for the partition of all other days, which has few records.
async fn expire_default(session: &mut Session, node: &str, service: &str, limit: i64) -> Result<bool, Fault> {
    let sql = format!(
        "WITH gone AS (DELETE FROM logs_default WHERE ctid = ANY (ARRAY(SELECT ctid FROM logs_default
                WHERE node = $1 AND time < to_timestamp({}) AND service IS NOT DISTINCT FROM nullif($2, '')
                LIMIT {POSTGRES_DELETED_ROWS_MAX})) RETURNING id, {DAY} AS day),
            {}
         SELECT count(*) FROM gone",
        limit.div_euclid(time::SECOND),
        note("expired")
    );
    let gone: i64 = session.value(&sql, &[&node, &service]).await?;
    Ok(gone == POSTGRES_DELETED_ROWS_MAX)
}
