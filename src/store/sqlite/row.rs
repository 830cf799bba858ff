//! Reads rows of `record`, with what they refer to in the dictionaries.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::columns::unpacked_severity;
use super::dictionary::{first_row_of, generation_of};
use crate::limits::SQLITE_READER_NAMES_BYTES_MAX;
use crate::record::{Column, ColumnSet, Origin, RecordId, RecordRef};

/// The columns of a row, each with the columns of a record for which it is read.
pub(super) const COLUMNS: [(&str, ColumnSet, &str); 19] = [
    ("r.id", ColumnSet::NONE, "NULL"),
    ("r.timestamp", ColumnSet::NONE, "NULL"),
    ("r.severity", ColumnSet::NONE, "NULL"),
    ("r.sender", SENDER, "NULL"),
    ("r.place", PLACE, "NULL"),
    ("r.line", ColumnSet::of_column(Column::Line), "NULL"),
    ("r.process_id", ColumnSet::of_column(Column::ProcessId), "NULL"),
    ("r.message", ColumnSet::of_column(Column::Message), "NULL"),
    ("r.attributes", ColumnSet::ATTRIBUTES, "NULL"),
    ("r.trace_id", ColumnSet::of_column(Column::TraceId), "NULL"),
    ("r.span_id", ColumnSet::of_column(Column::SpanId), "NULL"),
    ("r.thread", ColumnSet::of_column(Column::Thread), "NULL"),
    ("r.event_name", ColumnSet::of_column(Column::EventName), "NULL"),
    ("r.severity_text", ColumnSet::of_column(Column::Severity), "NULL"),
    ("r.service", ColumnSet::of_column(Column::Service), "NULL"),
    ("r.host", ColumnSet::of_column(Column::Host), "NULL"),
    ("r.logger", ColumnSet::of_column(Column::Logger), "NULL"),
    ("r.file", ColumnSet::of_column(Column::File), "NULL"),
    ("r.function", ColumnSet::of_column(Column::Function), "NULL"),
];

const SENDER: ColumnSet = ColumnSet::of_column(Column::Service)
    .and(ColumnSet::of_column(Column::Host))
    .and(ColumnSet::of_column(Column::ProcessId));
const PLACE: ColumnSet = ColumnSet::of_column(Column::Logger)
    .and(ColumnSet::of_column(Column::File))
    .and(ColumnSet::of_column(Column::Function));

// The indexes of columns in COLUMNS.
const SENDER_NUMBER: usize = 3;
const PLACE_NUMBER: usize = 4;
const TRACE_ID: usize = 9;
const SPAN_ID: usize = 10;
const FIRST_WORD: usize = 11;
const THREAD: usize = 11;
const EVENT_NAME: usize = 12;
const SEVERITY_TEXT: usize = 13;
const SERVICE: usize = 14;
const HOST: usize = 15;
const LOGGER: usize = 16;
const FILE: usize = 17;
const FUNCTION: usize = 18;

/// Reads rows, and keeps what was read of the dictionaries.
pub(super) struct RowReader<'c> {
    connection: &'c Connection,
    senders: HashMap<i64, Sender, RandomState>,
    places: HashMap<i64, Place, RandomState>,
    words: HashMap<i64, String, RandomState>,
    bytes: usize,
    trace_id: String,
    span_id: String,
}

#[derive(Default)]
struct Sender {
    service: String,
    host: String,
    process_id: u32,
}

#[derive(Default)]
struct Place {
    logger: String,
    file: String,
    function: String,
}

impl<'c> RowReader<'c> {
    pub(super) fn new(connection: &'c Connection) -> RowReader<'c> {
        RowReader {
            connection,
            senders: HashMap::default(),
            places: HashMap::default(),
            words: HashMap::default(),
            bytes: 0,
            trace_id: String::new(),
            span_id: String::new(),
        }
    }

    /// Returns the record of a row that has [`COLUMNS`].
    pub(super) fn record<'a>(&'a mut self, row: &'a Row<'_>) -> rusqlite::Result<(RecordId, RecordRef<'a>)> {
        let id: RecordId = row.get(0)?;
        let first = first_row_of(generation_of(id));
        self.load(row, first)?;
        let (severity_number, spelled) = unpacked_severity(row.get(2)?);
        let text = |index| Ok::<_, rusqlite::Error>(text_of(row.get_ref(index)?));
        let name = |index| {
            Ok::<_, rusqlite::Error>(match row.get_ref(index)? {
                ValueRef::Integer(number) => {
                    self.words.get(&first.saturating_add(number)).map_or("", String::as_str)
                }
                value => text_of(value),
            })
        };
        let number = |index| row.get::<_, Option<u32>>(index).map(Option::unwrap_or_default);
        let referred = |index| {
            Ok::<_, rusqlite::Error>(integer(row.get_ref(index)?).map(|number| first.saturating_add(number)))
        };
        let mut origin = Origin {
            line: number(5)?,
            thread: name(THREAD)?,
            severity_text: match spelled {
                "" => name(SEVERITY_TEXT)?,
                spelled => spelled,
            },
            ..Origin::default()
        };
        match referred(SENDER_NUMBER)?.and_then(|id| self.senders.get(&id)) {
            Some(sender) => {
                (origin.service, origin.host, origin.process_id) =
                    (&sender.service, &sender.host, sender.process_id);
            }
            None => {
                (origin.service, origin.host, origin.process_id) = (name(SERVICE)?, name(HOST)?, number(6)?);
            }
        }
        match referred(PLACE_NUMBER)?.and_then(|id| self.places.get(&id)) {
            Some(place) => {
                (origin.logger, origin.file, origin.function) = (&place.logger, &place.file, &place.function);
            }
            None => {
                (origin.logger, origin.file, origin.function) = (name(LOGGER)?, name(FILE)?, name(FUNCTION)?);
            }
        }
        let id_text = |index, decoded| match row.get_ref(index)? {
            ValueRef::Blob(_) => Ok::<_, rusqlite::Error>(decoded),
            value => Ok(text_of(value)),
        };
        let record = RecordRef {
            timestamp: row.get(1)?,
            observed_timestamp: 0,
            severity_number,
            origin,
            message: text(7)?,
            trace_id: id_text(TRACE_ID, self.trace_id.as_str())?,
            span_id: id_text(SPAN_ID, self.span_id.as_str())?,
            event_name: name(EVENT_NAME)?,
            attributes: text(8)?,
        };
        Ok((id, record))
    }

    /// Reads what the row refers to and was not read before.
    fn load(&mut self, row: &Row<'_>, first: i64) -> rusqlite::Result<()> {
        if self.bytes > SQLITE_READER_NAMES_BYTES_MAX {
            *self = RowReader::new(self.connection);
        }
        if let Some(number) = integer(row.get_ref(SENDER_NUMBER)?) {
            self.load_sender(first.saturating_add(number))?;
        }
        if let Some(number) = integer(row.get_ref(PLACE_NUMBER)?) {
            self.load_place(first.saturating_add(number))?;
        }
        for index in FIRST_WORD..COLUMNS.len() {
            if let Some(number) = integer(row.get_ref(index)?) {
                self.load_word(first.saturating_add(number))?;
            }
        }
        for (index, decoded) in [(TRACE_ID, &mut self.trace_id), (SPAN_ID, &mut self.span_id)] {
            if let ValueRef::Blob(bytes) = row.get_ref(index)? {
                write_hexadecimal(bytes, decoded);
            }
        }
        Ok(())
    }

    fn load_sender(&mut self, id: i64) -> rusqlite::Result<()> {
        if self.senders.contains_key(&id) {
            return Ok(());
        }
        let mut select =
            self.connection.prepare_cached("SELECT service, host, process_id FROM sender WHERE id = ?")?;
        let read = |row: &Row<'_>| {
            let process_id = row.get::<_, Option<u32>>(2)?.unwrap_or_default();
            Ok(Sender { service: owned(row, 0)?, host: owned(row, 1)?, process_id })
        };
        // A row that is gone because of damage has no names.
        let sender = select.query_row([id], read).optional()?.unwrap_or_default();
        self.bytes += sender.service.len() + sender.host.len() + size_of::<Sender>();
        self.senders.insert(id, sender);
        Ok(())
    }

    fn load_place(&mut self, id: i64) -> rusqlite::Result<()> {
        if self.places.contains_key(&id) {
            return Ok(());
        }
        let mut select =
            self.connection.prepare_cached("SELECT logger, file, function FROM place WHERE id = ?")?;
        let read = |row: &Row<'_>| {
            Ok(Place { logger: owned(row, 0)?, file: owned(row, 1)?, function: owned(row, 2)? })
        };
        let place = select.query_row([id], read).optional()?.unwrap_or_default();
        self.bytes += place.logger.len() + place.file.len() + place.function.len() + size_of::<Place>();
        self.places.insert(id, place);
        Ok(())
    }

    fn load_word(&mut self, id: i64) -> rusqlite::Result<()> {
        if self.words.contains_key(&id) {
            return Ok(());
        }
        let mut select = self.connection.prepare_cached("SELECT text FROM word WHERE id = ?")?;
        let word = select.query_row([id], |row| owned(row, 0)).optional()?.unwrap_or_default();
        self.bytes += word.len() + size_of::<String>();
        self.words.insert(id, word);
        Ok(())
    }
}

fn integer(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    }
}

fn owned(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    Ok(text_of(row.get_ref(index)?).to_owned())
}

/// Returns a text up to the first bytes that are not UTF-8, which a damaged disk or another program
/// may have left: one such record does not keep the other records from a query.
fn text_of(value: ValueRef<'_>) -> &str {
    let bytes = match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        _ => return "",
    };
    std::str::from_utf8(bytes).unwrap_or_else(|error| {
        let (valid, _) = bytes.split_at(error.valid_up_to());
        std::str::from_utf8(valid).unwrap_or_default()
    })
}

/// Returns the bytes that stand for a text of 16 or 32 lower-case hexadecimal digits.
pub(super) fn packed_hexadecimal<'b>(text: &str, bytes: &'b mut [u8; 16]) -> Option<&'b [u8]> {
    let digits = text.as_bytes();
    if !matches!(digits.len(), 16 | 32) {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(&bytes[..digits.len() / 2])
}

fn write_hexadecimal(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.clear();
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
}
