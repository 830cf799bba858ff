//! Where one page of an answer ends and the next begins.
//!
//! A cursor is an id, and the side of it on which a page lies: `17` stands for what comes after the record 17 in the order of
//! the answer, `-17` for what comes before it. Records that arrive meanwhile shift neither. For clients it is an opaque text.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::record::RecordId;

/// A place between two records of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The record beside it, which is not part of the page.
    pub(super) id: RecordId,
    /// The page ends there, and does not begin there.
    pub(super) is_backward: bool,
}

impl Cursor {
    /// What comes after a record.
    pub(super) fn after(id: RecordId) -> Cursor {
        Cursor { id, is_backward: false }
    }

    /// What comes before a record.
    pub(super) fn before(id: RecordId) -> Cursor {
        Cursor { id, is_backward: true }
    }

    /// The other side of the same place.
    pub(super) fn opposite(self, descending: bool) -> Cursor {
        // The neighbour, which is on this side, becomes the record beside it on the other.
        let id = match self.is_backward == descending {
            true => self.id.saturating_add(1),
            false => self.id.saturating_sub(1),
        };
        Cursor { id, is_backward: !self.is_backward }
    }

    /// Those of the ids that are on this side.
    pub(super) fn narrow(self, ids: &Range<RecordId>, descending: bool) -> Range<RecordId> {
        match self.is_backward == descending {
            true => ids.start.max(self.id.saturating_add(1))..ids.end,
            false => ids.start..ids.end.min(self.id),
        }
    }
}

impl FromStr for Cursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Cursor, Self::Err> {
        match text.strip_prefix('-') {
            Some(id) => id.parse().map(Cursor::before),
            None => text.parse().map(Cursor::after),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", if self.is_backward { "-" } else { "" }, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_a_place_are_everything() {
        for descending in [false, true] {
            for cursor in ["5", "-5"] {
                let cursor: Cursor = cursor.parse().unwrap();
                let other = cursor.opposite(descending);
                let sides = [cursor, other].map(|cursor| cursor.narrow(&(1..10), descending));
                let mut ids: Vec<_> = sides.iter().cloned().flatten().collect();
                ids.sort_unstable();
                assert_eq!(ids, (1..10).collect::<Vec<_>>(), "{cursor} {other} {descending}");
                assert!(!sides[0].contains(&5), "{cursor} {descending}");
                assert_eq!(other.opposite(descending), cursor);
            }
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        for text in ["17", "-17", "0"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for text in ["", "-", "--1", "x", "1-"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
