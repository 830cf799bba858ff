//! Searches for names in dictionaries that no record refers to any more, after a deletion. The
//! search covers the generations in which records were deleted.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};

use super::dictionary::{DICTIONARIES, NUMBER_BITS, first_id_of_generation, first_row_of, generation_of};
use super::schema::{self, MIGRATING_VERSION};
use super::search::SqliteReadConnection;
use crate::limits::DELETE_SLICE_RECORDS;
use crate::record::RecordId;
use crate::store::reader::NameSearchStep;
use crate::store::{UnusedName, UnusedNames};

/// The numbers of one generation that rows refer to, one bit for each, in the order of
/// [`DICTIONARIES`].
#[derive(Debug)]
pub(super) struct NumbersInUse {
    first_row: i64,
    bits: [Vec<u64>; 3],
}

/// The columns of a row that refer to dictionaries, each with the index of its dictionary.
const REFERENCES: [(&str, usize); 10] = [
    ("sender", 0),
    ("place", 1),
    ("thread", 2),
    ("event_name", 2),
    ("severity_text", 2),
    ("host", 2),
    ("service", 2),
    ("function", 2),
    ("logger", 2),
    ("file", 2),
];

impl NumbersInUse {
    fn new(generation: u64) -> NumbersInUse {
        let none = vec![0; 1 << (NUMBER_BITS - u64::BITS.ilog2())];
        NumbersInUse { first_row: first_row_of(generation), bits: [none.clone(), none.clone(), none] }
    }

    /// Returns what the rows of a generation from an id on refer to. Few have come since the names
    /// were searched for.
    pub(super) fn of_rows(
        connection: &Connection,
        generation: u64,
        from: RecordId,
    ) -> rusqlite::Result<NumbersInUse> {
        let mut used = NumbersInUse::new(generation);
        used.add_rows(connection, from, first_id_of_generation(generation + 1))?;
        Ok(used)
    }

    fn add_rows(&mut self, connection: &Connection, from: RecordId, to: RecordId) -> rusqlite::Result<()> {
        let columns = REFERENCES.map(|(column, _)| column).join(", ");
        let mut select =
            connection.prepare_cached(&format!("SELECT {columns} FROM record WHERE id >= ? AND id < ?"))?;
        let mut rows = select.query([from as i64, to as i64])?;
        while let Some(row) = rows.next()? {
            for (index, (_, table)) in REFERENCES.iter().enumerate() {
                if let ValueRef::Integer(number) = row.get_ref(index)? {
                    self.insert(*table, number);
                }
            }
        }
        Ok(())
    }

    fn insert(&mut self, table: usize, number: i64) {
        // Any other number refers to nothing.
        if let Ok(number) = u16::try_from(number) {
            self.bits[table][usize::from(number / 64)] |= 1 << (number % 64);
        }
    }

    pub(super) fn has(&self, table: usize, id: i64) -> bool {
        u16::try_from(id - self.first_row)
            .is_ok_and(|number| self.bits[table][usize::from(number / 64)] >> (number % 64) & 1 == 1)
    }
}

/// The progress of the search, generation by generation.
#[derive(Debug, Default)]
pub(super) struct NameSearch {
    /// The first id that was not examined.
    next: RecordId,
    examined: Option<Examined>,
}

/// A generation that is being examined.
#[derive(Debug)]
struct Examined {
    generation: u64,
    used: NumbersInUse,
    /// The records that remain to be examined.
    from: RecordId,
    to: RecordId,
    /// The last name that was found in each dictionary.
    reported: [i64; 3],
}

impl NameSearch {
    /// Examines about `rows` records, or returns unused names that have been found.
    pub(super) fn step(
        &mut self,
        connection: &SqliteReadConnection,
        rows: u64,
    ) -> rusqlite::Result<NameSearchStep> {
        let connection = &connection.connection;
        if schema::version_of(connection)? == MIGRATING_VERSION {
            return Ok(NameSearchStep::Waiting);
        }
        let Some(examined) = &mut self.examined else {
            let Some(generation) = next_generation(connection, self.next)? else {
                return Ok(NameSearchStep::Done);
            };
            let end = super::owner::position(connection)?;
            self.next = first_id_of_generation(generation + 1);
            self.examined = Some(Examined::new(generation, end));
            return Ok(NameSearchStep::Searching);
        };
        if examined.from < examined.to {
            let to = examined.to.min(examined.from.saturating_add(rows));
            examined.used.add_rows(connection, examined.from, to)?;
            examined.from = to;
            return Ok(NameSearchStep::Searching);
        }
        let names = examined.unused(connection)?;
        if names.ids.is_empty() {
            self.examined = None;
            return Ok(NameSearchStep::Searching);
        }
        Ok(NameSearchStep::Found(names))
    }
}

impl Examined {
    /// Examines the records of a generation that are below the position: later records may refer to
    /// any name.
    fn new(generation: u64, position: RecordId) -> Examined {
        Examined {
            generation,
            used: NumbersInUse::new(generation),
            from: first_id_of_generation(generation),
            to: first_id_of_generation(generation + 1).min(position),
            reported: [first_row_of(generation) - 1; 3],
        }
    }

    /// Returns the next unused names. Names that have come since are used by later records.
    fn unused(&mut self, connection: &Connection) -> rusqlite::Result<UnusedNames> {
        let last = first_row_of(self.generation) + ((1 << NUMBER_BITS) - 1);
        let mut ids = Vec::new();
        for (table, name) in DICTIONARIES.iter().enumerate() {
            let mut select = connection
                .prepare_cached(&format!("SELECT id FROM {name} WHERE id > ? AND id <= ? ORDER BY id"))?;
            let mut found = select.query([self.reported[table], last])?;
            while ids.len() < DELETE_SLICE_RECORDS
                && let Some(row) = found.next()?
            {
                let id = row.get(0)?;
                self.reported[table] = id;
                if !self.used.has(table, id) {
                    ids.push(UnusedName { table, id });
                }
            }
        }
        Ok(UnusedNames { ids, generation: self.generation, end: self.to })
    }
}

/// Returns the generation of the next deleted record.
fn next_generation(connection: &Connection, from: RecordId) -> rusqlite::Result<Option<u64>> {
    let mut select = connection.prepare_cached(
        "SELECT max(first_id, ?1) FROM logs_deleted WHERE last_id >= ?1 AND reason = 'deleted' ORDER BY 1 LIMIT 1",
    )?;
    let id: Option<RecordId> = select.query_row([from as i64], |row| row.get(0)).optional()?;
    Ok(id.map(generation_of))
}
