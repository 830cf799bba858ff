//! The row of `shipped`: the position, and the claim under which the position is moved.

use rusqlite::{Connection, OptionalExtension, params};

use crate::record::RecordId;
use crate::store::claim::{ClaimRecord, Claimant, OwnerRow, Verdict, checksum, position_of};
use crate::store::{StoreError, claim};

/// The claim under which the position is moved.
pub(super) struct Owner {
    database: String,
    node: String,
    claim: i64,
}

/// The row as the table contains it.
struct Stored {
    position: i64,
    node: Option<String>,
    claim: i64,
    checksum: Option<i64>,
    database: String,
}

/// Why a claim was not made.
pub(super) enum ClaimError {
    Database(rusqlite::Error),
    Refused(StoreError),
}

impl From<rusqlite::Error> for ClaimError {
    fn from(error: rusqlite::Error) -> ClaimError {
        ClaimError::Database(error)
    }
}

impl From<StoreError> for ClaimError {
    fn from(error: StoreError) -> ClaimError {
        ClaimError::Refused(error)
    }
}

impl Owner {
    /// Claims the database, or confirms that it is claimed. Returns the position.
    pub(super) fn claim(
        connection: &Connection,
        claimant: &mut Claimant,
    ) -> Result<(Owner, RecordId), ClaimError> {
        let stored = read(connection)?;
        let found = stored.found(connection, claimant.is_recovering())?;
        let (number, position) = match claimant.judge(&found)? {
            Verdict::Held(position) => (claimant.number(), position),
            Verdict::Take { number, position } => {
                let owner =
                    Owner { database: stored.database.clone(), node: claimant.node().into(), claim: number };
                owner.take(connection, &stored, position)?;
                claimant.confirm(position)?;
                (number, position)
            }
        };
        Ok((Owner { database: stored.database, node: claimant.node().into(), claim: number }, position))
    }

    fn take(&self, connection: &Connection, stored: &Stored, position: RecordId) -> Result<(), ClaimError> {
        let taken = connection
            .prepare_cached(
                "UPDATE shipped SET position = ?1, node = ?2, claim = ?3, checksum = ?4
                 WHERE position = ?5 AND claim = ?6 AND checksum IS ?7 AND database = ?8",
            )?
            .execute(params![
                position as i64,
                self.node,
                self.claim,
                self.checksum(position),
                stored.position,
                stored.claim,
                stored.checksum,
                stored.database
            ])?;
        if taken == 1 { Ok(()) } else { Err(moved().into()) }
    }

    /// Moves the position within a transaction, and only from where this process left it.
    pub(super) fn advance(
        &self,
        connection: &Connection,
        from: RecordId,
        to: RecordId,
    ) -> rusqlite::Result<()> {
        let moved_rows = connection
            .prepare_cached("UPDATE shipped SET position = ?, checksum = ? WHERE position = ? AND claim = ?")?
            .execute(params![to as i64, self.checksum(to), from as i64, self.claim])?;
        if moved_rows == 1 { Ok(()) } else { Err(is_moved()) }
    }

    /// Checks that this process is still the only one that ships into the database.
    pub(super) fn check(&self, connection: &Connection) -> rusqlite::Result<()> {
        let claim: Option<i64> = connection
            .prepare_cached("SELECT claim FROM shipped")?
            .query_row([], |row| row.get(0))
            .optional()?;
        if claim == Some(self.claim) { Ok(()) } else { Err(is_moved()) }
    }

    fn checksum(&self, position: RecordId) -> i64 {
        checksum(&self.database, &self.node, self.claim, position)
    }
}

impl Stored {
    fn found(&self, connection: &Connection, is_recovering: bool) -> rusqlite::Result<ClaimRecord> {
        let owner = self.owner(connection)?;
        let recovered = match owner {
            OwnerRow::Damaged(_) if is_recovering => end_of_records(connection)?,
            _ => None,
        };
        Ok(ClaimRecord { database: self.database.clone(), owner, elsewhere: Vec::new(), recovered })
    }

    fn owner(&self, connection: &Connection) -> rusqlite::Result<OwnerRow> {
        let Some(position) = position_of(self.position) else {
            return Ok(OwnerRow::Damaged(format!("{} is not a valid id", self.position)));
        };
        let Some(stored) = self.checksum else {
            // From a version without checksums: the blocks end where the position is.
            return Ok(match end_of_blocks(connection)? {
                Some(end) if end != position => {
                    OwnerRow::Damaged(format!("it is {position}, and the records end before {end}"))
                }
                _ => OwnerRow::Free { position },
            });
        };
        let node = self.node.clone().unwrap_or_default();
        if stored != claim::checksum(&self.database, &node, self.claim, position) {
            return Ok(OwnerRow::Damaged(format!("it is {position}, which does not match its checksum")));
        }
        Ok(OwnerRow::Claimed { node, number: self.claim, position })
    }
}

fn read(connection: &Connection) -> rusqlite::Result<Stored> {
    connection.query_row("SELECT position, node, claim, checksum, database FROM shipped", [], |row| {
        Ok(Stored {
            position: row.get(0)?,
            node: row.get(1)?,
            claim: row.get(2)?,
            checksum: row.get(3)?,
            database: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
        })
    })
}

/// Returns where the records end: each chunk leaves a block with its last id, whatever happened to
/// its records since.
fn end_of_blocks(connection: &Connection) -> rusqlite::Result<Option<RecordId>> {
    let end: Option<i64> = connection.query_row("SELECT max(end_id) FROM block", [], |row| row.get(0))?;
    Ok(end.and_then(position_of))
}

/// Returns where the records end, or 1 if there is neither a block nor a dead letter: a database
/// without any record has no block.
fn end_of_records(connection: &Connection) -> rusqlite::Result<Option<RecordId>> {
    let end = end_of_blocks(connection)?;
    let is_empty: bool =
        connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM logs_dead_letter)", [], |row| row.get(0))?;
    Ok(end.or(is_empty.then_some(1)))
}

/// Returns the position, for readers.
pub(super) fn position(connection: &Connection) -> rusqlite::Result<RecordId> {
    let position: i64 = connection.query_row("SELECT position FROM shipped", [], |row| row.get(0))?;
    position_of(position).ok_or(rusqlite::Error::IntegralValueOutOfRange(0, position))
}

const MOVED: &str = "its position is not the one that this process wrote";

fn is_moved() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT),
        Some(format!("{MOVED}: another process has changed it")),
    )
}

/// Returns the error for a chunk that begins with records that are stored already.
pub(super) fn is_behind(position: RecordId, first_id: RecordId) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT),
        Some(format!("its position is {position}, but it received records from id {first_id} on")),
    )
}

fn moved() -> StoreError {
    StoreError::new(format!("{MOVED}: another process has changed it"))
}
