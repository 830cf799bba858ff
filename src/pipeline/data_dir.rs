//! The data folder, which one process at a time may use.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A data folder that this process holds.
pub(super) struct DataDir {
    path: PathBuf,
    /// Locked while it is open; the system lets go of it however the process ends.
    _lock: File,
}

impl DataDir {
    /// Creates the folder when it is not there, and locks it.
    pub(super) fn open(path: &Path) -> Result<DataDir, Failure> {
        let failed = || Failure::new(format!("cannot use the data folder {}", path.display()));
        fs::create_dir_all(path)
            .map_err(|error| failed().because(error).hint("--data-dir chooses another"))?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(|error| failed().because(error).hint("this user must be able to write to it"))?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDir { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(failed()
                .because("another process is using it")
                .hint("stop the other server, or give this one a folder of its own with --data-dir")),
            Err(TryLockError::Error(error)) => Err(failed().because(error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the spool is.
    pub(super) fn spool(&self) -> PathBuf {
        self.path.join("spool")
    }
}
