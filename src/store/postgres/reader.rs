//! The read half of the store.

use std::time::{Duration, Instant};

use super::search::{PostgresDatabase, PostgresReadConnection, ReadError};
use super::{histogram, statement};
use crate::limits::{
    POSTGRES_FOLD_RECORDS_MAX, POSTGRES_SLICE_GROWTH, POSTGRES_SLICE_IDS_MIN, POSTGRES_SLICE_RECORDS_MAX,
};
use crate::query;
use crate::record::{Column, RecordId, RecordRef};
use crate::store::reader::{DeliveredMatches, MatchSink, ReadCall, Reader, SliceEnd, StatementCall};
use crate::store::statement::{StatementError, StatementRows};
use crate::store::{Search, StoreError};

/// Reads records back from a PostgreSQL database.
pub struct PostgresReader {
    database: PostgresDatabase,
    /// Taken by a call, and returned by it unless it fails or is dropped.
    connection: Option<Box<PostgresReadConnection>>,
    /// The number of ids that the next slice examines.
    ids: u64,
    /// The first id that was not stored when the search began.
    end_of_search: Option<RecordId>,
}

impl PostgresReader {
    /// Creates a reader without connecting.
    pub fn new(database: &PostgresDatabase) -> PostgresReader {
        PostgresReader {
            database: database.clone(),
            connection: None,
            ids: POSTGRES_SLICE_IDS_MIN,
            end_of_search: None,
        }
    }

    async fn connection(&mut self) -> Result<Box<PostgresReadConnection>, StoreError> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Ok(Box::new(self.database.connect().await?)),
        }
    }

    /// Excludes records that were stored after the search began.
    async fn end_of_search(
        &mut self,
        connection: &mut PostgresReadConnection,
    ) -> Result<RecordId, StoreError> {
        match self.end_of_search {
            Some(end) => Ok(end),
            None => Ok(*self.end_of_search.insert(connection.position().await?)),
        }
    }
}

impl Reader for PostgresReader {
    async fn slice<S: MatchSink>(
        &mut self,
        search: &Search,
        call: ReadCall,
        mut sink: S,
    ) -> Result<(S, SliceEnd), StoreError> {
        let mut connection = self.connection().await?;
        let mut search = search.clone();
        search.ids.end = search.ids.end.min(self.end_of_search(&mut connection).await?);
        let records_max = match S::KEEPS_RECORDS {
            true => POSTGRES_SLICE_RECORDS_MAX,
            false => POSTGRES_FOLD_RECORDS_MAX,
        };
        let mut delivered = DeliveredMatches::to(&mut sink);
        let emit = |id, record: &RecordRef<'_>| delivered.take(id, record);
        let end = match connection.slice(&search, self.ids, records_max, time_left(&call), emit).await {
            Ok(rest) => SliceEnd { rest, is_late: false },
            // Matches delivered in time must not be found again.
            Err(ReadError::Late) => SliceEnd { rest: delivered.rest(&search), is_late: true },
            Err(ReadError::Store(error)) => return Err(error),
        };
        if !delivered.is_full {
            // The server reads only rows that its indexes point to, however many ids there are.
            self.ids = self.ids.saturating_mul(POSTGRES_SLICE_GROWTH);
        }
        self.connection = Some(connection);
        Ok((sink, end))
    }

    fn can_count_groups(&self, search: &Search) -> bool {
        histogram::can_count(search)
    }

    async fn count_groups(
        &mut self,
        search: &Search,
        column: Column,
        times: query::IntegerRange,
        call: ReadCall,
        emit: impl FnMut(&str, u64) + Send,
    ) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let counted = in_time(connection.count(search, column, times, time_left(&call), emit).await)?;
        self.connection = Some(connection);
        Ok(counted.is_some())
    }

    async fn times(
        &mut self,
        wants_earliest: bool,
        now: i64,
        call: ReadCall,
    ) -> Result<(Option<i64>, Option<i64>), StoreError> {
        let mut connection = self.connection().await?;
        let earliest = match wants_earliest {
            true => in_time(connection.earliest(time_left(&call)).await)?.flatten(),
            false => None,
        };
        let latest = in_time(connection.latest_after(now, time_left(&call)).await)?.flatten();
        self.connection = Some(connection);
        Ok((earliest, latest))
    }

    async fn dead_letters(
        &mut self,
        from: RecordId,
        count: usize,
    ) -> Result<Vec<(RecordId, String)>, StoreError> {
        let mut connection = self.connection().await?;
        let letters = connection.dead_letters(from, count).await?;
        self.connection = Some(connection);
        Ok(letters)
    }

    async fn statement(
        mut self,
        sql: &str,
        call: StatementCall,
        rows: StatementRows,
    ) -> Result<StatementRows, StatementError> {
        let connection = self.connection().await.map_err(StatementError::Store)?;
        statement::run(*connection, sql, call.duration_max, rows).await
    }

    fn reset_slice_size(&mut self) {
        self.ids = POSTGRES_SLICE_IDS_MIN;
    }
}

fn time_left(call: &ReadCall) -> Duration {
    call.deadline.saturating_duration_since(Instant::now())
}

/// Returns `None` if there was no time to determine the value.
fn in_time<T>(result: Result<T, ReadError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ReadError::Late) => Ok(None),
        Err(ReadError::Store(error)) => Err(error),
    }
}
