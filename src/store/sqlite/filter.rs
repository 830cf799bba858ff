//! Bloom filters: for each block, the tokens that may occur in its records.
//!
//! Blocks have numbers: block `n` has the ids from `4096 n + 1` to `4096 (n + 1)`. A filter is a
//! sequence of *lines* of 504 bits. A token selects one line, by its upper bits, and four bits in
//! the line (a blocked Bloom filter). The first block of a *group*, which is 64 consecutive blocks,
//! determines the number of lines that all filters of the group have: as many as are needed for
//! about a quarter of the bits to be set.
//!
//! `filter` contains the filter of each block that is complete, written with the last row of the
//! block. Once a group has ended, its filters are *turned*, that is, transposed: for each bit of a
//! line, `filter_line` contains which of the 64 blocks have the bit set. So one row of 4 KiB, two
//! of which fill a page, shows for one token which blocks of 262,144 records may have the token.
//!
//! A block without a filter (from an older version) may have every token. The growing block has its
//! filter in memory; this filter is built from the rows when the database is opened.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, params};

use crate::limits::{
    SQLITE_BLOCK_ROWS, SQLITE_FILTER_LINES_FIRST, SQLITE_FILTER_LINES_MAX, SQLITE_FILTER_LOAD,
    SQLITE_FILTER_TOKENS_KEPT,
};
use crate::query::tokens::{Requirement, Token};
use crate::record::RecordId;

/// Blocks in a group: as many as a machine word has bits.
const GROUP_BLOCKS: u64 = u64::BITS as u64;

/// Bits of a line: a few less than 512, so that two turned lines fit into a page.
const LINE_BITS: u64 = 504;

/// Words of a line.
const LINE_WORDS: usize = 8;
const LINE_BYTES: usize = 8 * LINE_WORDS;

/// Bits of a line that one token sets.
const TOKEN_BITS: u32 = 4;

/// Ids that are reserved for the turned lines of a group. The id of a line is the number of its
/// group times this, plus the index of the line.
const LINES_OF_GROUP: u64 = SQLITE_FILTER_LINES_MAX as u64;

/// Returns the number of the block that contains an id.
pub(super) fn number_of(id: RecordId) -> u64 {
    id.saturating_sub(1) / SQLITE_BLOCK_ROWS
}

/// Returns the group of a block.
pub(super) fn group_of(number: u64) -> u64 {
    number / GROUP_BLOCKS
}

/// Returns the first id of the block that is growing at a position. If that block has no rows yet,
/// this is the position itself.
pub(super) fn first_id_of(position: RecordId) -> RecordId {
    number_of(position) * SQLITE_BLOCK_ROWS + 1
}

/// Returns the line that a token selects among `lines`, and the bits of the token in that line.
fn place(token: Token, lines: usize) -> (usize, [usize; TOKEN_BITS as usize]) {
    const LINE_SHIFT: u32 = u64::BITS - SQLITE_FILTER_LINES_FIRST.ilog2();
    let bit = |index: usize| ((((token.0 >> (12 * index)) & 0xfff) * LINE_BITS) >> 12) as usize;
    (scaled((token.0 >> LINE_SHIFT) as usize, lines), std::array::from_fn(bit))
}

/// Returns the line, among fewer lines, that corresponds to a line among the largest number of
/// lines.
fn scaled(line: usize, lines: usize) -> usize {
    line * lines / SQLITE_FILTER_LINES_FIRST
}

/// A line of a filter, aligned like a cache line of the processor: a token touches one cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Line([u64; LINE_WORDS]);

const EMPTY: Line = Line([0; LINE_WORDS]);

/// The filter of a growing block.
#[derive(Debug)]
pub(super) struct Filter {
    number: u64,
    lines: Vec<Line>,
    /// Tokens that were added recently, each in a slot of its own: most words occur again and
    /// again.
    recent: Box<[u64; SQLITE_FILTER_TOKENS_KEPT]>,
}

/// The filter of a complete block.
#[derive(Debug)]
pub(super) struct CompleteFilter {
    pub(super) number: u64,
    bits: Vec<u8>,
}

impl Filter {
    /// Creates an empty filter, as large as the other filters of its group if there are any.
    pub(super) fn new(number: u64, lines: Option<usize>) -> Filter {
        // The initial value of each slot belongs to another slot, so that it matches no token.
        let recent = Box::new(std::array::from_fn(|place| !(place as u64)));
        Filter { number, lines: vec![EMPTY; lines.unwrap_or(SQLITE_FILTER_LINES_FIRST)], recent }
    }

    /// Returns the number of the filter's block.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn add(&mut self, token: Token) {
        let recent = &mut self.recent[token.0 as usize % SQLITE_FILTER_TOKENS_KEPT];
        if std::mem::replace(recent, token.0) == token.0 {
            return;
        }
        let (line, bits) = place(token, self.lines.len());
        let Line(line) = &mut self.lines[line];
        for bit in bits {
            line[bit / 64 % LINE_WORDS] |= 1 << (bit % 64);
        }
    }

    /// Returns the filter in the form in which it is stored; the block has all its rows.
    pub(super) fn finish(self) -> CompleteFilter {
        let lines = match self.lines.len() {
            SQLITE_FILTER_LINES_FIRST => self.fitted(),
            _ => self.lines,
        };
        let mut bits = Vec::with_capacity(lines.len() * LINE_BYTES);
        words(&lines).for_each(|word| bits.extend_from_slice(&word.to_le_bytes()));
        CompleteFilter { number: self.number, bits }
    }

    /// Returns the same filter in as many lines as it needs.
    fn fitted(&self) -> Vec<Line> {
        let ones: u32 = words(&self.lines).map(|word| word.count_ones()).sum();
        let bits = (self.lines.len() as u64 * LINE_BITS) as f64;
        // The estimated number of times that bits were set, including repetitions of the same bit.
        let set = -(1.0 - f64::from(ones) / bits).ln() * bits;
        let wanted = set / (-(1.0 - SQLITE_FILTER_LOAD).ln() * LINE_BITS as f64);
        let lines = (wanted.ceil() as usize).clamp(1, SQLITE_FILTER_LINES_MAX);
        let mut fitted = vec![EMPTY; lines];
        for (line, Line(words)) in self.lines.iter().enumerate() {
            let Line(target) = &mut fitted[scaled(line, lines)];
            target.iter_mut().zip(words).for_each(|(target, word)| *target |= word);
        }
        fitted
    }
}

impl CompleteFilter {
    /// Returns the number of lines.
    pub(super) fn lines(&self) -> usize {
        self.bits.len() / LINE_BYTES
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO filter VALUES (?, ?)")?;
        insert.execute(params![self.number as i64, self.bits]).map(|_| ())
    }
}

/// Returns the group of an id, and how many lines the existing filters of the group have.
pub(super) fn lines_of_group(
    connection: &Connection,
    id: RecordId,
) -> rusqlite::Result<Option<(u64, usize)>> {
    let group = group_of(number_of(id));
    let mut select =
        connection.prepare_cached("SELECT length(bits) FROM filter WHERE number >= ? LIMIT 1")?;
    let bytes: Option<i64> =
        select.query_row([(group * GROUP_BLOCKS) as i64], |row| row.get(0)).optional()?;
    Ok(bytes.map(|bytes| (group, bytes as usize / LINE_BYTES)))
}

fn words(lines: &[Line]) -> impl Iterator<Item = &u64> {
    lines.iter().flat_map(|Line(words)| words)
}

/// Turns the oldest group that has ended before a block, if one has not been turned yet.
pub(super) fn turn_group(connection: &Connection, number: u64) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached("SELECT min(number) FROM filter")?;
    let oldest: Option<u64> = select.query_row([], |row| row.get(0))?;
    match oldest.map(group_of) {
        Some(group) if group < group_of(number) => turn(connection, group),
        _ => Ok(()),
    }
}

fn turn(connection: &Connection, group: u64) -> rusqlite::Result<()> {
    let numbers = params![(group * GROUP_BLOCKS) as i64, ((group + 1) * GROUP_BLOCKS - 1) as i64];
    let mut select =
        connection.prepare_cached("SELECT number, bits FROM filter WHERE number BETWEEN ? AND ?")?;
    let filters = select
        .query_map(numbers, |row| Ok((row.get::<_, u64>(0)? % GROUP_BLOCKS, row.get::<_, Vec<u8>>(1)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let lines = filters.first().map_or(0, |(_, bits)| bits.len() / LINE_BYTES);
    let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO filter_line VALUES (?, ?)")?;
    for line in 0..lines {
        let mut blocks = [0u64; LINE_BITS as usize];
        for (block, bits) in &filters {
            let words = bits.get(line * LINE_BYTES..).unwrap_or_default().as_chunks::<8>().0;
            for (index, word) in words.iter().take(LINE_WORDS).enumerate() {
                let mut word = u64::from_le_bytes(*word);
                while word != 0 {
                    blocks[64 * index + word.trailing_zeros() as usize] |= 1 << block;
                    word &= word - 1;
                }
            }
        }
        let bytes: Vec<u8> = blocks.iter().flat_map(|blocks| blocks.to_le_bytes()).collect();
        insert.execute(params![(group * LINES_OF_GROUP) as i64 + line as i64, bytes])?;
    }
    let known = filters.iter().fold(0u64, |known, (block, _)| known | 1 << block);
    connection.prepare_cached("INSERT OR REPLACE INTO filter_group VALUES (?, ?, ?)")?.execute(params![
        group as i64,
        lines as i64,
        known.cast_signed()
    ])?;
    connection.prepare_cached("DELETE FROM filter WHERE number BETWEEN ? AND ?")?.execute(numbers)?;
    Ok(())
}

/// Deletes the filters of the blocks before a block.
pub(super) fn delete_before(connection: &Connection, number: u64) -> rusqlite::Result<()> {
    let group = group_of(number);
    let delete = |sql, bound: u64| connection.prepare_cached(sql)?.execute([bound as i64]).map(|_| ());
    delete("DELETE FROM filter WHERE number < ?", number)?;
    delete("DELETE FROM filter_line WHERE id < ?", group * LINES_OF_GROUP)?;
    delete("DELETE FROM filter_group WHERE number < ?", group)
}

/// Determines which blocks may have what a query requires. Keeps the result for the last group.
pub(super) struct BlockPruner<'c> {
    requirement: &'c Requirement,
    group: Option<(u64, u64)>,
    lookups: usize,
    connection: &'c Connection,
}

/// A group with the filters that were found for it.
enum Group {
    Turned {
        number: u64,
        lines: usize,
        known: u64,
    },
    /// Not ended yet, or older than the filters.
    Single {
        number: u64,
        lines: usize,
        known: u64,
    },
}

impl<'c> BlockPruner<'c> {
    pub(super) fn new(connection: &'c Connection, requirement: &'c Requirement) -> BlockPruner<'c> {
        BlockPruner { requirement, group: None, lookups: 0, connection }
    }

    /// Returns how many lookups in the database were needed.
    pub(super) fn lookups(&self) -> usize {
        self.lookups
    }

    /// Returns true if records with these ids may match; false only if none of them matches.
    pub(super) fn lets_through(&mut self, ids: &Range<RecordId>) -> rusqlite::Result<bool> {
        if *self.requirement == Requirement::Nothing {
            return Ok(true);
        }
        for number in number_of(ids.start)..=number_of(ids.end.saturating_sub(1)) {
            if self.blocks(group_of(number))? >> (number % GROUP_BLOCKS) & 1 == 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns which blocks of a group may have what is required, one bit per block.
    fn blocks(&mut self, group: u64) -> rusqlite::Result<u64> {
        if let Some((number, blocks)) = self.group
            && number == group
        {
            return Ok(blocks);
        }
        let found = self.find(group)?;
        let blocks = match &found {
            Group::Turned { known: 0, .. } | Group::Single { known: 0, .. } => u64::MAX,
            Group::Turned { known, .. } | Group::Single { known, .. } => {
                self.blocks_with(self.requirement, &found)? | !known
            }
        };
        self.group = Some((group, blocks));
        Ok(blocks)
    }

    fn find(&mut self, number: u64) -> rusqlite::Result<Group> {
        self.lookups += 1;
        let turned = |row: &rusqlite::Row<'_>| {
            let known = row.get::<_, i64>(1)?.cast_unsigned();
            let lines = row.get::<_, usize>(0)?.min(SQLITE_FILTER_LINES_MAX);
            Ok(Group::Turned { number, lines, known })
        };
        let mut select =
            self.connection.prepare_cached("SELECT lines, known FROM filter_group WHERE number = ?")?;
        if let Some(group) = select.query_row([number as i64], turned).optional()? {
            return Ok(group);
        }
        let (mut lines, mut known) = (0, 0);
        self.each_single(number, 0, |block, bytes, _| {
            lines = bytes / LINE_BYTES;
            known |= 1 << block;
        })?;
        Ok(Group::Single { number, lines, known })
    }

    /// Returns the blocks of a group in which a requirement may hold, one bit per block.
    fn blocks_with(&mut self, requirement: &Requirement, group: &Group) -> rusqlite::Result<u64> {
        match requirement {
            Requirement::Nothing => Ok(u64::MAX),
            Requirement::Token(token) => self.blocks_with_token(*token, group),
            Requirement::All(inner) => {
                let mut blocks = u64::MAX;
                for inner in inner {
                    blocks &= self.blocks_with(inner, group)?;
                    if blocks == 0 {
                        break;
                    }
                }
                Ok(blocks)
            }
            Requirement::Any(inner) => {
                let mut blocks = 0;
                for inner in inner {
                    blocks |= self.blocks_with(inner, group)?;
                }
                Ok(blocks)
            }
        }
    }

    fn blocks_with_token(&mut self, token: Token, group: &Group) -> rusqlite::Result<u64> {
        self.lookups += 1;
        match *group {
            Group::Turned { number, lines, .. } => {
                let (line, bits) = place(token, lines);
                let id = (number * LINES_OF_GROUP) as i64 + line as i64;
                let mut select =
                    self.connection.prepare_cached("SELECT blocks FROM filter_line WHERE id = ?")?;
                select.query_row([id], |row| {
                    let turned = row.get_ref(0)?.as_blob()?.as_chunks::<8>().0;
                    let with =
                        |bit: usize| turned.get(bit).map_or(u64::MAX, |word| u64::from_le_bytes(*word));
                    Ok(bits.into_iter().fold(u64::MAX, |blocks, bit| blocks & with(bit)))
                })
            }
            Group::Single { number, lines, .. } => {
                let (line, bits) = place(token, lines);
                let mut blocks = 0;
                self.each_single(number, line, |block, _, words| {
                    let is_set = |bit: usize| {
                        words
                            .get(bit / 64)
                            .is_none_or(|word| u64::from_le_bytes(*word) >> (bit % 64) & 1 == 1)
                    };
                    blocks |= u64::from(bits.into_iter().all(is_set)) << block;
                })?;
                Ok(blocks)
            }
        }
    }

    /// Passes each filter of a group that is not turned to `found`: the index of its block in the
    /// group, its length, and one line.
    fn each_single(
        &self,
        group: u64,
        line: usize,
        mut found: impl FnMut(u64, usize, &[[u8; 8]]),
    ) -> rusqlite::Result<()> {
        let (first, last) = (group * GROUP_BLOCKS, (group + 1) * GROUP_BLOCKS - 1);
        let (offset, length) = (line * LINE_BYTES + 1, LINE_BYTES);
        let mut select = self.connection.prepare_cached(
            "SELECT number, length(bits), substr(bits, ?, ?) FROM filter WHERE number BETWEEN ? AND ?",
        )?;
        let mut rows = select.query(params![offset as i64, length as i64, first as i64, last as i64])?;
        while let Some(row) = rows.next()? {
            let number: u64 = row.get(0)?;
            found(number % GROUP_BLOCKS, row.get(1)?, row.get_ref(2)?.as_blob()?.as_chunks::<8>().0);
        }
        Ok(())
    }
}
