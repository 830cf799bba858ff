//! Interning: each distinct origin has one row, found by its encoded bytes.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use rusqlite::{Connection, OptionalExtension, params};

use super::null_if_empty;
use crate::limits::{SQLITE_BLOCK_ROWS, SQLITE_ORIGIN_LEASE_IDS, SQLITE_ORIGINS_CACHE_BYTES_MAX};
use crate::record::{RecordId, origin_of};

/// The origins met lately.
#[derive(Debug, Default)]
pub(super) struct Origins {
    known: HashMap<Box<[u8]>, Interned, RandomState>,
    bytes: usize,
    /// The origin of the record before: the most frequent by far.
    last: (Vec<u8>, Interned),
}

/// The row of an origin.
#[derive(Clone, Copy, Debug, Default)]
struct Interned {
    id: i64,
    /// The row says that records below this id may have it.
    used_until: RecordId,
}

impl Origins {
    /// The id of the origin of a record, which gets a row if it has none. Forget the cache when the transaction fails.
    pub(super) fn id(
        &mut self,
        connection: &Connection,
        key: &[u8],
        record: RecordId,
    ) -> rusqlite::Result<i64> {
        if record < self.last.1.used_until && self.last.0 == key {
            return Ok(self.last.1.id);
        }
        let interned = match self.known.get(key) {
            Some(known) if record < known.used_until => *known,
            _ => self.look_up(connection, key, record)?,
        };
        self.last.0.clear();
        self.last.0.extend_from_slice(key);
        self.last.1 = interned;
        Ok(interned.id)
    }

    /// Finds or makes the row, and extends its use far beyond this record, so that this is seldom needed.
    #[cold]
    fn look_up(
        &mut self,
        connection: &Connection,
        key: &[u8],
        record: RecordId,
    ) -> rusqlite::Result<Interned> {
        let used_until = record + SQLITE_ORIGIN_LEASE_IDS;
        let mut extend =
            connection.prepare_cached("UPDATE origin SET used_until = ? WHERE key = ? RETURNING id")?;
        let id = match extend.query_row(params![used_until as i64, key], |row| row.get(0)).optional()? {
            Some(id) => id,
            None => insert(connection, key, used_until)?,
        };
        const ENTRY_BYTES: usize = 64; // what the map takes beside the key
        if self.bytes + key.len() + ENTRY_BYTES > SQLITE_ORIGINS_CACHE_BYTES_MAX {
            self.known = HashMap::default();
            self.bytes = 0;
        }
        let interned = Interned { id, used_until };
        if self.known.insert(key.into(), interned).is_none() {
            self.bytes += key.len() + ENTRY_BYTES;
        }
        Ok(interned)
    }
}

/// Deletes some of the origins that no record from `oldest` on has; gives how many.
pub(super) fn delete_unused(connection: &Connection, oldest: RecordId) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM origin WHERE id IN (SELECT id FROM origin WHERE used_until <= ? LIMIT ?)",
        )?
        .execute(params![oldest as i64, SQLITE_BLOCK_ROWS as i64])
}

fn insert(connection: &Connection, key: &[u8], used_until: RecordId) -> rusqlite::Result<i64> {
    // It was encoded by this program and has passed its checksum; nothing at all is still an origin.
    let origin = origin_of(key).unwrap_or_default();
    let mut insert = connection.prepare_cached(
        "INSERT INTO origin
             (key, used_until, severity_text, service, logger, host, file, line, function, process_id, thread)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    insert.insert(params![
        key,
        used_until as i64,
        null_if_empty(origin.severity_text),
        null_if_empty(origin.service),
        null_if_empty(origin.logger),
        null_if_empty(origin.host),
        null_if_empty(origin.file),
        (origin.line != 0).then_some(origin.line),
        null_if_empty(origin.function),
        (origin.process_id != 0).then_some(origin.process_id),
        null_if_empty(origin.thread),
    ])
}
