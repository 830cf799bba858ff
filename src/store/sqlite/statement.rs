//! Runs statements that users write themselves, and that can only read.
//!
//! An authorizer rejects everything except reading. Memory, temporary files and time have limits
//! that hold for every statement (`confine.rs`). Exceeding a limit ends the statement
//! with an error of SQLite, and the response contains the reason.
//!
//! The clock is checked on the statement's own thread: by a progress handler, which SQLite calls at
//! jumps of its virtual machine (at least once per row) and while it prepares a statement; whenever
//! a large amount is allocated, read or written; and in those functions of this module that take
//! long (`functions.rs`). The remaining case is a sequence of operations without a jump that
//! process whole values without allocating memory (comparisons, arithmetic on texts). Their number
//! is limited; to count them, the statement is explained before it runs.

mod functions;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ErrorCode, Statement};

use super::confine::{self, Confinement, Refused};
use super::schema;
use crate::blocking::Threads;
use crate::limits::{
    SQL_CLOCK_STEPS, SQL_COLUMNS_MAX, SQL_COMPOUND_MAX, SQL_DEPTH_MAX, SQL_FUNCTION_ARGUMENTS_MAX,
    SQL_INLINE_FUNCTION_ARGUMENTS_MAX, SQL_INLINE_LONG_OPERATIONS_MAX, SQL_INLINE_VALUE_BYTES_MAX,
    SQL_LONG_OPERATIONS_MAX, SQL_MEMORY_BYTES_MAX, SQL_OPERATIONS_MAX, SQL_TEMPORARY_BYTES_MAX,
    SQL_VALUE_BYTES_MAX, SQLITE_WAL_BYTES_STATEMENTS_MAX,
};
use crate::store::statement::{StatementError, StatementRows, write_text};

/// Functions that are rejected: one loads code, the others take time proportional to the product of
/// the lengths of two values.
const REFUSED: [&str; 3] = ["load_extension", "json_patch", "jsonb_patch"];

/// A table of SQLite that reads the whole file in one step.
const WHOLE_FILE: &str = "dbstat";

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Operations of SQLite's virtual machine that process whole values and may do so without
/// allocating.
const LONG_OPERATIONS: [&str; 29] = [
    "Add",
    "Affinity",
    "AggStep",
    "AggStep1",
    "And",
    "BitAnd",
    "BitNot",
    "BitOr",
    "Cast",
    "Compare",
    "Divide",
    "Eq",
    "Function",
    "Ge",
    "Gt",
    "If",
    "IfNot",
    "IsTrue",
    "Le",
    "Lt",
    "Multiply",
    "MustBeInt",
    "Ne",
    "Not",
    "Or",
    "PureFunc",
    "Remainder",
    "ShiftLeft",
    "Subtract",
];

/// The limits that depend on the mode: with one thread, nothing else runs in the meantime.
struct Bounds {
    value_bytes: i32,
    function_arguments: i32,
    long_operations: usize,
}

impl Bounds {
    fn of(threads: Threads) -> Bounds {
        match threads {
            Threads::One => Bounds {
                value_bytes: SQL_INLINE_VALUE_BYTES_MAX,
                function_arguments: SQL_INLINE_FUNCTION_ARGUMENTS_MAX,
                long_operations: SQL_INLINE_LONG_OPERATIONS_MAX,
            },
            Threads::Many(_) => Bounds {
                value_bytes: SQL_VALUE_BYTES_MAX,
                function_arguments: SQL_FUNCTION_ARGUMENTS_MAX,
                long_operations: SQL_LONG_OPERATIONS_MAX,
            },
        }
    }

    fn limits(&self) -> [(Limit, i32); 8] {
        [
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
            (Limit::SQLITE_LIMIT_LENGTH, self.value_bytes),
            (Limit::SQLITE_LIMIT_FUNCTION_ARG, self.function_arguments),
            (Limit::SQLITE_LIMIT_COLUMN, SQL_COLUMNS_MAX),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, SQL_DEPTH_MAX),
            (Limit::SQLITE_LIMIT_COMPOUND_SELECT, SQL_COMPOUND_MAX),
            (Limit::SQLITE_LIMIT_VDBE_OP, SQL_OPERATIONS_MAX),
        ]
    }
}

/// Why a statement has no result.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Database(#[from] Error),
    /// The program has too many operations that may take long and have no jump between them.
    #[error("{0} operations")]
    LongOperations(usize),
}

impl Failed {
    fn is_interruption(&self) -> bool {
        let Failed::Database(error) = self else { return false };
        error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
    }
}

/// Reasons to stop a statement before its time is over.
#[derive(Clone, Default)]
pub(super) struct StatementStop {
    /// The client no longer waits.
    pub(super) is_abandoned: Arc<AtomicBool>,
    /// The write-ahead log is too large, and cannot be emptied while the statement runs.
    pub(super) must_end: Arc<AtomicBool>,
}

/// Blocks until the statement has returned its rows, its time is over, or it is stopped.
pub(super) fn run(
    path: &Path,
    sql: &str,
    rows: StatementRows,
    threads: Threads,
    duration_max: Duration,
    stop: &StatementStop,
) -> Result<StatementRows, StatementError> {
    let failed = |error: Error| StatementError::Store(super::describe(path, &error));
    let confinement = Confinement::new().ok_or(StatementError::NotStarted(
        "other statements were running until the time limit of this statement was reached",
    ))?;
    let mut connection = open(path).map_err(failed)?;
    let bounds = Bounds::of(threads);
    confine(&mut connection, &bounds, stop).map_err(failed)?;
    let deadline = Instant::now() + duration_max;
    let (rows, refused) = confinement.run(deadline, || rows_of(&connection, sql, &bounds, rows));
    drop(connection); // before another statement uses the account of its memory
    rows.map_err(|error| match error.is_interruption() && stop.must_end.load(Relaxed) {
        true => log_too_large(),
        false => describe(&error, refused, &bounds, duration_max),
    })
}

/// Opens a connection that can only read, and runs within the bounds of `confine.rs`.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = schema::open_confined(path)?;
    super::functions::register(&connection)?;
    Ok(connection)
}

/// Restricts the connection to reading, and stops its statements once the client no longer waits.
fn confine(connection: &mut Connection, bounds: &Bounds, stop: &StatementStop) -> rusqlite::Result<()> {
    for (limit, value) in bounds.limits() {
        connection.set_limit(limit, value)?;
    }
    functions::register(connection)?;
    connection.authorizer(Some(|context: AuthContext<'_>| authorize(&context)))?;
    let stop = stop.clone();
    let is_over =
        move || stop.is_abandoned.load(Relaxed) || stop.must_end.load(Relaxed) || confine::is_late();
    connection.progress_handler(SQL_CLOCK_STEPS, Some(is_over))
}

fn rows_of(
    connection: &Connection,
    sql: &str,
    bounds: &Bounds,
    mut rows: StatementRows,
) -> Result<StatementRows, Failed> {
    let mut statement = connection.prepare(sql)?;
    if statement.is_explain() == 0 {
        let long_operations = long_operations(connection, sql)?;
        if long_operations > bounds.long_operations {
            return Err(Failed::LongOperations(long_operations));
        }
    }
    collect(&mut statement, &mut rows)?;
    Ok(rows)
}

/// Returns the number of operations in the statement's program that may take long.
fn long_operations(connection: &Connection, sql: &str) -> rusqlite::Result<usize> {
    let mut program = connection.prepare(&format!("EXPLAIN {sql}"))?;
    let mut rows = program.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let name = confine::with_reserve(|| row.get_ref(1)).ok_or_else(no_memory)??;
        count += usize::from(name.as_str().is_ok_and(|name| LONG_OPERATIONS.contains(&name)));
    }
    Ok(count)
}

fn no_memory() -> Error {
    Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOMEM), None)
}

fn authorize(context: &AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Read { table_name: WHOLE_FILE, .. } => Authorization::Deny,
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name: name } => {
            match REFUSED.iter().any(|other| name.eq_ignore_ascii_case(other)) {
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

fn collect(statement: &mut Statement<'_>, rows: &mut StatementRows) -> rusqlite::Result<()> {
    rows.begin(statement.column_names());
    let columns = statement.column_count();
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let mut has_failed = false;
        let is_whole = rows.row(columns, |column, out, bytes_max| {
            let Some(value) = confine::with_reserve(|| row.get_ref(column)) else {
                has_failed = true;
                return true;
            };
            // An existing column can always be read.
            write_value(out, value.unwrap_or(ValueRef::Null), bytes_max)
        });
        if has_failed {
            return Err(no_memory());
        }
        if !is_whole {
            break;
        }
    }
    Ok(())
}

/// Numbers stay numbers, blobs become hexadecimal text. Returns false for a value that has more
/// bytes than `bytes_max`.
fn write_value(out: &mut Vec<u8>, value: ValueRef<'_>, bytes_max: usize) -> bool {
    match value {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Integer(number) => drop(write!(out, "{number}")),
        ValueRef::Real(number) => match serde_json::Number::from_f64(number) {
            Some(number) => drop(write!(out, "{number}")),
            None => drop(write!(out, "\"{number}\"")),
        },
        ValueRef::Text(text) => return write_text(out, text, bytes_max),
        ValueRef::Blob(bytes) if 2 * bytes.len() > bytes_max => return false,
        ValueRef::Blob(bytes) => {
            out.push(b'"');
            out.extend(
                bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).map(|digit| HEX[usize::from(digit)]),
            );
            out.push(b'"');
        }
    }
    true
}

fn describe(
    failed: &Failed,
    refused: Option<Refused>,
    bounds: &Bounds,
    duration_max: Duration,
) -> StatementError {
    match (failed, refused) {
        (_, Some(reason)) => refusal(reason, duration_max),
        (Failed::LongOperations(count), None) => too_much(
            format!(
                "its program has {count} operations on values that may be long, at most {} can be stopped in time",
                bounds.long_operations
            ),
            "compute less in one statement; a server with several threads takes more",
        ),
        (Failed::Database(error), None) => describe_error(error, duration_max),
    }
}

fn log_too_large() -> StatementError {
    StatementError::Stopped(format!(
        "SQLite's write-ahead log has grown to {} MiB, and cannot be emptied while a statement reads an older state",
        SQLITE_WAL_BYTES_STATEMENTS_MAX >> 20
    ))
}

fn describe_error(error: &Error, duration_max: Duration) -> StatementError {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => StatementError::Late(duration_max),
        Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly) => {
            invalid(error, "only statements that read are answered")
        }
        Some(ErrorCode::OutOfMemory) => too_much(
            format!("its program has more than {SQL_OPERATIONS_MAX} operations"),
            "make the statement shorter, or several of it",
        ),
        _ => invalid(error, "`select * from logs limit 10` shows what there is"),
    }
}

fn refusal(reason: Refused, duration_max: Duration) -> StatementError {
    const NARROW: &str = "narrow it by ids or times, select shorter parts of texts (`substr(message, 1, 200)`), or read a copy of \
                          the database with `sqlite3` (`logboom backup` makes one), which has no such bound";
    match reason {
        Refused::Time => StatementError::Late(duration_max),
        Refused::Memory => {
            too_much(format!("it needs more than {} MiB of memory", SQL_MEMORY_BYTES_MAX >> 20), NARROW)
        }
        Refused::TemporarySpace => too_much(
            format!("it needs more than {} MiB of temporary files", SQL_TEMPORARY_BYTES_MAX >> 20),
            NARROW,
        ),
        Refused::TemporarySpaceOfAll => {
            StatementError::Stopped("other statements use the space for temporary files that it needs".into())
        }
        Refused::DiskSpace => StatementError::Stopped(
            "the disk has no more room for temporary files: the rest is left for records".into(),
        ),
    }
}

fn invalid(error: &Error, hint: &'static str) -> StatementError {
    StatementError::Invalid { detail: error.to_string(), hint }
}

fn too_much(detail: String, hint: &'static str) -> StatementError {
    StatementError::TooLarge { detail, hint }
}

#[cfg(test)]
mod tests;
