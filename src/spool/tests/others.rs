//! What other processes do to the files while the spool is open.

use super::*;

#[test]
fn commit_to_a_removed_segment_goes_to_a_new_one() {
    for seed in 0..10 {
        let disk = CruelDisk::new(seed);
        let harness = Harness::open(disk.handle(), 1);
        fill(&harness, 1, 3);
        let mut reader = harness.spool.reader(1);
        disk.others_remove(FIRST);
        fill(&harness, 4, 6);
        assert_eq!(segments_of(&disk), [FIRST, "00000000000000000004.segment"], "it is copied at once");
        assert_eq!(read_all(&mut reader), numbered(1, 6));
        disk.restart(Crash::PowerAndCache);
        let harness = Harness::open(disk.handle(), 4);
        assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 6));
    }
}

#[test]
fn segments_removed_while_idle_are_copied_from_the_open_files() {
    for seed in 0..10 {
        let disk = CruelDisk::new(seed);
        let harness = Harness::open(disk.handle(), 1);
        fill(&harness, 1, 100);
        let before = segments_of(&disk);
        assert!(before.len() > 2);
        before.iter().for_each(|name| disk.others_remove(name));
        harness.look();
        let status = harness.spool.status();
        assert_eq!((status.displaced_segments, status.restored_segments), (0, before.len() as u64));
        assert_eq!(segments_of(&disk)[..before.len()], before);
        disk.restart(Crash::PowerAndCache);
        let harness = Harness::open(disk.handle(), 1);
        assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 100));
        assert_eq!(harness.spool.status().lost_records, 0);
        assert_eq!(harness.append(&["after"]), Ok(101));
    }
}

#[test]
fn segment_replaced_by_another_file_is_copied_and_put_back() {
    let disk = CruelDisk::new(1);
    let harness = Harness::open(disk.handle(), 1);
    fill(&harness, 1, 100);
    disk.others_replace(FIRST, b"theirs");
    harness.look();
    assert_eq!(disk.read("00000000000000000001.segment.quarantine"), b"theirs");
    disk.restart(Crash::PowerAndCache);
    assert_eq!(read_all(&mut Harness::open(disk.handle(), 1).spool.reader(1)), numbered(1, 100));
}

#[test]
fn removed_segment_without_room_for_a_copy_is_counted_and_read() {
    let disk = CruelDisk::new(1);
    let harness = Harness::open(disk.handle(), 1);
    fill(&harness, 1, 100);
    let mut reader = harness.spool.reader(1);
    disk.others_remove(FIRST);
    disk.set_fault(Some(Fault { calls: &[Call::SetLength], error: Errno::NOSPC, after: 0, times: u64::MAX }));
    harness.look();
    assert_eq!(harness.spool.status().displaced_segments, 1);
    assert_eq!(read_all(&mut reader), numbered(1, 100));
    disk.set_fault(None);
    harness.look();
    assert_eq!(harness.spool.status().displaced_segments, 0);
}

#[test]
fn truncated_segment_is_abandoned_and_its_loss_counted() {
    let disk = CruelDisk::new(1);
    let harness = Harness::open(disk.handle(), 1);
    fill(&harness, 1, 4);
    disk.others_cut(FIRST, 200);
    fill(&harness, 5, 6);
    let read = read_all(&mut harness.spool.reader(1));
    assert_eq!(read[read.len() - 2..], numbered(5, 6));
    let lost = harness.spool.status().lost_records;
    assert!(lost > 0 && lost + read.len() as u64 == 6, "{lost} lost, {read:?}");
}

#[test]
fn lost_lock_acknowledges_nothing_until_it_is_back() {
    let disk = CruelDisk::new(1);
    let harness = Harness::open(disk.handle(), 1);
    fill(&harness, 1, 3);
    disk.set_locked(false);
    harness.look();
    assert_eq!(harness.spool.state(), Err(AppendError::Failing("the lock is lost".into())));
    assert!(harness.append(&["refused"]).is_err());
    disk.others_remove(FIRST);
    harness.look();
    assert!(segments_of(&disk).is_empty(), "nothing is made in a folder that may be another server's");
    disk.set_locked(true);
    harness.look();
    fill(&harness, 4, 5);
    assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 5));
}
