//! Interns origins: each distinct origin has one row, found by its encoded bytes.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use rusqlite::{Connection, OptionalExtension, params};

use super::filter::number_of;
use super::null_if_empty;
use crate::limits::{SQLITE_BLOCK_ROWS, SQLITE_ORIGIN_LEASE_IDS, SQLITE_ORIGINS_CACHE_BYTES_MAX};
use crate::record::{RecordId, origin_of};

/// A cache of recently used origins.
#[derive(Debug, Default)]
pub(super) struct Origins {
    known: HashMap<Box<[u8]>, Interned, RandomState>,
    bytes: usize,
    /// The origin of the previous record, which is by far the most frequent one.
    last: (Vec<u8>, Interned),
}

/// The row of an origin.
#[derive(Clone, Copy, Debug, Default)]
struct Interned {
    id: i64,
    /// As stored in the row: records below this id may refer to the origin.
    used_until: RecordId,
    /// The number of ids by which the use was last extended.
    lease_ids: u64,
}

impl Origins {
    /// Returns the id of the origin of a record, and inserts a row if there is none. The cache must
    /// be discarded when the transaction fails.
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

    /// Finds or inserts the row, and extends its use beyond this record: at first to the end of the
    /// record's block, so that an origin that does not occur again is deleted with its block; then
    /// for as long again as the origin has been in use.
    #[cold]
    fn look_up(
        &mut self,
        connection: &Connection,
        key: &[u8],
        record: RecordId,
    ) -> rusqlite::Result<Interned> {
        let block_end = number_of(record) * SQLITE_BLOCK_ROWS + SQLITE_BLOCK_ROWS + 1;
        let mut select = connection.prepare_cached("SELECT id, used_until FROM origin WHERE key = ?")?;
        let found = select.query_row([key], |row| Ok((row.get(0)?, row.get::<_, u64>(1)?))).optional()?;
        let interned = match found {
            None => Interned { id: insert(connection, key, block_end)?, used_until: block_end, lease_ids: 0 },
            Some((id, used_until)) if record < used_until => Interned { id, used_until, lease_ids: 0 },
            Some((id, used_until)) => {
                let known = self.known.get(key).map_or(0, |known| known.lease_ids);
                let unused = record - used_until;
                let lease_ids = (2 * known.max(unused)).clamp(SQLITE_BLOCK_ROWS, SQLITE_ORIGIN_LEASE_IDS);
                let used_until = block_end.max(record + lease_ids);
                connection
                    .prepare_cached("UPDATE origin SET used_until = ? WHERE id = ?")?
                    .execute([used_until as i64, id])?;
                Interned { id, used_until, lease_ids }
            }
        };
        const ENTRY_BYTES: usize = 64; // what the map needs besides the key
        if self.bytes + key.len() + ENTRY_BYTES > SQLITE_ORIGINS_CACHE_BYTES_MAX {
            self.known = HashMap::default();
            self.bytes = 0;
        }
        if self.known.insert(key.into(), interned).is_none() {
            self.bytes += key.len() + ENTRY_BYTES;
        }
        Ok(interned)
    }
}

/// Deletes some of the origins that no record from `oldest` on refers to. Returns how many.
pub(super) fn delete_unused(connection: &Connection, oldest: RecordId) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM origin WHERE id IN (SELECT id FROM origin WHERE used_until <= ? LIMIT ?)",
        )?
        .execute(params![oldest as i64, SQLITE_BLOCK_ROWS as i64])
}

fn insert(connection: &Connection, key: &[u8], used_until: RecordId) -> rusqlite::Result<i64> {
    // The key was encoded by this program and has passed its checksum; the fallback, an empty
    // origin, is a valid origin too.
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
