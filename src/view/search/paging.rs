//! Pages of matches: on either side of a cursor, and backward from the end of a search.

use std::ops::Range;

use super::cursor::Cursor;
use super::response::{DocumentEnding, EncodedRecords, ResponseStream};
use crate::record::{ColumnSet, RecordId, RecordRef};
use crate::store::reader::MatchSink;
use crate::store::{Scan, Search, StoreError};

/// Returns the page on one side of a cursor.
pub(in crate::view) async fn page(
    mut scan: Scan,
    records: EncodedRecords,
    cursor: Option<Cursor>,
) -> Result<ResponseStream, StoreError> {
    let mut ending = DocumentEnding { has_cursors: true, cursor, is_partial: false };
    let Some(cursor) = cursor else { return Ok(ResponseStream::new(scan, records, ending)) };
    scan.search.ids = cursor.narrow(&scan.search.ids, scan.search.descending);
    if cursor.is_backward {
        let page = scan.search.clone();
        let seek = seek_backward(scan, records.left).await?;
        ending.is_partial = seek.is_late();
        if seek.is_late() {
            ending.cursor = Some(seek.reached());
        }
        let ids = seek.ids(&page);
        scan = seek.scan;
        scan.restart_with(Search { ids, ..page });
    }
    Ok(ResponseStream::new(scan, records, ending))
}

/// A backward seek over matches to the start of a page, which is then read like any other page.
pub(in crate::view) struct BackwardSeek {
    pub(in crate::view) scan: Scan,
    matches: Matches,
}

/// Counts matches up to a number.
struct Matches {
    left: u64,
    found: u64,
    last_id: RecordId,
}

impl MatchSink for Matches {
    fn take(&mut self, id: RecordId, _: &RecordRef<'_>) -> bool {
        self.left -= 1;
        self.found += 1;
        self.last_id = id;
        self.left > 0
    }
}

/// Seeks backward over this many matches from the end of a search, against its order.
pub(in crate::view) async fn seek_backward(mut scan: Scan, matches: u64) -> Result<BackwardSeek, StoreError> {
    scan.search.descending = !scan.search.descending;
    scan.search.fields = ColumnSet::NONE;
    let mut matches = Matches { left: matches, found: 0, last_id: 0 };
    while matches.left > 0 && !scan.is_done() && !scan.is_late() {
        matches = scan.slice(matches).await?;
    }
    Ok(BackwardSeek { scan, matches })
}

impl BackwardSeek {
    /// Returns true if time ran out before enough matches were found.
    pub(in crate::view) fn is_late(&self) -> bool {
        self.matches.left > 0 && !self.scan.is_done()
    }

    /// Returns the number of matches that were passed.
    pub(in crate::view) fn found(&self) -> u64 {
        self.matches.found
    }

    /// Returns the ids of the search that the seek passed, without records that arrived since.
    pub(in crate::view) fn ids(&self, search: &Search) -> Range<RecordId> {
        let Matches { found, last_id, .. } = self.matches;
        match (found, search.descending) {
            (0, _) => 0..0,
            (_, true) => search.ids.start..last_id + 1,
            (_, false) => last_id..search.ids.end,
        }
    }

    fn reached(&self) -> Cursor {
        Cursor { is_backward: true, ..Cursor::reached(&self.scan.search) }
    }
}
