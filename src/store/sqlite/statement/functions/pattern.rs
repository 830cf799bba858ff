//! Patterns of LIKE and GLOB, with the semantics of SQLite.

use std::ops::ControlFlow;

/// The syntax of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PatternKind {
    /// `%` and `_`; ASCII letters match in either case.
    Like,
    /// `*`, `?` and `[a-z]`.
    Glob,
}

/// A parsed pattern.
pub(super) struct LikePattern {
    items: Vec<Item>,
}

enum Item {
    /// Any characters, or none.
    Any,
    /// Any single character.
    One,
    /// This character; in lower case if case does not matter.
    Character { character: char, ignores_case: bool },
    /// A character in one of these ranges, or, if inverted, in none of them.
    Set { ranges: Vec<(char, char)>, is_inverted: bool },
    /// Matches no character: the pattern ends within a set.
    Never,
}

/// The number of characters that are compared between two checks of the clock.
const STEPS_BETWEEN_LOOKS: u32 = 1 << 16;

impl Item {
    fn takes(&self, found: char) -> bool {
        match self {
            Item::Any | Item::Never => false,
            Item::One => true,
            Item::Character { character, ignores_case: true } => found.to_ascii_lowercase() == *character,
            Item::Character { character, ignores_case: false } => found == *character,
            Item::Set { ranges, is_inverted } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&found)) != *is_inverted
            }
        }
    }
}

impl LikePattern {
    /// Parses a pattern.
    pub(super) fn parse(pattern: &str, kind: PatternKind, escape: Option<char>) -> LikePattern {
        let mut items = Vec::new();
        let mut rest = pattern.chars();
        let literal = |character: char| match kind {
            PatternKind::Like => {
                Item::Character { character: character.to_ascii_lowercase(), ignores_case: true }
            }
            PatternKind::Glob => Item::Character { character, ignores_case: false },
        };
        while let Some(character) = rest.next() {
            items.push(match (kind, character) {
                (PatternKind::Like, _) if Some(character) == escape => {
                    rest.next().map_or(Item::Never, literal)
                }
                (PatternKind::Like, '%') | (PatternKind::Glob, '*') => Item::Any,
                (PatternKind::Like, '_') | (PatternKind::Glob, '?') => Item::One,
                (PatternKind::Glob, '[') => set(&mut rest),
                _ => literal(character),
            });
        }
        LikePattern { items }
    }

    /// Returns true if the pattern matches the whole text; `None` once `is_late` returns true.
    pub(super) fn matches(&self, text: &str, is_late: impl Fn() -> bool) -> Option<bool> {
        let (mut item, mut at, mut steps) = (0, 0, 0u32);
        // After the last `Any`: the next item, and the position in the text at which it is tried.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            steps += 1;
            if steps.is_multiple_of(STEPS_BETWEEN_LOOKS) && is_late() {
                return None;
            }
            match self.step(text, &mut item, &mut at, &mut retry) {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(matches) => return Some(matches),
            }
        }
    }

    fn step(
        &self,
        text: &str,
        item: &mut usize,
        at: &mut usize,
        retry: &mut Option<(usize, usize)>,
    ) -> ControlFlow<bool> {
        let found = text[*at..].chars().next();
        match (self.items.get(*item), found) {
            (Some(Item::Any), _) => {
                *item += 1;
                *retry = Some((*item, *at));
                if *item == self.items.len() {
                    return ControlFlow::Break(true);
                }
                return self.skip_to_candidate(text, *item, at, retry);
            }
            (Some(wanted), Some(found)) if wanted.takes(found) => {
                *item += 1;
                *at += found.len_utf8();
                return ControlFlow::Continue(());
            }
            (None, None) => return ControlFlow::Break(true),
            // After the end of the text nothing more can match.
            (Some(_), None) => return ControlFlow::Break(false),
            _ => {}
        }
        let Some((next, from)) = *retry else { return ControlFlow::Break(false) };
        let Some(skipped) = text[from..].chars().next() else { return ControlFlow::Break(false) };
        (*item, *at) = (next, from + skipped.len_utf8());
        *retry = Some((next, *at));
        self.skip_to_candidate(text, next, at, retry)
    }

    /// Advances to where the item can match at all: texts are long, and patterns are mostly words.
    fn skip_to_candidate(
        &self,
        text: &str,
        item: usize,
        at: &mut usize,
        retry: &mut Option<(usize, usize)>,
    ) -> ControlFlow<bool> {
        let Some(Item::Character { character, ignores_case }) = self.items.get(item) else {
            return ControlFlow::Continue(());
        };
        if !character.is_ascii() {
            return ControlFlow::Continue(());
        }
        let other = if *ignores_case { character.to_ascii_uppercase() } else { *character };
        let Some(skipped) = memchr::memchr2(*character as u8, other as u8, &text.as_bytes()[*at..]) else {
            return ControlFlow::Break(false);
        };
        *at += skipped;
        *retry = Some((item, *at));
        ControlFlow::Continue(())
    }
}

/// Parses the part of a set after `[`.
fn set(rest: &mut std::str::Chars<'_>) -> Item {
    let (mut ranges, mut before) = (Vec::new(), None);
    let mut character = rest.next();
    let is_inverted = character == Some('^');
    if is_inverted {
        character = rest.next();
    }
    if character == Some(']') {
        ranges.push((']', ']'));
        character = rest.next();
    }
    while let Some(found) = character.filter(|found| *found != ']') {
        let end = rest.clone().next().filter(|end| *end != ']');
        match (found, before, end) {
            ('-', Some(first), Some(last)) => {
                rest.next();
                ranges.push((first, last));
                before = None;
            }
            _ => {
                ranges.push((found, found));
                before = Some(found);
            }
        }
        character = rest.next();
    }
    match character {
        Some(_) => Item::Set { ranges, is_inverted },
        None => Item::Never,
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::store::sqlite::confine;

    /// Returns all texts of these characters up to this length.
    fn texts(alphabet: &[&str], length: usize) -> Vec<String> {
        let mut texts = vec![String::new()];
        let mut last = texts.clone();
        for _ in 0..length {
            last =
                last.iter().flat_map(|text| alphabet.iter().map(move |one| format!("{text}{one}"))).collect();
            texts.extend_from_slice(&last);
        }
        texts
    }

    #[test]
    fn patterns_match_same_texts_as_sqlite() {
        confine::install();
        let connection = Connection::open_in_memory().unwrap();
        let check = |sql: &str, kind, escape, patterns: &[String], texts: &[String]| {
            let mut select = connection.prepare(sql).unwrap();
            for pattern in patterns {
                let parsed = LikePattern::parse(pattern, kind, escape);
                for text in texts {
                    let theirs: bool = select.query_row([text, pattern], |row| row.get(0)).unwrap();
                    assert_eq!(parsed.matches(text, || false), Some(theirs), "{sql}: {text} {pattern}");
                }
            }
        };
        let texts_to_match = texts(&["a", "B", "\u{e4}", "]"], 3);
        let like = texts(&["a", "b", "%", "_", "\u{e4}"], 4);
        check("select ?1 like ?2", PatternKind::Like, None, &like, &texts_to_match);
        let escaped = texts(&["a", "!", "%", "_"], 4);
        check(
            "select ?1 like ?2 escape '!'",
            PatternKind::Like,
            Some('!'),
            &escaped,
            &texts(&["a", "!", "%"], 3),
        );
        let glob = texts(&["a", "B", "*", "?", "[", "]", "-", "^"], 4);
        check("select ?1 glob ?2", PatternKind::Glob, None, &glob, &texts_to_match);
    }

    #[test]
    fn long_comparison_ends_when_late() {
        let pattern = LikePattern::parse(&format!("%{}b", "a".repeat(200)), PatternKind::Like, None);
        assert_eq!(pattern.matches(&"a".repeat(1 << 20), || true), None);
        assert_eq!(pattern.matches(&"a".repeat(1 << 10), || false), Some(false));
    }
}
