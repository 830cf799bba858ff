//! Limits log lines that clients can cause: a few of each kind in a minute, and then one that says how many were left out.
//!
//! ```ignore
//! if log::admits(Kind::Stranger) {
//!     tracing::warn!(peer, "closed a connection that does not speak Python's SocketHandler");
//! }
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;

use super::UNFINISHED;
use crate::limits::{LOG_INTERVAL_SECONDS, LOG_LINES_PER_INTERVAL_MAX};

/// A kind of lines that clients, or the records of clients, can cause any number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A connection of another protocol.
    Stranger,
    /// A frame that its connection left unfinished.
    UnfinishedFrame,
    /// A connection that could not be accepted.
    NotAccepted,
    /// Datagrams that came too fast.
    DroppedDatagrams,
    /// A rejected input beyond the ceiling of dead letters.
    RejectedInput,
    /// An answer that its client does not read.
    UnreadAnswer,
    /// An answer whose time was over.
    LateAnswer,
    /// A tail that its client does not read.
    UnreadTail,
    /// A record that a database refuses.
    RefusedRecord,
    /// A stored record that cannot be decoded.
    UndecodableRecord,
}

/// The kinds, in their order, with the level of their lines and what they are called.
const KINDS: [(Kind, Level, &str); 10] = [
    (Kind::Stranger, Level::WARN, "connections of another protocol"),
    (Kind::UnfinishedFrame, Level::DEBUG, "unfinished frames"),
    (Kind::NotAccepted, Level::WARN, "connections that could not be accepted"),
    (Kind::DroppedDatagrams, Level::WARN, "dropped datagrams"),
    (Kind::RejectedInput, Level::WARN, "rejected inputs without a dead letter"),
    (Kind::UnreadAnswer, Level::INFO, "answers that were not read"),
    (Kind::LateAnswer, Level::INFO, "answers that ran out of time"),
    (Kind::UnreadTail, Level::INFO, "tails that were not read"),
    (Kind::RefusedRecord, Level::WARN, "records that a database refuses"),
    (Kind::UndecodableRecord, Level::ERROR, "stored records that cannot be decoded"),
];

static WINDOWS: [Window; KINDS.len()] = [const { Window::new() }; KINDS.len()];

/// Whether a line of this kind is to be written now. If not it is counted, and said later.
pub fn admits(kind: Kind) -> bool {
    let (_, level, _) = KINDS[kind as usize];
    if LevelFilter::current() < level {
        return false; // nobody would see it
    }
    let is_admitted = WINDOWS[kind as usize].admit(Instant::now());
    if !is_admitted {
        UNFINISHED.notify_one();
    }
    is_admitted
}

/// Says what was left out in intervals that are over. Whether nothing is left to say.
pub(super) fn tell_when_due() -> bool {
    let now = Instant::now();
    tell(|window| window.take_due(now));
    WINDOWS.iter().all(|window| window.lock().left_out == 0)
}

/// Says what was left out so far.
pub(super) fn tell_now() {
    tell(|window| std::mem::take(&mut window.lock().left_out));
}

fn tell(take: impl Fn(&Window) -> u64) {
    for ((_, level, kind), window) in KINDS.iter().zip(&WINDOWS) {
        let lines = take(window);
        match *level {
            _ if lines == 0 => {}
            Level::DEBUG => tracing::debug!(kind, lines, "further lines of a kind were left out"),
            Level::INFO => tracing::info!(kind, lines, "further lines of a kind were left out"),
            _ => tracing::warn!(kind, lines, "further lines of a kind were left out"),
        }
    }
}

/// How many lines of one kind were written, and not, since an interval began.
struct Window(Mutex<Counts>);

struct Counts {
    since: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl Window {
    const fn new() -> Window {
        Window(Mutex::new(Counts { since: None, written: 0, left_out: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, now: Instant) -> bool {
        let mut counts = self.lock();
        if counts.is_over(now) {
            (counts.since, counts.written) = (Some(now), 0);
        }
        if counts.written < LOG_LINES_PER_INTERVAL_MAX {
            counts.written += 1;
            return true;
        }
        counts.left_out += 1;
        false
    }

    /// What was left out, once the interval is over.
    fn take_due(&self, now: Instant) -> u64 {
        let mut counts = self.lock();
        if counts.is_over(now) { std::mem::take(&mut counts.left_out) } else { 0 }
    }
}

impl Counts {
    fn is_over(&self, now: Instant) -> bool {
        let interval = Duration::from_secs(LOG_INTERVAL_SECONDS);
        self.since.is_none_or(|since| now.saturating_duration_since(since) >= interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_in_their_order() {
        assert!(KINDS.iter().enumerate().all(|(index, (kind, ..))| *kind as usize == index));
    }

    #[test]
    fn a_few_lines_pass_and_the_rest_is_counted() {
        let window = Window::new();
        let start = Instant::now();
        let passed = (0..1000).filter(|_| window.admit(start)).count();
        assert_eq!(passed, LOG_LINES_PER_INTERVAL_MAX as usize);
        assert_eq!(window.take_due(start), 0, "not yet");
        let later = start + Duration::from_secs(LOG_INTERVAL_SECONDS);
        assert!(window.admit(later));
        assert_eq!(window.lock().left_out, 1000 - passed as u64, "still to be said");
        let later = later + Duration::from_secs(LOG_INTERVAL_SECONDS);
        assert_eq!(window.take_due(later), 1000 - passed as u64);
        assert_eq!(window.take_due(later), 0, "once");
    }
}
