//! A folder of files in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use logboom::disk::{Disk, DiskFile, Entry, FileStat};

type Content = Arc<File>;

/// A file.
#[derive(Debug, Default)]
pub struct File(Mutex<Vec<u8>>);

/// The folder.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    files: Mutex<BTreeMap<String, Content>>,
}

impl MemoryDisk {
    /// Returns the names of all files, in order.
    pub fn names(&self) -> Vec<String> {
        lock(&self.files).keys().cloned().collect()
    }

    /// Returns the content of a file, or nothing if the file does not exist.
    pub fn content(&self, name: &str) -> Vec<u8> {
        lock(&self.files).get(name).map_or_else(Vec::new, |file| lock(&file.0).clone())
    }

    /// Adds a file, or replaces another.
    pub fn put(&self, name: &str, content: Vec<u8>) {
        lock(&self.files).insert(name.to_owned(), Arc::new(File(Mutex::new(content))));
    }

    /// Removes a file.
    pub fn take(&self, name: &str) {
        lock(&self.files).remove(name);
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let files = lock(&self.files);
        let entry = |(identity, (name, file)): (usize, (&String, &Content))| Entry {
            name: name.clone(),
            bytes: lock(&file.0).len() as u64,
            identity: identity as u64,
        };
        Ok(files.iter().enumerate().map(entry).collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::clone(lock(&self.files).entry(name.to_owned()).or_default()) as Arc<dyn DiskFile>)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = lock(&self.files);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.files).remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn stat(&self, name: &str) -> io::Result<Option<FileStat>> {
        lock(&self.files).get(name).map(|file| file.stat()).transpose()
    }

    fn check_lock(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = lock(&self.0);
        let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = lock(&self.0);
        let start = offset as usize;
        let length = content.len().max(start + bytes.len());
        content.resize(length, 0);
        content[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        lock(&self.0).resize(length as usize, 0);
        Ok(())
    }

    fn stat(&self) -> io::Result<FileStat> {
        // The address distinguishes a file from others, as long as it is open.
        Ok(FileStat { device: 0, inode: std::ptr::from_ref(self) as u64, bytes: lock(&self.0).len() as u64 })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
