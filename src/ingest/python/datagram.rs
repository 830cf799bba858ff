//! Receives from `logging.handlers.DatagramHandler`: each datagram is one frame including its
//! length prefix, over UDP or a Unix socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::watch;

use super::stream::StreamBounds;
use super::{PickleScratch, decode, frames};
use crate::ingest::dead_letter::Allowance;
use crate::ingest::source::Source;
use crate::ingest::{Arrival, Rejection};
use crate::limits::{DATAGRAM_BYTES_MAX, DATAGRAMS_PER_BATCH_MAX, DROPPED_DATAGRAMS_SECONDS};
use crate::log;
use crate::record::Batch;

/// A datagram socket, UDP or Unix.
#[derive(Debug)]
pub enum Datagrams {
    /// A UDP socket.
    Udp(UdpSocket),
    /// A Unix socket.
    Unix(UnixDatagram),
}

impl Datagrams {
    async fn readable(&self) -> io::Result<()> {
        match self {
            Datagrams::Udp(socket) => socket.readable().await,
            Datagrams::Unix(socket) => socket.readable().await,
        }
    }

    fn inode(&self) -> Option<u64> {
        match self {
            Datagrams::Udp(socket) => rustix::fs::fstat(socket).ok().map(|data| data.st_ino),
            Datagrams::Unix(_) => None, // its senders wait, so nothing is dropped
        }
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        match self {
            Datagrams::Udp(socket) => socket.try_recv_from(buffer).map(|(length, peer)| (length, Some(peer))),
            Datagrams::Unix(socket) => socket.try_recv(buffer).map(|length| (length, None)),
        }
    }
}

/// Receives datagrams until `stop` is true, then the datagrams that have already arrived.
pub async fn serve(
    socket: Datagrams,
    source: Arc<Source>,
    bounds: Arc<StreamBounds>,
    mut stop: watch::Receiver<bool>,
) {
    let mut receiver = Receiver {
        host: source.host_of(None),
        source,
        bounds,
        buffer: vec![0; DATAGRAM_BYTES_MAX],
        scratch: PickleScratch::default(),
        peer: None,
        inode: socket.inode(),
        dropped: 0,
    };
    let mut batch = Batch::new();
    let mut look = tokio::time::interval(Duration::from_secs(DROPPED_DATAGRAMS_SECONDS));
    loop {
        let stopping = *stop.borrow();
        if !stopping {
            tokio::select! {
                _ = socket.readable() => {}
                _ = stop.changed() => {}
                _ = look.tick() => receiver.count_dropped(),
            }
        }
        batch.clear();
        receiver.receive(&socket, &mut batch);
        if !batch.is_empty() {
            receiver.source.append_or_shed(&batch).await;
            // Yields, because a sender that never pauses must not starve the other tasks of the
            // thread.
            tokio::task::yield_now().await;
        } else if stopping {
            return receiver.count_dropped();
        }
    }
}

struct Receiver {
    source: Arc<Source>,
    bounds: Arc<StreamBounds>,
    buffer: Vec<u8>,
    scratch: PickleScratch,
    /// The peer of the last datagram.
    peer: Option<SocketAddr>,
    /// The host name of `peer`.
    host: String,
    /// Identifies the socket in the system's socket tables.
    inode: Option<u64>,
    /// Number of datagrams dropped by the system that are already counted.
    dropped: u64,
}

impl Receiver {
    /// Counts the datagrams that the system has dropped since the last call because the socket's
    /// receive buffer was full.
    fn count_dropped(&mut self) {
        let dropped = self.inode.and_then(dropped).unwrap_or(0);
        let new = dropped.saturating_sub(self.dropped);
        if new > 0 {
            self.dropped = dropped;
            self.source.counters.received.inc_by(new);
            self.source.counters.shed.add("socket_buffer", new);
            if log::admits(log::LimitedMessage::DroppedDatagrams) {
                tracing::warn!(
                    source = self.source.counters.source,
                    datagrams = new,
                    "datagrams arrived faster than they could be read"
                );
            }
        }
    }

    /// Receives the datagrams that have arrived, at most one batch of them.
    fn receive(&mut self, socket: &Datagrams, batch: &mut Batch) {
        for _ in 0..DATAGRAMS_PER_BATCH_MAX {
            let Ok((length, peer)) = socket.try_receive(&mut self.buffer) else { return };
            if peer.map(|peer| peer.ip()) != self.peer.map(|peer| peer.ip()) {
                self.host = self.source.host_of(peer.map(|peer| peer.ip()));
            }
            self.peer = peer;
            self.take(length, batch);
            if batch.is_full() {
                return;
            }
        }
    }

    fn take(&mut self, length: usize, batch: &mut Batch) {
        let datagram = &self.buffer[..length];
        let counters = &self.source.counters;
        counters.received.inc();
        let arrival: Arrival<'_> = self.source.arrival(&self.host, 0);
        let result = match frames::next(datagram, self.bounds.frame_bytes_max) {
            frames::Next::Frame(pickle, []) => decode(pickle, &arrival, &mut self.scratch, batch),
            frames::Next::Frame(..) => {
                Err(Rejection::new("malformed", "the datagram continues after its frame"))
            }
            frames::Next::TooLarge(length) => Err(frames::too_large(length, self.bounds.frame_bytes_max)),
            frames::Next::Partial(_) => {
                Err(Rejection::new("truncated", "the datagram ends within its frame"))
            }
            frames::Next::NotAFrame => {
                Err(Rejection::new("not_python", "the datagram is not a frame of Python's DatagramHandler"))
            }
        };
        if let Err(rejection) = result {
            // Datagrams have no connection, so only the dead-letter limit of the source applies.
            self.source.reject(batch, &arrival, &rejection, datagram, &mut Allowance::default());
        }
    }
}

/// Returns the number of datagrams that the system has dropped at a UDP socket, from the last
/// column of Linux's socket table. Returns `None` on other systems.
fn dropped(inode: u64) -> Option<u64> {
    ["/proc/net/udp", "/proc/net/udp6"].iter().find_map(|path| {
        let table = std::fs::read_to_string(path).ok()?;
        table.lines().find_map(|line| {
            let mut columns = line.split_ascii_whitespace();
            (columns.nth(9)?.parse() == Ok(inode)).then(|| columns.last()?.parse().ok())?
        })
    })
}
