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
//! A request takes at most `query_seconds_max`; if that is not enough, `partial` is true and
//! `next_cursor` contains where to continue.
//!
//! Log files cannot be rewritten: `not_searched` lists such stores.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde_json::json;

use crate::net::http;
use crate::query::{self, Query};
use crate::record::{RecordId, time};
use crate::store::deletion::{DeleteCursor, Deletion, DeletionError, wait_until_stored};
use crate::view::search::parameters::not_understood;
use crate::view::{ApiResult, Refusal, View, bad, refuse};

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

impl View {
    /// Deletes the matching records, or counts what would be deleted.
    pub async fn delete(&self, headers: &HeaderMap, body: &[u8], is_on_machine: bool) -> ApiResult {
        self.check_allowed(headers, is_on_machine)?;
        self.database()?;
        let request = read_request(body)?;
        let deadline = self.gate.deadline();
        let cursor: Option<DeleteCursor> =
            request.cursor.as_deref().map(str::parse).transpose().map_err(|_| no_such_cursor())?;
        let now = cursor.map_or_else(time::now, |cursor| cursor.now);
        let (query, time_max) = (parse_query(&request, now)?, parse_before(&request.before, now)?);
        // Waits with a cursor as well: a database may have returned to an older state since then,
        // and may be receiving its former records again.
        let end = self.wait_until_stored(cursor.map(|cursor| cursor.end)).await?;
        let start = cursor.unwrap_or(DeleteCursor::start(end, now));
        let mut deletion = Deletion {
            databases: &self.databases,
            spool: &self.spool,
            gate: &self.gate,
            query,
            time_max,
            is_dry_run: request.dry_run,
            deadline,
            cursor: start,
            counts: Vec::new(),
        };
        deletion.run().await?;
        Ok(http::json(StatusCode::OK, self.delete_response(&deletion, start)))
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
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be declared as JSON",
                &format!("the content type is `{content_type}`"),
                "send the header `Content-Type: application/json`, which no form of another site can",
            ));
        }
        Ok(())
    }

    /// Waits until every database has all records below `end`; see [`wait_until_stored`].
    async fn wait_until_stored(&self, end: Option<RecordId>) -> Result<RecordId, Refusal> {
        if end.is_some_and(|end| end > self.spool.durable_id()) {
            return Err(no_such_cursor());
        }
        wait_until_stored(&self.databases, &self.spool, end).await.ok_or_else(|| {
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "a database does not have all records yet",
                "records that are still in the spool cannot be deleted from the database",
                "/api/v1/status shows the error of each store",
            )
        })
    }

    /// Returns the response: the counts of the first database, which is the one that queries read,
    /// and the number of deleted records of each database.
    fn delete_response(&self, deletion: &Deletion<'_>, start: DeleteCursor) -> Bytes {
        let first = &deletion.counts[0];
        let mut services: Vec<_> = first.by_service.iter().collect();
        services.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
        let service = |(service, count): &(&String, &u64)| json!({ "service": service, "count": count });
        let databases = self.databases.iter().zip(&deletion.counts).map(|((progress, _), counts)| {
            json!({ "name": progress.name, "matched": counts.matched, "deleted": counts.deleted })
        });
        let is_searched = |name: &str| self.databases.iter().any(|(progress, _)| progress.name == name);
        let others = self.stores.iter().filter(|store| !is_searched(&store.name));
        json!({
            "matched": first.matched,
            "deleted": first.deleted,
            "by_service": services.iter().map(service).collect::<Vec<_>>(),
            "by_other_services": first.of_others,
            "stores": databases.collect::<Vec<_>>(),
            "not_searched": others.map(|store| store.name.as_str()).collect::<Vec<_>>(),
            "dry_run": deletion.is_dry_run,
            "partial": !deletion.is_done(),
            "cursor": start.to_string(),
            "next_cursor": (!deletion.is_done()).then(|| deletion.cursor.to_string()),
        })
        .to_string()
        .into()
    }
}

impl From<DeletionError> for Refusal {
    fn from(error: DeletionError) -> Refusal {
        match error {
            DeletionError::Read(error) => error.into(),
            DeletionError::Store { store, error, deleted } => refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "the deletion was stopped",
                &format!("the store {store}: {}; {deleted} records were deleted before", error.what),
                error
                    .hint
                    .as_deref()
                    .unwrap_or("send the same request again: it continues with the remaining records"),
            ),
        }
    }
}

fn read_request(body: &[u8]) -> Result<DeleteRequest, Refusal> {
    let form = "{\"query\": \"..\", \"before\": \"2026-11-21\", \"dry_run\": true}";
    let request: DeleteRequest =
        serde_json::from_slice(body).map_err(|error| bad(&error.to_string(), form))?;
    if request.query.trim().is_empty() && !request.all {
        return Err(bad(
            "the query is empty, and so finds every record",
            "send a query that selects the records to delete, or add \"all\": true",
        ));
    }
    Ok(request)
}

fn no_such_cursor() -> Refusal {
    bad("the cursor is not one of this server", "send `next_cursor` back unchanged")
}

fn parse_query(request: &DeleteRequest, now: i64) -> Result<Query, Refusal> {
    Query::parse(&request.query, now).map_err(|error| not_understood(&request.query, &error))
}

/// Returns the last time whose records may be deleted.
fn parse_before(before: &str, now: i64) -> Result<i64, Refusal> {
    let before = query::time::parse(before, now)
        .map_err(|error| bad(&format!("before: {error}"), query::time::FORMS))?;
    Ok(before.saturating_sub(1))
}
