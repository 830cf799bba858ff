//! A spool's folder after any damage to its files.
//!
//! A spool is written, its files are damaged in the ways that the input selects, and the spool is
//! opened again. Damaged records may be lost, but nothing is served that was not written, nothing
//! changes from one start to the next, and what is written from then on is there.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use arbitrary::{Arbitrary, Result, Unstructured};
use logboom::blocking::Threads;
use logboom::record::{Batch, RecordId, RecordRef};
use logboom::spool::{
    Chunk, CommitObserver, NoObserver, Receipt, Spool, SpoolReader, SpoolSizes, SpoolWriter,
};

use super::memory_disk::MemoryDisk;

/// Small, so that a few records fill several segments.
const SIZES: SpoolSizes = SpoolSizes { segment_bytes: 1 << 10, bytes_max: 1 << 30 };

/// Sizes of a segment's header and of a frame's header, as in the specification in
/// `logboom::spool`.
const SEGMENT_HEADER_BYTES: usize = 64;
const FRAME_HEADER_BYTES: usize = 32;

type Served = Vec<(RecordId, String)>;

/// Runs the check that the module documentation describes.
pub fn check(input: &[u8]) {
    let _ = run(&mut Unstructured::new(input)); // an error means too few bytes
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let disk = Arc::new(MemoryDisk::default());
    let written = write(&disk, input)?;
    assert_eq!(serve(&mut open(&disk).0.reader(1)), written, "all that was written is served");
    let untouched = damage(&disk, input)?;
    let served = check_recovery(&disk, &written);
    let is_served = |id: &RecordId| served.binary_search_by_key(id, |(id, _)| *id).is_ok();
    assert!(untouched.iter().all(is_served), "of {untouched:?}, not all are in {served:?}");
    Ok(())
}

/// Writes a spool of a few commits. Returns all records in it.
fn write(disk: &Arc<MemoryDisk>, input: &mut Unstructured<'_>) -> Result<Served> {
    let (spool, writer) = open(disk);
    let mut commits = Commits::new(&spool, writer);
    let mut written = Served::new();
    for _ in 0..input.int_in_range(0..=12)? {
        let messages: Vec<String> = (0..input.int_in_range(1..=4)?)
            .map(|_| Ok(format!("{} {}", written.len(), "x".repeat(input.int_in_range(0..=150)?))))
            .collect::<Result<_>>()?;
        let first_id = commits.append(&messages);
        written.extend((first_id..).zip(messages));
    }
    Ok(written)
}

/// Opens what is left, twice, and appends to it. Returns what was served.
fn check_recovery(disk: &Arc<MemoryDisk>, written: &Served) -> Served {
    let served = serve(&mut open(disk).0.reader(1));
    assert!(served.iter().all(|record| written.contains(record)), "{served:?} is not of {written:?}");
    assert!(served.is_sorted_by(|(one, _), (two, _)| one < two), "ids do not rise: {served:?}");

    let (spool, writer) = open(disk);
    let mut reader = spool.reader(1);
    assert_eq!(serve(&mut reader), served, "the second start serves something else");

    let appended = ["new 1".to_owned(), "new 2".to_owned()];
    let first_id = Commits::new(&spool, writer).append(&appended);
    assert!(served.iter().all(|(id, _)| *id < first_id), "id {first_id} is given twice");
    let appended: Served = (first_id..).zip(appended).collect();
    assert_eq!(serve(&mut reader), appended, "what was appended is not served");

    let all = [&served[..], &appended].concat();
    assert_eq!(serve(&mut open(disk).0.reader(1)), all, "it is gone after another start");
    served
}

fn open(disk: &Arc<MemoryDisk>) -> (Arc<Spool>, SpoolWriter) {
    Spool::open(Arc::clone(disk) as _, SIZES, 1).expect("a spool that opens whatever its files hold")
}

/// Reads all records.
fn serve(reader: &mut SpoolReader) -> Served {
    let (mut served, mut chunk) = (Served::new(), Chunk::default());
    loop {
        let before = reader.position();
        reader.read(&mut chunk, 3, 100).unwrap();
        assert_eq!(chunk.records().count() as u64, chunk.len());
        served.extend(chunk.records().map(|(id, record)| (id, record.body.message.to_owned())));
        if reader.pending() == 0 {
            return served;
        }
        assert!(reader.position() > before, "the reader stands still at {before}");
    }
}

/// Appends to a spool whose writer is polled here.
struct Commits<'a> {
    spool: &'a Spool,
    writer: std::pin::Pin<Box<dyn Future<Output = ()>>>,
}

impl<'a> Commits<'a> {
    fn new(spool: &'a Spool, writer: SpoolWriter) -> Commits<'a> {
        Commits { spool, writer: Box::pin(writer.run(Threads::One)) }
    }

    /// Makes records durable in one commit. Returns the id of the first record.
    fn append(&mut self, messages: &[String]) -> RecordId {
        let mut batch = Batch::new();
        messages.iter().for_each(|message| batch.push(&RecordRef { message, ..RecordRef::default() }));
        let observer: Arc<dyn CommitObserver> = Arc::new(NoObserver);
        let receipt =
            self.spool.try_append(&batch, &observer).expect("room").expect("a spool that is not full");
        self.commit(receipt)
    }

    fn commit(&mut self, receipt: Receipt) -> RecordId {
        let mut durable = pin!(receipt.durable());
        let context = &mut Context::from_waker(Waker::noop());
        for _ in 0..4 {
            assert!(self.writer.as_mut().poll(context).is_pending());
            if let Poll::Ready(outcome) = durable.as_mut().poll(context) {
                return outcome.unwrap();
            }
        }
        panic!("the writer does not commit");
    }
}

/// Damage that may happen to files.
#[derive(Arbitrary, Debug)]
enum Mishap {
    /// Bits are flipped.
    Flip { file: u8, offset: u16, bits: u8 },
    /// A range reads as zeros.
    Blank { file: u8, offset: u16, length: u16 },
    /// The end is missing.
    Truncate { file: u8, length: u16 },
    /// More bytes follow the end.
    Extend { file: u8, length: u16 },
    /// A range was written to the wrong place.
    Copy { from: u8, offset: u16, length: u16, to: u8, target: u16 },
    /// A file is missing.
    Remove { file: u8 },
    /// A file has the name of another file, which is lost.
    Rename { file: u8, to: u8 },
    /// A file has the content of another file.
    Duplicate { file: u8, to: u8 },
    /// A file that was not there before.
    Add { name: u8, number: u64, length: u16, byte: u8 },
}

/// Damages the files. Returns the ids of the records that must still be there: those in frames that
/// nothing has changed, as long as every file is in its place.
fn damage(disk: &MemoryDisk, input: &mut Unstructured<'_>) -> Result<Vec<RecordId>> {
    let mut frames: Vec<Frame> = disk.names().iter().flat_map(|name| frames(disk, name)).collect();
    for _ in 0..16 {
        if input.is_empty() {
            break;
        }
        let mishap = Mishap::arbitrary(input)?;
        apply(disk, &mishap);
        match mishap {
            Mishap::Flip { .. } | Mishap::Blank { .. } | Mishap::Extend { .. } => {}
            _ => frames.clear(),
        }
    }
    frames.retain(|frame| frame.is_untouched(disk));
    Ok(frames.into_iter().flat_map(|frame| frame.ids).collect())
}

/// A frame, and everything that is needed to find it.
struct Frame {
    file: String,
    from: usize,
    bytes: Vec<u8>,
    head: Vec<u8>,
    ids: std::ops::Range<RecordId>,
}

impl Frame {
    fn is_untouched(&self, disk: &MemoryDisk) -> bool {
        let content = disk.content(&self.file);
        content[..SEGMENT_HEADER_BYTES] == self.head
            && content[self.from..self.from + self.bytes.len()] == self.bytes
    }
}

/// Returns the frames of a complete segment.
fn frames(disk: &MemoryDisk, file: &str) -> Vec<Frame> {
    let content = disk.content(file);
    let number = |at: usize| u32::from_le_bytes(content[at..at + 4].try_into().unwrap());
    let (mut frames, mut from) = (Vec::new(), SEGMENT_HEADER_BYTES);
    while from + FRAME_HEADER_BYTES <= content.len() && content[from..from + 8] == content[8..16] {
        let first_id = u64::from(number(from + 8));
        let end = (from + FRAME_HEADER_BYTES + number(from + 16) as usize).next_multiple_of(8);
        frames.push(Frame {
            file: file.to_owned(),
            from,
            bytes: content[from..end].to_vec(),
            head: content[..SEGMENT_HEADER_BYTES].to_vec(),
            ids: first_id..first_id + u64::from(number(from + 20)),
        });
        from = end;
    }
    frames
}

fn apply(disk: &MemoryDisk, mishap: &Mishap) {
    let names = disk.names();
    let name = |file: u8| names.get(usize::from(file) % names.len().max(1)).map_or("", String::as_str);
    let change = |file: u8, change: &dyn Fn(&mut Vec<u8>)| {
        let mut content = disk.content(name(file));
        change(&mut content);
        disk.put(name(file), content);
    };
    match *mishap {
        _ if names.is_empty() => {}
        Mishap::Flip { file, offset, bits } => change(file, &|content| {
            if let Some(byte) = content.get_mut(usize::from(offset)) {
                *byte ^= bits;
            }
        }),
        Mishap::Blank { file, offset, length } => change(file, &|content| {
            content.iter_mut().skip(offset.into()).take(length.into()).for_each(|byte| *byte = 0);
        }),
        Mishap::Truncate { file, length } => change(file, &|content| content.truncate(length.into())),
        Mishap::Extend { file, length } => change(file, &|content| {
            content.resize(content.len() + usize::from(length), 0);
        }),
        Mishap::Copy { from, offset, length, to, target } => {
            let stretch: Vec<u8> =
                disk.content(name(from)).into_iter().skip(offset.into()).take(length.into()).collect();
            change(to, &|content| {
                content.iter_mut().skip(target.into()).zip(&stretch).for_each(|(byte, other)| *byte = *other);
            });
        }
        Mishap::Remove { file } => disk.take(name(file)),
        Mishap::Rename { file, to } => {
            let content = disk.content(name(file));
            disk.take(name(file));
            disk.put(name(to), content);
        }
        Mishap::Duplicate { file, to } => disk.put(name(to), disk.content(name(file))),
        Mishap::Add { name, number, length, byte } => {
            let name = match name % 4 {
                0 => format!("{number:020}.segment"),
                1 => format!("{number}.free"),
                2 => format!("{number:020}-64.quarantine"),
                _ => format!("{number}.segment.quarantine"),
            };
            disk.put(&name, vec![byte; length.into()]);
        }
    }
}
