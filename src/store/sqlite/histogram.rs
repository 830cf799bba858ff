//! Counts the matches of a query by time, severity and service, from the counts of whole blocks.

use std::ops::Range;

use rusqlite::params_from_iter;

use super::counts::{self, Count};
use super::search::SqliteReadConnection;
use crate::limits::{SQLITE_BLOCK_ROWS, SQLITE_COUNTS_ROWS};
use crate::query::Query;
use crate::record::{Column, Origin, RecordId, RecordRef};
use crate::store::Search;
use crate::store::reader::{CountEnd, CountedMatches};

/// A block, and its counts if it has any.
struct Block<'a> {
    ids: Range<RecordId>,
    times: (i64, i64),
    counts: Option<Vec<Count<'a>>>,
}

/// Returns true if counts are sufficient for what a query matches.
pub fn can_count(query: &Query) -> bool {
    query.asks_only_for(&[Column::Service, Column::SeverityNumber])
}

impl SqliteReadConnection {
    /// Counts what `search` finds, by steps of `step` ns counted from the Unix epoch. [`can_count`]
    /// must be true for its query. Counts from one end of the ids of `search`, as far as the counts
    /// of blocks are sufficient, and for no longer than reading `rows` rows would take.
    ///
    /// Counts are sufficient for blocks that are complete and lie within the times of `search`, and
    /// whose slots lie within steps.
    pub fn counts(
        &self,
        search: &Search,
        step: i64,
        rows: u64,
        mut emit: impl FnMut(CountedMatches<'_>),
    ) -> rusqlite::Result<CountEnd> {
        let mut left = rows;
        let mut rest = search.ids.clone();
        let mut select = self.connection.prepare_cached(&select_blocks(search.descending))?;
        let bounds = [search.ids.start as i64, search.ids.end as i64, search.time_min, search.time_max];
        let mut blocks = select.query(params_from_iter(bounds))?;
        while left > 0 {
            let Some(row) = blocks.next()? else { return Ok(CountEnd { rest: 0..0, rows: 0..0 }) };
            let block = Block::from_row(row)?;
            let Some(counts) = block.counts_within(search, step) else {
                let rows = block.ids.start.max(search.ids.start)..block.ids.end.min(search.ids.end);
                return Ok(CountEnd { rest, rows });
            };
            counts.iter().for_each(|count| emit_if_matching(count, search, &mut emit));
            rest = search.rest_after(&block.ids);
            left = left.saturating_sub(SQLITE_COUNTS_ROWS);
        }
        Ok(CountEnd { rest, rows: 0..0 })
    }
}

fn select_blocks(descending: bool) -> String {
    let order = if descending { "DESC" } else { "ASC" };
    format!(
        "SELECT b.first_id, b.end_id, b.timestamp_min, b.timestamp_max, c.slot_seconds, c.counts
         FROM block b LEFT JOIN block_counts c ON c.number = (b.first_id - 1) / {SQLITE_BLOCK_ROWS}
             AND b.first_id = c.number * {SQLITE_BLOCK_ROWS} + 1 AND b.end_id = b.first_id + {SQLITE_BLOCK_ROWS}
         WHERE b.end_id > ? AND b.first_id < ? AND b.timestamp_max >= ? AND b.timestamp_min <= ?
         ORDER BY b.first_id {order}"
    )
}

impl<'a> Block<'a> {
    fn from_row(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<Block<'a>> {
        let counts = match row.get::<_, Option<i64>>(4)? {
            Some(slot_seconds) => counts::decode(row.get_ref(5)?.as_blob()?, slot_seconds),
            None => None,
        };
        Ok(Block { ids: super::blocks::ids(row)?, times: (row.get(2)?, row.get(3)?), counts })
    }

    /// Returns the wanted counts of the block. `None` unless all ids of the block are wanted and
    /// each count covers either times of one step that are all wanted, or only times that are not
    /// wanted.
    fn counts_within(&self, search: &Search, step: i64) -> Option<Vec<Count<'a>>> {
        if self.ids.start < search.ids.start || self.ids.end > search.ids.end {
            return None;
        }
        let is_wanted = |time: i64| (search.time_min..=search.time_max).contains(&time);
        let mut within = Vec::new();
        for count in self.counts.as_ref()? {
            let times = (count.times.0.max(self.times.0), count.times.1.min(self.times.1));
            if times.1 < search.time_min || times.0 > search.time_max {
                continue;
            }
            let is_of_one_step = times.0.div_euclid(step) == times.1.div_euclid(step);
            if !is_of_one_step || !is_wanted(times.0) || !is_wanted(times.1) {
                return None;
            }
            within.push(Count { times, ..*count });
        }
        Some(within)
    }
}

/// Emits a count if the query, which depends on nothing else, matches what the count covers.
fn emit_if_matching(count: &Count<'_>, search: &Search, emit: &mut impl FnMut(CountedMatches<'_>)) {
    let Count { times: (timestamp, _), severity_number, service, records } = *count;
    let origin = Origin { service, ..Origin::default() };
    if search.query.matches(1, &RecordRef { severity_number, origin, ..RecordRef::default() }) {
        emit(CountedMatches { timestamp, severity_number, service, records });
    }
}
