//! Statements of SQLite.
//!
//! An authorizer refuses whatever is not reading; and a time limit stops a statement in the middle of its work.
//!
//! A thread that sleeps meanwhile interrupts the statement when its time is over. SQLite sees that whenever its machine jumps (once a row at
//! least), and while it counts a table, but not within a function, nor among functions that stand side by side. What these take is
//! bounded: by the longest value, in whose length they are linear (`functions.rs`), and by the length and the number of patterns.

mod functions;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Statement};

use super::{Answer, Refusal, bad, stopped, thread_is_missing};
use crate::limits::{
    SQL_COLUMNS_MAX, SQL_COMPOUND_MAX, SQL_DEPTH_MAX, SQL_OPERATIONS_MAX, SQL_PATTERN_BYTES_MAX,
    SQL_PATTERNS_MAX, SQL_VALUE_BYTES_MAX,
};
use crate::record::json;
use crate::store::sqlite::read::SqliteReader;
use crate::view::store_problem;

/// Virtual machine steps between two looks at whether anyone still waits.
const STEPS_BETWEEN_LOOKS: i32 = 1000;

/// Functions that are refused: one loads code, the others take the product of two long values.
const REFUSED: [&str; 3] = ["load_extension", "json_patch", "jsonb_patch"];

/// Functions that compare with a pattern, also where they are written as operators.
const PATTERNS: [&str; 2] = ["like", "glob"];

/// A table of SQLite's own which reads the whole file in one step.
const WHOLE_FILE: &str = "dbstat";

const HEX: &[u8; 16] = b"0123456789abcdef";

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
    duration_max: Duration,
    is_abandoned: Arc<AtomicBool>,
) -> Result<Vec<u8>, Refusal> {
    let failed =
        |error: rusqlite::Error| Box::new(store_problem(&crate::store::sqlite::describe(path, &error)));
    let mut connection = SqliteReader::open(path).map_err(failed)?.into_connection();
    confine(&mut connection, is_abandoned).map_err(failed)?;
    let answer = in_time(&connection, duration_max, || {
        connection.prepare(sql).and_then(|mut statement| collect(&mut statement, rows_max))
    });
    answer.map_err(|_| thread_is_missing())?.map_err(|error| describe(&error, duration_max))
}

/// Leaves the connection nothing but reading, as long as anyone waits.
fn confine(connection: &mut Connection, is_abandoned: Arc<AtomicBool>) -> rusqlite::Result<()> {
    for (limit, value) in LIMITS {
        connection.set_limit(limit, value)?;
    }
    functions::register(connection)?;
    let patterns = AtomicUsize::new(0);
    connection.authorizer(Some(move |context: AuthContext<'_>| authorize(&context, &patterns)))?;
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || is_abandoned.load(Relaxed)))
}

/// Does some work on the connection, which is interrupted when its time is over. Fails where there can be no thread to do that.
fn in_time<T>(connection: &Connection, duration_max: Duration, work: impl FnOnce() -> T) -> io::Result<T> {
    let interrupt = connection.get_interrupt_handle();
    let (ended, end) = channel::<()>();
    thread::scope(|scope| {
        let watch = move || {
            if end.recv_timeout(duration_max) == Err(RecvTimeoutError::Timeout) {
                interrupt.interrupt();
            }
        };
        thread::Builder::new().name("sql clock".to_owned()).spawn_scoped(scope, watch)?;
        let result = work();
        drop(ended);
        Ok(result)
    })
}

fn authorize(context: &AuthContext<'_>, patterns: &AtomicUsize) -> Authorization {
    match context.action {
        AuthAction::Read { table_name: WHOLE_FILE, .. } => Authorization::Deny,
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name: name } => {
            let is_one_of = |names: &[&str]| names.iter().any(|other| name.eq_ignore_ascii_case(other));
            let is_too_many = is_one_of(&PATTERNS) && patterns.fetch_add(1, Relaxed) >= SQL_PATTERNS_MAX;
            match is_too_many || is_one_of(&REFUSED) {
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
            out.extend(
                bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).map(|digit| HEX[usize::from(digit)]),
            );
            out.push(b'"');
        }
    }
}

fn describe(error: &rusqlite::Error, duration_max: Duration) -> Refusal {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => stopped(duration_max),
        Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly) => bad(
            &error.to_string(),
            &format!(
                "only statements that read are answered, with {SQL_PATTERNS_MAX} patterns of LIKE and GLOB at most"
            ),
        ),
        _ => bad(&error.to_string(), "`select * from logs limit 10` shows what there is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(sql: &str) -> rusqlite::Result<Vec<u8>> {
        let mut connection = Connection::open_in_memory()?;
        confine(&mut connection, Arc::default())?;
        collect(&mut connection.prepare(sql)?, 10)
    }

    #[test]
    fn a_row_of_many_long_values_is_not_answered() {
        let sql = format!("select {}", ["zeroblob(2000000)"; 60].join(","));
        let answer = answer(&sql).unwrap();
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
            assert!(answer(&sql).is_err(), "{sql}");
        }
        assert!(answer("select 'a' like '%a%'").is_ok());
    }

    #[test]
    fn what_one_step_of_takes_long_is_refused() {
        let likes = |count: usize| format!("select 1 where {}", vec!["'a' like 'b'"; count].join(" or "));
        for sql in ["select JSON_patch('{}', '{}')", "select * from dbstat", &likes(SQL_PATTERNS_MAX + 1)] {
            let error = answer(sql).unwrap_err().to_string();
            assert!(
                ["authorized", "prohibited"].iter().any(|reason| error.contains(reason)),
                "{sql}: {error}"
            );
        }
        assert!(answer(&likes(SQL_PATTERNS_MAX)).is_ok());
    }

    /// SQLite's own `instr` and `trim` need minutes for these.
    #[test]
    fn functions_of_two_long_values_are_quick() {
        let (text, part) = ("hex(zeroblob(900000))", "hex(zeroblob(400000))||'1'");
        for call in [format!("instr({text}, {part})"), format!("length(trim({text}||'2', {part}||'2'))")] {
            let answer = answer(&format!("select {call}")).unwrap();
            assert!(String::from_utf8(answer).unwrap().contains("\"rows\":[[0]]"), "{call}");
        }
    }

    #[test]
    fn the_clock_stops_what_has_begun() {
        let endless = "with recursive c(n) as (select 1 union all select n + 1 from c) \
                       select sum(length(hex(randomblob(1000000)))) from c";
        let mut connection = Connection::open_in_memory().unwrap();
        confine(&mut connection, Arc::default()).unwrap();
        let work = || collect(&mut connection.prepare(endless)?, 10);
        let error = in_time(&connection, Duration::from_millis(50), work).unwrap().unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
    }
}
