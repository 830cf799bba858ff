//! Finds a pattern in a text: at ends of words, with ASCII letters in either case, without
//! allocating.

use std::fmt;
use std::ops::Range;

use memchr::{memchr2_iter, memmem};

use crate::record::bytes;

/// A text, and at which of its ends anything may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The text itself; never empty if an end is open.
    pub text: String,
    /// The pattern was written with a `*` before the text.
    pub open_start: bool,
    /// The pattern was written with a `*` after the text.
    pub open_end: bool,
}

/// The encoding of the ends of a pattern in SQL.
const OPEN: u8 = b'*';
const CLOSED: u8 = b'|';

impl Pattern {
    /// Returns true if an end is open.
    pub fn is_open(&self) -> bool {
        self.open_start || self.open_end
    }

    /// Returns where the pattern occurs in a text with no word continuing at its closed ends;
    /// nothing for an empty pattern.
    pub fn ranges_in<'a>(&'a self, text: &'a str) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
        let length = self.text.len();
        EncodedPattern::from(self)
            .places(text.as_bytes())
            .into_iter()
            .flatten()
            .map(move |place| place..place + length)
    }

    /// Encodes the pattern as one text for a parameter of SQL: the text between two characters, `*`
    /// for an open end and `|` for a closed one.
    pub fn encoded(&self) -> String {
        let end = |open| char::from(if open { OPEN } else { CLOSED });
        format!("{}{}{}", end(self.open_start), self.text, end(self.open_end))
    }
}

/// Displays the pattern as in a query: quoted, or else with its stars, which only texts that need
/// no quotes can have.
impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_open() {
            return super::lexer::write_quoted(formatter, &self.text);
        }
        let star = |open| if open { "*" } else { "" };
        write!(formatter, "{}{}{}", star(self.open_start), self.text, star(self.open_end))
    }
}

/// A pattern as encoded by [`Pattern::encoded`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodedPattern<'a> {
    text: &'a [u8],
    open_start: bool,
    open_end: bool,
}

impl<'a> From<&'a Pattern> for EncodedPattern<'a> {
    fn from(pattern: &'a Pattern) -> EncodedPattern<'a> {
        let Pattern { text, open_start, open_end } = pattern;
        EncodedPattern { text: text.as_bytes(), open_start: *open_start, open_end: *open_end }
    }
}

impl<'a> EncodedPattern<'a> {
    /// Parses an encoded pattern; `None` if it has no ends.
    pub(crate) fn new(pattern: &'a [u8]) -> Option<EncodedPattern<'a>> {
        let [start, text @ .., end] = pattern else {
            return None;
        };
        Some(EncodedPattern { text, open_start: *start == OPEN, open_end: *end == OPEN })
    }

    /// Returns true if the whole text equals the pattern, byte by byte, except for what its open
    /// ends allow.
    pub(crate) fn fits(self, text: &[u8]) -> bool {
        match (self.open_start, self.open_end) {
            (false, false) => text == self.text,
            (false, true) => text.starts_with(self.text),
            (true, false) => text.ends_with(self.text),
            (true, true) => memmem::find(text, self.text).is_some(),
        }
    }

    /// Returns true if the pattern occurs in a text with no word continuing at its closed ends.
    ///
    /// The search for the rarest byte of the pattern runs at the speed of memory. The ends are
    /// checked before the rest, so that a long run of the same letter does not cost its length at
    /// each position.
    pub(crate) fn is_in(self, text: &[u8]) -> bool {
        self.text.is_empty() || self.places(text).is_some_and(|mut places| places.next().is_some())
    }

    /// Returns the positions where the pattern occurs; none for an empty pattern.
    fn places(self, text: &'a [u8]) -> Option<impl Iterator<Item = usize> + 'a> {
        let places = text.len().checked_sub(self.text.len())?;
        let (offset, rarest) = rarest_byte(self.text)?;
        let window = &text[offset..=offset + places];
        let found = memchr2_iter(rarest.to_ascii_lowercase(), rarest.to_ascii_uppercase(), window);
        Some(found.filter(move |place| self.is_at(text, *place)))
    }

    fn is_at(self, text: &[u8], place: usize) -> bool {
        let (before, rest) = text.split_at(place);
        let (found, after) = rest.split_at(self.text.len());
        (self.open_start || !(continues_before(before) && starts_with_word(self.text)))
            && (self.open_end || !(starts_with_word(after) && continues_before(self.text)))
            && found.eq_ignore_ascii_case(self.text)
    }
}

/// Passes the start and the end of each word of a text to `found`. Words are the longest runs of
/// letters, digits and `_`.
pub(super) fn words(text: &str, mut found: impl FnMut(Range<usize>)) {
    if !text.is_ascii() {
        return words_of_any_script(text, found);
    }
    let (mut start, mut is_inside) = (0, false);
    for (first, of_words) in bytes::masks(text.as_bytes(), is_ascii_of_word) {
        // One bit for each byte that belongs to a word while the previous byte does not, or the
        // reverse.
        let mut edges = of_words ^ (of_words << 1 | u64::from(is_inside));
        while edges != 0 {
            let place = first + edges.trailing_zeros() as usize;
            if is_inside {
                found(start..place);
            }
            start = place;
            is_inside = !is_inside;
            edges &= edges - 1;
        }
    }
    if is_inside {
        found(start..text.len());
    }
}

fn words_of_any_script(text: &str, mut found: impl FnMut(Range<usize>)) {
    let mut start = None;
    for (place, character) in text.char_indices() {
        if character.is_alphanumeric() || character == '_' {
            start.get_or_insert(place);
        } else if let Some(start) = start.take() {
            found(start..place);
        }
    }
    if let Some(start) = start {
        found(start..text.len());
    }
}

/// Returns true if a text ends inside a word.
fn continues_before(text: &[u8]) -> bool {
    match text.last() {
        None => false,
        Some(byte) if byte.is_ascii() => is_ascii_of_word(*byte),
        Some(_) => {
            let tail = &text[text.len().saturating_sub(4)..];
            (0..tail.len()).find_map(|start| first_char(&tail[start..])).is_some_and(char::is_alphanumeric)
        }
    }
}

/// Returns true if a text begins inside a word.
fn starts_with_word(text: &[u8]) -> bool {
    match text.first() {
        None => false,
        Some(byte) if byte.is_ascii() => is_ascii_of_word(*byte),
        Some(_) => {
            let head = &text[..text.len().min(4)];
            (1..=head.len()).find_map(|end| first_char(&head[..end])).is_some_and(char::is_alphanumeric)
        }
    }
}

/// Returns the single character beyond ASCII that these bytes encode; `None` for anything else.
fn first_char(bytes: &[u8]) -> Option<char> {
    let mut characters = std::str::from_utf8(bytes).ok()?.chars();
    let only = characters.next()?;
    (characters.next().is_none() && !only.is_ascii()).then_some(only)
}

fn is_ascii_of_word(byte: u8) -> bool {
    let (letter, digit) = ((byte | 0x20).wrapping_sub(b'a'), byte.wrapping_sub(b'0'));
    (letter < 26) | (digit < 10) | (byte == b'_')
}

/// Returns the position and the value of the byte of the pattern that is rarest in log texts.
fn rarest_byte(pattern: &[u8]) -> Option<(usize, u8)> {
    pattern.iter().copied().enumerate().min_by_key(|(_, byte)| COMMONNESS[usize::from(*byte)])
}

/// How common each byte is in logs, approximately: letters as in English, digits as in times and
/// numbers.
const COMMONNESS: [u8; 256] = {
    let from_common_to_rare = b" etaoinsr01l2dcu3m5p4.fg6:7hb8-9y/=_wvk,x\"'jqz";
    let mut table = [0; 256];
    let mut index = 0;
    while index < from_common_to_rare.len() {
        let byte = from_common_to_rare[index];
        table[byte as usize] = 255 - index as u8;
        table[byte.to_ascii_uppercase() as usize] = 255 - index as u8;
        index += 1;
    }
    table
};
