//! All file I/O of the spool and the file store, as eleven calls: few enough that a simulated disk
//! can replace them and fail in every way that a real disk can. Also the paths of files that belong
//! to another file.

#[cfg(test)]
pub(crate) mod cruel;
mod lock;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use lock::FolderLock;

/// One folder of files.
pub trait Disk: Send + Sync {
    /// Lists the files in the folder itself, in no particular order.
    fn list(&self) -> io::Result<Vec<Entry>>;
    /// Opens a file to read and write. Creates the file, and its sub-folder, if it does not exist.
    /// The name of a created file is durable only once the file has been renamed.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file, replacing a file that has the new name. Renaming a file to its own name
    /// makes that name durable. Durable on return.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Durable on return.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Returns which file has the name now; `None` if there is none.
    fn stat(&self, name: &str) -> io::Result<Option<FileStat>>;
    /// Fails while this process may not write to the folder, because its lock does not cover the
    /// folder that is at the path now.
    fn check_lock(&self) -> io::Result<()>;
}

/// The identity of a file, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// The device number. No other file has the same device and inode number while this one is
    /// open.
    pub device: u64,
    /// The inode number, unique on the device while the file is open.
    pub inode: u64,
    /// The length.
    pub bytes: u64,
}

impl FileStat {
    /// Returns true if both values belong to the same file.
    pub fn is_same_file(&self, other: &FileStat) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl From<fs::Metadata> for FileStat {
    fn from(data: fs::Metadata) -> FileStat {
        FileStat { device: data.dev(), inode: data.ino(), bytes: data.len() }
    }
}

/// One file of a folder, as [`Disk::list`] found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The length.
    pub bytes: u64,
    /// The inode number, which distinguishes the file from the folder's other files whatever its
    /// name is. A new file may get the number of a removed one.
    pub identity: u64,
}

/// One open file. It stays readable after it has been renamed or removed.
pub trait DiskFile: Send + Sync {
    /// Reads at an offset until the buffer is full or the file ends. Returns the number of bytes
    /// read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes at an offset. Durable only after [`DiskFile::sync`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the written bytes and the length durable.
    fn sync(&self) -> io::Result<()>;
    /// Truncates the file to a length, or extends it with zeros whose space on the disk is
    /// reserved.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Returns which file this is, whatever its name is now.
    fn stat(&self) -> io::Result<FileStat>;
}

/// A folder of the operating system.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    is_read_only: bool,
    /// The lock of the folder that contains this one.
    lock: Option<Arc<FolderLock>>,
}

impl Folder {
    /// Opens a folder. Creates it if it does not exist.
    pub fn open(path: &Path) -> io::Result<Folder> {
        create_folder(path)?;
        Ok(Folder { path: path.to_owned(), is_read_only: false, lock: None })
    }

    /// Returns the same folder, to be written only while [`Disk::check_lock`] confirms this lock.
    #[must_use]
    pub fn under_lock(self, lock: Arc<FolderLock>) -> Folder {
        Folder { lock: Some(lock), ..self }
    }

    /// Opens a folder in which nothing can be changed: files that do not exist cannot be opened.
    pub fn open_read_only(path: &Path) -> io::Result<Folder> {
        fs::read_dir(path)?;
        Ok(Folder { path: path.to_owned(), is_read_only: true, lock: None })
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let data = match entry.metadata() {
                // Renamed or removed since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                data => data?,
            };
            if let (true, Ok(name)) = (data.is_file(), entry.file_name().into_string()) {
                files.push(Entry { name, bytes: data.len(), identity: data.ino() });
            }
        }
        Ok(files)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let (path, is_writable) = (self.path.join(name), !self.is_read_only);
        let mut options = OpenOptions::new();
        options.read(true).write(is_writable).create(is_writable).truncate(false);
        let file = match open_regular(&mut options, &path) {
            Err(error) if is_writable && error.kind() == io::ErrorKind::NotFound => {
                create_folder(path.parent().unwrap_or(&self.path))?;
                open_regular(&mut options, &path)?
            }
            result => result?,
        };
        Ok(Arc::new(OpenFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))?;
        self.sync()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))?;
        self.sync()
    }

    fn stat(&self, name: &str) -> io::Result<Option<FileStat>> {
        stat(&self.path.join(name))
    }

    fn check_lock(&self) -> io::Result<()> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.check())
    }
}

/// Returns which file is at a path; `None` if there is none.
pub(crate) fn stat(path: &Path) -> io::Result<Option<FileStat>> {
    match fs::metadata(path) {
        Ok(data) => Ok(Some(data.into())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Opens a file that must be a regular one. The call does not block on a FIFO without a reader or
/// on a device.
pub(crate) fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits();
    let file = options.custom_flags(no_wait as i32).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Fails if something other than a regular file is at a path. Opens nothing, so that a FIFO does
/// not block the call.
pub(crate) fn check_regular(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(data) if !data.is_file() => Err(not_regular()),
        _ => Ok(()), // opening the file reports any other problem
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

/// Returns true if the error means that a file may not grow now: the disk or a quota is full, or a
/// limit on the size of files is reached. The error passes when there is room again.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Creates a folder and its missing parents. Durable on return, because otherwise the files in it
/// could be lost.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<_> = path.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(path)?;
    if missing.is_empty() {
        // The process that created the folder may have been killed before the name was durable. An
        // error is ignored, because this user may be unable to read the parent folder.
        let _ = keep_name(path);
    }
    missing.into_iter().try_for_each(keep_name)
}

/// Makes the name of a file or a folder durable: syncs its parent folder.
pub(crate) fn keep_name(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Returns the path with a suffix appended to the file name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

struct OpenFile(File);

impl DiskFile for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(bytes) => done += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let current = self.0.metadata()?.len();
        if length > current {
            reserve(&self.0, length)?;
        }
        if length == current { Ok(()) } else { self.0.set_len(length) }
    }

    fn stat(&self) -> io::Result<FileStat> {
        Ok(self.0.metadata()?.into())
    }
}

/// Reserves space, so that a full disk is reported here and not in the middle of a write.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn reserve(file: &File, length: u64) -> io::Result<()> {
    use rustix::{fs, io::Errno};
    match fs::fallocate(file, fs::FallocateFlags::empty(), 0, length) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()), // some network file systems: no reservation
        result => Ok(result?),
    }
}

/// Elsewhere only the length is set, and a full disk may be reported by a write.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reserve(_: &File, _: u64) -> io::Result<()> {
    Ok(())
}
