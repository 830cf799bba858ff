//! The compact encoding of records, version 1.
//!
//! A batch is a sequence of records. Each record is:
//!
//! ```text
//! u32   length of the rest of the record
//! u8    flags: 1 origin follows (else the origin of the previous record applies), 2 trace_id,
//!       4 span_id, 8 event_name, 16 attributes
//! u8    severity number
//! i64   timestamp, ns
//! i64   observed timestamp, ns
//! [origin: varint length, then varint line, varint process id, and seven texts:
//!          service, logger, host, severity text, file, function, thread]
//! text  message
//! [text trace_id] [text span_id] [text event_name] [text attributes]
//! ```
//!
//! Integers are little-endian, varints are LEB128, a text is a varint length and UTF-8 bytes. The
//! first record of a batch always carries its origin, so batches can be concatenated. The origin is
//! one contiguous slice so that a store can look it up whole, without decoding its fields.

use super::{Origin, RecordRef};
use crate::limits::{BATCH_BYTES_MAX, BATCH_BYTES_TARGET, RECORD_BYTES_MAX};

/// The version of this encoding, stored with every frame.
pub const RECORD_ENCODING: u8 = 1;

/// The size of the smallest record: length, flags, severity, two times, and the length of an empty
/// message.
pub const RECORD_BYTES_MIN: u64 = 4 + 1 + 1 + 8 + 8 + 1;

const HAS_ORIGIN: u8 = 1;
const HAS_TRACE_ID: u8 = 2;
const HAS_SPAN_ID: u8 = 4;
const HAS_EVENT_NAME: u8 = 8;
const HAS_ATTRIBUTES: u8 = 16;

/// The size of length, flags, severity number and times.
const HEAD_BYTES: usize = 22;

/// The end of the message of a record that was cut.
const CUT_MARK: &str = " [cut by logboom]";

/// Encoded records on their way to the spool.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    count: u32,
    /// The encoded origin of the last record.
    origin: Vec<u8>,
    /// The encoded origin of the record that is being pushed.
    candidate: Vec<u8>,
}

impl Batch {
    /// Creates an empty batch, which takes no memory until the first record.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Appends a record.
    ///
    /// Texts that make the record larger than [`RECORD_BYTES_MAX`] are cut: first the message; if
    /// that is not enough, attributes and everything else except the times and the severity number
    /// are left out. Never fails, so no record is lost because of its size.
    pub fn push(&mut self, record: &RecordRef<'_>) {
        if size_of_texts(record) > RECORD_BYTES_MAX {
            return self.push_cut(record);
        }
        self.candidate.clear();
        encode_origin(&record.origin, &mut self.candidate);
        let new_origin = self.count == 0 || self.candidate != self.origin;

        let start = self.bytes.len();
        let mut head = [0; HEAD_BYTES];
        head[4] = flags(record, new_origin);
        head[5] = record.severity_number;
        head[6..14].copy_from_slice(&record.timestamp.to_le_bytes());
        head[14..].copy_from_slice(&record.observed_timestamp.to_le_bytes());
        self.bytes.extend_from_slice(&head);
        if new_origin {
            put_bytes(&mut self.bytes, &self.candidate);
            std::mem::swap(&mut self.origin, &mut self.candidate);
        }
        put_bytes(&mut self.bytes, record.message.as_bytes());
        for text in [record.trace_id, record.span_id, record.event_name, record.attributes] {
            if !text.is_empty() {
                put_bytes(&mut self.bytes, text.as_bytes());
            }
        }
        // Bounded by RECORD_BYTES_MAX and a few bytes per field.
        let length = (self.bytes.len() - start - 4) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.count += 1;
    }

    #[cold]
    fn push_cut(&mut self, record: &RecordRef<'_>) {
        let others = size_of_texts(record) - record.message.len();
        let mut cut = *record;
        let mut room = RECORD_BYTES_MAX.saturating_sub(others + CUT_MARK.len());
        if others + CUT_MARK.len() > RECORD_BYTES_MAX {
            cut = RecordRef {
                timestamp: record.timestamp,
                observed_timestamp: record.observed_timestamp,
                severity_number: record.severity_number,
                ..RecordRef::default()
            };
            room = RECORD_BYTES_MAX - CUT_MARK.len();
        }
        let mut message = prefix(record.message, room).to_owned();
        message.push_str(CUT_MARK);
        cut.message = &message;
        self.push(&cut);
    }

    /// Returns the number of records.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns true if the batch has no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns true if the batch should be appended now: one more record might not fit, or would
    /// make it needlessly large.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES_TARGET
    }

    /// Returns the encoded records, concatenated; at most [`BATCH_BYTES_MAX`] if records are pushed
    /// only while the batch is not full.
    pub fn bytes(&self) -> &[u8] {
        debug_assert!(self.bytes.len() <= BATCH_BYTES_MAX);
        &self.bytes
    }

    /// Returns the number of bytes of allocated memory.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.origin.capacity() + self.candidate.capacity()
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

/// The reason why stored bytes are not records: damage, or the encoding of a newer version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the encoded record is damaged: {0}")]
pub struct DecodeError(&'static str);

/// Iterator over the records of concatenated batches.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    origin: &'a [u8],
}

/// One record as stored, with its origin still encoded.
#[derive(Clone, Copy, Debug)]
pub struct EncodedRecord<'a> {
    /// All fields except the origin, which is left empty; see [`EncodedRecord::record`].
    pub body: RecordRef<'a>,
    /// The encoded origin: equal bytes mean equal origins.
    pub origin: &'a [u8],
}

impl<'a> EncodedRecord<'a> {
    /// Returns the complete record, including its decoded origin.
    pub fn record(&self) -> Result<RecordRef<'a>, DecodeError> {
        Ok(RecordRef { origin: origin_of(self.origin)?, ..self.body })
    }
}

impl<'a> Records<'a> {
    /// Creates an iterator over `bytes` as returned by [`Batch::bytes`].
    pub fn new(bytes: &'a [u8]) -> Records<'a> {
        Records { rest: bytes, origin: &[] }
    }

    fn read(&mut self) -> Result<EncodedRecord<'a>, DecodeError> {
        let length = u32::from_le_bytes(take(&mut self.rest)?) as usize;
        let mut rest = split(&mut self.rest, length)?;
        let [flags, severity_number] = take(&mut rest)?;
        let timestamp = i64::from_le_bytes(take(&mut rest)?);
        let observed_timestamp = i64::from_le_bytes(take(&mut rest)?);
        if flags & HAS_ORIGIN != 0 {
            self.origin = take_bytes(&mut rest)?;
        }
        let message = take_text(&mut rest)?;
        let mut optional = |flag| if flags & flag == 0 { Ok("") } else { take_text(&mut rest) };
        let body = RecordRef {
            timestamp,
            observed_timestamp,
            severity_number,
            origin: Origin::default(),
            message,
            trace_id: optional(HAS_TRACE_ID)?,
            span_id: optional(HAS_SPAN_ID)?,
            event_name: optional(HAS_EVENT_NAME)?,
            attributes: optional(HAS_ATTRIBUTES)?,
        };
        Ok(EncodedRecord { body, origin: self.origin })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<EncodedRecord<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let result = self.read();
        if result.is_err() {
            self.rest = &[];
        }
        Some(result)
    }
}

/// Decodes an origin as found in [`EncodedRecord::origin`].
pub fn origin_of(mut bytes: &[u8]) -> Result<Origin<'_>, DecodeError> {
    let rest = &mut bytes;
    Ok(Origin {
        line: take_varint(rest)? as u32,
        process_id: take_varint(rest)? as u32,
        service: take_text(rest)?,
        logger: take_text(rest)?,
        host: take_text(rest)?,
        severity_text: take_text(rest)?,
        file: take_text(rest)?,
        function: take_text(rest)?,
        thread: take_text(rest)?,
    })
}

fn encode_origin(origin: &Origin<'_>, out: &mut Vec<u8>) {
    put_varint(out, u64::from(origin.line));
    put_varint(out, u64::from(origin.process_id));
    for text in origin.texts() {
        put_bytes(out, text.as_bytes());
    }
}

impl<'a> Origin<'a> {
    fn texts(&self) -> [&'a str; 7] {
        [self.service, self.logger, self.host, self.severity_text, self.file, self.function, self.thread]
    }
}

fn flags(record: &RecordRef<'_>, new_origin: bool) -> u8 {
    let mut flags = if new_origin { HAS_ORIGIN } else { 0 };
    for (text, flag) in [
        (record.trace_id, HAS_TRACE_ID),
        (record.span_id, HAS_SPAN_ID),
        (record.event_name, HAS_EVENT_NAME),
        (record.attributes, HAS_ATTRIBUTES),
    ] {
        if !text.is_empty() {
            flags |= flag;
        }
    }
    flags
}

fn size_of_texts(record: &RecordRef<'_>) -> usize {
    let own = [record.message, record.trace_id, record.span_id, record.event_name, record.attributes];
    own.iter().chain(&record.origin.texts()).map(|text| text.len()).sum()
}

/// Returns the longest prefix of at most `bytes_max` bytes that ends at a character boundary.
pub(crate) fn prefix(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(DecodeError("it ends early"))?;
    *rest = tail;
    Ok(*head)
}

fn split<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], DecodeError> {
    let (head, tail) = rest.split_at_checked(length).ok_or(DecodeError("a length points past its end"))?;
    *rest = tail;
    Ok(head)
}

pub(crate) fn take_varint(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(rest)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(DecodeError("a number is too long"))
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let length = take_varint(rest)?;
    split(rest, usize::try_from(length).map_err(|_| DecodeError("a length is too large"))?)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(take_bytes(rest)?).map_err(|_| DecodeError("a text is not UTF-8"))
}
