//! The first bytes of a log file, recorded before they are written.
//!
//! A file that is recorded as empty has no last bytes by which it can be identified, and an inode
//! number alone proves nothing: the inode number of a removed file is reused for the next file that
//! any program creates. So before the first line is written to an empty file, its first bytes are
//! written to the `.position` file, then to the log file, and are made durable there before
//! anything follows them. After a crash, a file that is recorded as empty is cut only if it begins
//! with these bytes. (Under the log file's own name it may also contain fewer of these bytes, or
//! zeros in their place, as a torn write leaves it: what is cut then is written again at once.)

use std::io;

use crate::disk::DiskFile;

/// The maximum number of bytes that are recorded: if a time is among them, no other file begins
/// with the same bytes. A part of the `.position` file's format.
pub(super) const BEGINNING_BYTES_MAX: usize = 64;

/// The first bytes that a log file will have; empty while they are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    bytes: [u8; BEGINNING_BYTES_MAX],
    length: usize,
}

impl Default for Beginning {
    fn default() -> Beginning {
        Beginning { bytes: [0; BEGINNING_BYTES_MAX], length: 0 }
    }
}

impl Beginning {
    /// Returns the beginning of these lines.
    pub(super) fn of(lines: &[u8]) -> Beginning {
        let mut beginning =
            Beginning { length: lines.len().min(BEGINNING_BYTES_MAX), ..Beginning::default() };
        beginning.bytes[..beginning.length].copy_from_slice(&lines[..beginning.length]);
        beginning
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Returns true if a file begins with these bytes.
    pub(super) fn is_in(&self, file: &dyn DiskFile) -> io::Result<bool> {
        let found = self.read(file)?;
        Ok(self.length > 0 && found == self.bytes())
    }

    /// Returns true if a file may be what a crash left of these bytes, before anything followed
    /// them: the end is missing, or zeros are in the place of bytes that did not reach the disk.
    pub(super) fn is_torn_in(&self, file: &dyn DiskFile, length: u64) -> io::Result<bool> {
        let found = self.read(file)?;
        let fits = |(found, written): (&u8, &u8)| found == written || *found == 0;
        Ok(length <= self.length as u64 && found.iter().zip(self.bytes()).all(fits))
    }

    fn read(&self, file: &dyn DiskFile) -> io::Result<Vec<u8>> {
        let mut found = vec![0; self.length];
        let read = file.read_at(&mut found, 0)?;
        found.truncate(read);
        Ok(found)
    }
}
