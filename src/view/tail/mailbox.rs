//! What the follower has found for one tail, until it is sent.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Notify;

use super::lock;
use crate::limits::TAIL_BUFFER_BYTES;
use crate::record::RecordId;

/// Events on their way from the follower to the body of one answer.
#[derive(Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    /// There is something to send, or nothing more will come.
    filled: Notify,
    /// The client has gone.
    has_left: AtomicBool,
}

#[derive(Default)]
struct Mail {
    events: Vec<u8>,
    /// All that matches below this id has been put in, and is in `events` or was taken before; not known yet while the
    /// last records are being looked for.
    position: Option<RecordId>,
    /// The follower has ended.
    is_closed: bool,
}

/// What was in a mailbox.
pub(super) struct Taken {
    pub(super) events: Vec<u8>,
    /// The follower has been waiting for room.
    pub(super) was_full: bool,
    pub(super) is_closed: bool,
}

impl Mailbox {
    /// Whether the follower may put in more.
    pub(super) fn has_room(&self) -> bool {
        lock(&self.mail).events.len() < TAIL_BUFFER_BYTES
    }

    /// Puts in what was found below `position`, and leaves `events` empty.
    pub(super) fn put(&self, events: &mut Vec<u8>, position: RecordId) {
        let mut mail = lock(&self.mail);
        mail.position = Some(position);
        if events.is_empty() {
            return;
        }
        if mail.events.is_empty() {
            std::mem::swap(&mut mail.events, events);
        } else {
            mail.events.append(events);
        }
        drop(mail);
        self.filled.notify_one();
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        lock(&self.mail).is_closed = true;
        self.filled.notify_one();
    }

    /// Nobody will take anything any more.
    pub(super) fn leave(&self) {
        self.has_left.store(true, Relaxed);
    }

    /// Whether the client has gone.
    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Relaxed)
    }

    /// Returns once there is something to take.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Takes all there is; with a comment that tells how far the stream has come, if it is asked for or nothing more will come:
    /// the follower may have ended before the reader of the mailbox knows that it has to.
    pub(super) fn take(&self, with_position: bool) -> Taken {
        let mut mail = lock(&self.mail);
        let mut events = std::mem::take(&mut mail.events);
        let was_full = events.len() >= TAIL_BUFFER_BYTES;
        if with_position || mail.is_closed {
            write_position(mail.position, &mut events);
        }
        events.shrink_to_fit(); // it stays until the client reads it
        Taken { events, was_full, is_closed: mail.is_closed }
    }
}

/// Appends a comment, with the id up to which the stream has come.
pub(super) fn write_position(position: Option<RecordId>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = match position {
        Some(position) => write!(out, ":\nid: {}\n\n", position.saturating_sub(1)),
        None => write!(out, ":\n\n"),
    };
}
