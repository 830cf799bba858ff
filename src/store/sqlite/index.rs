//! Collects the filter and the counts of each block while its rows are written.
//!
//! The index reads records and nothing else, so that it can be built in parallel with the inserting
//! of the rows. What is complete is written in the transaction of the last row that it covers.

use rusqlite::Connection;

use super::counts::{self, Counts};
use super::filter::{self, Filter};
use super::search;
use crate::limits::{SQLITE_BLOCK_ROWS, SQLITE_REREAD_BYTES_MAX};
use crate::query::tokens::{self, NameTokens, Token};
use crate::record::{EncodedRecord, Origin, RecordId, RecordRef, origin_of};
use crate::store::WriteOutcome;

/// The filters and counts of blocks whose rows are being written.
#[derive(Debug)]
pub(super) struct Index {
    growing: Option<Growing>,
    /// The last group that has filters, and how many lines these filters have.
    lines: Option<(u64, usize)>,
    /// The block that gets no filter and no counts, because reading its rows again would have taken
    /// too long.
    left_out: Option<u64>,
    complete: Vec<CompleteBlock>,
}

/// The result for a block. It has counts only if the block has all its rows.
#[derive(Debug)]
struct CompleteBlock {
    filter: filter::CompleteFilter,
    counts: Option<counts::CompleteCounts>,
}

/// What is collected for a block until the block is complete.
#[derive(Debug)]
struct Growing {
    filter: Filter,
    counts: Counts,
    /// The encoded origin of the previous record, which the next record often has too, and whether
    /// there is one.
    origin: Vec<u8>,
    is_begun: bool,
    /// The index of the last service in the counts.
    service: u16,
    names: NameTokens,
    /// The tokens of one record. Collecting all of them first allows the memory of the filter to be
    /// fetched for several tokens at once.
    tokens: Vec<Token>,
}

impl Index {
    /// Continues with the rows of the block that contains `position`.
    pub(super) fn open(connection: &Connection, position: RecordId) -> rusqlite::Result<Index> {
        let lines = filter::lines_of_group(connection, position)?;
        let mut index = Index { growing: None, lines, left_out: None, complete: Vec::new() };
        let mut bytes = 0;
        let is_read = search::each_from(connection, filter::first_id_of(position), |id, record| {
            bytes += record.message.len() + record.attributes.len();
            index.gather(id, record, None);
            bytes <= SQLITE_REREAD_BYTES_MAX
        })?;
        if !is_read {
            index.growing = None;
            index.left_out = Some(filter::number_of(position));
        }
        Ok(index)
    }

    /// Adds a record to the filter and the counts of its block.
    pub(super) fn add(&mut self, id: RecordId, record: &EncodedRecord<'_>) {
        self.gather(id, &record.body, Some(record.origin));
    }

    /// Adds a record, which has its origin unless there is an encoded one.
    fn gather(&mut self, id: RecordId, record: &RecordRef<'_>, origin: Option<&[u8]>) {
        let number = filter::number_of(id);
        if self.left_out == Some(number) {
            return;
        }
        if self.growing.as_ref().is_some_and(|growing| growing.filter.number() != number) {
            self.complete(); // after a gap in the ids, no further record can belong to it
        }
        let lines = self.lines.filter(|(group, _)| *group == filter::group_of(number));
        let growing = self.growing.get_or_insert_with(|| Growing::new(number, lines.map(|(_, lines)| lines)));
        growing.add(record, origin);
        if id.is_multiple_of(SQLITE_BLOCK_ROWS) {
            self.complete();
        }
    }

    fn complete(&mut self) {
        if let Some(Growing { filter, counts, .. }) = self.growing.take() {
            let filter = filter.finish();
            self.lines = Some((filter::group_of(filter.number), filter.lines()));
            self.complete.push(CompleteBlock { filter, counts: counts.finish() });
        }
    }

    /// Ensures that deleted records are not counted, in the transaction that deletes them. Filters
    /// stay, because they show only what blocks may have.
    pub(super) fn forget_records(
        &mut self,
        connection: &Connection,
        ids: &[RecordId],
    ) -> rusqlite::Result<()> {
        if let Some(growing) = &mut self.growing
            && ids.iter().any(|id| filter::number_of(*id) == growing.filter.number())
        {
            growing.counts.spoil();
        }
        counts::delete_of(connection, ids)
    }

    /// Writes what is complete when a transaction ends; writes no counts if there are rows that
    /// were not stored.
    pub(super) fn write(&mut self, connection: &Connection, written: WriteOutcome) -> rusqlite::Result<()> {
        let is_whole = written.dead_letters == 0;
        for CompleteBlock { filter, counts } in self.complete.drain(..) {
            filter::turn_group(connection, filter.number)?;
            filter.write(connection)?;
            if let Some(counts) = counts.filter(|_| is_whole) {
                counts.write(connection)?;
            }
        }
        if let Some(growing) = &mut self.growing {
            filter::turn_group(connection, growing.filter.number())?;
            if !is_whole {
                growing.counts.spoil();
            }
        }
        Ok(())
    }
}

impl Growing {
    fn new(number: u64, lines: Option<usize>) -> Growing {
        Growing {
            filter: Filter::new(number, lines),
            counts: Counts::new(number),
            origin: Vec::new(),
            is_begun: false,
            service: 0,
            names: NameTokens::default(),
            tokens: Vec::new(),
        }
    }

    fn add(&mut self, record: &RecordRef<'_>, origin: Option<&[u8]>) {
        match origin {
            None => self.add_origin(&record.origin),
            Some(encoded) if self.is_begun && encoded == self.origin => {}
            Some(encoded) => {
                // The origin was encoded by this program and has passed its checksum; the fallback,
                // an empty origin, is a valid origin too.
                self.add_origin(&origin_of(encoded).unwrap_or_default());
                encoded.clone_into(&mut self.origin);
                self.is_begun = true;
            }
        }
        tokens::of_record(record, &mut self.names, |token| self.tokens.push(token));
        self.tokens.drain(..).for_each(|token| self.filter.add(token));
        self.counts.add(record.timestamp, record.severity_number, self.service);
    }

    fn add_origin(&mut self, origin: &Origin<'_>) {
        tokens::of_origin(origin, |token| self.tokens.push(token));
        self.service = self.counts.service(origin.service);
    }
}
