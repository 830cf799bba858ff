//! The owner of a store's position: one data folder ships into a store, and only from where that
//! folder left it.
//!
//! Each process that ships into a store **claims** the store first: it draws a random number, notes
//! the number durably in the file `claims` of its data folder (`memory.rs`), and sets the number in
//! the store in place of the number that it found there. Every later write compares the number and
//! the position before it writes. The consequences:
//!
//! * A store belongs to a data folder if the number in the store is one that this folder has noted.
//!   Two folders never draw the same number, and a copy of a folder does not have the numbers that
//!   the other copy has drawn since. The first of two copies that claims the store goes on; the
//!   other one is refused, also after a restart.
//! * A crash between any two steps leaves a number in the store that the folder has noted.
//! * A store that went back to an older state (a backup, a standby that took over) has an older
//!   number of the same folder. Such a store is claimed again if the spool still has every record
//!   from the store's position on.
//! * A checksum in the store covers the number, the position and the identity of the database, so
//!   that a position that was edited or damaged is rejected.
//!
//! Ids are a second way to skip a record: if the spool's folder was lost, ids go on from the
//! furthest position of the stores. A store that cannot be reached at that start may be ahead of
//! the ids that are then assigned. So the first such id is noted until the store has been claimed,
//! and a store that is ahead of this id is refused.

mod memory;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;

pub use memory::{Claims, DEFAULT_DATABASE, adopt};

use self::memory::{ClaimedDatabase, SpoolExtent};
use super::StoreError;
use crate::limits::RECORD_ID_MAX;
use crate::record::RecordId;

/// Claims one store for a data folder.
pub struct Claimant {
    claims: Arc<Claims>,
    store: String,
    kind: StoreKind,
    /// Another name under which the store may have been marked for adoption.
    alias: Option<&'static str>,
    node: String,
    /// The database that this process has claimed, and the number of the claim.
    current: Option<(String, i64)>,
    /// True if the data folder has noted that the store has accepted that claim.
    is_confirmed: bool,
}

/// The kind of a store. The advice to a refused folder depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreKind {
    Sqlite,
    Postgres,
    File,
}

/// What a store contains about the data folder that ships into it.
#[derive(Debug, Default)]
pub(super) struct ClaimRecord {
    /// The random identity that the database got when it was created.
    pub(super) database: String,
    pub(super) owner: OwnerRow,
    /// The number and the position of other claims of this folder in the same database, whether
    /// they are current or have ended.
    pub(super) elsewhere: Vec<(i64, RecordId)>,
    /// The position that follows from the records themselves. It is determined only if the row is
    /// damaged or missing and the store is adopted.
    pub(super) recovered: Option<RecordId>,
}

/// The row that contains the position.
#[derive(Debug, Default)]
pub(super) enum OwnerRow {
    /// There is no row for this node.
    #[default]
    Absent,
    /// The row is not claimed: the database is new, or from a version without claims.
    Free { position: RecordId },
    /// The row is claimed under this number.
    Claimed { node: String, number: i64, position: RecordId },
    /// The row is not what this program has written, for this reason.
    Damaged(String),
}

/// What a store that may be shipped into does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The store has the claim of this process, and this position.
    Held(RecordId),
    /// The store sets this number, and this position, in place of those that it has found.
    Take { number: i64, position: RecordId },
}

impl Claimant {
    /// Creates a claimant for a store of the configuration and a node of this data folder.
    pub fn new(claims: &Arc<Claims>, store: &str, node: &str) -> Claimant {
        Claimant {
            claims: Arc::clone(claims),
            store: store.into(),
            kind: StoreKind::Sqlite,
            alias: None,
            node: node.into(),
            current: None,
            is_confirmed: false,
        }
    }

    /// Creates a claimant for a store without a data folder, whose first state is accepted as it
    /// is.
    pub(super) fn detached(node: &str) -> Claimant {
        Claimant::new(&Claims::detached(), "", node)
    }

    /// Creates a claimant for a store of the data folder at a path, whose spool is empty.
    #[cfg(test)]
    pub(super) fn in_folder(folder: &std::path::Path, node: &str) -> Claimant {
        let disk = Arc::new(crate::disk::Folder::open(folder).unwrap());
        Claimant::new(&Claims::open(disk, None, vec!["db".into()]).unwrap(), "db", node)
    }

    /// Returns the same claimant for the database `logboom.db` of the data folder.
    #[must_use]
    pub fn of_default_database(self) -> Claimant {
        Claimant { alias: Some(DEFAULT_DATABASE), ..self }
    }

    /// Returns the same claimant for a store of another kind.
    #[must_use]
    pub(super) fn of_kind(self, kind: StoreKind) -> Claimant {
        Claimant { kind, ..self }
    }

    /// Returns the node for which claims are made.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Returns the number of this process's claim; before there is a claim, 0, which is no claim's
    /// number.
    pub(super) fn number(&self) -> i64 {
        self.current.as_ref().map_or(0, |(_, number)| *number)
    }

    /// Returns true if a person has requested that the store is accepted as it is.
    pub(super) fn is_adopting(&self) -> bool {
        let state = self.claims.state();
        state.adopt.iter().any(|name| *name == self.store || Some(name.as_str()) == self.alias)
    }

    /// Returns true if the position is to be determined from the records where its row is damaged
    /// or missing.
    pub(super) fn is_recovering(&self) -> bool {
        self.is_adopting() && !self.claims.is_detached()
    }

    /// Returns the numbers of all claims that this folder has made in a database.
    pub(super) fn issued(&self, database: &str) -> Vec<i64> {
        self.claims.database(database, &self.store).map(|known| known.issued).unwrap_or_default()
    }

    /// Decides whether this folder may ship into a store, and from which position on. Notes a new
    /// claim durably.
    pub(super) fn judge(&mut self, found: &ClaimRecord) -> Result<Verdict, StoreError> {
        let known = self.claims.database(&found.database, &self.store).unwrap_or_default();
        if let OwnerRow::Claimed { number, position, .. } = found.owner
            && self.current.as_ref().is_some_and(|current| *current == (found.database.clone(), number))
        {
            self.check_spool(position, &known)?;
            if !self.is_confirmed {
                // The response to the claim, or a write to the file `claims`, was lost.
                self.confirm(position)?;
            }
            return Ok(Verdict::Held(position));
        }
        let position = self.place(found, &known)?;
        self.check_spool(position, &known)?;
        self.is_confirmed = false;
        let number = match &self.current {
            Some((database, number)) if *database == found.database => *number,
            _ => {
                let number = random_number();
                let held = match found.owner {
                    OwnerRow::Claimed { number, .. } => Some(number),
                    _ => None,
                };
                self.claims
                    .issue(&found.database, &self.store, number, held)
                    .map_err(|error| cannot_note(&error))?;
                self.current = Some((found.database.clone(), number));
                number
            }
        };
        Ok(Verdict::Take { number, position })
    }

    /// Notes durably that the store has accepted the claim.
    pub(super) fn confirm(&mut self, position: RecordId) -> Result<(), StoreError> {
        let Some((database, _)) = &self.current else { return Ok(()) };
        let names = (self.store.as_str(), self.alias);
        let confirmed = self.claims.confirm(database, names, &self.node, position);
        self.is_confirmed = confirmed.is_ok();
        confirmed.map_err(|error| cannot_note(&error))
    }

    /// Returns the position from which this folder goes on.
    fn place(&self, found: &ClaimRecord, known: &ClaimedDatabase) -> Result<RecordId, StoreError> {
        let age = |number: i64| known.issued.iter().position(|issued| *issued == number);
        let is_known = known.node.is_some();
        let here = match &found.owner {
            OwnerRow::Claimed { number, position, .. } => match age(*number) {
                Some(age) => Some((age, *position)),
                None if self.is_adopting() => return self.adopted(*position),
                None => return Err(self.refused(found, known)),
            },
            OwnerRow::Damaged(why) => return self.recovered(found, known, why),
            OwnerRow::Free { position } if !is_known => return Ok(*position),
            OwnerRow::Absent if !is_known => return found.recovered.map_or(Ok(1), |end| self.adopted(end)),
            OwnerRow::Free { .. } | OwnerRow::Absent => None,
        };
        let elsewhere = found.elsewhere.iter().filter_map(|(number, at)| age(*number).map(|age| (age, *at)));
        let newest = elsewhere.chain(here).max();
        let is_renamed = known.node.as_ref().is_some_and(|node| *node != self.node);
        match (newest, &found.owner) {
            (Some((_, position)), _) if newest == here => Ok(position),
            // The newest claim is under another name. Ids that were assigned since the database
            // could last be reached are in the spool only: their records were not stored under that
            // name.
            (Some((_, position)), _) if is_renamed || here.is_some() => {
                Ok(self.unconfirmed().map_or(position, |first| position.min(first)))
            }
            (_, OwnerRow::Free { position }) => Ok(*position),
            _ if self.is_adopting() => Ok(found.recovered.unwrap_or(1)),
            _ => Err(self.lost_row(is_renamed)),
        }
    }

    /// Returns the position of a damaged row as the records show it, if a person has requested
    /// that.
    fn recovered(
        &self,
        found: &ClaimRecord,
        known: &ClaimedDatabase,
        why: &str,
    ) -> Result<RecordId, StoreError> {
        if !self.is_recovering() {
            return Err(StoreError::new(format!("its position cannot be trusted: {why}")).hint(format!(
                "restore the position, or stop the server and derive it from the records: {}",
                self.adopt_command()
            )));
        }
        let recovered = found.recovered.ok_or_else(|| {
            StoreError::new(format!(
                "its position cannot be trusted ({why}), and cannot be derived from the records"
            ))
            .hint("move the store away: a new store starts with the records that are still in the spool")
        })?;
        if known.node.is_some() { Ok(recovered) } else { self.adopted(recovered) }
    }

    /// Returns the position of a store that a person has assigned to this folder. Fails if records
    /// of the spool would be skipped by that.
    fn adopted(&self, position: RecordId) -> Result<RecordId, StoreError> {
        match self.claims.spool() {
            Some(SpoolExtent { first, end, .. }) if first < end.min(position) => {
                let last = end.min(position) - 1;
                Err(StoreError::new(format!(
                    "it cannot be adopted: its next id is {position}, and the spool has other records with ids from \
                     {first} to {last}"
                ))
                .hint(format!(
                    "ship those records into a separate store first (another `--store`), stop the server, move the \
                     folder `spool` away, and adopt this store again, so that new ids continue from its position: {}",
                    self.adopt_command()
                )))
            }
            _ => Ok(position),
        }
    }

    fn adopt_command(&self) -> String {
        format!("`logboom store adopt {}`, then start", self.store)
    }

    fn unconfirmed(&self) -> Option<RecordId> {
        self.claims.state().unconfirmed.get(&self.store).copied()
    }

    /// Checks that every record of the spool that the store lacks can be stored there, each under
    /// its id.
    fn check_spool(&self, position: RecordId, known: &ClaimedDatabase) -> Result<(), StoreError> {
        let Some(SpoolExtent { first, end, is_starting }) = self.claims.spool() else { return Ok(()) };
        if let Some(given) = self.unconfirmed().filter(|given| *given < end.min(position)) {
            let last = end.min(position) - 1;
            return Err(StoreError::new(format!(
                "the ids {given} to {last} were assigned twice: the store has records with these ids, and the spool \
                 has other records with them, accepted while the store was unreachable"
            ))
            .hint(match self.kind {
                StoreKind::Postgres => "set another `node` for this data folder: the spool's records are then stored under that name",
                _ => "ship the spool's records into a separate store (another `--store`)",
            }));
        }
        if position > end && !is_starting {
            return Err(StoreError::new(format!(
                "the store has records up to id {}, the spool only up to {}: the spool's folder was replaced while \
                 the store was unreachable",
                position - 1,
                end - 1
            ))
            .hint("restart while the store is reachable: new ids then continue from the store's position"));
        }
        let is_accepted = position == 1 || known.accepted == Some(position) || self.is_adopting();
        if position < first && !is_accepted {
            return Err(StoreError::new(format!(
                "the store lacks records from id {position} on, and the spool has none before {first}: {} ids would be skipped",
                first - position
            ))
            .hint(format!(
                "the store went back to an older state, or the spool lost its oldest records: restore the newer \
                 state, or stop the server and continue without these records: {}",
                self.adopt_command()
            )));
        }
        Ok(())
    }

    /// Returns the error for a store into which another data folder ships.
    fn refused(&self, found: &ClaimRecord, known: &ClaimedDatabase) -> StoreError {
        let OwnerRow::Claimed { node, .. } = &found.owner else { return self.lost_row(false) };
        let is_twin = *node == self.node;
        let what = match (is_twin, known.node.is_some()) {
            (true, true) => {
                format!("a copy of this data folder (node {node}) has taken it over and ships into it")
            }
            (true, false) => format!("another data folder of the same name (node {node}) ships into it"),
            (false, true) => format!("another data folder (node {node}) has taken it over and ships into it"),
            (false, false) => format!("another data folder (node {node}) ships into it"),
        };
        let way_out = match self.kind {
            StoreKind::Postgres => {
                "set another `node` for this data folder: shipping then continues where its own records ended"
            }
            StoreKind::Sqlite => "use a separate database for this data folder (another `--store`)",
            StoreKind::File => "use a separate log file for this data folder",
        };
        StoreError::new(what).hint(format!(
            "{way_out}; its records stay in the spool until then. If the other folder no longer exists, stop the \
             server and take the store over: {}",
            self.adopt_command()
        ))
    }

    fn lost_row(&self, is_renamed: bool) -> StoreError {
        if is_renamed {
            return StoreError::new(
                "the database no longer shows where the records of this node's old name ended",
            )
            .hint("go back to the old `node`, or choose a separate database or schema");
        }
        StoreError::new("the position of this node is missing from `logs_node`").hint(format!(
            "restore the position, or stop the server and derive it from the records: {}",
            self.adopt_command()
        ))
    }
}

/// Returns the checksum that protects a position in a store: a change of any of these parameters is
/// detected. Never negative.
pub(super) fn checksum(database: &str, node: &str, number: i64, position: RecordId) -> i64 {
    let mut checksum = crc32c::crc32c(database.as_bytes());
    checksum = crc32c::crc32c_append(checksum, &(node.len() as u64).to_le_bytes());
    checksum = crc32c::crc32c_append(checksum, node.as_bytes());
    checksum = crc32c::crc32c_append(checksum, &number.to_le_bytes());
    i64::from(crc32c::crc32c_append(checksum, &position.to_le_bytes()))
}

/// Returns a position that a database contains, or `None` if the value cannot be a position.
pub(super) fn position_of(stored: i64) -> Option<RecordId> {
    u64::try_from(stored).ok().filter(|position| (1..=RECORD_ID_MAX).contains(position))
}

/// Returns a number that no other claim has: 63 random bits, never 0.
pub(super) fn random_number() -> i64 {
    ((RandomState::new().hash_one(()) >> 1) as i64).max(1)
}

fn cannot_note(error: &io::Error) -> StoreError {
    StoreError::new(format!("the claim cannot be recorded in the data folder: {error}")).hint(
        "make room on the disk of the data folder and check that it is writable; logboom retries by itself",
    )
}
