//! Reads records back in slices, so that a long search can be stopped.
//!
//! Ids belong to a node, and one database may hold several nodes: a search covers the records of
//! one node.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use futures_util::{TryStreamExt, join};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Error, Row};

use super::condition;
use super::connect::{Activity, Endpoint, Fault, Session};
use super::copy::EPOCH_MICROSECONDS;
use crate::limits::{POSTGRES_FIRST_IDS, POSTGRES_SILENCE_SECONDS_MAX};
use crate::query;
use crate::record::{Column, ColumnSet, Origin, RecordId, RecordRef};
use crate::store::claim::position_of;
use crate::store::sql::{SqlParameter, select_list};
use crate::store::{Search, StoreError};

/// A database, and the node whose records are read from it.
#[derive(Clone, Debug)]
pub struct PostgresDatabase {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) node: String,
}

/// A connection that can only read.
pub struct PostgresReadConnection {
    session: Session,
    database: PostgresDatabase,
}

/// The reason why a search could not continue.
#[derive(Debug)]
pub enum ReadError {
    /// Its time limit has passed.
    Late,
    /// The database cannot be read.
    Store(StoreError),
}

/// Settings for every statement of a reader. `client_connection_check_interval` lets the server
/// notice within a second that the client no longer waits (from PostgreSQL 14 on). `jit = off`
/// makes expensive statements start at once, because compiling them takes longer than it saves.
/// `TimeZone` and the last three make texts look the same everywhere.
const SETTINGS: &str = "SET default_transaction_read_only = on; SET TimeZone = 'UTC'; \
     SELECT set_config(name, '1s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'; \
     SET jit = off; SET DateStyle = 'ISO'; SET extra_float_digits = 1; SET bytea_output = 'hex'";

const COLUMNS: [(&str, ColumnSet, &str); 18] = [
    ("id", ColumnSet::NONE, ""),
    ("time", ColumnSet::NONE, ""),
    ("time_ns", ColumnSet::NONE, ""),
    ("severity_number", ColumnSet::NONE, ""),
    ("severity", ColumnSet::of_column(Column::Severity), "NULL::text"),
    ("service", ColumnSet::of_column(Column::Service), "NULL::text"),
    ("logger", ColumnSet::of_column(Column::Logger), "NULL::text"),
    ("host", ColumnSet::of_column(Column::Host), "NULL::text"),
    ("file", ColumnSet::of_column(Column::File), "NULL::text"),
    ("line", ColumnSet::of_column(Column::Line), "NULL::bigint"),
    ("function", ColumnSet::of_column(Column::Function), "NULL::text"),
    ("process_id", ColumnSet::of_column(Column::ProcessId), "NULL::bigint"),
    ("thread", ColumnSet::of_column(Column::Thread), "NULL::text"),
    ("message", ColumnSet::of_column(Column::Message), "NULL::text"),
    ("trace_id", ColumnSet::of_column(Column::TraceId), "NULL::text"),
    ("span_id", ColumnSet::of_column(Column::SpanId), "NULL::text"),
    ("event_name", ColumnSet::of_column(Column::EventName), "NULL::text"),
    ("attributes", ColumnSet::ATTRIBUTES, "NULL::jsonb"),
];

impl PostgresDatabase {
    pub(super) fn new(endpoint: Endpoint, node: &str) -> PostgresDatabase {
        PostgresDatabase { endpoint: Arc::new(endpoint), node: node.to_owned() }
    }

    /// Connects to the database for reading.
    pub async fn connect(&self) -> Result<PostgresReadConnection, StoreError> {
        let open = async {
            let mut session = Session::open(&self.endpoint).await?;
            let Session { client, driver } = &mut session;
            driver.drive(client.batch_execute(SETTINGS)).await?;
            Ok(session)
        };
        let session = open.await.map_err(|fault| self.explain(&fault))?;
        Ok(PostgresReadConnection { session, database: self.clone() })
    }

    fn explain(&self, fault: &Fault) -> StoreError {
        fault.explain(&self.endpoint, "return records")
    }
}

impl PostgresReadConnection {
    /// Returns the first id that the node has not stored yet.
    pub async fn position(&mut self) -> Result<RecordId, StoreError> {
        let Session { client, driver } = &mut self.session;
        let position = "SELECT position FROM logs_node WHERE node = $1";
        let row = driver.drive(client.query_opt(position, &[&self.database.node])).await;
        let row = row.map_err(|fault| self.database.explain(&fault))?;
        let position: Option<i64> = row.and_then(|row| row.try_get(0).ok());
        Ok(position.and_then(position_of).unwrap_or(1))
    }

    /// Returns the earliest time of all records, in ns since the Unix epoch.
    ///
    /// No index leads to this time directly. But the records with the first ids are hardly later,
    /// and the times before them are in few blocks of the index on times.
    pub async fn earliest(&mut self, time_left: Duration) -> Result<Option<i64>, ReadError> {
        let first = format!(
            "SELECT min(time) FROM (SELECT time FROM logs WHERE node = $1 ORDER BY id LIMIT {POSTGRES_FIRST_IDS}) AS first"
        );
        let Some(first) = self.time(&first, None, time_left).await? else { return Ok(None) };
        let sql = "SELECT min(time) FROM logs WHERE node = $1 AND time < $2";
        let earlier = self.time(sql, Some(first), time_left).await?;
        Ok(Some(earlier.unwrap_or(first)))
    }

    /// Returns the latest time of all records, if it is later than `time`.
    pub async fn latest_after(&mut self, time: i64, time_left: Duration) -> Result<Option<i64>, ReadError> {
        let sql = "SELECT max(time) FROM logs WHERE node = $1 AND time > $2";
        self.time(sql, Some(time), time_left).await
    }

    /// Returns the time that a statement with these parameters finds: the node, and a time if the
    /// statement needs one.
    async fn time(
        &mut self,
        sql: &str,
        than: Option<i64>,
        time_left: Duration,
    ) -> Result<Option<i64>, ReadError> {
        let node = Parameter::Text(self.database.node.clone());
        let than = than.map(|time| Parameter::from(SqlParameter::Time(time)));
        let mut found: Option<Microseconds> = None;
        let take = |row: &Row| row.try_get(0).map(|time| found = time).map(|()| true);
        self.each_row(sql, [node].into_iter().chain(than).collect(), time_left, take).await?;
        Ok(found.map(|Microseconds(time)| time.saturating_add(EPOCH_MICROSECONDS).saturating_mul(1000)))
    }

    /// Runs a statement within a time limit, and passes its rows to `take` until `take` returns
    /// false.
    pub(super) async fn each_row(
        &mut self,
        sql: &str,
        parameters: Vec<Parameter>,
        time_left: Duration,
        mut take: impl FnMut(&Row) -> Result<bool, Error>,
    ) -> Result<(), ReadError> {
        let activity = self.activity();
        let Session { client, driver } = &mut self.session;
        let within = format!("SET statement_timeout = {}", time_left.as_millis().max(1));
        let work = async {
            let (set, rows) = join!(client.batch_execute(&within), client.query_raw(sql, &parameters));
            set?;
            let mut rows = pin!(rows?);
            activity.allow_row();
            while let Some(row) = rows.try_next().await? {
                activity.allow_row();
                if !take(&row)? {
                    break;
                }
            }
            Ok::<_, Error>(())
        };
        let done = driver.drive_within(time_left.as_secs() + POSTGRES_SILENCE_SECONDS_MAX, work).await;
        done.map_err(|fault| match fault.code() {
            Some(code) if *code == SqlState::QUERY_CANCELED => ReadError::Late,
            _ => ReadError::Store(self.database.explain(&fault)),
        })
    }

    /// Searches about `rows` ids from one end of `search.ids`, and emits matches in order until
    /// `emit` returns false, the server has returned `records_max` records, or the time limit has
    /// passed. Returns the ids that remain to be searched.
    pub async fn slice(
        &mut self,
        search: &Search,
        rows: u64,
        records_max: usize,
        time_left: Duration,
        mut emit: impl FnMut(RecordId, &RecordRef<'_>) -> bool,
    ) -> Result<std::ops::Range<RecordId>, ReadError> {
        let all = &search.ids;
        let ids = match search.descending {
            true => all.start.max(all.end.saturating_sub(rows))..all.end,
            false => all.start..all.end.min(all.start.saturating_add(rows)),
        };
        let (sql, parameters) = statement(search, &ids, &self.database.node, records_max);
        let mut rest = search.rest_after(&ids);
        let mut count = 0;
        let take = |row: &Row| {
            let (id, record) = from_row(row)?;
            count += 1;
            let is_within = (search.time_min..=search.time_max).contains(&record.timestamp);
            let goes_on = !(is_within && search.query.matches(id, &record)) || emit(id, &record);
            if goes_on && count < records_max {
                return Ok(true);
            }
            rest = search.rest_after(&(id..id + 1));
            Ok(false)
        };
        self.each_row(&sql, parameters, time_left, take).await?;
        Ok(rest)
    }

    /// Returns the first dead letters with ids from `from` on, as JSON.
    pub async fn dead_letters(
        &mut self,
        from: RecordId,
        count: usize,
    ) -> Result<Vec<(RecordId, String)>, StoreError> {
        let sql = "SELECT id, record FROM logs_dead_letter WHERE node = $1 AND id >= $2 ORDER BY id LIMIT $3";
        let Session { client, driver } = &mut self.session;
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.database.node, &(from as i64), &(count as i64)];
        let rows = driver.drive(client.query(sql, &parameters)).await;
        let rows = rows.map_err(|fault| self.database.explain(&fault))?;
        let letter = |row: &Row| Some((row.try_get::<_, i64>(0).ok()? as u64, row.try_get(1).ok()?));
        Ok(rows.iter().filter_map(letter).collect())
    }

    pub(super) fn node(&self) -> &str {
        &self.database.node
    }

    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    pub(super) fn activity(&self) -> Activity {
        self.session.driver.activity()
    }

    pub(super) fn explain(&self, fault: &Fault) -> StoreError {
        self.database.explain(fault)
    }
}

/// Returns the statement of a slice, with its parameters.
pub(super) fn statement(
    search: &Search,
    ids: &std::ops::Range<RecordId>,
    node: &str,
    records_max: usize,
) -> (String, Vec<Parameter>) {
    // The query is evaluated again on the rows that the server returns, so its own columns are
    // needed too.
    let columns = select_list(search.fields.and(search.query.fields()), &COLUMNS);
    let condition = condition::condition(&search.query);
    let times =
        condition::time_condition(query::IntegerRange { first: search.time_min, last: search.time_max });
    let order = if search.descending { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT {columns} FROM logs WHERE node = ? AND id >= ? AND id < ? AND {} AND {} ORDER BY id {order} LIMIT {records_max}",
        times.sql, condition.sql
    );
    let bound = |id: RecordId| Parameter::Integer(i64::try_from(id).unwrap_or(i64::MAX));
    let mut parameters = vec![Parameter::Text(node.to_owned()), bound(ids.start), bound(ids.end)];
    parameters.extend([times.parameters, condition.parameters].into_iter().flatten().map(Parameter::from));
    (numbered(&sql), parameters)
}

/// Replaces each `?` by `$1`, `$2`, ..., and each `??` by `?`.
pub(super) fn numbered(sql: &str) -> String {
    let mut numbered = String::new();
    let mut number = 0;
    for (at, words) in sql.split("??").enumerate() {
        let mut pieces = words.split('?');
        numbered.push_str(if at == 0 { "" } else { "?" });
        numbered.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            number += 1;
            numbered.push_str(&format!("${number}{piece}"));
        }
    }
    numbered
}

/// A parameter of a statement.
#[derive(Debug)]
pub(super) enum Parameter {
    Text(String),
    Integer(i64),
    /// In microseconds since 2000, the server's representation.
    Time(i64),
}

impl From<SqlParameter> for Parameter {
    fn from(value: SqlParameter) -> Parameter {
        match value {
            SqlParameter::Text(text) => Parameter::Text(text),
            SqlParameter::Integer(number) => Parameter::Integer(number),
            SqlParameter::Time(time) => Parameter::Time(time.div_euclid(1000) - EPOCH_MICROSECONDS),
        }
    }
}

impl ToSql for Parameter {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Parameter::Text(text) => return text.to_sql(kind, out),
            Parameter::Integer(number) | Parameter::Time(number) => out.put_i64(*number),
        }
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::TIMESTAMPTZ) || <&str as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

/// A time in the server's representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Microseconds(pub(super) i64);

impl<'a> FromSql<'a> for Microseconds {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Microseconds(i64::from_be_bytes(bytes.try_into()?)))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
}

/// The text of a JSON document.
struct Json<'a>(&'a str);

impl<'a> FromSql<'a> for Json<'a> {
    fn from_sql(kind: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let text = match bytes {
            [1, text @ ..] if *kind == Type::JSONB => text, // the version of the format
            text => text,
        };
        Ok(Json(std::str::from_utf8(text)?))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::JSON | Type::JSONB)
    }
}

/// Decodes a row. The severity's text is the client's own, or the name of the severity number,
/// which means the same.
fn from_row(row: &Row) -> Result<(RecordId, RecordRef<'_>), Error> {
    let text = |at| Ok::<_, Error>(row.try_get::<_, Option<&str>>(at)?.unwrap_or_default());
    let number = |at| {
        let number = row.try_get::<_, Option<i64>>(at)?;
        Ok::<_, Error>(number.and_then(|number| number.try_into().ok()).unwrap_or_default())
    };
    let Microseconds(time) = row.try_get(1)?;
    let nanoseconds = row.try_get::<_, Option<i16>>(2)?.unwrap_or_default();
    let exact = (i128::from(time) + i128::from(EPOCH_MICROSECONDS)) * 1000 + i128::from(nanoseconds);
    let record = RecordRef {
        timestamp: exact.clamp(i64::MIN.into(), i64::MAX.into()) as i64,
        observed_timestamp: 0,
        severity_number: row.try_get::<_, i16>(3)?.try_into().unwrap_or_default(),
        origin: Origin {
            severity_text: text(4)?,
            service: text(5)?,
            logger: text(6)?,
            host: text(7)?,
            file: text(8)?,
            line: number(9)?,
            function: text(10)?,
            process_id: number(11)?,
            thread: text(12)?,
        },
        message: text(13)?,
        trace_id: text(14)?,
        span_id: text(15)?,
        event_name: text(16)?,
        attributes: row.try_get::<_, Option<Json<'_>>>(17)?.map_or("", |Json(text)| text),
    };
    Ok((row.try_get::<_, i64>(0)?.cast_unsigned(), record))
}

impl fmt::Display for PostgresDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(formatter)
    }
}
