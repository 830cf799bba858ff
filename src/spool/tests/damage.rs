//! Damage costs only the records that it hits, and is counted.

use super::*;

#[test]
fn damage_is_quarantined_and_counted_and_rest_is_read() {
    let folder = folder_with_damaged_message();

    let harness = Harness::folder(&folder);
    fill(&harness, 6, 6);
    let expected = [numbered(1, 2), numbered(4, 6)].concat();
    assert_eq!(read_all(&mut harness.spool.reader(1)), expected);
    let status = harness.spool.status();
    assert_eq!(status.lost_records, 1);
    assert!(status.quarantined_bytes > 0);
    let report = inspect::inspect(folder.path(), |_, _| {}).unwrap();
    assert_eq!(report[0].content.damage.len(), 1);
}

#[test]
fn damaged_segment_header_is_restored_from_copies() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 5);
    harness.close();
    damage(&folder, |bytes| bytes[..SEGMENT_START].fill(0xff));
    let harness = Harness::folder(&folder);
    assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 5));
}

#[test]
fn damaged_version_counts_as_damage() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 5);
    harness.close();
    damage(&folder, |bytes| bytes[7] = 3);
    let harness = Harness::folder(&folder);
    assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 5));
}

#[test]
fn damage_read_repeatedly_is_counted_once() {
    let folder = folder_with_damaged_message();
    let harness = Harness::folder(&folder);
    for _ in 0..3 {
        assert_eq!(read_all(&mut harness.spool.reader(1)).len(), 4);
    }
    let status = harness.spool.status();
    assert_eq!(status.lost_records, 1);
    assert!(status.quarantined_bytes < 200, "{}", status.quarantined_bytes);
}

#[test]
fn bad_sector_costs_only_its_records() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 200);
    harness.close();
    let [first, second, ..] = &segment_files(&folder)[..] else { panic!("several segments") };
    let damaged = [first, second].map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let disk = BadSectors { folder: Folder::open(folder.path()).unwrap(), damaged };
    let harness = Harness::open(Arc::new(disk), 1);
    let read = read_all(&mut harness.spool.reader(1));
    assert_eq!(read.last().unwrap().0, 200);
    assert!(read.iter().all(|(id, message)| *message == format!("message {id}")));
    let lost = harness.spool.status().lost_records;
    assert!(lost > 0 && read.len() as u64 + lost == 200, "{lost}");
}

/// A folder with files that are partly unreadable.
struct BadSectors {
    folder: Folder,
    damaged: [String; 2],
}

struct BadFile(Arc<dyn DiskFile>);

impl Disk for BadSectors {
    fn list(&self) -> io::Result<Vec<Entry>> {
        self.folder.list()
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.folder.open(name)?;
        Ok(if self.damaged.iter().any(|damaged| damaged == name) { Arc::new(BadFile(file)) } else { file })
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }
    fn stat(&self, name: &str) -> io::Result<Option<FileStat>> {
        self.folder.stat(name)
    }
    fn check_lock(&self) -> io::Result<()> {
        self.folder.check_lock()
    }
}

impl DiskFile for BadFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let touches = offset < 1600 && offset + buffer.len() as u64 > 1500;
        if touches { Err(io::Error::from_raw_os_error(5)) } else { self.0.read_at(buffer, offset) }
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }
    fn stat(&self) -> io::Result<FileStat> {
        self.0.stat()
    }
}

#[test]
fn unreadable_page_costs_only_its_records() {
    let sizes = SpoolSizes { segment_bytes: 32 << 10, bytes_max: 1 << 20 };
    for page in 0..4 {
        let disk = CruelDisk::new(page);
        let harness = Harness::sized(disk.handle(), 1, sizes);
        fill(&harness, 1, 300);
        disk.restart(Crash::Power);
        disk.make_unreadable("00000000000000000001.segment", page * PAGE_BYTES);
        let harness = Harness::sized(disk.handle(), 1, sizes);
        let read = read_all(&mut harness.spool.reader(1));
        let lost = harness.spool.status().lost_records;
        assert_eq!(read.len() as u64 + lost, 300);
        assert!((30..60).contains(&lost), "{lost} of about 50 a page");
    }
}

#[test]
fn full_segments_end_with_copy_of_header() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    for length in 0..150 {
        harness.append(&["x".repeat(length).as_str()]).unwrap();
    }
    let segments = lock(&harness.spool.segments);
    assert!(segments.count() > 4);
    for segment in segments.iter() {
        let copy = frame::SegmentHeader::read(&*segment.file, segment.bytes() - 64).unwrap();
        assert_eq!(copy, Some(segment.header));
    }
}

#[test]
fn read_error_that_passes_is_not_damage() {
    for tries in 1..8 {
        let disk = CruelDisk::new(tries);
        let harness = Harness::open(disk.handle(), 1);
        fill(&harness, 1, 100);
        for after in 0..10 {
            disk.set_fault(Some(Fault { calls: &[Call::Read], error: Errno::IO, after, times: tries }));
            assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 100));
        }
        let status = harness.spool.status();
        assert_eq!((status.lost_records, status.quarantined_bytes), (0, 0));
        assert!(disk.names().iter().all(|name| !name.ends_with(".quarantine")), "{:?}", disk.names());
    }
}
