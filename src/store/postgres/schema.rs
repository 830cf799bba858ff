//! The tables: created by the first process that finds none, migrated by the first process of a
//! newer version.
//!
//! All names are without a schema, so that `search_path` decides where the tables are. Nothing
//! needs more than a role that may create objects in that schema.
//!
//! Every change of tables takes one advisory lock ([`LOCK`]): creation and migration here, and also
//! partitions and the tables of deletions. Reading the version takes no lock. Writing takes it only
//! to create the partition of a new day.

use tokio_postgres::{Client, Error};

use super::connect::{Fault, Session, obstacles};
use crate::limits::POSTGRES_DEFINITION_SECONDS_MAX;

/// Raised with every change of the tables. A database of an older version is migrated, and one of a
/// newer version is rejected.
const SCHEMA_VERSION: i32 = 2;

/// The statements that create everything.
pub const SCHEMA: &str = concat!(include_str!("schema.sql"), "\n", include_str!("deleted.sql"));

/// Migrates the tables of version 1 to version 2.
const CLAIMS: &str = include_str!("claims.sql");

/// Takes the lock for changes of tables, in the transaction of every such change. There is one lock
/// for each schema, because advisory locks apply to the whole database.
pub(super) const LOCK: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('logboom ' || current_schema(), 0))";

/// Creates the tables if they are missing, and migrates those of an older version.
pub(super) async fn ensure(session: &mut Session) -> Result<(), Fault> {
    let Session { client, driver } = session;
    let mut version = driver.drive(version(client)).await?;
    if version.is_none() {
        driver.drive_within(POSTGRES_DEFINITION_SECONDS_MAX, create(client)).await?;
        version = driver.drive(self::version(client)).await?;
    }
    if version == Some(1) {
        let migration = change_tables(client, CLAIMS.into());
        driver.drive_within(POSTGRES_DEFINITION_SECONDS_MAX, migration).await?;
        version = driver.drive(self::version(client)).await?;
    }
    match version {
        Some(SCHEMA_VERSION) => Ok(()),
        Some(0) | None => {
            let by = driver.drive(obstacles(client, "logs_version")).await?;
            Err(Fault::KeptOut { what: "`logs_version` shows no version".into(), by })
        }
        Some(other) => Err(Fault::Schema(format!(
            "its tables have version {other}, this program supports version {SCHEMA_VERSION}"
        ))),
    }
}

/// Returns the version of the tables: 0 if `logs_version` shows none, `None` if `logs_version` does
/// not exist.
async fn version(client: &Client) -> Result<Option<i32>, Error> {
    // `to_regclass` would use what this connection had cached before it waited for the lock.
    let is_there = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = 'logs_version' AND n.nspname = ANY (current_schemas(false)))";
    if !client.query_one(is_there, &[]).await?.try_get(0)? {
        return Ok(None);
    }
    client.query_one("SELECT coalesce(max(version), 0) FROM logs_version", &[]).await?.try_get(0).map(Some)
}

/// Changes tables in one transaction. Another process may do the same at the same time, so it must
/// be possible to repeat the statements.
pub(super) async fn change_tables(client: &Client, statements: String) -> Result<(), Error> {
    let result = client.batch_execute(&format!("BEGIN; {LOCK}; {statements} COMMIT;")).await;
    roll_back_after(result, client).await
}

async fn create(client: &Client) -> Result<(), Error> {
    client.batch_execute(&format!("BEGIN; {LOCK};")).await?;
    // Another process may have created the tables while this one waited for the lock.
    let result = match version(client).await {
        Ok(None) => client.batch_execute(&format!("{SCHEMA} COMMIT;")).await,
        Ok(Some(_)) => client.batch_execute("COMMIT").await,
        Err(error) => Err(error),
    };
    roll_back_after(result, client).await
}

/// Ends the transaction of statements that have failed.
async fn roll_back_after(result: Result<(), Error>, client: &Client) -> Result<(), Error> {
    if result.is_err() {
        client.batch_execute("ROLLBACK").await?;
    }
    result
}
