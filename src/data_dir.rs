//! The data folder, which one process at a time may use.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{StoreConfig, is_store_name};
use crate::disk::{Folder, FolderLock, check_regular, create_folder, keep_name};
use crate::failure::Failure;
use crate::spool::inspect;
use crate::store::{self, Claims};

/// A data folder that is locked by this process.
pub(crate) struct DataDir {
    path: PathBuf,
    lock: Arc<FolderLock>,
}

impl DataDir {
    /// Creates the folder if it does not exist, and locks it.
    pub(crate) fn open(path: &Path) -> Result<DataDir, Failure> {
        let failed = || Failure::new(format!("cannot use the data folder {}", path.display()));
        create_folder(path).map_err(|error| failed().because(error).hint("--data-dir chooses another"))?;
        match FolderLock::take(path) {
            Ok(lock) => Ok(DataDir { path: path.to_owned(), lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(failed()
                .because("another process is using it")
                .hint("stop the other server, or set a different folder with --data-dir")),
            Err(TryLockError::Error(error)) => Err(failed()
                .because(error)
                .hint("this user needs write access to the folder and to its file `lock`")),
        }
    }

    /// Returns the path of the spool.
    pub(crate) fn spool(&self) -> PathBuf {
        self.path.join("spool")
    }

    /// Returns the spool's folder, created if it does not exist.
    pub(crate) fn spool_folder(&self) -> io::Result<Folder> {
        Ok(Folder::open(&self.spool())?.under_lock(Arc::clone(&self.lock)))
    }

    /// Returns the folder's record of the stores that it ships into, with the extent of its spool.
    pub(crate) fn claims(&self, stores: &[StoreConfig]) -> Result<Arc<Claims>, Failure> {
        let spool = self.spool();
        let spool = match spool.is_dir() {
            true => Folder::open_read_only(&spool).and_then(|disk| inspect::extent(&disk)),
            false => Ok(None),
        };
        let spool = spool.map_err(|error| {
            Failure::new(format!("cannot open the spool in {}", self.spool().display())).because(error)
        })?;
        let names = stores.iter().map(|store| store.name.clone()).collect();
        let claims = Folder::open(&self.path)
            .and_then(|disk| Claims::open(Arc::new(disk), spool, names))
            .map_err(|error| self.cannot_remember(error))?;
        for name in claims.adoptions_of_others() {
            tracing::warn!(store = name, "a store to be adopted is not in the configuration");
        }
        Ok(claims)
    }

    /// Makes the next start accept a store as it is; see [`store::adopt`].
    pub(crate) fn adopt(&self, store: &str) -> Result<(), Failure> {
        let adopted = Folder::open(&self.path).and_then(|disk| store::adopt(&disk, store));
        adopted.map_err(|error| self.cannot_remember(error))
    }

    pub(crate) fn cannot_remember(&self, error: io::Error) -> Failure {
        let hint = match error.kind() {
            io::ErrorKind::InvalidData => {
                "the file records which stores belong to this data folder: restore it, or remove it and adopt each \
                 store (`logboom store adopt \
                 NAME`)"
            }
            io::ErrorKind::Unsupported => "use the newer version of logboom",
            _ => "make room on its disk, and check that this user may write to the data folder",
        };
        Failure::new(format!("cannot use {}", self.path.join("claims").display())).because(error).hint(hint)
    }

    /// Returns the path of the default database.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("logboom.db")
    }

    /// Returns the name of this folder among all folders that write into one database: random,
    /// created once, and kept in the file `node`.
    pub(crate) fn node(&self) -> Result<String, Failure> {
        let path = self.path.join("node");
        let failed = |error: io::Error| {
            let what = format!("cannot use {}", path.display());
            Failure::new(what)
                .because(error)
                .hint("the file contains the name that identifies this server in a shared database")
        };
        check_regular(&path).map_err(failed)?;
        match fs::read_to_string(&path) {
            Ok(text) if is_store_name(text.trim()) => {
                // The process that created the file was perhaps killed before its name was durable.
                keep_name(&path).map_err(failed)?;
                Ok(text.trim().to_owned())
            }
            Ok(_) => Err(failed(io::Error::other("it does not contain a valid name"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_node(&path).map_err(failed),
            Err(error) => Err(failed(error)),
        }
    }

    /// Creates the file whole and durable, or not at all: if the name were lost with the power,
    /// everything would be sent twice.
    fn make_node(&self, path: &Path) -> io::Result<String> {
        let node = format!("{:08x}", RandomState::new().hash_one(()) as u32);
        let draft = self.path.join("node.new");
        let mut file = File::create(&draft)?;
        writeln!(file, "{node}")?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        keep_name(path)?;
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_name_survives_reopen() {
        let folders = [tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap()];
        let name = |folder: &tempfile::TempDir| DataDir::open(folder.path()).unwrap().node().unwrap();
        let names = folders.each_ref().map(name);
        assert_eq!(names, folders.each_ref().map(name));
        assert_ne!(names[0], names[1]);
        fs::write(folders[0].path().join("node"), "a readable-name\n").unwrap();
        assert!(DataDir::open(folders[0].path()).unwrap().node().is_err());
    }
}
