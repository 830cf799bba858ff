//! What a start finds after a crash, and from which id it goes on.

use super::*;

#[test]
fn last_segment_truncated_to_header_is_extended_and_used() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let mut end_id = 1;
    while harness.spool.status().segments < 2 {
        fill(&harness, end_id, end_id);
        end_id += 1;
    }
    harness.close();
    let last_id = end_id - 1; // the only record in its segment
    let files = segment_files(&folder);
    std::fs::OpenOptions::new().write(true).open(&files[1]).unwrap().set_len(64).unwrap();

    let harness = Harness::folder(&folder);
    let mut reader = harness.spool.reader(1);
    assert_eq!(read_all(&mut reader), numbered(1, last_id - 1));
    fill(&harness, last_id, last_id + 5);
    assert_eq!(read_all(&mut reader), numbered(last_id, last_id + 5));
    assert_eq!(segment_files(&folder), files);
}

#[test]
fn ids_continue_after_highest_if_frames_are_out_of_order() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 3);
    harness.close();
    let file = &segment_files(&folder)[0];
    let mut bytes = std::fs::read(file).unwrap();
    let frame = offset_of(&bytes, "message 2") - offset_of(&bytes, "message 1");
    let (second, third) = bytes[64 + frame..64 + 3 * frame].split_at_mut(frame);
    second.swap_with_slice(third);
    std::fs::write(file, bytes).unwrap();

    let harness = Harness::folder(&folder);
    fill(&harness, 4, 5);
    let served: Vec<_> = read_all(&mut harness.spool.reader(1)).into_iter().map(|(id, _)| id).collect();
    assert_eq!(served, [1, 3, 4, 5]);
}

#[test]
fn torn_tail_is_cut_at_any_offset() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 3);
    harness.close();
    let [path] = &segment_files(&folder)[..] else { panic!("one segment") };
    let whole = std::fs::read(path).unwrap();
    let text = offset_of(&whole, "message 3");
    let start = text - FRAME_HEADER_BYTES - 60; // somewhere before the last frame's header
    for cut in start..text + "message 3".len() {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        std::fs::write(path, &torn).unwrap();
        let harness = Harness::folder(&folder);
        let kept = harness.spool.durable_id() - 1;
        assert!((1..=2).contains(&kept), "cut at {cut}");
        assert_eq!(harness.append(&["after"]), Ok(kept + 1));
        let mut expected = numbered(1, kept);
        expected.push((kept + 1, "after".to_owned()));
        assert_eq!(read_all(&mut harness.spool.reader(1)), expected);
        assert_eq!(harness.spool.status().lost_records, 0);
    }
}

#[test]
fn unreadable_segment_does_not_prevent_start() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 200);
    harness.close();
    let files = segment_files(&folder);
    std::fs::write(&files[1], vec![0xee; 4 << 10]).unwrap();
    let harness = Harness::folder(&folder);
    let read = read_all(&mut harness.spool.reader(1));
    assert_eq!(read.first().unwrap().0, 1);
    assert_eq!(read.last().unwrap().0, 200);
    assert_eq!(harness.spool.status().lost_records, 200 - read.len() as u64);
    fill(&harness, 201, 201);
}

#[test]
fn frame_with_another_salt_is_ignored() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 2);
    harness.close();
    let path = &segment_files(&folder)[0];
    let bytes = std::fs::read(path).unwrap();
    let frame = &bytes[SEGMENT_START..SEGMENT_START + 104];
    // A frame from an earlier use of the file, or in a message: complete, but with another salt.
    let mut forged = bytes.clone();
    let end = offset_of(&bytes, "message 2").next_multiple_of(8) + 8;
    forged[end..end + frame.len()].copy_from_slice(frame);
    forged[end] ^= 0xff;
    std::fs::write(path, &forged).unwrap();
    let harness = Harness::folder(&folder);
    assert_eq!(harness.spool.durable_id(), 3);
}

#[test]
fn segment_with_undurable_name_at_kill_is_kept() {
    for seed in 0..20 {
        let disk = CruelDisk::new(seed);
        let harness = Harness::open(disk.handle(), 1);
        fill(&harness, 1, 3);
        disk.stop_at(Some(Stop { calls: &[Call::Rename], after: 0, moment: Moment::Within }));
        while harness.append(&["fills the segment"]).is_ok() {}
        let end = harness.spool.durable_id();
        disk.restart(Crash::Kill);
        let harness = Harness::open(disk.handle(), 1);
        assert_eq!(harness.append(&["acknowledged"]), Ok(end));
        disk.restart(Crash::PowerAndCache);
        let harness = Harness::open(disk.handle(), 1);
        assert_eq!(read_all(&mut harness.spool.reader(end)), [(end, "acknowledged".to_owned())]);
    }
}

#[test]
fn ids_of_unreadable_last_segment_are_not_reused() {
    let disk = CruelDisk::new(1);
    let harness = Harness::open(disk.handle(), 1);
    fill(&harness, 1, 10);
    disk.restart(Crash::Power);
    disk.make_unreadable("00000000000000000001.segment", 0);
    let harness = Harness::open(disk.handle(), 1);
    let next = harness.append(&["after"]).unwrap();
    assert!(next > 10, "{next}");
    assert_eq!(read_all(&mut harness.spool.reader(1)), [(next, "after".to_owned())]);
    assert_eq!(harness.spool.status().lost_records, next - 1);
    harness.close();
    disk.restart(Crash::Power);
    assert_eq!(Harness::open(disk.handle(), 1).spool.durable_id(), next + 1, "passed over once");
}

#[test]
fn unreadable_end_that_recovers_loses_nothing() {
    let disk = CruelDisk::new(1);
    let sizes = SpoolSizes { segment_bytes: 32 << 10, bytes_max: 1 << 20 };
    let harness = Harness::sized(disk.handle(), 1, sizes);
    fill(&harness, 1, 100);
    disk.restart(Crash::Power);
    disk.make_unreadable("00000000000000000001.segment", PAGE_BYTES);
    let segments = Segments::open_read_only(&*disk.handle()).unwrap();
    assert_eq!(segments.last().unwrap().scan(|_| {}).unwrap().damage.len(), 1);
    let next = Harness::sized(disk.handle(), 1, sizes).append(&["after"]).unwrap();
    disk.restart(Crash::Power);
    disk.heal();
    let harness = Harness::sized(disk.handle(), 1, sizes);
    let mut expected = numbered(1, 100);
    expected.push((next, "after".to_owned()));
    assert_eq!(read_all(&mut harness.spool.reader(1)), expected);
}

#[test]
fn read_error_at_the_start_that_passes_sets_nothing_aside() {
    for after in 0..40 {
        let disk = CruelDisk::new(after);
        fill(&Harness::open(disk.handle(), 1), 1, 100);
        disk.restart(Crash::Power);
        disk.set_fault(Some(Fault { calls: &[Call::Read], error: Errno::IO, after, times: 2 }));
        let harness = Harness::open(disk.handle(), 1);
        disk.set_fault(None);
        assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 100));
        assert_eq!(harness.append(&["after"]), Ok(101));
        let status = harness.spool.status();
        assert_eq!((status.lost_records, status.quarantined_bytes), (0, 0));
    }
}
