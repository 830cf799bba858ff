//! The location of a log file: its folder, its name in the folder, and the lock that excludes other
//! processes.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sidecar::{self, Sidecar};
use crate::disk::{Disk, Entry, Folder, open_regular};

/// The folder and the name of a log file.
#[derive(Clone)]
pub(super) struct LogPlace {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) name: String,
    /// Locked while the store exists. `None` for a disk that is not the operating system's.
    _lock: Option<Arc<File>>,
}

impl LogPlace {
    /// Opens the folder of a path, and locks the log file's `.position` file. Both are created if
    /// they are missing.
    pub(super) fn open(path: &Path) -> io::Result<LogPlace> {
        let path = resolve(path)?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut place = LogPlace::on(Arc::new(Folder::open(folder)?), &path)?;
        place._lock = lock(&folder.join(sidecar::name_of(&place.name)))?.map(Arc::new);
        Ok(place)
    }

    /// Returns the place on a disk that replaces the folder of a path.
    pub(super) fn on(disk: Arc<dyn Disk>, path: &Path) -> io::Result<LogPlace> {
        let name = path.file_name().and_then(OsStr::to_str).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidFilename, "the path does not end with a file name in UTF-8")
        })?;
        Sidecar::ensure(&*disk, name)?;
        Ok(LogPlace { disk, name: name.to_owned(), _lock: None })
    }

    /// Returns the file that has the name now.
    pub(super) fn entry(&self) -> io::Result<Option<Entry>> {
        Ok(self.disk.list()?.into_iter().find(|entry| entry.name == self.name))
    }

    /// Makes the name of a file durable.
    pub(super) fn keep_name(&self) -> io::Result<()> {
        self.disk.rename(&self.name, &self.name)
    }

    /// Creates an empty file with the name, durably. A file that another program creates at the
    /// same moment is used as it is.
    pub(super) fn create(&self) -> io::Result<Entry> {
        self.disk.open(&self.name)?;
        self.keep_name()?;
        self.entry()?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "it disappeared right after it was created")
        })
    }
}

/// Follows symbolic links, so that rotation renames the file and not the link.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let real = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path.to_owned()),
        result => result?,
    };
    if fs::metadata(&real)?.is_file() {
        return Ok(real);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is not a regular file, so lines cannot be kept exactly once",
    ))
}

/// Locks a file. Returns `None` if the file system does not support locks.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = open_regular(File::options().write(true), path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process writes to it"))
        }
        Err(TryLockError::Error(error)) => {
            tracing::warn!(%error, file = %path.display(), "the log file cannot be locked against other processes");
            Ok(None)
        }
    }
}
