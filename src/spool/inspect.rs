//! `logboom spool inspect` and `verify`: what a spool holds, without changing it and beside a running server.

use std::io;
use std::path::Path;

use super::segments::Segments;
use crate::disk::Folder;
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
    let segments = Segments::open_read_only(&Folder::open(folder)?)?;
    let total = segments.iter().map(super::Segment::bytes).sum();
    let mut done = 0;
    let mut reports = Vec::new();
    for segment in segments.iter() {
        let scan = segment.scan(|offset| progress(done + offset, total))?;
        let content = Content {
            frames: scan.frames,
            records: scan.records,
            end_id: scan.end_id,
            used_bytes: scan.end,
            damage: scan.damage,
            torn: scan.torn,
        };
        done += segment.bytes();
        progress(done, total);
        reports.push(SegmentReport { first_id: segment.header.first_id, bytes: segment.bytes(), content });
    }
    Ok(reports)
}
