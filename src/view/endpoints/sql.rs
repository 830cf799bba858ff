//! `POST /api/v1/sql`: one statement that reads, with the body
//! `{"sql": "select ..", "limit": 100}`.
//!
//! The response is `{"columns":[..],"rows":[[..]..],"truncated":false}`. The statement is in the
//! dialect of the database, runs on a connection that can only read, and has limits on its time,
//! its memory and its temporary files. The response is produced as a whole, because a statement
//! cannot be paused for a client that reads slowly. The memory of all such responses together is
//! limited, too.

use std::sync::Arc;

use hyper::StatusCode;
use tokio::time::timeout_at;

use crate::net::http::{ConnectionAbort, retry_later};
use crate::store::reader::{Reader, StatementCall};
use crate::store::statement::{StatementError, StatementRows};
use crate::view::search::response::ResponsePiece;
use crate::view::{ApiResult, Refusal, View, refuse};

/// The body of a request.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Statements {
    sql: String,
    limit: Option<usize>,
}

impl View {
    /// Responds with the rows of the statement in the body of the request.
    pub async fn sql(&self, body: &[u8], abort: &ConnectionAbort) -> ApiResult {
        let database = self.database()?;
        let Statements { sql, limit } = serde_json::from_slice(body).map_err(|error| {
            bad(&error.to_string(), "the body is JSON: {\"sql\": \"select ..\", \"limit\": 100}")
        })?;
        let open = self.open(abort)?;
        let rows_max = limit.unwrap_or(usize::MAX).min(self.query_rows_max);
        let deadline = self.gate.deadline();
        let permits = async {
            let heavy = Arc::clone(&self.queries.heavy).acquire_owned();
            let heavy = timeout_at(deadline.into(), heavy).await.ok()?.ok()?;
            Some((heavy, self.gate.permit_until(deadline).await?))
        };
        let Some(permits) = permits.await else {
            return Err(StatementError::NotStarted(
                "other queries were running until the time limit of this statement was reached",
            )
            .into());
        };
        let call = StatementCall {
            permit: Box::new(permits),
            duration_max: self.gate.duration_max,
            must_end: self.gate.statements_must_end(),
        };
        let rows = StatementRows::new(rows_max, &self.queries.sql_answers);
        let rows = database.reader(self.gate.threads).statement(&sql, call, rows).await?.finish()?;
        let pieces = rows.into_iter().map(|piece| ResponsePiece { bytes: piece.bytes, share: piece.permit });
        // The client may take as long to read the response as if the statement had used all its
        // time.
        Ok(open.respond(pieces.collect(), self.gate.deadline()))
    }
}

impl From<StatementError> for Refusal {
    fn from(error: StatementError) -> Refusal {
        match error {
            StatementError::Late(duration_max) => refuse(
                StatusCode::REQUEST_TIMEOUT,
                "the statement was stopped",
                &format!("it ran for longer than {} ms", duration_max.as_millis()),
                "narrow it (ids and times are the fastest to narrow), or raise query_seconds_max",
            ),
            StatementError::Invalid { detail, hint } => bad(&detail, hint),
            StatementError::TooLarge { detail, hint } => {
                refuse(StatusCode::BAD_REQUEST, "the statement takes too much", &detail, hint)
            }
            StatementError::Forbidden { title, detail, hint } => {
                refuse(StatusCode::FORBIDDEN, title, detail, hint)
            }
            StatementError::NotStarted(detail) => {
                retry_later("the statement was not started", detail, "try again", 1).into()
            }
            StatementError::Stopped(detail) => {
                retry_later("the statement was stopped", &detail, "try again", 1).into()
            }
            StatementError::Store(error) => error.into(),
        }
    }
}

fn bad(detail: &str, hint: &str) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, "invalid statement", detail, hint)
}
