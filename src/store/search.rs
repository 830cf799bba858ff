//! What readers of all databases search for.

use std::ops::Range;

use crate::query::Query;
use crate::record::{ColumnSet, RecordId};

/// What a search looks for, and where.
#[derive(Clone, Debug)]
pub struct Search {
    /// What holds for a match.
    pub query: Query,
    /// Its ids.
    pub ids: Range<RecordId>,
    /// Its time, in ns since the Unix epoch, both ends included.
    pub time_min: i64,
    /// See above.
    pub time_max: i64,
    /// From the highest id downwards.
    pub descending: bool,
    /// What is wanted of a match.
    pub fields: ColumnSet,
}

impl Search {
    /// The ids that are yet to be searched once these are.
    pub(crate) fn rest_after(&self, ids: &Range<RecordId>) -> Range<RecordId> {
        if self.descending { self.ids.start..ids.start } else { ids.end..self.ids.end }
    }
}
