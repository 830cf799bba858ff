//! Finds where a JSON value ends, across chunks and without decoding it.
//!
//! The scan recognises strings, brackets and where an object may begin. That is enough to notice
//! early that a value is broken and the next bytes are another value. The decoder checks whether
//! the value is valid.

use memchr::memchr3;

/// What [`ValueScan::feed`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanResult {
    /// The value ends before this index.
    End(usize),
    /// The value continues after the last byte.
    Open,
    /// No valid value continues at this index, for this reason.
    Broken(usize, &'static str),
    /// The same as `Broken`, but an object begins at this index, first in its line.
    Restart(usize),
}

/// The state of reading one value.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueScan {
    /// Number of line feeds read.
    pub(super) lines: u64,
    depth: usize,
    /// Bit n is set if the bracket at depth n belongs to an object; unknown from depth 64 on.
    objects: u64,
    in_string: bool,
    escaped: bool,
    /// The last byte that was neither blank nor inside a string.
    last: u8,
    line_start: bool,
}

impl ValueScan {
    /// Reads the next bytes. After any result but [`ScanResult::Open`] the scan is over.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> ScanResult {
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
        ScanResult::Open
    }

    /// Reads inside a string from `at` on. Returns the index after the string's end or after an
    /// escape, or the result that ends the scan.
    fn string(&mut self, bytes: &[u8], at: usize) -> Result<usize, ScanResult> {
        if std::mem::take(&mut self.escaped) && bytes[at] != b'\n' {
            return Ok(at + 1);
        }
        let Some(found) = memchr3(b'"', b'\\', b'\n', &bytes[at..]) else { return Ok(bytes.len()) };
        let at = at + found;
        match bytes[at] {
            b'"' => self.in_string = false,
            b'\\' => self.escaped = true,
            _ => return Err(ScanResult::Broken(at, "a string does not end in its line")),
        }
        if self.depth == 0 && !self.in_string { Err(ScanResult::End(at + 1)) } else { Ok(at + 1) }
    }

    /// Reads one byte outside of strings.
    fn token(&mut self, byte: u8, at: usize) -> Option<ScanResult> {
        if byte.is_ascii_whitespace() {
            return self.blank(byte, at);
        }
        let first_in_line = std::mem::take(&mut self.line_start);
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' if self.may_begin() => self.open(byte),
            b'{' if first_in_line => return Some(ScanResult::Restart(at)),
            b'{' | b'[' => return Some(ScanResult::Broken(at, "a bracket opens where no value may begin")),
            b'}' | b']' | b',' if self.depth == 0 => return Some(ScanResult::End(at)),
            b'}' | b']' if !self.closes(byte) => {
                return Some(ScanResult::Broken(at, "a closing bracket does not match an opening bracket"));
            }
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    return Some(ScanResult::End(at + 1));
                }
            }
            _ => {}
        }
        self.last = byte;
        None
    }

    fn blank(&mut self, byte: u8, at: usize) -> Option<ScanResult> {
        if self.depth == 0 && self.last != 0 {
            // A number or a word ends here, outside of any bracket.
            return Some(ScanResult::End(at));
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

    /// Returns true if a value may begin after the bytes so far: at the start, after a colon, or as
    /// an element of an array.
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
