//! SQL statements in PostgreSQL.

use std::time::Duration;

use hyper::StatusCode;
use tokio_postgres::types::Type;
use tokio_postgres::{Column, SimpleQueryRow};

use super::{Answer, Refusal, bad, stopped, write_text};
use crate::net::http::problem;
use crate::record::json;
use crate::store::postgres::read::PostgresDatabase;
use crate::store::postgres::statement::{StatementError, Table};
use crate::view::store_problem;

/// Returns the rows of a statement as JSON.
pub(super) async fn run(
    database: &PostgresDatabase,
    sql: &str,
    answer: Answer,
    duration_max: Duration,
) -> Result<Answer, Refusal> {
    let reader = database.reader().await.map_err(|error| Box::new(store_problem(&error)))?;
    let mut rows = Rows { kinds: Vec::new(), answer, is_text: true };
    reader.statement(sql, duration_max, &mut rows).await.map_err(|error| describe(error, duration_max))?;
    if !rows.is_text {
        return Err(bad(
            "the answer has text that is not UTF-8",
            "leave `client_encoding` as it is; of text that is stored so, select encode(convert_to(.., 'SQL_ASCII'), 'hex')",
        ));
    }
    Ok(rows.answer)
}

struct Rows {
    kinds: Vec<Type>,
    answer: Answer,
    /// Whether all text so far is UTF-8.
    is_text: bool,
}

impl Table for Rows {
    fn begin(&mut self, columns: &[Column]) {
        self.kinds = columns.iter().map(|column| column.type_().clone()).collect();
        self.answer.begin(columns.iter().map(Column::name));
    }

    fn take(&mut self, row: &SimpleQueryRow) -> bool {
        let Rows { kinds, answer, is_text } = self;
        let is_whole = answer.row(kinds.len(), |column, out, bytes_max| match row.try_get(column) {
            Ok(value) => write_value(&kinds[column], value, out, bytes_max),
            Err(_) => {
                *is_text = false;
                true
            }
        });
        is_whole && *is_text
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

fn describe(error: StatementError, duration_max: Duration) -> Refusal {
    match error {
        StatementError::Late => stopped(duration_max),
        StatementError::Refused(what) => bad(
            &what,
            "one statement that reads is answered; `select * from logs limit 10` shows what there is",
        ),
        StatementError::LongRow => bad(
            "a row of the answer is too long",
            "select fewer columns, or parts of them: left(message, 1000)",
        ),
        StatementError::Superuser => Box::new(problem(
            StatusCode::FORBIDDEN,
            "statements of a superuser are not run",
            "the role that this server connects as is a superuser: statements could do more than read",
            Some(
                "connect as a role of its own, see docs/postgresql.md; queries by `/api/v1/records` work all the same",
            ),
        )),
        StatementError::Store(error) => Box::new(store_problem(&error)),
    }
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
