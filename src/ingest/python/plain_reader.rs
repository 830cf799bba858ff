//! Reads the values of a plain pickle: texts, numbers, booleans and `None`.

use super::pickle::{PickleReader, opcode as op};
use super::value::DictValue;
use crate::limits::PICKLE_MEMO_PLAIN_MAX;

/// A plain pickle that is being read.
pub(super) struct PlainReader<'a> {
    pub(super) reader: PickleReader<'a>,
    /// The texts of the first memo numbers. An empty text means that the number has no text.
    memo: [&'a str; PICKLE_MEMO_PLAIN_MAX],
    /// The number that `MEMOIZE` assigns next.
    memo_next: usize,
}

impl<'a> PlainReader<'a> {
    pub(super) fn new(frame: &'a [u8]) -> PlainReader<'a> {
        PlainReader { reader: PickleReader::new(frame), memo: [""; PICKLE_MEMO_PLAIN_MAX], memo_next: 0 }
    }

    /// Reads everything before the first `MARK`.
    pub(super) fn head(&mut self) -> Option<()> {
        if self.reader.peek()? == op::PROTO {
            let [_, _] = self.reader.array().ok()?;
        }
        if self.reader.peek()? == op::FRAME {
            self.reader.byte().ok()?;
            let length = self.reader.length8().ok()?;
            self.reader.clone().take(length).ok()?;
        }
        if self.reader.byte().ok()? != op::EMPTY_DICT {
            return None;
        }
        self.memorize("");
        Some(())
    }

    /// Reads a key or a value, and its memo number.
    #[inline]
    pub(super) fn value(&mut self) -> Option<DictValue<'a>> {
        let reader = &mut self.reader;
        let start = reader.clone();
        let length = match reader.byte().ok()? {
            op::BINUNICODE => reader.length4(),
            op::SHORT_BINUNICODE | op::SHORT_BINSTRING => reader.length1(),
            op::BINSTRING => reader.length4_signed(),
            op::BINGET => {
                let number = reader.byte().ok()?;
                return self.recall(usize::from(number));
            }
            _ => {
                *reader = start;
                return number(reader);
            }
        };
        let text = std::str::from_utf8(reader.take(length.ok()?).ok()?).ok()?;
        self.memorize(text);
        Some(DictValue::Text(text))
    }

    /// Reads the value of `key`. The arguments of a record that was not prepared for sending are an
    /// empty tuple, which is read as `None`.
    #[inline]
    pub(super) fn value_of(&mut self, key: &str) -> Option<DictValue<'a>> {
        if key == "args" && self.reader.peek()? == op::EMPTY_TUPLE {
            self.reader.byte().ok()?;
            return Some(DictValue::None);
        }
        self.value()
    }

    /// Reads the memo opcode that may follow a text.
    #[inline]
    fn memorize(&mut self, text: &'a str) {
        let reader = &mut self.reader;
        let number = match reader.peek() {
            Some(op::BINPUT) => reader.array::<2>().map(|[_, number]| usize::from(number)),
            Some(op::LONG_BINPUT) => {
                reader.array::<5>().map(|[_, number @ ..]| u32::from_le_bytes(number) as usize)
            }
            Some(op::MEMOIZE) => reader.byte().map(|_| self.memo_next),
            _ => return,
        };
        self.memo_next += 1;
        // A number that cannot be read is ignored here: reading the next opcode then fails.
        if let Some(entry) = number.ok().and_then(|number| self.memo.get_mut(number)) {
            *entry = text;
        }
    }

    fn recall(&self, number: usize) -> Option<DictValue<'a>> {
        match *self.memo.get(number)? {
            "" => None,
            text => Some(DictValue::Text(text)),
        }
    }
}

/// Reads a number, boolean or `None`.
pub(super) fn number<'a>(reader: &mut PickleReader<'_>) -> Option<DictValue<'a>> {
    Some(match reader.byte().ok()? {
        op::NONE => DictValue::None,
        op::NEWTRUE => DictValue::Bool(true),
        op::NEWFALSE => DictValue::Bool(false),
        op::BININT1 => DictValue::Integer(i64::from(reader.byte().ok()?)),
        op::BININT2 => DictValue::Integer(i64::from(u16::from_le_bytes(reader.array().ok()?))),
        op::BININT => DictValue::Integer(i64::from(i32::from_le_bytes(reader.array().ok()?))),
        op::BINFLOAT => DictValue::Float(f64::from_be_bytes(reader.array().ok()?)),
        op::INT => match reader.line().ok()? {
            b"00" => DictValue::Bool(false),
            b"01" => DictValue::Bool(true),
            line => DictValue::Integer(decimal(line)?),
        },
        op::LONG => DictValue::Integer(decimal(reader.line().ok()?.strip_suffix(b"L")?)?),
        op::LONG1 => DictValue::Integer(little_endian(reader)?),
        _ => return None,
    })
}

fn decimal(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

fn little_endian(reader: &mut PickleReader<'_>) -> Option<i64> {
    let length = reader.length1().ok()?;
    let bytes = reader.take(length).ok()?;
    let fill = if bytes.last().is_some_and(|last| *last >= 0x80) { 0xff } else { 0 };
    let mut value = [fill; 8];
    value.get_mut(..length)?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(value))
}
