//! Dictionaries: what repeats is stored once, and rows refer to it by number.
//!
//! There is a set of dictionaries for each *generation*, a run of 262,144 consecutive ids: `sender`
//! has combinations of service, host and process, `place` has combinations of logger, file and
//! function, and `word` has single texts. A value gets a number when it occurs for the fourth time.
//! Until then, and once a dictionary is full, the rows themselves have the value. So a value that
//! does not repeat costs its own bytes and no more, whatever it is combined with; a dictionary is
//! small enough to stay in memory, so that nothing has to be looked up while rows are written; and
//! retention deletes the dictionaries of a generation by their range of ids.
//!
//! The id of a dictionary's row is the number of the generation times 65,536, plus the number that
//! rows of the generation refer to.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql, params};

use super::columns::packed_severity;
use super::{expect_row, null_if_empty};
use crate::limits::{
    SQLITE_BLOCK_ROWS, SQLITE_NAME_OCCURRENCES_MIN, SQLITE_NAMES_BYTES_MAX, SQLITE_NAMES_COUNTED,
    SQLITE_NAMES_MAX,
};
use crate::record::{Origin, RecordId, RecordRef};

/// A generation has 2 to the power of this ids, as many as a group of filters.
pub(super) const GENERATION_BITS: u32 = 18;

/// The numbers of one generation have this many bits.
pub(super) const NUMBER_BITS: u32 = 16;

/// The tables.
pub(super) const DICTIONARIES: [&str; 3] = ["sender", "place", "word"];

pub(super) const TABLES: &str = "
CREATE TABLE sender (id INTEGER PRIMARY KEY, service TEXT, host TEXT, process_id INTEGER) STRICT;
CREATE TABLE place (id INTEGER PRIMARY KEY, logger TEXT, file TEXT, function TEXT) STRICT;
CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
";

/// Returns the generation of a record.
pub(super) fn generation_of(id: RecordId) -> u64 {
    id.saturating_sub(1) >> GENERATION_BITS
}

/// Returns the first id of a record of a generation.
pub(super) fn first_id_of_generation(generation: u64) -> RecordId {
    ((generation << GENERATION_BITS) + 1).min(i64::MAX as RecordId)
}

/// Returns the id of the first row that a dictionary can have for a generation.
pub(super) fn first_row_of(generation: u64) -> i64 {
    (generation << NUMBER_BITS) as i64
}

/// The dictionaries of the generation that is being written.
#[derive(Debug)]
pub(super) struct Dictionaries {
    generation: u64,
    senders: Dictionary,
    places: Dictionary,
    words: Dictionary,
    key: Vec<u8>,
}

/// The columns of a row that dictionaries may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamesOfRow<'a> {
    pub(super) severity: u8,
    pub(super) sender: Option<u16>,
    pub(super) place: Option<u16>,
    pub(super) thread: Option<Name<'a>>,
    pub(super) event_name: Option<Name<'a>>,
    pub(super) severity_text: Option<Name<'a>>,
    /// Only without a sender.
    pub(super) process_id: u32,
    /// `host` and `service`, only without a sender.
    pub(super) of_sender: [Option<Name<'a>>; 2],
    /// `function`, `logger` and `file`, only without a place.
    pub(super) of_place: [Option<Name<'a>>; 3],
}

/// A text in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// The number of a word.
    Number(u16),
    /// A word that has no number.
    Text(&'a str),
}

impl ToSql for Name<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Name::Number(number) => ValueRef::Integer((*number).into()),
            Name::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// The values of one dictionary.
#[derive(Debug, Default)]
struct Dictionary {
    numbers: HashMap<Box<[u8]>, u16, RandomState>,
    next: u16,
    bytes: usize,
    candidates: Candidates,
}

/// How often values without a number have occurred. Each value has a place in one of four slots,
/// which its hash selects; a new value takes the place of the one that occurred least.
#[derive(Debug, Default)]
struct Candidates(Vec<[Candidate; 4]>);

#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    /// A part of the hash. Two values with the same part count as one, and get numbers earlier,
    /// which does no harm.
    tag: u16,
    occurrences: u8,
}

impl Candidates {
    /// Returns how often a value has occurred, with this time.
    fn count(&mut self, hash: u64) -> u8 {
        self.0.resize(SQLITE_NAMES_COUNTED / 4, [Candidate::default(); 4]);
        let slots = &mut self.0[hash as usize % (SQLITE_NAMES_COUNTED / 4)];
        let tag = (hash >> (u64::BITS - u16::BITS)) as u16;
        let known = slots.iter().position(|slot| slot.tag == tag && slot.occurrences > 0);
        let place = known.unwrap_or_else(|| {
            let rarest = (0..slots.len()).min_by_key(|place| slots[*place].occurrences).unwrap_or_default();
            slots[rarest] = Candidate { tag, occurrences: 0 };
            rarest
        });
        slots[place].occurrences = slots[place].occurrences.saturating_add(1);
        slots[place].occurrences
    }
}

/// The result of looking up a value.
enum Found {
    Number(u16),
    /// The value has just got this number.
    New(u16),
    /// The row has to have the value itself.
    Nothing,
}

impl Dictionary {
    fn number(&mut self, key: &[u8]) -> Found {
        if let Some(number) = self.numbers.get(key) {
            return Found::Number(*number);
        }
        if self.next >= SQLITE_NAMES_MAX || self.bytes + key.len() > SQLITE_NAMES_BYTES_MAX {
            return Found::Nothing;
        }
        let hash = self.numbers.hasher().hash_one(key);
        if self.candidates.count(hash) < SQLITE_NAME_OCCURRENCES_MIN {
            return Found::Nothing;
        }
        let number = self.next;
        self.insert(key, number);
        Found::New(number)
    }

    fn insert(&mut self, key: &[u8], number: u16) {
        if self.bytes + key.len() <= SQLITE_NAMES_BYTES_MAX {
            self.numbers.insert(key.into(), number);
            self.bytes += key.len();
        }
        self.next = self.next.max(number.saturating_add(1));
    }
}

impl Dictionaries {
    /// Reads the dictionaries of a generation.
    pub(super) fn open(connection: &Connection, generation: u64) -> rusqlite::Result<Dictionaries> {
        let mut dictionaries = Dictionaries {
            generation,
            senders: Dictionary::default(),
            places: Dictionary::default(),
            words: Dictionary::default(),
            key: Vec::new(),
        };
        dictionaries.read(connection)?;
        Ok(dictionaries)
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    fn read(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let Dictionaries { senders, places, words, key, .. } = self;
        let first = first_row_of(self.generation);
        let ids = [first, first + i64::from(u16::MAX)];
        let number = |row: &Row<'_>| Ok::<_, rusqlite::Error>((row.get::<_, i64>(0)? - first) as u16);
        let mut select = connection
            .prepare_cached("SELECT id, service, host, process_id FROM sender WHERE id BETWEEN ? AND ?")?;
        let mut rows = select.query(ids)?;
        while let Some(row) = rows.next()? {
            let process_id = row.get::<_, Option<u32>>(3).unwrap_or_default().unwrap_or_default();
            sender_key(key, bytes(row, 1)?, bytes(row, 2)?, process_id);
            senders.insert(key, number(row)?);
        }
        let mut select = connection
            .prepare_cached("SELECT id, logger, file, function FROM place WHERE id BETWEEN ? AND ?")?;
        let mut rows = select.query(ids)?;
        while let Some(row) = rows.next()? {
            place_key(key, [bytes(row, 1)?, bytes(row, 2)?, bytes(row, 3)?]);
            places.insert(key, number(row)?);
        }
        let mut select = connection.prepare_cached("SELECT id, text FROM word WHERE id BETWEEN ? AND ?")?;
        let mut rows = select.query(ids)?;
        while let Some(row) = rows.next()? {
            words.insert(bytes(row, 1)?, number(row)?);
        }
        Ok(())
    }

    /// Returns what the row of a record has, and inserts the values that have got a number. The
    /// dictionaries must be discarded when the transaction fails.
    pub(super) fn names<'a>(
        &mut self,
        connection: &Connection,
        id: RecordId,
        record: &RecordRef<'a>,
    ) -> rusqlite::Result<NamesOfRow<'a>> {
        let (generation, origin) = (generation_of(id), &record.origin);
        if generation != self.generation {
            *self = Dictionaries::open(connection, generation)?;
        }
        let (severity, severity_text) = packed_severity(record.severity_number, origin.severity_text);
        let mut names = NamesOfRow {
            severity,
            sender: self.sender(connection, origin)?,
            place: self.place(connection, origin)?,
            thread: self.word(connection, origin.thread)?,
            event_name: self.word(connection, record.event_name)?,
            severity_text: self.word(connection, severity_text)?,
            process_id: 0,
            of_sender: [None; 2],
            of_place: [None; 3],
        };
        if names.sender.is_none() {
            names.process_id = origin.process_id;
            names.of_sender = [self.word(connection, origin.host)?, self.word(connection, origin.service)?];
        }
        if names.place.is_none() {
            for (name, text) in names.of_place.iter_mut().zip([origin.function, origin.logger, origin.file]) {
                *name = self.word(connection, text)?;
            }
        }
        Ok(names)
    }

    /// Returns the number of a sender. A record without any of the three columns has none.
    fn sender(&mut self, connection: &Connection, origin: &Origin<'_>) -> rusqlite::Result<Option<u16>> {
        let Origin { service, host, process_id, .. } = *origin;
        if service.is_empty() && host.is_empty() && process_id == 0 {
            return Ok(None);
        }
        sender_key(&mut self.key, service.as_bytes(), host.as_bytes(), process_id);
        match self.senders.number(&self.key) {
            Found::Number(number) => Ok(Some(number)),
            Found::Nothing => Ok(None),
            Found::New(number) => {
                let id = first_row_of(self.generation) + i64::from(number);
                let process_id = (process_id != 0).then_some(process_id);
                let row = params![id, null_if_empty(service), null_if_empty(host), process_id];
                expect_row(
                    connection.prepare_cached("INSERT INTO sender VALUES (?, ?, ?, ?)")?.execute(row)?,
                )?;
                Ok(Some(number))
            }
        }
    }

    fn place(&mut self, connection: &Connection, origin: &Origin<'_>) -> rusqlite::Result<Option<u16>> {
        let Origin { logger, file, function, .. } = *origin;
        if logger.is_empty() && file.is_empty() && function.is_empty() {
            return Ok(None);
        }
        place_key(&mut self.key, [logger, file, function].map(str::as_bytes));
        match self.places.number(&self.key) {
            Found::Number(number) => Ok(Some(number)),
            Found::Nothing => Ok(None),
            Found::New(number) => {
                let id = first_row_of(self.generation) + i64::from(number);
                let row = params![id, null_if_empty(logger), null_if_empty(file), null_if_empty(function)];
                expect_row(
                    connection.prepare_cached("INSERT INTO place VALUES (?, ?, ?, ?)")?.execute(row)?,
                )?;
                Ok(Some(number))
            }
        }
    }

    fn word<'a>(&mut self, connection: &Connection, text: &'a str) -> rusqlite::Result<Option<Name<'a>>> {
        if text.is_empty() {
            return Ok(None);
        }
        match self.words.number(text.as_bytes()) {
            Found::Number(number) => Ok(Some(Name::Number(number))),
            Found::Nothing => Ok(Some(Name::Text(text))),
            Found::New(number) => {
                let id = first_row_of(self.generation) + i64::from(number);
                expect_row(
                    connection
                        .prepare_cached("INSERT INTO word VALUES (?, ?)")?
                        .execute(params![id, text])?,
                )?;
                Ok(Some(Name::Number(number)))
            }
        }
    }
}

/// Returns the bytes of a text, which another program may have damaged.
fn bytes<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<&'a [u8]> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) => bytes,
        _ => &[],
    })
}

/// Sets `key` to what identifies a sender.
fn sender_key(key: &mut Vec<u8>, service: &[u8], host: &[u8], process_id: u32) {
    key.clear();
    key.extend_from_slice(&process_id.to_le_bytes());
    key.extend_from_slice(&(service.len() as u32).to_le_bytes());
    key.extend_from_slice(service);
    key.extend_from_slice(host);
}

/// Sets `key` to what identifies a place: logger, file and function.
fn place_key(key: &mut Vec<u8>, texts: [&[u8]; 3]) {
    key.clear();
    for text in texts {
        key.extend_from_slice(&(text.len() as u32).to_le_bytes());
        key.extend_from_slice(text);
    }
}

/// Deletes some rows of the dictionaries of the generations before that of a record, which has
/// become the oldest one. Returns how many.
pub(super) fn delete_before(connection: &Connection, oldest: RecordId) -> rusqlite::Result<usize> {
    let end = first_row_of(generation_of(oldest));
    let mut deleted = 0;
    for table in DICTIONARIES {
        // Even a deletion of nothing would need the lock of a writer.
        let mut select = connection.prepare_cached(&format!("SELECT min(id) FROM {table}"))?;
        let first: Option<i64> = select.query_row([], |row| row.get(0))?;
        if first.is_none_or(|first| first >= end) {
            continue;
        }
        let delete = format!(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE id < ? ORDER BY id LIMIT ?)"
        );
        deleted += connection.prepare_cached(&delete)?.execute(params![end, SQLITE_BLOCK_ROWS as i64])?;
    }
    Ok(deleted)
}
