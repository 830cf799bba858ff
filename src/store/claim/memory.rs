//! The file `claims`: what a data folder remembers about the stores that it ships into.
//!
//! The file is one line of JSON and a second line with the CRC32C of the first in hexadecimal. The
//! file is written as a whole under another name, synced and renamed, at a start and at the rare
//! moments when a claim changes; never per record.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::limits::{CLAIMED_DATABASES_MAX, CLAIMS_BYTES_MAX, CLAIMS_PER_DATABASE_MAX, RECORD_ID_MAX};
use crate::record::RecordId;
use crate::spool::Spool;

const FILE: &str = "claims";
const DRAFT: &str = "claims.new";
const VERSION: u32 = 1;

/// The content of the file `claims` of a data folder, shared by the folder's stores.
pub struct Claims {
    /// `None` for stores without a data folder, in tests.
    disk: Option<Arc<dyn Disk>>,
    state: Mutex<Remembered>,
    /// The ids that the spool held before it was opened.
    found_spool: Option<(RecordId, RecordId)>,
    /// The spool, once it is open.
    spool: OnceLock<Arc<Spool>>,
    /// The names of the configured stores.
    stores: Vec<String>,
}

/// The content of the file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remembered {
    version: u32,
    /// Stores that the next start accepts as they are; see [`adopt`].
    pub(super) adopt: Vec<String>,
    /// By store: the first id that was assigned while the store could not report its position, or
    /// refused to be claimed.
    pub(super) unconfirmed: BTreeMap<String, RecordId>,
    /// The database that was claimed last comes last.
    pub(super) databases: Vec<ClaimedDatabase>,
}

/// A database in which this folder has claimed a position.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimedDatabase {
    /// The random identity that the database got when it was created.
    pub(super) database: String,
    /// The name of the store in the configuration.
    pub(super) store: String,
    /// The node under which the position is stored; `None` until the first claim has succeeded.
    pub(super) node: Option<String>,
    /// The position from which a person has made the store go on, regardless of what the spool
    /// lacks before its own first record.
    pub(super) accepted: Option<RecordId>,
    /// The numbers of all claims, noted before they are made; the newest comes last.
    pub(super) issued: Vec<i64>,
}

impl Default for Remembered {
    fn default() -> Remembered {
        Remembered {
            version: VERSION,
            adopt: Vec::new(),
            unconfirmed: BTreeMap::new(),
            databases: Vec::new(),
        }
    }
}

/// The ids that the spool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpoolExtent {
    pub(super) first: RecordId,
    pub(super) end: RecordId,
    /// True while ids can still be advanced to the position of a store: no id is assigned before
    /// the start is complete.
    pub(super) is_starting: bool,
}

impl Claims {
    /// Reads the file `claims` of a data folder. `spool` is the first id that its spool holds and
    /// the end of its ids; `stores` are the names of the stores.
    pub fn open(
        disk: Arc<dyn Disk>,
        spool: Option<(RecordId, RecordId)>,
        stores: Vec<String>,
    ) -> io::Result<Arc<Claims>> {
        let state = Mutex::new(read(&*disk)?);
        let found_spool = Some(spool.unwrap_or((1, 1)));
        Ok(Arc::new(Claims { disk: Some(disk), state, found_spool, spool: OnceLock::new(), stores }))
    }

    /// Creates claims that live as long as the process, and that accept the first state of any
    /// store as it is.
    pub(super) fn detached() -> Arc<Claims> {
        let state = Mutex::new(Remembered { adopt: vec![String::new()], ..Remembered::default() });
        let stores = vec![String::new()];
        Arc::new(Claims { disk: None, state, found_spool: None, spool: OnceLock::new(), stores })
    }

    /// Returns true if there is no data folder.
    pub(super) fn is_detached(&self) -> bool {
        self.disk.is_none()
    }

    /// Sets the open spool, whose ids are compared from now on.
    pub fn watch(&self, spool: &Arc<Spool>) {
        let _ = self.spool.set(Arc::clone(spool)); // a process has one spool
    }

    /// Notes durably that ids from `end` on are assigned while these stores cannot report whether
    /// they already have records with these ids.
    pub fn note_unconfirmed(&self, stores: &[String], end: RecordId) -> io::Result<()> {
        self.change(|state| {
            for store in stores {
                let first = state.unconfirmed.entry(store.clone()).or_insert(end);
                *first = (*first).min(end);
            }
            if state.unconfirmed.len() > CLAIMED_DATABASES_MAX {
                state.unconfirmed.retain(|store, _| self.stores.contains(store));
            }
        })
    }

    /// Returns the marks for adoption that no configured store has used.
    pub fn adoptions_of_others(&self) -> Vec<String> {
        let state = self.state();
        state
            .adopt
            .iter()
            .filter(|name| **name != DEFAULT_DATABASE && !self.stores.contains(name))
            .cloned()
            .collect()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Remembered> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the content durably, if the change makes a difference. After an error the content is
    /// as it was.
    pub(super) fn change(&self, change: impl FnOnce(&mut Remembered)) -> io::Result<()> {
        let mut state = self.state();
        let mut changed = state.clone();
        change(&mut changed);
        if changed != *state {
            if let Some(disk) = &self.disk {
                write(&**disk, &changed)?;
            }
            *state = changed;
        }
        Ok(())
    }

    /// Returns the ids that the spool holds; `None` if there is no spool to compare with.
    pub(super) fn spool(&self) -> Option<SpoolExtent> {
        if let Some(spool) = self.spool.get() {
            let (first, end) = (spool.oldest_id(), spool.durable_id());
            return Some(SpoolExtent { first, end, is_starting: false });
        }
        let (first, end) = self.found_spool?;
        Some(SpoolExtent { first, end, is_starting: true })
    }

    /// Returns what is noted about a database for a store. A store that was renamed in the
    /// configuration is recognised.
    pub(super) fn database(&self, database: &str, store: &str) -> Option<ClaimedDatabase> {
        let state = self.state();
        let position = self.find(&state, database, store)?;
        state.databases.get(position).cloned()
    }

    fn find(&self, state: &Remembered, database: &str, store: &str) -> Option<usize> {
        let known = || state.databases.iter().enumerate().filter(|(_, known)| known.database == database);
        let of_store = known().find(|(_, known)| known.store == store);
        let found = of_store.or_else(|| known().find(|(_, known)| !self.stores.contains(&known.store)));
        found.map(|(position, _)| position)
    }

    /// Notes a claim durably before it is made. `held` is the claim that the database has now: it
    /// is not forgotten, however many claims are noted in vain.
    pub(super) fn issue(
        &self,
        database: &str,
        store: &str,
        number: i64,
        held: Option<i64>,
    ) -> io::Result<()> {
        self.change(|state| {
            let mut known = match self.find(state, database, store) {
                Some(at) => state.databases.remove(at),
                None => ClaimedDatabase { database: database.into(), ..ClaimedDatabase::default() },
            };
            known.store = store.into();
            known.issued.push(number);
            if known.issued.len() > CLAIMS_PER_DATABASE_MAX
                && let Some(oldest) = known.issued.iter().position(|issued| Some(*issued) != held)
            {
                known.issued.remove(oldest);
            }
            state.databases.push(known);
            let surplus = state.databases.len().saturating_sub(CLAIMED_DATABASES_MAX);
            state.databases.drain(..surplus);
        })
    }

    /// Notes durably what follows from a claim that was made.
    pub(super) fn confirm(
        &self,
        database: &str,
        (store, alias): (&str, Option<&str>),
        node: &str,
        position: RecordId,
    ) -> io::Result<()> {
        self.change(|state| {
            let is_this = |name: &String| name == store || Some(name.as_str()) == alias;
            let is_adopted = state.adopt.iter().any(is_this);
            state.adopt.retain(|name| !is_this(name));
            state.unconfirmed.remove(store);
            if let Some(at) = self.find(state, database, store)
                && let Some(known) = state.databases.get_mut(at)
            {
                known.node = Some(node.into());
                if is_adopted {
                    known.accepted = Some(position);
                }
            }
        })
    }
}

/// Stands for the database `logboom.db` of the data folder, whatever the name of its store is: no
/// store can have this name.
pub const DEFAULT_DATABASE: &str = "./logboom.db";

/// Makes the next start of a data folder accept a store as it is, once: the store then belongs to
/// this folder, and goes on from its own position.
pub fn adopt(disk: &dyn Disk, store: &str) -> io::Result<()> {
    let mut state = read(disk)?;
    if state.adopt.iter().any(|name| name == store) {
        return Ok(());
    }
    state.adopt.push(store.to_owned());
    let surplus = state.adopt.len().saturating_sub(CLAIMED_DATABASES_MAX);
    state.adopt.drain(..surplus);
    write(disk, &state)
}

fn read(disk: &dyn Disk) -> io::Result<Remembered> {
    let Some(entry) = disk.list()?.into_iter().find(|entry| entry.name == FILE) else {
        return Ok(Remembered::default());
    };
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the file `claims` is damaged");
    if entry.bytes > CLAIMS_BYTES_MAX {
        return Err(damaged());
    }
    let mut bytes = vec![0; entry.bytes as usize];
    let read = disk.open(FILE)?.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    let text = String::from_utf8(bytes).map_err(|_| damaged())?;
    let (json, checksum) = text.split_once('\n').ok_or_else(damaged)?;
    if checksum.trim_end() != checksum_of(json) {
        return Err(damaged());
    }
    let state: Remembered = serde_json::from_str(json).map_err(|_| damaged())?;
    if state.version != VERSION {
        let what =
            format!("the file `claims` has version {}, this program supports {VERSION}", state.version);
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    let ids = state.unconfirmed.values().chain(state.databases.iter().flat_map(|known| &known.accepted));
    if !ids.copied().all(|id| (1..=RECORD_ID_MAX).contains(&id)) {
        return Err(damaged());
    }
    Ok(state)
}

fn write(disk: &dyn Disk, state: &Remembered) -> io::Result<()> {
    let json = serde_json::to_string(state)?;
    let text = format!("{json}\n{}\n", checksum_of(&json));
    let file = disk.open(DRAFT)?;
    file.set_length(0)?; // an earlier draft may be longer
    file.write_at(text.as_bytes(), 0)?;
    file.sync()?;
    disk.rename(DRAFT, FILE)
}

fn checksum_of(json: &str) -> String {
    format!("{:08x}", crc32c::crc32c(json.as_bytes()))
}
