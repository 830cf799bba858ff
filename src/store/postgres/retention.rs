//! Housekeeping: creates tomorrow's partition before it is needed, drops whole partitions once they
//! are too old or use too much space, and deletes rows of the default partition that are too old.
//!
//! A day's partition is dropped when the day has been over for `retention_age`, and a row of the
//! default partition is deleted when it is that old. Both go by the records' own times, regardless
//! of when the records were received. The clock is trusted about the age only with evidence (see
//! [`super::super::clock`]). The database is evidence if yesterday and the day before have a
//! partition; with a `retention_age` of less than a day, only for that long after midnight.

use std::collections::BTreeSet;

use tokio_postgres::error::SqlState;

use super::connect::{Fault, Session};
use super::delete::{ensure_tables, forget, has_notes};
use super::insert::NodeWriter;
use super::partitions::{Day, age, day_of};
use super::{PostgresStore, connected};
use crate::limits::POSTGRES_DELETED_ROWS_MAX;
use crate::record::time;
use crate::store::clock::AgeLimit;

impl PostgresStore {
    /// Does one slice of housekeeping. Housekeeping can wait until a lock on a partition is
    /// released, a view of the partition is dropped, or the role is granted its rights; writing
    /// must not wait for these.
    pub(super) async fn try_maintain(&mut self) -> Result<bool, Fault> {
        let PostgresStore { age_limit, bytes_max, services, database, claimant, writer, .. } = self;
        let writer = connected(writer, database, claimant).await?;
        let slice = async {
            if maintain(writer, age_limit.as_mut(), *bytes_max).await? {
                return Ok::<_, Fault>(true);
            }
            for service in services {
                if service.expire(writer, &database.node).await? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let fault = match slice.await {
            Err(fault) if fault.is_refusal() => fault,
            result => return result,
        };
        let reason = fault.reason();
        tracing::debug!(reason, "housekeeping of the database is postponed");
        let passes = fault.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
        if !passes && self.told.replace(reason.clone()).as_ref() != Some(&reason) {
            let hint = fault.hint().unwrap_or_default();
            tracing::warn!(
                reason,
                hint,
                "housekeeping of the database is refused: retention deletes nothing"
            );
        }
        Ok(false)
    }
}

async fn maintain(
    writer: &mut NodeWriter,
    age_limit: Option<&mut AgeLimit>,
    bytes_max: Option<u64>,
) -> Result<bool, Fault> {
    let now = time::now();
    let today = day_of(now);
    let NodeWriter { session, days, .. } = writer;
    days.load(session).await?;
    days.ensure(session, &BTreeSet::from([today, today + 1]), today).await?;
    if let Some(age_limit) = age_limit {
        let limit = age_limit.time(now);
        let oldest = days.oldest().filter(|day| age(*day, limit) > 0);
        // Housekeeping creates a partition a day ahead, so the partition of a day alone is no
        // evidence that the server ran on that day.
        let was_running = |times: std::ops::RangeInclusive<i64>| {
            let day = day_of(*times.end());
            Ok::<_, Fault>(day < today && days.contains(day) && days.contains(day - 1))
        };
        let early = has_early(session, limit).await?;
        let is_credible = age_limit.is_credible(now, oldest.is_some() || early, was_running)?;
        if is_credible && early {
            return delete_early(session, limit).await;
        }
        if let Some(day) = oldest.filter(|_| is_credible) {
            return drop_day(writer, day).await;
        }
    }
    if let Some(bytes_max) = bytes_max
        && let Some(day) = writer.days.oldest().filter(|day| *day < today)
        && used_bytes(&mut writer.session).await? > bytes_max
    {
        return drop_day(writer, day).await;
    }
    Ok(false)
}

async fn drop_day(writer: &mut NodeWriter, day: Day) -> Result<bool, Fault> {
    let NodeWriter { session, days, .. } = writer;
    let has_notes = has_notes(session).await?;
    if has_notes {
        ensure_tables(session).await?;
    }
    days.drop(session, day, has_notes.then(|| forget(day)).as_deref()).await?;
    Ok(true)
}

/// Returns true if the default partition has rows from before a time.
async fn has_early(session: &mut Session, limit: i64) -> Result<bool, Fault> {
    let has_default = "SELECT to_regclass('logs_default') IS NOT NULL";
    let early = format!("SELECT EXISTS (SELECT FROM logs_default WHERE time < {})", moment(limit));
    Ok(session.value(has_default, &[]).await? && session.value(&early, &[]).await?)
}

/// Deletes some of the rows from before a time. Returns true, because there may be more.
async fn delete_early(session: &mut Session, limit: i64) -> Result<bool, Fault> {
    let Session { client, driver } = session;
    let sql = format!(
        "DELETE FROM logs_default WHERE ctid = ANY (ARRAY(SELECT ctid FROM logs_default WHERE time < {} LIMIT {POSTGRES_DELETED_ROWS_MAX}))",
        moment(limit)
    );
    driver.drive(client.batch_execute(&sql)).await?;
    Ok(true)
}

/// Returns a time as SQL, in whole seconds.
fn moment(limit: i64) -> String {
    format!("to_timestamp({})", limit.div_euclid(time::SECOND))
}

async fn used_bytes(session: &mut Session) -> Result<u64, Fault> {
    let sql = "SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint FROM pg_inherits WHERE inhparent = 'logs'::regclass";
    let bytes: i64 = session.value(sql, &[]).await?;
    Ok(bytes as u64)
}
