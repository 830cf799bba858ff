//! The open log file: appending, cutting back, recovery, and following the file when other programs
//! rename or empty it.

use std::io;
use std::sync::Arc;

use super::beginning::Beginning;
use super::place::LogPlace;
use super::rotation;
use super::sidecar::{LogExtent, LogOwner, Sidecar, SidecarState};
use crate::disk::{DiskFile, Entry};
use crate::record::RecordId;
use crate::store::StoreError;
use crate::store::claim::{ClaimRecord, Claimant, OwnerRow, Verdict, random_number};

/// A log file that lines are appended to.
pub(super) struct Log {
    place: LogPlace,
    sidecar: Sidecar,
    file: Arc<dyn DiskFile>,
    /// The content of the file in whole chunks.
    state: SidecarState,
    /// The extent of the file with the part of a chunk that has been appended so far.
    written: LogExtent,
    /// The state that the sidecar is known to hold durably.
    durable: Option<SidecarState>,
}

impl Log {
    /// Opens the log file of a place in the state that the sidecar records, and cuts off what a
    /// crash left after the recorded end.
    pub(super) fn open(place: LogPlace, today: i32, claimant: &mut Claimant) -> io::Result<Log> {
        let (mut sidecar, recorded) = Sidecar::open(&*place.disk, &place.name)?;
        let is_taken = claim(&mut sidecar, recorded, claimant)?;
        let recovered = match recorded {
            Some(recorded) => recover(&place, recorded)?,
            None => None,
        };
        let (file, state) = match recovered {
            Some(file_and_state) => file_and_state,
            None => take_up(&place, recorded.map_or(1, |state| state.position), today, recorded.is_none())?,
        };
        // After a failed sync, what was read may exist only in the page cache, so it is made
        // durable again.
        let mut log = Log { place, sidecar, file, written: state.extent, state, durable: None };
        log.sync()?;
        if is_taken {
            claimant.confirm(log.position()).map_err(refused)?;
        }
        Ok(log)
    }

    /// Returns the first record that is not in the file.
    pub(super) fn position(&self) -> RecordId {
        self.state.position
    }

    /// Returns the number of bytes of whole chunks in the file.
    pub(super) fn length(&self) -> u64 {
        self.state.extent.length
    }

    /// Returns the local day on which the file was begun.
    pub(super) fn day(&self) -> i32 {
        self.state.day
    }

    /// Sets the day of a file without lines, which belongs to the day of its first line.
    pub(super) fn begin_day(&mut self, today: i32) {
        if self.length() == 0 {
            self.state.day = today;
        }
    }

    /// Appends a part of a chunk.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let rest = if self.written.length == 0 { self.begin(lines)? } else { lines };
        if rest.is_empty() {
            return Ok(());
        }
        self.file.write_at(rest, self.written.length)?;
        self.written = self.written.plus(rest);
        Ok(())
    }

    /// Records the first bytes of an empty file, then writes these bytes durably. Returns the rest
    /// of the lines.
    fn begin<'l>(&mut self, lines: &'l [u8]) -> io::Result<&'l [u8]> {
        if lines.is_empty() {
            return Ok(lines);
        }
        self.state.beginning = Beginning::of(lines);
        self.sync()?;
        let (beginning, rest) = lines.split_at(self.state.beginning.bytes().len());
        self.file.write_at(beginning, 0)?;
        self.file.sync()?;
        self.written = self.written.plus(beginning);
        Ok(rest)
    }

    /// Completes the chunk: the file now reaches to this position.
    pub(super) fn commit(&mut self, position: RecordId) {
        self.state.extent = self.written;
        self.state.position = position;
    }

    /// Removes what was appended since the last whole chunk.
    pub(super) fn undo(&mut self) -> io::Result<()> {
        self.written = self.state.extent;
        let mut behind = [0];
        // If another program has emptied the file, setting its length would extend it with zeros.
        if self.file.read_at(&mut behind, self.written.length)? == 0 {
            return Ok(());
        }
        self.file.set_length(self.written.length)
    }

    /// Makes the lines durable, then the record about them. Returns the position that is durable.
    pub(super) fn sync(&mut self) -> io::Result<RecordId> {
        if self.durable != Some(self.state) {
            self.file.sync()?;
            self.state.extent = self.state.extent.with_full_tail(&*self.file)?;
            self.written = self.state.extent;
            self.sidecar.write(&self.state)?;
            self.durable = Some(self.state);
        }
        Ok(self.position())
    }

    /// Returns true if the file still ends where this program left it.
    pub(super) fn is_untouched(&self) -> io::Result<bool> {
        let mut around_the_end = [0; 2];
        let length = self.length();
        let read = self.file.read_at(&mut around_the_end, length.saturating_sub(1))?;
        Ok(read as u64 == length.min(1))
    }

    /// Checks whether the name still belongs to this file. If the file was renamed or removed,
    /// lines continue in a new file (or in the one that has the name now). If the file was emptied
    /// or another program wrote to it, lines continue at its end.
    pub(super) fn look(&mut self, today: i32) -> io::Result<()> {
        match self.place.entry()? {
            Some(entry) if entry.identity == self.state.identity => self.accept_length(entry.bytes),
            _ => {
                tracing::info!(
                    file = self.place.name,
                    "the log file was renamed or removed: starting a new file"
                );
                self.begin_anew(today)
            }
        }
    }

    /// Moves the file away and begins a new one; `by_day` as in [`rotation`].
    pub(super) fn rotate(&mut self, by_day: bool, today: i32) -> io::Result<()> {
        rotation::move_away(&*self.place.disk, &self.place.name, by_day.then_some(self.state.day))?;
        self.begin_anew(today)
    }

    /// Closes the gap in the numbers left by a crash in the middle of a rotation by size.
    pub(super) fn close_gap(&self) -> io::Result<()> {
        rotation::close_gap(&*self.place.disk, &self.place.name)
    }

    /// Removes the oldest file beyond `keep`. Returns true if there are more.
    pub(super) fn prune(&self, keep: u32, by_day: bool) -> io::Result<bool> {
        rotation::prune(&*self.place.disk, &self.place.name, keep, by_day)
    }

    /// Leaves this file, complete and durable, for the file at the path.
    ///
    /// The sidecar reveals a crash in between: it names a file that has another name now.
    fn begin_anew(&mut self, today: i32) -> io::Result<()> {
        self.sync()?;
        (self.file, self.state) = take_up(&self.place, self.state.position, today, false)?;
        self.written = self.state.extent;
        self.sync()?;
        Ok(())
    }

    fn accept_length(&mut self, length: u64) -> io::Result<()> {
        let expected = self.length();
        if length == expected {
            return Ok(());
        }
        tracing::warn!(
            file = self.place.name,
            length,
            expected,
            "another program emptied the log file or wrote to it: new lines are appended at its end"
        );
        self.state.extent = end_last_line(&*self.file, length)?;
        self.state.beginning = Beginning::default();
        self.written = self.state.extent;
        self.sync()?;
        Ok(())
    }
}

/// Claims the log file for the claimant's data folder before anything is changed. The next record
/// of the sidecar contains the claim. Returns false if this process has claimed the log file
/// before.
fn claim(sidecar: &mut Sidecar, recorded: Option<SidecarState>, claimant: &mut Claimant) -> io::Result<bool> {
    let LogOwner { identity, claim: number, node } = sidecar.owner.clone();
    // A log file that was never claimed gets its identity now.
    let identity = if identity == 0 { random_number() as u64 } else { identity };
    let owner = match recorded {
        None => OwnerRow::Free { position: 1 },
        Some(SidecarState { position, .. }) if number == 0 => OwnerRow::Free { position },
        Some(SidecarState { position, .. }) => OwnerRow::Claimed { node, number, position },
    };
    let found = ClaimRecord { database: format!("{identity:016x}"), owner, ..ClaimRecord::default() };
    let verdict = claimant.judge(&found).map_err(refused)?;
    if let Verdict::Take { number, .. } = verdict {
        sidecar.owner = LogOwner { identity, claim: number, node: claimant.node().into() };
    }
    Ok(matches!(verdict, Verdict::Take { .. }))
}

/// Wraps a refusal, whose text is kept; see `FileStore::explain`.
fn refused(refusal: StoreError) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, refusal)
}

/// Finds the recorded file and cuts it to its recorded length. Returns `None` if the file is no
/// longer at its path.
fn recover(
    place: &LogPlace,
    recorded: SidecarState,
) -> io::Result<Option<(Arc<dyn DiskFile>, SidecarState)>> {
    let Some((entry, file)) = find(place, &recorded)? else {
        tracing::warn!(
            file = place.name,
            "the log file was replaced, emptied or removed while no server wrote to it: its content is \
             kept, and new lines are appended; the last lines before them may be duplicates"
        );
        return Ok(None);
    };
    let length = recorded.extent.length;
    if entry.bytes > length {
        tracing::info!(
            file = entry.name,
            bytes = entry.bytes - length,
            "removed unfinished lines from the end of the log file; they are written again"
        );
        file.set_length(length)?;
    }
    if entry.name == place.name {
        return Ok(Some((file, SidecarState { identity: entry.identity, ..recorded })));
    }
    file.sync()?;
    tracing::info!(file = place.name, now = entry.name, "the log file was renamed: starting a new file");
    Ok(None)
}

/// Returns the recorded file, whatever its name is now, or else a copy of it under its old name,
/// such as a restored backup.
fn find(place: &LogPlace, recorded: &SidecarState) -> io::Result<Option<(Entry, Arc<dyn DiskFile>)>> {
    let mut entries = place.disk.list()?;
    let is_candidate = |entry: &Entry| {
        let is_copy = entry.name == place.name && recorded.extent.length > 0;
        entry.bytes >= recorded.extent.length && (entry.identity == recorded.identity || is_copy)
    };
    entries.retain(is_candidate);
    entries.sort_by_key(|entry| (entry.identity != recorded.identity, entry.name != place.name));
    for entry in entries {
        let file = place.disk.open(&entry.name)?;
        if is_ours(place, recorded, &entry, &*file)? {
            return Ok(Some((entry, file)));
        }
    }
    Ok(None)
}

/// Returns true if a file with the recorded inode number, or with the name, is identified by its
/// bytes, so that it may be cut.
fn is_ours(
    place: &LogPlace,
    recorded: &SidecarState,
    entry: &Entry,
    file: &dyn DiskFile,
) -> io::Result<bool> {
    if recorded.extent.length > 0 {
        return recorded.extent.is_in(file);
    }
    let may_be_torn = entry.name == place.name;
    Ok(entry.bytes == 0
        || recorded.beginning.is_in(file)?
        || may_be_torn && recorded.beginning.is_torn_in(file, entry.bytes)?)
}

/// Continues at the end of the file at the path, which is created if there is none.
fn take_up(
    place: &LogPlace,
    position: RecordId,
    today: i32,
    is_new_store: bool,
) -> io::Result<(Arc<dyn DiskFile>, SidecarState)> {
    let entry = match place.entry()? {
        Some(entry) => {
            place.keep_name()?;
            entry
        }
        None => place.create()?,
    };
    if is_new_store && entry.bytes > 0 {
        tracing::warn!(
            file = place.name,
            bytes = entry.bytes,
            "a log file without a recorded position exists: it is kept, and all records that are still in the spool \
             are appended to it"
        );
    }
    let file = place.disk.open(&place.name)?;
    let extent = end_last_line(&*file, entry.bytes)?;
    let beginning = Beginning::default();
    Ok((file, SidecarState { position, identity: entry.identity, extent, beginning, day: today }))
}

/// Returns the extent of a file to which others wrote, after adding a newline to the last line if
/// it has none.
fn end_last_line(file: &dyn DiskFile, length: u64) -> io::Result<LogExtent> {
    let (extent, is_whole) = LogExtent::of(file, length)?;
    if is_whole {
        return Ok(extent);
    }
    file.write_at(b"\n", length)?;
    Ok(extent.plus(b"\n"))
}
