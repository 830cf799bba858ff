//! The comparisons of a field with a value other than equality.

use std::cmp::Ordering;

/// An order between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inequality {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Inequality {
    /// Returns the symbol that queries and SQL use.
    pub fn symbol(self) -> &'static str {
        match self {
            Inequality::Less => "<",
            Inequality::LessOrEqual => "<=",
            Inequality::Greater => ">",
            Inequality::GreaterOrEqual => ">=",
        }
    }

    /// Returns true if the order holds for two values that compare like this.
    pub fn holds(self, ordering: Ordering) -> bool {
        match self {
            Inequality::Less => ordering.is_lt(),
            Inequality::LessOrEqual => ordering.is_le(),
            Inequality::Greater => ordering.is_gt(),
            Inequality::GreaterOrEqual => ordering.is_ge(),
        }
    }
}
