//! Opcodes that hold a value: numbers, texts and bytes.

use super::{Length, LoadResult, Run};
use crate::ingest::python::pickle::arena::{Arena, ByteSpan, Node};
use crate::ingest::python::pickle::{LoadError, text};
use crate::limits::{PICKLE_FLOAT_BYTES_MAX, PICKLE_INTEGER_DIGITS_MAX};

/// Numbers.
impl<'a> Run<'_, 'a> {
    /// Reads a binary integer. `BININT` is signed, the shorter opcodes are not.
    pub(super) fn integer(&mut self, length: usize) -> LoadResult {
        let value = match *self.reader.take(length)? {
            [one] => i64::from(one),
            [one, two] => i64::from(u16::from_le_bytes([one, two])),
            [one, two, three, four] => i64::from(i32::from_le_bytes([one, two, three, four])),
            _ => return Err(LoadError::Malformed("an integer of an unknown size")),
        };
        self.push(Node::Integer(value));
        Ok(())
    }

    /// Reads the line of an `INT`, in which `00` and `01` are booleans.
    pub(super) fn integer_or_boolean_line(&mut self) -> LoadResult {
        match self.reader.clone().line()? {
            b"00" | b"01" => {
                let line = self.reader.line()?;
                self.push(Node::Bool(line == b"01"));
                Ok(())
            }
            _ => self.integer_line(),
        }
    }

    /// Reads a line of digits, which end with an `L` after `LONG`. No pickler writes a plus sign,
    /// but `int` accepts one.
    pub(super) fn integer_line(&mut self) -> LoadResult {
        let has_plus = self.reader.peek() == Some(b'+');
        if has_plus {
            self.reader.byte()?;
        }
        let start = self.reader.position();
        let line = self.reader.line()?;
        let line = line.strip_suffix(b"L").unwrap_or(line);
        let digits = line.strip_prefix(b"-").filter(|_| !has_plus).unwrap_or(line);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(LoadError::Malformed("an integer is not a number"));
        }
        let small = std::str::from_utf8(line).ok().and_then(|line| line.parse().ok());
        let node = match small {
            Some(value) => Node::Integer(value),
            None if digits.len() > PICKLE_INTEGER_DIGITS_MAX => {
                let text = format!("<int of {} digits>", digits.len());
                Node::Text(self.machine.arena.add(text.as_bytes()))
            }
            None => Node::LongDigits(Arena::span(start..start + line.len())),
        };
        self.push(node);
        Ok(())
    }

    /// Reads the integer of a `LONG1` or `LONG4`: two's complement, little-endian.
    pub(super) fn long(&mut self, length: Length<'a>) -> LoadResult {
        let length = length(&mut self.reader)?;
        let bytes = self.reader.take(length)?;
        let node = match bytes {
            [] => Node::Integer(0),
            [.., last] if length <= 8 => {
                let mut value = [if *last >= 0x80 { 0xff } else { 0 }; 8];
                value[..length].copy_from_slice(bytes);
                Node::Integer(i64::from_le_bytes(value))
            }
            _ => Node::LongBytes(self.last(length)),
        };
        self.push(node);
        Ok(())
    }

    pub(super) fn float(&mut self) -> LoadResult {
        let value = f64::from_be_bytes(self.reader.array()?);
        self.push(Node::Float(value));
        Ok(())
    }

    pub(super) fn float_line(&mut self) -> LoadResult {
        let line = self.reader.line()?;
        let text = line.get(..PICKLE_FLOAT_BYTES_MAX.min(line.len())).unwrap_or_default();
        let value = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
        let value = value.filter(|_| text.len() == line.len());
        self.push(Node::Float(value.ok_or(LoadError::Malformed("a float is not a number"))?));
        Ok(())
    }
}

/// Texts and bytes.
impl<'a> Run<'_, 'a> {
    /// Returns the span of the `length` bytes that the reader has just read.
    pub(super) fn last(&self, length: usize) -> ByteSpan {
        let end = self.reader.position();
        Arena::span(end - length..end)
    }

    pub(super) fn unicode(&mut self, length: Length<'a>) -> LoadResult {
        let length = length(&mut self.reader)?;
        let bytes = self.reader.take(length)?;
        let span = match std::str::from_utf8(bytes) {
            Ok(_) => self.last(length),
            Err(_) => self.machine.arena.add_converted(|out| text::surrogate_pass(bytes, out)),
        };
        self.push(Node::Text(span));
        Ok(())
    }

    pub(super) fn unicode_line(&mut self) -> LoadResult {
        let start = self.reader.position();
        let line = self.reader.line()?;
        let span = if line.is_ascii() && memchr::memchr(b'\\', line).is_none() {
            Arena::span(start..start + line.len())
        } else {
            self.machine.arena.add_converted(|out| text::raw_unicode_escape(line, out))
        };
        self.push(Node::Text(span));
        Ok(())
    }

    pub(super) fn string(&mut self, length: Length<'a>) -> LoadResult {
        let length = length(&mut self.reader)?;
        let bytes = self.reader.take(length)?;
        let span = self.last(length);
        self.push(python2_text(bytes, span));
        Ok(())
    }

    pub(super) fn string_line(&mut self) -> LoadResult {
        let line = self.reader.line()?;
        let bytes = text::unquote(line).ok_or(LoadError::Malformed("a string is not quoted"))?;
        let span = self.machine.arena.add(&bytes);
        self.push(python2_text(&bytes, span));
        Ok(())
    }

    pub(super) fn bytes(&mut self, length: Length<'a>) -> LoadResult {
        let length = length(&mut self.reader)?;
        self.reader.take(length)?;
        self.push(Node::Bytes(self.last(length)));
        Ok(())
    }

    /// Checks that a frame of a pickle is not truncated. Protocol 4 divides pickles into frames
    /// only so that a reader can read ahead, so nothing else matters.
    pub(super) fn frame(&mut self) -> LoadResult {
        let length = self.reader.length8()?;
        self.reader.clone().take(length).map(drop)
    }
}

/// Returns the node of a Python 2 byte string, which is Python 2's text type.
pub(super) fn python2_text(bytes: &[u8], span: ByteSpan) -> Node {
    if std::str::from_utf8(bytes).is_ok() { Node::Text(span) } else { Node::Latin1(span) }
}
