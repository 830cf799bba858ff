//! The parameters of a search, for the readers of all databases.

use std::ops::Range;

use crate::query::Query;
use crate::record::{ColumnSet, RecordId};

/// What a search looks for, and in which ids and times.
#[derive(Clone, Debug)]
pub struct Search {
    /// The condition that every match satisfies.
    pub query: Query,
    /// The ids to search.
    pub ids: Range<RecordId>,
    /// The earliest time of a match, in ns since the Unix epoch, inclusive.
    pub time_min: i64,
    /// The latest time of a match, in ns since the Unix epoch, inclusive.
    pub time_max: i64,
    /// True to search from the highest id downwards.
    pub descending: bool,
    /// The columns that are wanted of a match.
    pub fields: ColumnSet,
}

impl Search {
    /// Creates a search for all matches of a query, the newest first, with all columns. The ids and
    /// times are those that the query itself requires.
    pub(crate) fn new(query: Query) -> Search {
        let (first, last) = query.id_bounds();
        let ids = first.unwrap_or(0)..last.map_or(i64::MAX as u64, |last| last.saturating_add(1));
        Search {
            query,
            ids,
            time_min: i64::MIN,
            time_max: i64::MAX,
            descending: true,
            fields: ColumnSet::ALL,
        }
    }

    /// Returns the ids that remain to be searched after these ids.
    pub(crate) fn rest_after(&self, ids: &Range<RecordId>) -> Range<RecordId> {
        if self.descending { self.ids.start..ids.start } else { ids.end..self.ids.end }
    }
}
