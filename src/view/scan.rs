//! A search in progress, slice by slice.
//!
//! Matches are passed to a [`Sink`], in the order of ids. A slice is bounded in the number of rows
//! it examines. Therefore a search can stop in time, shares its thread if there is only one, and
//! counts towards the limit of concurrent searches only while it runs. Dropping the future of a
//! slice stops the statement of that slice.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::cursor::Cursor;
use super::parameters::everything;
use super::{Refusal, View};
use crate::blocking::Threads;
use crate::limits::{
    POSTGRES_FOLD_RECORDS_MAX, POSTGRES_SLICE_GROWTH, POSTGRES_SLICE_IDS_MIN, POSTGRES_SLICE_RECORDS_MAX,
    QUERY_SLICE_INLINE_MILLISECONDS, QUERY_SLICE_MILLISECONDS, QUERY_SLICE_ROWS_MAX, QUERY_SLICE_ROWS_MIN,
};
use crate::query::{self, Query};
use crate::record::Column;
use crate::record::ColumnSet;
use crate::record::{RecordId, RecordRef};
use crate::store::postgres::count::can_count;
use crate::store::postgres::read::{PostgresDatabase, PostgresReader, ReadError};
use crate::store::sqlite::histogram::{self, Counted, Reached};
use crate::store::sqlite::read::SqliteReader;
use crate::store::{self, Database, Search, StoreError};

/// Receives the matches of a search.
pub(super) trait Sink: Send + 'static {
    /// Accepts a match. Returns true if the sink accepts another one in this slice.
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) -> bool;
}

/// A sink that accepts every match and keeps little of it.
pub(super) trait Fold: Send + 'static {
    /// Accepts a match.
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>);
}

/// A fold that also accepts several matches together: those with the same severity and service, and
/// with times in the same step.
pub(super) trait FoldCounts: Fold {
    /// Returns the length of a step, in ns; steps are counted from the Unix epoch.
    fn step(&self) -> i64;

    /// Accepts matches that were counted together.
    fn take_counted(&mut self, counted: Counted<'_>);
}

/// A search in progress.
pub(super) struct Scan {
    threads: Threads,
    running: Arc<Semaphore>,
    database: Database,
    /// What remains to be searched.
    pub(super) search: Search,
    /// The number of rows that the next slice examines.
    rows: u64,
    /// The number of records that the next slice fetches from a server.
    records: usize,
    duration_max: Duration,
    /// When the time of the search is over.
    pub(super) deadline: Instant,
    reader: Option<Reader>,
    /// The first id that was not stored when the search began. Records that are stored while the
    /// search runs are not searched, because otherwise the search might never end.
    position: Option<RecordId>,
}

enum Reader {
    Sqlite(SqliteReader),
    Postgres(Box<PostgresReader>),
}

/// Sets its flag on drop: the client no longer waits for the result.
#[derive(Default)]
pub(super) struct Abandoned(pub(super) Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Forwards matches to the sink and records the last id delivered.
struct Passing<'a, S> {
    sink: &'a mut S,
    last_id: Option<RecordId>,
    is_full: bool,
}

impl<S: Sink> Passing<'_, S> {
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) -> bool {
        self.last_id = Some(id);
        self.is_full = !self.sink.take(id, record);
        !self.is_full
    }
}

struct All<F>(F);

impl<F: Fold> Sink for All<F> {
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) -> bool {
        self.0.take(id, record);
        true
    }
}

impl Scan {
    /// Starts a search with the full time of a query.
    pub(super) fn new(view: &View, search: Search) -> Result<Scan, Refusal> {
        Ok(Scan::over(view, view.database()?, search))
    }

    /// Starts a search over a given database, with the full time of a query.
    pub(super) fn over(view: &View, database: Database, search: Search) -> Scan {
        Scan {
            threads: view.threads,
            running: Arc::clone(&view.queries.running),
            rows: rows_min(&database),
            database,
            search,
            records: POSTGRES_SLICE_RECORDS_MAX,
            duration_max: view.query_duration_max,
            deadline: Instant::now() + view.query_duration_max,
            reader: None,
            position: None,
        }
    }

    /// Returns true if everything was searched.
    pub(super) fn is_done(&self) -> bool {
        self.search.ids.is_empty()
    }

    /// Returns true if the time of the search is over.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Restarts with another search, over the same connection.
    pub(super) fn turn_to(&mut self, search: Search) {
        self.search = search;
        self.rows = rows_min(&self.database);
    }

    /// Shortens the deadline to at most this duration from now.
    pub(super) fn limit(&mut self, duration_max: Duration) {
        // A duration that exceeds the range of the clock is no limit.
        self.deadline =
            Instant::now().checked_add(duration_max).map_or(self.deadline, |end| self.deadline.min(end));
    }

    /// Resets the deadline to the full time of a query.
    pub(super) fn renew(&mut self) {
        self.deadline = Instant::now() + self.duration_max;
    }

    /// Returns the start of what remains to be searched, as a cursor in the order of the search.
    pub(super) fn reached(&self) -> Cursor {
        let Search { ids, descending, .. } = &self.search;
        Cursor::after(if *descending { ids.end } else { ids.start.saturating_sub(1) })
    }

    /// Passes all matches to the fold, until everything was searched or time runs out.
    pub(super) async fn fold<F: Fold>(mut self, fold: F) -> Result<(Scan, F), Refusal> {
        self.records = POSTGRES_FOLD_RECORDS_MAX;
        let mut all = All(fold);
        while !self.is_done() && !self.is_late() {
            (self, all) = self.slice(all).await?;
        }
        Ok((self, all.0))
    }

    /// Does the same as [`Scan::fold`], but uses the counts of whole blocks if the database has
    /// counts for this query.
    pub(super) async fn fold_counts<F: FoldCounts>(mut self, mut fold: F) -> Result<(Scan, F), Refusal> {
        if !matches!(self.database, Database::Sqlite(_)) || !histogram::can_count(&self.search.query) {
            return self.fold(fold).await;
        }
        while !self.is_done() && !self.is_late() {
            let rows;
            (self, fold, rows) = self.counts(fold).await?;
            if rows.is_empty() {
                continue;
            }
            let rest = std::mem::replace(&mut self.search.ids, rows.clone());
            (self, fold) = self.fold(fold).await?;
            if self.is_done() {
                self.search.ids = rest;
                self.search.ids = self.search.rest_after(&rows);
            }
        }
        Ok((self, fold))
    }

    /// Adds counts of blocks until there are no more, or for the duration of one slice. Returns the
    /// ids that come next and whose rows have to be read.
    async fn counts<F: FoldCounts>(self, mut fold: F) -> Result<(Scan, F, Range<RecordId>), Refusal> {
        let Some(turn) = self.turn().await else { return Ok((self, fold, 0..0)) };
        let Database::Sqlite(path) = self.database.clone() else { return Ok((self, fold, 0..0)) };
        let count = move |scan: &mut Scan, is_abandoned| {
            let failed = |error: rusqlite::Error| store::sqlite::describe(&path, &error);
            let mut reader = scan.sqlite(&path).map_err(failed)?;
            // Counts already added cannot be taken back, so no deadline is set: the call ends by
            // itself, and soon.
            reader.stop_when(is_abandoned, None).map_err(failed)?;
            let (start, step) = (Instant::now(), fold.step());
            let take = |counted: Counted<'_>| fold.take_counted(counted);
            let Reached { rest, rows } =
                reader.counts(&scan.search, step, scan.rows, take).map_err(failed)?;
            reader.release_memory().map_err(failed)?;
            scan.search.ids = rest;
            scan.reader = Some(Reader::Sqlite(reader));
            scan.adapt(start.elapsed(), scan.slice_duration());
            Ok((fold, rows))
        };
        let (scan, (fold, rows)) = self.call(turn, count).await?;
        Ok((scan, fold, rows))
    }

    /// Searches one slice, unless time runs out before the search may run.
    pub(super) async fn slice<S: Sink>(mut self, mut sink: S) -> Result<(Scan, S), Refusal> {
        let Some(turn) = self.turn().await else { return Ok((self, sink)) };
        let result = match self.database.clone() {
            Database::Sqlite(path) => {
                let search = move |scan: &mut Scan, is_abandoned| {
                    let result = scan.slice_of_sqlite(&path, is_abandoned, &mut sink);
                    result.map(|()| sink)
                };
                return self.call(turn, search).await;
            }
            Database::Postgres(database) => {
                let _turn = turn;
                self.slice_of_postgres(&database, &mut sink).await
            }
        };
        refused(result.map(|()| (self, sink)))
    }

    /// Returns true if the database can count what the search finds; see [`Scan::count`].
    pub(super) fn can_count(&self) -> bool {
        match &self.database {
            Database::Sqlite(_) => false,
            Database::Postgres(_) => can_count(&self.search),
        }
    }

    /// Lets the database count what the search finds within a range of times, grouped by a column.
    /// `emit` receives each text of the column (empty if the record has none) and its count.
    pub(super) async fn count(
        mut self,
        column: Column,
        times: query::Range,
        emit: impl FnMut(&str, u64),
    ) -> Result<Scan, Refusal> {
        let Database::Postgres(database) = self.database.clone() else { return Ok(self) };
        let Some(_turn) = self.turn().await else { return Ok(self) };
        refused(self.count_of_postgres(&database, column, times, emit).await.map(|()| self))
    }

    /// Returns the earliest time of all records, and the latest if it is after `now`; in ns since
    /// the Unix epoch, exact to the microsecond. The earliest is determined only if
    /// `wants_earliest` is set. A time is `None` if the search runs out of time before it is
    /// determined.
    pub(super) async fn times(
        mut self,
        wants_earliest: bool,
        now: i64,
    ) -> Result<(Scan, Option<i64>, Option<i64>), Refusal> {
        let Some(turn) = self.turn().await else { return Ok((self, None, None)) };
        let times = match self.database.clone() {
            Database::Sqlite(path) => {
                let times = move |scan: &mut Scan, is_abandoned| {
                    let failed = |error: rusqlite::Error| store::sqlite::describe(&path, &error);
                    let mut reader = scan.sqlite(&path).map_err(failed)?;
                    reader.stop_when(is_abandoned, None).map_err(failed)?;
                    let times = reader.times().map_err(failed)?.unzip();
                    scan.reader = Some(Reader::Sqlite(reader));
                    Ok(times)
                };
                let (scan, (earliest, latest)) = self.call(turn, times).await?;
                return Ok((scan, earliest, latest.filter(|latest| *latest > now)));
            }
            Database::Postgres(database) => {
                let _turn = turn;
                self.times_of_postgres(&database, wants_earliest, now).await
            }
        };
        refused(times.map(|(earliest, latest)| (self, earliest, latest)))
    }

    /// Waits until the search may run; `None` if its time is over before that.
    fn turn(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + Send + use<> {
        let turn = timeout_at(self.deadline.into(), Arc::clone(&self.running).acquire_owned());
        async { turn.await.ok()?.ok() }
    }

    /// Runs blocking work on a thread where it may block.
    async fn call<T: Send + 'static>(
        mut self,
        turn: OwnedSemaphorePermit,
        work: impl FnOnce(&mut Scan, Arc<AtomicBool>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<(Scan, T), Refusal> {
        let threads = self.threads;
        let abandoned = Abandoned::default();
        let is_abandoned = Arc::clone(&abandoned.0);
        let work = move || {
            let _turn = turn;
            work(&mut self, is_abandoned).map(|result| (self, result))
        };
        let ended = || Err(StoreError::new("the query's thread has ended"));
        refused(threads.call(work).await.unwrap_or_else(ended))
    }

    fn sqlite(&mut self, path: &Path) -> rusqlite::Result<SqliteReader> {
        match self.reader.take() {
            Some(Reader::Sqlite(reader)) => Ok(reader),
            _ => SqliteReader::open(path),
        }
    }

    /// Searches one slice of a SQLite database, blocking the thread.
    fn slice_of_sqlite(
        &mut self,
        path: &Path,
        is_abandoned: Arc<AtomicBool>,
        sink: &mut impl Sink,
    ) -> Result<(), StoreError> {
        let failed = |error: rusqlite::Error| store::sqlite::describe(path, &error);
        let mut reader = self.sqlite(path).map_err(failed)?;
        let (start, wanted) = (Instant::now(), self.slice_duration());
        let deadline = (self.rows > 1).then(|| start + 4 * wanted);
        reader.stop_when(Arc::clone(&is_abandoned), deadline).map_err(failed)?;
        let mut passing = Passing { sink, last_id: None, is_full: false };
        let found = self
            .end_at_the_newest(&reader)
            .and_then(|()| reader.slice(&self.search, self.rows, |id, record| passing.take(id, record)));
        match found {
            Ok(rest) => self.search.ids = rest,
            // The slice is too large: matches already delivered are kept, and the rest is searched
            // in smaller slices.
            Err(error) if is_interrupted(&error) && !is_abandoned.load(Relaxed) => {
                self.pass(passing.last_id);
                self.rows /= 4;
            }
            Err(error) => return Err(failed(error)),
        }
        reader.release_memory().map_err(failed)?;
        self.reader = Some(Reader::Sqlite(reader));
        if !passing.is_full {
            self.adapt(start.elapsed(), wanted);
        }
        Ok(())
    }

    /// Excludes records stored after the search began. A search that begins with the newest record
    /// excludes them by itself.
    fn end_at_the_newest(&mut self, reader: &SqliteReader) -> rusqlite::Result<()> {
        if self.search.descending {
            return Ok(());
        }
        let position = match self.position {
            Some(position) => position,
            None => {
                let newest = Search { fields: ColumnSet::NONE, ..everything(Query::all()) };
                let older = reader.slice(&newest, 1, |_, _| true)?;
                *self.position.insert(older.end + 1)
            }
        };
        self.search.ids.end = self.search.ids.end.min(position);
        Ok(())
    }

    /// Returns how long a slice should take: other searches wait in the meantime.
    fn slice_duration(&self) -> Duration {
        Duration::from_millis(match self.threads {
            Threads::One => QUERY_SLICE_INLINE_MILLISECONDS,
            Threads::Many(_) => QUERY_SLICE_MILLISECONDS,
        })
    }

    /// Adapts the number of rows so that the next slice takes about the wanted time.
    fn adapt(&mut self, taken: Duration, wanted: Duration) {
        if taken > wanted {
            self.rows /= 2;
        } else if taken < wanted / 4 {
            self.rows = self.rows.saturating_mul(2).min(QUERY_SLICE_ROWS_MAX);
        }
        self.rows = self.rows.max(1);
    }

    /// Excludes what was searched up to and including a match.
    fn pass(&mut self, last_id: Option<RecordId>) {
        if let Some(id) = last_id {
            self.search.ids = self.search.rest_after(&(id..id + 1));
        }
    }

    async fn postgres(&mut self, database: &PostgresDatabase) -> Result<Box<PostgresReader>, StoreError> {
        if let Some(Reader::Postgres(reader)) = self.reader.take() {
            return Ok(reader);
        }
        Ok(Box::new(database.reader().await?))
    }

    async fn slice_of_postgres(
        &mut self,
        database: &PostgresDatabase,
        sink: &mut impl Sink,
    ) -> Result<(), StoreError> {
        let mut reader = self.postgres(database).await?;
        let position = match self.position {
            Some(position) => position,
            None => *self.position.insert(reader.position().await?),
        };
        self.search.ids.end = self.search.ids.end.min(position);
        let mut passing = Passing { sink, last_id: None, is_full: false };
        let emit = |id, record: &RecordRef<'_>| passing.take(id, record);
        let time_left = self.deadline.saturating_duration_since(Instant::now());
        match reader.slice(&self.search, self.rows, self.records, time_left, emit).await {
            Ok(rest) => self.search.ids = rest,
            Err(ReadError::Late) => {
                self.deadline = Instant::now();
                self.pass(passing.last_id); // matches delivered in time must not be found again
            }
            Err(ReadError::Store(error)) => return Err(error),
        }
        self.reader = Some(Reader::Postgres(reader));
        if !passing.is_full {
            // The server reads only rows that its indexes point to, however many ids there are.
            self.rows = self.rows.saturating_mul(POSTGRES_SLICE_GROWTH);
        }
        Ok(())
    }

    async fn count_of_postgres(
        &mut self,
        database: &PostgresDatabase,
        column: Column,
        times: query::Range,
        emit: impl FnMut(&str, u64),
    ) -> Result<(), StoreError> {
        let mut reader = self.postgres(database).await?;
        match reader.count(&self.search, column, times, self.time_left(), emit).await {
            Ok(()) => {}
            Err(ReadError::Late) => self.deadline = Instant::now(),
            Err(ReadError::Store(error)) => return Err(error),
        }
        self.reader = Some(Reader::Postgres(reader));
        Ok(())
    }

    async fn times_of_postgres(
        &mut self,
        database: &PostgresDatabase,
        wants_earliest: bool,
        now: i64,
    ) -> Result<(Option<i64>, Option<i64>), StoreError> {
        let mut reader = self.postgres(database).await?;
        let earliest = match wants_earliest {
            true => in_time(reader.earliest(self.time_left()).await)?,
            false => None,
        };
        let latest = in_time(reader.latest_after(now, self.time_left()).await)?;
        self.reader = Some(Reader::Postgres(reader));
        Ok((earliest, latest))
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

fn is_interrupted(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted)
}

fn rows_min(database: &Database) -> u64 {
    match database {
        Database::Sqlite(_) => QUERY_SLICE_ROWS_MIN,
        Database::Postgres(_) => POSTGRES_SLICE_IDS_MIN,
    }
}

/// Returns `None` if there was no time to determine the value.
fn in_time(time: Result<Option<i64>, ReadError>) -> Result<Option<i64>, StoreError> {
    match time {
        Ok(time) => Ok(time),
        Err(ReadError::Late) => Ok(None),
        Err(ReadError::Store(error)) => Err(error),
    }
}

fn refused<T>(result: Result<T, StoreError>) -> Result<T, Refusal> {
    result.map_err(|error| Box::new(super::store_problem(&error)))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use tempfile::TempDir;

    use super::*;
    use crate::store::contract::chunk;
    use crate::store::sqlite::SqliteStore;
    use crate::store::{Retention, Store};

    /// Creates a database of records with these ids.
    async fn filled(folder: &TempDir, ids: std::ops::Range<RecordId>) -> SqliteStore {
        let retention = Retention::default();
        let mut store = SqliteStore::new(folder.path().join("logboom.db"), retention);
        store.position().await.unwrap();
        store.write(&chunk(ids.start, ids.end)).await.unwrap();
        store
    }

    /// Creates a search over all records, in slices of 256 rows.
    fn scan(folder: &TempDir, descending: bool) -> Scan {
        let hour = Duration::from_secs(3600);
        Scan {
            threads: Threads::Many(2),
            running: Arc::new(Semaphore::new(1)),
            database: Database::Sqlite(folder.path().join("logboom.db")),
            search: Search { descending, ..everything(Query::all()) },
            rows: QUERY_SLICE_ROWS_MIN,
            records: 0,
            duration_max: hour,
            deadline: Instant::now() + hour,
            reader: None,
            position: None,
        }
    }

    #[derive(Default)]
    struct Ids(Vec<RecordId>);

    impl Sink for Ids {
        fn take(&mut self, id: RecordId, _: &RecordRef<'_>) -> bool {
            self.0.push(id);
            true
        }
    }

    #[tokio::test]
    async fn search_ignores_records_stored_after_its_start() {
        for descending in [true, false] {
            let folder = TempDir::new().unwrap();
            let mut store = filled(&folder, 1..1001).await;
            let (mut scan, mut ids) = scan(&folder, descending).slice(Ids::default()).await.unwrap();
            store.write(&chunk(1001, 2001)).await.unwrap();
            while !scan.is_done() {
                (scan, ids) = scan.slice(ids).await.unwrap();
            }
            ids.0.sort_unstable();
            assert_eq!(ids.0, (1..1001).collect::<Vec<_>>(), "{descending}");
        }
    }

    /// Waits for a signal before accepting its first match, and reports every match.
    struct Slow {
        begun: Option<Sender<()>>,
        go_on: Receiver<()>,
        taken: Sender<RecordId>,
    }

    impl Sink for Slow {
        fn take(&mut self, id: RecordId, _: &RecordRef<'_>) -> bool {
            if let Some(begun) = self.begun.take() {
                begun.send(()).unwrap();
                self.go_on.recv().unwrap();
            }
            self.taken.send(id).unwrap();
            true
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn abandoned_slice_stops_early() {
        let folder = TempDir::new().unwrap();
        let _store = filled(&folder, 1..1001).await;
        let ((begun, when_begun), (go_on, until), (taken, ids)) = (channel(), channel(), channel());
        let sink = Slow { begun: Some(begun), go_on: until, taken };
        let slice = scan(&folder, true).slice(sink);
        let waiting = tokio::spawn(async move { slice.await.map(drop).map_err(drop) });
        tokio::task::spawn_blocking(move || when_begun.recv().unwrap()).await.unwrap();
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        go_on.send(()).unwrap();
        // Ends once the sink is dropped.
        let taken = tokio::task::spawn_blocking(move || ids.iter().count()).await.unwrap();
        assert!(taken < QUERY_SLICE_ROWS_MIN as usize / 2, "{taken}");
    }
}
