//! Finds where a JSON value ends, across chunks and without decoding it.
//!
//! It knows strings, brackets and where an object may begin, which is enough to notice early that a value is broken
//! and what comes next is another. Whether the value is valid is for the decoder to say.

use memchr::memchr3;

/// What [`Scan::feed`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The value ends before this index.
    End(usize),
    /// The value goes on after the last byte.
    Open,
    /// No valid value goes on at this index, for this reason.
    Broken(usize, &'static str),
    /// The same, but an object begins there, first in its line.
    Restart(usize),
}

/// The state of reading one value.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    /// Line feeds passed.
    pub(super) lines: u64,
    depth: usize,
    /// Bit n tells that the bracket at depth n is that of an object; unknown from depth 64 on.
    objects: u64,
    in_string: bool,
    escaped: bool,
    /// The last byte that was neither blank nor inside a string.
    last: u8,
    line_start: bool,
}

impl Scan {
    /// Reads on. After anything but [`Found::Open`] the scan is over.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Found {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.in_string {
                match self.string(bytes, at) {
                    Ok(after) => at = after,
                    Err(found) => return found,
                }
            } else if let Some(found) = self.token(byte, at) {
                return found;
            } else {
                at += 1;
            }
        }
        Found::Open
    }

    /// Reads inside a string from `at` on; the index after its end or an escape, or what ends the scan.
    fn string(&mut self, bytes: &[u8], at: usize) -> Result<usize, Found> {
        if std::mem::take(&mut self.escaped) && bytes[at] != b'\n' {
            return Ok(at + 1);
        }
        let Some(found) = memchr3(b'"', b'\\', b'\n', &bytes[at..]) else { return Ok(bytes.len()) };
        let at = at + found;
        match bytes[at] {
            b'"' => self.in_string = false,
            b'\\' => self.escaped = true,
            _ => return Err(Found::Broken(at, "a string does not end in its line")),
        }
        if self.depth == 0 && !self.in_string { Err(Found::End(at + 1)) } else { Ok(at + 1) }
    }

    /// Reads one byte outside of strings.
    fn token(&mut self, byte: u8, at: usize) -> Option<Found> {
        if byte.is_ascii_whitespace() {
            return self.blank(byte, at);
        }
        let first_in_line = std::mem::take(&mut self.line_start);
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' if self.may_begin() => self.open(byte),
            b'{' if first_in_line => return Some(Found::Restart(at)),
            b'{' | b'[' => return Some(Found::Broken(at, "a bracket opens where no value may begin")),
            b'}' | b']' | b',' if self.depth == 0 => return Some(Found::End(at)),
            b'}' | b']' if !self.closes(byte) => {
                return Some(Found::Broken(at, "a bracket closes what it did not open"));
            }
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    return Some(Found::End(at + 1));
                }
            }
            _ => {}
        }
        self.last = byte;
        None
    }

    fn blank(&mut self, byte: u8, at: usize) -> Option<Found> {
        if self.depth == 0 && self.last != 0 {
            return Some(Found::End(at)); // a number or word, outside of any bracket
        }
        if byte == b'\n' {
            self.lines += 1;
            self.line_start = true;
        }
        None
    }

    fn open(&mut self, byte: u8) {
        if let Some(bit) = bit(self.depth) {
            self.objects = if byte == b'{' { self.objects | bit } else { self.objects & !bit };
        }
        self.depth += 1;
    }

    /// Whether a value may begin after what was read: at the start, after a colon, or as an element of an array.
    fn may_begin(&self) -> bool {
        match self.last {
            0 | b':' | b'[' => true,
            b',' => bit(self.depth - 1).is_none_or(|bit| self.objects & bit == 0),
            _ => false,
        }
    }

    fn closes(&self, byte: u8) -> bool {
        bit(self.depth - 1).is_none_or(|bit| (self.objects & bit != 0) == (byte == b'}'))
    }
}

fn bit(depth: usize) -> Option<u64> {
    1u64.checked_shl(u32::try_from(depth).ok()?)
}
