//! The read half of a store: one set of calls for all databases.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::error::StoreError;
use super::statement::{StatementError, StatementRows};
use super::{Search, UnusedNames};
use crate::query;
use crate::record::{Column, RecordId, RecordRef};

/// Reads records back from a database.
///
/// The contract:
/// * A reader connects at its first call, and again after an error. It never writes.
/// * The caller keeps the search and passes it to each call. A slice examines a bounded number of
///   records from one end of the ids of the search, so that a long search can be stopped, and other
///   tasks can run if there is only one thread.
/// * Matches are passed to a sink in the order of the search. A sink is owned by the call, because
///   some databases are read on another thread. A call that fails or is dropped loses the sink.
/// * Dropping the future of a call stops its work soon. The permit of the call is released when the
///   work has ended, which may be later.
/// * Records that are stored after the first slice of a reader are not found, because otherwise a
///   search in ascending order might never end.
pub trait Reader: Send {
    /// Searches one slice from one end of the ids of the search, as far as the sink accepts
    /// matches. Returns the sink and what remains.
    fn slice<S: MatchSink>(
        &mut self,
        search: &Search,
        call: ReadCall,
        sink: S,
    ) -> impl Future<Output = Result<(S, SliceEnd), StoreError>> + Send;

    /// Adds stored counts from one end of the ids of the search, until a record has to be read or
    /// the duration of one slice is over. A database without stored counts returns all ids as ids
    /// to be read.
    fn stored_counts<S: CountSink>(
        &mut self,
        search: &Search,
        call: ReadCall,
        sink: S,
    ) -> impl Future<Output = Result<(S, CountEnd), StoreError>> + Send {
        drop(call);
        let end = CountEnd::nothing_counted(search);
        async { Ok((sink, end)) }
    }

    /// Returns true if [`Reader::count_groups`] can count what the search finds.
    fn can_count_groups(&self, search: &Search) -> bool {
        let _ = search;
        false
    }

    /// Lets the database count what the search finds within a range of times, grouped by a column.
    /// `emit` receives each text of the column (empty if the record has none) and its count.
    /// Returns false if time ran out.
    fn count_groups(
        &mut self,
        search: &Search,
        column: Column,
        times: query::IntegerRange,
        call: ReadCall,
        emit: impl FnMut(&str, u64) + Send,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (search, column, times, call, emit);
        async { Ok(true) }
    }

    /// Returns the earliest time of all records, and the latest time if it is after `now`; in ns
    /// since the Unix epoch, exact to the microsecond. A reader may return `None` for the earliest
    /// time unless `wants_earliest` is true, and returns `None` for a time that was not found
    /// before the deadline.
    fn times(
        &mut self,
        wants_earliest: bool,
        now: i64,
        call: ReadCall,
    ) -> impl Future<Output = Result<(Option<i64>, Option<i64>), StoreError>> + Send;

    /// Returns the first `count` dead letters with ids from `from` on, as JSON.
    fn dead_letters(
        &mut self,
        from: RecordId,
        count: usize,
    ) -> impl Future<Output = Result<Vec<(RecordId, String)>, StoreError>> + Send;

    /// Returns true if the database stores names separately from records; see
    /// [`Reader::unused_names`].
    fn has_separate_names(&self) -> bool {
        false
    }

    /// Continues the search for names that no record refers to any more. One call examines a
    /// bounded number of records.
    fn unused_names(
        &mut self,
        call: ReadCall,
    ) -> impl Future<Output = Result<NameSearchStep, StoreError>> + Send {
        drop(call);
        async { Ok(NameSearchStep::Done) }
    }

    /// Runs one statement that reads, in the dialect of the database, and adds its rows to `rows`.
    fn statement(
        self,
        sql: &str,
        call: StatementCall,
        rows: StatementRows,
    ) -> impl Future<Output = Result<StatementRows, StatementError>> + Send;

    /// Resets the size of the slices to that of a new search.
    fn reset_slice_size(&mut self);
}

/// Receives the matches of a search.
pub trait MatchSink: Send + 'static {
    /// False if the sink keeps little of each match. Then a slice may be longer.
    const KEEPS_RECORDS: bool = true;

    /// Accepts a match. Returns true if the sink accepts another one in this slice.
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) -> bool;
}

/// Receives matches that were counted together.
pub trait CountSink: Send + 'static {
    /// Returns the length of a step, in ns; steps are counted from the Unix epoch.
    fn step(&self) -> i64;

    /// Accepts matches with the same severity and service, and with times in the same step.
    fn take_counted(&mut self, counted: CountedMatches<'_>);
}

/// A number of matches with the same severity and service, and with times in the same step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedMatches<'a> {
    /// The time of one of the matches, or a time between two of them, in ns since the Unix epoch.
    pub timestamp: i64,
    /// The severity; see [`RecordRef::severity_number`].
    pub severity_number: u8,
    /// The service; see [`crate::record::Origin::service`]. Empty for records without a service.
    pub service: &'a str,
    /// The number of matches.
    pub records: u64,
}

/// How strongly reading delays the work of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadPressure {
    /// Reading delays nothing.
    Low,
    /// No further read should begin until the running ones have ended.
    High,
    /// Long statements should end, too.
    Critical,
}

/// The limits of a call.
pub struct ReadCall {
    /// Permission to run, held until the work of the call has ended.
    pub permit: ReadPermit,
    /// When the time of the caller is over.
    pub deadline: Instant,
}

/// Permits that are released when this is dropped.
pub type ReadPermit = Box<dyn Send>;

/// The limits of a statement.
pub struct StatementCall {
    /// Permission to run, held until the work of the statement has ended.
    pub permit: ReadPermit,
    /// The longest time that the statement may run.
    pub duration_max: Duration,
    /// Set when statements must end, because the database cannot work while they run.
    pub must_end: Arc<AtomicBool>,
}

/// The progress of a search after a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEnd {
    /// The ids that remain to be searched.
    pub rest: Range<RecordId>,
    /// True if time ran out.
    pub is_late: bool,
}

/// The progress of counting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountEnd {
    /// The ids that remain to be counted.
    pub rest: Range<RecordId>,
    /// The next ids, for which there are no stored counts: their records have to be read.
    pub rows: Range<RecordId>,
}

impl CountEnd {
    /// Leaves all records to be read.
    pub(super) fn nothing_counted(search: &Search) -> CountEnd {
        CountEnd { rest: search.ids.clone(), rows: search.ids.clone() }
    }
}

/// The progress of a search for unused names.
#[derive(Debug)]
pub enum NameSearchStep {
    /// The search continues with the next call.
    Searching,
    /// The search can continue when the database has been migrated.
    Waiting,
    /// These names are unused. The search continues with the next call.
    Found(UnusedNames),
    /// All names have been examined.
    Done,
}

/// Forwards matches to a sink, and records what was delivered.
pub(super) struct DeliveredMatches<'a, S> {
    sink: &'a mut S,
    last_id: Option<RecordId>,
    /// True if the sink accepts no more matches in this slice.
    pub(super) is_full: bool,
}

impl<S: MatchSink> DeliveredMatches<'_, S> {
    pub(super) fn to(sink: &mut S) -> DeliveredMatches<'_, S> {
        DeliveredMatches { sink, last_id: None, is_full: false }
    }

    pub(super) fn take(&mut self, id: RecordId, record: &RecordRef<'_>) -> bool {
        self.last_id = Some(id);
        self.is_full = !self.sink.take(id, record);
        !self.is_full
    }

    /// Returns the ids of the search after the last match that was delivered, for a slice that was
    /// interrupted.
    pub(super) fn rest(&self, search: &Search) -> Range<RecordId> {
        self.last_id.map_or(search.ids.clone(), |id| search.rest_after(&(id..id + 1)))
    }
}
