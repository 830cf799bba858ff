//! Ranges of whole numbers: what every comparison of a number or a time comes to.

use super::ast::Order;

/// The whole numbers from `first` to `last`, both included; none when `first` is above `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The smallest; `i64::MIN` is no bound.
    pub first: i64,
    /// The largest; `i64::MAX` is no bound.
    pub last: i64,
}

impl Range {
    /// All numbers.
    pub const EVERYTHING: Range = Range { first: i64::MIN, last: i64::MAX };

    /// No number.
    pub const NOTHING: Range = Range { first: 2, last: 1 };

    /// What stands in an order to this range: `Greater` is all after its last.
    pub fn ordered(self, order: Order) -> Range {
        let range = match order {
            Order::Less => self.first.checked_sub(1).map(|last| Range { last, ..Range::EVERYTHING }),
            Order::LessOrEqual => Some(Range { last: self.last, ..Range::EVERYTHING }),
            Order::Greater => self.last.checked_add(1).map(|first| Range { first, ..Range::EVERYTHING }),
            Order::GreaterOrEqual => Some(Range { first: self.first, ..Range::EVERYTHING }),
        };
        range.unwrap_or(Range::NOTHING)
    }

    /// What is in both.
    pub fn intersection(self, other: Range) -> Range {
        Range { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    /// The smallest number, where there is one.
    pub fn lower(self) -> Option<i64> {
        (self.first != i64::MIN).then_some(self.first)
    }

    /// The largest number, where there is one.
    pub fn upper(self) -> Option<i64> {
        (self.last != i64::MAX).then_some(self.last)
    }

    /// Whether there is no number in it.
    pub fn is_empty(self) -> bool {
        self.first > self.last
    }
}
