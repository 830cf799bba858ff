//! Runs statements that users write themselves, and that can only read.
//!
//! A cursor is declared for each statement, in a read-only transaction: PostgreSQL declares cursors
//! only for queries. A superuser's functions can do more than a transaction restricts (write files,
//! run programs), so statements of a superuser are rejected.

use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Column, Error, SimpleQueryMessage, SimpleQueryRow};

use super::connect::{Fault, Session, with_detail};
use super::search::PostgresReadConnection;
use crate::limits::{POSTGRES_FETCH_ROWS, POSTGRES_SILENCE_SECONDS_MAX};
use crate::record::json;
use crate::store::statement::{StatementError, StatementRows, write_text};

/// Runs a statement, and adds its rows to `rows`.
pub(super) async fn run(
    mut connection: PostgresReadConnection,
    sql: &str,
    time_max: Duration,
    rows: StatementRows,
) -> Result<StatementRows, StatementError> {
    let store =
        |connection: &PostgresReadConnection, fault: &Fault| StatementError::Store(connection.explain(fault));
    if connection.is_superuser().await.map_err(|fault| store(&connection, &fault))? {
        return Err(superuser());
    }
    let mut result = StatementResult { kinds: Vec::new(), rows, is_utf8: true };
    let fault = match timeout(time_max, connection.fetch_all(sql, time_max, &mut result)).await {
        Err(_) => return Err(StatementError::Late(time_max)),
        Ok(Ok(true)) => return result.finish(),
        Ok(Ok(false)) => return Err(refused("there is no parameter $1".into())),
        Ok(Err(fault)) => fault,
    };
    Err(match &fault {
        _ if fault.code() == Some(&SqlState::QUERY_CANCELED) => StatementError::Late(time_max),
        _ if connection.activity().is_exhausted() => StatementError::Invalid {
            detail: "a row of the answer is too long".into(),
            hint: "select fewer columns, or parts of them: left(message, 1000)",
        },
        Fault::Database(error) if fault.is_refusal() => {
            refused(error.as_db_error().map_or_else(|| error.to_string(), with_detail))
        }
        _ => store(&connection, &fault),
    })
}

fn refused(detail: String) -> StatementError {
    let hint = "one statement that reads is answered; `select * from logs limit 10` shows what there is";
    StatementError::Invalid { detail, hint }
}

fn superuser() -> StatementError {
    StatementError::Forbidden {
        title: "statements of a superuser are not run",
        detail: "the role that this server connects as is a superuser: statements could do more than read",
        hint: "connect as a role of its own, see docs/postgresql.md; queries by `/api/v1/records` work all the same",
    }
}

impl PostgresReadConnection {
    async fn is_superuser(&mut self) -> Result<bool, Fault> {
        self.session().value("SELECT current_setting('is_superuser') = 'on'", &[]).await
    }

    /// Fetches the rows, until there are no more or no more are wanted. Returns false for a
    /// statement with parameters.
    async fn fetch_all(
        &mut self,
        sql: &str,
        time_max: Duration,
        result: &mut StatementResult,
    ) -> Result<bool, Fault> {
        let activity = self.activity();
        let Session { client, driver } = self.session();
        // The cursor has a snapshot, and a transaction with a snapshot can no longer be made
        // writable.
        let start = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", time_max.as_millis());
        let declare = format!("DECLARE rows NO SCROLL CURSOR FOR {sql}");
        let fetch = format!("FETCH {POSTGRES_FETCH_ROWS} FROM rows");
        let work = async {
            client.batch_execute(&start).await?;
            let declare = client.prepare(&declare).await?;
            if !declare.params().is_empty() {
                return Ok::<_, Error>(false);
            }
            client.execute(&declare, &[]).await?;
            result.begin(client.prepare(&fetch).await?.columns());
            loop {
                activity.allow_row();
                let mut messages = pin!(client.simple_query_raw(&fetch).await?);
                let mut rows = 0;
                while let Some(message) = messages.try_next().await? {
                    activity.allow_row();
                    let SimpleQueryMessage::Row(row) = message else { continue };
                    rows += 1;
                    if !result.take(&row) {
                        return Ok(true);
                    }
                }
                if rows < POSTGRES_FETCH_ROWS {
                    return Ok(true);
                }
            }
        };
        driver.drive_within(time_max.as_secs() + POSTGRES_SILENCE_SECONDS_MAX, work).await
    }
}

/// The rows of a statement so far.
struct StatementResult {
    kinds: Vec<Type>,
    rows: StatementRows,
    /// Whether all text so far is UTF-8.
    is_utf8: bool,
}

impl StatementResult {
    fn begin(&mut self, columns: &[Column]) {
        self.kinds = columns.iter().map(|column| column.type_().clone()).collect();
        self.rows.begin(columns.iter().map(Column::name));
    }

    /// Adds a row. Returns false if no more rows are wanted.
    fn take(&mut self, row: &SimpleQueryRow) -> bool {
        let StatementResult { kinds, rows, is_utf8 } = self;
        let is_whole = rows.row(kinds.len(), |column, out, bytes_max| match row.try_get(column) {
            Ok(value) => write_value(&kinds[column], value, out, bytes_max),
            Err(_) => {
                *is_utf8 = false;
                true
            }
        });
        is_whole && *is_utf8
    }

    fn finish(self) -> Result<StatementRows, StatementError> {
        if self.is_utf8 {
            return Ok(self.rows);
        }
        Err(StatementError::Invalid {
            detail: "the answer has text that is not UTF-8".into(),
            hint: "leave `client_encoding` as it is; of text that is stored so, select encode(convert_to(.., 'SQL_ASCII'), 'hex')",
        })
    }
}

/// Numbers and booleans keep their type, a time has the format of all other responses, and any
/// other value is the text that PostgreSQL shows.
fn write_value(kind: &Type, text: Option<&str>, out: &mut Vec<u8>, bytes_max: usize) -> bool {
    let Some(text) = text else {
        out.extend_from_slice(b"null");
        return true;
    };
    match *kind {
        Type::BOOL => out.extend_from_slice(if text == "t" { b"true" } else { b"false" }),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => out.extend_from_slice(text.as_bytes()),
        Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC if text.ends_with(|last: char| last.is_ascii_digit()) => {
            out.extend_from_slice(text.as_bytes());
        }
        Type::TIMESTAMPTZ => json::string(out, &moment(text)),
        _ => return write_text(out, text.as_bytes(), bytes_max),
    }
    true
}

/// Converts `2026-11-21 10:00:00.5+00` to `2026-11-21T10:00:00.500000000Z`; other texts
/// (`infinity`, years before Christ) stay unchanged.
fn moment(text: &str) -> String {
    let parts = text.strip_suffix("+00").and_then(|text| text.split_once(' '));
    let Some((date, clock)) = parts else { return text.to_owned() };
    let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    format!("{date}T{seconds}.{fraction:0<9}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_api_format() {
        assert_eq!(moment("2026-11-21 10:00:00+00"), "2026-11-21T10:00:00.000000000Z");
        assert_eq!(moment("2026-11-21 10:00:00.123456+00"), "2026-11-21T10:00:00.123456000Z");
        for other in ["infinity", "0044-03-15 00:00:00+00 BC"] {
            assert_eq!(moment(other), other);
        }
    }

    #[test]
    fn only_valid_json_numbers_are_numbers() {
        let shown = |kind: Type, text| {
            let mut out = Vec::new();
            assert!(write_value(&kind, Some(text), &mut out, usize::MAX));
            String::from_utf8(out).unwrap()
        };
        for number in ["0", "-1.50", "1e+300", "12345678901234567890123.5"] {
            assert_eq!(shown(Type::NUMERIC, number), number);
            assert!(serde_json::from_str::<serde_json::Value>(number).is_ok());
        }
        for number in ["NaN", "Infinity", "-Infinity"] {
            assert_eq!(shown(Type::FLOAT8, number), format!("\"{number}\""));
        }
        assert_eq!(shown(Type::BOOL, "t"), "true");
        assert_eq!(shown(Type::TEXT, "12"), "\"12\"");
    }
}
