//! The lock that keeps every other process out of a folder.
//!
//! Two locks are held, both with `flock`, which the system releases however the process ends:
//!
//! * on the folder itself. No other process can remove this lock: a process that opens the same
//!   folder, by whatever path, finds it.
//! * on the file `lock` in the folder, which is the only lock that earlier versions use. It is
//!   also the only lock on file systems that cannot lock a folder (NFS, where an exclusive lock
//!   requires a file that is open for writing).

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{FileStat, open_regular, stat};

const LOCK_FILE: &str = "lock";

/// A folder that this process has locked, until this value is dropped.
#[derive(Debug)]
pub struct FolderLock {
    path: PathBuf,
    /// The locked folder, open as long as the lock is held.
    folder: File,
    file: Mutex<LockFile>,
}

#[derive(Debug)]
struct LockFile {
    open: File,
    /// Another process created a lock file in place of this one: it may have used the folder.
    is_replaced: bool,
}

impl FolderLock {
    /// Locks an existing folder.
    pub fn take(path: &Path) -> Result<FolderLock, TryLockError> {
        let folder = File::open(path).map_err(TryLockError::Error)?;
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(TryLockError::WouldBlock),
            Err(TryLockError::Error(error)) => {
                tracing::debug!(%error, folder = %path.display(), "this file system cannot lock a folder");
            }
            Ok(()) => {}
        }
        let open =
            open_regular(File::options().create(true).truncate(false).write(true), &path.join(LOCK_FILE))
                .map_err(TryLockError::Error)?;
        open.try_lock()?;
        let file = Mutex::new(LockFile { open, is_replaced: false });
        Ok(FolderLock { path: path.to_owned(), folder, file })
    }

    /// Fails if the locked folder is no longer the one at the path, or if another process may have
    /// used the folder because the lock file was replaced. A lock file that was only removed is
    /// created again.
    pub fn check(&self) -> io::Result<()> {
        let locked = FileStat::from(self.folder.metadata()?);
        if !stat(&self.path)?.is_some_and(|now| now.is_same_file(&locked)) {
            return Err(io::Error::other(format!(
                "the data folder {} was moved, removed or replaced while the server was running; put it back, or start \
                 the server again",
                self.path.display()
            )));
        }
        let mut file = self.file();
        match stat(&self.path.join(LOCK_FILE))? {
            Some(now) if now.is_same_file(&file.open.metadata()?.into()) => {}
            None if !file.is_replaced => match self.make_file() {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => file.is_replaced = true,
                made => file.open = made?,
            },
            _ => file.is_replaced = true,
        }
        if !file.is_replaced {
            return Ok(());
        }
        // Fails even if the other process has ended, because it is unknown what it wrote.
        Err(io::Error::other(format!(
            "the lock file of the data folder {} was replaced while the server was running, so another process may \
             be using the folder; stop the other process and restart this server",
            self.path.display()
        )))
    }

    fn make_file(&self) -> io::Result<File> {
        let open = open_regular(OpenOptions::new().create_new(true).write(true), &self.path.join(LOCK_FILE))?;
        match open.try_lock() {
            Ok(()) => {
                tracing::warn!(folder = %self.path.display(), "the lock file was removed and has been created again");
                Ok(open)
            }
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The value is consistent even after a thread panicked, because it is assigned as a whole.
    fn file(&self) -> MutexGuard<'_, LockFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn is_held(path: &Path) -> bool {
        matches!(FolderLock::take(path), Err(TryLockError::WouldBlock))
    }

    #[test]
    fn lock_file_removed_still_refuses_a_second_process() {
        let folder = TempDir::new().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        fs::remove_file(folder.path().join("lock")).unwrap();
        assert!(is_held(folder.path()));
        drop(lock);
        assert!(!is_held(folder.path()));
    }

    #[test]
    fn lock_file_removed_is_made_and_locked_again() {
        let folder = TempDir::new().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        fs::remove_file(folder.path().join("lock")).unwrap();
        lock.check().unwrap();
        let file = File::options().write(true).open(folder.path().join("lock")).unwrap();
        assert!(
            matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
            "versions that lock this file alone"
        );
    }

    #[test]
    fn lock_file_replaced_fails_for_good() {
        let folder = TempDir::new().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        fs::remove_file(folder.path().join("lock")).unwrap();
        fs::write(folder.path().join("lock"), "").unwrap();
        assert!(lock.check().unwrap_err().to_string().contains("another process"));
        fs::remove_file(folder.path().join("lock")).unwrap();
        assert!(lock.check().is_err(), "the other process may have written meanwhile");
    }

    #[test]
    fn folder_replaced_fails_until_it_is_back() {
        let above = TempDir::new().unwrap();
        let [path, moved, other] = ["data", "moved", "other"].map(|name| above.path().join(name));
        fs::create_dir(&path).unwrap();
        let lock = FolderLock::take(&path).unwrap();
        fs::rename(&path, &moved).unwrap();
        assert!(lock.check().unwrap_err().to_string().contains("was moved, removed or replaced"));
        assert!(is_held(&moved));
        fs::create_dir(&path).unwrap();
        assert!(lock.check().is_err());
        fs::rename(&path, other).unwrap();
        fs::rename(&moved, &path).unwrap();
        lock.check().unwrap();
    }

    #[test]
    fn fifo_in_place_of_the_lock_file_fails_at_once() {
        let folder = TempDir::new().unwrap();
        let fifo = folder.path().join("lock");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(matches!(FolderLock::take(folder.path()), Err(TryLockError::Error(_))));
    }
}
