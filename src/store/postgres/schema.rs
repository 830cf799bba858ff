//! The tables: made by the first that finds none, migrated by the first of a newer version.
//!
//! All names are without a schema, so that `search_path` decides where they are; nothing needs more than a role that may
//! create in that schema. Everything here runs under one advisory lock, and writing never takes it.

use tokio_postgres::Client;

use super::fault::{Fault, obstacles};
use super::session::Session;
use crate::limits::POSTGRES_DEFINITION_SECONDS_MAX;

/// Raised with every change of the tables. A database of an older version is migrated, one of a newer is refused.
const SCHEMA_VERSION: i32 = 2;

/// The statements that make everything.
pub const SCHEMA: &str = concat!(include_str!("schema.sql"), "\n", include_str!("deleted.sql"));

/// Brings tables of version 1 to version 2.
const CLAIMS: &str = include_str!("claims.sql");

/// Taken in the transaction of every change of a table: one lock for each schema, for locks are of the whole database.
pub(super) const LOCK: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('logboom ' || current_schema(), 0))";

/// Makes sure that the tables are there.
pub(super) async fn ensure(session: &mut Session) -> Result<(), Fault> {
    let Session { client, line } = session;
    let mut version = line.drive(version(client)).await?;
    if version.is_none() {
        line.drive_within(POSTGRES_DEFINITION_SECONDS_MAX, create(client)).await?;
        version = line.drive(self::version(client)).await?;
    }
    if version == Some(1) {
        line.drive_within(POSTGRES_DEFINITION_SECONDS_MAX, migrate(client)).await?;
        version = line.drive(self::version(client)).await?;
    }
    match version {
        Some(SCHEMA_VERSION) => Ok(()),
        Some(0) | None => {
            let by = line.drive(obstacles(client, "logs_version")).await?;
            Err(Fault::KeptOut { what: "`logs_version` shows no version".into(), by })
        }
        Some(other) => Err(Fault::Schema(format!(
            "its tables are of version {other}, this program knows version {SCHEMA_VERSION}"
        ))),
    }
}

/// The version of the tables; 0 if `logs_version` shows none, nothing if it is not there.
async fn version(client: &Client) -> Result<Option<i32>, tokio_postgres::Error> {
    // `to_regclass` would go by what this connection knew before it waited for the lock.
    let is_there = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = 'logs_version' AND n.nspname = ANY (current_schemas(false)))";
    if !client.query_one(is_there, &[]).await?.try_get(0)? {
        return Ok(None);
    }
    client.query_one("SELECT coalesce(max(version), 0) FROM logs_version", &[]).await?.try_get(0).map(Some)
}

/// Another one may do the same at the same time: the statements can be repeated.
async fn migrate(client: &Client) -> Result<(), tokio_postgres::Error> {
    let result = client.batch_execute(&format!("BEGIN; {LOCK}; {CLAIMS} COMMIT;")).await;
    if result.is_err() {
        client.batch_execute("ROLLBACK").await?;
    }
    result
}

async fn create(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(&format!("BEGIN; {LOCK};")).await?;
    // Another one may have made them while this one waited for the lock.
    let result = match version(client).await {
        Ok(None) => client.batch_execute(&format!("{SCHEMA} COMMIT;")).await,
        Ok(Some(_)) => client.batch_execute("COMMIT").await,
        Err(error) => Err(error),
    };
    if result.is_err() {
        client.batch_execute("ROLLBACK").await?;
    }
    result
}
