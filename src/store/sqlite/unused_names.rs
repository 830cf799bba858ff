//! Searches for origins that no record refers to any more, after a deletion. This search covers all
//! records, but in most databases the latest records use nearly all origins.

use std::ops::Range;

use super::search::SqliteReadConnection;
use crate::limits::{DELETE_NAMES_IDS, DELETE_SLICE_RECORDS};
use crate::record::RecordId;
use crate::store::UnusedNames;
use crate::store::reader::NameSearchStep;

/// A set of origins whose ids lie in a range, with one bit per id of the range, because there may
/// be as many origins as records.
#[derive(Debug)]
struct OriginIds {
    range: Range<i64>,
    bits: Vec<u64>,
    count: usize,
}

impl OriginIds {
    fn new(range: Range<i64>) -> OriginIds {
        // At most DELETE_NAMES_IDS bits.
        let words = range.start.abs_diff(range.end).div_ceil(64) as usize;
        OriginIds { range, bits: vec![0; words], count: 0 }
    }

    fn place(&self, id: i64) -> Option<(usize, u64)> {
        let offset = self.range.contains(&id).then(|| self.range.start.abs_diff(id))?;
        Some(((offset / 64) as usize, 1 << (offset % 64)))
    }

    fn insert(&mut self, id: i64) {
        let Some((word, bit)) = self.place(id) else { return };
        self.count += usize::from(self.bits[word] & bit == 0);
        self.bits[word] |= bit;
    }

    fn remove(&mut self, id: i64) {
        let Some((word, bit)) = self.place(id) else { return };
        self.count -= usize::from(self.bits[word] & bit != 0);
        self.bits[word] &= !bit;
    }

    /// Returns the first ids from `from` on, in ascending order.
    fn from(&self, from: i64, count: usize) -> Vec<i64> {
        let is_contained = |id: &i64| self.place(*id).is_some_and(|(word, bit)| self.bits[word] & bit != 0);
        (from.max(self.range.start)..self.range.end).filter(is_contained).take(count).collect()
    }
}

/// The progress of the search: origins are examined range by range.
#[derive(Debug)]
pub(super) struct NameSearch {
    /// The first id of an origin that was not examined.
    next: i64,
    examined: Option<ExaminedOrigins>,
}

/// The origins of one range that may have no record.
#[derive(Debug)]
struct ExaminedOrigins {
    unused: OriginIds,
    /// The first id of a record that is not examined: later records may refer to any origin.
    end: RecordId,
    /// The records that remain to be examined.
    rest: Range<RecordId>,
}

impl Default for NameSearch {
    fn default() -> NameSearch {
        NameSearch { next: i64::MIN, examined: None }
    }
}

impl NameSearch {
    /// Examines about `rows` records, or returns unused origins that have been found.
    pub(super) fn step(
        &mut self,
        connection: &SqliteReadConnection,
        rows: u64,
    ) -> rusqlite::Result<NameSearchStep> {
        let Some(examined) = &mut self.examined else {
            // The origins are read before the position, so that origins created later are left
            // alone.
            let Some(unused) = origins(connection, self.next)? else { return Ok(NameSearchStep::Done) };
            let end = connection.position()?;
            self.examined = Some(ExaminedOrigins { unused, end, rest: 0..end });
            return Ok(NameSearchStep::Searching);
        };
        if !examined.rest.is_empty() && examined.unused.count > 0 {
            examined.remove_used(connection, rows)?;
            return Ok(NameSearchStep::Searching);
        }
        let ids = match examined.unused.count {
            0 => Vec::new(),
            _ => examined.unused.from(self.next, DELETE_SLICE_RECORDS),
        };
        if let Some(last) = ids.last() {
            self.next = last.saturating_add(1);
            return Ok(NameSearchStep::Found(UnusedNames { ids, end: examined.end }));
        }
        self.next = examined.unused.range.end;
        self.examined = None;
        Ok(NameSearchStep::Searching)
    }
}

impl ExaminedOrigins {
    /// Removes the origins of about `rows` records, the latest of those that remain.
    fn remove_used(&mut self, connection: &SqliteReadConnection, rows: u64) -> rusqlite::Result<()> {
        let from = self.rest.start.max(self.rest.end.saturating_sub(rows));
        let mut select =
            connection.connection.prepare_cached("SELECT origin_id FROM record WHERE id >= ? AND id < ?")?;
        let mut used = select.query([from as i64, self.rest.end as i64])?;
        while let Some(row) = used.next()? {
            self.unused.remove(row.get(0)?);
        }
        self.rest.end = from;
        Ok(())
    }
}

/// Returns the origins with ids from `from` on, as many as are examined together; `None` if there
/// are none.
fn origins(reader: &SqliteReadConnection, from: i64) -> rusqlite::Result<Option<OriginIds>> {
    let connection = &reader.connection;
    // SQLite never assigns the highest possible id.
    let first = "SELECT min(id) FROM origin WHERE id >= ? AND id < 9223372036854775807";
    let first: Option<i64> = connection.query_row(first, [from], |row| row.get(0))?;
    let Some(first) = first else { return Ok(None) };
    let end = first.saturating_add(DELETE_NAMES_IDS);
    let last = "SELECT max(id) FROM origin WHERE id < ?";
    let last: i64 = connection.query_row(last, [end], |row| row.get(0))?;
    let mut origins = OriginIds::new(first..last.saturating_add(1));
    let mut select = connection.prepare("SELECT id FROM origin WHERE id BETWEEN ? AND ?")?;
    let mut ids = select.query([first, last])?;
    while let Some(row) = ids.next()? {
        origins.insert(row.get(0)?);
    }
    Ok(Some(origins))
}
