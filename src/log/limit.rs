//! Limits the log lines that clients can cause: a few of each kind per interval. Further lines are
//! suppressed, and one line reports their number.
//!
//! ```ignore
//! if log::admits(LimitedMessage::Stranger) {
//!     tracing::warn!(
//!         peer,
//!         "closed a connection that does not use the protocol of Python's SocketHandler"
//!     );
//! }
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;

use super::UNFINISHED;
use crate::limits::{LOG_INTERVAL_SECONDS, LOG_LINES_PER_INTERVAL_MAX};

/// A kind of line that clients or their records can cause in any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedMessage {
    /// A connection of another protocol.
    Stranger,
    /// A frame that its connection left unfinished.
    UnfinishedFrame,
    /// A connection that could not be accepted.
    NotAccepted,
    /// Datagrams that the system dropped.
    DroppedDatagrams,
    /// A rejected input for which no dead letter was made.
    RejectedInput,
    /// A response that its client does not read.
    UnreadAnswer,
    /// A response whose time limit was reached.
    LateAnswer,
    /// A tail that its client does not read.
    UnreadTail,
    /// A record that a database refuses.
    RefusedRecord,
    /// A stored record that cannot be decoded.
    UndecodableRecord,
    /// A commit that a full spool refuses.
    FullSpool,
}

/// The kinds in the order of [`LimitedMessage`], with the level of their lines and a description.
const KINDS: [(LimitedMessage, Level, &str); 11] = [
    (LimitedMessage::Stranger, Level::WARN, "connections of another protocol"),
    (LimitedMessage::UnfinishedFrame, Level::DEBUG, "unfinished frames"),
    (LimitedMessage::NotAccepted, Level::WARN, "connections that could not be accepted"),
    (LimitedMessage::DroppedDatagrams, Level::WARN, "dropped datagrams"),
    (LimitedMessage::RejectedInput, Level::WARN, "rejected inputs without a dead letter"),
    (LimitedMessage::UnreadAnswer, Level::INFO, "answers that were not read"),
    (LimitedMessage::LateAnswer, Level::INFO, "answers that ran out of time"),
    (LimitedMessage::UnreadTail, Level::INFO, "tails that were not read"),
    (LimitedMessage::RefusedRecord, Level::WARN, "records that a database refuses"),
    (LimitedMessage::UndecodableRecord, Level::ERROR, "stored records that cannot be decoded"),
    (LimitedMessage::FullSpool, Level::ERROR, "commits refused by a full spool"),
];

static WINDOWS: [Window; KINDS.len()] = [const { Window::new() }; KINDS.len()];

/// Returns true if a line of this kind may be written now. If not, the line is counted and reported
/// later.
pub fn admits(kind: LimitedMessage) -> bool {
    let (_, level, _) = KINDS[kind as usize];
    if LevelFilter::current() < level {
        return false; // the level is not shown
    }
    let is_admitted = WINDOWS[kind as usize].admit(Instant::now());
    if !is_admitted {
        UNFINISHED.notify_one();
    }
    is_admitted
}

/// Reports the lines that were suppressed in intervals that are over. Returns true if nothing is
/// left to report.
pub(super) fn report_due() -> bool {
    let now = Instant::now();
    report(|window| window.take_due(now));
    WINDOWS.iter().all(|window| window.lock().suppressed == 0)
}

/// Reports all lines that were suppressed so far.
pub(super) fn report_all() {
    report(|window| std::mem::take(&mut window.lock().suppressed));
}

fn report(take: impl Fn(&Window) -> u64) {
    for ((_, level, kind), window) in KINDS.iter().zip(&WINDOWS) {
        let lines = take(window);
        match *level {
            _ if lines == 0 => {}
            Level::DEBUG => tracing::debug!(kind, lines, "further messages of this kind were suppressed"),
            Level::INFO => tracing::info!(kind, lines, "further messages of this kind were suppressed"),
            _ => tracing::warn!(kind, lines, "further messages of this kind were suppressed"),
        }
    }
}

/// The interval of one kind.
struct Window(Mutex<Counts>);

struct Counts {
    since: Option<Instant>,
    written: u32,
    suppressed: u64,
}

impl Window {
    const fn new() -> Window {
        Window(Mutex::new(Counts { since: None, written: 0, suppressed: 0 }))
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
        counts.suppressed += 1;
        false
    }

    /// Returns, once, the number of suppressed lines if the interval is over.
    fn take_due(&self, now: Instant) -> u64 {
        let mut counts = self.lock();
        if counts.is_over(now) { std::mem::take(&mut counts.suppressed) } else { 0 }
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
    fn kinds_are_in_order() {
        assert!(KINDS.iter().enumerate().all(|(index, (kind, ..))| *kind as usize == index));
    }

    #[test]
    fn lines_beyond_limit_are_counted_and_reported_once() {
        let window = Window::new();
        let start = Instant::now();
        let passed = (0..1000).filter(|_| window.admit(start)).count();
        assert_eq!(passed, LOG_LINES_PER_INTERVAL_MAX as usize);
        assert_eq!(window.take_due(start), 0, "not yet");
        let later = start + Duration::from_secs(LOG_INTERVAL_SECONDS);
        assert!(window.admit(later));
        assert_eq!(window.lock().suppressed, 1000 - passed as u64, "not reported yet");
        let later = later + Duration::from_secs(LOG_INTERVAL_SECONDS);
        assert_eq!(window.take_due(later), 1000 - passed as u64);
        assert_eq!(window.take_due(later), 0, "once");
    }
}
