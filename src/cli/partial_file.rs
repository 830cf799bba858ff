//! Files that have a temporary name until they are complete. An aborted command removes its
//! partial; a killed command leaves its partial behind, and the next command replaces it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::disk::keep_name;

/// A file in progress, which no other command mistakes for its own. It is removed if it is dropped
/// before it has received its final name.
pub(crate) struct PartialFile {
    pub(crate) file: File,
    /// The temporary path.
    pub(crate) path: PathBuf,
}

impl PartialFile {
    /// Begins an empty partial.
    pub(crate) fn begin(path: PathBuf) -> io::Result<PartialFile> {
        match File::open(&path) {
            Ok(left) => {
                lock(&left, &path)?;
                // Removed instead of truncated: a command that was killed at its very end has
                // linked the same file under its final name.
                fs::remove_file(&path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = File::create_new(&path)?;
        lock(&file, &path)?;
        Ok(PartialFile { file, path })
    }

    /// Renames the partial to `name`, durably, replacing an existing file of that name.
    pub(crate) fn persist(self, name: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        check_name(&self.file, &self.path)?;
        fs::rename(&self.path, name)?;
        keep_name(name)
    }

    /// Renames the partial to `name`, durably; fails if a file of that name exists.
    pub(crate) fn persist_new(self, name: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        check_name(&self.file, &self.path)?;
        rename_new(&self.path, name, |from, to| fs::hard_link(from, to))?;
        keep_name(name)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if check_name(&self.file, &self.path).is_ok() {
            let _ = fs::remove_file(&self.path); // if this fails, the next command removes it
        }
    }
}

/// Renames a file without overwriting an existing one. On a file system without hard links (as on
/// USB sticks), this is only as reliable as a check before the rename.
fn rename_new(from: &Path, to: &Path, link: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    match link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(_) if fs::symlink_metadata(to).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

/// Locks a file for as long as it is open. Fails if another process holds the lock, or has given
/// the name to another file in the meantime. Where the file system does not support locks, nothing
/// prevents two commands from writing one file.
pub(crate) fn lock(file: &File, path: &Path) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(in_use()),
        Ok(()) | Err(TryLockError::Error(_)) => check_name(file, path),
    }
}

fn check_name(file: &File, path: &Path) -> io::Result<()> {
    let (file, named) = (file.metadata()?, fs::symlink_metadata(path)?);
    if (file.dev(), file.ino()) == (named.dev(), named.ino()) { Ok(()) } else { Err(in_use()) }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "another command is writing it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn dropped_partial_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = PartialFile::begin(folder.path().join("a.partial")).unwrap();
        partial.file.write_all(b"the beginning").unwrap();
        assert_eq!(names(folder.path()), ["a.partial"]);
        drop(partial);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn partial_is_never_written_by_two_commands() {
        let folder = tempfile::tempdir().unwrap();
        let (path, name) = (folder.path().join("a.partial"), folder.path().join("a"));
        let first = PartialFile::begin(path.clone()).unwrap();
        assert_eq!(PartialFile::begin(path.clone()).err().unwrap().kind(), io::ErrorKind::ResourceBusy);
        // If another command has taken over the name all the same, the first command neither
        // publishes nor removes the file of the second.
        fs::remove_file(&path).unwrap();
        let second = PartialFile::begin(path).unwrap();
        assert_eq!(first.persist(&name).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(names(folder.path()), ["a.partial"]);
        second.persist_new(&name).unwrap();
        assert_eq!(names(folder.path()), ["a"]);
    }

    /// A command that is killed between the two steps of renaming leaves the file with both names.
    #[test]
    fn partial_with_final_name_keeps_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let (path, name) = (folder.path().join("a.partial"), folder.path().join("monday"));
        fs::write(&path, "whole").unwrap();
        fs::hard_link(&path, &name).unwrap();
        PartialFile::begin(path).unwrap().persist_new(&folder.path().join("tuesday")).unwrap();
        assert_eq!(names(folder.path()), ["monday", "tuesday"]);
        assert_eq!(fs::read(&name).unwrap(), b"whole");
    }

    #[test]
    fn rename_never_overwrites_with_or_without_links() {
        let folder = tempfile::tempdir().unwrap();
        let (path, name) = (folder.path().join("a.partial"), folder.path().join("a"));
        let without_links = |_: &Path, _: &Path| Err(io::ErrorKind::PermissionDenied.into());
        for link in [None, Some(without_links)] {
            let rename = |to: &Path| match link {
                Some(link) => rename_new(&path, to, link),
                None => rename_new(&path, to, |from, to| fs::hard_link(from, to)),
            };
            fs::write(&path, "new").unwrap();
            fs::write(&name, "old").unwrap();
            assert_eq!(rename(&name).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&name).unwrap(), b"old");
            fs::remove_file(&name).unwrap();
            rename(&name).unwrap();
            assert_eq!((fs::read(&name).unwrap(), path.exists()), (b"new".to_vec(), false));
        }
    }
}
