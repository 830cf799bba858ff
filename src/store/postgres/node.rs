//! Who writes: each data folder is a node, with a position of its own.

use tokio_postgres::{Client, Error};

use super::fault::{Fault, obstacles};
use crate::record::RecordId;

/// Takes the node for this connection: gives its position and the new epoch, or nothing when another process has taken it since
/// `epoch`, which is 0 for a process that begins. What an earlier connection of the node sends from now on changes nothing.
///
/// A process knows itself again by its number: the answer may be lost, and an epoch be raised that it never heard of.
pub(super) async fn take(
    client: &Client,
    node: &str,
    process: i64,
    epoch: i64,
) -> Result<Option<(RecordId, i64)>, Error> {
    let take = "INSERT INTO logs_node AS known (node, position, synced, epoch, process) VALUES ($1, 1, 1, $3::bigint + 1, $2)
        ON CONFLICT (node) DO UPDATE SET epoch = greatest(known.epoch, $3) + 1, process = $2
            WHERE $3 = 0 OR known.epoch <= $3 OR known.process = $2
        RETURNING position, epoch";
    let Some(row) = client.query_opt(take, &[&node, &process, &epoch]).await? else { return Ok(None) };
    let position: i64 = row.try_get(0)?;
    Ok(Some((position as u64, row.try_get(1)?)))
}

/// Why [`take`] returned nothing: another process has the name, or something keeps the change of
/// `logs_node` out.
pub(super) async fn explain_untaken(
    client: &Client,
    node: &str,
    process: i64,
    epoch: i64,
) -> Result<Fault, Error> {
    let fenced = "SELECT EXISTS (SELECT FROM logs_node
        WHERE node = $1 AND process <> $2 AND epoch > $3 AND $3::bigint <> 0)";
    if client.query_one(fenced, &[&node, &process, &epoch]).await?.try_get(0)? {
        return Ok(Fault::Fenced);
    }
    let by = obstacles(client, "logs_node").await?;
    Ok(Fault::KeptOut { what: "the row of this node does not arrive in `logs_node`".into(), by })
}
