//! Statements that people write themselves, and that can do nothing but read.
//!
//! A cursor is declared for each, in a transaction that can only read: PostgreSQL declares cursors for nothing but queries. What a
//! superuser's functions can do goes beyond any transaction (write files, run programs), so a superuser's are refused.

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

/// Takes what a statement gives.
pub trait Table: Send {
    /// Its columns, before any row.
    fn begin(&mut self, columns: &[Column]);

    /// A row; `false` when it is enough.
    fn take(&mut self, row: &SimpleQueryRow) -> bool;
}

/// Why a statement gives nothing more.
#[derive(Debug)]
pub enum StatementError {
    /// Its time is over.
    Late,
    /// What is wrong with it.
    Refused(String),
    /// The role could do more than read.
    Superuser,
    /// A row has more bytes than [`crate::limits::POSTGRES_ROW_BYTES_MAX`].
    LongRow,
    /// The database cannot be read.
    Store(StoreError),
}

impl PostgresReader {
    /// Runs a statement. The reader is of no use after that.
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
        // The cursor has a snapshot, and a transaction with one can no longer be made one that writes.
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
