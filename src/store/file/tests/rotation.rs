//! Rotation by size and by day.

use super::*;

struct Rotated {
    folder: TempDir,
    options: FileOptions,
}

impl Rotated {
    fn new(rotate_bytes: Option<u64>, rotate_daily: bool, rotate_keep: Option<u32>) -> Rotated {
        DAY.set(20_000);
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("app.log");
        Rotated { options: FileOptions { rotate_bytes, rotate_daily, rotate_keep, ..options(path) }, folder }
    }

    fn open(&self) -> FileStore {
        with_test_clock(FileStore::new(self.options.clone()))
    }

    fn names(&self) -> Vec<String> {
        names(self.folder.path())
    }

    fn read(&self, name: &str) -> String {
        read(&self.folder.path().join(name))
    }
}

#[test]
fn rotation_by_size_gives_newest_number_one() {
    let case = Rotated::new(Some(50), false, None);
    let mut store = case.open();
    for end in [6, 11, 16] {
        fill(&mut store, end);
    }
    assert_eq!(case.names(), ["app.log", "app.log.1", "app.log.2"]);
    assert_eq!(case.read("app.log.2"), messages(1, 6));
    assert_eq!(case.read("app.log.1"), messages(6, 11));
    assert_eq!(case.read("app.log"), messages(11, 16));
}

#[test]
fn file_below_size_is_not_rotated() {
    let case = Rotated::new(Some(51), false, None);
    let mut store = case.open();
    fill(&mut store, 6);
    fill(&mut store, 7);
    assert_eq!(case.names(), ["app.log"]);
}

#[test]
fn interrupted_rotation_is_reverted_at_start() {
    for (left, closed) in [
        (&["app.log", "app.log.2", "app.log.3"][..], &["app.log", "app.log.1", "app.log.2"][..]),
        (&["app.log", "app.log.1", "app.log.3"], &["app.log", "app.log.1", "app.log.2"]),
        (&["app.log", "app.log.2"], &["app.log", "app.log.1"]),
        // These were not left by a rotation.
        (&["app.log", "app.log.1", "app.log.4"], &["app.log", "app.log.1", "app.log.4"]),
        (&["app.log", "app.log.2024"], &["app.log", "app.log.2024"]),
    ] {
        let case = Rotated::new(Some(50), false, None);
        for name in left {
            std::fs::write(case.folder.path().join(name), format!("{name}\n")).unwrap();
        }
        done(case.open().position()).unwrap();
        assert_eq!(case.names(), closed);
        let contents: Vec<_> = closed.iter().map(|name| case.read(name)).collect();
        assert_eq!(
            contents,
            left.iter().map(|name| format!("{name}\n")).collect::<Vec<_>>(),
            "in their order"
        );
    }
}

#[test]
fn gap_in_numbers_is_kept_without_rotation_by_size() {
    for (rotate_bytes, rotate_daily) in [(None, false), (None, true), (Some(50), true)] {
        let case = Rotated::new(rotate_bytes, rotate_daily, None);
        std::fs::write(case.folder.path().join("app.log.2"), "theirs").unwrap();
        done(case.open().position()).unwrap();
        assert_eq!(case.names(), ["app.log", "app.log.2"]);
    }
}

#[test]
fn rotate_keep_limits_only_own_files() {
    let case = Rotated::new(Some(1), false, Some(2));
    std::fs::write(case.folder.path().join("app.log.2024"), "not ours").unwrap();
    let mut store = case.open();
    for end in 2..8 {
        fill(&mut store, end);
    }
    assert_eq!(case.names(), ["app.log", "app.log.1", "app.log.2", "app.log.2024"]);
    assert_eq!(case.read("app.log.2"), messages(4, 5));
}

#[test]
fn rotate_keep_zero_keeps_current_file() {
    let case = Rotated::new(Some(1), false, Some(0));
    let mut store = case.open();
    fill(&mut store, 2);
    fill(&mut store, 3);
    assert_eq!(case.names(), ["app.log"]);
    assert_eq!(case.read("app.log"), messages(2, 3));
}

#[test]
fn daily_rotation_with_clock_ahead_adds_one_file() {
    let case = Rotated::new(None, true, None);
    let mut store = case.open();
    for (end, day) in [(2, 20_000), (3, 23_650), (4, 20_000), (5, 20_000), (6, 19_999), (7, 20_001)] {
        DAY.set(day);
        fill(&mut store, end);
    }
    assert_eq!(case.names(), ["app.log", "app.log.2024-10-04", "app.log.2024-10-04.1", "app.log.2034-10-02"]);
    assert_eq!(case.read("app.log.2024-10-04.1"), messages(3, 6));
    assert_eq!(case.read("app.log"), messages(6, 7));
}

#[test]
fn lower_rotate_keep_removes_one_file_per_slice() {
    let case = Rotated::new(Some(1), false, None);
    let mut store = case.open();
    for end in 2..8 {
        fill(&mut store, end);
    }
    drop(store);
    let mut store = FileStore::new(FileOptions { rotate_keep: Some(3), ..case.options.clone() });
    assert!(done(store.maintain()).unwrap());
    assert!(!done(store.maintain()).unwrap());
    assert!(!done(store.maintain()).unwrap());
    assert_eq!(case.names(), ["app.log", "app.log.1", "app.log.2", "app.log.3"]);
}

#[test]
fn daily_rotation_names_day_on_which_file_began() {
    let case = Rotated::new(None, true, None);
    let mut store = case.open();
    fill(&mut store, 3);
    fill(&mut store, 5);
    DAY.set(20_001);
    fill(&mut store, 7);
    done(store.sync()).unwrap();
    drop(store);
    DAY.set(20_003);
    fill(&mut case.open(), 9);
    assert_eq!(case.names(), ["app.log", "app.log.2024-10-04", "app.log.2024-10-05"]);
    assert_eq!(case.read("app.log.2024-10-04"), messages(1, 5));
    assert_eq!(case.read("app.log.2024-10-05"), messages(5, 7));
    assert_eq!(case.read("app.log"), messages(7, 9));
}

#[test]
fn empty_day_or_clock_back_over_midnight_does_not_rotate() {
    let case = Rotated::new(None, true, None);
    let mut store = case.open();
    done(store.position()).unwrap();
    DAY.set(20_001);
    fill(&mut store, 3);
    DAY.set(20_000);
    fill(&mut store, 5);
    assert_eq!(case.names(), ["app.log"]);
}

#[test]
fn files_of_same_day_are_numbered_and_oldest_removed_first() {
    let case = Rotated::new(Some(1), true, Some(3));
    let mut store = case.open();
    for end in 2..7 {
        fill(&mut store, end);
    }
    DAY.set(20_001);
    fill(&mut store, 7);
    let expected = ["app.log", "app.log.2024-10-04.2", "app.log.2024-10-04.3", "app.log.2024-10-04.4"];
    assert_eq!(case.names(), expected);
    assert_eq!(case.read("app.log.2024-10-04.4"), messages(5, 6));
}
