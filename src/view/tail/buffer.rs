//! Buffers what the follower has found for one tail, until it is sent.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Notify;

use super::lock;
use crate::limits::TAIL_BUFFER_BYTES;
use crate::record::RecordId;

/// Events on their way from the follower to the body of one response.
#[derive(Default)]
pub(super) struct TailBuffer {
    mail: Mutex<Mail>,
    /// Notified when there is something to send, or when nothing more will follow.
    filled: Notify,
    /// The client has disconnected.
    has_left: AtomicBool,
}

#[derive(Default)]
struct Mail {
    events: Vec<u8>,
    /// All matches below this id have been added, and are in `events` or were taken before. `None`
    /// while the last matches are being collected.
    position: Option<RecordId>,
    /// The follower has ended.
    is_closed: bool,
}

/// The content of a buffer.
pub(super) struct TakenEvents {
    pub(super) events: Vec<u8>,
    /// The follower has been waiting for room.
    pub(super) was_full: bool,
    pub(super) is_closed: bool,
}

impl TailBuffer {
    /// Returns true if the follower may add more.
    pub(super) fn has_room(&self) -> bool {
        lock(&self.mail).events.len() < TAIL_BUFFER_BYTES
    }

    /// Adds what was found below `position`, and leaves `events` empty.
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

    /// Marks the buffer as complete: nothing more will follow.
    pub(super) fn close(&self) {
        lock(&self.mail).is_closed = true;
        self.filled.notify_one();
    }

    /// Marks the buffer as abandoned: its content will not be taken any more.
    pub(super) fn leave(&self) {
        self.has_left.store(true, Relaxed);
    }

    /// Returns true if the client has disconnected.
    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Relaxed)
    }

    /// Returns once there is something to take.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Takes the content. Appends a comment with the position of the stream if it is requested or
    /// if nothing more will follow: the follower may end before the reader of the buffer notices
    /// that it must end too.
    pub(super) fn take(&self, with_position: bool) -> TakenEvents {
        let mut mail = lock(&self.mail);
        let mut events = std::mem::take(&mut mail.events);
        let was_full = events.len() >= TAIL_BUFFER_BYTES;
        if with_position || mail.is_closed {
            write_position(mail.position, &mut events);
        }
        events.shrink_to_fit(); // the memory stays in use until the client reads it
        TakenEvents { events, was_full, is_closed: mail.is_closed }
    }
}

/// Appends a comment that contains the id up to which the stream has advanced.
pub(super) fn write_position(position: Option<RecordId>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = match position {
        Some(position) => write!(out, ":\nid: {}\n\n", position.saturating_sub(1)),
        None => write!(out, ":\n\n"),
    };
}
