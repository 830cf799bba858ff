//! Resources that a bounded number of clients hold at once, and the time that a client may hold one
//! while the server waits for that client.
//!
//! A client that sends or reads its bytes slowly does no harm as long as there are free slots. Once
//! another client waits for a slot, a holder that stalls loses its connection: see [`Stall`].

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::{CLIENT_BYTES_PER_SECOND_MIN, CLIENT_PATIENCE_MILLISECONDS, STALL_PIECE_MILLISECONDS};

/// A bounded number of slots, granted in the order in which clients request them.
#[derive(Debug)]
pub struct Slots {
    free: Semaphore,
    waiting: AtomicUsize,
}

impl Slots {
    /// Returns this many slots, all of them free.
    pub fn new(count: usize) -> Slots {
        Slots { free: Semaphore::new(count), waiting: AtomicUsize::new(0) }
    }

    /// Waits until this many slots are free at once, and acquires them. (Never returns `None`: the
    /// slots are not closed.)
    pub async fn acquire(&self, count: u32) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.free.try_acquire_many(count) {
            return Some(permit);
        }
        let _waiting = Waiting::new(&self.waiting);
        self.free.acquire_many(count).await.ok()
    }

    /// Returns true if a client waits for a slot.
    pub fn is_scarce(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }
}

/// Counts one waiting client, until dropped: the client may disconnect while it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Waiting<'a> {
        count.fetch_add(1, Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The longest part of an uninterrupted wait that is counted at once: while the machine is
/// suspended, no client can do anything.
const PIECE: Duration = Duration::from_millis(STALL_PIECE_MILLISECONDS);

/// How long a client may keep the server waiting while others wait for what the client holds. Each
/// byte that moves restores a part of this time.
const PATIENCE: Duration = Duration::from_millis(CLIENT_PATIENCE_MILLISECONDS);

/// The time that the server has waited for one client: for bytes, or for room to write some.
#[derive(Debug)]
pub struct Stall {
    /// The longest wait for a single byte.
    wait_max: Duration,
    /// The time waited since the last byte.
    waited: Duration,
    patience: Duration,
    /// When the current wait was last counted; `None` if there is none.
    counted: Option<Instant>,
    /// Created at the first wait.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// Returns the state of a client that has not kept the server waiting yet.
    pub fn new(wait_max: Duration) -> Stall {
        Stall { wait_max, waited: Duration::ZERO, patience: PATIENCE, counted: None, timer: None }
    }

    /// Must be polled while no byte moves. Returns ready once the client has used up its time: the
    /// longest wait or, if other clients wait for what this client holds, its patience.
    pub fn poll_over(&mut self, context: &mut Context<'_>, is_scarce: bool) -> Poll<()> {
        let now = Instant::now();
        self.count(now);
        self.counted = Some(now);
        if self.is_over(is_scarce) {
            return Poll::Ready(());
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(now + PIECE)));
        if timer.is_elapsed() {
            timer.as_mut().reset(now + PIECE);
        }
        while timer.as_mut().poll(context).is_ready() {
            timer.as_mut().reset(Instant::now() + PIECE);
        }
        Poll::Pending
    }

    /// Ends the wait, because this many bytes moved.
    pub fn moved(&mut self, bytes: usize) {
        if self.counted.is_some() {
            self.count(Instant::now());
            self.counted = None;
        }
        self.waited = Duration::ZERO;
        if self.patience < PATIENCE {
            let earned = bytes as u64 * 1_000_000 / CLIENT_BYTES_PER_SECOND_MIN;
            self.patience = PATIENCE.min(self.patience + Duration::from_micros(earned));
        }
    }

    fn count(&mut self, now: Instant) {
        if let Some(counted) = self.counted {
            let piece = now.saturating_duration_since(counted).min(PIECE);
            self.waited += piece;
            self.patience = self.patience.saturating_sub(piece);
        }
    }

    fn is_over(&self, is_scarce: bool) -> bool {
        self.waited >= self.wait_max || is_scarce && self.patience.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT_MAX: Duration = Duration::from_secs(30);

    /// Waits for this many pieces.
    fn wait(stall: &mut Stall, pieces: u32) {
        let start = Instant::now();
        stall.counted = Some(start);
        for piece in 1..=pieces {
            let now = start + PIECE * piece;
            stall.count(now);
            stall.counted = Some(now);
        }
    }

    #[test]
    fn stall_without_scarcity_ends_at_the_longest_wait() {
        let mut stall = Stall::new(WAIT_MAX);
        wait(&mut stall, 119);
        assert!(!stall.is_over(false) && stall.is_over(true));
        wait(&mut stall, 1);
        assert!(stall.is_over(false));
        stall.counted = None;
        stall.moved(1);
        assert!(!stall.is_over(false));
    }

    #[test]
    fn stall_with_scarcity_ends_below_the_least_pace() {
        let (mut fast, mut slow) = (Stall::new(WAIT_MAX), Stall::new(WAIT_MAX));
        let piece_bytes = (CLIENT_BYTES_PER_SECOND_MIN * STALL_PIECE_MILLISECONDS / 1000) as usize;
        for _ in 0..10 {
            for (stall, bytes) in [(&mut fast, piece_bytes), (&mut slow, 1)] {
                wait(stall, 1);
                stall.counted = None;
                stall.moved(bytes);
            }
        }
        wait(&mut fast, 1);
        wait(&mut slow, 1);
        assert!(!fast.is_over(true) && slow.is_over(true));
    }

    #[test]
    fn stall_while_the_machine_stands_still_counts_little() {
        let mut stall = Stall::new(WAIT_MAX);
        let start = Instant::now();
        stall.counted = Some(start);
        stall.count(start + Duration::from_secs(3600));
        assert!(!stall.is_over(true));
    }

    #[tokio::test]
    async fn slots_are_scarce_while_somebody_waits() {
        let slots = Slots::new(2);
        let held = slots.acquire(2).await.unwrap();
        assert!(!slots.is_scarce());
        let mut waiting = Box::pin(slots.acquire(1));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert!(slots.is_scarce());
        drop(waiting); // disconnected before it got a slot
        assert!(!slots.is_scarce());
        drop(held);
        assert!(slots.acquire(1).await.is_some());
    }
}
