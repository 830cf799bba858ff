//! Tests of the contract of all stores, and of what only a log file must do.

mod contract;
mod crash;
mod disk;
mod format;
mod others;
mod ours;
mod rotation;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::disk::cruel::life::done;
use crate::store::contract::chunk;

/// Returns options for a file that shows only messages and is never rotated.
fn options(path: impl Into<PathBuf>) -> FileOptions {
    FileOptions {
        path: path.into(),
        line_format: LineFormat::parse("%(message)s").unwrap(),
        rotate_bytes: None,
        rotate_daily: false,
        rotate_keep: None,
    }
}

thread_local! {
    /// The clock of this test, in days since the epoch.
    static DAY: Cell<i64> = const { Cell::new(20_000) };
}

/// Returns noon in UTC, so that the local day is the same in nearly every time zone.
fn test_clock() -> i64 {
    (DAY.get() * 24 + 12) * 3600 * time::SECOND
}

fn with_test_clock(mut store: FileStore) -> FileStore {
    store.lines = LineWriter::new(store.options.line_format.clone(), TimeZone::UTC);
    store.with_clock(test_clock)
}

/// Writes records up to an id, from the store's position on.
fn fill(store: &mut FileStore, end: RecordId) {
    let position = done(store.position()).unwrap();
    done(store.write(&chunk(position, end))).unwrap();
}

fn messages(from: RecordId, end: RecordId) -> String {
    (from..end).map(|id| format!("message {id}\n")).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Returns the file names of a folder, without the position file.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.ends_with(".position"));
    names.sort();
    names
}

#[test]
fn records_below_position_are_not_rewritten() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("app.log");
    let mut store = FileStore::new(options(&path));
    fill(&mut store, 6);
    assert_eq!(done(store.write(&chunk(3, 9))).unwrap(), WriteOutcome { stored: 3, dead_letters: 0 });
    assert_eq!(done(store.position()).unwrap(), 9);
    assert_eq!(read(&path), messages(1, 9));
}
