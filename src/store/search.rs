//! What readers of all databases search for.

use std::ops::Range;

use crate::record::RecordId;
use crate::view::query::{Column, Field, Query};

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
    pub fields: Fields,
}

impl Search {
    /// The ids that are yet to be searched once these are.
    pub(crate) fn rest_after(&self, ids: &Range<RecordId>) -> Range<RecordId> {
        if self.descending { self.ids.start..ids.start } else { ids.end..self.ids.end }
    }
}

/// Some fields of a record. Those that a search does not want are empty in what it finds, which spares reading them; id, time and
/// the number of the severity are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields(u32);

impl Fields {
    /// Every one.
    pub const ALL: Fields = Fields(u32::MAX);

    /// None but those that are always there.
    pub const NONE: Fields = Fields(0);

    /// The attributes, which come after all columns.
    pub const ATTRIBUTES: Fields = Fields(1 << 31);

    /// One column.
    pub const fn of_column(column: Column) -> Fields {
        Fields(1 << column as u32)
    }

    /// What a field is read from.
    pub fn of(field: &Field) -> Fields {
        match field {
            Field::Column(column) => Fields::of_column(*column),
            Field::Attribute(_) => Fields::ATTRIBUTES,
        }
    }

    /// These and others.
    pub const fn and(self, others: Fields) -> Fields {
        Fields(self.0 | others.0)
    }

    /// What a statement selects: each column as it is, or, where it is not wanted, what stands for it.
    pub(super) fn select(self, columns: &[(&str, Fields, &'static str)]) -> String {
        let shown = |(name, field, none): &(&str, Fields, &'static str)| match self.0 & field.0 == field.0 {
            true => (*name).to_owned(),
            false => (*none).to_owned(),
        };
        columns.iter().map(shown).collect::<Vec<_>>().join(", ")
    }
}
