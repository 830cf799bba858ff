//! One file: the content that the program sees, the content on the disk, and the pending changes
//! between the two.

use std::ops::Range;

use super::random::Random;

const SECTOR_BYTES: u64 = 512;
pub(crate) const PAGE_BYTES: u64 = 4096;
/// The header of the smallest structure that is written: writes are cut before, in and after it.
const HEADER_BYTES: u64 = 32;

/// A change of the file since its last sync.
#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

/// The fate of a write that was not synced.
enum Fate {
    Lost,
    Kept,
    /// This many of its bytes reach the disk.
    Prefix(u64),
    /// Each sector reaches the disk or not, independently of the others.
    Sectors,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    /// The content that reads return: the page cache.
    pub(super) live: Vec<u8>,
    /// The content that is certainly on the disk.
    pub(super) durable: Vec<u8>,
    pending: Vec<Change>,
    /// Ranges that cannot be read.
    pub(super) unreadable: Vec<Range<u64>>,
    pub(super) identity: u64,
    /// Number of open handles.
    pub(super) handles: usize,
}

impl Image {
    pub(super) fn new(identity: u64) -> Image {
        Image { identity, ..Image::default() }
    }

    pub(super) fn is_unreadable(&self, offset: u64, bytes: u64) -> bool {
        self.unreadable.iter().any(|place| place.start < offset + bytes && offset < place.end)
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        put(&mut self.live, bytes, offset);
        self.pending.push(Change::Write { offset, bytes: bytes.to_vec() });
        // A disk relocates a bad sector when it is written to.
        let written = offset..offset + bytes.len() as u64;
        self.unreadable.retain(|place| place.end <= written.start || written.end <= place.start);
    }

    pub(super) fn set_length(&mut self, length: u64) {
        self.live.resize(length as usize, 0);
        self.pending.push(Change::Length(length));
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable);
        }
    }

    /// Applies a failed sync: the data that it did not write stays in the cache and counts as
    /// written, so that no later sync writes it. Lengths belong to the file system's journal and
    /// stay pending.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { .. } => change.settle(&mut self.durable, random),
                Change::Length(_) => self.pending.push(change),
            }
        }
    }

    /// Evicts from the cache everything that the cache believes to be on the disk.
    pub(super) fn evict(&mut self) {
        self.live.clone_from(&self.durable);
        for change in &self.pending {
            change.apply(&mut self.live);
        }
    }

    /// Applies a loss of power: each pending change is lost, kept or torn.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.pending) {
            change.settle(&mut self.durable, random);
        }
        self.live.clone_from(&self.durable);
    }

    /// Applies a loss of power that leaves only synced data.
    pub(super) fn lose_all(&mut self) {
        self.pending.clear();
        self.live.clone_from(&self.durable);
    }

    /// Truncates the file, on the disk and in the cache.
    pub(super) fn cut(&mut self, length: u64) {
        self.pending.clear();
        self.live.truncate(length as usize);
        self.durable.truncate(length as usize);
    }

    /// Flips a bit, on the disk and in the cache.
    pub(super) fn flip(&mut self, offset: u64, bit: u32) {
        for bytes in [&mut self.live, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(offset as usize) {
                *byte ^= 1 << bit;
            }
        }
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => put(to, bytes, *offset),
            Change::Length(length) => to.resize(*length as usize, 0),
        }
    }

    /// Applies as much of the change as the seed determines.
    fn settle(&self, to: &mut Vec<u8>, random: &mut Random) {
        let Change::Write { offset, bytes } = self else {
            if random.one_in(2) {
                self.apply(to);
            }
            return;
        };
        match fate(bytes.len() as u64, *offset, random) {
            Fate::Lost => lengthen(to, offset + bytes.len() as u64, random),
            Fate::Kept => put(to, bytes, *offset),
            Fate::Prefix(kept) => {
                lengthen(to, offset + bytes.len() as u64, random);
                put(to, &bytes[..kept as usize], *offset);
            }
            Fate::Sectors => {
                lengthen(to, offset + bytes.len() as u64, random);
                for sector in sectors(*offset, bytes.len() as u64) {
                    if random.one_in(2) {
                        let part = (sector.start - offset) as usize..(sector.end - offset) as usize;
                        put(to, &bytes[part], sector.start);
                    }
                }
            }
        }
    }
}

fn put(to: &mut Vec<u8>, bytes: &[u8], offset: u64) {
    let (start, end) = (offset as usize, offset as usize + bytes.len());
    if bytes.is_empty() {
        return;
    }
    to.resize(to.len().max(end), 0);
    to[start..end].copy_from_slice(bytes);
}

/// Extends the content with zeros or not, by chance. Where a write did not reach the disk, the old
/// bytes remain. Behind the end of the file these are none, or zeros if the new length reached the
/// disk without the bytes.
fn lengthen(to: &mut Vec<u8>, end: u64, random: &mut Random) {
    if random.one_in(2) {
        to.resize(to.len().max(end as usize), 0);
    }
}

fn fate(bytes: u64, offset: u64, random: &mut Random) -> Fate {
    match random.below(10) {
        0..3 => Fate::Lost,
        3..6 => Fate::Kept,
        6..8 => Fate::Sectors,
        _ => Fate::Prefix(cut(bytes, offset, random)),
    }
}

/// Returns the number of bytes after which a write tears, at every kind of place.
pub(super) fn cut(bytes: u64, offset: u64, random: &mut Random) -> u64 {
    let boundary = |unit: u64, random: &mut Random| {
        let first = offset.next_multiple_of(unit) - offset;
        first + unit * random.below(1 + bytes / unit)
    };
    let at = match random.below(9) {
        0 => 0,
        1 => 1,
        2 => random.below(HEADER_BYTES),
        3 => HEADER_BYTES,
        4 => random.below(bytes + 1),
        5 => boundary(SECTOR_BYTES, random),
        6 => boundary(PAGE_BYTES, random),
        7 => bytes.saturating_sub(1),
        _ => bytes,
    };
    at.min(bytes)
}

/// Returns the sectors that a write touches, limited to the written range.
fn sectors(offset: u64, bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let end = offset + bytes;
    let first = offset / SECTOR_BYTES;
    (first..end.div_ceil(SECTOR_BYTES))
        .map(move |sector| (sector * SECTOR_BYTES).max(offset)..((sector + 1) * SECTOR_BYTES).min(end))
}
