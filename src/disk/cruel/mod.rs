//! A simulated folder for tests. It keeps the content that the program sees apart from the durable
//! content, and injects faults that are determined by a seed.
//!
//! * **Loss of power**: each write that was not synced is lost, kept or torn, regardless of the
//!   order of writes. A write tears at every kind of boundary, or sector by sector. A name that was
//!   not made durable may or may not exist.
//! * **Kill**: the program stops in the middle of a call. Its writes stay in the cache, durable or
//!   not.
//! * **Errors**: `EIO` and `ENOSPC` from any call, temporarily or permanently. A write that fails
//!   may have been written in part, and a rename that fails may have happened. After a failed sync
//!   the state of the data that it should have written is unknown, and the next sync reports
//!   success, as on Linux.
//! * **Damage**: bits flip, places become unreadable.
//! * **Other processes**: files are removed, replaced or truncated while they are open, and the
//!   folder's lock is lost.
//!
//! An inode number is reused as soon as its file is gone.

mod image;
pub(crate) mod life;
mod random;
pub(crate) mod seeds;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::Errno;

use super::{Disk, DiskFile, Entry, FileStat};
use image::Image;
pub(crate) use image::PAGE_BYTES;
pub(crate) use random::Random;

/// A kind of call, for the choice of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    List,
    Open,
    Rename,
    Remove,
    Read,
    Write,
    SetLength,
    Sync,
    Stat,
}

/// The calls that change something on the disk.
pub(crate) const CHANGES: &[Call] =
    &[Call::Open, Call::Rename, Call::Remove, Call::Write, Call::SetLength, Call::Sync];

/// A fault: calls of some kinds fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) calls: &'static [Call],
    pub(crate) error: Errno,
    /// Number of these calls that succeed first.
    pub(crate) after: u64,
    /// Number of calls that fail then.
    pub(crate) times: u64,
}

/// When, relative to a call, everything stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    Within,
    After,
}

/// Stops everything at one of these calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) calls: &'static [Call],
    /// Number of these calls that succeed first.
    pub(crate) after: u64,
    pub(crate) moment: Moment,
}

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The program is killed: the cache survives.
    Kill,
    /// The power fails: writes that were not synced are lost, kept or torn.
    Power,
    /// The power fails, and only synced data remains.
    PowerAndCache,
}

/// The simulated disk.
pub(crate) struct CruelDisk(Arc<Mutex<State>>);

struct State {
    random: Random,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names that are not durable yet, in order.
    renames: Vec<Rename>,
    files: BTreeMap<u64, Image>,
    next_file: u64,
    fault: Option<Fault>,
    stop: Option<Stop>,
    is_down: bool,
    is_locked: bool,
    /// Number of restarts: handles from before the last restart are invalid.
    life: u64,
    calls: u64,
}

#[derive(Clone, Debug)]
enum Rename {
    Created(String, u64),
    Renamed(String, String),
    Removed(String),
}

struct CruelFile {
    disk: CruelDisk,
    file: u64,
    life: u64,
}

/// The outcome of a call.
enum Verdict {
    Done,
    /// The call fails, after doing nothing, a part, or everything.
    Failed(io::Error),
    /// The program ends during the call.
    Stopped,
    /// The program ends after the call.
    StoppedAfter,
}

impl CruelDisk {
    pub(crate) fn new(seed: u64) -> CruelDisk {
        CruelDisk(Arc::new(Mutex::new(State {
            random: Random::new(seed),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renames: Vec::new(),
            files: BTreeMap::new(),
            next_file: 1,
            fault: None,
            stop: None,
            is_down: false,
            is_locked: true,
            life: 0,
            calls: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Returns a handle for the program.
    pub(crate) fn handle(&self) -> Arc<dyn Disk> {
        Arc::new(CruelDisk(Arc::clone(&self.0)))
    }

    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.state().fault = fault;
    }

    pub(crate) fn stop_at(&self, stop: Option<Stop>) {
        self.state().stop = stop;
    }

    /// Returns true if the program has been stopped: every call fails until the restart.
    pub(crate) fn is_down(&self) -> bool {
        self.state().is_down
    }

    /// Ends the program at its current point, and restarts with what is left. Also clears faults.
    pub(crate) fn restart(&self, crash: Crash) {
        let state = &mut *self.state();
        state.is_down = false;
        state.life += 1;
        (state.fault, state.stop) = (None, None);
        state.is_locked = true;
        for image in state.files.values_mut() {
            image.handles = 0;
            match crash {
                Crash::Kill => {}
                Crash::Power => image.lose_power(&mut state.random),
                Crash::PowerAndCache => image.lose_all(),
            }
        }
        if crash != Crash::Kill {
            state.settle_names(crash == Crash::Power);
        }
        state.forget_unused();
    }

    /// Evicts everything from the cache that the cache believes to be on the disk.
    pub(crate) fn evict(&self) {
        for image in self.state().files.values_mut() {
            image.evict();
        }
    }

    /// Flips one bit of a file.
    pub(crate) fn flip(&self, name: &str, offset: u64, bit: u32) {
        self.state().image(name).flip(offset, bit);
    }

    /// Makes the page that contains an offset of a file unreadable, until it is written to.
    pub(crate) fn make_unreadable(&self, name: &str, offset: u64) {
        let page = offset / PAGE_BYTES * PAGE_BYTES;
        self.state().image(name).unreadable.push(page..page + PAGE_BYTES);
    }

    /// Makes everything readable again.
    pub(crate) fn heal(&self) {
        for image in self.state().files.values_mut() {
            image.unreadable.clear();
        }
    }

    /// Returns the whole content of a file, as the program sees it.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        self.state().image(name).live.clone()
    }

    /// Removes a file, as another process would. Open handles stay valid.
    pub(crate) fn others_remove(&self, name: &str) {
        let state = &mut *self.state();
        state.take_name(name);
        state.forget_unused();
    }

    /// Replaces a file by another one, as another process would.
    pub(crate) fn others_replace(&self, name: &str, content: &[u8]) {
        let state = &mut *self.state();
        state.take_name(name);
        let file = state.next_file;
        state.next_file += 1;
        let mut image = Image::new(state.free_identity());
        image.live = content.to_vec();
        image.durable = content.to_vec();
        state.files.insert(file, image);
        state.names.insert(name.to_owned(), file);
        state.durable_names.insert(name.to_owned(), file);
        state.forget_unused();
    }

    /// Truncates a file, as another process would.
    pub(crate) fn others_cut(&self, name: &str, length: u64) {
        self.state().image(name).cut(length);
    }

    /// Sets whether [`Disk::check_lock`] succeeds. It fails while another folder is at the path, or
    /// another process may be using the folder.
    pub(crate) fn set_locked(&self, is_locked: bool) {
        self.state().is_locked = is_locked;
    }

    /// Returns true if the durable state of a name leads to this file.
    pub(crate) fn holds(&self, name: &str, file: FileStat) -> bool {
        let state = self.state();
        state.durable_names.get(name).is_some_and(|named| state.stat(*named).is_same_file(&file))
    }

    /// Returns the names of all files.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// Returns the number of calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }
}

impl State {
    fn image(&mut self, name: &str) -> &mut Image {
        let file = self.names[name];
        self.files.get_mut(&file).unwrap()
    }

    fn stat(&self, file: u64) -> FileStat {
        FileStat { device: 0, inode: file, bytes: self.files[&file].live.len() as u64 }
    }

    /// Removes a name durably, together with former durable names of its file.
    fn take_name(&mut self, name: &str) {
        let State { names, durable_names, renames, .. } = self;
        let file = names.remove(name);
        durable_names.retain(|name, named| Some(*named) != file || names.contains_key(name));
        renames.retain(|rename| !rename.is_of(name));
    }

    /// Counts a call, and returns its outcome.
    fn judge(&mut self, call: Call) -> io::Result<Verdict> {
        if self.is_down {
            return Err(io::Error::other("the simulated machine is down"));
        }
        self.calls += 1;
        if let Some(stop) = &mut self.stop
            && stop.calls.contains(&call)
        {
            if stop.after == 0 {
                self.is_down = true;
                return match stop.moment {
                    Moment::Before => Err(io::Error::other("the simulated machine stopped")),
                    Moment::Within => Ok(Verdict::Stopped),
                    Moment::After => Ok(Verdict::StoppedAfter),
                };
            }
            stop.after -= 1;
        }
        if let Some(fault) = &mut self.fault
            && fault.calls.contains(&call)
        {
            if fault.after > 0 {
                fault.after -= 1;
            } else if fault.times > 0 {
                fault.times -= 1;
                return Ok(Verdict::Failed(fault.error.into()));
            }
        }
        Ok(Verdict::Done)
    }

    /// Returns the inode number for a new file: the smallest that is not in use.
    fn free_identity(&self) -> u64 {
        let used = |identity: &u64| self.files.values().any(|image| image.identity == *identity);
        (100..).find(|identity| !used(identity)).unwrap()
    }

    /// Removes files that have neither a name nor an open handle.
    fn forget_unused(&mut self) {
        let State { names, durable_names, renames, files, .. } = self;
        let is_created = |file: &u64| {
            renames.iter().any(|rename| matches!(rename, Rename::Created(_, created) if *created == *file))
        };
        let is_named = |file: &u64| names.values().chain(durable_names.values()).any(|named| named == file);
        files.retain(|file, image| image.handles > 0 || is_named(file) || is_created(file));
    }

    fn create(&mut self, name: &str) -> u64 {
        let file = self.next_file;
        self.next_file += 1;
        let identity = self.free_identity();
        self.files.insert(file, Image::new(identity));
        self.names.insert(name.to_owned(), file);
        self.renames.push(Rename::Created(name.to_owned(), file));
        file
    }

    fn change_name(&mut self, rename: Rename) {
        rename.apply(&mut self.names);
        self.renames.push(rename);
    }

    /// Syncs the folder: all names become durable. The names of created files do so for certain
    /// only for the name that the call was made for.
    fn sync_names(&mut self, asked: &str) {
        let renames = std::mem::take(&mut self.renames);
        for (place, rename) in renames.iter().enumerate() {
            match rename {
                Rename::Created(name, _)
                    if name != asked
                        && !renames[place + 1..].iter().any(|later| later.is_of(name))
                        && self.random.one_in(2) =>
                {
                    self.renames.push(rename.clone());
                }
                _ => rename.apply(&mut self.durable_names),
            }
        }
        self.forget_unused();
    }

    /// Applies a loss of power to the names: the changes up to a random one are kept, or none.
    fn settle_names(&mut self, some: bool) {
        let renames = std::mem::take(&mut self.renames);
        let kept = if some { self.random.below(renames.len() as u64 + 1) } else { 0 };
        for rename in &renames[..kept as usize] {
            rename.apply(&mut self.durable_names);
        }
        self.names.clone_from(&self.durable_names);
    }

    /// Changes a name and syncs the folder, as far as the outcome of the call allows.
    fn rename(&mut self, call: Call, rename: Rename, asked: &str) -> io::Result<()> {
        let verdict = self.judge(call)?;
        let (is_changed, is_synced) = match verdict {
            Verdict::Done | Verdict::StoppedAfter => (true, true),
            Verdict::Failed(_) | Verdict::Stopped => (self.random.one_in(2), false),
        };
        if is_changed {
            self.change_name(rename);
        }
        if is_synced {
            self.sync_names(asked);
        }
        verdict.result()
    }
}

impl Rename {
    fn is_of(&self, name: &str) -> bool {
        match self {
            Rename::Created(one, _) | Rename::Removed(one) => one == name,
            Rename::Renamed(from, to) => from == name || to == name,
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Rename::Created(name, file) => {
                names.insert(name.clone(), *file);
            }
            Rename::Renamed(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Rename::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

impl Verdict {
    fn result(self) -> io::Result<()> {
        match self {
            Verdict::Done => Ok(()),
            Verdict::Failed(error) => Err(error),
            Verdict::Stopped | Verdict::StoppedAfter => {
                Err(io::Error::other("the simulated machine stopped"))
            }
        }
    }
}

impl Disk for CruelDisk {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let state = &mut *self.state();
        state.judge(Call::List)?.result()?;
        let State { names, files, random, .. } = state;
        let entry = |(name, file): (&String, &u64)| Entry {
            name: name.clone(),
            bytes: files[file].live.len() as u64,
            identity: files[file].identity,
        };
        let mut entries: Vec<_> = names.iter().map(entry).collect();
        for place in 1..entries.len() {
            entries.swap(place, random.below(place as u64 + 1) as usize);
        }
        Ok(entries)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = &mut *self.state();
        let verdict = state.judge(Call::Open)?;
        let existing = state.names.get(name).copied();
        let happens = !matches!(verdict, Verdict::Failed(_) | Verdict::Stopped) || state.random.one_in(2);
        let file = match existing {
            Some(file) => file,
            None if happens => state.create(name),
            None => return Err(verdict.result().unwrap_err()),
        };
        verdict.result()?;
        state.files.get_mut(&file).unwrap().handles += 1;
        Ok(Arc::new(CruelFile { disk: CruelDisk(Arc::clone(&self.0)), file, life: state.life }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let state = &mut *self.state();
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename(Call::Rename, Rename::Renamed(from.to_owned(), to.to_owned()), from)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let state = &mut *self.state();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename(Call::Remove, Rename::Removed(name.to_owned()), name)
    }

    fn stat(&self, name: &str) -> io::Result<Option<FileStat>> {
        let state = &mut *self.state();
        state.judge(Call::Stat)?.result()?;
        Ok(state.names.get(name).map(|file| state.stat(*file)))
    }

    fn check_lock(&self) -> io::Result<()> {
        if self.state().is_locked { Ok(()) } else { Err(io::Error::other("the lock is lost")) }
    }
}

impl CruelFile {
    /// Executes one call on the file, as far as its outcome allows.
    fn call<T>(
        &self,
        call: Call,
        act: impl FnOnce(&mut Image, &mut Random, &Verdict) -> io::Result<T>,
    ) -> io::Result<T> {
        let state = &mut *self.disk.state();
        if self.life != state.life {
            return Err(io::Error::other("a handle of an earlier life"));
        }
        let verdict = state.judge(call)?;
        let done = act(state.files.get_mut(&self.file).unwrap(), &mut state.random, &verdict)?;
        verdict.result().map(|()| done)
    }
}

impl DiskFile for CruelFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(Call::Read, |image, _, _| {
            let rest = image.live.get(offset as usize..).unwrap_or_default();
            let read = rest.len().min(buffer.len());
            if image.is_unreadable(offset, read as u64) {
                return Err(Errno::IO.into());
            }
            buffer[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.call(Call::Write, |image, random, verdict| {
            let written = match verdict {
                Verdict::Done | Verdict::StoppedAfter => bytes.len() as u64,
                Verdict::Failed(_) | Verdict::Stopped => image::cut(bytes.len() as u64, offset, random),
            };
            image.write(&bytes[..written as usize], offset);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.call(Call::Sync, |image, random, verdict| {
            match verdict {
                Verdict::Done | Verdict::StoppedAfter => image.sync(),
                Verdict::Failed(_) => image.fail_sync(random),
                Verdict::Stopped => {} // the data is like any write that was not synced
            }
            Ok(())
        })
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.call(Call::SetLength, |image, random, verdict| {
            let current = image.live.len() as u64;
            let reached = match verdict {
                Verdict::Done | Verdict::StoppedAfter => length,
                // Space is reserved step by step, but the end is cut off at once.
                _ if length > current => current + random.below(length - current + 1),
                _ => *random.pick(&[current, length]),
            };
            if reached != current {
                image.set_length(reached);
            }
            Ok(())
        })
    }

    fn stat(&self) -> io::Result<FileStat> {
        let state = &mut *self.disk.state();
        state.judge(Call::Stat)?.result()?;
        Ok(state.stat(self.file))
    }
}

impl Drop for CruelFile {
    fn drop(&mut self) {
        let state = &mut *self.disk.state();
        if self.life == state.life
            && let Some(image) = state.files.get_mut(&self.file)
        {
            image.handles -= 1;
            if image.handles == 0 {
                state.forget_unused();
            }
        }
    }
}
