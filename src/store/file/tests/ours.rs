//! A file is cut only if it is proven to be logboom's: an inode number is reused for other files
//! once its own file is removed.

use super::disk::MemoryDisk;
use super::*;

const PRECIOUS: &str = "precious, and nobody else has it\n";

fn open(disk: &MemoryDisk) -> FileStore {
    FileStore::with_disk(options("app.log"), Arc::new(disk.clone()))
}

/// Returns the disk of a store that stopped after these ids, with nothing synced since the first of
/// them.
fn stopped_at(end: RecordId) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let mut store = open(&disk);
    assert_eq!(done(store.position()).unwrap(), 1);
    fill(&mut store, end);
    disk
}

#[test]
fn file_reusing_inode_of_empty_log_is_not_emptied() {
    for lines_before in [false, true] {
        for name in ["precious1.txt", "app.log"] {
            let disk = MemoryDisk::default();
            let mut store = open(&disk);
            done(store.position()).unwrap();
            if lines_before {
                fill(&mut store, 3);
            }
            drop(store);
            disk.others_rename("app.log", name);
            disk.put(name, PRECIOUS);
            let mut store = open(&disk);
            assert_eq!(done(store.position()).unwrap(), 1);
            fill(&mut store, 3);
            let theirs = disk.text(name).unwrap();
            assert!(theirs.starts_with(PRECIOUS), "{name} was cut to {theirs:?}");
            assert!(disk.text("app.log").unwrap().ends_with(&messages(1, 3)));
        }
    }
}

#[test]
fn file_reusing_inode_of_rotated_log_is_not_emptied() {
    let disk = MemoryDisk::default();
    let rotated = || {
        let options = FileOptions { rotate_bytes: Some(1), ..options("app.log") };
        FileStore::with_disk(options, Arc::new(disk.clone()))
    };
    let mut store = rotated();
    fill(&mut store, 3);
    fill(&mut store, 5);
    drop(store);
    assert_eq!(disk.text("app.log.1").unwrap(), messages(1, 3));
    disk.others_rename("app.log", "precious1.txt");
    disk.put("precious1.txt", PRECIOUS);
    fill(&mut rotated(), 5);
    assert_eq!(disk.text("precious1.txt").unwrap(), PRECIOUS);
    assert_eq!(disk.text("app.log").unwrap(), messages(3, 5));
}

#[test]
fn first_lines_are_identified_before_any_sync() {
    let disk = stopped_at(50);
    assert_eq!(disk.text("app.log").unwrap(), messages(1, 50));
    fill(&mut open(&disk), 60);
    assert_eq!(disk.text("app.log").unwrap(), messages(1, 60));
}

#[test]
fn first_lines_are_identified_under_another_name() {
    let disk = stopped_at(50);
    disk.others_rename("app.log", "anything");
    fill(&mut open(&disk), 60);
    assert_eq!(disk.text("anything").unwrap(), "");
    assert_eq!(disk.text("app.log").unwrap(), messages(1, 60));
}

#[test]
fn torn_first_line_is_cut_only_under_log_name() {
    let torn = &messages(1, 2)[..4];
    let disk = stopped_at(2);
    disk.put("app.log", torn);
    fill(&mut open(&disk), 4);
    assert_eq!(disk.text("app.log").unwrap(), messages(1, 4));

    let disk = stopped_at(2);
    disk.others_rename("app.log", "short.txt");
    disk.put("short.txt", torn);
    fill(&mut open(&disk), 4);
    assert_eq!(disk.text("short.txt").unwrap(), torn);
}

#[test]
fn one_equal_line_is_not_enough_to_cut() {
    let disk = MemoryDisk::default();
    let mut store = open(&disk);
    for end in [4, 5] {
        fill(&mut store, end);
        done(store.sync()).unwrap();
    }
    drop(store);
    let theirs = "x".repeat(messages(1, 4).len()) + &messages(4, 5) + PRECIOUS;
    disk.put("app.log", &theirs);
    assert_eq!(done(open(&disk).position()).unwrap(), 5);
    assert_eq!(disk.text("app.log").unwrap(), theirs);
}

#[test]
fn undo_on_emptied_file_leaves_no_zeros() {
    let disk = MemoryDisk::default();
    let place = LogPlace::on(Arc::new(disk.clone()), Path::new("app.log")).unwrap();
    let mut log = Log::open(place, 0, &mut crate::store::Claimant::detached("test")).unwrap();
    log.append(b"one\n").unwrap();
    log.commit(2);
    log.append(b"two\n").unwrap();
    disk.put("app.log", "");
    log.undo().unwrap();
    assert_eq!(disk.text("app.log").unwrap(), "");
}
