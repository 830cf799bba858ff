//! The fields of a query: columns by their names, and attributes.

use std::fmt;

use crate::record::{Column, ColumnSet};

/// The field that a term tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A column.
    Column(Column),
    /// The attribute of this name.
    Attribute(String),
}

/// The prefix for an attribute that is named like a column.
const ATTRIBUTES_PREFIX: &str = "attributes.";

impl Field {
    /// Returns the field of a name as written in a query; `None` for an empty name.
    pub fn of_name(name: &str) -> Option<Field> {
        if let Some(column) = Column::of_name(name) {
            return Some(Field::Column(column));
        }
        let name = name.strip_prefix(ATTRIBUTES_PREFIX).unwrap_or(name);
        (!name.is_empty()).then(|| Field::Attribute(name.to_owned()))
    }

    /// Returns the columns that the field's value is read from.
    pub fn column_set(&self) -> ColumnSet {
        match self {
            Field::Column(column) => ColumnSet::of_column(*column),
            Field::Attribute(_) => ColumnSet::ATTRIBUTES,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Column(column) => formatter.write_str(column.name()),
            Field::Attribute(name) => {
                super::lexer::write_quoted(formatter, &format!("{ATTRIBUTES_PREFIX}{name}"))
            }
        }
    }
}
