//! The spool on a simulated disk and on a real one.

mod bounds;
mod damage;
mod delivery;
mod failure;
mod forgetting;
mod others;
mod recovery;
mod spectators;

use rustix::io::Errno;
use tempfile::TempDir;

use super::frame::FRAME_HEADER_BYTES;
use super::testing::{SIZES, batch, observer};
use super::*;
use crate::blocking::Threads;
use crate::disk::cruel::{Call, Crash, CruelDisk, Fault, Moment, PAGE_BYTES, Stop};
use crate::disk::{DiskFile, Entry, FileStat, Folder};
use crate::limits::SPOOL_READ_TRIES_MAX;
use crate::record::{Batch, RecordRef};

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

fn read_all(reader: &mut SpoolReader) -> Vec<(RecordId, String)> {
    let (mut all, mut chunk) = (Vec::new(), Chunk::default());
    while reader.pending() > 0 {
        read_patiently(reader, &mut chunk);
        all.extend(chunk.records().map(|(id, record)| (id, record.body.message.to_owned())));
        assert_eq!(all.last().map_or(chunk.end_id(), |(id, _)| id + 1), chunk.end_id());
    }
    all
}

/// Reads as shippers do: retries what cannot be read.
fn read_patiently(reader: &mut SpoolReader, chunk: &mut Chunk) {
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

/// Returns the folder of a closed spool with the messages 1 to 5, of which the third is damaged.
fn folder_with_damaged_message() -> TempDir {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 5);
    harness.close();
    damage(&folder, |bytes| {
        let offset = offset_of(bytes, "message 3");
        bytes[offset] ^= 1;
    });
    folder
}

/// Changes bytes of the first segment.
fn damage(folder: &TempDir, change: impl FnOnce(&mut Vec<u8>)) {
    let path = &segment_files(folder)[0];
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, &bytes).unwrap();
}

const SEGMENT_START: usize = super::frame::SEGMENT_HEADER_BYTES;

const FIRST: &str = "00000000000000000001.segment";

fn segments_of(disk: &CruelDisk) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.ends_with(".segment")).collect()
}
