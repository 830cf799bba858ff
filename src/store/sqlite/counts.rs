//! Counts: how many records of each time, severity and service a block has, so that counting need
//! not read rows.
//!
//! `block_counts` has a row for each block that is complete, has no gaps in its ids, and has no
//! dead letters among its rows. Times are counted by slots of a second, of a minute, or of
//! whichever length in [`SLOTS`] results in at most [`SQLITE_COUNTS_MAX`] counts of a block.
//!
//! ```text
//! varint  number of services, and for each the length of its name, and the name
//! counts, in order of slots:
//!     varint  slots since the previous count; for the first, since the Unix epoch (zigzag)
//!     varint  severity number
//!     varint  index of the service in the list
//!     varint  number of records
//! ```

use std::collections::HashMap;
use std::ops::RangeInclusive;

use foldhash::fast::RandomState;
use rusqlite::{Connection, params};

use super::filter::number_of;
use crate::limits::{SQLITE_BLOCK_ROWS, SQLITE_COUNTS_MAX, SQLITE_COUNTS_SERVICES_BYTES_MAX};
use crate::record::time::SECOND;
use crate::record::{RecordId, put_varint, take_varint};

/// Lengths of slots, in seconds. The steps of histograms are multiples of one of the shorter
/// lengths.
const SLOTS: [i64; 6] = [1, 5, 60, 300, 3600, 86_400];

/// The counts of a growing block.
#[derive(Debug)]
pub(super) struct Counts {
    number: u64,
    records: u64,
    by_key: HashMap<Key, u64, RandomState>,
    slot_seconds: i64,
    /// The slot of the last record, with its first and last ns: the next record is mostly in the
    /// same slot.
    slot: Option<(i64, RangeInclusive<i64>)>,
    services: HashMap<Box<str>, u16, RandomState>,
    /// The names of the services, in the order of their indexes, in the form in which they are
    /// stored.
    names: Vec<u8>,
    is_spoilt: bool,
}

/// What is counted together: a slot, a severity and a service. Keys are in the order of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key(i64);

impl Key {
    /// Creates a key. Slots are at least one second long, and an `i64` in ns holds 2^34 seconds.
    fn new(slot: i64, severity_number: u8, service: u16) -> Key {
        Key(slot << 24 | i64::from(severity_number) << 16 | i64::from(service))
    }

    fn slot(self) -> i64 {
        self.0 >> 24
    }

    fn severity_number(self) -> u8 {
        (self.0 >> 16) as u8
    }

    fn service(self) -> u16 {
        self.0 as u16
    }

    /// Returns the key for slots that are `times` times as long.
    fn of_longer(self, times: i64) -> Key {
        Key::new(self.slot().div_euclid(times), self.severity_number(), self.service())
    }
}

/// A count that was read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count<'a> {
    /// The first and the last ns that it may cover.
    pub(super) times: (i64, i64),
    pub(super) severity_number: u8,
    pub(super) service: &'a str,
    pub(super) records: u64,
}

impl Counts {
    pub(super) fn new(number: u64) -> Counts {
        Counts {
            number,
            records: 0,
            by_key: HashMap::default(),
            slot_seconds: SLOTS[0],
            slot: None,
            services: HashMap::default(),
            names: Vec::new(),
            is_spoilt: false,
        }
    }

    /// Returns the index of a service.
    pub(super) fn service(&mut self, service: &str) -> u16 {
        if let Some(place) = self.services.get(service) {
            return *place;
        }
        if self.names.len() + service.len() > SQLITE_COUNTS_SERVICES_BYTES_MAX {
            self.spoil();
        }
        if self.is_spoilt {
            return 0;
        }
        let place = self.services.len() as u16; // a block has at most as many services as rows
        self.services.insert(service.into(), place);
        put_varint(&mut self.names, service.len() as u64);
        self.names.extend_from_slice(service.as_bytes());
        place
    }

    pub(super) fn add(&mut self, timestamp: i64, severity_number: u8, service: u16) {
        if self.is_spoilt {
            return;
        }
        let slot = match &self.slot {
            Some((slot, times)) if times.contains(&timestamp) => *slot,
            _ => self.slot.insert(slot_of(timestamp, self.slot_seconds)).0,
        };
        *self.by_key.entry(Key::new(slot, severity_number, service)).or_insert(0) += 1;
        self.records += 1;
        while self.by_key.len() > SQLITE_COUNTS_MAX {
            self.lengthen_slots();
        }
    }

    /// Changes to slots of the next length, of which there are fewer.
    fn lengthen_slots(&mut self) {
        let Some(longer) = SLOTS.into_iter().find(|seconds| *seconds > self.slot_seconds) else {
            return self.spoil();
        };
        for (key, records) in std::mem::take(&mut self.by_key) {
            *self.by_key.entry(key.of_longer(longer / self.slot_seconds)).or_insert(0) += records;
        }
        self.slot_seconds = longer;
        self.slot = None;
    }

    /// Discards the counts: records that were added are not among the rows, or are too different.
    /// There will be no counts.
    pub(super) fn spoil(&mut self) {
        self.is_spoilt = true;
        self.by_key = HashMap::default();
    }

    /// Returns the counts in the form in which they are stored, unless records are missing or too
    /// different.
    pub(super) fn finish(self) -> Option<CompleteCounts> {
        if self.is_spoilt || self.records != SQLITE_BLOCK_ROWS {
            return None;
        }
        let mut counts: Vec<(Key, u64)> = self.by_key.into_iter().collect();
        counts.sort_unstable();
        let bytes = encode(self.services.len(), &self.names, &counts);
        Some(CompleteCounts { number: self.number, slot_seconds: self.slot_seconds, bytes })
    }
}

/// Returns the slot of a time, and the times that the slot contains.
fn slot_of(timestamp: i64, seconds: i64) -> (i64, RangeInclusive<i64>) {
    let length = seconds * SECOND;
    let slot = timestamp.div_euclid(length);
    (slot, slot.saturating_mul(length)..=(slot + 1).saturating_mul(length) - 1)
}

/// The counts of a complete block.
#[derive(Debug)]
pub(super) struct CompleteCounts {
    number: u64,
    slot_seconds: i64,
    bytes: Vec<u8>,
}

impl CompleteCounts {
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO block_counts VALUES (?, ?, ?)")?;
        insert.execute(params![self.number as i64, self.slot_seconds, self.bytes]).map(|_| ())
    }
}

fn encode(services: usize, names: &[u8], counts: &[(Key, u64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, services as u64);
    bytes.extend_from_slice(names);
    let mut before = None;
    for (key, records) in counts {
        let slot = key.slot();
        let slots = match before {
            None => (slot << 1) ^ (slot >> 63),
            Some(before) => slot - before,
        };
        let numbers = [slots.cast_unsigned(), key.severity_number().into(), key.service().into(), *records];
        numbers.into_iter().for_each(|number| put_varint(&mut bytes, number));
        before = Some(slot);
    }
    bytes
}

/// Decodes counts; returns `None` for bytes that [`encode`] cannot have written.
pub(super) fn decode(mut bytes: &[u8], slot_seconds: i64) -> Option<Vec<Count<'_>>> {
    let rest = &mut bytes;
    let slot_length = slot_seconds.checked_mul(SECOND)?;
    let services = take_varint(rest).ok()?.min(SQLITE_BLOCK_ROWS);
    let services = (0..services).map(|_| take_name(rest)).collect::<Option<Vec<&str>>>()?;
    let mut counts = Vec::new();
    let mut before: Option<i64> = None;
    while !rest.is_empty() {
        let slots = take_varint(rest).ok()?;
        let slot = match before {
            None => (slots >> 1).cast_signed() ^ -(slots & 1).cast_signed(),
            Some(before) => before.checked_add_unsigned(slots)?,
        };
        before = Some(slot);
        // The first possible slot starts before the first ns.
        let start = slot.checked_mul(slot_length).unwrap_or(i64::MIN);
        counts.push(Count {
            times: (start, start.saturating_add(slot_length - 1)),
            severity_number: take_varint(rest).ok()?.try_into().ok()?,
            service: services.get(usize::try_from(take_varint(rest).ok()?).ok()?)?,
            records: take_varint(rest).ok()?,
        });
    }
    Some(counts)
}

fn take_name<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(take_varint(rest).ok()?).ok()?;
    let (name, after) = rest.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(name).ok()
}

/// Deletes the counts of blocks that have lost records: such blocks are then counted row by row.
pub(super) fn delete_of(connection: &Connection, ids: &[RecordId]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM block_counts WHERE number = ?")?;
    for same in ids.chunk_by(|one, other| number_of(*one) == number_of(*other)) {
        delete.execute([number_of(same[0]) as i64])?;
    }
    Ok(())
}

/// Deletes the counts of the blocks before a block.
pub(super) fn delete_before(connection: &Connection, number: u64) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM block_counts WHERE number < ?")?;
    delete.execute([number as i64]).map(|_| ())
}
