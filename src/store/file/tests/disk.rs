//! A disk in memory that keeps durable content apart from other content, and can be made to crash
//! or to be full.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile, Entry, FileStat};

/// What a crash destroys of the content that was not made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing: the program stopped, the machine did not.
    Nothing,
    /// All of it.
    All,
    /// Half of what was appended.
    Half,
}

#[derive(Clone, Default)]
pub(super) struct MemoryDisk(Arc<Mutex<DiskContent>>);

#[derive(Default)]
pub(super) struct DiskContent {
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    files: BTreeMap<u64, Bytes>,
    /// Number of changes until the crash.
    changes_left: Option<u64>,
    /// Maximum number of bytes in all files together.
    capacity: Option<usize>,
    /// Whether bytes were written over others.
    pub(super) overwritten: bool,
}

#[derive(Clone, Default)]
struct Bytes {
    live: Vec<u8>,
    durable: Vec<u8>,
}

struct MemoryFile {
    disk: MemoryDisk,
    identity: u64,
}

impl MemoryDisk {
    pub(super) fn content(&self) -> MutexGuard<'_, DiskContent> {
        self.0.lock().unwrap()
    }

    /// Makes every change after this many fail. The change at the limit is half done.
    pub(super) fn crash_after(&self, changes: u64) {
        self.content().changes_left = Some(changes);
    }

    pub(super) fn set_capacity(&self, bytes: Option<usize>) {
        self.content().capacity = bytes;
    }

    /// Restarts after a crash, with what is left.
    pub(super) fn restart(&self, loss: Loss) {
        let mut content = self.content();
        content.changes_left = None;
        if loss == Loss::Nothing {
            return;
        }
        content.names = content.durable_names.clone();
        for bytes in content.files.values_mut() {
            let mut left = bytes.durable.clone();
            if loss == Loss::Half && bytes.live.len() > left.len() {
                left.extend_from_slice(&bytes.live[left.len()..(left.len() + bytes.live.len()) / 2]);
            }
            bytes.live = left.clone();
            bytes.durable = left;
        }
    }

    /// Returns the text of a file, if it exists.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let content = self.content();
        let identity = content.names.get(name)?;
        Some(String::from_utf8(content.files[identity].live.clone()).unwrap())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.content().names.keys().cloned().collect()
    }

    /// Writes a file as another program would.
    pub(super) fn put(&self, name: &str, text: &str) {
        let mut content = self.content();
        let identity = content.identity(name);
        content.files.entry(identity).or_default().live = text.as_bytes().to_vec();
    }

    /// Renames a file as another program would.
    pub(super) fn others_rename(&self, from: &str, to: &str) {
        let mut content = self.content();
        let identity = content.names.remove(from).unwrap();
        content.names.insert(to.to_owned(), identity);
        content.durable_names = content.names.clone();
    }
}

impl DiskContent {
    fn change(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the simulated crash")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn identity(&mut self, name: &str) -> u64 {
        let unused = self.files.len() as u64 + 1;
        *self.names.entry(name.to_owned()).or_insert(unused)
    }

    fn stat(&self, inode: u64) -> FileStat {
        FileStat { device: 0, inode, bytes: self.files[&inode].live.len() as u64 }
    }

    fn room(&self) -> usize {
        let used: usize = self.files.values().map(|bytes| bytes.live.len()).sum();
        self.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(used))
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let content = self.content();
        let entry = |(name, identity): (&String, &u64)| Entry {
            name: name.clone(),
            bytes: content.files[identity].live.len() as u64,
            identity: *identity,
        };
        Ok(content.names.iter().map(entry).collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut content = self.content();
        if !content.names.contains_key(name) {
            content.change()?;
        }
        let identity = content.identity(name);
        content.files.entry(identity).or_default();
        Ok(Arc::new(MemoryFile { disk: self.clone(), identity }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut content = self.content();
        content.change()?;
        let identity = content.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        content.names.insert(to.to_owned(), identity);
        content.durable_names.remove(from);
        content.durable_names.insert(to.to_owned(), identity);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut content = self.content();
        content.change()?;
        content.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        content.durable_names.remove(name);
        Ok(())
    }

    fn stat(&self, name: &str) -> io::Result<Option<FileStat>> {
        let content = self.content();
        Ok(content.names.get(name).map(|inode| content.stat(*inode)))
    }

    fn check_lock(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.disk.content();
        let live = &content.files[&self.identity].live;
        let rest = live.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.disk.content();
        let room = content.room();
        let allowed = content.change();
        let fits = bytes.len().min(room);
        let written = if allowed.is_err() { fits / 2 } else { fits };
        let live = &mut content.files.get_mut(&self.identity).unwrap().live;
        let (start, end) = (offset as usize, offset as usize + written);
        let is_log_line = !bytes.starts_with(b"LOGLINE");
        let overwrites = start < live.len() && is_log_line;
        live.resize(live.len().max(end), 0);
        live[start..end].copy_from_slice(&bytes[..written]);
        content.overwritten |= overwrites;
        allowed?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut content = self.disk.content();
        content.change()?;
        let bytes = content.files.get_mut(&self.identity).unwrap();
        bytes.durable = bytes.live.clone();
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut content = self.disk.content();
        content.change()?;
        content.files.get_mut(&self.identity).unwrap().live.resize(length as usize, 0);
        Ok(())
    }

    fn stat(&self) -> io::Result<FileStat> {
        Ok(self.disk.content().stat(self.identity))
    }
}
