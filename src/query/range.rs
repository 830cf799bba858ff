//! Ranges of whole numbers, to which every comparison of a number or a time is reduced.

use super::order::Inequality;

/// The whole numbers from `first` to `last`, both included; empty if `first` is above `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegerRange {
    /// The smallest number; `i64::MIN` means no bound.
    pub first: i64,
    /// The largest number; `i64::MAX` means no bound.
    pub last: i64,
}

impl IntegerRange {
    /// All numbers.
    pub const EVERYTHING: IntegerRange = IntegerRange { first: i64::MIN, last: i64::MAX };

    /// No number.
    pub const NOTHING: IntegerRange = IntegerRange { first: 2, last: 1 };

    /// Returns the numbers that have this order relative to the range: `Greater` returns all
    /// numbers after the last.
    pub fn ordered(self, order: Inequality) -> IntegerRange {
        let range = match order {
            Inequality::Less => {
                self.first.checked_sub(1).map(|last| IntegerRange { last, ..IntegerRange::EVERYTHING })
            }
            Inequality::LessOrEqual => Some(IntegerRange { last: self.last, ..IntegerRange::EVERYTHING }),
            Inequality::Greater => {
                self.last.checked_add(1).map(|first| IntegerRange { first, ..IntegerRange::EVERYTHING })
            }
            Inequality::GreaterOrEqual => {
                Some(IntegerRange { first: self.first, ..IntegerRange::EVERYTHING })
            }
        };
        range.unwrap_or(IntegerRange::NOTHING)
    }

    /// Returns the numbers that are in both ranges.
    pub fn intersection(self, other: IntegerRange) -> IntegerRange {
        IntegerRange { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    /// Returns the lower bound, if there is one.
    pub fn lower(self) -> Option<i64> {
        (self.first != i64::MIN).then_some(self.first)
    }

    /// Returns the upper bound, if there is one.
    pub fn upper(self) -> Option<i64> {
        (self.last != i64::MAX).then_some(self.last)
    }

    /// Returns true if the range contains no number.
    pub fn is_empty(self) -> bool {
        self.first > self.last
    }
}
