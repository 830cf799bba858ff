//! Checks that the simulated disk has the faults that it documents, and no others.

use std::collections::BTreeSet;

use super::*;

fn written(disk: &CruelDisk) -> Arc<dyn DiskFile> {
    let file = disk.handle().open("file").unwrap();
    disk.handle().rename("file", "file").unwrap();
    file.write_at(&[1; 2000], 0).unwrap();
    file.sync().unwrap();
    file
}

#[test]
fn synced_data_survives_every_crash() {
    for seed in 0..100 {
        for crash in [Crash::Kill, Crash::Power, Crash::PowerAndCache] {
            let disk = CruelDisk::new(seed);
            written(&disk);
            disk.restart(crash);
            assert_eq!(disk.read("file"), [1; 2000]);
        }
    }
}

#[test]
fn unsynced_data_is_lost_kept_or_torn_at_every_boundary() {
    let mut lengths = BTreeSet::new();
    let mut has_holes = false;
    for seed in 0..2000 {
        let disk = CruelDisk::new(seed);
        written(&disk).write_at(&[2; 9000], 2000).unwrap();
        disk.restart(Crash::Power);
        let left = disk.read("file");
        assert_eq!(left[..2000], [1; 2000]);
        lengths.insert(left.len() - 2000);
        has_holes |= left[2000..].windows(2).any(|pair| pair == [0, 2]);
    }
    let sector = 2048 - 2000;
    let page = 4096 - 2000;
    assert!(
        [0, 1, 32, sector, page, 8999, 9000].iter().all(|length| lengths.contains(length)),
        "{lengths:?}"
    );
    assert!(lengths.range(2..32).count() > 0, "within a header");
    assert!(has_holes);
}

#[test]
fn created_name_is_durable_only_after_rename() {
    let survives = |rename: bool, seed: u64| {
        let disk = CruelDisk::new(seed);
        disk.handle().open("file").unwrap();
        if rename {
            disk.handle().rename("file", "file").unwrap();
        }
        disk.restart(Crash::Power);
        disk.names().contains(&"file".to_owned())
    };
    assert!((0..50).all(|seed| survives(true, seed)));
    assert!((0..50).any(|seed| survives(false, seed)));
    assert!((0..50).any(|seed| !survives(false, seed)));
}

#[test]
fn sync_after_failed_sync_reports_success_for_lost_data() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..50 {
        let disk = CruelDisk::new(seed);
        let file = written(&disk);
        disk.set_fault(Some(Fault { calls: &[Call::Sync], error: Errno::IO, after: 0, times: 1 }));
        file.write_at(&[2], 0).unwrap();
        file.sync().unwrap_err();
        file.sync().unwrap();
        assert_eq!(disk.read("file")[0], 2);
        disk.evict();
        outcomes.insert(disk.read("file")[0]);
    }
    assert_eq!(outcomes, [1, 2].into());
}

#[test]
fn kill_keeps_cache_and_invalidates_handles() {
    let disk = CruelDisk::new(1);
    let file = written(&disk);
    disk.stop_at(Some(Stop { calls: &[Call::Sync], after: 0, moment: Moment::Before }));
    file.write_at(&[2], 0).unwrap();
    file.sync().unwrap_err();
    assert!(disk.is_down());
    disk.restart(Crash::Kill);
    assert!(file.sync().is_err());
    assert_eq!(disk.read("file")[0], 2);
    disk.restart(Crash::PowerAndCache);
    assert_eq!(disk.read("file")[0], 1);
}

#[test]
fn inode_number_is_reused_once_removed_file_is_closed() {
    let disk = CruelDisk::new(1);
    let identity = |name: &str| {
        let entries = disk.handle().list().unwrap();
        entries.into_iter().find(|entry| entry.name == name).unwrap().identity
    };
    let file = written(&disk);
    let first = identity("file");
    disk.handle().remove("file").unwrap();
    disk.handle().open("second").unwrap();
    assert_ne!(identity("second"), first);
    drop(file);
    disk.handle().open("third").unwrap();
    assert_eq!(identity("third"), first);
}

#[test]
fn file_removed_or_replaced_by_others_stays_readable_while_open() {
    for crash in [Crash::Kill, Crash::Power, Crash::PowerAndCache] {
        for replaced in [false, true] {
            let disk = CruelDisk::new(1);
            let file = written(&disk);
            let stat = file.stat().unwrap();
            if replaced {
                disk.others_replace("file", &[3]);
            } else {
                disk.others_remove("file");
            }
            assert!(!disk.holds("file", stat));
            assert_eq!(disk.handle().stat("file").unwrap().is_some(), replaced);
            assert_eq!(file.read_at(&mut [0; 2000], 0).unwrap(), 2000);
            disk.restart(crash);
            assert_eq!(disk.names(), if replaced { vec!["file".to_owned()] } else { vec![] });
        }
    }
}

#[test]
fn unreadable_page_heals_when_written() {
    let disk = CruelDisk::new(1);
    let file = written(&disk);
    disk.make_unreadable("file", 100);
    assert_eq!(file.read_at(&mut [0; 8], 500).unwrap_err().raw_os_error(), Some(Errno::IO.raw_os_error()));
    file.write_at(&[3; 8], 500).unwrap();
    assert_eq!(file.read_at(&mut [0; 8], 500).unwrap(), 8);
}
