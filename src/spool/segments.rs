//! The files of the spool: segments, free files for reuse, and quarantined data.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use super::frame::{self, Begun, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::disk::{Disk, DiskFile, Entry, FileStat};
use crate::limits::{COPY_PIECE_BYTES, DAMAGES_MAX, FREE_SEGMENTS_MAX, QUARANTINE_BYTES_MAX, RECORD_ID_MAX};
use crate::record::RecordId;

/// A segment that holds records or is about to hold some.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) header: SegmentHeader,
    pub(super) file: Arc<dyn DiskFile>,
    /// The identity of the file.
    pub(super) stat: FileStat,
    bytes: u64,
}

/// What is at the name of an open segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The segment's file.
    InPlace,
    /// The segment's file, truncated by another process.
    Cut,
    /// No file or another file: the segment's records exist only as long as its file is open.
    Gone,
}

/// All files of the spool. The lock around this value is never held during file I/O.
#[derive(Default)]
pub(super) struct Segments {
    /// Segments in the order of their ids. The writer writes to the last one.
    live: VecDeque<Segment>,
    /// Names and sizes of the files for reuse.
    free: Vec<(String, u64)>,
    /// The number in the name of the latest free file.
    freed: u64,
    /// Names and sizes of the files in quarantine.
    quarantined: HashMap<String, u64>,
    /// First ids and sizes of the segments that were quarantined as a whole.
    set_aside: Vec<(RecordId, u64)>,
    /// First ids and sizes of the segments without a readable header that could not be quarantined.
    unreadable: Vec<(RecordId, u64)>,
}

fn live_name(first_id: RecordId) -> String {
    format!("{first_id:020}.segment")
}

fn first_id_of(name: &str) -> Option<RecordId> {
    let digits = name.strip_suffix(".segment").filter(|digits| digits.len() == 20)?;
    digits.parse().ok().filter(|first_id| *first_id <= RECORD_ID_MAX)
}

impl Segments {
    /// Finds the files of a folder. Quarantines a segment that cannot be read at all.
    pub(super) fn open(disk: &dyn Disk) -> io::Result<Segments> {
        Segments::find(disk, true)
    }

    /// Finds the files of a folder and changes nothing.
    pub(super) fn open_read_only(disk: &dyn Disk) -> io::Result<Segments> {
        Segments::find(disk, false)
    }

    fn find(disk: &dyn Disk, may_change: bool) -> io::Result<Segments> {
        let mut segments = Segments::default();
        let mut found = disk.list()?;
        found.sort_by(|one, other| one.name.cmp(&other.name));
        for Entry { name, bytes, .. } in found {
            if let Some(first_id) = first_id_of(&name) {
                segments.open_live(disk, &name, first_id, bytes, may_change)?;
            } else if let Some(number) = name.strip_suffix(".free").and_then(|number| number.parse().ok()) {
                segments.freed = segments.freed.max(number);
                segments.free.push((name, bytes));
            } else if let Some(origin) = name.strip_suffix(".quarantine") {
                segments.set_aside.extend(first_id_of(origin).map(|first_id| (first_id, bytes)));
                segments.quarantined.insert(name, bytes);
            }
        }
        Ok(segments)
    }

    fn open_live(
        &mut self,
        disk: &dyn Disk,
        name: &str,
        first_id: RecordId,
        bytes: u64,
        may_change: bool,
    ) -> io::Result<()> {
        let file = match disk.open(name) {
            // A server has freed the segment since the folder was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !may_change => return Ok(()),
            file => file?,
        };
        match find_header(&*file, first_id, bytes)? {
            Some(header) => {
                let stat = file.stat()?;
                self.live.push_back(Segment { header, file, stat, bytes });
            }
            None if may_change => {
                self.quarantine_file(disk, name, bytes)?;
                self.set_aside.push((first_id, bytes));
            }
            // A server has reused the file since it was opened.
            None if SegmentHeader::read(&*file, 0)?.is_some() => {}
            None => self.unreadable.push((first_id, bytes)),
        }
        Ok(())
    }

    fn quarantine_file(&mut self, disk: &dyn Disk, name: &str, bytes: u64) -> io::Result<()> {
        let target = whole_quarantine_name(name);
        tracing::error!(file = target, bytes, "a spool segment has no readable header and was quarantined");
        disk.rename(name, &target)?;
        self.quarantined.insert(target, bytes);
        Ok(())
    }

    /// Registers a file that was quarantined as a whole.
    pub(super) fn add_quarantined(&mut self, name: String, bytes: u64) {
        self.quarantined.insert(name, bytes);
    }

    /// Returns the name and size of a file for a new segment (size 0 if the file does not exist
    /// yet). Fails if the ceiling leaves no room for another file.
    pub(super) fn take_free(&mut self, bytes: u64, bytes_max: u64) -> io::Result<(String, u64)> {
        if let Some(free) = self.free.pop() {
            return Ok(free);
        }
        if self.bytes() + bytes > bytes_max {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.freed += 1;
        Ok((format!("{}.free", self.freed), 0))
    }

    /// Returns true if [`Segments::take_free`] would return a file.
    pub(super) fn has_room(&self, bytes: u64, bytes_max: u64) -> bool {
        !self.free.is_empty() || self.bytes() + bytes <= bytes_max
    }

    /// Keeps a file for reuse.
    pub(super) fn give_free(&mut self, name: String, bytes: u64) {
        self.free.push((name, bytes));
    }

    /// Makes a segment from [`prepare`] the last one. It replaces a segment that begins at the same
    /// id, which holds no record.
    pub(super) fn push(&mut self, segment: Segment) {
        self.live.pop_back_if(|last| last.header.first_id == segment.header.first_id);
        self.live.push_back(segment);
    }

    /// Replaces a segment by its copy. Returns false if the segment was released before.
    pub(super) fn replace(&mut self, copy: Segment) -> bool {
        let original = self.live.iter_mut().find(|segment| segment.header == copy.header);
        original.map(|segment| *segment = copy).is_some()
    }

    /// Returns the segment that holds an id: the last one that does not begin after the id,
    /// otherwise the oldest.
    pub(super) fn holding(&self, id: RecordId) -> Option<&Segment> {
        let after = self.live.partition_point(|segment| segment.header.first_id <= id);
        self.live.get(after.saturating_sub(1))
    }

    /// Returns the segment that follows the one that begins at `first_id`.
    pub(super) fn following(&self, first_id: RecordId) -> Option<&Segment> {
        self.live.get(self.live.partition_point(|segment| segment.header.first_id <= first_id))
    }

    pub(super) fn unreadable(&self) -> &[(RecordId, u64)] {
        &self.unreadable
    }

    /// Returns the id up to which quarantined segments behind the last readable one may have
    /// assigned ids. First ids in the upper half of the range are ignored: a file that has only an
    /// absurd name must not use up the ids.
    pub(super) fn floor(&self) -> RecordId {
        let last = self.last().map_or(0, |segment| segment.header.first_id);
        let ends =
            self.set_aside.iter().filter(|(first_id, _)| (last + 1..=RECORD_ID_MAX / 2).contains(first_id));
        ends.map(|(first_id, bytes)| first_id.saturating_add(frame::ids_max(*bytes))).max().unwrap_or(0)
    }

    pub(super) fn last(&self) -> Option<&Segment> {
        self.live.back()
    }

    /// Extends the last segment to its full size. A truncated segment without records may have no
    /// room for a frame; the next segment would then begin at the same id and have the same name.
    pub(super) fn grow_last(&mut self, bytes: u64) -> io::Result<()> {
        if let Some(last) = self.live.back_mut().filter(|last| last.bytes < bytes) {
            last.file.set_length(bytes)?;
            last.bytes = bytes;
        }
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.live.iter()
    }

    /// Takes the name and the size of a free file, which is to be removed.
    pub(super) fn take_any_free(&mut self) -> Option<(String, u64)> {
        self.free.pop()
    }

    /// Takes the oldest segment if all its records have ids below `position`. The last segment
    /// always stays, and so does the one before it while a record from `followed` on is in it.
    /// Segments that begin at or below `forget_below` do not stay for that reason, and their files
    /// are not kept for reuse.
    pub(super) fn take_released(
        &mut self,
        position: RecordId,
        followed: RecordId,
        forget_below: RecordId,
    ) -> Option<Released> {
        let begins_at = |index: usize| self.live.get(index).map(|segment| segment.header.first_id);
        let end = begins_at(1).filter(|end| *end <= position)?;
        let is_last_released = begins_at(2).is_none_or(|end| end > position);
        if is_last_released && end > followed && begins_at(0).is_some_and(|first| first > forget_below) {
            return None;
        }
        let oldest = self.live.pop_front()?;
        self.freed += 1;
        let keep = self.free.len() < FREE_SEGMENTS_MAX && oldest.header.first_id > forget_below;
        Some(Released { free_name: keep.then(|| format!("{}.free", self.freed)), segment: oldest })
    }

    /// Registers a range that is about to be quarantined, and returns for how many of its bytes
    /// there is room. Returns `None` if the range was quarantined before, for another reader or by
    /// an earlier run of the program.
    pub(super) fn reserve_quarantine(&mut self, name: &str, bytes: u64) -> Option<u64> {
        if self.quarantined.contains_key(name) {
            return None;
        }
        if self.quarantined.len() >= DAMAGES_MAX {
            return Some(0);
        }
        let room = bytes.min(QUARANTINE_BYTES_MAX.saturating_sub(self.quarantined_bytes()));
        self.quarantined.insert(name.to_owned(), room);
        Some(room)
    }

    /// Returns the bytes on disk, quarantine not counted.
    pub(super) fn bytes(&self) -> u64 {
        let live: u64 = self.live.iter().map(|segment| segment.bytes).sum();
        live + self.free.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    pub(super) fn quarantined_bytes(&self) -> u64 {
        self.quarantined.values().sum()
    }

    pub(super) fn count(&self) -> usize {
        self.live.len()
    }
}

/// A segment that is no longer needed, and the fate of its file.
pub(super) struct Released {
    pub(super) segment: Segment,
    /// The name under which the file is kept for reuse; `None` if the file is to be removed.
    pub(super) free_name: Option<String>,
}

/// Turns a free file (or a new one) into a segment for records from `first_id` on. Durable on
/// return.
pub(super) fn prepare(disk: &dyn Disk, name: &str, first_id: RecordId, bytes: u64) -> io::Result<Segment> {
    let header = SegmentHeader::new(first_id);
    create(disk, name, header, bytes, |file| {
        file.write_at(&header.encode(), 0)?;
        file.write_at(&header.encode(), copy_offset(bytes))
    })
}

/// Turns a free file (or a new one) into a copy of a segment whose own file is gone. Durable on
/// return.
pub(super) fn copy(disk: &dyn Disk, name: &str, segment: &Segment) -> io::Result<Segment> {
    create(disk, name, segment.header, segment.bytes, |file| copy_stretch(segment, 0, segment.bytes, file))
}

/// Turns a file into a segment whose content `write` writes.
fn create(
    disk: &dyn Disk,
    name: &str,
    header: SegmentHeader,
    bytes: u64,
    write: impl FnOnce(&dyn DiskFile) -> io::Result<()>,
) -> io::Result<Segment> {
    let file = disk.open(name)?;
    file.set_length(bytes)?;
    write(&*file)?;
    file.sync()?;
    disk.rename(name, &live_name(header.first_id))?;
    let stat = file.stat()?;
    Ok(Segment { header, file, stat, bytes })
}

/// Copies a range of a segment to the start of a file, with zeros for bytes that cannot be read.
fn copy_stretch(segment: &Segment, from: u64, to: u64, target: &dyn DiskFile) -> io::Result<()> {
    let mut buffer = vec![0; COPY_PIECE_BYTES];
    let mut offset = from;
    while offset < to {
        let wanted = buffer.len().min((to - offset) as usize);
        let read = frame::read_past_damage(&*segment.file, &mut buffer[..wanted], offset)?;
        if read == 0 {
            break;
        }
        target.write_at(&buffer[..read], offset - from)?;
        offset += read as u64;
    }
    Ok(())
}

/// Returns the header of a segment from any place where it can still be read: a damaged header need
/// not cost the segment.
fn find_header(file: &dyn DiskFile, first_id: RecordId, bytes: u64) -> io::Result<Option<SegmentHeader>> {
    for offset in [0, copy_offset(bytes)] {
        let header = SegmentHeader::read(file, offset)?;
        if header.is_some_and(|header| header.first_id == first_id) {
            return Ok(header);
        }
    }
    header_from_first_frame(file, first_id)
}

/// Returns the offset of the copy of a segment's header.
fn copy_offset(bytes: u64) -> u64 {
    bytes.saturating_sub(SEGMENT_HEADER_BYTES as u64)
}

/// Restores the header from the first frame, which repeats the salt.
fn header_from_first_frame(file: &dyn DiskFile, first_id: RecordId) -> io::Result<Option<SegmentHeader>> {
    let mut salt = [0; 8];
    frame::read_past_damage(file, &mut salt, SEGMENT_HEADER_BYTES as u64)?;
    let salt = u64::from_le_bytes(salt);
    let frame = frame::read_frame(file, salt, SEGMENT_HEADER_BYTES as u64, &mut Vec::new())?;
    Ok(frame
        .filter(|frame| frame.first_id == first_id && salt != 0)
        .map(|_| SegmentHeader { salt, first_id }))
}

/// Returns the name of the quarantine file for a whole file.
pub(super) fn whole_quarantine_name(name: &str) -> String {
    format!("{name}.quarantine")
}

/// Returns the name of the quarantine file for a damaged range of a segment.
pub(super) fn quarantine_name(segment: &Segment, from: u64) -> String {
    format!("{:020}-{from}.quarantine", segment.header.first_id)
}

/// Copies a damaged range to a file of its own.
pub(super) fn quarantine(
    disk: &dyn Disk,
    name: &str,
    segment: &Segment,
    from: u64,
    to: u64,
) -> io::Result<()> {
    let target = disk.open(name)?;
    copy_stretch(segment, from, to, &*target)?;
    target.sync()
}

/// The content of one segment.
#[derive(Debug, Default)]
pub(super) struct SegmentScan {
    /// Complete frames.
    pub(super) frames: u64,
    /// Records in these frames.
    pub(super) records: u64,
    /// Damaged ranges between complete frames, as offsets. Also the range after the last one, if it
    /// cannot be read.
    pub(super) damage: Vec<(u64, u64)>,
    /// The id after the last complete frame.
    pub(super) end_id: RecordId,
    /// The offset of the last complete frame.
    pub(super) last: u64,
    /// The offset of the end of the last complete frame.
    pub(super) end: u64,
    /// What follows the last complete frame.
    pub(super) tail: Begun,
}

impl Segment {
    /// Reads every frame. Calls `progress` now and then with the offset reached.
    pub(super) fn scan(&self, mut progress: impl FnMut(u64)) -> io::Result<SegmentScan> {
        let SegmentHeader { salt, first_id } = self.header;
        let mut scan =
            SegmentScan { end_id: first_id, end: SEGMENT_HEADER_BYTES as u64, ..SegmentScan::default() };
        let mut payload = Vec::new();
        loop {
            payload.clear();
            let Some((offset, header)) = self.next_frame(salt, scan.end, &mut payload)? else {
                scan.tail = frame::begun_frame(&*self.file, salt, scan.end)?;
                match scan.tail {
                    // The frame was unreadable a moment ago, or a server has just written it.
                    Begun::Whole => continue,
                    Begun::Unreadable => scan.damage.push((scan.end, self.bytes)),
                    Begun::Nothing | Begun::Torn => {}
                }
                return Ok(scan);
            };
            if offset != scan.end {
                scan.damage.push((scan.end, offset));
            }
            scan.frames += 1;
            scan.records += u64::from(header.count);
            // A disk may have put an old frame in the wrong place.
            scan.end_id = scan.end_id.max(header.end_id());
            (scan.last, scan.end) = (offset, offset + header.size());
            progress(scan.end);
        }
    }

    /// Returns the frame at an offset, otherwise the next one after it.
    fn next_frame(
        &self,
        salt: u64,
        offset: u64,
        payload: &mut Vec<u8>,
    ) -> io::Result<Option<(u64, FrameHeader)>> {
        if let Some(header) = frame::read_frame(&*self.file, salt, offset, payload)? {
            return Ok(Some((offset, header)));
        }
        let Some(found) = frame::find_frame(&*self.file, salt, offset, RecordId::MAX)? else {
            return Ok(None);
        };
        // A server may have written during the search: the bytes before a complete frame are by now
        // a complete frame, too, or damaged.
        let header = frame::read_frame(&*self.file, salt, offset, payload)?;
        Ok(Some(header.map_or(found, |header| (offset, header))))
    }

    /// Returns true if the file still holds this segment: a server may have reused it.
    pub(super) fn is_current(&self) -> io::Result<bool> {
        Ok(SegmentHeader::read(&*self.file, 0)?.is_none_or(|header| header == self.header))
    }

    /// Makes the scanned state durable before it is reported to anyone. The last frame is written
    /// again: it may have been read from memory only, and after a failed sync the system no longer
    /// considers it unwritten. The name may not be durable either: the process that assigned it may
    /// have been killed before it synced the folder.
    pub(super) fn confirm(&self, disk: &dyn Disk, scan: &SegmentScan) -> io::Result<()> {
        if scan.frames > 0 {
            let mut bytes = vec![0; (scan.end - scan.last) as usize];
            frame::read_with_retries(&*self.file, &mut bytes, scan.last)?;
            self.file.write_at(&bytes, scan.last)?;
        }
        if matches!(scan.tail, Begun::Nothing | Begun::Torn) && scan.end < self.frames_end() {
            // A frame that was taken back is gone in memory, but may still be on the disk after a
            // failed sync.
            self.file.write_at(&[0; 8], scan.end)?;
        }
        self.file.sync()?;
        let name = live_name(self.header.first_id);
        disk.rename(&name, &name)
    }

    /// Returns the name of the segment's file.
    pub(super) fn name(&self) -> String {
        live_name(self.header.first_id)
    }

    /// Returns what is at the segment's name now.
    pub(super) fn standing(&self, disk: &dyn Disk) -> io::Result<Standing> {
        Ok(match disk.stat(&self.name())? {
            Some(now) if !now.is_same_file(&self.stat) => Standing::Gone,
            Some(now) if now.bytes < self.bytes => Standing::Cut,
            Some(_) => Standing::InPlace,
            None => Standing::Gone,
        })
    }

    /// Returns the size of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the offset at which the last frame must end at the latest.
    pub(super) fn frames_end(&self) -> u64 {
        copy_offset(self.bytes)
    }
}
