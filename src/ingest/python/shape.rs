//! The shape of a plain record's pickle. See [`crate::ingest::shapes`].
//!
//! The bytes between the values are the keys, and the memo numbers of keys and values.

use super::log_record::{LogRecord, is_standard};
use super::pickle::{PickleReader, opcode as op};
use super::plain_reader::{self, PlainReader};
use super::value::DictValue;
use crate::limits::SHAPE_BYTES_MAX;

/// The constant bytes of a pickle, and one slot for each value.
#[derive(Debug, Default)]
pub(super) struct PickleShape {
    /// The bytes before, between and after the values, concatenated.
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    /// End of the bytes before the value, as an index into the bytes of the shape.
    bytes_end: usize,
    kind: SlotKind,
    key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotKind {
    /// A text with its length in four bytes.
    Text,
    /// A text that repeats what other members contain; it is not used.
    Skipped,
    /// A number, boolean or `None`, with its opcode.
    Scalar,
    /// A memo number that refers to the text of an earlier slot, which has this index.
    Again(usize),
}

impl PickleShape {
    /// Returns the shape of a pickle that [`super::plain::decode`] has read.
    pub(super) fn of(frame: &[u8]) -> Option<PickleShape> {
        let mut shape = PickleShape::default();
        let mut plain = PlainReader::new(frame);
        let mut copied = 0;
        let mut memo = [None; 256];
        let ([op::EMPTY_DICT, ..] | [op::PROTO, _, op::EMPTY_DICT, ..]) = frame else {
            return None; // the shape would contain the length of its `FRAME` as a constant
        };
        plain.head()?;
        while plain.reader.byte().ok()? == op::MARK {
            while plain.reader.peek()? != op::SETITEMS {
                let start = plain.reader.position();
                let DictValue::Text(key) = plain.value()? else { return None };
                if frame[start] != op::BINUNICODE {
                    return None; // a key read from the memo may be the text of a value
                }
                memorize(&mut memo, frame, start + 5 + key.len(), None)?;
                let start = plain.reader.position();
                let value = plain.value_of(key)?;
                let (kind, before, end) = match (value, frame[start]) {
                    (DictValue::None, _) if is_standard(key) && !matches!(key, "msg" | "args") => continue,
                    (DictValue::Text(text), op::BINUNICODE) => {
                        let kind = if matches!(key, "module" | "asctime") {
                            SlotKind::Skipped
                        } else {
                            SlotKind::Text
                        };
                        let end = start + 5 + text.len();
                        memorize(&mut memo, frame, end, Some(shape.slots.len()))?;
                        (kind, start + 1, end)
                    }
                    (DictValue::Text(_), op::BINGET) => {
                        (SlotKind::Again(memo[usize::from(frame[start + 1])]?), start + 2, start + 2)
                    }
                    (DictValue::Text(_), _) => return None,
                    _ => (SlotKind::Scalar, start, plain.reader.position()),
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

    /// Sets the members of a record from a pickle of this shape. Returns `None` if the pickle does
    /// not have this shape.
    pub(super) fn read<'a>(&'a self, frame: &'a [u8], record: &mut LogRecord<'a, '_>) -> Option<()> {
        let mut reader = PickleReader::new(frame);
        let mut texts = [""; crate::limits::PICKLE_MEMBERS_PLAIN_MAX];
        let mut at = 0;
        for (slot, given) in self.slots.iter().zip(0..) {
            reader.expect(&self.bytes[at..slot.bytes_end])?;
            at = slot.bytes_end;
            let value = match slot.kind {
                SlotKind::Text => {
                    texts[given] = text(&mut reader)?;
                    DictValue::Text(texts[given])
                }
                SlotKind::Skipped => {
                    texts[given] = text(&mut reader)?;
                    continue;
                }
                SlotKind::Again(slot) => DictValue::Text(Some(texts[slot]).filter(|text| !text.is_empty())?),
                SlotKind::Scalar => plain_reader::number(&mut reader)?,
            };
            record.set(&slot.key, value);
        }
        reader.expect(&self.bytes[at..])?;
        reader.peek().is_none().then_some(())
    }
}

/// Notes the slot of the memo number after a text; `None` if the text is a key.
fn memorize(memo: &mut [Option<usize>; 256], frame: &[u8], at: usize, slot: Option<usize>) -> Option<()> {
    match frame[at..] {
        [op::BINPUT, number, ..] => memo[usize::from(number)] = slot,
        [op::LONG_BINPUT | op::MEMOIZE, ..] => return None,
        _ => {}
    }
    Some(())
}

fn text<'a>(reader: &mut PickleReader<'a>) -> Option<&'a str> {
    let length = reader.length4().ok()?;
    std::str::from_utf8(reader.take(length).ok()?).ok()
}
