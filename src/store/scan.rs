//! A search in progress, slice by slice.
//!
//! Matches are passed to a [`MatchSink`], in the order of ids. A slice is bounded in the number of
//! records it examines. Therefore a search can stop in time, shares its thread if there is only
//! one, and counts towards the limit of concurrent searches only while it runs. Dropping the future
//! of a slice stops the statement of that slice.

use std::time::{Duration, Instant};

use super::Search;
use super::database::{AnyReader, Database};
use super::error::StoreError;
use super::read_gate::ReadGate;
use super::reader::{CountSink, CountedMatches, MatchSink, ReadCall, Reader};
use crate::query;
use crate::record::{Column, RecordId, RecordRef};

/// A sink that accepts every match and keeps little of it.
pub trait Fold: Send + 'static {
    /// Accepts a match.
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>);
}

/// A search in progress.
#[derive(Debug)]
pub struct Scan {
    gate: ReadGate,
    reader: AnyReader,
    /// What remains to be searched.
    pub search: Search,
    /// When the time of the search is over.
    pub deadline: Instant,
}

/// Passes every match to a fold.
struct FoldSink<F>(F);

impl<F: Fold> MatchSink for FoldSink<F> {
    const KEEPS_RECORDS: bool = false;

    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) -> bool {
        self.0.take(id, record);
        true
    }
}

impl<F: Fold + CountSink> CountSink for FoldSink<F> {
    fn step(&self) -> i64 {
        self.0.step()
    }

    fn take_counted(&mut self, counted: CountedMatches<'_>) {
        self.0.take_counted(counted);
    }
}

impl Scan {
    /// Starts a search with the full time of a query.
    pub fn new(gate: &ReadGate, database: &Database, search: Search) -> Scan {
        Scan { gate: gate.clone(), reader: database.reader(gate.threads), search, deadline: gate.deadline() }
    }

    /// Returns true if everything was searched.
    pub fn is_done(&self) -> bool {
        self.search.ids.is_empty()
    }

    /// Returns true if the time of the search is over.
    pub fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Restarts with another search, over the same connection.
    pub fn restart_with(&mut self, search: Search) {
        self.search = search;
        self.reader.reset_slice_size();
    }

    /// Shortens the deadline to at most this duration from now.
    pub fn shorten_deadline(&mut self, duration_max: Duration) {
        // A duration that exceeds the range of the clock is no limit.
        self.deadline =
            Instant::now().checked_add(duration_max).map_or(self.deadline, |end| self.deadline.min(end));
    }

    /// Resets the deadline to the full time of a query.
    pub fn reset_deadline(&mut self) {
        self.deadline = self.gate.deadline();
    }

    /// Searches one slice, unless time runs out before the search may run.
    pub async fn slice<S: MatchSink>(&mut self, sink: S) -> Result<S, StoreError> {
        let Some(call) = self.wait_for_permit().await else { return Ok(sink) };
        let (sink, end) = self.reader.slice(&self.search, call, sink).await?;
        self.search.ids = end.rest;
        if end.is_late {
            self.deadline = Instant::now();
        }
        Ok(sink)
    }

    /// Passes all matches to the fold, until everything was searched or time runs out.
    pub async fn fold<F: Fold>(&mut self, fold: F) -> Result<F, StoreError> {
        Ok(self.fold_all(FoldSink(fold)).await?.0)
    }

    async fn fold_all<S: MatchSink>(&mut self, mut sink: S) -> Result<S, StoreError> {
        while !self.is_done() && !self.is_late() {
            sink = self.slice(sink).await?;
        }
        Ok(sink)
    }

    /// Does the same as [`Scan::fold`], but uses stored counts as far as the database has them for
    /// this query.
    pub async fn fold_counts<F: Fold + CountSink>(&mut self, fold: F) -> Result<F, StoreError> {
        let mut sink = FoldSink(fold);
        while !self.is_done() && !self.is_late() {
            let Some(call) = self.wait_for_permit().await else { break };
            let end;
            (sink, end) = self.reader.stored_counts(&self.search, call, sink).await?;
            self.search.ids = end.rest;
            if end.rows.is_empty() {
                continue;
            }
            let rest = std::mem::replace(&mut self.search.ids, end.rows.clone());
            sink = self.fold_all(sink).await?;
            if self.is_done() {
                self.search.ids = rest;
                self.search.ids = self.search.rest_after(&end.rows);
            }
        }
        Ok(sink.0)
    }

    /// Returns true if the database can count what the search finds; see [`Scan::count_groups`].
    pub fn can_count_groups(&self) -> bool {
        self.reader.can_count_groups(&self.search)
    }

    /// Lets the database count the matches within a range of times; see [`Reader::count_groups`].
    pub async fn count_groups(
        &mut self,
        column: Column,
        times: query::IntegerRange,
        emit: impl FnMut(&str, u64) + Send,
    ) -> Result<(), StoreError> {
        let Some(call) = self.wait_for_permit().await else { return Ok(()) };
        if !self.reader.count_groups(&self.search, column, times, call, emit).await? {
            self.deadline = Instant::now();
        }
        Ok(())
    }

    /// Returns the earliest and the latest time of all records; see [`Reader::times`].
    pub async fn times(
        &mut self,
        wants_earliest: bool,
        now: i64,
    ) -> Result<(Option<i64>, Option<i64>), StoreError> {
        let Some(call) = self.wait_for_permit().await else { return Ok((None, None)) };
        self.reader.times(wants_earliest, now, call).await
    }

    /// Waits until the search may run; `None` if its time is over before that.
    fn wait_for_permit(&self) -> impl Future<Output = Option<ReadCall>> + Send + use<> {
        let (gate, deadline) = (self.gate.clone(), self.deadline);
        async move { Some(ReadCall { permit: gate.permit_until(deadline).await?, deadline }) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use tempfile::TempDir;

    use super::*;
    use crate::blocking::Threads;
    use crate::limits::QUERY_SLICE_ROWS_MIN;
    use crate::query::Query;
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
        let gate = ReadGate::new(Threads::Many(2), Duration::from_secs(3600));
        let database = Database::Sqlite(folder.path().join("logboom.db"));
        Scan::new(&gate, &database, Search { descending, ..Search::new(Query::all()) })
    }

    #[derive(Default)]
    struct Ids(Vec<RecordId>);

    impl MatchSink for Ids {
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
            let mut scan = scan(&folder, descending);
            let mut ids = scan.slice(Ids::default()).await.unwrap();
            store.write(&chunk(1001, 2001)).await.unwrap();
            while !scan.is_done() {
                ids = scan.slice(ids).await.unwrap();
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

    impl MatchSink for Slow {
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
        let mut scan = scan(&folder, true);
        let waiting = tokio::spawn(async move { scan.slice(sink).await.map(drop).map_err(drop) });
        tokio::task::spawn_blocking(move || when_begun.recv().unwrap()).await.unwrap();
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        go_on.send(()).unwrap();
        // Ends once the sink is dropped.
        let taken = tokio::task::spawn_blocking(move || ids.iter().count()).await.unwrap();
        assert!(taken < QUERY_SLICE_ROWS_MIN as usize / 2, "{taken}");
    }
}
