//! Spools for tests.

use std::sync::Arc;
use std::task::Poll;

use tempfile::TempDir;

use super::{AppendError, CommitObserver, NoObserver, Receipt, Spool, SpoolSizes, SpoolWriter};
use crate::blocking::Threads;
use crate::disk::Folder;
use crate::disk::cruel::life::{Task, poll};
use crate::record::{Batch, RecordId, RecordRef};

/// A spool of eight small segments.
pub(crate) const SIZES: SpoolSizes = SpoolSizes { segment_bytes: 4 << 10, bytes_max: 32 << 10 };

/// Opens a spool in a new folder.
pub(crate) fn spool(sizes: SpoolSizes, floor: RecordId) -> (TempDir, Arc<Spool>, SpoolWriter) {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(Folder::open(folder.path()).unwrap());
    let (spool, writer) = Spool::open(disk, sizes, floor).unwrap();
    (folder, spool, writer)
}

pub(crate) fn observer() -> Arc<dyn CommitObserver> {
    Arc::new(NoObserver)
}

pub(crate) fn batch(messages: &[&str]) -> Batch {
    let mut batch = Batch::new();
    for message in messages {
        batch.push(&RecordRef { message, ..RecordRef::default() });
    }
    batch
}

/// A writer that runs only when the test calls it, and the batches that were appended. `T` is what
/// the test knows about a batch.
pub(crate) struct Commits<T> {
    pub(crate) writer: Task<()>,
    appended: Vec<(T, Task<Result<RecordId, AppendError>>)>,
}

impl<T> Commits<T> {
    pub(crate) fn new(writer: SpoolWriter) -> Commits<T> {
        Commits { writer: Box::pin(writer.run(Threads::One)), appended: Vec::new() }
    }

    /// Returns true if all batches were committed.
    pub(crate) fn is_done(&self) -> bool {
        self.appended.is_empty()
    }

    pub(crate) fn push(&mut self, content: T, receipt: Receipt) {
        self.appended.push((content, Box::pin(receipt.durable())));
    }

    /// Makes the writer commit the appended batches as one commit. Returns each with its outcome.
    pub(crate) fn commit(&mut self) -> Vec<(T, Result<RecordId, AppendError>)> {
        for _ in 0..3 {
            // The writer wakes up, commits, and yields to the other tasks.
            assert!(poll(&mut self.writer).is_pending());
        }
        let outcome = |(content, mut receipt): (T, Task<_>)| match poll(&mut receipt) {
            Poll::Ready(outcome) => (content, outcome),
            Poll::Pending => panic!("a commit leaves no receipt open"),
        };
        std::mem::take(&mut self.appended).into_iter().map(outcome).collect()
    }
}
