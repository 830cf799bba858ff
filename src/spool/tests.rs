//! The spool on a simulated disk: commits, damage, recovery, ceiling.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use rustix::io::Errno;
use tempfile::TempDir;

use super::frame::FRAME_HEADER_BYTES;
use super::*;
use crate::blocking::Threads;
use crate::disk::cruel::{Call, Crash, CruelDisk, Fault, Moment, PAGE_BYTES, Stop};
use crate::disk::{DiskFile, Entry, FileStat, Folder};
use crate::limits::{SPOOL_READ_TRIES_MAX, STALLED_DISK_MILLISECONDS};
use crate::record::{Batch, RecordRef};

const SIZES: SpoolSizes = SpoolSizes { segment_bytes: 4 << 10, bytes_max: 32 << 10 };

fn observer() -> Arc<dyn CommitObserver> {
    Arc::new(NoObserver)
}

fn batch(messages: &[&str]) -> Batch {
    let mut batch = Batch::new();
    for message in messages {
        batch.push(&RecordRef { message, ..RecordRef::default() });
    }
    batch
}

/// A spool whose writer runs on the test's own thread.
struct Harness {
    spool: Arc<Spool>,
    runtime: tokio::runtime::Runtime,
    writer: Option<tokio::task::JoinHandle<()>>,
}

impl Harness {
    fn open(disk: Arc<dyn Disk>, floor: RecordId) -> Harness {
        Harness::sized(disk, floor, SIZES)
    }

    fn sized(disk: Arc<dyn Disk>, floor: RecordId, sizes: SpoolSizes) -> Harness {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (spool, writer) = Spool::open(disk, sizes, floor).unwrap();
        let writer = Some(runtime.spawn(writer.run(Threads::One)));
        Harness { spool, runtime, writer }
    }

    fn folder(folder: &TempDir) -> Harness {
        Harness::open(Arc::new(Folder::open(folder.path()).unwrap()), 1)
    }

    fn append(&self, messages: &[&str]) -> Result<RecordId, AppendError> {
        self.runtime
            .block_on(async { self.spool.append(&batch(messages), &observer()).await?.durable().await })
    }

    /// Makes the writer check its files, while nothing is appended.
    fn look(&self) {
        self.spool.look_soon();
        self.runtime.block_on(async {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        });
    }

    fn close(mut self) {
        self.spool.close();
        self.runtime.block_on(self.writer.take().unwrap()).unwrap();
    }
}

fn read_all(reader: &mut Reader) -> Vec<(RecordId, String)> {
    let (mut all, mut chunk) = (Vec::new(), Chunk::default());
    while reader.pending() > 0 {
        read_patiently(reader, &mut chunk);
        all.extend(chunk.records().map(|(id, record)| (id, record.body.message.to_owned())));
        assert_eq!(all.last().map_or(chunk.end_id(), |(id, _)| id + 1), chunk.end_id());
    }
    all
}

/// Reads as shippers do: retries what cannot be read.
fn read_patiently(reader: &mut Reader, chunk: &mut Chunk) {
    let mut tries = 1;
    while let Err(error) = reader.read(chunk, 1, 1) {
        assert!(tries < SPOOL_READ_TRIES_MAX, "{error}");
        tries += 1;
    }
}

fn numbered(from: u64, to: u64) -> Vec<(RecordId, String)> {
    (from..=to).map(|id| (id, format!("message {id}"))).collect()
}

fn fill(harness: &Harness, from: u64, to: u64) {
    for id in from..=to {
        assert_eq!(harness.append(&[&format!("message {id}")]), Ok(id));
    }
}

#[test]
fn chunk_stays_within_its_bytes_unless_one_frame_exceeds_them() {
    let disk = CruelDisk::new(1);
    let harness = Harness::open(disk.handle(), 1);
    let mut chunk = Chunk::default();
    fill(&harness, 1, 30);
    harness.spool.reader(1).read(&mut chunk, 1, usize::MAX).unwrap();
    let frame_bytes = chunk.bytes.len();
    for (bytes, frames) in [(1, 1), (frame_bytes, 1), (2 * frame_bytes, 2), (3 * frame_bytes - 1, 2)] {
        harness.spool.reader(1).read(&mut chunk, 1000, bytes).unwrap();
        assert_eq!(
            (chunk.len(), chunk.bytes.len()),
            (frames, frames as usize * frame_bytes),
            "{bytes} bytes"
        );
    }
    let mut reader = harness.spool.reader(1);
    let mut ids = 1;
    while reader.pending() > 0 {
        reader.read(&mut chunk, 1000, 3 * frame_bytes).unwrap();
        assert!(chunk.first_id() == ids && chunk.len() <= 3 && !chunk.is_empty());
        ids = chunk.end_id();
    }
    assert_eq!(ids, 31);
}

/// Returns the paths of the segment files, in order.
fn segment_files(folder: &TempDir) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    files.sort();
    files
}

fn offset_of(bytes: &[u8], text: &str) -> usize {
    memchr::memmem::find(bytes, text.as_bytes()).unwrap()
}

#[test]
fn acknowledged_records_are_read_in_order_after_restart() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 200);
    assert!(harness.spool.status().segments > 2);
    assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 200));
    harness.close();
    let harness = Harness::folder(&folder);
    fill(&harness, 201, 210);
    assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 210));
    assert_eq!(read_all(&mut harness.spool.reader(199)), numbered(199, 210));
}

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
fn waiting_batches_share_commit_and_keep_order() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let ids = harness.runtime.block_on(async {
        let mut receipts = Vec::new();
        for n in 0..50 {
            receipts
                .push(harness.spool.append(&batch(&[&n.to_string(), "second"]), &observer()).await.unwrap());
        }
        let mut ids = Vec::new();
        for receipt in receipts {
            ids.push(receipt.durable().await.unwrap());
        }
        ids
    });
    assert_eq!(ids, (0..50).map(|n| 1 + 2 * n).collect::<Vec<_>>());
    assert!(harness.spool.status().commits <= 2);
}

#[test]
fn reader_starts_within_frame() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    harness.append(&["1", "2", "3", "4"]).unwrap();
    let read = read_all(&mut harness.spool.reader(3));
    assert_eq!(read, [(3, "3".to_owned()), (4, "4".to_owned())]);
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

/// Changes bytes of the first segment.
fn damage(folder: &TempDir, change: impl FnOnce(&mut Vec<u8>)) {
    let path = &segment_files(folder)[0];
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, &bytes).unwrap();
}

#[test]
fn damage_is_quarantined_and_counted_and_rest_is_read() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 5);
    harness.close();
    damage(&folder, |bytes| {
        let offset = offset_of(bytes, "message 3");
        bytes[offset] ^= 1;
    });

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

const SEGMENT_START: usize = super::frame::SEGMENT_HEADER_BYTES;

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
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 5);
    harness.close();
    damage(&folder, |bytes| {
        let offset = offset_of(bytes, "message 3");
        bytes[offset] ^= 1;
    });
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
fn released_segments_are_reused() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let mut reader = harness.spool.reader(1);
    let mut next = 1;
    for _ in 0..20 {
        fill(&harness, next, next + 99);
        assert_eq!(read_all(&mut reader), numbered(next, next + 99));
        next += 100;
        reader.release(next);
    }
    let status = harness.spool.status();
    assert_eq!(status.segments, 1);
    assert!(status.bytes <= SIZES.bytes_max);
    assert!(inspect::inspect(folder.path(), |_, _| {}).unwrap()[0].content.damage.is_empty());
    harness.close();
    assert_eq!(Harness::folder(&folder).spool.durable_id(), next);
}

#[test]
fn ceiling_refuses_until_release_without_id_gap() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let mut reader = harness.spool.reader(1);
    let mut next = 1;
    let refusal = loop {
        match harness.append(&[&format!("message {next}")]) {
            Ok(id) => assert_eq!(id, next),
            Err(refusal) => break refusal,
        }
        next += 1;
    };
    assert!(matches!(refusal, AppendError::Full(_)), "{refusal}");
    assert!(harness.spool.state().is_err());
    assert!(harness.spool.status().bytes <= SIZES.bytes_max);
    assert_eq!(read_all(&mut reader), numbered(1, next - 1));
    reader.release(next);
    fill(&harness, next, next + 10);
    assert_eq!(read_all(&mut reader), numbered(next, next + 10));
}

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
        let release = |reader: &mut Reader, next| {
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

#[test]
fn slower_reader_holds_back_release() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let (mut fast, mut slow) = (harness.spool.reader(1), harness.spool.reader(1));
    fill(&harness, 1, 200);
    read_all(&mut fast);
    fast.release(201);
    assert_eq!(read_all(&mut slow), numbered(1, 200));
    slow.release(201);
    assert_eq!(harness.spool.status().segments, 1);
}

#[test]
fn ids_continue_from_store_that_is_ahead() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 3);
    harness.close();
    let harness = Harness::open(Arc::new(Folder::open(folder.path()).unwrap()), 1000);
    fill(&harness, 1000, 1001);
    assert_eq!(read_all(&mut harness.spool.reader(1000)), numbered(1000, 1001));
    harness.close();
    assert_eq!(Harness::folder(&folder).spool.durable_id(), 1002);
}

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
fn closed_spool_commits_pending_and_rejects_further() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let spool = Arc::clone(&harness.spool);
    let receipt = harness.runtime.block_on(spool.append(&batch(&["last"]), &observer())).unwrap();
    spool.close();
    assert_eq!(harness.append(&["late"]), Err(AppendError::Closed));
    assert_eq!(harness.runtime.block_on(receipt.durable()), Ok(1));
    let reader = spool.reader(1);
    harness.close();
    assert!(reader.is_finished() && reader.pending() == 1);
}

/// Returns a large batch, so that few of them fill the open buffer.
fn large_batch() -> Batch {
    let text = "x".repeat(1 << 20);
    let mut batch = Batch::new();
    batch.push(&RecordRef { message: &text[..900 << 10], ..RecordRef::default() });
    batch
}

#[test]
fn stalled_disk_refuses_batches_until_it_recovers() {
    let folder = TempDir::new().unwrap();
    let sizes = SpoolSizes { segment_bytes: 8 << 20, bytes_max: 64 << 20 };
    let (spool, writer) = Spool::open(Arc::new(Folder::open(folder.path()).unwrap()), sizes, 1).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut receipts = Vec::new();
        // Nothing is written: the writer does not run.
        let refusal = loop {
            match spool.append(&large_batch(), &observer()).await {
                Ok(receipt) => receipts.push(receipt),
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refusal, AppendError::Full("the disk does not keep up".into()));
        assert_eq!(receipts.len(), 4);
        assert!(!spool.room().await);
        // Now the writer runs.
        tokio::spawn(writer.run(Threads::One));
        while !spool.room().await {
            tokio::task::yield_now().await;
        }
        for (index, receipt) in receipts.into_iter().enumerate() {
            assert_eq!(receipt.durable().await, Ok(1 + index as u64));
        }
    });
}

/// The disk does not count as stalled when the only thread is busy elsewhere.
#[test]
fn disk_is_not_stalled_while_only_thread_is_busy() {
    let folder = TempDir::new().unwrap();
    let sizes = SpoolSizes { segment_bytes: 8 << 20, bytes_max: 64 << 20 };
    let (spool, writer) = Spool::open(Arc::new(Folder::open(folder.path()).unwrap()), sizes, 1).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        while spool.try_append(&large_batch(), &observer()).is_some() {}
        let waiting = tokio::spawn({
            let spool = Arc::clone(&spool);
            async move { spool.append(&large_batch(), &observer()).await?.durable().await }
        });
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(STALLED_DISK_MILLISECONDS + 100));
        // Everything that is due by the clock happens.
        tokio::time::sleep(Duration::from_millis(1)).await;
        tokio::spawn(writer.run(Threads::One));
        assert_eq!(waiting.await.unwrap(), Ok(5));
    });
}

#[test]
fn appenders_waiting_for_room_all_succeed() {
    let disk = CruelDisk::new(1); // in memory: this test is not about the speed of a disk
    let sizes = SpoolSizes { segment_bytes: 8 << 20, bytes_max: 1 << 30 };
    let (spool, writer) = Spool::open(disk.handle(), sizes, 1).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let writer = tokio::spawn(writer.run(Threads::One));
        let appenders = (0..20).map(|_| {
            let spool = Arc::clone(&spool);
            tokio::spawn(async move {
                for _ in 0..5 {
                    assert!(spool.room().await);
                    spool.append(&large_batch(), &observer()).await.unwrap().durable().await.unwrap();
                }
            })
        });
        for appender in appenders.collect::<Vec<_>>() {
            appender.await.unwrap();
        }
        assert_eq!(spool.durable_id(), 101);
        spool.close();
        writer.await.unwrap();
    });
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

const FIRST: &str = "00000000000000000001.segment";

fn segments_of(disk: &CruelDisk) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.ends_with(".segment")).collect()
}

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

/// Returns what a cursor reads until nothing more comes. A gap is `(first id after it, "missed
/// ...")`.
fn watch(cursor: &SpoolCursor, place: &mut Place, bytes: usize) -> Vec<(RecordId, String)> {
    let (mut seen, mut chunk) = (Vec::new(), Chunk::default());
    loop {
        let span = cursor.read(*place, &mut chunk, bytes).unwrap();
        if chunk.first_id() > place.id {
            seen.push((chunk.first_id(), format!("missed {}", chunk.first_id() - place.id)));
        }
        seen.extend(chunk.records().map(|(id, record)| (id, record.body.message.to_owned())));
        assert_eq!((span.start.id, span.end.id), (chunk.first_id(), chunk.end_id()));
        if span.end == *place {
            return seen;
        }
        *place = span.end;
    }
}

#[test]
fn spectator_reads_from_any_id_in_any_size() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 200);
    assert_eq!(harness.append(&["message 201", "message 202", "message 203"]), Ok(201));
    let cursor = harness.spool.cursor();
    for from in [1, 2, 99, 202, 203, 204] {
        for bytes in [1, 300, 1 << 20] {
            let mut place = Place::at(from);
            assert_eq!(watch(&cursor, &mut place, bytes), numbered(from, 203), "from {from}, {bytes} bytes");
            assert_eq!(place.id, cursor.end().id);
        }
    }
    let mut place = cursor.end();
    fill(&harness, 204, 210);
    assert_eq!(watch(&cursor, &mut place, 1), numbered(204, 210));
    harness.close();
    let again = Harness::folder(&folder);
    let mut place = again.spool.cursor().end();
    fill(&again, 211, 212);
    assert_eq!(watch(&again.spool.cursor(), &mut place, 1), numbered(211, 212));
}

#[test]
fn spectator_misses_released_records() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let mut reader = harness.spool.reader(1);
    let cursor = harness.spool.cursor();
    fill(&harness, 1, 10);
    let mut place = Place::at(1);
    assert_eq!(watch(&cursor, &mut place, 1 << 20), numbered(1, 10));
    fill(&harness, 11, 100);
    read_all(&mut reader);
    reader.release(101);
    assert_eq!(harness.spool.status().segments, 1, "it is held back");
    // The file of the released records is reused, with the same offsets.
    fill(&harness, 101, 200);
    let oldest = cursor.oldest_id();
    assert!((12..=100).contains(&oldest));
    let mut expected = vec![(oldest, format!("missed {}", oldest - 11))];
    expected.extend(numbered(oldest, 200));
    assert_eq!(watch(&cursor, &mut place, 100), expected);
    assert_eq!(harness.spool.status().lost_records, 0, "what was released is not lost");
}

#[test]
fn spectator_alone_releases_nothing() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let _spectator = harness.spool.cursor();
    fill(&harness, 1, 200);
    harness.spool.release();
    assert_eq!(harness.spool.oldest_id(), 1);
}

#[test]
fn spectator_skips_damage_without_counting_it() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 5);
    harness.close();
    damage(&folder, |bytes| {
        let offset = offset_of(bytes, "message 3");
        bytes[offset] ^= 1;
    });
    let harness = Harness::folder(&folder);
    let cursor = harness.spool.cursor();
    let mut expected = numbered(1, 5);
    expected[2] = (4, "missed 1".into());
    assert_eq!(watch(&cursor, &mut Place::at(1), 1 << 20), expected);
    // Damage at the end of a segment that is not the last.
    fill(&harness, 6, 100);
    harness.close();
    damage(&folder, |bytes| {
        let offset = offset_of(bytes, "message 9");
        bytes[offset..].fill(1);
    });
    let harness = Harness::folder(&folder);
    let cursor = harness.spool.cursor();
    let seen = watch(&cursor, &mut Place::at(4), 1 << 20);
    let behind = seen[5].0;
    assert!(behind > 10, "{seen:?}");
    assert_eq!(seen[..5], numbered(4, 8));
    assert_eq!(seen[5].1, format!("missed {}", behind - 9));
    assert_eq!(seen[6..], numbered(behind, 100));
    let status = harness.spool.status();
    assert_eq!((status.lost_records, status.quarantined_bytes), (0, 0), "a reader will tell");
}

#[test]
fn spectator_is_woken_by_awaited_record() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let cursor = harness.spool.cursor();
    harness.runtime.block_on(async {
        let write = async {
            let receipt = harness.spool.append(&batch(&["message 1"]), &observer()).await.unwrap();
            receipt.durable().await.unwrap();
        };
        tokio::join!(cursor.durable(1), write);
        cursor.durable(1).await;
    });
    assert_eq!(watch(&cursor, &mut Place::at(1), 1), numbered(1, 1));
}

mod cursors {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// Appends this many records as one commit.
        Append(u64),
        /// Releases all records but this many of the latest.
        Release(u64),
        /// Reads this many bytes at one of the cursor's places.
        Read(usize, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1u64..12).prop_map(Step::Append),
            1 => (0u64..60).prop_map(Step::Release),
            4 => (0usize..3, prop_oneof![Just(1usize), 1usize..600]).prop_map(|(place, bytes)| Step::Read(place, bytes)),
        ];
        prop::collection::vec(step, 1..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Each id is read once, with its own message, or missed once, and only released records
        /// are missed.
        #[test]
        fn every_record_is_read_or_missed(steps in steps()) {
            let folder = TempDir::new().unwrap();
            let harness = Harness::folder(&folder);
            let mut reader = harness.spool.reader(1);
            let cursor = harness.spool.cursor();
            let mut places = [Place::at(1); 3];
            let (mut next, mut chunk) = (1, Chunk::default());
            for step in steps {
                match step {
                    Step::Append(count) => {
                        let messages: Vec<_> = (next..next + count).map(|id| format!("message {id}")).collect();
                        let messages: Vec<_> = messages.iter().map(String::as_str).collect();
                        // The ceiling may have been reached.
                        if harness.append(&messages).is_ok() {
                            next += count;
                        }
                    }
                    Step::Release(count) => {
                        read_all(&mut reader);
                        reader.release(next.saturating_sub(count));
                    }
                    Step::Read(index, bytes) => {
                        let place = places[index];
                        let oldest = cursor.oldest_id();
                        let span = cursor.read(place, &mut chunk, bytes).unwrap();
                        prop_assert!(chunk.first_id() == place.id.max(oldest) || chunk.is_empty());
                        let read: Vec<_> =
                            chunk.records().map(|(id, record)| (id, record.body.message.to_owned())).collect();
                        prop_assert_eq!(read, numbered(chunk.first_id(), chunk.end_id() - 1));
                        prop_assert!(span.end != place || place.id == next);
                        places[index] = span.end;
                    }
                }
            }
        }
    }
}
