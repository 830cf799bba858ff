//! The databases that can be read: the one list of them for reading.

use std::fmt;
use std::path::PathBuf;

use super::Search;
use super::error::StoreError;
use super::postgres::PostgresDatabase;
use super::postgres::reader::PostgresReader;
use super::reader::{
    CountEnd, CountSink, MatchSink, NameSearchStep, ReadCall, ReadPressure, Reader, SliceEnd, StatementCall,
};
use super::sqlite::reader::{SqliteReader, read_pressure};
use super::statement::{StatementError, StatementRows};
use crate::blocking::Threads;
use crate::query;
use crate::record::{Column, RecordId};

/// A database from which records can be read back.
#[derive(Clone, Debug)]
pub enum Database {
    /// The file of an SQLite database.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(PostgresDatabase),
}

impl Database {
    /// Returns a reader, which connects at its first call.
    pub fn reader(&self, threads: Threads) -> AnyReader {
        match self {
            Database::Sqlite(path) => AnyReader::Sqlite(SqliteReader::new(path, threads)),
            Database::Postgres(database) => AnyReader::Postgres(PostgresReader::new(database)),
        }
    }

    /// Returns how strongly reading delays the work of the database.
    pub fn read_pressure(&self) -> ReadPressure {
        match self {
            Database::Sqlite(path) => read_pressure(path),
            Database::Postgres(_) => ReadPressure::Low,
        }
    }
}

/// A reader of any database.
pub enum AnyReader {
    /// Reads an SQLite database.
    Sqlite(SqliteReader),
    /// Reads a PostgreSQL database.
    Postgres(PostgresReader),
}

/// Makes the same call for a reader of any kind.
macro_rules! with_reader {
    ($any:expr, $reader:ident => $call:expr) => {
        match $any {
            AnyReader::Sqlite($reader) => $call,
            AnyReader::Postgres($reader) => $call,
        }
    };
}

impl Reader for AnyReader {
    async fn slice<S: MatchSink>(
        &mut self,
        search: &Search,
        call: ReadCall,
        sink: S,
    ) -> Result<(S, SliceEnd), StoreError> {
        with_reader!(self, reader => reader.slice(search, call, sink).await)
    }

    async fn stored_counts<S: CountSink>(
        &mut self,
        search: &Search,
        call: ReadCall,
        sink: S,
    ) -> Result<(S, CountEnd), StoreError> {
        with_reader!(self, reader => reader.stored_counts(search, call, sink).await)
    }

    fn can_count_groups(&self, search: &Search) -> bool {
        with_reader!(self, reader => reader.can_count_groups(search))
    }

    async fn count_groups(
        &mut self,
        search: &Search,
        column: Column,
        times: query::IntegerRange,
        call: ReadCall,
        emit: impl FnMut(&str, u64) + Send,
    ) -> Result<bool, StoreError> {
        with_reader!(self, reader => reader.count_groups(search, column, times, call, emit).await)
    }

    async fn times(
        &mut self,
        wants_earliest: bool,
        now: i64,
        call: ReadCall,
    ) -> Result<(Option<i64>, Option<i64>), StoreError> {
        with_reader!(self, reader => reader.times(wants_earliest, now, call).await)
    }

    async fn dead_letters(
        &mut self,
        from: RecordId,
        count: usize,
    ) -> Result<Vec<(RecordId, String)>, StoreError> {
        with_reader!(self, reader => reader.dead_letters(from, count).await)
    }

    fn has_separate_names(&self) -> bool {
        with_reader!(self, reader => reader.has_separate_names())
    }

    async fn unused_names(&mut self, call: ReadCall) -> Result<NameSearchStep, StoreError> {
        with_reader!(self, reader => reader.unused_names(call).await)
    }

    async fn statement(
        self,
        sql: &str,
        call: StatementCall,
        rows: StatementRows,
    ) -> Result<StatementRows, StatementError> {
        with_reader!(self, reader => reader.statement(sql, call, rows).await)
    }

    fn reset_slice_size(&mut self) {
        with_reader!(self, reader => reader.reset_slice_size());
    }
}

impl fmt::Debug for AnyReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AnyReader")
    }
}
