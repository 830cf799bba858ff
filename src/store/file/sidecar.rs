//! The `.position` file beside a log file: how far the log file is known to be durable, and which
//! file that is.
//!
//! Two slots, at offset 0 and 4096, are written in turn, so that a torn write leaves the previous
//! slot intact. The valid slot with the higher sequence counts. All integers are little-endian:
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 8 | `LOGLINE` and the format version, 2 |
//! | 8 | 8 | sequence: incremented by each write |
//! | 16 | 8 | position: the id of the first record that is not in the log file |
//! | 24 | 8 | identity of the log file: its inode number |
//! | 32 | 8 | length of the log file at that position |
//! | 40 | 4 | number of bytes that the next checksum covers, at most 4096 (see below) |
//! | 44 | 4 | CRC32C of these bytes |
//! | 48 | 4 | local day on which the log file was begun, in days since 1970-01-01 (signed) |
//! | 52 | 4 | CRC32C of the bytes before |
//! | 56 | 64 | at length 0: how the log file will begin (`beginning.rs`), then zeros |
//! | 120 | 8 | identity of the pair of files: random, drawn at the first write of this file |
//! | 128 | 8 | number of the claim under which the log file is written (`store::claim`) |
//! | 136 | 64 | node of the data folder that writes it, in UTF-8, then zeros |
//! | 200 | 8 | zeros |
//! | 208 | 4 | CRC32C of all bytes before |
//!
//! The checksum at offset 44 covers the last bytes of the log file before that length, or, at
//! length 0, the bytes of the beginning.
//!
//! Version 1 ended after 120 bytes: log files were not claimed. Every format keeps the version and
//! the checksum at the same offsets, so that a damaged version can be distinguished from a newer
//! one.

use std::io;
use std::sync::Arc;

use super::beginning::{BEGINNING_BYTES_MAX, Beginning};
use crate::disk::{Disk, DiskFile};
use crate::limits::{LOG_FILE_TAIL_BYTES, STORE_NAME_BYTES_MAX};
use crate::record::RecordId;
use crate::record::bytes::{u32_at, u64_at};
use crate::store::claim::position_of;

const MAGIC: &[u8; 8] = b"LOGLINE\x02";
const BEGINNING_OFFSET: usize = 56;
const OWNER_OFFSET: usize = BEGINNING_OFFSET + BEGINNING_BYTES_MAX;
const NODE_OFFSET: usize = OWNER_OFFSET + 16;
const CHECKSUM_OFFSET: usize = 208;
const SLOT_BYTES: usize = CHECKSUM_OFFSET + 4;
const SLOT_OFFSETS: [u64; 2] = [0, 4096];

/// Returns the name of the file beside a log file.
pub(super) fn name_of(log: &str) -> String {
    format!("{log}.position")
}

/// What is recorded about a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SidecarState {
    /// The first record that is not in the log file.
    pub(super) position: RecordId,
    /// The inode number; see [`crate::disk::Entry::identity`].
    pub(super) identity: u64,
    pub(super) extent: LogExtent,
    /// While the extent is empty: the bytes that will be written first. No other bytes are ever
    /// written to a file recorded as empty.
    pub(super) beginning: Beginning,
    /// The local day on which the log file was begun.
    pub(super) day: i32,
}

/// The data folder that writes a log file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogOwner {
    /// The identity of log file and `.position` file; 0 if version 1 has written the file.
    pub(super) identity: u64,
    /// The number of the claim.
    pub(super) claim: i64,
    /// The node of the data folder.
    pub(super) node: String,
}

/// The length of a log file, and how it ends. The file is identified by this before anything is cut
/// off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogExtent {
    pub(super) length: u64,
    tail_bytes: u32,
    tail_checksum: u32,
}

impl LogExtent {
    /// Returns the extent after `bytes` were appended.
    pub(super) fn plus(self, bytes: &[u8]) -> LogExtent {
        if bytes.is_empty() {
            return self;
        }
        let tail = &bytes[bytes.len().saturating_sub(LOG_FILE_TAIL_BYTES)..];
        LogExtent {
            length: self.length + bytes.len() as u64,
            tail_bytes: tail.len() as u32, // at most LOG_FILE_TAIL_BYTES
            tail_checksum: crc32c::crc32c(tail),
        }
    }

    /// Returns the extent of a file of this length, and whether its last line is complete.
    pub(super) fn of(file: &dyn DiskFile, length: u64) -> io::Result<(LogExtent, bool)> {
        let tail_bytes = length.min(LOG_FILE_TAIL_BYTES as u64);
        let start = length - tail_bytes;
        let tail = read_exactly(file, start, tail_bytes as usize)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let whole = tail.last().is_none_or(|last| *last == b'\n');
        Ok((LogExtent { length: start, ..LogExtent::default() }.plus(&tail), whole))
    }

    /// Returns the extent with the longest tail that is checked. A single short line, which may be
    /// all that [`LogExtent::plus`] received last, is too little to identify a file. If others have
    /// cut the file, the extent is left as it is.
    pub(super) fn with_full_tail(self, file: &dyn DiskFile) -> io::Result<LogExtent> {
        match LogExtent::of(file, self.length) {
            Ok((extent, _)) => Ok(extent),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(self),
            Err(error) => Err(error),
        }
    }

    /// Returns true if a file is at least this long and ends with these bytes at this length.
    /// Without such bytes, nothing is proven.
    pub(super) fn is_in(&self, file: &dyn DiskFile) -> io::Result<bool> {
        let start = self.length.saturating_sub(u64::from(self.tail_bytes));
        let tail = read_exactly(file, start, self.tail_bytes as usize)?;
        Ok(self.tail_bytes > 0 && tail.is_some_and(|tail| crc32c::crc32c(&tail) == self.tail_checksum))
    }
}

/// Reads exactly this many bytes. Returns `None` if the file ends early.
fn read_exactly(file: &dyn DiskFile, offset: u64, bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; bytes];
    let read = file.read_at(&mut buffer, offset)?;
    Ok((read == bytes).then_some(buffer))
}

/// The open `.position` file.
pub(super) struct Sidecar {
    file: Arc<dyn DiskFile>,
    sequence: u64,
    /// Written with every state.
    pub(super) owner: LogOwner,
    /// Whether a write of the next sequence has failed, but may have reached the disk anyway.
    is_next_in_doubt: bool,
}

impl Sidecar {
    /// Creates an empty `.position` file if there is none. Its name is durable on return, because a
    /// process that created the file before may have been killed before the name was durable.
    pub(super) fn ensure(disk: &dyn Disk, log: &str) -> io::Result<()> {
        let name = name_of(log);
        disk.open(&name)?;
        disk.rename(&name, &name)
    }

    /// Opens the file that [`Sidecar::ensure`] created, and returns its state, or `None` if no
    /// state is readable.
    pub(super) fn open(disk: &dyn Disk, log: &str) -> io::Result<(Sidecar, Option<SidecarState>)> {
        let file = disk.open(&name_of(log))?;
        let (sequence, state, owner) = match newest_slot(&*file)? {
            Some(Slot { sequence, state, owner }) => (sequence, Some(state), owner),
            None => (0, None, LogOwner::default()),
        };
        Ok((Sidecar { file, sequence, owner, is_next_in_doubt: false }, state))
    }

    /// Records a state durably, unless another process has recorded one. If the file system has
    /// locks, no other process can.
    pub(super) fn write(&mut self, state: &SidecarState) -> io::Result<()> {
        self.check_last()?;
        self.is_next_in_doubt = true;
        let sequence = self.sequence.wrapping_add(1); // a damaged file may hold any number
        let offset = SLOT_OFFSETS[(sequence % 2) as usize];
        self.file.write_at(&encode(sequence, state, &self.owner), offset)?;
        self.file.sync()?;
        self.sequence = sequence;
        self.is_next_in_doubt = false;
        Ok(())
    }

    /// Fails if the newest slot is not the one that this process has read or written last.
    fn check_last(&self) -> io::Result<()> {
        let is_ours = |Slot { sequence, .. }| {
            sequence == self.sequence || self.is_next_in_doubt && sequence == self.sequence.wrapping_add(1)
        };
        match newest_slot(&*self.file)?.is_none_or(is_ours) {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another process has written its .position file",
            )),
        }
    }
}

/// Moves the position in a `.position` file, as another owner that has claimed the log file would.
/// Returns the bytes from before, or `None` if there was no position to move.
#[cfg(test)]
pub(crate) fn move_position(disk: &dyn Disk, log: &str, by: i64) -> io::Result<Option<Vec<u8>>> {
    let file = disk.open(&name_of(log))?;
    let mut bytes = vec![0; SLOT_OFFSETS[1] as usize + SLOT_BYTES];
    let length = file.read_at(&mut bytes, 0)?;
    bytes.truncate(length);
    let mut is_moved = false;
    for offset in SLOT_OFFSETS {
        let Some(Slot { sequence, state, mut owner }) = read_slot(&*file, offset)? else { continue };
        let position = state.position.saturating_add_signed(by).max(1);
        owner.claim ^= 1;
        file.write_at(&encode(sequence, &SidecarState { position, ..state }, &owner), offset)?;
        is_moved = true;
    }
    file.sync()?;
    Ok(is_moved.then_some(bytes))
}

/// The content of a slot.
struct Slot {
    sequence: u64,
    state: SidecarState,
    owner: LogOwner,
}

fn encode(sequence: u64, state: &SidecarState, owner: &LogOwner) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(MAGIC);
    let words = [sequence, state.position, state.identity, state.extent.length];
    for (place, word) in slot[8..40].chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    let beginning = if state.extent.length == 0 { state.beginning.bytes() } else { &[] };
    slot[BEGINNING_OFFSET..][..beginning.len()].copy_from_slice(beginning);
    let (checked, checksum) = match state.extent.length {
        0 => (beginning.len() as u32, crc32c::crc32c(beginning)), // at most BEGINNING_BYTES_MAX
        _ => (state.extent.tail_bytes, state.extent.tail_checksum),
    };
    slot[40..44].copy_from_slice(&checked.to_le_bytes());
    slot[44..48].copy_from_slice(&checksum.to_le_bytes());
    slot[48..52].copy_from_slice(&state.day.to_le_bytes());
    let checksum = crc32c::crc32c(&slot[..52]);
    slot[52..56].copy_from_slice(&checksum.to_le_bytes());
    slot[OWNER_OFFSET..][..8].copy_from_slice(&owner.identity.to_le_bytes());
    slot[OWNER_OFFSET + 8..][..8].copy_from_slice(&owner.claim.to_le_bytes());
    let node = owner.node.as_bytes();
    let node = &node[..node.len().min(STORE_NAME_BYTES_MAX)]; // names are not longer than this
    slot[NODE_OFFSET..][..node.len()].copy_from_slice(node);
    let checksum = crc32c::crc32c(&slot[..CHECKSUM_OFFSET]);
    slot[CHECKSUM_OFFSET..].copy_from_slice(&checksum.to_le_bytes());
    slot
}

/// Returns the valid slot with the higher sequence.
fn newest_slot(file: &dyn DiskFile) -> io::Result<Option<Slot>> {
    let slots = [read_slot(file, SLOT_OFFSETS[0])?, read_slot(file, SLOT_OFFSETS[1])?];
    Ok(slots.into_iter().flatten().max_by_key(|slot| slot.sequence))
}

fn read_slot(file: &dyn DiskFile, offset: u64) -> io::Result<Option<Slot>> {
    let mut slot = [0; SLOT_BYTES];
    file.read_at(&mut slot, offset)?;
    if slot[..7] != MAGIC[..7] || crc32c::crc32c(&slot[..52]) != u32_at(&slot, 52) {
        return Ok(None);
    }
    if slot[7] > MAGIC[7] {
        let message =
            format!("its .position file has format {}, this program supports format {}", slot[7], MAGIC[7]);
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    let is_whole = slot[7] == 1 || crc32c::crc32c(&slot[..CHECKSUM_OFFSET]) == u32_at(&slot, CHECKSUM_OFFSET);
    let Some(position) = position_of(u64_at(&slot, 16) as i64).filter(|_| is_whole) else { return Ok(None) };
    let owner = match slot[7] {
        1 => LogOwner::default(),
        _ => LogOwner {
            identity: u64_at(&slot, OWNER_OFFSET),
            claim: u64_at(&slot, OWNER_OFFSET + 8) as i64, // the same bits
            node: node_of(&slot[NODE_OFFSET..][..STORE_NAME_BYTES_MAX]),
        },
    };
    let state = ends_of(&slot).map(|(extent, beginning)| SidecarState {
        position,
        identity: u64_at(&slot, 24),
        extent,
        beginning,
        day: u32_at(&slot, 48) as i32, // the same bits
    });
    Ok(state.map(|state| Slot { sequence: u64_at(&slot, 8), state, owner }))
}

fn node_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Returns how the log file ends, or how it will begin. Returns `None` if the values are
/// impossible.
fn ends_of(slot: &[u8; SLOT_BYTES]) -> Option<(LogExtent, Beginning)> {
    let (length, checked, checksum) = (u64_at(slot, 32), u32_at(slot, 40), u32_at(slot, 44));
    if length == 0 {
        let beginning = slot[BEGINNING_OFFSET..].get(..checked as usize)?;
        return (crc32c::crc32c(beginning) == checksum)
            .then(|| (LogExtent::default(), Beginning::of(beginning)));
    }
    let is_plausible = checked as usize <= LOG_FILE_TAIL_BYTES && u64::from(checked) <= length;
    let extent = LogExtent { length, tail_bytes: checked, tail_checksum: checksum };
    is_plausible.then_some((extent, Beginning::default()))
}
