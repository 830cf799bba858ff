//! Runs statements that users write themselves, and that can only read.
//!
//! A cursor is declared for each statement, in a read-only transaction: PostgreSQL declares cursors
//! only for queries. A superuser's functions can do more than a transaction restricts (write files,
//! run programs), so statements of a superuser are rejected.

use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Column, Error, SimpleQueryMessage, SimpleQueryRow};

use super::fault::Fault;
use super::read::PostgresReader;
use super::session::Session;
use crate::limits::{POSTGRES_FETCH_ROWS, POSTGRES_SILENCE_SECONDS_MAX};
use crate::store::StoreError;

/// Receives the result of a statement.
pub trait Table: Send {
    /// Receives the columns, before any row.
    fn begin(&mut self, columns: &[Column]);

    /// Receives a row. Returns `false` if no more rows are wanted.
    fn take(&mut self, row: &SimpleQueryRow) -> bool;
}

/// The reason why a statement returns no more rows.
#[derive(Debug)]
pub enum StatementError {
    /// Its time limit has passed.
    Late,
    /// The statement is invalid. Contains the reason.
    Refused(String),
    /// The role could do more than read.
    Superuser,
    /// A row has more bytes than [`crate::limits::POSTGRES_ROW_BYTES_MAX`].
    LongRow,
    /// The database cannot be read.
    Store(StoreError),
}

impl PostgresReader {
    /// Runs a statement. The reader cannot be used after that.
    pub async fn statement(
        mut self,
        sql: &str,
        time_max: Duration,
        table: &mut impl Table,
    ) -> Result<(), StatementError> {
        if self.is_superuser().await.map_err(|fault| StatementError::Store(self.explain(&fault)))? {
            return Err(StatementError::Superuser);
        }
        let fault = match timeout(time_max, self.run(sql, time_max, table)).await {
            Err(_) => return Err(StatementError::Late),
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => return Err(StatementError::Refused("there is no parameter $1".into())),
            Ok(Err(fault)) => fault,
        };
        Err(match &fault {
            _ if fault.code() == Some(&SqlState::QUERY_CANCELED) => StatementError::Late,
            _ if self.activity().is_exhausted() => StatementError::LongRow,
            Fault::Database(error) if fault.is_refusal() => StatementError::Refused(refusal(error)),
            _ => StatementError::Store(self.explain(&fault)),
        })
    }

    async fn is_superuser(&mut self) -> Result<bool, Fault> {
        let Session { client, line } = self.session();
        let sql = "SELECT current_setting('is_superuser') = 'on'";
        line.drive(async { client.query_one(sql, &[]).await?.try_get(0) }).await
    }

    async fn run(&mut self, sql: &str, time_max: Duration, table: &mut impl Table) -> Result<bool, Fault> {
        let activity = self.activity();
        let Session { client, line } = self.session();
        // The cursor has a snapshot, and a transaction with a snapshot can no longer be made
        // writable.
        let start = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", time_max.as_millis());
        let declare = format!("DECLARE rows NO SCROLL CURSOR FOR {sql}");
        let fetch = format!("FETCH {POSTGRES_FETCH_ROWS} FROM rows");
        let work = async {
            client.batch_execute(&start).await?;
            let declare = client.prepare(&declare).await?;
            if !declare.params().is_empty() {
                return Ok(false);
            }
            client.execute(&declare, &[]).await?;
            table.begin(client.prepare(&fetch).await?.columns());
            loop {
                activity.allow_row();
                let mut messages = pin!(client.simple_query_raw(&fetch).await?);
                let mut rows = 0;
                while let Some(message) = messages.try_next().await? {
                    activity.allow_row();
                    let SimpleQueryMessage::Row(row) = message else { continue };
                    rows += 1;
                    if !table.take(&row) {
                        return Ok(true);
                    }
                }
                if rows < POSTGRES_FETCH_ROWS {
                    return Ok(true);
                }
            }
        };
        line.drive_within(time_max.as_secs() + POSTGRES_SILENCE_SECONDS_MAX, work).await
    }
}

fn refusal(error: &Error) -> String {
    let Some(refusal) = error.as_db_error() else { return error.to_string() };
    let detail = refusal.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{}{detail}", refusal.message())
}
