//! Statements of SQLite.
//!
//! An authorizer refuses whatever is not reading; and a time limit stops a statement in the middle of its work.
//!
//! The clock is looked at between the steps of SQLite's machine. What one step can take is bounded by the longest value
//! and the longest pattern; only the functions in [`QUADRATIC`] take the product of two long values. With one thread for
//! everything they are refused; with more they keep nothing waiting but other queries.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Statement};

use super::{Answer, Refusal, bad, stopped};
use crate::blocking::Threads;
use crate::limits::{
    SQL_COLUMNS_MAX, SQL_COMPOUND_MAX, SQL_DEPTH_MAX, SQL_OPERATIONS_MAX, SQL_PATTERN_BYTES_MAX,
    SQL_VALUE_BYTES_MAX,
};
use crate::record::json;
use crate::store::sqlite::read::SqliteReader;
use crate::view::store_problem;

/// Virtual machine steps between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// Functions whose time grows with the product of their arguments' lengths.
const QUADRATIC: [&str; 7] = ["instr", "replace", "trim", "ltrim", "rtrim", "json_patch", "jsonb_patch"];

const LIMITS: [(Limit, i32); 7] = [
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LENGTH, SQL_VALUE_BYTES_MAX),
    (Limit::SQLITE_LIMIT_COLUMN, SQL_COLUMNS_MAX),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, SQL_PATTERN_BYTES_MAX),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, SQL_DEPTH_MAX),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, SQL_COMPOUND_MAX),
    (Limit::SQLITE_LIMIT_VDBE_OP, SQL_OPERATIONS_MAX),
];

/// Blocks until the statement has given its rows or its time is over.
pub(super) fn run(
    path: &Path,
    sql: &str,
    rows_max: usize,
    threads: Threads,
    duration_max: Duration,
    is_abandoned: Arc<AtomicBool>,
) -> Result<Vec<u8>, Refusal> {
    let failed =
        |error: rusqlite::Error| Box::new(store_problem(&crate::store::sqlite::describe(path, &error)));
    let mut connection = SqliteReader::open(path).map_err(failed)?.into_connection();
    confine(&mut connection, threads, duration_max, is_abandoned).map_err(failed)?;
    let result = connection.prepare(sql).and_then(|mut statement| collect(&mut statement, rows_max));
    result.map_err(|error| describe(&error, duration_max))
}

/// Leaves the connection nothing but reading, for a time.
fn confine(
    connection: &mut Connection,
    threads: Threads,
    duration_max: Duration,
    is_abandoned: Arc<AtomicBool>,
) -> rusqlite::Result<()> {
    for (limit, value) in LIMITS {
        connection.set_limit(limit, value)?;
    }
    connection.authorizer(Some(move |context: AuthContext<'_>| authorize(&context, threads)))?;
    let deadline = Instant::now() + duration_max;
    let is_over = move || is_abandoned.load(Relaxed) || Instant::now() >= deadline;
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(is_over))
}

fn authorize(context: &AuthContext<'_>, threads: Threads) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name: name } => {
            let is_quadratic = QUADRATIC.iter().any(|slow| name.eq_ignore_ascii_case(slow));
            let is_refused = is_quadratic && threads == Threads::One;
            match is_refused || name.eq_ignore_ascii_case("load_extension") {
                true => Authorization::Deny,
                false => Authorization::Allow,
            }
        }
        AuthAction::Pragma {
            pragma_name: "table_info" | "table_xinfo" | "table_list" | "index_list" | "index_info",
            ..
        } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

fn collect(statement: &mut Statement<'_>, rows_max: usize) -> rusqlite::Result<Vec<u8>> {
    let mut answer = Answer::new(statement.column_names(), rows_max);
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // Columns that there are can be looked at.
        if !answer.row(columns, |column, out| write_value(out, row.get_ref(column).unwrap_or(ValueRef::Null)))
        {
            break;
        }
    }
    Ok(answer.finish())
}

/// Numbers stay numbers, blobs become hexadecimal text.
fn write_value(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Integer(number) => drop(write!(out, "{number}")),
        ValueRef::Real(number) => match serde_json::Number::from_f64(number) {
            Some(number) => drop(write!(out, "{number}")),
            None => json::string(out, &number.to_string()),
        },
        ValueRef::Text(text) => json::string(out, &String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => {
            out.push(b'"');
            for byte in bytes {
                let _ = write!(out, "{byte:02x}");
            }
            out.push(b'"');
        }
    }
}

fn describe(error: &rusqlite::Error, duration_max: Duration) -> Refusal {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => stopped(duration_max),
        Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly) => bad(
            &error.to_string(),
            "only statements that read are answered; with one thread instr, replace and trim are refused too",
        ),
        _ => bad(&error.to_string(), "`select * from logs limit 10` shows what there is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(sql: &str, threads: Threads) -> rusqlite::Result<Vec<u8>> {
        let mut connection = Connection::open_in_memory()?;
        confine(&mut connection, threads, Duration::from_secs(60), Arc::default())?;
        collect(&mut connection.prepare(sql)?, 10)
    }

    #[test]
    fn a_row_of_many_long_values_is_not_answered() {
        let sql = format!("select {}", ["zeroblob(2000000)"; 60].join(","));
        let answer = answer(&sql, Threads::Many(2)).unwrap();
        assert!(answer.len() < 1 << 20, "{}", answer.len());
        assert!(answer.ends_with(b"\"rows\":[],\"truncated\":true}"));
    }

    #[test]
    fn what_would_outgrow_memory_or_time_is_refused() {
        let refused = [
            format!("select {}", ["1"; 65].join(",")),
            "select length(zeroblob(2097153))".to_owned(),
            format!("select 'a' like '{}'", "a".repeat(257)),
            format!("select 'a' glob '{}'", "a".repeat(257)),
            format!("select 1{}", "+1".repeat(250)),
            ["select 1"; 65].join(" union all "),
        ];
        for sql in refused {
            assert!(answer(&sql, Threads::Many(2)).is_err(), "{sql}");
        }
        assert!(answer("select 'a' like '%a%'", Threads::Many(2)).is_ok());
    }

    #[test]
    fn quadratic_functions_are_refused_where_one_thread_does_everything() {
        for sql in ["select instr('ab', 'b')", "select REPLACE('ab', 'b', 'c')", "select trim('ab', 'b')"] {
            assert!(answer(sql, Threads::One).is_err(), "{sql}");
            assert!(answer(sql, Threads::Many(2)).is_ok(), "{sql}");
        }
    }
}
