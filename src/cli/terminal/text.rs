//! Untrusted texts on a terminal: what is escaped, and how much fits.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub(crate) use crate::escape::{json, lines, one_line};

/// Returns the cells of a terminal that a text takes: two for a wide character, none for a
/// combining one.
pub(crate) fn cells(text: &str) -> usize {
    text.width()
}

/// Returns the text on one line, and `-` for an empty text.
pub(crate) fn or_dash(text: &str) -> Cow<'_, str> {
    if text.is_empty() { Cow::Borrowed("-") } else { one_line(text) }
}

/// Returns the text, or as much of its beginning as fits into `cells_max` cells, with a mark that
/// it continues.
pub(crate) fn beginning(text: &str, cells_max: usize, is_unicode: bool) -> Cow<'_, str> {
    if cells(text) <= cells_max {
        return Cow::Borrowed(text);
    }
    let count = fitting(text.chars(), cells_max.saturating_sub(1));
    Cow::Owned(text.chars().take(count).chain([ellipsis(is_unicode)]).collect())
}

/// Returns the text, or as much of its end as fits into `cells_max` cells, with a mark that
/// something precedes it.
pub(crate) fn ending(text: &str, cells_max: usize, is_unicode: bool) -> Cow<'_, str> {
    if cells(text) <= cells_max {
        return Cow::Borrowed(text);
    }
    let count = fitting(text.chars().rev(), cells_max.saturating_sub(1));
    let skipped = text.chars().count() - count;
    Cow::Owned([ellipsis(is_unicode)].into_iter().chain(text.chars().skip(skipped)).collect())
}

fn ellipsis(is_unicode: bool) -> char {
    if is_unicode { '\u{2026}' } else { '~' }
}

/// Returns how many of these characters fit into `cells_max` cells.
fn fitting(characters: impl Iterator<Item = char>, cells_max: usize) -> usize {
    let mut used = 0;
    characters
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= cells_max
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_cells() {
        assert_eq!(beginning("billing-service", 8, true), "billing\u{2026}");
        assert_eq!(beginning("billing", 7, true), "billing");
        assert_eq!(ending("shop.payments.views", 6, false), "~views");
        let wide = "\u{6f22}\u{5b57}\u{6f22}\u{5b57}";
        assert_eq!((cells(wide), cells("e\u{301}")), (8, 1));
        assert_eq!(beginning(wide, 6, true), "\u{6f22}\u{5b57}\u{2026}");
        assert_eq!(cells(&ending(wide, 6, true)), 5);
    }
}
