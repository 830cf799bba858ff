//! The shape of a plain record's pickle: see [`crate::ingest::shapes`].
//!
//! What stands between the values are the keys, and the memo numbers of both.

use super::log_record::{LogRecord, Value, is_standard};
use super::pickle::{Reader, opcode as op};
use super::plain::{self, Plain};
use crate::limits::SHAPE_BYTES_MAX;

/// A pickle without its values, and what becomes of these.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// What stands before, between and after the values, end to end.
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    /// Where the bytes before the value end.
    bytes_end: usize,
    kind: Kind,
    key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A text with its length in four bytes.
    Text,
    /// One that says nothing new.
    Skipped,
    /// A number, boolean or `None`, with its opcode.
    Scalar,
    /// A text that was given before, in this slot: it stands here as a memo number.
    Again(usize),
}

impl Shape {
    /// The shape of a pickle that [`plain::decode`] has read.
    pub(super) fn of(frame: &[u8]) -> Option<Shape> {
        let mut shape = Shape::default();
        let mut plain = Plain::new(frame);
        let mut copied = 0;
        let mut memo = [None; 256];
        let ([op::EMPTY_DICT, ..] | [op::PROTO, _, op::EMPTY_DICT, ..]) = frame else {
            return None; // the length of a `FRAME` would be taken for the same in all
        };
        plain.head()?;
        while plain.reader.byte().ok()? == op::MARK {
            while plain.reader.peek()? != op::SETITEMS {
                let start = plain.reader.position();
                let Value::Text(key) = plain.value()? else { return None };
                if frame[start] != op::BINUNICODE {
                    return None; // it may be the text of a value
                }
                memorize(&mut memo, frame, start + 5 + key.len(), None)?;
                let start = plain.reader.position();
                let value = plain.value_of(key)?;
                let (kind, before, end) = match (value, frame[start]) {
                    (Value::None, _) if is_standard(key) && !matches!(key, "msg" | "args") => continue,
                    (Value::Text(text), op::BINUNICODE) => {
                        let kind =
                            if matches!(key, "module" | "asctime") { Kind::Skipped } else { Kind::Text };
                        let end = start + 5 + text.len();
                        memorize(&mut memo, frame, end, Some(shape.slots.len()))?;
                        (kind, start + 1, end)
                    }
                    (Value::Text(_), op::BINGET) => {
                        (Kind::Again(memo[usize::from(frame[start + 1])]?), start + 2, start + 2)
                    }
                    (Value::Text(_), _) => return None,
                    _ => (Kind::Scalar, start, plain.reader.position()),
                };
                shape.bytes.extend_from_slice(&frame[copied..before]);
                shape.slots.push(Slot { bytes_end: shape.bytes.len(), kind, key: key.to_owned() });
                copied = end;
            }
            plain.reader.byte().ok()?;
        }
        shape.bytes.extend_from_slice(&frame[copied..]);
        (shape.bytes.len() <= SHAPE_BYTES_MAX).then_some(shape)
    }

    /// Sets the members of a record from a pickle of this shape.
    pub(super) fn read<'a>(&'a self, frame: &'a [u8], record: &mut LogRecord<'a, '_>) -> Option<()> {
        let mut reader = Reader::new(frame);
        let mut texts = [""; crate::limits::PICKLE_MEMBERS_PLAIN_MAX];
        let mut at = 0;
        for (slot, given) in self.slots.iter().zip(0..) {
            reader.expect(&self.bytes[at..slot.bytes_end])?;
            at = slot.bytes_end;
            let value = match slot.kind {
                Kind::Text => {
                    texts[given] = text(&mut reader)?;
                    Value::Text(texts[given])
                }
                Kind::Skipped => {
                    texts[given] = text(&mut reader)?;
                    continue;
                }
                Kind::Again(slot) => Value::Text(Some(texts[slot]).filter(|text| !text.is_empty())?),
                Kind::Scalar => plain::number(&mut reader)?,
            };
            record.set(&slot.key, value);
        }
        reader.expect(&self.bytes[at..])?;
        reader.peek().is_none().then_some(())
    }
}

/// Notes which slot the memo number after a text stands for: none if it is a key's.
fn memorize(memo: &mut [Option<usize>; 256], frame: &[u8], at: usize, slot: Option<usize>) -> Option<()> {
    match frame[at..] {
        [op::BINPUT, number, ..] => memo[usize::from(number)] = slot,
        [op::LONG_BINPUT | op::MEMOIZE, ..] => return None,
        _ => {}
    }
    Some(())
}

fn text<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
    let length = reader.length4().ok()?;
    std::str::from_utf8(reader.take(length).ok()?).ok()
}
