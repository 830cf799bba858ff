//! SQL conditions, combined from parts that carry their parameters.
//!
//! This is all that the dialects share: each dialect walks the tree itself, because what is fast
//! differs from database to database. Constant text comes only from the program; everything from a
//! query is a parameter.

use crate::record::ColumnSet;

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlParameter {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A time, in ns since the Unix epoch, for databases that have a type for times.
    Time(i64),
}

/// A boolean expression of SQL. The expression of a whole query is never NULL; while parts are
/// being combined, NULL counts as false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The text, in parentheses where needed; each `?` is a parameter.
    pub sql: String,
    /// The parameters, in the order of the `?`.
    pub parameters: Vec<SqlParameter>,
}

impl Condition {
    /// Creates a condition of constant text.
    pub(in crate::store) fn new(sql: impl Into<String>, parameters: Vec<SqlParameter>) -> Condition {
        Condition { sql: sql.into(), parameters }
    }

    /// Returns a condition that is always true.
    pub(in crate::store) fn always() -> Condition {
        Condition::new("TRUE", Vec::new())
    }

    /// Returns a condition that is never true.
    pub(in crate::store) fn never() -> Condition {
        Condition::new("FALSE", Vec::new())
    }

    /// Combines conditions: all must hold, or any of them if `connective` is `OR`.
    pub(in crate::store) fn joined(conditions: Vec<Condition>, connective: Connective) -> Condition {
        let mut conditions = conditions.into_iter();
        let Some(first) = conditions.next() else {
            return if connective == Connective::And { Condition::always() } else { Condition::never() };
        };
        let mut is_single = true;
        let mut joined = first;
        for condition in conditions {
            is_single = false;
            joined.sql.push_str(if connective == Connective::And { " AND " } else { " OR " });
            joined.sql.push_str(&condition.sql);
            joined.parameters.extend(condition.parameters);
        }
        if is_single { joined } else { Condition::new(format!("({})", joined.sql), joined.parameters) }
    }

    /// Returns a condition that is true where this one is false or NULL.
    pub(in crate::store) fn negated(self) -> Condition {
        Condition::new(format!("(({}) IS NOT TRUE)", self.sql), self.parameters)
    }
}

/// The operator between combined conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Connective {
    /// All must hold.
    And,
    /// At least one must hold.
    Or,
}

/// Returns the list of columns that a statement selects: each column's expression, or a substitute
/// for it if none of the record's columns for which it is read is wanted. An expression for no
/// column is always selected.
pub(super) fn select_list(wanted: ColumnSet, columns: &[(&str, ColumnSet, &'static str)]) -> String {
    let selected = |(expression, read_for, none): &(&str, ColumnSet, &'static str)| {
        let is_wanted = *read_for == ColumnSet::NONE || wanted.intersects(*read_for);
        if is_wanted { (*expression).to_owned() } else { (*none).to_owned() }
    };
    columns.iter().map(selected).collect::<Vec<_>>().join(", ")
}
