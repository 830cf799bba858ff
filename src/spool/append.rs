//! Appends batches to the open buffer, which the writer takes as a whole at each commit.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::SetOnce;
use tokio::sync::futures::Notified;
use tokio::time::timeout;

use super::frame::FRAME_HEADER_BYTES;
use super::{Spool, lock};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_BYTES_TARGET, COMMIT_BYTES_MAX, FULL_RETRY_MILLISECONDS,
    STALLED_DISK_MILLISECONDS, STALLED_DISK_PIECE_MILLISECONDS,
};
use crate::record::{Batch, RecordId};

/// The start of the message of [`AppendError::Poisoned`].
pub const DISK_ERROR: &str = "the spool has stopped after a disk error";
/// The start of the message of [`AppendError::Failing`].
pub const DISK_FAILING: &str = "the spool cannot make records durable now";

/// Why records were not made durable. The batch is not stored, not even in part. After a disk
/// error, however, a restart may still find its records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The ceiling is reached or the disk is full. This may pass without a restart.
    #[error("the spool is full: {0}")]
    Full(Arc<str>),
    /// The files are no longer in place, or a sync found the disk full. This may pass without a
    /// restart.
    #[error("{DISK_FAILING}: {0}", DISK_FAILING = DISK_FAILING)]
    Failing(Arc<str>),
    /// A write or a sync failed. Only a restart helps.
    #[error("{DISK_ERROR}: {0}", DISK_ERROR = DISK_ERROR)]
    Poisoned(Arc<str>),
    /// The program is stopping.
    #[error("the server is stopping")]
    Closed,
}

impl AppendError {
    /// Returns true if the next attempt may succeed without a restart.
    pub fn may_pass(&self) -> bool {
        matches!(self, AppendError::Full(_) | AppendError::Failing(_))
    }
}

/// Notified of the outcome of every commit that contains its records. Used to count records without
/// waiting for a receipt.
pub trait CommitObserver: Send + Sync {
    /// Reports that this many records became durable, or were refused, in one commit.
    fn committed(&self, records: u64, outcome: Result<(), &AppendError>);
}

/// Ignores all outcomes.
pub struct NoObserver;

impl CommitObserver for NoObserver {
    fn committed(&self, _: u64, _: Result<(), &AppendError>) {}
}

/// The outcome of one commit: on success, the id of its first record.
pub(super) type Commit = SetOnce<Result<RecordId, AppendError>>;

/// Reports when an appended batch is durable.
#[derive(Debug)]
#[must_use = "a batch is durable only when its receipt says so"]
pub struct Receipt {
    commit: Arc<Commit>,
    offset: u32,
}

impl Receipt {
    /// Waits for the commit, and returns the id of the batch's first record.
    pub async fn durable(self) -> Result<RecordId, AppendError> {
        let first_id = self.commit.wait().await.clone()?;
        Ok(first_id + u64::from(self.offset))
    }
}

impl Spool {
    /// Appends a batch. While the open buffer has no room for it, waits in order of arrival. Fails
    /// if the disk stalls during the wait.
    pub async fn append(
        &self,
        batch: &Batch,
        observer: &Arc<dyn CommitObserver>,
    ) -> Result<Receipt, AppendError> {
        let result = self.in_turn(|| self.try_append(batch, observer)).await;
        result.unwrap_or_else(|| Err(AppendError::Full("the disk does not keep up".into())))
    }

    /// Waits in order of arrival until the open buffer has room for a batch of the usual size, or
    /// refuses every batch. A caller that waits here need not keep a batch in memory during the
    /// wait. Returns false if the disk stalls.
    pub async fn room(&self) -> bool {
        self.in_turn(|| lock(&self.open).has_room().then_some(())).await.is_some()
    }

    /// Makes an attempt, at once if no other task waits, else in order of arrival, and repeats it
    /// each time the writer has taken the open buffer until the attempt returns a value. Returns
    /// `None` if the disk stalls.
    async fn in_turn<T>(&self, attempt: impl Fn() -> Option<T>) -> Option<T> {
        if self.turns.available_permits() > 0
            && let Some(value) = attempt()
        {
            return Some(value);
        }
        let _turn = self.turns.acquire().await;
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if let Some(value) = attempt() {
                return Some(value);
            }
            if !self.is_drained(drained.as_mut()).await {
                return None;
            }
        }
    }

    /// Returns true if the writer takes the open buffer before the disk counts as stalled. The time
    /// is counted in short waits: few of them pass while the whole machine is suspended, or while
    /// the only thread does something else.
    async fn is_drained(&self, mut drained: Pin<&mut Notified<'_>>) -> bool {
        let piece = Duration::from_millis(STALLED_DISK_PIECE_MILLISECONDS);
        while lock(&self.open).waits < STALLED_DISK_MILLISECONDS / STALLED_DISK_PIECE_MILLISECONDS {
            if timeout(piece, drained.as_mut()).await.is_ok() {
                return true;
            }
            lock(&self.open).waits += 1;
        }
        false
    }

    /// Appends a batch, or returns `None` while the open buffer has no room for it.
    pub fn try_append(
        &self,
        batch: &Batch,
        observer: &Arc<dyn CommitObserver>,
    ) -> Option<Result<Receipt, AppendError>> {
        debug_assert!(batch.bytes().len() <= BATCH_BYTES_MAX);
        let mut open = lock(&self.open);
        if let Err(refusal) = open.admits() {
            return Some(Err(refusal));
        }
        let pending = &mut open.pending;
        let was_empty = pending.count == 0;
        if was_empty {
            pending.frame.resize(FRAME_HEADER_BYTES, 0);
        } else if pending.frame.len() + batch.bytes().len() > COMMIT_BYTES_MAX {
            return None;
        }
        let receipt = Receipt { commit: Arc::clone(&pending.commit), offset: pending.count };
        pending.frame.extend_from_slice(batch.bytes());
        pending.count += batch.count();
        pending.batches += 1;
        pending.count_in(observer, u64::from(batch.count()));
        drop(open);
        if was_empty {
            self.filled.notify_one();
        }
        Some(Ok(receipt))
    }

    /// Returns an error with the reason if records do not become durable, according to the last
    /// commit. (A batch is accepted now and then all the same, to find out whether the reason
    /// persists.)
    pub fn state(&self) -> Result<(), AppendError> {
        let open = lock(&self.open);
        open.may_admit().and(open.state())
    }

    /// Returns once all batches appended so far are committed or refused.
    pub async fn committed(&self) {
        let commit = {
            let open = lock(&self.open);
            Arc::clone(if open.pending.count > 0 { &open.pending.commit } else { &open.previous })
        };
        commit.wait().await;
    }

    /// Rejects further batches. The writer commits the batches in the open buffer and ends.
    pub fn close(&self) {
        lock(&self.open).closed = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
    }
}

/// The content of one commit.
#[derive(Default)]
pub(super) struct PendingCommit {
    /// Space for a frame header, then batches end to end.
    pub(super) frame: Vec<u8>,
    pub(super) count: u32,
    pub(super) batches: u32,
    pub(super) commit: Arc<Commit>,
    /// The observers of the records, each with its number of records; only a few.
    pub(super) observers: Vec<(Arc<dyn CommitObserver>, u64)>,
}

impl PendingCommit {
    fn count_in(&mut self, observer: &Arc<dyn CommitObserver>, records: u64) {
        match self.observers.iter_mut().find(|(known, _)| Arc::ptr_eq(known, observer)) {
            Some((_, count)) => *count += records,
            None => self.observers.push((Arc::clone(observer), records)),
        }
    }
}

/// The buffer that fills while the previous one is written.
pub(super) struct OpenBuffer {
    pub(super) pending: PendingCommit,
    /// Number of short waits in which the writer did not take this buffer.
    pub(super) waits: u64,
    /// The previous commit, which may still be in progress.
    pub(super) previous: Arc<Commit>,
    /// Why batches are refused now, and until when (without end if `None`).
    pub(super) refusal: Option<(AppendError, Option<Instant>)>,
    pub(super) closed: bool,
}

impl OpenBuffer {
    /// Returns an empty buffer. The last commit ended before `next_id`.
    pub(super) fn new(next_id: RecordId) -> OpenBuffer {
        OpenBuffer {
            pending: PendingCommit::default(),
            waits: 0,
            previous: Arc::new(Commit::new_with(Some(Ok(next_id)))),
            refusal: None,
            closed: false,
        }
    }

    fn has_room(&self) -> bool {
        let has_space = self.pending.frame.len() + 2 * BATCH_BYTES_TARGET <= COMMIT_BYTES_MAX;
        self.closed || self.refusal.is_some() || has_space
    }

    fn admits(&self) -> Result<(), AppendError> {
        match &self.refusal {
            // One commit tests whether the reason persists.
            Some((_, Some(until))) if *until <= Instant::now() => self.may_admit(),
            _ => self.may_admit().and(self.state()),
        }
    }

    fn may_admit(&self) -> Result<(), AppendError> {
        if self.closed { Err(AppendError::Closed) } else { Ok(()) }
    }

    /// Returns the refusal of the last commit, unless it was cleared since.
    fn state(&self) -> Result<(), AppendError> {
        self.refusal.as_ref().map_or(Ok(()), |(refusal, _)| Err(refusal.clone()))
    }

    pub(super) fn refuse(&mut self, refusal: AppendError) {
        let until =
            refusal.may_pass().then(|| Instant::now() + Duration::from_millis(FULL_RETRY_MILLISECONDS));
        self.refusal = Some((refusal, until));
    }

    /// Clears the refusal because its cause has passed.
    pub(super) fn admit_again(&mut self) {
        self.refusal.take_if(|(refusal, _)| refusal.may_pass());
    }

    /// Clears the refusal because the files are in place again.
    pub(super) fn admit_if_failing(&mut self) {
        self.refusal.take_if(|(refusal, _)| matches!(refusal, AppendError::Failing(_)));
    }

    /// Clears the refusal because a full spool has room again.
    pub(super) fn admit_if_full(&mut self) {
        self.refusal.take_if(|(refusal, _)| matches!(refusal, AppendError::Full(_)));
    }
}
