//! Partitions: one for each day (UTC) that has records, made when its first one comes.
//!
//! A batch with thousands of different days must not make thousands of tables. Days from a year ago until the day after
//! tomorrow get one, a few at a time; all else is kept in the partition `logs_default`. A day whose first records are there
//! already takes them over when it gets its own. Where a partition cannot be made (the role may not, or somebody has made one
//! for the month by hand), the rows go where PostgreSQL puts them, and the log says so once. Where it must wait, since somebody
//! reads the default partition for long, they do so until it need not wait any more.
//!
//! A partition is made beside `logs` and then attached, which neither waits for those who read or write other days nor holds them
//! up.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use jiff::civil::Date;
use jiff::{SignedDuration, Span};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use super::fault::Fault;
use super::read::Microseconds;
use super::rows::EPOCH_MICROSECONDS;
use super::schema::LOCK;
use super::session::Session;
use crate::limits::{
    POSTGRES_DEFINITION_LOCK_SECONDS_MAX, POSTGRES_DEFINITION_SECONDS_MAX,
    POSTGRES_DEFINITION_STATEMENT_SECONDS_MAX, POSTGRES_MOVED_ROWS_MAX, POSTGRES_NEW_DAYS_MAX,
    POSTGRES_PAST_DAYS_MAX,
};
use crate::record::time::SECOND;

/// A day: how many came before it since 1970-01-01, UTC.
pub(super) type Day = i32;

/// The day of a time in ns since the epoch.
pub(super) fn day_of(time: i64) -> Day {
    time.div_euclid(86_400 * SECOND) as Day // of 292 years before and after
}

/// The days that have a partition of their own, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Days {
    known: BTreeSet<Day>,
    /// Those for which none can be made, until the next connection.
    given_up: BTreeSet<Day>,
    is_told: bool,
    /// Somebody else's lock is in the way, or was at the last look.
    must_wait: bool,
}

impl Days {
    /// Asks which there are.
    pub(super) async fn load(&mut self, session: &mut Session) -> Result<(), Fault> {
        let Session { client, line } = session;
        self.known = line.drive(existing(client)).await?;
        self.must_wait = false;
        Ok(())
    }

    /// Whether a day has one.
    pub(super) fn contains(&self, day: Day) -> bool {
        self.known.contains(&day)
    }

    /// The oldest day that has a partition.
    pub(super) fn oldest(&self) -> Option<Day> {
        self.known.first().copied()
    }

    /// All days that have one.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = Day> {
        self.known.iter().rev().copied()
    }

    /// Makes the partitions that these days lack, those nearest to today first.
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
        let Session { client, line } = session;
        let change = change(client, make(client, day));
        let why = match line.drive_within(POSTGRES_DEFINITION_SECONDS_MAX, change).await {
            Ok(true) => {
                self.known.insert(day);
                return Ok(());
            }
            Ok(false) => "the default partition has too many rows of that day".to_owned(),
            Err(fault) if fault.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                tracing::debug!(partition = name(day), reason = fault.reason(), "a partition waits");
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
                "a day gets no partition of its own: its rows go into another one, or into logs_default"
            );
        }
        Ok(())
    }

    /// Drops the partition of a day, and does what else belongs to that in the same transaction.
    pub(super) async fn drop(
        &mut self,
        session: &mut Session,
        day: Day,
        also: Option<&str>,
    ) -> Result<(), Fault> {
        let Session { client, line } = session;
        let change = change(client, async {
            // Unless somebody has taken it out of `logs`, to keep it.
            if existing(client).await?.contains(&day) {
                client.batch_execute(&format!("DROP TABLE {}", name(day))).await?;
            }
            if let Some(also) = also {
                client.batch_execute(also).await?;
            }
            Ok(true)
        });
        line.drive_within(POSTGRES_DEFINITION_SECONDS_MAX, change).await?;
        self.known.remove(&day);
        Ok(())
    }
}

fn wanted_days(today: Day) -> RangeInclusive<Day> {
    today - POSTGRES_PAST_DAYS_MAX..=today + 2 // a day ahead is a time zone or a clock, two are a wrong clock or midnight
}

/// The days that have a partition: of its name, and of its borders. What somebody has made by hand for a month may have the name of
/// its first day. (Both borders are read in the time zone that they are shown in, whichever that is.)
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

/// A change of tables, in a transaction of its own; not where the work gives `false`. Those who read and write wait behind one that
/// waits, so it does not wait for long.
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

/// Makes a partition; `false` when the default one has too many rows of the day to be moved.
async fn make(client: &Client, day: Day) -> Result<bool, Error> {
    // Another logboom may have made it meanwhile.
    if existing(client).await?.contains(&day) {
        return Ok(true);
    }
    let has_default = "SELECT EXISTS (SELECT FROM pg_inherits
        WHERE inhparent = 'logs'::regclass AND inhrelid = to_regclass('logs_default'))";
    let has_default: bool = client.query_one(has_default, &[]).await?.try_get(0)?;
    if has_default {
        // Else rows of the day could come between the look and the end. Attaching takes these locks anyway, and in this order.
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
            // All columns but those that are computed.
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

/// `logs_20261122`.
pub(super) fn name(day: Day) -> String {
    date(day).strftime("logs_%Y%m%d").to_string()
}

fn parse(name: &str) -> Option<Day> {
    let date = Date::strptime("%Y%m%d", name.strip_prefix("logs_")?).ok()?;
    Some((date - EPOCH).get_days()).filter(|day| self::name(*day) == name)
}

fn start(day: Day) -> Microseconds {
    Microseconds(i64::from(day) * 86_400_000_000 - EPOCH_MICROSECONDS)
}

/// As PostgreSQL reads it, whatever the time zone of the session is.
fn midnight(day: Day) -> String {
    date(day).strftime("%Y-%m-%d 00:00:00+00").to_string()
}

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

fn date(day: Day) -> Date {
    EPOCH.saturating_add(Span::new().days(day))
}

/// How long ago a day was over at a time, in ns; negative if it is not over.
pub(super) fn age(day: Day, now: i64) -> i64 {
    let end =
        (i64::from(day) + 1).saturating_mul(SignedDuration::from_hours(24).as_secs()).saturating_mul(SECOND);
    now.saturating_sub(end)
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
    fn other_tables_are_no_days() {
        for name in
            ["logs_default", "logs_2026112", "logs_202611222", "logs_20261131", "logs_20261122x", "20261122"]
        {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_day_is_over_at_its_end() {
        let hour = 3600 * SECOND;
        assert_eq!(age(0, 24 * hour), 0);
        assert_eq!(age(0, 23 * hour), -hour);
        assert_eq!(age(-1, hour), hour);
    }
}
