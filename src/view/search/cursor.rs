//! Positions between two pages of a response.
//!
//! A cursor is an id and the side of that id on which a page lies: `17` stands for the records
//! after record 17 in the order of the response, `-17` for the records before it. Records that
//! arrive in the meantime move neither. For clients a cursor is an opaque text.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::record::RecordId;
use crate::store::Search;

/// A position between two records of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::view) struct Cursor {
    /// The record next to the position; it is not part of the page.
    pub(in crate::view) id: RecordId,
    /// The page ends at the position instead of beginning there.
    pub(in crate::view) is_backward: bool,
}

impl Cursor {
    /// Creates a cursor for the records after a record.
    pub(in crate::view) fn after(id: RecordId) -> Cursor {
        Cursor { id, is_backward: false }
    }

    /// Creates a cursor for the records before a record.
    pub(in crate::view) fn before(id: RecordId) -> Cursor {
        Cursor { id, is_backward: true }
    }

    /// Creates a cursor for what remains of a search, in the order of the search.
    pub(in crate::view) fn reached(search: &Search) -> Cursor {
        let Search { ids, descending, .. } = search;
        Cursor::after(if *descending { ids.end } else { ids.start.saturating_sub(1) })
    }

    /// Returns the cursor for the other side of the same position.
    pub(in crate::view) fn opposite(self, descending: bool) -> Cursor {
        // The neighbour on this side becomes the adjacent record on the other side.
        let id = match self.is_backward == descending {
            true => self.id.saturating_add(1),
            false => self.id.saturating_sub(1),
        };
        Cursor { id, is_backward: !self.is_backward }
    }

    /// Returns the ids that are on this side.
    pub(in crate::view) fn narrow(self, ids: &Range<RecordId>, descending: bool) -> Range<RecordId> {
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
    fn opposite_cursors_cover_all_ids() {
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
    fn cursor_round_trips_text() {
        for text in ["17", "-17", "0"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for text in ["", "-", "--1", "x", "1-"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
