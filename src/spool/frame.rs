//! The byte layout of segment headers and frames. The parent module specifies the whole format.

use std::hash::{BuildHasher, RandomState};
use std::io;

use crate::disk::DiskFile;
use crate::limits::{COMMIT_BYTES_MAX, PAGE_READ_TRIES_MAX, RECORD_ID_MAX, SPOOL_SEGMENT_BYTES_MIN};
use crate::record::bytes::{u32_at, u64_at};
use crate::record::{RECORD_BYTES_MIN, RECORD_ENCODING, RecordId};

/// The size of a segment's header, and so the offset of its first frame.
pub(super) const SEGMENT_HEADER_BYTES: usize = 64;
/// The size of a frame's header, which precedes the payload.
pub(super) const FRAME_HEADER_BYTES: usize = 32;
/// Frames start at multiples of this.
const ALIGNMENT: u64 = 8;

/// Returns the largest number of ids that frames of this many bytes can hold: no record takes less
/// than the fixed part of its encoding.
pub(super) fn ids_max(bytes: u64) -> u64 {
    bytes / RECORD_BYTES_MIN
}

// The largest commit fits into the smallest segment, between the header and the copy of the header.
const _: () = assert!(
    COMMIT_BYTES_MAX + 2 * SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES <= SPOOL_SEGMENT_BYTES_MIN as usize
);

const MAGIC: &[u8; 8] = b"LOGBOOM\x01";
const CODEC_NONE: u8 = 0;

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Random, new for each use of a segment file, and repeated in each of its frames. So neither a
    /// frame from an earlier use of the file nor bytes in a client's message can pass for a frame.
    pub(super) salt: u64,
    /// The id that the first record of the first frame has or will have.
    pub(super) first_id: RecordId,
}

impl SegmentHeader {
    pub(super) fn new(first_id: RecordId) -> SegmentHeader {
        // The standard library's hasher is keyed from the operating system's randomness. The salt
        // is never zero (`| 1`), because zero would match blank space.
        SegmentHeader { salt: RandomState::new().hash_one(first_id) | 1, first_id }
    }

    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_id.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..24]);
        bytes[24..28].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header at an offset. Returns `None` if the header is damaged.
    pub(super) fn read(file: &dyn DiskFile, offset: u64) -> io::Result<Option<SegmentHeader>> {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let whole = read_past_damage(file, &mut bytes, offset)? == bytes.len();
        let intact = bytes[..7] == MAGIC[..7] && crc32c::crc32c(&bytes[..24]) == u32_at(&bytes, 24);
        if intact && bytes[7] != MAGIC[7] {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("the spool has format {}, this program supports format {}", bytes[7], MAGIC[7]),
            ));
        }
        let header = SegmentHeader { salt: u64_at(&bytes, 8), first_id: u64_at(&bytes, 16) };
        Ok((whole && intact).then_some(header))
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) salt: u64,
    pub(super) first_id: RecordId,
    /// Bytes of the payload.
    pub(super) length: u32,
    /// Records in the payload, at least one.
    pub(super) count: u32,
}

impl FrameHeader {
    /// Writes the header into the space before the payload, and pads the frame to the alignment.
    pub(super) fn seal(&self, frame: &mut Vec<u8>) {
        frame[..8].copy_from_slice(&self.salt.to_le_bytes());
        frame[8..16].copy_from_slice(&self.first_id.to_le_bytes());
        frame[16..20].copy_from_slice(&self.length.to_le_bytes());
        frame[20..24].copy_from_slice(&self.count.to_le_bytes());
        frame[24..28].copy_from_slice(&[CODEC_NONE, RECORD_ENCODING, 0, 0]);
        let checksum = checksum(&frame[..28], &frame[FRAME_HEADER_BYTES..]);
        frame[28..32].copy_from_slice(&checksum.to_le_bytes());
        frame.resize(frame.len().next_multiple_of(ALIGNMENT as usize), 0);
    }

    /// Returns the bytes that the frame takes in its segment.
    pub(super) fn size(&self) -> u64 {
        (FRAME_HEADER_BYTES as u64 + u64::from(self.length)).next_multiple_of(ALIGNMENT)
    }

    /// Returns the id after the frame's last record.
    pub(super) fn end_id(&self) -> RecordId {
        self.first_id + u64::from(self.count)
    }
}

/// Reads the frame at an offset and appends its payload to `out`. Returns `None` and leaves `out`
/// unchanged if no complete frame with this salt is there.
pub(super) fn read_frame(
    file: &dyn DiskFile,
    salt: u64,
    offset: u64,
    out: &mut Vec<u8>,
) -> io::Result<Option<FrameHeader>> {
    read_frame_by(|buffer, offset| read_past_damage(file, buffer, offset), salt, offset, out)
}

/// Like [`read_frame`], but fails where the disk cannot read.
pub(super) fn read_frame_strictly(
    file: &dyn DiskFile,
    salt: u64,
    offset: u64,
    out: &mut Vec<u8>,
) -> io::Result<Option<FrameHeader>> {
    let start = out.len();
    let result = read_frame_by(|buffer, offset| file.read_at(buffer, offset), salt, offset, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Returns the payload length of the frame at an offset, read from its header alone; 0 if the
/// header cannot be read or has another salt.
pub(super) fn payload_bytes_at(file: &dyn DiskFile, salt: u64, offset: u64) -> usize {
    let mut head = [0; 20];
    let is_read = file.read_at(&mut head, offset).is_ok_and(|read| read == head.len());
    if is_read && u64_at(&head, 0) == salt { u32_at(&head, 16) as usize } else { 0 }
}

/// Returns what is at an offset: no frame, a complete frame, a torn frame, or bytes that the disk
/// cannot read, so that it is unknown whether there is a frame.
pub(super) fn begun_frame(file: &dyn DiskFile, salt: u64, offset: u64) -> io::Result<Begun> {
    let mut found = [0; 8];
    let read_at = |buffer: &mut [u8], offset| read_with_retries(file, buffer, offset);
    match read_at(&mut found, offset).and_then(|_| read_frame_by(read_at, salt, offset, &mut Vec::new())) {
        Ok(Some(_)) => Ok(Begun::Whole),
        Ok(None) if found == salt.to_le_bytes() => Ok(Begun::Torn),
        Ok(None) => Ok(Begun::Nothing),
        Err(error) if is_damage(&error) => Ok(Begun::Unreadable),
        Err(error) => Err(error),
    }
}

/// The result of [`begun_frame`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Begun {
    #[default]
    Nothing,
    Whole,
    Torn,
    Unreadable,
}

fn read_frame_by(
    read_at: impl Fn(&mut [u8], u64) -> io::Result<usize>,
    salt: u64,
    offset: u64,
    out: &mut Vec<u8>,
) -> io::Result<Option<FrameHeader>> {
    let mut head = [0; FRAME_HEADER_BYTES];
    if read_at(&mut head, offset)? < head.len() {
        return Ok(None);
    }
    let header = FrameHeader {
        salt: u64_at(&head, 0),
        first_id: u64_at(&head, 8),
        length: u32_at(&head, 16),
        count: u32_at(&head, 20),
    };
    let plausible = header.salt == salt
        && header.length as usize <= COMMIT_BYTES_MAX
        && (1..=header.length).contains(&header.count)
        && header.first_id <= RECORD_ID_MAX
        && head[24..28] == [CODEC_NONE, RECORD_ENCODING, 0, 0];
    if !plausible {
        return Ok(None);
    }
    let start = out.len();
    // The buffer is reused, so doubling it would not pay off.
    out.reserve_exact(header.length as usize);
    out.resize(start + header.length as usize, 0);
    let read = read_at(&mut out[start..], offset + FRAME_HEADER_BYTES as u64)?;
    if read == header.length as usize && checksum(&head[..28], &out[start..]) == u32_at(&head, 28) {
        return Ok(Some(header));
    }
    out.truncate(start);
    Ok(None)
}

/// Finds the next complete frame with this salt at or after `offset`, to continue after damage. A
/// frame whose ids are not all below `end_id` is skipped: it belongs to a commit that failed.
pub(super) fn find_frame(
    file: &dyn DiskFile,
    salt: u64,
    mut offset: u64,
    end_id: RecordId,
) -> io::Result<Option<(u64, FrameHeader)>> {
    const WINDOW_BYTES: usize = 64 << 10;
    offset = offset.next_multiple_of(ALIGNMENT);
    let (mut window, mut payload) = (vec![0; WINDOW_BYTES], Vec::new());
    loop {
        let read = read_past_damage(file, &mut window, offset)?;
        for (place, word) in window[..read].chunks_exact(ALIGNMENT as usize).enumerate() {
            if word == salt.to_le_bytes() {
                let candidate = offset + place as u64 * ALIGNMENT;
                payload.clear();
                if let Some(header) = read_frame(file, salt, candidate, &mut payload)?
                    && header.end_id() <= end_id
                {
                    return Ok(Some((candidate, header)));
                }
            }
        }
        if read < window.len() {
            return Ok(None);
        }
        offset += read as u64;
    }
}

/// Reads like [`DiskFile::read_at`], but returns zeros where the disk cannot read: a bad sector is
/// then damage like any other, which checksums detect.
pub(super) fn read_past_damage(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    match file.read_at(buffer, offset) {
        Err(error) if is_damage(&error) => read_page_by_page(file, buffer, offset),
        result => result,
    }
}

/// Reads like [`DiskFile::read_at`], and retries at once if the disk cannot read: some errors are
/// transient.
pub(super) fn read_with_retries(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut tries = 1;
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if is_damage(&error) && tries < PAGE_READ_TRIES_MAX => tries += 1,
            result => return result,
        }
    }
}

fn read_page_by_page(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    const PAGE_BYTES: u64 = 4096;
    let mut done = 0;
    while done < buffer.len() {
        let start = offset + done as u64;
        let end = buffer.len().min(done + (PAGE_BYTES - start % PAGE_BYTES) as usize);
        let page = &mut buffer[done..end];
        let read = match read_with_retries(file, page, start) {
            Err(error) if is_damage(&error) => {
                page.fill(0);
                page.len()
            }
            result => result?,
        };
        done += read;
        if done < end {
            break;
        }
    }
    Ok(done)
}

/// Returns true if the error means that the disk could not read (`EIO`).
pub(super) fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(header), payload)
}
