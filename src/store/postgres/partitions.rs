//! Partitions: one for each day (UTC) that has records, created when its first record arrives.
//!
//! A batch with thousands of different days must not create thousands of tables. Days from a year
//! ago until the day after tomorrow get a partition, a few at a time; all other rows are kept in
//! the partition `logs_default`. When a day gets its own partition, its rows in the default
//! partition are moved there. If a partition cannot be created (the role lacks the right, or a
//! partition for the month was created by hand), the rows go where PostgreSQL routes them, and the
//! log reports this once. If creation has to wait because another session reads the default
//! partition for long, the rows go there as well, until creation no longer has to wait.
//!
//! A partition is created beside `logs` and then attached. This neither waits for sessions that
//! read or write other days nor blocks them.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use jiff::civil::Date;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use super::connect::{Fault, Session};
use super::copy::EPOCH_MICROSECONDS;
use super::schema::LOCK;
use super::search::Microseconds;
use crate::limits::{
    POSTGRES_DEFINITION_LOCK_SECONDS_MAX, POSTGRES_DEFINITION_SECONDS_MAX,
    POSTGRES_DEFINITION_STATEMENT_SECONDS_MAX, POSTGRES_MOVED_ROWS_MAX, POSTGRES_NEW_DAYS_MAX,
    POSTGRES_PAST_DAYS_MAX,
};
use crate::record::time::{self, SECOND};

/// A day (UTC), as the number of days since 1970-01-01.
pub(super) type Day = i32;

/// Returns the day of a time in ns since the epoch.
pub(super) fn day_of(time: i64) -> Day {
    time.div_euclid(86_400 * SECOND) as Day // fits: times span 292 years before and after 1970
}

/// The days that are known to have a partition of their own.
#[derive(Debug, Default)]
pub(super) struct Days {
    known: BTreeSet<Day>,
    /// Days for which no partition can be created, until the next connection.
    given_up: BTreeSet<Day>,
    is_told: bool,
    /// A lock of another session blocks the creation of partitions, or did at the last attempt.
    must_wait: bool,
}

impl Days {
    /// Reads from the server which partitions exist.
    pub(super) async fn load(&mut self, session: &mut Session) -> Result<(), Fault> {
        let Session { client, driver } = session;
        self.known = driver.drive(existing(client)).await?;
        self.must_wait = false;
        Ok(())
    }

    /// Returns true if a day has a partition of its own.
    pub(super) fn contains(&self, day: Day) -> bool {
        self.known.contains(&day)
    }

    /// Returns the oldest day that has a partition.
    pub(super) fn oldest(&self) -> Option<Day> {
        self.known.first().copied()
    }

    /// Returns all days that have a partition, newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = Day> {
        self.known.iter().rev().copied()
    }

    /// Creates the partitions that these days lack, those nearest to today first.
    pub(super) async fn ensure(
        &mut self,
        session: &mut Session,
        days: &BTreeSet<Day>,
        today: Day,
    ) -> Result<(), Fault> {
        let wanted = wanted_days(today);
        let is_missing =
            |day: &&Day| wanted.contains(day) && !self.known.contains(day) && !self.given_up.contains(day);
        let mut missing: Vec<Day> = days.iter().filter(is_missing).copied().collect();
        missing.sort_by_key(|day| day.abs_diff(today));
        for day in missing.into_iter().take(POSTGRES_NEW_DAYS_MAX) {
            if !self.must_wait {
                self.make(session, day).await?;
            }
        }
        Ok(())
    }

    async fn make(&mut self, session: &mut Session, day: Day) -> Result<(), Fault> {
        let Session { client, driver } = session;
        let change = change(client, make(client, day));
        let why = match driver.drive_within(POSTGRES_DEFINITION_SECONDS_MAX, change).await {
            Ok(true) => {
                self.known.insert(day);
                return Ok(());
            }
            Ok(false) => "the default partition has too many rows of that day".to_owned(),
            Err(fault) if fault.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                tracing::debug!(
                    partition = name(day),
                    reason = fault.reason(),
                    "the creation of a partition is postponed"
                );
                self.must_wait = true;
                return Ok(());
            }
            Err(fault) if fault.is_final_for_a_partition() => fault.reason(),
            Err(fault) => return Err(fault),
        };
        self.given_up.insert(day);
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(
                partition = name(day),
                why,
                "no partition was created for a day: its rows are stored in another partition, or in logs_default"
            );
        }
        Ok(())
    }

    /// Drops the partition of a day, and runs `also` in the same transaction.
    pub(super) async fn drop(
        &mut self,
        session: &mut Session,
        day: Day,
        also: Option<&str>,
    ) -> Result<(), Fault> {
        let Session { client, driver } = session;
        let change = change(client, async {
            // A partition that was detached from `logs`, to be kept, is not dropped.
            if existing(client).await?.contains(&day) {
                client.batch_execute(&format!("DROP TABLE {}", name(day))).await?;
            }
            if let Some(also) = also {
                client.batch_execute(also).await?;
            }
            Ok(true)
        });
        driver.drive_within(POSTGRES_DEFINITION_SECONDS_MAX, change).await?;
        self.known.remove(&day);
        Ok(())
    }
}

fn wanted_days(today: Day) -> RangeInclusive<Day> {
    // One day ahead is a time zone or an inaccurate clock; two days are a wrong clock or midnight.
    today - POSTGRES_PAST_DAYS_MAX..=today + 2
}

/// Returns the days that have a partition with the expected name and the expected bounds. A
/// partition created by hand for a month may have the name of the month's first day. (Both bounds
/// are parsed in the time zone in which they are printed, whichever that is.)
async fn existing(client: &Client) -> Result<BTreeSet<Day>, Error> {
    let partitions = r"SELECT c.relname, borders[1]::timestamptz, borders[2]::timestamptz
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
            regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \(''([^'']+)''\) TO \(''([^'']+)''\)$') AS borders
        WHERE i.inhparent = 'logs'::regclass AND c.relname ~ '^logs_[0-9]{8}$'";
    let mut days = BTreeSet::new();
    for row in client.query(partitions, &[]).await? {
        let Some(day) = parse(row.try_get(0)?) else { continue };
        let borders: [Option<Microseconds>; 2] = [row.try_get(1)?, row.try_get(2)?];
        if borders == [day, day + 1].map(|day| Some(start(day))) {
            days.insert(day);
        }
    }
    Ok(days)
}

/// Changes tables in a transaction of its own, which is rolled back if `work` returns `false`.
/// Readers and writers queue behind a change that waits for a lock, so it does not wait for long.
async fn change(client: &Client, work: impl Future<Output = Result<bool, Error>>) -> Result<bool, Error> {
    let begin = format!(
        "BEGIN READ WRITE; SET LOCAL lock_timeout = '{POSTGRES_DEFINITION_LOCK_SECONDS_MAX}s'; \
         SET LOCAL statement_timeout = '{POSTGRES_DEFINITION_STATEMENT_SECONDS_MAX}s'; {LOCK}"
    );
    let result = async {
        client.batch_execute(&begin).await?;
        work.await
    };
    let result = result.await;
    let end = if matches!(result, Ok(true)) { "COMMIT" } else { "ROLLBACK" };
    let ended = client.batch_execute(end).await;
    let is_made = result?;
    ended.map(|()| is_made)
}

/// Creates a partition. Returns `false` if the default partition has too many rows of the day to be
/// moved.
async fn make(client: &Client, day: Day) -> Result<bool, Error> {
    // Another logboom process may have created the partition in the meantime.
    if existing(client).await?.contains(&day) {
        return Ok(true);
    }
    let has_default = "SELECT EXISTS (SELECT FROM pg_inherits
        WHERE inhparent = 'logs'::regclass AND inhrelid = to_regclass('logs_default'))";
    let has_default: bool = client.query_one(has_default, &[]).await?.try_get(0)?;
    if has_default {
        // Without these locks, rows of the day could arrive between the count and the end.
        // Attaching takes these locks anyway, and in this order.
        let lock = "LOCK TABLE ONLY logs IN SHARE UPDATE EXCLUSIVE MODE; LOCK TABLE logs_default IN ACCESS EXCLUSIVE MODE";
        client.batch_execute(lock).await?;
    }
    let (name, from, to) = (name(day), midnight(day), midnight(day + 1));
    client
        .batch_execute(&format!(
            "CREATE TABLE {name} (LIKE logs INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY)"
        ))
        .await?;
    let in_day = format!("WHERE time >= '{from}' AND time < '{to}'");
    if has_default {
        let count = format!("SELECT count(*) FROM (SELECT FROM logs_default {in_day} LIMIT $1) AS early");
        let count: i64 = client.query_one(&count, &[&(POSTGRES_MOVED_ROWS_MAX + 1)]).await?.try_get(0)?;
        if count > POSTGRES_MOVED_ROWS_MAX {
            return Ok(false);
        }
        if count > 0 {
            // All columns except generated ones.
            let columns = "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                WHERE attrelid = 'logs'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''";
            let columns: String = client.query_one(columns, &[]).await?.try_get(0)?;
            let moving = format!(
                "WITH early AS (DELETE FROM logs_default {in_day} RETURNING {columns})
                 INSERT INTO {name} ({columns}) SELECT {columns} FROM early"
            );
            client.batch_execute(&moving).await?;
        }
    }
    let attach = format!("ALTER TABLE logs ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')");
    client.batch_execute(&attach).await?;
    Ok(true)
}

/// Returns the name of a day's partition, such as `logs_20261122`.
pub(super) fn name(day: Day) -> String {
    time::date_of(day).strftime("logs_%Y%m%d").to_string()
}

fn parse(name: &str) -> Option<Day> {
    let date = Date::strptime("%Y%m%d", name.strip_prefix("logs_")?).ok()?;
    Some(time::day_number(date)).filter(|day| self::name(*day) == name)
}

fn start(day: Day) -> Microseconds {
    Microseconds(i64::from(day) * 86_400_000_000 - EPOCH_MICROSECONDS)
}

/// Returns the start of a day in a form that PostgreSQL parses independently of the session's time
/// zone.
fn midnight(day: Day) -> String {
    time::date_of(day).strftime("%Y-%m-%d 00:00:00+00").to_string()
}

/// Returns how long before `now` a day ended, in ns; negative if the day has not ended.
pub(super) fn age(day: Day, now: i64) -> i64 {
    now.saturating_sub((i64::from(day) + 1).saturating_mul(86_400 * SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::time;

    #[test]
    fn days_have_names_and_borders() {
        for (time, day_name, start) in [
            ("1970-01-01T00:00:00Z", "logs_19700101", "1970-01-01 00:00:00+00"),
            ("1969-12-31T23:59:59.999999999Z", "logs_19691231", "1969-12-31 00:00:00+00"),
            ("2026-11-22T23:59:59.999999999Z", "logs_20261122", "2026-11-22 00:00:00+00"),
            ("2024-02-29T12:00:00Z", "logs_20240229", "2024-02-29 00:00:00+00"),
            ("1678-01-01T00:00:00Z", "logs_16780101", "1678-01-01 00:00:00+00"),
        ] {
            let day = day_of(time::parse(time).unwrap());
            assert_eq!((name(day).as_str(), midnight(day).as_str()), (day_name, start));
            assert_eq!(parse(day_name), Some(day));
        }
    }

    #[test]
    fn parse_other_table_name_is_none() {
        for name in
            ["logs_default", "logs_2026112", "logs_202611222", "logs_20261131", "logs_20261122x", "20261122"]
        {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn age_is_zero_at_end_of_day() {
        let hour = 3600 * SECOND;
        assert_eq!(age(0, 24 * hour), 0);
        assert_eq!(age(0, 23 * hour), -hour);
        assert_eq!(age(-1, hour), hour);
    }
}
