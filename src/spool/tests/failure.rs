//! Writes and syncs that fail.

use std::sync::atomic::AtomicI64;

use super::*;

/// A folder whose syncs fail after a number of successful ones.
struct Failing {
    folder: Folder,
    syncs_left: Arc<AtomicI64>,
}

struct FailingFile(Arc<dyn DiskFile>, Arc<AtomicI64>);

impl Disk for Failing {
    fn list(&self) -> io::Result<Vec<Entry>> {
        self.folder.list()
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(FailingFile(self.folder.open(name)?, Arc::clone(&self.syncs_left))))
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

impl DiskFile for FailingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        if self.1.fetch_sub(1, Relaxed) <= 0 {
            return Err(io::Error::other("simulated sync failure"));
        }
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
fn failed_sync_poisons_writer_until_restart() {
    let folder = TempDir::new().unwrap();
    let syncs_left = Arc::new(AtomicI64::new(3));
    let failing =
        Failing { folder: Folder::open(folder.path()).unwrap(), syncs_left: Arc::clone(&syncs_left) };
    let harness = Harness::open(Arc::new(failing), 1);
    fill(&harness, 1, 2);
    let refusal = harness.append(&["not durable"]).unwrap_err();
    assert!(matches!(&refusal, AppendError::Poisoned(why) if why.contains("simulated")));
    syncs_left.store(1000, Relaxed);
    assert_eq!(harness.append(&["no retry"]).unwrap_err(), refusal);
    assert_eq!(harness.spool.state(), Err(refusal));
    assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 2));
    harness.close();
    // The kernel may or may not have kept the failed commit. If it did, the commit is complete and
    // in its place.
    let harness = Harness::folder(&folder);
    let read = read_all(&mut harness.spool.reader(1));
    assert_eq!(read[..2], numbered(1, 2)[..]);
    assert!(read.len() == 2 || read[2..] == [(3, "not durable".to_owned())]);
}

#[test]
fn failed_segment_creation_never_reuses_previous_segment() {
    for seed in 0..20 {
        let disk = CruelDisk::new(seed);
        let harness = Harness::open(disk.handle(), 1);
        harness.append(&[&"x".repeat(3000)]).unwrap();
        disk.set_fault(Some(Fault { calls: &[Call::Rename], error: Errno::IO, after: 0, times: 1 }));
        let refusal = harness.append(&[&"y".repeat(3000)]).unwrap_err();
        assert!(matches!(refusal, AppendError::Full(_)));
        lock(&harness.spool.open).admit_again();
        assert_eq!(harness.append(&["small"]), Ok(2));
        disk.restart(Crash::Kill);
        let harness = Harness::open(disk.handle(), 1);
        assert_eq!(read_all(&mut harness.spool.reader(2)), [(2, "small".to_owned())]);
    }
}

#[test]
fn write_without_space_heals_without_a_restart() {
    for seed in 0..50 {
        for error in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            let disk = CruelDisk::new(seed);
            let harness = Harness::open(disk.handle(), 1);
            fill(&harness, 1, 2);
            disk.set_fault(Some(Fault { calls: &[Call::Write], error, after: 0, times: 1 }));
            let refusal = harness.append(&["refused"]).unwrap_err();
            assert!(matches!(refusal, AppendError::Full(_)), "{refusal:?}");
            let was_killed = seed % 2 == 0;
            if was_killed {
                disk.restart(Crash::Kill);
            } else {
                lock(&harness.spool.open).admit_again();
                fill(&harness, 3, 4);
                disk.restart(Crash::PowerAndCache);
            }
            let harness = Harness::open(disk.handle(), 1);
            let expected = numbered(1, if was_killed { 2 } else { 4 });
            assert_eq!(read_all(&mut harness.spool.reader(1)), expected, "seed {seed}");
        }
    }
}

/// Simulates a file system that allocates space for written data only at the sync.
#[test]
fn sync_without_space_goes_on_in_a_new_segment() {
    for seed in 0..50 {
        let disk = CruelDisk::new(seed);
        let harness = Harness::open(disk.handle(), 1);
        fill(&harness, 1, 2);
        disk.set_fault(Some(Fault { calls: &[Call::Sync], error: Errno::NOSPC, after: 0, times: 2 }));
        let refusal = harness.append(&["refused"]).unwrap_err();
        assert!(matches!(refusal, AppendError::Failing(_)), "{refusal:?}");
        lock(&harness.spool.open).admit_again();
        fill(&harness, 3, 4);
        assert_eq!(segments_of(&disk), [FIRST, "00000000000000000003.segment"]);
        disk.evict();
        assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 4));
        disk.restart(Crash::PowerAndCache);
        assert_eq!(read_all(&mut Harness::open(disk.handle(), 1).spool.reader(1)), numbered(1, 4));
    }
}
