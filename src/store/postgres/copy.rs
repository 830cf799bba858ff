//! Rows in PostgreSQL's binary COPY format, encoded from the records as they are stored in the
//! spool.
//!
//! The columns that repeat from record to record are the last ones of each row: their encoded bytes
//! are kept and copied.

use std::hash::BuildHasher;

use bytes::{BufMut, Bytes, BytesMut};
use foldhash::fast::RandomState;

use crate::limits::{POSTGRES_ORIGIN_BYTES_MAX, POSTGRES_ORIGINS_MAX, POSTGRES_PIECE_BYTES};
use crate::record::{EncodedRecord, RecordId, RecordRef, origin_of};

/// The statement that sends these rows. Columns that a user has added are not named, and get their
/// defaults.
pub(super) const COPY: &str = "COPY logs (id, time, time_ns, message, trace_id, span_id, event_name, attributes, \
     severity_number, severity, service, logger, host, file, line, function, process_id, thread, node) \
     FROM STDIN (FORMAT binary)";
const COLUMNS: i16 = 19;

/// Returns true if `column` is a column of `logs` for which rows have a value.
pub(super) fn is_ours(column: &str) -> bool {
    COPY.split(['(', ')', ',']).any(|word| word.trim() == column)
}

/// The header of a binary COPY: the signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: i16 = -1;

/// 2000-01-01, the epoch of PostgreSQL's times, in microseconds since the Unix epoch.
pub(super) const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

/// The reason why a record cannot be a row, if it can be detected before sending.
pub(super) type Unfit = &'static str;

const NUL: Unfit = "a text contains NUL (U+0000), which PostgreSQL's text cannot hold";
const ESCAPED_NUL: Unfit = "the attributes contain \\u0000, which PostgreSQL's jsonb cannot hold";

/// Encodes rows into pieces.
pub(super) struct CopyRows {
    piece: BytesMut,
    node: String,
    origins: Box<[KnownOrigin]>,
    hasher: RandomState,
}

/// Encoded columns of an origin and a severity.
#[derive(Clone, Debug, Default)]
struct KnownOrigin {
    severity_number: u8,
    key: Vec<u8>,
    columns: Vec<u8>,
}

impl CopyRows {
    pub(super) fn new(node: &str) -> CopyRows {
        CopyRows {
            piece: BytesMut::new(),
            node: node.to_owned(),
            origins: vec![KnownOrigin::default(); POSTGRES_ORIGINS_MAX].into(),
            hasher: RandomState::default(),
        }
    }

    /// Begins a COPY.
    pub(super) fn begin(&mut self) {
        self.piece.clear();
        self.piece.reserve(POSTGRES_PIECE_BYTES);
        self.piece.put_slice(HEADER);
    }

    /// Appends a row, unless it cannot be one.
    pub(super) fn push(&mut self, id: RecordId, record: &EncodedRecord<'_>) -> Result<(), Unfit> {
        let body = &record.body;
        let texts = [body.message, body.trace_id, body.span_id, body.event_name];
        if texts.iter().any(|text| has_nul(text)) {
            return Err(NUL);
        }
        if has_escaped_nul(body.attributes) {
            return Err(ESCAPED_NUL);
        }
        let CopyRows { piece, node, origins, hasher } = self;
        let place = hasher.hash_one((record.origin, body.severity_number)) as usize % origins.len();
        let known = &mut origins[place];
        if known.columns.is_empty()
            || known.severity_number != body.severity_number
            || known.key != record.origin
        {
            known.learn(record, node)?;
        }
        piece.put_i16(COLUMNS);
        put_i64(piece, id as i64);
        put_i64(piece, body.timestamp.div_euclid(1000) - EPOCH_MICROSECONDS);
        put_i16(piece, body.timestamp.rem_euclid(1000) as i16);
        for text in texts {
            put_text(piece, text);
        }
        put_json(piece, body.attributes);
        piece.put_slice(&known.columns);
        if known.columns.len() > POSTGRES_ORIGIN_BYTES_MAX {
            *known = KnownOrigin::default();
        }
        Ok(())
    }

    /// Returns the rows so far, once there are enough of them to be sent.
    pub(super) fn take_full(&mut self) -> Option<Bytes> {
        (self.piece.len() >= POSTGRES_PIECE_BYTES).then(|| self.take())
    }

    /// Returns the rest of the rows, and the end of the COPY.
    pub(super) fn finish(&mut self) -> Bytes {
        self.piece.put_i16(TRAILER);
        self.take()
    }

    /// Takes the rows so far out of the buffer. The memory of the piece is reused once it was sent.
    fn take(&mut self) -> Bytes {
        let piece = self.piece.split().freeze();
        self.piece.reserve(POSTGRES_PIECE_BYTES);
        piece
    }
}

impl KnownOrigin {
    fn learn(&mut self, record: &EncodedRecord<'_>, node: &str) -> Result<(), Unfit> {
        // The origin was encoded by this program and has passed its checksum. The fallback, an
        // empty origin, is valid too.
        let origin = origin_of(record.origin).unwrap_or_default();
        let whole = RecordRef { origin, ..record.body };
        let columns = &mut self.columns;
        columns.clear();
        put_i16_always(columns, i16::from(record.body.severity_number));
        put_text(columns, whole.severity());
        put_text(columns, origin.service);
        put_text(columns, origin.logger);
        put_text(columns, origin.host);
        put_text(columns, origin.file);
        put_number(columns, origin.line);
        put_text(columns, origin.function);
        put_number(columns, origin.process_id);
        put_text(columns, origin.thread);
        put_text(columns, node);
        let texts = [
            origin.service,
            origin.logger,
            origin.host,
            origin.severity_text,
            origin.file,
            origin.function,
            origin.thread,
        ];
        if texts.iter().any(|text| has_nul(text)) {
            columns.clear();
            return Err(NUL);
        }
        self.severity_number = record.body.severity_number;
        self.key.clear();
        self.key.extend_from_slice(record.origin);
        Ok(())
    }
}

fn has_nul(text: &str) -> bool {
    memchr::memchr(0, text.as_bytes()).is_some()
}

/// Returns true if a JSON text contains `\u0000`, and not an escaped backslash followed by `u0000`.
fn has_escaped_nul(json: &str) -> bool {
    let json = json.as_bytes();
    memchr::memmem::find_iter(json, b"\\u0000").any(|at| {
        let backslashes = json[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        backslashes % 2 == 0
    })
}

fn put_i64(out: &mut impl BufMut, value: i64) {
    out.put_i32(8);
    out.put_i64(value);
}

fn put_i16_always(out: &mut impl BufMut, value: i16) {
    out.put_i32(2);
    out.put_i16(value);
}

/// Appends a number, or NULL for 0.
fn put_i16(out: &mut impl BufMut, value: i16) {
    if value == 0 { out.put_i32(-1) } else { put_i16_always(out, value) }
}

/// Appends a number, or NULL for 0.
fn put_number(out: &mut impl BufMut, value: u32) {
    if value == 0 { out.put_i32(-1) } else { put_i64(out, i64::from(value)) }
}

/// Appends a text, or NULL for an empty one.
fn put_text(out: &mut impl BufMut, text: &str) {
    if text.is_empty() {
        return out.put_i32(-1);
    }
    out.put_i32(text.len() as i32); // at most RECORD_BYTES_MAX
    out.put_slice(text.as_bytes());
}

/// Appends JSON in the wire format of `jsonb`: a version, then the text.
fn put_json(out: &mut impl BufMut, text: &str) {
    if text.is_empty() {
        return out.put_i32(-1);
    }
    out.put_i32(text.len() as i32 + 1);
    out.put_u8(1);
    out.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Batch, Origin, Records};

    fn encode(rows: &mut CopyRows, id: RecordId, record: &RecordRef<'_>) -> Result<Bytes, Unfit> {
        let mut batch = Batch::new();
        batch.push(record);
        let encoded = Records::new(batch.bytes()).next().unwrap().unwrap();
        rows.begin();
        rows.push(id, &encoded)?;
        Ok(rows.finish())
    }

    fn columns(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut rest = bytes.strip_prefix(HEADER).unwrap();
        let mut take = |count: usize| {
            let (head, tail) = rest.split_at(count);
            rest = tail;
            head.to_vec()
        };
        assert_eq!(take(2), COLUMNS.to_be_bytes());
        let columns = (0..COLUMNS)
            .map(|_| match i32::from_be_bytes(take(4).try_into().unwrap()) {
                -1 => None,
                length => Some(take(length as usize)),
            })
            .collect();
        assert_eq!(rest, TRAILER.to_be_bytes());
        columns
    }

    #[test]
    fn every_field_is_a_column() {
        let origin = Origin {
            service: "s",
            logger: "l",
            host: "h",
            severity_text: "W",
            file: "f",
            line: u32::MAX,
            function: "g",
            process_id: 4,
            thread: "t",
        };
        let record = RecordRef {
            timestamp: EPOCH_MICROSECONDS * 1000 - 1,
            severity_number: 13,
            origin,
            message: "m",
            trace_id: "a",
            span_id: "b",
            event_name: "e",
            attributes: "{}",
            ..RecordRef::default()
        };
        let mut rows = CopyRows::new("n");
        let bytes = encode(&mut rows, 7, &record).unwrap();
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let number = |number: i64| Some(number.to_be_bytes().to_vec());
        let short = |number: i16| Some(number.to_be_bytes().to_vec());
        let expected = [
            number(7),
            number(-1),
            short(999),
            text("m"),
            text("a"),
            text("b"),
            text("e"),
            text("\u{1}{}"),
            short(13),
            text("W"),
            text("s"),
            text("l"),
            text("h"),
            text("f"),
            number(i64::from(u32::MAX)),
            text("g"),
            number(4),
            text("t"),
            text("n"),
        ];
        assert_eq!(columns(&bytes), expected);
        assert_eq!(encode(&mut rows, 7, &record).unwrap(), bytes, "from what is known");
    }

    #[test]
    fn missing_fields_are_null() {
        let mut rows = CopyRows::new("n");
        let columns = columns(&encode(&mut rows, 1, &RecordRef::default()).unwrap());
        let given: Vec<_> = (0..columns.len()).filter(|at| columns[*at].is_some()).collect();
        assert_eq!(given, [0, 1, 8, 18], "id, time, severity number and node");
    }

    #[test]
    fn equal_origins_keep_different_severities() {
        let mut rows = CopyRows::new("n");
        for severity_number in [9, 13, 9, 0] {
            let record = RecordRef { severity_number, ..RecordRef::default() };
            let columns = columns(&encode(&mut rows, 1, &record).unwrap());
            let name = crate::record::severity::name(severity_number);
            assert_eq!(columns[9], (!name.is_empty()).then(|| name.as_bytes().to_vec()));
        }
    }

    #[test]
    fn nul_is_rejected_in_every_field() {
        let mut rows = CopyRows::new("n");
        let empty = RecordRef::default();
        for record in [
            RecordRef { message: "a\0", ..empty },
            RecordRef { trace_id: "\0", ..empty },
            RecordRef { span_id: "\0", ..empty },
            RecordRef { event_name: "\0", ..empty },
            RecordRef { origin: Origin { service: "\0", ..Origin::default() }, ..empty },
            RecordRef { origin: Origin { severity_text: "\0", ..Origin::default() }, ..empty },
            RecordRef { origin: Origin { thread: "\0", ..Origin::default() }, ..empty },
        ] {
            for _ in 0..2 {
                assert_eq!(encode(&mut rows, 1, &record), Err(NUL), "{record:?}");
            }
        }
        for (attributes, fits) in [
            (r#"{"a":"\u0000"}"#, false),
            (r#"{"a":"\\u0000"}"#, true),
            (r#"{"a":"\\\u0000"}"#, false),
            (r#"{"a":"\\u0000 \u0000"}"#, false),
            (r#"{"\u0000":1}"#, false),
            (r#"{"a":"\u0001"}"#, true),
        ] {
            let record = RecordRef { attributes, ..empty };
            assert_eq!(encode(&mut rows, 1, &record).is_ok(), fits, "{attributes}");
        }
    }

    #[test]
    fn pieces_are_joined_end_to_end() {
        let mut batch = Batch::new();
        let message = "x".repeat(1000);
        (0..200).for_each(|_| batch.push(&RecordRef { message: &message, ..RecordRef::default() }));
        let mut rows = CopyRows::new("n");
        rows.begin();
        let (mut joined, mut pieces) = (Vec::new(), 0);
        for (record, id) in Records::new(batch.bytes()).zip(1..) {
            rows.push(id, &record.unwrap()).unwrap();
            if let Some(piece) = rows.take_full() {
                joined.extend_from_slice(&piece);
                pieces += 1;
            }
        }
        joined.extend_from_slice(&rows.finish());
        assert_eq!(pieces, 200_000 / POSTGRES_PIECE_BYTES);
        let row = 2 + 4 + 8 + 4 + 8 + 4 + (4 + 1000) + 4 * 4 + (4 + 2) + 9 * 4 + (4 + 1);
        assert_eq!(joined.len(), HEADER.len() + 200 * row + 2);
    }
}
