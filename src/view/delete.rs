//! `POST /api/v1/delete`: deletes the matching records from every database among the stores.
//!
//! The body is `{"query":"..","before":"..","dry_run":true,"all":false,"cursor":".."}`. Its content
//! type must be JSON, which no page of another site can send. Only records whose time is before
//! `before`, and which were accepted before the call, are deleted.
//!
//! A cursor also contains the time that relative times refer to, and the id that came next:
//! `cursor` of a response leads back to the beginning of that request. Therefore a deletion that a
//! person confirms deletes exactly what was counted, however long the confirmation took: not
//! records that arrived later, and not records that became old enough later.
//!
//! Each database is searched slice by slice, as for any query. The matches are passed to the
//! store's own connection, which deletes them between two chunks. A request takes at most
//! `query_seconds_max`; if that is not enough, `partial` is true and `next_cursor` contains where
//! to continue. The dead letters of a database are searched after its records.
//!
//! Log files cannot be rewritten: `not_searched` lists such stores.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::parameters::not_understood;
use super::scan::{Scan, Sink};
use super::{Refusal, View, bad};
use crate::blocking::Threads;
use crate::limits::{
    DELETE_LETTERS, DELETE_NAMES_SECONDS_MAX, DELETE_SERVICES_MAX, DELETE_SLICE_BYTES, DELETE_SLICE_RECORDS,
    DELETE_TRIES_MAX, FLUSH_SECONDS_MAX, QUERY_SLICE_ROWS_MAX, SQLITE_BLOCK_ROWS,
};
use crate::net::http::{self, Body, problem};
use crate::query::{self, Query};
use crate::record::Column;
use crate::record::ColumnSet;
use crate::record::{RecordId, RecordRef, json::Written, time};
use crate::store::sqlite::read::{OriginIds, SqliteReader};
use crate::store::{self, Database, Names, Progress, RecordsToDelete, Search, StoreError};

/// The body of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteRequest {
    query: String,
    before: String,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    all: bool,
    cursor: Option<String>,
}

fn refuse(status: StatusCode, title: &str, detail: &str, hint: &str) -> Refusal {
    Box::new(problem(status, title, detail, Some(hint)))
}

/// The resume position of a deletion: database index, next id, phase (records or dead letters),
/// snapshot end id, and the `now` that relative times refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DeleteCursor {
    database: usize,
    /// The next id to examine.
    id: RecordId,
    /// The first id that had not been accepted when the deletion began.
    end: RecordId,
    in_dead_letters: bool,
    /// The time from which `now` and `1h` count back, in ns since the Unix epoch.
    now: i64,
}

impl DeleteCursor {
    fn parse(cursor: &str) -> Option<DeleteCursor> {
        let mut parts = cursor.split('-');
        let mut next = || parts.next()?.parse::<u64>().ok();
        let (database, id, end, in_dead_letters, now) = (next()?, next()?, next()?, next()?, next()?);
        let place = DeleteCursor {
            database: usize::try_from(database).ok()?,
            id,
            end: i64::try_from(end).ok()?.cast_unsigned(),
            in_dead_letters: in_dead_letters == 1,
            now: i64::try_from(now).ok()?,
        };
        (parts.next().is_none() && in_dead_letters < 2).then_some(place)
    }

    fn cursor(&self) -> String {
        let DeleteCursor { database, id, end, in_dead_letters, now } = *self;
        format!("{database}-{id}-{end}-{}-{}", u8::from(in_dead_letters), now.max(0))
    }
}

/// Counts of what was found and deleted in one database.
#[derive(Default)]
struct DeleteCounts {
    matched: u64,
    deleted: u64,
    by_service: BTreeMap<String, u64>,
    /// Matches of services beyond the first `DELETE_SERVICES_MAX`.
    of_others: u64,
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

impl View {
    /// Deletes the matching records, or counts what would be deleted.
    pub async fn delete(&self, headers: &HeaderMap, body: &[u8], is_on_machine: bool) -> Response<Body> {
        self.try_delete(headers, body, is_on_machine).await.unwrap_or_else(|refusal| *refusal)
    }

    async fn try_delete(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        is_on_machine: bool,
    ) -> Result<Response<Body>, Refusal> {
        self.check_allowed(headers, is_on_machine)?;
        self.database()?;
        let order = read_order(body)?;
        let deadline = Instant::now() + self.query_duration_max;
        let known = order.cursor.as_deref().map(read_cursor).transpose()?;
        let now = known.map_or_else(time::now, |place| place.now);
        let (query, time_max) = (parse_query(&order, now)?, parse_before(&order.before, now)?);
        // Waits with a cursor as well: a database may have returned to an older state since then,
        // and may be receiving its former records again.
        let end = self.stored(known.map(|place| place.end)).await?;
        let place = known.unwrap_or(DeleteCursor { database: 0, id: 0, end, in_dead_letters: false, now });
        let mut deletion = Deletion {
            view: self,
            query,
            time_max,
            is_dry: order.dry_run,
            deadline,
            beginning: place,
            place,
            tallies: Vec::new(),
        };
        deletion.tallies.resize_with(self.databases.len(), DeleteCounts::default);
        deletion.run().await?;
        Ok(http::json(StatusCode::OK, deletion.answer()))
    }

    fn check_allowed(&self, headers: &HeaderMap, is_on_machine: bool) -> Result<(), Refusal> {
        if !self.may_delete {
            return Err(refuse(
                StatusCode::FORBIDDEN,
                "deletion is disabled",
                "the server's option `delete` is `false`",
                "set it to `true` and restart the server",
            ));
        }
        if !is_on_machine {
            return Err(refuse(
                StatusCode::FORBIDDEN,
                "deletion is allowed only from the server's own machine",
                "the request came over the network",
                "log in there and send the request to 127.0.0.1, or use an SSH tunnel",
            ));
        }
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if content_type
            .split(';')
            .next()
            .is_none_or(|kind| !kind.trim().eq_ignore_ascii_case("application/json"))
        {
            return Err(refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be declared as JSON",
                &format!("the content type is `{content_type}`"),
                "send the header `Content-Type: application/json`, which no form of another site can",
            ));
        }
        Ok(())
    }

    /// Waits until every database has all records below `end`, or, without `end`, all records that
    /// were accepted before the call. Returns that bound: the first id that no database needs to
    /// have.
    async fn stored(&self, end: Option<RecordId>) -> Result<RecordId, Refusal> {
        if end.is_some_and(|end| end > self.spool.durable_id()) {
            return Err(no_such_cursor());
        }
        let everywhere = async {
            if end.is_none() {
                self.spool.committed().await;
            }
            let end = end.unwrap_or_else(|| self.spool.durable_id());
            let wants: Vec<_> = self.databases.iter().map(|(progress, _)| progress.want(end)).collect();
            self.spool.wake_readers();
            for want in wants {
                want.await;
            }
            end
        };
        timeout(Duration::from_secs(FLUSH_SECONDS_MAX), everywhere).await.map_err(|_| {
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "a database does not have all records yet",
                "a record that is on its way to one cannot be deleted from it",
                "/api/v1/status tells what is in the way",
            )
        })
    }
}

fn read_order(body: &[u8]) -> Result<DeleteRequest, Refusal> {
    let form = "{\"query\": \"..\", \"before\": \"2026-11-21\", \"dry_run\": true}";
    let order: DeleteRequest = serde_json::from_slice(body).map_err(|error| bad(&error.to_string(), form))?;
    if order.query.trim().is_empty() && !order.all {
        return Err(bad(
            "the query is empty, and so finds every record",
            "give a query that selects the records to delete, or add \"all\": true",
        ));
    }
    Ok(order)
}

fn read_cursor(cursor: &str) -> Result<DeleteCursor, Refusal> {
    DeleteCursor::parse(cursor).ok_or_else(no_such_cursor)
}

fn no_such_cursor() -> Refusal {
    bad("the cursor is not one of this server", "send `next_cursor` back unchanged")
}

fn parse_query(order: &DeleteRequest, now: i64) -> Result<Query, Refusal> {
    Query::parse(&order.query, now).map_err(|error| not_understood(&order.query, &error))
}

/// Returns the last time whose records may be deleted.
fn parse_before(before: &str, now: i64) -> Result<i64, Refusal> {
    let before = query::time::parse(before, now)
        .map_err(|error| bad(&format!("before: {error}"), query::time::FORMS))?;
    Ok(before.saturating_sub(1))
}

/// A deletion in progress.
struct Deletion<'a> {
    view: &'a View,
    query: Query,
    time_max: i64,
    is_dry: bool,
    deadline: Instant,
    /// The position at which this request began.
    beginning: DeleteCursor,
    place: DeleteCursor,
    tallies: Vec<DeleteCounts>,
}

/// The matches of one slice.
#[derive(Default)]
struct Found {
    to_delete: RecordsToDelete,
    services: Vec<String>,
    /// The bytes of the texts of the matches, as far as they were fetched.
    bytes: usize,
}

impl Sink for Found {
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) -> bool {
        self.to_delete.push(id, record.timestamp);
        self.services.push(record.origin.service.to_owned());
        self.bytes += record.message.len() + record.attributes.len();
        self.to_delete.ids.len() < DELETE_SLICE_RECORDS && self.bytes < DELETE_SLICE_BYTES
    }
}

impl Deletion<'_> {
    /// Returns the columns to fetch. Of the texts of records to be deleted only the lengths are
    /// used.
    fn fields(&self) -> ColumnSet {
        let service = ColumnSet::of_column(Column::Service);
        let texts = ColumnSet::of_column(Column::Message).and(ColumnSet::ATTRIBUTES);
        if self.is_dry { service } else { service.and(texts) }
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn is_done(&self) -> bool {
        self.place.database >= self.view.databases.len()
    }

    async fn run(&mut self) -> Result<(), Refusal> {
        while !self.is_done() && !self.is_late() {
            let (progress, database) = self.view.databases[self.place.database].clone();
            self.search(&progress, &database).await?;
            self.search_dead_letters(&progress, &database).await?;
            let is_searched = self.place.in_dead_letters && self.place.id == RecordId::MAX;
            if is_searched && self.finish(&progress, &database).await? {
                self.place = DeleteCursor {
                    database: self.place.database + 1,
                    id: 0,
                    in_dead_letters: false,
                    ..self.place
                };
            }
        }
        Ok(())
    }

    async fn search(&mut self, progress: &Progress, database: &Database) -> Result<(), Refusal> {
        if self.place.in_dead_letters {
            return Ok(());
        }
        let (first, last) = self.query.id_bounds();
        let (lower, upper) = self.query.time_bounds();
        let end = self.place.end.min(last.map_or(u64::MAX, |last| last.saturating_add(1)));
        let search = Search {
            query: self.query.clone(),
            ids: self.place.id.max(first.unwrap_or(0))..end,
            time_min: lower.unwrap_or(i64::MIN),
            time_max: self.time_max.min(upper.unwrap_or(i64::MAX)),
            descending: false,
            fields: self.fields(),
        };
        let mut scan = Scan::over(self.view, database.clone(), search);
        while !scan.is_done() && !self.is_late() && !scan.is_late() {
            let found;
            (scan, found) = scan.slice(Found::default()).await?;
            self.delete(progress, found).await?;
            self.place.id = scan.search.ids.start;
        }
        if scan.is_done() {
            (self.place.in_dead_letters, self.place.id) = (true, 0);
        }
        Ok(())
    }

    /// Searches the records that the database had refused, its dead letters. There are few of them.
    async fn search_dead_letters(&mut self, progress: &Progress, database: &Database) -> Result<(), Refusal> {
        while self.place.in_dead_letters && self.place.id < RecordId::MAX && !self.is_late() {
            let letters =
                self.letters(database).await.map_err(|error| Box::new(super::store_problem(&error)))?;
            let mut found = Found::default();
            for (id, text) in &letters {
                let Ok(written) = Written::read(text) else { continue };
                let record = written.record();
                let is_before = *id < self.place.end && record.timestamp <= self.time_max;
                if is_before && self.query.matches(*id, &record) {
                    found.take(*id, &record);
                }
            }
            self.delete(progress, found).await?;
            let is_last = letters.len() < DELETE_LETTERS;
            self.place.id =
                letters.last().filter(|_| !is_last).map_or(RecordId::MAX, |(id, _)| id.saturating_add(1));
        }
        Ok(())
    }

    async fn letters(&self, database: &Database) -> Result<Vec<(RecordId, String)>, StoreError> {
        let from = self.place.id.min(i64::MAX as u64);
        match database {
            Database::Sqlite(path) => {
                let path = path.clone();
                let work = move || {
                    let reader = SqliteReader::open(&path);
                    let letters = reader.and_then(|reader| reader.dead_letters(from, DELETE_LETTERS));
                    letters.map_err(|error| store::sqlite::describe(&path, &error))
                };
                let ended = || Err(StoreError::new("the thread of the deletion has ended"));
                self.view.threads.call(work).await.unwrap_or_else(ended)
            }
            Database::Postgres(database) => database.reader().await?.dead_letters(from, DELETE_LETTERS).await,
        }
    }

    /// Counts the matches, and deletes them unless this is a dry run.
    async fn delete(&mut self, progress: &Progress, found: Found) -> Result<(), Refusal> {
        let tally = &mut self.tallies[self.place.database];
        for service in &found.services {
            tally.count(service);
        }
        if self.is_dry || found.to_delete.ids.is_empty() {
            return Ok(());
        }
        let to_delete = &found.to_delete;
        let deleted = self.ask(progress, || progress.delete(to_delete.clone())).await?;
        self.tallies[self.place.database].deleted += deleted;
        Ok(())
    }

    /// Sends a request to the store, and retries a few times if the store cannot execute it at the
    /// moment.
    async fn ask<F>(&self, progress: &Progress, request: impl Fn() -> F) -> Result<u64, Refusal>
    where
        F: Future<Output = Option<Result<u64, StoreError>>>,
    {
        let mut tries = 1;
        loop {
            let error = match timeout(Duration::from_secs(FLUSH_SECONDS_MAX), request()).await {
                Ok(Some(Ok(count))) => return Ok(count),
                Ok(Some(Err(error))) if tries >= DELETE_TRIES_MAX => error,
                Ok(Some(Err(_))) => {
                    tries += 1;
                    sleep(Duration::from_secs(1)).await;
                    continue;
                }
                Ok(None) => StoreError::new("the server is stopping"),
                Err(_) => StoreError::new(progress.last_error().unwrap_or("it does not answer".into())),
            };
            return Err(self.stopped(progress, &error));
        }
    }

    /// Completes the deletion in a database. Returns false if time runs out.
    async fn finish(&self, progress: &Progress, database: &Database) -> Result<bool, Refusal> {
        if self.is_dry {
            return Ok(true);
        }
        self.delete_names(progress, database).await?;
        self.scrub(progress).await
    }

    /// Deletes the names that a SQLite database keeps of records that no longer exist. This search
    /// covers all records, but in most databases the latest records use nearly all names.
    async fn delete_names(&self, progress: &Progress, database: &Database) -> Result<(), Refusal> {
        let Database::Sqlite(path) = database else { return Ok(()) };
        let limit = Instant::now() + Duration::from_secs(DELETE_NAMES_SECONDS_MAX);
        let (mut names, mut first) = (None, i64::MIN);
        loop {
            let (path, known) = (path.clone(), names.take());
            let rows = match self.view.threads {
                Threads::One => SQLITE_BLOCK_ROWS,
                Threads::Many(_) => QUERY_SLICE_ROWS_MAX,
            };
            let permit = Arc::clone(&self.view.queries.running).acquire_owned().await;
            let work = move || {
                let _permit = permit;
                unused_names(&path, known, first, rows)
                    .map_err(|error| store::sqlite::describe(&path, &error))
            };
            let ended = || Err(StoreError::new("the thread of the deletion has ended"));
            let found = self.view.threads.call(work).await.unwrap_or_else(ended);
            let found = found.map_err(|error| Box::new(super::store_problem(&error)))?;
            let Some((reader, left, ids)) = found else { return Ok(()) };
            let is_looked_through = left.ids.is_empty() || ids.is_empty();
            if is_looked_through {
                drop(reader);
                self.delete_unused(progress, &left).await?;
                first = left.ids.end();
            } else {
                names = Some((reader, left, ids));
            }
            if names.is_some() && Instant::now() >= limit {
                tracing::warn!(
                    store = progress.name,
                    "names of deleted records may still stand in the table `origin`: it takes too long to look"
                );
                return Ok(());
            }
        }
    }

    /// Requests the deletion of unused names from the store, a limited number at a time.
    async fn delete_unused(&self, progress: &Progress, unused: &Unused) -> Result<(), Refusal> {
        let mut origins = unused.ids.iter();
        loop {
            let ids: Vec<i64> = origins.by_ref().take(DELETE_SLICE_RECORDS).collect();
            if ids.is_empty() {
                return Ok(());
            }
            let names = Names { ids, end: unused.end };
            self.ask(progress, || progress.delete_names(names.clone())).await?;
        }
    }

    /// Makes the deletion durable and erases the deleted records from the files. Returns false if
    /// time runs out before readers have released the files.
    async fn scrub(&self, progress: &Progress) -> Result<bool, Refusal> {
        if let Err(error) = self.view.spool.forget() {
            tracing::warn!(%error, "an emptied spool segment that may hold deleted records could not be removed");
        }
        while self.ask(progress, || progress.scrub()).await? == 0 {
            if self.is_late() {
                return Ok(false);
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(true)
    }

    fn stopped(&self, progress: &Progress, error: &StoreError) -> Refusal {
        let deleted: u64 = self.tallies.iter().map(|tally| tally.deleted).sum();
        refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "the deletion was stopped",
            &format!("the store {}: {}; {deleted} records were deleted before", progress.name, error.what),
            error.hint.as_deref().unwrap_or("ask for it again: it goes on with what is left"),
        )
    }

    /// Returns the response: the counts of the first database, which is the one that queries read,
    /// and the number of deleted records of each database.
    fn answer(&self) -> Bytes {
        let first = &self.tallies[0];
        let mut services: Vec<_> = first.by_service.iter().collect();
        services.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
        let service = |(service, count): &(&String, &u64)| json!({ "service": service, "count": count });
        let databases = self.view.databases.iter().zip(&self.tallies).map(|((progress, _), tally)| {
            json!({ "name": progress.name, "matched": tally.matched, "deleted": tally.deleted })
        });
        let is_searched = |name: &str| self.view.databases.iter().any(|(progress, _)| progress.name == name);
        let others = self.view.stores.iter().filter(|store| !is_searched(&store.name));
        json!({
            "matched": first.matched,
            "deleted": first.deleted,
            "by_service": services.iter().map(service).collect::<Vec<_>>(),
            "by_other_services": first.of_others,
            "stores": databases.collect::<Vec<_>>(),
            "not_searched": others.map(|store| store.name.as_str()).collect::<Vec<_>>(),
            "dry_run": self.is_dry,
            "partial": !self.is_done(),
            "cursor": self.beginning.cursor(),
            "next_cursor": (!self.is_done()).then(|| self.place.cursor()),
        })
        .to_string()
        .into()
    }
}

/// Origins that may no longer have any record.
struct Unused {
    ids: OriginIds,
    /// The first id that is not examined.
    end: RecordId,
}

/// A search for unused origins in progress, and the ids that remain to be examined.
type Looking = (SqliteReader, Unused, Range<RecordId>);

/// Examines the next records, for the origins of the search in progress or for origins with ids
/// from `first` on. Returns `None` if there are no such origins.
fn unused_names(
    path: &Path,
    looking: Option<Looking>,
    first: i64,
    rows: u64,
) -> rusqlite::Result<Option<Looking>> {
    let (reader, mut left, ids) = match looking {
        Some(looking) => looking,
        None => {
            let reader = SqliteReader::open(path)?;
            // The origins are read before the position, so that origins created later are left
            // alone.
            let Some(ids) = reader.origins(first)? else { return Ok(None) };
            let end = reader.position()?;
            (reader, Unused { ids, end }, 0..end)
        }
    };
    let rest = reader.remove_used(&ids, rows, &mut left.ids)?;
    Ok(Some((reader, left, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slice_is_bounded_by_records_and_bytes() {
        let slice = |message: &str| {
            let mut found = Found::default();
            let record = RecordRef { message, ..RecordRef::default() };
            1 + (1..u64::MAX).take_while(|id| found.take(*id, &record)).count()
        };
        assert_eq!(slice("small"), DELETE_SLICE_RECORDS);
        assert_eq!(slice(&"x".repeat(DELETE_SLICE_BYTES / 8)), 8);
    }

    #[test]
    fn cursor_round_trips_place() {
        for place in [
            DeleteCursor { database: 0, id: 0, end: 1, in_dead_letters: false, now: 0 },
            DeleteCursor { database: 3, id: RecordId::MAX, end: 17, in_dead_letters: true, now: i64::MAX },
        ] {
            assert_eq!(DeleteCursor::parse(&place.cursor()), Some(place));
        }
        let (id, time) = ("1-2-9223372036854775808-0-5", "1-2-3-0-9223372036854775808");
        for cursor in ["", "1", "1-2-3-0", "1-2-3-2-5", "1-2-3-0-5-0", "a-2-3-0-5", "1--3-0-5", id, time] {
            assert_eq!(DeleteCursor::parse(cursor), None, "{cursor}");
        }
    }
}
