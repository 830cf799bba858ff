//! Interning: each distinct origin has one row, found by its encoded bytes.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::null_if_empty;
use crate::limits::SQLITE_ORIGINS_CACHE_BYTES_MAX;
use crate::record::origin_of;

/// The ids of the origins met lately.
#[derive(Debug, Default)]
pub(super) struct Origins {
    ids: HashMap<Box<[u8]>, i64>,
    bytes: usize,
    /// The origin of the record before: the most frequent by far.
    last: (Vec<u8>, i64),
}

impl Origins {
    /// The id of an origin, which gets a row if it has none. Forget the cache when the transaction fails.
    pub(super) fn id(&mut self, connection: &Connection, key: &[u8]) -> rusqlite::Result<i64> {
        if self.last.1 != 0 && self.last.0 == key {
            return Ok(self.last.1);
        }
        let id = match self.ids.get(key) {
            Some(id) => *id,
            None => self.look_up(connection, key)?,
        };
        self.last.0.clear();
        self.last.0.extend_from_slice(key);
        self.last.1 = id;
        Ok(id)
    }

    #[cold]
    fn look_up(&mut self, connection: &Connection, key: &[u8]) -> rusqlite::Result<i64> {
        let mut select = connection.prepare_cached("SELECT id FROM origin WHERE key = ?")?;
        let id = match select.query_row([key], |row| row.get(0)).optional()? {
            Some(id) => id,
            None => insert(connection, key)?,
        };
        const ENTRY_BYTES: usize = 64; // what the map takes beside the key
        if self.bytes + key.len() + ENTRY_BYTES > SQLITE_ORIGINS_CACHE_BYTES_MAX {
            self.ids = HashMap::new();
            self.bytes = 0;
        }
        self.bytes += key.len() + ENTRY_BYTES;
        self.ids.insert(key.into(), id);
        Ok(id)
    }
}

fn insert(connection: &Connection, key: &[u8]) -> rusqlite::Result<i64> {
    // It was encoded by this program and has passed its checksum; nothing at all is still an origin.
    let origin = origin_of(key).unwrap_or_default();
    let mut insert = connection.prepare_cached(
        "INSERT INTO origin (key, severity_text, service, logger, host, file, line, function, process_id, thread)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    insert.insert(params![
        key,
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
