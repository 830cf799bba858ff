//! Appending: batches go into the open buffer, which the writer takes whole at each commit.

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

/// The first words of [`AppendError::Poisoned`].
pub const DISK_ERROR: &str = "the spool has stopped after a disk error";
/// The first words of [`AppendError::Failing`].
pub const DISK_FAILING: &str = "the spool cannot make records durable now";

/// Why records were not made durable. Those of the batch in question are not stored, not even in part; but
/// where a disk has failed, a restart may find them all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The ceiling is reached or the disk is full; it may pass.
    #[error("the spool is full: {0}")]
    Full(Arc<str>),
    /// The files are not where they were, or a sync found the disk full; it may pass.
    #[error("{DISK_FAILING}: {0}", DISK_FAILING = DISK_FAILING)]
    Failing(Arc<str>),
    /// A write failed; only a restart helps.
    #[error("{DISK_ERROR}: {0}", DISK_ERROR = DISK_ERROR)]
    Poisoned(Arc<str>),
    /// The program is stopping.
    #[error("the server is stopping")]
    Closed,
}

impl AppendError {
    /// Whether the next try may succeed without a restart.
    pub fn may_pass(&self) -> bool {
        matches!(self, AppendError::Full(_) | AppendError::Failing(_))
    }
}

/// Whoever appended, and wants to count what became of its records without waiting for a receipt.
pub trait Witness: Send + Sync {
    /// So many records became durable, or were refused, in one commit.
    fn committed(&self, records: u64, outcome: Result<(), &AppendError>);
}

/// The outcome of one commit: the id of its first record.
pub(super) type Commit = SetOnce<Result<RecordId, AppendError>>;

/// Tells when an appended batch is durable.
#[derive(Debug)]
#[must_use = "a batch is durable only when its receipt says so"]
pub struct Receipt {
    commit: Arc<Commit>,
    offset: u32,
}

impl Receipt {
    /// Waits for the commit, and gives the id of the batch's first record.
    pub async fn durable(self) -> Result<RecordId, AppendError> {
        let first_id = self.commit.wait().await.clone()?;
        Ok(first_id + u64::from(self.offset))
    }
}

impl Spool {
    /// Appends a batch, waiting in turn while the open buffer has no room for it. Fails when the disk stands still meanwhile.
    pub async fn append(&self, batch: &Batch, witness: &Arc<dyn Witness>) -> Result<Receipt, AppendError> {
        if self.nobody_waits()
            && let Some(result) = self.try_append(batch, witness)
        {
            return result;
        }
        let _turn = self.turns.acquire().await;
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if let Some(result) = self.try_append(batch, witness) {
                return result;
            }
            if !self.is_drained(drained.as_mut()).await {
                return Err(AppendError::Full("the disk does not keep up".into()));
            }
        }
    }

    /// Waits in turn until the open buffer has room for a usual batch (or refuses all): whoever waits here has nothing to keep
    /// meanwhile. `false` when the disk stands still.
    pub async fn room(&self) -> bool {
        if self.nobody_waits() && lock(&self.open).has_room() {
            return true;
        }
        let _turn = self.turns.acquire().await;
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if lock(&self.open).has_room() {
                return true;
            }
            if !self.is_drained(drained.as_mut()).await {
                return false;
            }
        }
    }

    fn nobody_waits(&self) -> bool {
        self.turns.available_permits() > 0
    }

    /// Whether the writer takes the open buffer before the disk counts as standing still. That is told by short waits: where the
    /// whole machine stands still, or the one thread does something else, they are few.
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
        witness: &Arc<dyn Witness>,
    ) -> Option<Result<Receipt, AppendError>> {
        debug_assert!(batch.bytes().len() <= BATCH_BYTES_MAX);
        let mut open = lock(&self.open);
        if let Err(refusal) = open.admits() {
            return Some(Err(refusal));
        }
        let was_empty = open.count == 0;
        if was_empty {
            open.frame.resize(FRAME_HEADER_BYTES, 0);
        } else if open.frame.len() + batch.bytes().len() > COMMIT_BYTES_MAX {
            return None;
        }
        let receipt = Receipt { commit: Arc::clone(&open.commit), offset: open.count };
        open.frame.extend_from_slice(batch.bytes());
        open.count += batch.count();
        open.batches += 1;
        open.count_in(witness, u64::from(batch.count()));
        drop(open);
        if was_empty {
            self.filled.notify_one();
        }
        Some(Ok(receipt))
    }

    /// Whether records become durable, as far as the last commit tells: the reason why not otherwise. (Now and then one is
    /// taken all the same, to find out.)
    pub fn state(&self) -> Result<(), AppendError> {
        let open = lock(&self.open);
        open.may_admit().and(open.state())
    }

    /// Returns once what has been appended so far is committed (or refused).
    pub async fn committed(&self) {
        let commit = {
            let open = lock(&self.open);
            if open.count > 0 { Arc::clone(&open.commit) } else { Arc::clone(&open.previous) }
        };
        commit.wait().await;
    }

    /// Takes no more; the writer commits what is there and ends.
    pub fn close(&self) {
        lock(&self.open).closed = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
    }
}

/// The buffer that fills while the other is written.
pub(super) struct Open {
    /// Room for a frame header, then batches end to end.
    pub(super) frame: Vec<u8>,
    pub(super) count: u32,
    pub(super) batches: u32,
    /// How often somebody has waited in vain for the writer to take it.
    pub(super) waits: u64,
    pub(super) commit: Arc<Commit>,
    /// The commit before it, which may be under way still.
    pub(super) previous: Arc<Commit>,
    /// Who has appended how many of them; a handful.
    pub(super) witnesses: Vec<(Arc<dyn Witness>, u64)>,
    /// Why nothing is taken now, and until when (for ever if `None`).
    pub(super) refusal: Option<(AppendError, Option<Instant>)>,
    pub(super) closed: bool,
}

impl Open {
    /// An empty buffer; the last commit ended before `next_id`.
    pub(super) fn new(next_id: RecordId) -> Open {
        Open {
            frame: Vec::new(),
            count: 0,
            batches: 0,
            waits: 0,
            commit: Arc::default(),
            previous: Arc::new(Commit::new_with(Some(Ok(next_id)))),
            witnesses: Vec::new(),
            refusal: None,
            closed: false,
        }
    }

    fn has_room(&self) -> bool {
        self.closed || self.refusal.is_some() || self.frame.len() + 2 * BATCH_BYTES_TARGET <= COMMIT_BYTES_MAX
    }

    fn count_in(&mut self, witness: &Arc<dyn Witness>, records: u64) {
        match self.witnesses.iter_mut().find(|(known, _)| Arc::ptr_eq(known, witness)) {
            Some((_, count)) => *count += records,
            None => self.witnesses.push((Arc::clone(witness), records)),
        }
    }

    fn admits(&self) -> Result<(), AppendError> {
        match &self.refusal {
            Some((_, Some(until))) if *until <= Instant::now() => self.may_admit(), // one commit finds out
            _ => self.may_admit().and(self.state()),
        }
    }

    fn may_admit(&self) -> Result<(), AppendError> {
        if self.closed { Err(AppendError::Closed) } else { Ok(()) }
    }

    /// What the last commit found, as far as nothing has been released since.
    fn state(&self) -> Result<(), AppendError> {
        self.refusal.as_ref().map_or(Ok(()), |(refusal, _)| Err(refusal.clone()))
    }

    pub(super) fn refuse(&mut self, refusal: AppendError) {
        let until =
            refusal.may_pass().then(|| Instant::now() + Duration::from_millis(FULL_RETRY_MILLISECONDS));
        self.refusal = Some((refusal, until));
    }

    /// What was in the way has passed.
    pub(super) fn admit_again(&mut self) {
        self.refusal.take_if(|(refusal, _)| refusal.may_pass());
    }

    /// The files are where they were.
    pub(super) fn admit_if_failing(&mut self) {
        self.refusal.take_if(|(refusal, _)| matches!(refusal, AppendError::Failing(_)));
    }

    /// A full spool has room again.
    pub(super) fn admit_if_full(&mut self) {
        self.refusal.take_if(|(refusal, _)| matches!(refusal, AppendError::Full(_)));
    }
}
