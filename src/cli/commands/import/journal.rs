//! The progress of an import, in a file beside the imported file, until all of it was sent. After a
//! crash, a new import reports where to continue instead of storing records twice.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::cli::commands::file_failure;
use crate::cli::partial_file::lock;
use crate::cli::terminal::output;
use crate::disk::{beside, keep_name};
use crate::failure::Failure;

/// The first line that is possibly not stored, and the last line that is possibly stored. Both
/// numbers have a fixed width, and one write replaces both: whenever the import ends, the file
/// contains complete numbers.
pub(super) struct ImportJournal {
    file: Option<File>,
    path: PathBuf,
}

impl ImportJournal {
    /// Begins at the line `from`, which a person has determined; without `from`, refuses to send
    /// again what was sent. Two imports of one file at the same time would send everything twice.
    pub(super) fn begin(imported: &Path, from: Option<u64>) -> Result<ImportJournal, Failure> {
        let path = beside(imported, ".importing");
        if imported.as_os_str() == "-" {
            return Ok(ImportJournal { file: None, path });
        }
        let taken = match open_locked(&path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Err(cannot_repeat(imported).because("another import of this file is running"));
            }
            taken => taken,
        };
        if from.is_none() {
            refuse_to_repeat(imported, &path)?;
        }
        let begun = taken.and_then(|file| {
            let journal = ImportJournal { file: Some(file), path: path.clone() };
            journal.put(from.unwrap_or(1), 0).map(|()| journal).inspect_err(|_| {
                // Otherwise the file would report for this import what it contained of an earlier
                // one.
                let _ = fs::remove_file(&path);
            })
        });
        begun.or_else(|error| {
            output::note(&format!(
                "cannot write {}: {error}: if the import is interrupted, its progress is not recorded",
                path.display()
            ));
            Ok(ImportJournal { file: None, path })
        })
    }

    /// Records that lines from `first` to `last` may be stored from now on, and that all lines
    /// before `first` are stored.
    pub(super) fn write(&self, first: u64, last: u64) -> Result<(), Failure> {
        self.put(first, last).map_err(|error| file_failure("write", &self.path, error))
    }

    fn put(&self, first: u64, last: u64) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(format!("{first:20} {last:20}\n").as_bytes(), 0)?;
        file.sync_data()
    }

    pub(super) fn end(self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path); // a person may have removed it
        }
    }
}

/// Opens a journal for one import alone, under a name that survives a crash; the content is kept.
fn open_locked(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    lock(&file, path)?;
    keep_name(path)?;
    Ok(file)
}

fn cannot_repeat(imported: &Path) -> Failure {
    Failure::new(format!("cannot import {} again", imported.display()))
}

/// Fails if a journal records that something was sent, or if it cannot be read.
fn refuse_to_repeat(imported: &Path, journal: &Path) -> Result<(), Failure> {
    let refused = |failure: Failure, hint: String| {
        Err(failure.hint(format!("{hint}; --from-line 1 begins from the start")))
    };
    let known = match fs::read_to_string(journal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        known => known.map_err(|error| file_failure("read", journal, error))?,
    };
    let numbers: Vec<_> = known.split_whitespace().map(str::parse::<u64>).collect();
    match numbers[..] {
        [] | [Ok(1), Ok(0)] => Ok(()), // nothing was sent
        [Ok(first), Ok(last)] => refused(
            cannot_repeat(imported).because("an import of this file is not finished"),
            how_to_continue(first, last),
        ),
        _ => refused(
            cannot_repeat(imported)
                .because(format!("{} does not contain the progress of the import", journal.display())),
            "find the last line that is stored, then continue after it with --from-line".into(),
        ),
    }
}

/// Returns what to do if lines before `first` are stored and lines up to `last` may be stored.
pub(super) fn how_to_continue(first: u64, last: u64) -> String {
    if last < first {
        return format!("everything before line {first} was sent; --from-line {first} continues there");
    }
    let next = last + 1;
    format!(
        "lines {first} to {last} may be stored or not: if the last of them is stored, continue with \
         --from-line {next}, otherwise with --from-line {first}"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::thread;

    use super::*;

    /// Otherwise an import that is started again after a kill would store everything twice.
    #[test]
    fn journal_is_complete_at_every_moment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("many.ndjson");
        let journal = ImportJournal::begin(&file, None).unwrap();
        let length = || fs::metadata(&journal.path).unwrap().len();
        let (whole, is_done) = (length(), AtomicBool::new(false));
        let lengths = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Relaxed) {
                    journal.write(2, 0).unwrap();
                    journal.write(2, u64::MAX).unwrap();
                }
            });
            let lengths: HashSet<u64> = (0..50_000).map(|_| length()).collect();
            is_done.store(true, Relaxed);
            lengths
        });
        assert_eq!(lengths, HashSet::from([whole]));
        assert_eq!(fs::read_to_string(&journal.path).unwrap(), format!("{:20} {}\n", 2, u64::MAX));
    }

    #[test]
    fn invalid_journal_is_not_treated_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("many.ndjson");
        let journal = beside(&file, ".importing");
        for (known, is_refused) in
            [("", false), ("1 0\n", false), ("1", true), ("7 x", true), ("1501 0", true), ("1 1500", true)]
        {
            fs::write(&journal, known).unwrap();
            assert_eq!(ImportJournal::begin(&file, None).is_err(), is_refused, "{known}");
            fs::write(&journal, known).unwrap();
            assert!(ImportJournal::begin(&file, Some(1501)).is_ok(), "{known}");
        }
    }
}
