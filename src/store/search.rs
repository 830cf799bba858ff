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
    /// Returns the ids that remain to be searched after these ids.
    pub(crate) fn rest_after(&self, ids: &Range<RecordId>) -> Range<RecordId> {
        if self.descending { self.ids.start..ids.start } else { ids.end..self.ids.end }
    }
}
