//! Splits a body into JSON values while it arrives, each with the line that it starts in.
//!
//! The first byte that is not blank decides: `[` begins an array, whose elements are the values.
//! Otherwise
//! - with [`Framing::Lines`] every line is a value, whatever its content;
//! - with [`Framing::Sniff`] objects follow each other, one per line, several in a line, or one
//!   over many lines. A line whose braces balance at its very end (and not earlier, and with no
//!   brace in a string) is an object, which costs one search for braces. Any other line that starts
//!   with `{` is scanned bracket by bracket over as many lines as necessary. A line that starts
//!   with anything else is passed on unchanged, and the decoder rejects it.
//!
//! A broken value costs only itself: reading resumes at the next line, or at the `{` at the start
//! of a line where the value could not continue. (An object that was cut off just after a colon or
//! in an array consumes the next line too, since the two together could be one valid object;
//! declare NDJSON to rule that out.) In an array nothing marks the start of the next element after
//! a broken one, so what precedes the broken element is kept and the rest is one error.
//!
//! A byte order mark, blank lines and CR LF are tolerated, and so are commas between objects. A
//! value that lies within one chunk is passed on without a copy. Only the value in which a chunk
//! ends is kept, up to [`JSON_RECORD_BYTES_MAX`].

use memchr::{memchr, memchr2_iter, memchr3_iter};

use super::framing::Framing;
use super::scan::{ScanResult, ValueScan};
use crate::ingest::Rejection;
use crate::limits::JSON_RECORD_BYTES_MAX;

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Splits one body into values. See the module's documentation.
#[derive(Debug)]
pub struct Splitter {
    framing: Framing,
    place: BodyPosition,
    /// The line of the next byte, from 1.
    line: u64,
    /// The line in which the value being read starts.
    value_line: u64,
    scan: ValueScan,
    /// The start of the value being read, from earlier chunks.
    carry: Vec<u8>,
    /// Whether the value being read was rejected for its size.
    too_large: bool,
    /// Whether only blanks precede the next byte in its line. Only there does a search for the
    /// line's end pay: for each of many objects in one line it would take quadratic time.
    is_line_start: bool,
}

/// The position of the next byte in the structure of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyPosition {
    /// Before the first value.
    Start,
    /// Before a value or the end.
    Between,
    /// At the start of a value that ends with its line.
    Line,
    /// In an object that ends with its last bracket.
    Object,
    /// In a value that ends with its line, or in a broken one.
    RestOfLine,
    /// In an array, before an element or the end.
    BeforeElement,
    /// In an element.
    Element,
    /// After an element.
    AfterElement,
    /// After an array.
    AfterArray,
    /// After an error that nothing can follow.
    Lost,
}

/// Receives the values: the line, and the value's bytes or the reason why there are none.
trait Take: FnMut(u64, Result<&[u8], Rejection>) {}
impl<T: FnMut(u64, Result<&[u8], Rejection>)> Take for T {}

impl Splitter {
    /// Returns a splitter for one body.
    pub fn new(framing: Framing) -> Splitter {
        Splitter {
            framing,
            place: BodyPosition::Start,
            line: 1,
            value_line: 1,
            scan: ValueScan::default(),
            carry: Vec::new(),
            too_large: false,
            is_line_start: true,
        }
    }

    /// Accepts the next bytes of the body, and calls `take` with the line and the bytes of each
    /// value that they complete, or with the reason why there is none: `too_large`, or `malformed`
    /// for an array.
    ///
    /// Values are split, not checked: a broken value is passed on and the decoder rejects it.
    pub fn push(&mut self, chunk: &[u8], mut take: impl FnMut(u64, Result<&[u8], Rejection>)) {
        let take = &mut take;
        let mut rest = chunk;
        while !rest.is_empty() {
            rest = match self.place {
                BodyPosition::Start => self.start(rest),
                BodyPosition::Between => self.between(rest, take),
                BodyPosition::Line => self.value_line(rest, take),
                BodyPosition::Object | BodyPosition::Element => self.value(rest, take),
                BodyPosition::RestOfLine => self.rest_of_line(rest, take),
                BodyPosition::BeforeElement => self.before_element(rest),
                BodyPosition::AfterElement => self.after_element(rest, take),
                BodyPosition::AfterArray => self.after_array(rest, take),
                BodyPosition::Lost => return,
            };
        }
    }

    /// Ends the body: passes on a last value that has no line end, or reports that the array has no
    /// end.
    pub fn finish(mut self, mut take: impl FnMut(u64, Result<&[u8], Rejection>)) {
        match self.place {
            BodyPosition::RestOfLine | BodyPosition::Object => self.emit(b"", &mut take),
            BodyPosition::BeforeElement | BodyPosition::Element | BodyPosition::AfterElement
                if !self.too_large =>
            {
                let line = if self.place == BodyPosition::Element { self.value_line } else { self.line };
                take(line, Err(Rejection::new("malformed", "the body ends before the array does")));
            }
            _ => {}
        }
    }

    /// Skips bytes that may precede the first value, and determines the framing.
    fn start<'c>(&mut self, rest: &'c [u8]) -> &'c [u8] {
        let is_skipped = |byte: &u8| byte.is_ascii_whitespace() || BYTE_ORDER_MARK.contains(byte);
        let rest = self.skip(rest, is_skipped);
        if let Some(elements) = rest.strip_prefix(b"[") {
            self.place = BodyPosition::BeforeElement;
            return elements;
        }
        if !rest.is_empty() {
            self.place = self.next_value();
        }
        rest
    }

    fn next_value(&self) -> BodyPosition {
        match self.framing {
            Framing::Sniff => BodyPosition::Between,
            Framing::Lines => BodyPosition::Line,
        }
    }

    /// Skips bytes, counting lines.
    fn skip<'c>(&mut self, rest: &'c [u8], is_skipped: impl Fn(&u8) -> bool) -> &'c [u8] {
        let length = rest.iter().position(|byte| !is_skipped(byte)).unwrap_or(rest.len());
        let (skipped, rest) = rest.split_at(length);
        let lines = memchr::memchr_iter(b'\n', skipped).count() as u64;
        self.line += lines;
        self.is_line_start |= lines > 0;
        rest
    }

    /// Before a value in a sequence of objects: passes the value on at once if the line shows that
    /// it is complete.
    fn between<'c>(&mut self, rest: &'c [u8], take: &mut impl Take) -> &'c [u8] {
        let rest = self.skip(rest, |byte| byte.is_ascii_whitespace() || *byte == b',');
        if rest.first() != Some(&b'{') {
            self.place = if rest.is_empty() { BodyPosition::Between } else { BodyPosition::Line };
            return rest;
        }
        if std::mem::take(&mut self.is_line_start)
            && let Some(end) = memchr(b'\n', rest)
            && is_whole_object(rest[..end].trim_ascii_end())
        {
            return self.value_line(rest, take);
        }
        self.begin(BodyPosition::Object);
        rest
    }

    fn begin(&mut self, place: BodyPosition) {
        self.place = place;
        self.scan = ValueScan::default();
        self.value_line = self.line;
    }

    /// Reads a value that ends with its line.
    fn value_line<'c>(&mut self, rest: &'c [u8], take: &mut impl Take) -> &'c [u8] {
        self.value_line = self.line;
        self.place = BodyPosition::RestOfLine;
        self.rest_of_line(rest, take)
    }

    fn rest_of_line<'c>(&mut self, rest: &'c [u8], take: &mut impl Take) -> &'c [u8] {
        let Some(end) = memchr(b'\n', rest) else { return self.keep(rest, take) };
        self.emit(&rest[..end], take);
        self.line += 1;
        self.is_line_start = true;
        self.place = self.next_value();
        &rest[end + 1..]
    }

    /// Reads a value whose end the scan finds: an object of a sequence, or an element of an array.
    fn value<'c>(&mut self, rest: &'c [u8], take: &mut impl Take) -> &'c [u8] {
        let lines_before = self.scan.lines;
        let found = self.scan.feed(rest);
        self.line += self.scan.lines - lines_before;
        match (found, self.place) {
            (ScanResult::Open, _) => self.keep(rest, take),
            (ScanResult::End(end), place) => {
                self.emit(&rest[..end], take);
                self.place = if place == BodyPosition::Element {
                    BodyPosition::AfterElement
                } else {
                    BodyPosition::Between
                };
                &rest[end..]
            }
            (ScanResult::Broken(_, why), BodyPosition::Element) => self.lose(self.value_line, why, take),
            (ScanResult::Restart(_), BodyPosition::Element) => {
                self.lose(self.value_line, "an object opens where no value may begin", take)
            }
            (ScanResult::Broken(end, _), _) => {
                self.keep(&rest[..end], take);
                self.place = BodyPosition::RestOfLine;
                &rest[end..]
            }
            (ScanResult::Restart(end), _) => {
                self.emit(&rest[..end], take);
                self.is_line_start = true;
                self.place = BodyPosition::Between;
                &rest[end..]
            }
        }
    }

    fn before_element<'c>(&mut self, rest: &'c [u8]) -> &'c [u8] {
        let rest = self.skip(rest, u8::is_ascii_whitespace);
        if let Some(after) = rest.strip_prefix(b"]") {
            self.place = BodyPosition::AfterArray;
            return after;
        }
        if !rest.is_empty() {
            self.begin(BodyPosition::Element);
        }
        rest
    }

    fn after_element<'c>(&mut self, rest: &'c [u8], take: &mut impl Take) -> &'c [u8] {
        let rest = self.skip(rest, u8::is_ascii_whitespace);
        self.place = match rest.first() {
            None => return rest,
            Some(b',') => BodyPosition::BeforeElement,
            Some(b']') => BodyPosition::AfterArray,
            Some(_) => return self.lose(self.line, "expected `,` or `]` after an element", take),
        };
        &rest[1..]
    }

    fn after_array<'c>(&mut self, rest: &'c [u8], take: &mut impl Take) -> &'c [u8] {
        let rest = self.skip(rest, u8::is_ascii_whitespace);
        if rest.is_empty() { rest } else { self.lose(self.line, "the array has ended", take) }
    }

    /// Abandons the rest of an array.
    fn lose<'c>(&mut self, line: u64, why: &str, take: &mut impl Take) -> &'c [u8] {
        self.place = BodyPosition::Lost;
        take(line, Err(Rejection::new("malformed", format!("{why}: the rest was not read"))));
        b""
    }

    /// Keeps the part of a value that is in this chunk, within bounds.
    fn keep<'c>(&mut self, part: &[u8], take: &mut impl Take) -> &'c [u8] {
        if self.too_large {
            return b"";
        }
        if self.carry.len() + part.len() > JSON_RECORD_BYTES_MAX {
            self.carry = Vec::new();
            self.too_large = true;
            take(self.value_line, Err(too_large()));
        } else {
            self.carry.extend_from_slice(part);
        }
        b""
    }

    /// Passes on the value that ends with `part`.
    fn emit(&mut self, part: &[u8], take: &mut impl Take) {
        if std::mem::take(&mut self.too_large) {
            return;
        }
        if self.carry.len() + part.len() > JSON_RECORD_BYTES_MAX {
            take(self.value_line, Err(too_large()));
        } else if self.carry.is_empty() {
            pass_on(self.value_line, part, take);
        } else {
            self.carry.extend_from_slice(part);
            pass_on(self.value_line, &self.carry, take);
        }
        self.carry.clear();
    }
}

fn pass_on(line: u64, value: &[u8], take: &mut impl Take) {
    let value = value.trim_ascii_end();
    if !value.is_empty() {
        take(line, Ok(value));
    }
}

fn too_large() -> Rejection {
    Rejection::new("too_large", format!("the record is larger than {JSON_RECORD_BYTES_MAX} bytes"))
}

/// Returns true if a line is one object, or broken, judged by its braces. It returns true only for
/// lines that the bracket-by-bracket scan would pass on unchanged, because a line may also arrive
/// in pieces, and its values must be the same then.
fn is_whole_object(line: &[u8]) -> bool {
    let (mut depth, mut opened) = (0usize, 0usize);
    for at in memchr2_iter(b'{', b'}', line) {
        match line[at] {
            b'{' => (depth, opened) = (depth + 1, opened + 1),
            _ if depth > 1 => depth -= 1,
            _ => return depth == 1 && at + 1 == line.len() && (opened == 1 || !may_hide_braces(line)),
        }
    }
    false
}

/// Returns true if a brace is in a string, or may be: escapes make quotes hard to count.
fn may_hide_braces(line: &[u8]) -> bool {
    let mut in_string = false;
    let mut is_hidden = |at: usize| {
        in_string ^= line[at] == b'"';
        in_string && line[at] != b'"'
    };
    memchr(b'\\', line).is_some() || memchr3_iter(b'"', b'{', b'}', line).any(&mut is_hidden)
}
