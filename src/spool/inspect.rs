//! `logboom spool inspect` and `verify`: read the content of a spool without changing it, also
//! while a server runs.

use std::io;
use std::path::Path;

use super::frame::Begun;
use super::segments::Segments;
use crate::disk::{Disk, Folder};
use crate::record::RecordId;

/// The content of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// The id of its first record.
    pub first_id: RecordId,
    /// The size of the file.
    pub bytes: u64,
    /// The result of reading it.
    pub content: Content,
}

/// The result of reading a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Complete frames: one per commit.
    pub frames: u64,
    /// Records in these frames.
    pub records: u64,
    /// The id after the last record.
    pub end_id: RecordId,
    /// Bytes up to the end of the last complete frame.
    pub used_bytes: u64,
    /// Damaged ranges, as start and end offsets.
    pub damage: Vec<(u64, u64)>,
    /// An incomplete frame follows: usual in the last segment after a crash, or while a server
    /// writes.
    pub torn: bool,
}

/// Reads and checks every frame of a spool's folder. `progress` is called now and then with the
/// bytes that are done and their total.
pub fn inspect(folder: &Path, mut progress: impl FnMut(u64, u64)) -> io::Result<Vec<SegmentReport>> {
    if !folder.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("the folder {} does not exist", folder.display()),
        ));
    }
    let segments = Segments::open_read_only(&Folder::open_read_only(folder)?)?;
    let total = segments.iter().map(super::Segment::bytes).sum();
    let mut done = 0;
    let mut reports: Vec<_> = segments.unreadable().iter().map(unreadable).collect();
    for segment in segments.iter() {
        let scan = segment.scan(|offset| progress(done + offset, total))?;
        let content = Content {
            frames: scan.frames,
            records: scan.records,
            end_id: scan.end_id,
            used_bytes: scan.end,
            damage: scan.damage,
            torn: scan.tail == Begun::Torn,
        };
        done += segment.bytes();
        progress(done, total);
        // A server may have freed the segment while it was read. The segment then holds no records
        // any more.
        if segment.is_current()? {
            reports.push(SegmentReport {
                first_id: segment.header.first_id,
                bytes: segment.bytes(),
                content,
            });
        }
    }
    reports.sort_by_key(|report| report.first_id);
    Ok(reports)
}

/// Returns the id after the last durable record of a spool's folder, also while a server runs.
/// Returns `None` if there is no folder or no segment.
pub fn end(folder: &Path) -> io::Result<Option<RecordId>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    Ok(extent(&Folder::open_read_only(folder)?)?.map(|(_, end)| end))
}

/// Returns the first and the next id of a spool to which no process writes. Returns `None` if there
/// is no segment.
pub fn extent(disk: &dyn Disk) -> io::Result<Option<(RecordId, RecordId)>> {
    let segments = Segments::open_read_only(disk)?;
    let ends = segments.iter().next().zip(segments.iter().last());
    ends.map(|(first, last)| Ok((first.header.first_id, last.scan(|_| {})?.end_id))).transpose()
}

/// Reports a segment of which neither the header nor the first frame can be read.
fn unreadable(&(first_id, bytes): &(RecordId, u64)) -> SegmentReport {
    let damage = vec![(0, bytes)];
    let content = Content { frames: 0, records: 0, end_id: first_id, used_bytes: 0, damage, torn: false };
    SegmentReport { first_id, bytes, content }
}
