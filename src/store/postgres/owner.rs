//! Ownership of nodes: each data folder is a node with its own position, and one process at a time
//! claims the node; see `store::claim`.

use tokio_postgres::{Client, Error};

use super::connect::{Fault, Session, obstacles};
use crate::limits::{POSTGRES_DEFINITION_SECONDS_MAX, POSTGRES_ENDED_CLAIMS_MAX};
use crate::record::RecordId;
use crate::store::claim::{ClaimRecord, Claimant, OwnerRow, Verdict, checksum, position_of};

/// A claimed node: the values that the writer compares and writes.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    database: String,
    pub(super) node: String,
    pub(super) epoch: i64,
    pub(super) position: RecordId,
}

/// A row of `logs_node`.
#[derive(PartialEq, Eq)]
struct NodeRow {
    position: i64,
    epoch: i64,
    checksum: Option<i64>,
}

impl Claimed {
    pub(super) fn checksum(&self, position: RecordId) -> i64 {
        checksum(&self.database, &self.node, self.epoch, position)
    }
}

/// Claims the node, or confirms that this process has claimed it. From now on, statements of an
/// earlier process of the node change nothing.
pub(super) async fn claim(session: &mut Session, claimant: &mut Claimant) -> Result<Claimed, Fault> {
    let Session { client, driver } = session;
    let node = claimant.node().to_owned();
    let database = driver.drive(database(client)).await?;
    let issued = claimant.issued(&database);
    let (row, elsewhere) = driver.drive(find(client, &node, &issued)).await?;
    if row.is_none() && driver.drive(is_hidden(client)).await? {
        let by = "row-level security of logs_node".into();
        return Err(Fault::KeptOut { what: "`logs_node` does not show the row of this node".into(), by });
    }
    let owner = row.as_ref().map_or(OwnerRow::Absent, |row| row.owner(&database, &node));
    let is_unclear = matches!(owner, OwnerRow::Absent | OwnerRow::Damaged(_));
    let recovered = match is_unclear && claimant.is_recovering() {
        true => driver.drive_within(POSTGRES_DEFINITION_SECONDS_MAX, end_of_records(client, &node)).await?,
        false => None,
    };
    let found = ClaimRecord { database: database.clone(), owner, elsewhere, recovered };
    match claimant.judge(&found).map_err(Fault::Refused)? {
        Verdict::Held(position) => Ok(Claimed { database, node, epoch: claimant.number(), position }),
        Verdict::Take { number, position } => {
            let claimed = Claimed { database, node, epoch: number, position };
            if !driver.drive(take(client, &claimed, row.as_ref())).await? {
                return Err(driver.drive(explain_untaken(client, &claimed.node, row.as_ref())).await?);
            }
            claimant.confirm(position).map_err(Fault::Refused)?;
            driver.drive(forget(client, &claimed)).await?;
            Ok(claimed)
        }
    }
}

async fn database(client: &Client) -> Result<String, Error> {
    let select = "SELECT database FROM logs_version ORDER BY version DESC LIMIT 1";
    client.query_one(select, &[]).await?.try_get(0)
}

/// Returns the row of the node, and the positions of this folder's claims under any node name:
/// current positions, and those where claims ended.
async fn find(
    client: &Client,
    node: &str,
    issued: &[i64],
) -> Result<(Option<NodeRow>, Vec<(i64, RecordId)>), Error> {
    let select = "SELECT position, epoch, checksum FROM logs_node WHERE node = $1";
    let row = client.query_opt(select, &[&node]).await?;
    let row = row.map(|row| {
        Ok::<_, Error>(NodeRow {
            position: row.try_get(0)?,
            epoch: row.try_get(1)?,
            checksum: row.try_get(2)?,
        })
    });
    let select =
        "SELECT epoch, position FROM logs_node WHERE epoch = ANY ($1) AND checksum IS NOT NULL AND node <> $2
        UNION ALL SELECT epoch, position FROM logs_claim WHERE epoch = ANY ($1)";
    let mut elsewhere = Vec::new();
    for row in client.query(select, &[&issued, &node]).await? {
        if let Some(position) = position_of(row.try_get(1)?) {
            elsewhere.push((row.try_get(0)?, position));
        }
    }
    Ok((row.transpose()?, elsewhere))
}

/// Returns true if rows of `logs_node` may exist without being visible.
async fn is_hidden(client: &Client) -> Result<bool, Error> {
    client.query_one("SELECT row_security_active('logs_node')", &[]).await?.try_get(0)
}

/// Returns the id after the node's last record. The server may have to scan many records.
async fn end_of_records(client: &Client, node: &str) -> Result<Option<RecordId>, Error> {
    let select = "SELECT coalesce(greatest(
        (SELECT max(id) FROM logs WHERE node = $1), (SELECT max(id) FROM logs_dead_letter WHERE node = $1)), 0)";
    let last: i64 = client.query_one(select, &[&node]).await?.try_get(0)?;
    Ok(last.checked_add(1).and_then(position_of))
}

/// Writes the claim in place of the row that was found, and records where the previous claim ended.
/// Returns false if the row has changed since it was found.
async fn take(client: &Client, claimed: &Claimed, row: Option<&NodeRow>) -> Result<bool, Error> {
    let Claimed { node, epoch, position, .. } = claimed;
    let (position, checksum) = (*position as i64, claimed.checksum(*position));
    let Some(row) = row else {
        let insert = "INSERT INTO logs_node (node, position, synced, epoch, checksum) VALUES ($1, $2, 1, $3, $4) ON CONFLICT DO NOTHING";
        return Ok(client.execute(insert, &[node, &position, epoch, &checksum]).await? == 1);
    };
    let update = "WITH claimed AS (
            UPDATE logs_node SET position = $2, epoch = $3, checksum = $4
            WHERE node = $1 AND position = $5 AND epoch = $6 AND checksum IS NOT DISTINCT FROM $7 RETURNING 1
        ), noted AS (
            INSERT INTO logs_claim (epoch, node, position) SELECT $6, $1, $5 FROM claimed WHERE $8::boolean
            ON CONFLICT DO NOTHING
        ) SELECT count(*) FROM claimed";
    let NodeRow { position: from, epoch: old, checksum: sum } = row;
    let is_claimed = matches!(row.owner(&claimed.database, node), OwnerRow::Claimed { .. });
    let taken =
        client.query_one(update, &[node, &position, epoch, &checksum, from, old, sum, &is_claimed]).await?;
    Ok(taken.try_get::<_, i64>(0)? == 1)
}

/// Deletes the oldest of the node's ended claims, beyond [`POSTGRES_ENDED_CLAIMS_MAX`].
async fn forget(client: &Client, claimed: &Claimed) -> Result<(), Error> {
    let delete = "DELETE FROM logs_claim WHERE epoch IN (
        SELECT epoch FROM logs_claim WHERE node = $1 ORDER BY ended DESC OFFSET $2)";
    client.execute(delete, &[&claimed.node, &POSTGRES_ENDED_CLAIMS_MAX]).await.map(|_| ())
}

impl NodeRow {
    fn owner(&self, database: &str, node: &str) -> OwnerRow {
        let Some(position) = position_of(self.position) else {
            return OwnerRow::Damaged(format!("{} is not a valid id", self.position));
        };
        match self.checksum {
            None => OwnerRow::Free { position },
            Some(stored) if stored == checksum(database, node, self.epoch, position) => {
                OwnerRow::Claimed { node: node.into(), number: self.epoch, position }
            }
            Some(_) => OwnerRow::Damaged(format!("it is {position}, which does not match its checksum")),
        }
    }
}

/// Returns why [`take`] changed nothing: another process has changed the row since it was found, or
/// something prevents the change.
async fn explain_untaken(client: &Client, node: &str, found: Option<&NodeRow>) -> Result<Fault, Error> {
    let (row, _) = find(client, node, &[]).await?;
    if row.as_ref() != found {
        return Ok(Fault::Moved(found.and_then(|row| position_of(row.position)).unwrap_or(1)));
    }
    let by = obstacles(client, "logs_node").await?;
    Ok(Fault::KeptOut { what: "the row of this node does not arrive in `logs_node`".into(), by })
}
