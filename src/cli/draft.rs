//! A file that has another name until it is whole. What breaks off leaves nothing; what is killed leaves a draft, whose place the
//! next one takes.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::disk::keep_name;

/// A file on its way, which no other command takes for its own. Removed when it is dropped before it has got its name.
pub(super) struct Draft {
    pub(super) file: File,
    path: PathBuf,
}

impl Draft {
    /// Begins an empty one.
    pub(super) fn begin(path: PathBuf) -> io::Result<Draft> {
        match File::open(&path) {
            Ok(left) => {
                hold(&left, &path)?;
                // Not emptied: a command that was killed at its very end has given the same file its name.
                fs::remove_file(&path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = File::create_new(&path)?;
        hold(&file, &path)?;
        Ok(Draft { file, path })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it a name, durably, in the place of whatever has that.
    pub(super) fn replace(self, name: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        check_name(&self.file, &self.path)?;
        fs::rename(&self.path, name)?;
        keep_name(name)
    }

    /// Gives it a name that nothing has, durably.
    pub(super) fn name(self, name: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        check_name(&self.file, &self.path)?;
        give(&self.path, name, |from, to| fs::hard_link(from, to))?;
        keep_name(name)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if check_name(&self.file, &self.path).is_ok() {
            let _ = fs::remove_file(&self.path); // the next one does
        }
    }
}

/// Renames a file, but overwrites none. On a file system without links (those of USB sticks have none) this is as good as looking
/// first can be.
fn give(from: &Path, to: &Path, link: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    match link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(_) if fs::symlink_metadata(to).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

/// Locks a file for as long as it is open, unless another process has done so, or has given its name to another file meanwhile. Where
/// the file system knows no locks, nothing keeps two commands apart.
pub(super) fn hold(file: &File, path: &Path) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(is_held()),
        Ok(()) | Err(TryLockError::Error(_)) => check_name(file, path),
    }
}

fn check_name(file: &File, path: &Path) -> io::Result<()> {
    let (file, named) = (file.metadata()?, fs::symlink_metadata(path)?);
    if (file.dev(), file.ino()) == (named.dev(), named.ino()) { Ok(()) } else { Err(is_held()) }
}

fn is_held() -> io::Error {
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
    fn what_breaks_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut draft = Draft::begin(folder.path().join("a.partial")).unwrap();
        draft.file.write_all(b"the beginning").unwrap();
        assert_eq!(names(folder.path()), ["a.partial"]);
        drop(draft);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn two_never_write_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, name) = (folder.path().join("a.partial"), folder.path().join("a"));
        let first = Draft::begin(path.clone()).unwrap();
        assert_eq!(Draft::begin(path.clone()).err().unwrap().kind(), io::ErrorKind::ResourceBusy);
        // Whoever takes its place all the same does not get its name, and keeps its file.
        fs::remove_file(&path).unwrap();
        let second = Draft::begin(path).unwrap();
        assert_eq!(first.replace(&name).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(names(folder.path()), ["a.partial"]);
        second.name(&name).unwrap();
        assert_eq!(names(folder.path()), ["a"]);
    }

    /// Killed between the two steps of giving a name, it has both.
    #[test]
    fn what_was_killed_at_its_very_end_keeps_what_it_has_written() {
        let folder = tempfile::tempdir().unwrap();
        let (path, name) = (folder.path().join("a.partial"), folder.path().join("monday"));
        fs::write(&path, "whole").unwrap();
        fs::hard_link(&path, &name).unwrap();
        Draft::begin(path).unwrap().name(&folder.path().join("tuesday")).unwrap();
        assert_eq!(names(folder.path()), ["monday", "tuesday"]);
        assert_eq!(fs::read(&name).unwrap(), b"whole");
    }

    #[test]
    fn no_file_is_overwritten_be_there_links_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let (path, name) = (folder.path().join("a.partial"), folder.path().join("a"));
        let without_links = |_: &Path, _: &Path| Err(io::ErrorKind::PermissionDenied.into());
        for link in [None, Some(without_links)] {
            let give = |to: &Path| match link {
                Some(link) => give(&path, to, link),
                None => give(&path, to, |from, to| fs::hard_link(from, to)),
            };
            fs::write(&path, "new").unwrap();
            fs::write(&name, "old").unwrap();
            assert_eq!(give(&name).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&name).unwrap(), b"old");
            fs::remove_file(&name).unwrap();
            give(&name).unwrap();
            assert_eq!((fs::read(&name).unwrap(), path.exists()), (b"new".to_vec(), false));
        }
    }
}
