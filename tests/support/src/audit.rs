//! Checks the stores directly, not through the server: every key must be stored exactly once.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

/// The keys of a store, with the number of times that each is stored.
pub struct Keys(HashMap<String, u64>);

/// Reads the keys in a SQLite database, whose ids must have no gap.
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

/// Reads the keys in a log file, one on every line.
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

    /// Checks that every acknowledged key is stored, and none is stored twice.
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

    /// Returns how many keys begin with this text.
    pub fn starting_with(&self, start: &str) -> usize {
        self.0.keys().filter(|key| key.starts_with(start)).count()
    }
}

/// Returns the keys in a SQLite database in the order of their ids.
pub fn keys_of(path: &Path) -> Vec<String> {
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut select = database.prepare("SELECT trace_id FROM logs ORDER BY id").unwrap();
    let keys = select.query_map([], |row| row.get(0)).unwrap();
    keys.map(Result::unwrap).collect()
}

/// The keys of a store's records in the order of their ids, from 1 on.
#[derive(Default)]
pub struct Trail {
    keys: Vec<String>,
    known: HashSet<String>,
}

impl Trail {
    /// Adds what the database contains beyond the known keys. The server may be running.
    pub fn follow_database(&mut self, path: &Path) {
        let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut select = database.prepare("SELECT id, trace_id FROM logs WHERE id > ? ORDER BY id").unwrap();
        let mut rows = select.query([self.keys.len() as i64]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            self.add(row.get::<_, i64>(0).unwrap() as u64, row.get(1).unwrap());
        }
    }

    /// Reads the lines `ID xx..x key=KEY` of a log file and of its rotated predecessors.
    pub fn of_log_files(path: &Path) -> Trail {
        let mut trail = Trail::default();
        for file in log_files(path) {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'), "{} ends with half a line", file.display());
            for line in text.lines() {
                let (id, key) = parse_line(line).unwrap_or_else(|| panic!("not a whole line: {line:?}"));
                trail.add(id, key.to_owned());
            }
        }
        trail
    }

    /// Returns the trail of these ids and keys, given in the order of the ids.
    pub fn of_rows(rows: impl IntoIterator<Item = (u64, String)>) -> Trail {
        let mut trail = Trail::default();
        rows.into_iter().for_each(|(id, key)| trail.add(id, key));
        trail
    }

    fn add(&mut self, id: u64, key: String) {
        assert_eq!(id, self.keys.len() as u64 + 1, "{key} does not follow {:?}", self.keys.last());
        assert!(self.known.insert(key.clone()), "{key} is there twice");
        self.keys.push(key);
    }

    /// Returns the number of keys.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Checks that all these keys are stored.
    pub fn check_has(&self, what: &str, keys: &[String]) {
        let lost: Vec<_> = keys.iter().filter(|key| !self.known.contains(*key)).collect();
        let some = &lost[..lost.len().min(10)];
        assert!(lost.is_empty(), "{what} lacks {} of {} acknowledged: {some:?}", lost.len(), keys.len());
    }

    /// Checks that the last keys are these.
    pub fn check_ends_with(&self, what: &str, keys: &[String]) {
        assert!(self.keys.ends_with(keys), "{what} does not end with the same {} keys", keys.len());
    }

    /// Checks that both trails have the same keys under the same ids.
    pub fn check_equal(&self, what: &str, other: &Trail) {
        let difference = self.keys.iter().zip(&other.keys).position(|(one, two)| one != two);
        assert_eq!(difference, None, "{what} differs");
        assert_eq!(self.count(), other.count(), "{what} has another length");
    }
}

/// Returns the log files of a path by the age of their lines, the oldest first.
pub fn log_files(path: &Path) -> Vec<PathBuf> {
    let numbered = (1..).map(|number| PathBuf::from(format!("{}.{number}", path.display())));
    let mut files: Vec<_> = numbered.take_while(|file| file.exists()).collect();
    files.reverse();
    files.push(path.to_owned());
    files
}

fn parse_line(line: &str) -> Option<(u64, &str)> {
    let (id, message) = line.split_once(' ')?;
    let (padding, key) = message.split_once("key=")?;
    padding.bytes().all(|byte| byte == b'x').then_some((id.parse().ok()?, key))
}

/// Checks that keys that end in a running number are stored in its order, from 0 on and without a
/// gap: a client that sends without waiting for answers may lose what was in flight at the end, but
/// nothing in between. Returns the number of keys that begin with `start`.
pub fn check_streams(trail: &Trail, start: &str) -> usize {
    let mut next = HashMap::<&str, u64>::new();
    for key in trail.keys.iter().filter(|key| key.starts_with(start)) {
        let (stream, number) = key.rsplit_once('-').unwrap();
        let expected = next.entry(stream).or_default();
        assert_eq!(number.parse(), Ok(*expected), "a gap before {key}");
        *expected += 1;
    }
    next.values().sum::<u64>() as usize
}
