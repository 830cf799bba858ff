//! The files of the spool: which segments there are, which may be written again, and what was set aside as damaged.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use super::frame::{self, Begun, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::disk::{Disk, DiskFile, Entry, FileStat};
use crate::limits::{COPY_PIECE_BYTES, DAMAGES_MAX, FREE_SEGMENTS_MAX, QUARANTINE_BYTES_MAX, RECORD_ID_MAX};
use crate::record::RecordId;

/// One segment that holds, or is about to hold, records.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) header: SegmentHeader,
    pub(super) file: Arc<dyn DiskFile>,
    /// Which file that is.
    pub(super) stat: FileStat,
    bytes: u64,
}

/// What is at the name of a segment that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its file.
    InPlace,
    /// Its file, which somebody has cut.
    Cut,
    /// Nothing, or another file: what is in the segment is there only as long as it is open.
    Gone,
}

/// All files of the spool. Its lock is never held while a file is touched.
#[derive(Default)]
pub(super) struct Segments {
    /// In the order of their ids; the writer writes to the last.
    live: VecDeque<Segment>,
    /// Names and sizes of the files that may be written again.
    free: Vec<(String, u64)>,
    /// For naming free files.
    freed: u64,
    /// What was set aside: names and sizes of the files.
    quarantined: HashMap<String, u64>,
    /// First ids and sizes of the segments that were set aside as a whole.
    set_aside: Vec<(RecordId, u64)>,
    /// First ids and sizes of the segments without a readable header, where they could not be set aside.
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
    /// Finds the files of a folder; a segment that cannot be read at all is set aside.
    pub(super) fn open(disk: &dyn Disk) -> io::Result<Segments> {
        Segments::find(disk, true)
    }

    /// Finds the files of a folder, and leaves them as they are.
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
            // A server has given it up since the folder was listed.
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
            // A server has used the file anew since it was opened.
            None if SegmentHeader::read(&*file, 0)?.is_some() => {}
            None => self.unreadable.push((first_id, bytes)),
        }
        Ok(())
    }

    fn quarantine_file(&mut self, disk: &dyn Disk, name: &str, bytes: u64) -> io::Result<()> {
        let target = whole_quarantine_name(name);
        tracing::error!(file = target, bytes, "a spool segment has no readable header: it is set aside");
        disk.rename(name, &target)?;
        self.quarantined.insert(target, bytes);
        Ok(())
    }

    /// Notes a file that was set aside as a whole.
    pub(super) fn add_quarantined(&mut self, name: String, bytes: u64) {
        self.quarantined.insert(name, bytes);
    }

    /// A file to make a new segment of, and its size (0 if it is yet to be created). Fails where the ceiling leaves no
    /// room for one.
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

    /// Whether [`Segments::take_free`] would give a file.
    pub(super) fn has_room(&self, bytes: u64, bytes_max: u64) -> bool {
        !self.free.is_empty() || self.bytes() + bytes <= bytes_max
    }

    /// Keeps a file for later.
    pub(super) fn give_free(&mut self, name: String, bytes: u64) {
        self.free.push((name, bytes));
    }

    /// A segment that [`prepare`] made becomes the last. It takes the place of one that begins at the same id: no record is in
    /// that one.
    pub(super) fn push(&mut self, segment: Segment) {
        self.live.pop_back_if(|last| last.header.first_id == segment.header.first_id);
        self.live.push_back(segment);
    }

    /// Has a copy take the place of the segment that it was made of, unless that was released meanwhile.
    pub(super) fn replace(&mut self, copy: Segment) -> bool {
        let original = self.live.iter_mut().find(|segment| segment.header == copy.header);
        original.map(|segment| *segment = copy).is_some()
    }

    /// The segment that holds an id: the last one that does not start after it, else the oldest.
    pub(super) fn holding(&self, id: RecordId) -> Option<&Segment> {
        let after = self.live.partition_point(|segment| segment.header.first_id <= id);
        self.live.get(after.saturating_sub(1))
    }

    /// The segment that follows the one which starts at `first_id`.
    pub(super) fn following(&self, first_id: RecordId) -> Option<&Segment> {
        self.live.get(self.live.partition_point(|segment| segment.header.first_id <= first_id))
    }

    pub(super) fn unreadable(&self) -> &[(RecordId, u64)] {
        &self.unreadable
    }

    /// The id up to which segments that were set aside may have given ids, where none that can be read tells more. A file of
    /// which there is but an absurd name must not use up the ids: those in the upper half are not heeded.
    pub(super) fn floor(&self) -> RecordId {
        let last = self.last().map_or(0, |segment| segment.header.first_id);
        let ends =
            self.set_aside.iter().filter(|(first_id, _)| (last + 1..=RECORD_ID_MAX / 2).contains(first_id));
        ends.map(|(first_id, bytes)| first_id.saturating_add(frame::ids_max(*bytes))).max().unwrap_or(0)
    }

    pub(super) fn last(&self) -> Option<&Segment> {
        self.live.back()
    }

    /// Gives the last segment its full size again. One that was cut short and holds nothing may have no room for a frame;
    /// the next segment would then begin at the same id, and have the same name.
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

    /// Takes out the name and the size of a file that waits to be written again, for it is to be removed.
    pub(super) fn take_any_free(&mut self) -> Option<(String, u64)> {
        self.free.pop()
    }

    /// Takes out the oldest segment, if its records all have ids below `position`. The last one always stays. The files of those
    /// that do not begin behind `forget_below` are not kept.
    pub(super) fn take_released(&mut self, position: RecordId, forget_below: RecordId) -> Option<Released> {
        self.live.get(1).filter(|second| second.header.first_id <= position)?;
        let oldest = self.live.pop_front()?;
        self.freed += 1;
        let keep = self.free.len() < FREE_SEGMENTS_MAX && oldest.header.first_id > forget_below;
        Some(Released { free_name: keep.then(|| format!("{}.free", self.freed)), segment: oldest })
    }

    /// Notes a stretch that is about to be set aside, and tells for how many of its bytes there is room; `None` if it was
    /// set aside before, for another reader or in an earlier life of the program.
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

    /// Bytes on disk, quarantine not counted.
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

/// A segment that is no longer needed, and what becomes of its file.
pub(super) struct Released {
    pub(super) segment: Segment,
    /// The name under which it waits to be written again; `None` if it is to be removed.
    pub(super) free_name: Option<String>,
}

/// Makes a segment of a free file (or a new one), for records from `first_id` on. Durable on return.
pub(super) fn prepare(disk: &dyn Disk, name: &str, first_id: RecordId, bytes: u64) -> io::Result<Segment> {
    let header = SegmentHeader::new(first_id);
    let file = disk.open(name)?;
    file.set_length(bytes)?;
    file.write_at(&header.encode(), 0)?;
    file.write_at(&header.encode(), copy_offset(bytes))?;
    file.sync()?;
    disk.rename(name, &live_name(first_id))?;
    let stat = file.stat()?;
    Ok(Segment { header, file, stat, bytes })
}

/// Makes a free file (or a new one) a copy of a segment whose own file is gone. Durable on return.
pub(super) fn copy(disk: &dyn Disk, name: &str, segment: &Segment) -> io::Result<Segment> {
    let file = disk.open(name)?;
    file.set_length(segment.bytes)?;
    copy_stretch(segment, 0, segment.bytes, &*file)?;
    file.sync()?;
    disk.rename(name, &segment.name())?;
    let stat = file.stat()?;
    Ok(Segment { file, stat, ..segment.clone() })
}

/// Copies a stretch of a segment to the start of a file, with zeros for what cannot be read.
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

/// The header of a segment, wherever it is still to be read: a damaged one need not cost the segment.
fn find_header(file: &dyn DiskFile, first_id: RecordId, bytes: u64) -> io::Result<Option<SegmentHeader>> {
    for offset in [0, copy_offset(bytes)] {
        let header = SegmentHeader::read(file, offset)?;
        if header.is_some_and(|header| header.first_id == first_id) {
            return Ok(header);
        }
    }
    header_from_first_frame(file, first_id)
}

/// Where the copy of a segment's header stands.
fn copy_offset(bytes: u64) -> u64 {
    bytes.saturating_sub(SEGMENT_HEADER_BYTES as u64)
}

/// The first frame repeats the salt.
fn header_from_first_frame(file: &dyn DiskFile, first_id: RecordId) -> io::Result<Option<SegmentHeader>> {
    let mut salt = [0; 8];
    frame::read_past_damage(file, &mut salt, SEGMENT_HEADER_BYTES as u64)?;
    let salt = u64::from_le_bytes(salt);
    let frame = frame::read_frame(file, salt, SEGMENT_HEADER_BYTES as u64, &mut Vec::new())?;
    Ok(frame
        .filter(|frame| frame.first_id == first_id && salt != 0)
        .map(|_| SegmentHeader { salt, first_id }))
}

/// The file for something that is set aside as a whole.
pub(super) fn whole_quarantine_name(name: &str) -> String {
    format!("{name}.quarantine")
}

/// The file for a damaged stretch of a segment.
pub(super) fn quarantine_name(segment: &Segment, from: u64) -> String {
    format!("{:020}-{from}.quarantine", segment.header.first_id)
}

/// Copies a damaged stretch to a file of its own.
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

/// What one segment holds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Whole frames.
    pub(super) frames: u64,
    /// Their records.
    pub(super) records: u64,
    /// Damaged stretches between whole frames, and behind them where that cannot be read, as offsets.
    pub(super) damage: Vec<(u64, u64)>,
    /// The id after the last whole frame.
    pub(super) end_id: RecordId,
    /// Where the last whole frame starts and ends.
    pub(super) last: u64,
    /// See above.
    pub(super) end: u64,
    /// What was begun after it.
    pub(super) tail: Begun,
}

impl Segment {
    /// Reads every frame. `progress` is told the offset reached now and then.
    pub(super) fn scan(&self, mut progress: impl FnMut(u64)) -> io::Result<Scan> {
        let SegmentHeader { salt, first_id } = self.header;
        let mut scan = Scan { end_id: first_id, end: SEGMENT_HEADER_BYTES as u64, ..Scan::default() };
        let mut payload = Vec::new();
        loop {
            payload.clear();
            let Some((offset, header)) = self.next_frame(salt, scan.end, &mut payload)? else {
                scan.tail = frame::begun_frame(&*self.file, salt, scan.end)?;
                match scan.tail {
                    // It could not be read a moment ago, or a server has just written it.
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
            scan.end_id = scan.end_id.max(header.end_id()); // a disk may have put an old frame in the wrong place
            (scan.last, scan.end) = (offset, offset + header.size());
            progress(scan.end);
        }
    }

    /// The frame at an offset, else the next one behind it.
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
        // A server may have written while this process looked: what comes before a whole frame is whole by now, or damaged.
        let header = frame::read_frame(&*self.file, salt, offset, payload)?;
        Ok(Some(header.map_or(found, |header| (offset, header))))
    }

    /// Whether the file still is this segment: a server may have used it anew.
    pub(super) fn is_current(&self) -> io::Result<bool> {
        Ok(SegmentHeader::read(&*self.file, 0)?.is_none_or(|header| header == self.header))
    }

    /// Makes durable what was found, before anyone is told of it. The last frame is written again: it may have been read from
    /// memory only, after a failed sync the system forgets that it has yet to write it. The name may be as young: whoever
    /// gave it was perhaps killed before the folder was synced.
    pub(super) fn confirm(&self, disk: &dyn Disk, scan: &Scan) -> io::Result<()> {
        if scan.frames > 0 {
            let mut bytes = vec![0; (scan.end - scan.last) as usize];
            frame::read_with_retries(&*self.file, &mut bytes, scan.last)?;
            self.file.write_at(&bytes, scan.last)?;
        }
        if matches!(scan.tail, Begun::Nothing | Begun::Torn) && scan.end < self.frames_end() {
            // What is taken back is gone in memory, and may still be on the disk after a failed sync.
            self.file.write_at(&[0; 8], scan.end)?;
        }
        self.file.sync()?;
        let name = live_name(self.header.first_id);
        disk.rename(&name, &name)
    }

    /// The name of its file.
    pub(super) fn name(&self) -> String {
        live_name(self.header.first_id)
    }

    /// What is at its name now.
    pub(super) fn standing(&self, disk: &dyn Disk) -> io::Result<Standing> {
        Ok(match disk.stat(&self.name())? {
            Some(now) if !now.is_same_file(&self.stat) => Standing::Gone,
            Some(now) if now.bytes < self.bytes => Standing::Cut,
            Some(_) => Standing::InPlace,
            None => Standing::Gone,
        })
    }

    /// The size of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where the last frame must end.
    pub(super) fn frames_end(&self) -> u64 {
        copy_offset(self.bytes)
    }
}
