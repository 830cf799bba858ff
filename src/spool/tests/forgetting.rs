//! Released records that are removed from all files.

use super::*;

#[test]
fn forget_removes_released_records_after_next_commit() {
    let holds = |folder: &TempDir, text: &str| {
        let mut files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        files.any(|path| memchr::memmem::find(&std::fs::read(path).unwrap(), text.as_bytes()).is_some())
    };
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let mut reader = harness.spool.reader(1);
    let mut next = 1;
    // Some segments are freed, and at least one of these is in use again.
    for _ in 0..4 {
        fill(&harness, next, next + 99);
        read_all(&mut reader);
        next += 100;
        reader.release(next);
    }
    assert!(holds(&folder, "message 3"));
    harness.spool.forget().unwrap();
    assert_eq!(harness.append(&["the next"]).unwrap(), next);
    assert!(holds(&folder, "message 399"), "observer has released it");
    assert_eq!(read_all(&mut reader).len(), 1);
    reader.release(next + 1);
    assert!(!holds(&folder, "message"));
    assert_eq!(harness.spool.status().segments, 1);
    harness.close();
    assert_eq!(Harness::folder(&folder).spool.durable_id(), next + 1);
}

/// A folder that calls [`Spool::forget`], as a deletion does, just before a segment file becomes a
/// free file or a free file becomes a segment.
struct Meddled {
    folder: Folder,
    spool: std::sync::OnceLock<std::sync::Weak<Spool>>,
    at: fn(from: &str, to: &str) -> bool,
}

impl Disk for Meddled {
    fn list(&self) -> io::Result<Vec<Entry>> {
        self.folder.list()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.folder.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if (self.at)(from, to)
            && let Some(spool) = self.spool.get().and_then(std::sync::Weak::upgrade)
        {
            spool.forget().unwrap();
        }
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

#[test]
fn forget_removes_recycled_segments_too() {
    let (freed, used) =
        (|_: &str, to: &str| to.ends_with(".free"), |from: &str, _: &str| from.ends_with(".free"));
    for at in [freed as fn(&str, &str) -> bool, used] {
        let folder = TempDir::new().unwrap();
        let holds = || {
            let mut files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
            files.any(|path| memchr::memmem::find(&std::fs::read(path).unwrap(), b"message").is_some())
        };
        let disk = Folder::open(folder.path()).unwrap();
        let disk = Arc::new(Meddled { folder: disk, spool: std::sync::OnceLock::new(), at });
        let harness = Harness::open(Arc::clone(&disk) as Arc<dyn Disk>, 1);
        let mut reader = harness.spool.reader(1);
        let mut next = 1;
        // Fill until the next segment would be created from a freed file.
        while harness.spool.status().segments < 4 {
            fill(&harness, next, next);
            next += 1;
        }
        let release = |reader: &mut SpoolReader, next| {
            read_all(reader);
            reader.release(next);
        };
        if !at("", "1.free") {
            release(&mut reader, next);
        }
        disk.spool.set(Arc::downgrade(&harness.spool)).unwrap();
        if at("", "1.free") {
            release(&mut reader, next);
        } else {
            let segments = harness.spool.status().segments;
            while harness.spool.status().segments == segments {
                assert_eq!(harness.append(&["x"]), Ok(next));
                next += 1;
            }
        }
        for _ in 0..2 {
            assert_eq!(harness.append(&["x"]), Ok(next));
            next += 1;
        }
        release(&mut reader, next);
        assert!(!holds());
    }
}

/// Records are not refused in order to purge others.
#[test]
fn forget_at_ceiling_continues_in_current_segment() {
    let folder = TempDir::new().unwrap();
    let sizes = SpoolSizes { segment_bytes: 4 << 10, bytes_max: 4 << 10 };
    let harness = Harness::sized(Arc::new(Folder::open(folder.path()).unwrap()), 1, sizes);
    fill(&harness, 1, 3);
    harness.spool.forget().unwrap();
    fill(&harness, 4, 6);
    assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 6));
}
