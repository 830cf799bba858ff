//! Sends the content of one tail's buffer, at the pace of its client.

use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::TailSlot;
use crate::limits::{TAIL_END_MILLISECONDS, TAIL_HEARTBEAT_SECONDS, TAIL_STALL_SECONDS_MAX};
use crate::log;
use crate::net::http::ConnectionAbort;
use crate::net::http::body::BodySender;

const HEARTBEAT: Duration = Duration::from_secs(TAIL_HEARTBEAT_SECONDS);
const STALL_MAX: Duration = Duration::from_secs(TAIL_STALL_SECONDS_MAX);

/// Connects a buffer with the body of a response.
pub(super) struct TailSender {
    pub(super) slot: TailSlot,
    pub(super) abort: ConnectionAbort,
    pub(super) stop: watch::Receiver<bool>,
}

impl TailSender {
    /// Runs until the client disconnects or the server stops. When the server stops, the stream
    /// ends with the position to resume from.
    pub(super) async fn run(mut self, sender: BodySender) {
        let mut heartbeats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_over = false;
        while !is_over {
            let is_heartbeat = tokio::select! {
                biased;
                () = self.abort.gone() => return,
                () = sender.closed() => return,
                _ = self.stop.wait_for(|stop| *stop) => {
                    is_over = true;
                    true
                }
                _ = heartbeats.tick() => true,
                () = self.slot.buffer.filled() => false,
            };
            let taken = self.slot.buffer.take(is_heartbeat);
            if taken.was_full {
                self.slot.shared.changed.notify_one();
            }
            if !taken.events.is_empty() && !self.send(taken.events, &sender).await {
                return;
            }
            is_over |= taken.is_closed;
        }
        sender.end();
        if *self.stop.borrow() {
            self.abort_if_unread().await;
        }
    }

    /// Closes the connection if its client does not read the end of the stream soon.
    async fn abort_if_unread(&mut self) {
        tokio::select! {
            () = self.abort.gone() => {}
            () = sleep(Duration::from_millis(TAIL_END_MILLISECONDS)) => self.abort.now(),
        }
    }

    /// Sends events. Returns false if the client receives no more events.
    async fn send(&mut self, events: Vec<u8>, sender: &BodySender) -> bool {
        let sent = tokio::select! {
            biased;
            sent = timeout(STALL_MAX, sender.send(Bytes::from(events))) => sent.ok(),
            () = self.abort.gone() => return false,
            // A client that does not read now is not waited for.
            _ = self.stop.wait_for(|stop| *stop) => None,
        };
        match sent {
            Some(is_wanted) => is_wanted,
            None => {
                if log::admits(log::LimitedMessage::UnreadTail) {
                    tracing::info!("a tail was not read: its connection is closed");
                }
                self.abort.now();
                false
            }
        }
    }
}
