//! Looks into the stores, not through the server: is every key there, and once?

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// The keys of a store, with how often each is there.
pub struct Keys(HashMap<String, u64>);

/// The keys in a SQLite database, whose ids must have no gap.
pub fn database(path: &Path) -> Keys {
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let gaps = "SELECT count(*), max(id) - min(id) + 1 FROM logs";
    let (count, range): (i64, i64) =
        database.query_row(gaps, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(count, range, "ids have gaps");
    let mut statement = database.prepare("SELECT trace_id FROM logs").unwrap();
    let keys = statement.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
    Keys::of(keys.map(|key| key.unwrap().unwrap()))
}

/// The keys in a log file, one on every line.
pub fn log_file(path: &Path) -> Keys {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'));
    Keys::of(text.lines().map(|line| {
        let key = line.split_once("key=").unwrap_or_else(|| panic!("not a whole line: {line:?}")).1;
        key.to_owned()
    }))
}

impl Keys {
    fn of(keys: impl Iterator<Item = String>) -> Keys {
        let mut counts = HashMap::new();
        for key in keys {
            *counts.entry(key).or_default() += 1;
        }
        Keys(counts)
    }

    /// Every acknowledged key is there, and none is there twice.
    pub fn check(&self, what: &str, acknowledged: &[String]) {
        let twice: Vec<_> = self.0.iter().filter(|(_, count)| **count > 1).take(10).collect();
        assert!(twice.is_empty(), "{what} has keys more than once: {twice:?}");
        let lost: Vec<_> = acknowledged.iter().filter(|key| !self.0.contains_key(*key)).collect();
        assert!(
            lost.is_empty(),
            "{what} lacks {} of {} acknowledged records: {:?}",
            lost.len(),
            acknowledged.len(),
            &lost[..lost.len().min(10)]
        );
    }

    /// Both stores have the same.
    pub fn check_equal(&self, other: &Keys) {
        assert!(self.0 == other.0, "one store has {} keys, the other {}", self.0.len(), other.0.len());
    }

    /// How many keys begin like this.
    pub fn starting_with(&self, start: &str) -> usize {
        self.0.keys().filter(|key| key.starts_with(start)).count()
    }
}
