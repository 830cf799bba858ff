//! Crashes at every step, and a full disk.

use super::disk::{Loss, MemoryDisk};
use super::*;
use crate::disk::cruel::{Call, Crash, CruelDisk, Moment, Stop};

/// How the log file is rotated in a run, and by which program.
#[derive(Clone, Copy, Debug)]
struct Run {
    rotate_bytes: Option<u64>,
    rotate_daily: bool,
    /// Another program renames the file after the fifth chunk.
    renamed: bool,
}

const RUNS: [Run; 4] = [
    Run { rotate_bytes: None, rotate_daily: false, renamed: false },
    Run { rotate_bytes: None, rotate_daily: false, renamed: true },
    Run { rotate_bytes: Some(100), rotate_daily: false, renamed: false },
    Run { rotate_bytes: None, rotate_daily: true, renamed: false },
];

const CHUNKS: u64 = 8;
const CHUNK: u64 = 5;
const END: RecordId = 1 + CHUNKS * CHUNK;

impl Run {
    fn open(self, disk: &MemoryDisk) -> FileStore {
        let options = FileOptions {
            rotate_bytes: self.rotate_bytes,
            rotate_daily: self.rotate_daily,
            ..options("app.log")
        };
        with_test_clock(FileStore::with_disk(options, Arc::new(disk.clone())))
    }

    /// Writes all chunks, until something fails. `synced` is the last position that a sync
    /// returned.
    fn write_all(self, disk: &MemoryDisk, synced: &mut RecordId) -> Result<(), StoreError> {
        DAY.set(20_000);
        let mut store = self.open(disk);
        let mut position = done(store.position())?;
        while position < END {
            let end = position + CHUNK - (position - 1) % CHUNK;
            done(store.write(&chunk(position, end)))?;
            position = end;
            let chunks = (position - 1) / CHUNK;
            if chunks.is_multiple_of(2) {
                *synced = done(store.sync())?;
            }
            if chunks.is_multiple_of(3) {
                DAY.set(DAY.get() + 1);
            }
            if self.renamed && chunks == 5 && !disk.names().contains(&"app.log.1".to_owned()) {
                disk.others_rename("app.log", "app.log.1");
                disk.put("app.log", "");
                store.reopen_handle().store(true, Relaxed);
            }
        }
        *synced = done(store.sync())?;
        Ok(())
    }

    /// Returns all lines, from the oldest file to the newest.
    fn text(self, disk: &MemoryDisk) -> String {
        let mut names = disk.names();
        names.retain(|name| {
            name.starts_with("app.log") && !name.contains("position") && !name.ends_with("new")
        });
        if self.rotate_daily {
            names.sort_by_key(|name| (name == "app.log", name.clone()));
        } else {
            names.reverse(); // fewer than ten files
        }
        names.iter().map(|name| disk.text(name).unwrap()).collect()
    }
}

/// Runs until the disk crashes, again until it crashes, then to the end. Returns whether the first
/// run was completed.
fn crash_twice(run: Run, first: u64, second: Option<u64>, loss: Loss) -> bool {
    let disk = MemoryDisk::default();
    let mut synced = 1;
    disk.crash_after(first);
    let finished = run.write_all(&disk, &mut synced).is_ok();
    for crash in second.into_iter().map(Some).chain([None]) {
        disk.restart(loss);
        if let Some(changes) = crash {
            disk.crash_after(changes);
        }
        let before = synced;
        let result = run.write_all(&disk, &mut synced);
        assert!(crash.is_some() || result.is_ok(), "{run:?} {first} {second:?} {loss:?}: {result:?}");
        assert!(synced >= before);
    }
    let context = format!("{run:?}, crashes after {first} and {second:?} changes, lost {loss:?}");
    assert_eq!(run.text(&disk), messages(1, END), "{context}");
    assert!(!disk.content().overwritten, "{context}");
    finished
}

#[test]
fn lines_exist_exactly_once_after_crash_at_any_step() {
    for run in RUNS {
        for loss in [Loss::Nothing, Loss::All, Loss::Half] {
            let steps = (0..).take_while(|step| !crash_twice(run, *step, None, loss)).count();
            assert!(steps > 20, "the run has {steps} steps: too few to be all");
        }
    }
}

/// A reader of `app.log.1`, `app.log.2` and so on, up to the first missing file, must get
/// everything.
#[test]
fn start_closes_any_gap_in_numbers() {
    for changes in 0..120 {
        let disk = MemoryDisk::default();
        disk.crash_after(changes);
        let _ = RUNS[2].write_all(&disk, &mut 1);
        disk.restart(Loss::Nothing);
        done(RUNS[2].open(&disk).position()).unwrap();
        let names = disk.names();
        let numbers: Vec<u32> =
            names.iter().filter_map(|name| name.strip_prefix("app.log.")?.parse().ok()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>(), "after {changes} changes");
    }
}

#[test]
fn crash_during_recovery_loses_nothing() {
    for run in RUNS {
        for loss in [Loss::Nothing, Loss::All, Loss::Half] {
            for first in (0..60).step_by(3) {
                for second in 0..12 {
                    crash_twice(run, first, Some(second), loss);
                }
            }
        }
    }
}

#[test]
fn synced_position_never_moves_back() {
    for run in RUNS {
        for first in 0..60 {
            let disk = MemoryDisk::default();
            let mut synced = 1;
            disk.crash_after(first);
            let _ = run.write_all(&disk, &mut synced);
            disk.restart(Loss::All);
            let position = done(run.open(&disk).position()).unwrap();
            assert!(position >= synced, "{run:?} after {first}: {position} is before {synced}");
        }
    }
}

#[test]
fn full_disk_returns_hint_and_duplicates_nothing() {
    let disk = MemoryDisk::default();
    let mut store = RUNS[0].open(&disk);
    fill(&mut store, 101);
    let used: usize = messages(1, 101).len() + 5000;
    disk.set_capacity(Some(used));
    let error = done(store.write(&chunk(101, 5000))).unwrap_err();
    assert!(error.hint.unwrap().contains("free some space"), "{}", error.what);
    assert_eq!(disk.text("app.log").unwrap(), messages(1, 101));
    assert_eq!(done(store.position()).unwrap(), 101);
    disk.set_capacity(None);
    fill(&mut store, 5000);
    assert_eq!(done(store.sync()).unwrap(), 5000);
    assert_eq!(disk.text("app.log").unwrap(), messages(1, 5000));
    assert!(!disk.content().overwritten);
}

#[test]
fn store_continues_from_durable_state_after_error() {
    let changes_of_one_run = 200;
    for changes in 0..changes_of_one_run {
        let disk = MemoryDisk::default();
        let mut store = RUNS[2].open(&disk);
        disk.crash_after(changes);
        for end in [8, 15, 31, 40] {
            let _ =
                done(store.position()).map(|position| done(store.write(&chunk(position, end.max(position)))));
            let _ = done(store.sync());
        }
        disk.restart(Loss::Nothing);
        fill(&mut store, 50);
        done(store.sync()).unwrap();
        assert_eq!(RUNS[2].text(&disk), messages(1, 50), "after {changes} changes");
    }
}

#[test]
fn zeros_in_place_of_first_line_are_torn_write() {
    let disk = MemoryDisk::default();
    let mut store = RUNS[0].open(&disk);
    fill(&mut store, 2);
    drop(store);
    let line = disk.text("app.log").unwrap();
    for torn in ["\0".repeat(line.len()), line[..3].to_owned() + "\0\0\0", "mes".to_owned()] {
        disk.put("app.log", &torn);
        let mut store = RUNS[0].open(&disk);
        assert_eq!(done(store.position()).unwrap(), 1);
        fill(&mut store, 2);
        assert_eq!(disk.text("app.log").unwrap(), line, "{torn:?}");
    }
    disk.put("app.log", "their line\n");
    fill(&mut RUNS[0].open(&disk), 2);
    assert_eq!(disk.text("app.log").unwrap(), format!("their line\n{line}"));
}

#[test]
fn position_file_name_is_durable_after_kill() {
    for seed in 0..20 {
        let disk = CruelDisk::new(seed);
        let open = || FileStore::with_disk(options("app.log"), disk.handle());
        disk.stop_at(Some(Stop { calls: &[Call::Rename], after: 0, moment: Moment::Before }));
        done(open().position()).unwrap_err();
        disk.restart(Crash::Kill);
        let mut store = open();
        fill(&mut store, 10);
        assert_eq!(done(store.sync()).unwrap(), 10);
        disk.restart(Crash::PowerAndCache);
        assert_eq!(done(open().position()).unwrap(), 10);
    }
}
