//! Deletes the records that match a query from every database among the stores.
//!
//! Each database is searched slice by slice, as for any query. The matches are passed to the
//! store's own connection, which deletes them between two chunks. The dead letters of a database
//! are searched after its records. A deletion can stop at any point and be resumed with its
//! [`DeleteCursor`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::database::{AnyReader, Database};
use super::error::StoreError;
use super::read_gate::ReadGate;
use super::reader::{MatchSink, NameSearchStep, ReadCall, Reader};
use super::scan::Scan;
use super::{Progress, RecordsToDelete, Search};
use crate::limits::{
    DELETE_LETTERS, DELETE_NAMES_SECONDS_MAX, DELETE_RETRY_MILLISECONDS, DELETE_SCRUB_RETRY_MILLISECONDS,
    DELETE_SERVICES_MAX, DELETE_SLICE_BYTES, DELETE_SLICE_RECORDS, DELETE_TRIES_MAX, FLUSH_SECONDS_MAX,
};
use crate::query::Query;
use crate::record::{Column, ColumnSet, RecordId, RecordRef, json::ParsedRecord};
use crate::spool::Spool;

/// The resume position of a deletion: database index, next id, phase (records or dead letters),
/// snapshot end id, and the `now` that relative times refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteCursor {
    database: usize,
    /// The next id to examine.
    id: RecordId,
    /// The first id that had not been accepted when the deletion began.
    pub end: RecordId,
    in_dead_letters: bool,
    /// The time from which `now` and `1h` count back, in ns since the Unix epoch.
    pub now: i64,
}

impl DeleteCursor {
    /// Returns the start of a deletion.
    pub fn start(end: RecordId, now: i64) -> DeleteCursor {
        DeleteCursor { database: 0, id: 0, end, in_dead_letters: false, now }
    }

    fn parse(cursor: &str) -> Option<DeleteCursor> {
        let mut parts = cursor.split('-');
        let mut next = || parts.next()?.parse::<u64>().ok();
        let (database, id, end, in_dead_letters, now) = (next()?, next()?, next()?, next()?, next()?);
        let cursor = DeleteCursor {
            database: usize::try_from(database).ok()?,
            id,
            end: i64::try_from(end).ok()?.cast_unsigned(),
            in_dead_letters: in_dead_letters == 1,
            now: i64::try_from(now).ok()?,
        };
        (parts.next().is_none() && in_dead_letters < 2).then_some(cursor)
    }
}

/// A text is not a cursor of a deletion.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidCursor;

impl FromStr for DeleteCursor {
    type Err = InvalidCursor;

    fn from_str(cursor: &str) -> Result<DeleteCursor, InvalidCursor> {
        DeleteCursor::parse(cursor).ok_or(InvalidCursor)
    }
}

impl fmt::Display for DeleteCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeleteCursor { database, id, end, in_dead_letters, now } = *self;
        write!(formatter, "{database}-{id}-{end}-{}-{}", u8::from(in_dead_letters), now.max(0))
    }
}

/// Counts of what was found and deleted in one database.
#[derive(Debug, Default)]
pub struct DeleteCounts {
    /// The number of matches.
    pub matched: u64,
    /// The number of deleted records.
    pub deleted: u64,
    /// The number of matches by service.
    pub by_service: BTreeMap<String, u64>,
    /// Matches of services beyond the first [`DELETE_SERVICES_MAX`].
    pub of_others: u64,
}

impl DeleteCounts {
    fn count(&mut self, service: &str) {
        self.matched += 1;
        if let Some(count) = self.by_service.get_mut(service) {
            *count += 1;
        } else if self.by_service.len() < DELETE_SERVICES_MAX {
            self.by_service.insert(service.to_owned(), 1);
        } else {
            self.of_others += 1;
        }
    }
}

/// Why a deletion was stopped.
#[derive(Debug)]
pub enum DeletionError {
    /// A database cannot be read.
    Read(StoreError),
    /// A store failed to delete records.
    Store {
        /// The name of the store.
        store: String,
        /// The reason.
        error: StoreError,
        /// The number of records that were deleted before.
        deleted: u64,
    },
}

impl From<StoreError> for DeletionError {
    fn from(error: StoreError) -> DeletionError {
        DeletionError::Read(error)
    }
}

/// Waits until every database has all records below `end`, or, without `end`, all records that were
/// accepted before the call. Returns that bound: the first id that no database needs to have.
/// `None` if a database does not get that far in time.
pub async fn wait_until_stored(
    databases: &[(Arc<Progress>, Database)],
    spool: &Spool,
    end: Option<RecordId>,
) -> Option<RecordId> {
    let everywhere = async {
        if end.is_none() {
            spool.committed().await;
        }
        let end = end.unwrap_or_else(|| spool.durable_id());
        let wants: Vec<_> = databases.iter().map(|(progress, _)| progress.want(end)).collect();
        spool.wake_readers();
        for want in wants {
            want.await;
        }
        end
    };
    timeout(Duration::from_secs(FLUSH_SECONDS_MAX), everywhere).await.ok()
}

/// A deletion in progress.
pub struct Deletion<'a> {
    /// All databases, in the order of the stores.
    pub databases: &'a [(Arc<Progress>, Database)],
    /// The spool, which forgets the deleted records, too.
    pub spool: &'a Spool,
    /// Limits what is read at the same time.
    pub gate: &'a ReadGate,
    /// Selects the records.
    pub query: Query,
    /// The latest time of a record that may be deleted, in ns since the Unix epoch.
    pub time_max: i64,
    /// Whether matches are only counted.
    pub is_dry_run: bool,
    /// When the time of the request is over.
    pub deadline: Instant,
    /// Where the deletion continues.
    pub cursor: DeleteCursor,
    /// The counts of each database.
    pub counts: Vec<DeleteCounts>,
}

/// The matches of one slice.
#[derive(Default)]
struct SliceMatches {
    to_delete: RecordsToDelete,
    services: Vec<String>,
    /// The bytes of the texts of the matches, as far as they were fetched.
    bytes: usize,
}

impl MatchSink for SliceMatches {
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) -> bool {
        self.to_delete.push(id, record.timestamp);
        self.services.push(record.origin.service.to_owned());
        self.bytes += record.message.len() + record.attributes.len();
        self.to_delete.ids.len() < DELETE_SLICE_RECORDS && self.bytes < DELETE_SLICE_BYTES
    }
}

impl Deletion<'_> {
    /// Deletes until everything was searched or time runs out.
    pub async fn run(&mut self) -> Result<(), DeletionError> {
        self.counts.resize_with(self.databases.len(), DeleteCounts::default);
        while !self.is_done() && !self.is_late() {
            let (progress, database) = &self.databases[self.cursor.database];
            self.search_records(progress, database).await?;
            self.search_dead_letters(progress, database).await?;
            let is_searched = self.cursor.in_dead_letters && self.cursor.id == RecordId::MAX;
            if is_searched && self.finish(progress, database).await? {
                self.cursor = DeleteCursor {
                    database: self.cursor.database + 1,
                    id: 0,
                    in_dead_letters: false,
                    ..self.cursor
                };
            }
        }
        Ok(())
    }

    /// Returns true if every database was searched.
    pub fn is_done(&self) -> bool {
        self.cursor.database >= self.databases.len()
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Returns the columns to fetch. Of the texts of records to be deleted only the lengths are
    /// used.
    fn fields(&self) -> ColumnSet {
        let service = ColumnSet::of_column(Column::Service);
        let texts = ColumnSet::of_column(Column::Message).and(ColumnSet::ATTRIBUTES);
        if self.is_dry_run { service } else { service.and(texts) }
    }

    async fn search_records(
        &mut self,
        progress: &Progress,
        database: &Database,
    ) -> Result<(), DeletionError> {
        if self.cursor.in_dead_letters {
            return Ok(());
        }
        let search = Search::new(self.query.clone());
        let search = Search {
            ids: self.cursor.id.max(search.ids.start)..self.cursor.end.min(search.ids.end),
            time_max: self.time_max.min(search.time_max),
            descending: false,
            fields: self.fields(),
            ..search
        };
        let mut scan = Scan::new(self.gate, database, search);
        while !scan.is_done() && !self.is_late() && !scan.is_late() {
            let matches = scan.slice(SliceMatches::default()).await?;
            self.delete(progress, matches).await?;
            self.cursor.id = scan.search.ids.start;
        }
        if scan.is_done() {
            (self.cursor.in_dead_letters, self.cursor.id) = (true, 0);
        }
        Ok(())
    }

    /// Searches the records that the database had refused, its dead letters. There are few of them.
    async fn search_dead_letters(
        &mut self,
        progress: &Progress,
        database: &Database,
    ) -> Result<(), DeletionError> {
        while self.cursor.in_dead_letters && self.cursor.id < RecordId::MAX && !self.is_late() {
            let from = self.cursor.id.min(i64::MAX as u64);
            // A new reader each time: a deletion in between may take long, and outlast a
            // connection.
            let mut reader = database.reader(self.gate.threads);
            let letters = reader.dead_letters(from, DELETE_LETTERS).await?;
            let mut matches = SliceMatches::default();
            for (id, text) in &letters {
                let Ok(written) = ParsedRecord::read(text) else { continue };
                let record = written.record();
                let is_before = *id < self.cursor.end && record.timestamp <= self.time_max;
                if is_before && self.query.matches(*id, &record) {
                    matches.take(*id, &record);
                }
            }
            self.delete(progress, matches).await?;
            let is_last = letters.len() < DELETE_LETTERS;
            self.cursor.id =
                letters.last().filter(|_| !is_last).map_or(RecordId::MAX, |(id, _)| id.saturating_add(1));
        }
        Ok(())
    }

    /// Counts the matches, and deletes them unless this is a dry run.
    async fn delete(&mut self, progress: &Progress, matches: SliceMatches) -> Result<(), DeletionError> {
        let counts = &mut self.counts[self.cursor.database];
        for service in &matches.services {
            counts.count(service);
        }
        if self.is_dry_run || matches.to_delete.ids.is_empty() {
            return Ok(());
        }
        let to_delete = &matches.to_delete;
        let deleted = self.request(progress, || progress.delete(to_delete.clone())).await?;
        self.counts[self.cursor.database].deleted += deleted;
        Ok(())
    }

    /// Completes the deletion in a database. Returns false if time runs out.
    async fn finish(&self, progress: &Progress, database: &Database) -> Result<bool, DeletionError> {
        if self.is_dry_run {
            return Ok(true);
        }
        self.delete_unused_names(progress, database.reader(self.gate.threads)).await?;
        self.scrub(progress).await
    }

    /// Deletes the names that a database keeps of records that no longer exist.
    async fn delete_unused_names(
        &self,
        progress: &Progress,
        mut reader: AnyReader,
    ) -> Result<(), DeletionError> {
        if !reader.has_separate_names() {
            return Ok(());
        }
        let deadline = Instant::now() + Duration::from_secs(DELETE_NAMES_SECONDS_MAX);
        while let Some(permit) = self.gate.permit_until(deadline).await {
            match reader.unused_names(ReadCall { permit, deadline }).await? {
                NameSearchStep::Done => return Ok(()),
                NameSearchStep::Searching | NameSearchStep::Waiting if Instant::now() >= deadline => break,
                NameSearchStep::Searching => {}
                NameSearchStep::Waiting => sleep(Duration::from_millis(DELETE_RETRY_MILLISECONDS)).await,
                NameSearchStep::Found(names) => {
                    self.request(progress, || progress.delete_names(names.clone())).await?;
                }
            }
        }
        tracing::warn!(
            store = progress.name,
            "names that only deleted records had may remain in the database: the search for them takes too long"
        );
        Ok(())
    }

    /// Makes the deletion durable and erases the deleted records from the files. Returns false if
    /// time runs out before readers have released the files.
    async fn scrub(&self, progress: &Progress) -> Result<bool, DeletionError> {
        if let Err(error) = self.spool.forget() {
            tracing::warn!(%error, "an emptied spool segment that may hold deleted records could not be removed");
        }
        while self.request(progress, || progress.scrub()).await? == 0 {
            if self.is_late() {
                return Ok(false);
            }
            sleep(Duration::from_millis(DELETE_SCRUB_RETRY_MILLISECONDS)).await;
        }
        Ok(true)
    }

    /// Sends a request to the store, and retries a few times if the store cannot execute it at the
    /// moment.
    async fn request<F>(&self, progress: &Progress, request: impl Fn() -> F) -> Result<u64, DeletionError>
    where
        F: Future<Output = Option<Result<u64, StoreError>>>,
    {
        let mut tries = 1;
        let error = loop {
            match timeout(Duration::from_secs(FLUSH_SECONDS_MAX), request()).await {
                Ok(Some(Ok(count))) => return Ok(count),
                Ok(Some(Err(error))) if tries >= DELETE_TRIES_MAX => break error,
                Ok(Some(Err(_))) => {
                    tries += 1;
                    sleep(Duration::from_millis(DELETE_RETRY_MILLISECONDS)).await;
                }
                Ok(None) => break StoreError::new("the server is stopping"),
                Err(_) => {
                    break StoreError::new(
                        progress.last_error().unwrap_or("it did not respond in time".into()),
                    );
                }
            }
        };
        let deleted = self.counts.iter().map(|counts| counts.deleted).sum();
        Err(DeletionError::Store { store: progress.name.clone(), error, deleted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slice_is_bounded_by_records_and_bytes() {
        let slice = |message: &str| {
            let mut matches = SliceMatches::default();
            let record = RecordRef { message, ..RecordRef::default() };
            1 + (1..u64::MAX).take_while(|id| matches.take(*id, &record)).count()
        };
        assert_eq!(slice("small"), DELETE_SLICE_RECORDS);
        assert_eq!(slice(&"x".repeat(DELETE_SLICE_BYTES / 8)), 8);
    }

    #[test]
    fn cursor_round_trips_position() {
        for cursor in [
            DeleteCursor { database: 0, id: 0, end: 1, in_dead_letters: false, now: 0 },
            DeleteCursor { database: 3, id: RecordId::MAX, end: 17, in_dead_letters: true, now: i64::MAX },
        ] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        let (id, time) = ("1-2-9223372036854775808-0-5", "1-2-3-0-9223372036854775808");
        for cursor in ["", "1", "1-2-3-0", "1-2-3-2-5", "1-2-3-0-5-0", "a-2-3-0-5", "1--3-0-5", id, time] {
            assert_eq!(cursor.parse::<DeleteCursor>(), Err(InvalidCursor), "{cursor}");
        }
    }
}
