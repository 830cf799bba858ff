//! The read half of the store.
//!
//! SQLite blocks the thread that reads, so each call runs where it may block. The connection moves
//! there and back; if the call fails or is dropped, the next call opens another one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rusqlite::{Error, ErrorCode};

use super::search::SqliteReadConnection;
use super::statement::{self, StatementStop};
use super::unused_names::NameSearch;
use super::{describe, histogram, log_bytes};
use crate::blocking::Threads;
use crate::limits::{
    QUERY_SLICE_INLINE_MILLISECONDS, QUERY_SLICE_MILLISECONDS, QUERY_SLICE_ROWS_MAX, QUERY_SLICE_ROWS_MIN,
    SQL_INLINE_MILLISECONDS_MAX, SQLITE_BLOCK_ROWS, SQLITE_WAL_BYTES_QUERIES_MAX,
    SQLITE_WAL_BYTES_STATEMENTS_MAX,
};
use crate::query::Query;
use crate::record::{ColumnSet, RecordId};
use crate::store::reader::{
    CountEnd, CountSink, DeliveredMatches, MatchSink, NameSearchStep, ReadCall, ReadPermit, ReadPressure,
    Reader, SliceEnd, StatementCall,
};
use crate::store::statement::{StatementError, StatementRows};
use crate::store::{Search, StoreError};

/// Reads records back from an SQLite database.
pub struct SqliteReader {
    path: PathBuf,
    threads: Threads,
    /// Taken by a call, and returned by it unless it fails or is dropped.
    connection: Option<Box<SqliteReadConnection>>,
    pace: Pace,
    /// The first id that was not stored when the search began.
    end_of_search: Option<RecordId>,
    names: NameSearch,
}

/// Returns how strongly reading delays the work of the database: while it is read, the write-ahead
/// log cannot be emptied.
pub fn read_pressure(path: &Path) -> ReadPressure {
    match log_bytes(path) {
        bytes if bytes >= SQLITE_WAL_BYTES_STATEMENTS_MAX => ReadPressure::Critical,
        bytes if bytes >= SQLITE_WAL_BYTES_QUERIES_MAX => ReadPressure::High,
        _ => ReadPressure::Low,
    }
}

/// The number of rows that the next slice examines, adapted so that a slice takes about the wanted
/// time: other searches wait in the meantime.
#[derive(Clone, Copy, Debug)]
struct Pace {
    rows: u64,
    wanted: Duration,
}

impl Pace {
    fn new(threads: Threads) -> Pace {
        let wanted = Duration::from_millis(match threads {
            Threads::One => QUERY_SLICE_INLINE_MILLISECONDS,
            Threads::Many(_) => QUERY_SLICE_MILLISECONDS,
        });
        Pace { rows: QUERY_SLICE_ROWS_MIN, wanted }
    }

    /// Returns when a slice that started is interrupted. A slice of one row cannot get smaller.
    fn deadline(&self, start: Instant) -> Option<Instant> {
        (self.rows > 1).then(|| start + 4 * self.wanted)
    }

    fn adapt(&mut self, taken: Duration) {
        if taken > self.wanted {
            self.rows /= 2;
        } else if taken < self.wanted / 4 {
            self.rows = self.rows.saturating_mul(2).min(QUERY_SLICE_ROWS_MAX);
        }
        self.rows = self.rows.max(1);
    }
}

/// Sets its flag on drop: the client no longer waits for the result.
#[derive(Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl SqliteReader {
    /// Creates a reader without opening anything.
    pub fn new(path: &Path, threads: Threads) -> SqliteReader {
        SqliteReader {
            path: path.to_owned(),
            threads,
            connection: None,
            pace: Pace::new(threads),
            end_of_search: None,
            names: NameSearch::default(),
        }
    }

    /// Runs work on the connection where it may block. Once the future has been dropped, the work
    /// is interrupted.
    async fn call<T: Send + 'static>(
        &mut self,
        permit: ReadPermit,
        work: impl FnOnce(&mut SqliteReadConnection, &Arc<AtomicBool>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (path, connection) = (self.path.clone(), self.connection.take());
        let abandoned = Abandoned::default();
        let is_abandoned = Arc::clone(&abandoned.0);
        let work = move || {
            let _permit = permit;
            let run = || {
                let mut connection = match connection {
                    Some(connection) => connection,
                    None => Box::new(SqliteReadConnection::open(&path)?),
                };
                connection.stop_when(Arc::clone(&is_abandoned), None)?;
                let result = work(&mut connection, &is_abandoned)?;
                Ok((connection, result))
            };
            run().map_err(|error| describe(&path, &error))
        };
        let ended = || Err(StoreError::new("the query's thread has ended"));
        let (connection, result) = self.threads.call(work).await.unwrap_or_else(ended)?;
        self.connection = Some(connection);
        Ok(result)
    }
}

impl Reader for SqliteReader {
    async fn slice<S: MatchSink>(
        &mut self,
        search: &Search,
        call: ReadCall,
        mut sink: S,
    ) -> Result<(S, SliceEnd), StoreError> {
        let (mut search, mut pace, mut end_of_search) = (search.clone(), self.pace, self.end_of_search);
        let work = move |connection: &mut SqliteReadConnection, is_abandoned: &Arc<AtomicBool>| {
            let start = Instant::now();
            connection.stop_when(Arc::clone(is_abandoned), pace.deadline(start))?;
            let mut delivered = DeliveredMatches::to(&mut sink);
            let found = end_at_the_newest(connection, &mut search, &mut end_of_search)
                .and_then(|()| connection.slice(&search, pace.rows, |id, record| delivered.take(id, record)));
            let rest = match found {
                Ok(rest) => rest,
                // The slice is too large: matches already delivered are kept, and the rest is
                // searched in smaller slices.
                Err(error) if is_interrupted(&error) && !is_abandoned.load(Relaxed) => {
                    pace.rows /= 4;
                    delivered.rest(&search)
                }
                Err(error) => return Err(error),
            };
            if !delivered.is_full {
                pace.adapt(start.elapsed());
            }
            connection.release_memory()?;
            Ok((sink, SliceEnd { rest, is_late: false }, pace, end_of_search))
        };
        let (sink, end, pace, end_of_search) = self.call(call.permit, work).await?;
        (self.pace, self.end_of_search) = (pace, end_of_search);
        Ok((sink, end))
    }

    async fn stored_counts<S: CountSink>(
        &mut self,
        search: &Search,
        call: ReadCall,
        mut sink: S,
    ) -> Result<(S, CountEnd), StoreError> {
        if !histogram::can_count(&search.query) {
            return Ok((sink, CountEnd::nothing_counted(search)));
        }
        let (search, mut pace) = (search.clone(), self.pace);
        // Counts already added cannot be taken back, so no deadline is set: the call ends by
        // itself, and soon.
        let work = move |connection: &mut SqliteReadConnection, _: &Arc<AtomicBool>| {
            let (start, step) = (Instant::now(), sink.step());
            let end = connection.counts(&search, step, pace.rows, |counted| sink.take_counted(counted))?;
            pace.adapt(start.elapsed());
            connection.release_memory()?;
            Ok((sink, end, pace))
        };
        let (sink, end, pace) = self.call(call.permit, work).await?;
        self.pace = pace;
        Ok((sink, end))
    }

    async fn times(
        &mut self,
        _: bool,
        now: i64,
        call: ReadCall,
    ) -> Result<(Option<i64>, Option<i64>), StoreError> {
        let times = self.call(call.permit, |connection, _| connection.times()).await?;
        let (earliest, latest) = times.unzip();
        Ok((earliest, latest.filter(|latest| *latest > now)))
    }

    async fn dead_letters(
        &mut self,
        from: RecordId,
        count: usize,
    ) -> Result<Vec<(RecordId, String)>, StoreError> {
        self.call(Box::new(()), move |connection, _| connection.dead_letters(from, count)).await
    }

    fn has_separate_names(&self) -> bool {
        true
    }

    async fn unused_names(&mut self, call: ReadCall) -> Result<NameSearchStep, StoreError> {
        let rows = match self.threads {
            Threads::One => SQLITE_BLOCK_ROWS,
            Threads::Many(_) => QUERY_SLICE_ROWS_MAX,
        };
        let mut names = std::mem::take(&mut self.names);
        let work = move |connection: &mut SqliteReadConnection, _: &Arc<AtomicBool>| {
            let step = names.step(connection, rows)?;
            Ok((names, step))
        };
        let step;
        (self.names, step) = self.call(call.permit, work).await?;
        Ok(step)
    }

    async fn statement(
        self,
        sql: &str,
        call: StatementCall,
        rows: StatementRows,
    ) -> Result<StatementRows, StatementError> {
        let SqliteReader { path, threads, .. } = self;
        let duration_max = match threads {
            Threads::One => call.duration_max.min(Duration::from_millis(SQL_INLINE_MILLISECONDS_MAX)),
            Threads::Many(_) => call.duration_max,
        };
        let abandoned = Abandoned::default();
        let stop = StatementStop { is_abandoned: Arc::clone(&abandoned.0), must_end: call.must_end };
        let (sql, permit) = (sql.to_owned(), call.permit);
        let work = move || {
            let _permit = permit;
            statement::run(&path, &sql, rows, threads, duration_max, &stop)
        };
        let ended = || Err(StatementError::Store(StoreError::new("the statement's thread has ended")));
        threads.call(work).await.unwrap_or_else(ended)
    }

    fn reset_slice_size(&mut self) {
        self.pace = Pace::new(self.threads);
    }
}

/// Excludes records that were stored after the search began. A search that begins with the newest
/// record excludes them by itself.
fn end_at_the_newest(
    connection: &SqliteReadConnection,
    search: &mut Search,
    end_of_search: &mut Option<RecordId>,
) -> rusqlite::Result<()> {
    if search.descending {
        return Ok(());
    }
    let end = match *end_of_search {
        Some(end) => end,
        None => {
            let newest = Search { fields: ColumnSet::NONE, ..Search::new(Query::all()) };
            let older = connection.slice(&newest, 1, |_, _| true)?;
            *end_of_search.insert(older.end + 1)
        }
    };
    search.ids.end = search.ids.end.min(end);
    Ok(())
}

fn is_interrupted(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}
