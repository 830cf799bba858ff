//! `logboom spool inspect` and `verify`: what a spool holds, without changing it and beside a running server.

use std::io;
use std::path::Path;

use super::frame::Begun;
use super::segments::Segments;
use crate::disk::{Disk, Folder};
use crate::record::RecordId;

/// What one segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// The id that its first record has.
    pub first_id: RecordId,
    /// The size of the file.
    pub bytes: u64,
    /// What reading it showed.
    pub content: Content,
}

/// What reading a segment showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Whole frames: one a commit.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// The id after the last.
    pub end_id: RecordId,
    /// Bytes up to the end of the last whole frame.
    pub used_bytes: u64,
    /// Damaged stretches, as offsets from and to.
    pub damage: Vec<(u64, u64)>,
    /// An unfinished frame follows: usual in the last segment after a crash, or while a server writes.
    pub torn: bool,
}

/// Reads every frame of a spool's folder and checks it; `progress` is told the bytes that are done and their total now
/// and then.
pub fn inspect(folder: &Path, mut progress: impl FnMut(u64, u64)) -> io::Result<Vec<SegmentReport>> {
    if !folder.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no folder {}", folder.display()),
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
        // A server may have given it up while it was read: then it holds nothing any more.
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

/// The id after the last durable record of a spool's folder, beside a running server; `None` where there is none.
pub fn end(folder: &Path) -> io::Result<Option<RecordId>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let segments = Segments::open_read_only(&Folder::open_read_only(folder)?)?;
    segments.iter().last().map(|segment| segment.scan(|_| {}).map(|scan| scan.end_id)).transpose()
}

/// The first and the next id of a spool that nobody writes; `None` where there is no segment.
pub fn extent(disk: &dyn Disk) -> io::Result<Option<(RecordId, RecordId)>> {
    let segments = Segments::open_read_only(disk)?;
    let ends = segments.iter().next().zip(segments.iter().last());
    ends.map(|(first, last)| Ok((first.header.first_id, last.scan(|_| {})?.end_id))).transpose()
}

/// A segment of which neither the header nor the first frame can be read.
fn unreadable(&(first_id, bytes): &(RecordId, u64)) -> SegmentReport {
    let damage = vec![(0, bytes)];
    let content = Content { frames: 0, records: 0, end_id: first_id, used_bytes: 0, damage, torn: false };
    SegmentReport { first_id, bytes, content }
}
