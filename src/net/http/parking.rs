//! Bounds the memory of idle keep-alive connections: beyond the first [`HTTP_TURNS_ENDLESS_MAX`]
//! connections, a connection uses memory only while a request is in flight.
//!
//! hyper keeps about 20 KiB for every open connection. If many connections are open, idle ones
//! should not keep that memory: once a response has been sent and no further bytes have arrived,
//! hyper reads an end of file and releases its buffers. The socket stays open, and is served again
//! when the next request has arrived. Bytes that hyper had already read are served first then.
//!
//! The time in which hyper serves a connection is called a session here. A session takes a slot; at
//! most [`ConnectionLimits::short`] are taken at once. Three rules ensure that slots are released
//! whatever clients do: a client receives a slot only once the head of its request is complete
//! ([`super::head`]); while others wait for a slot, a client that does not read its response loses
//! its connection; and after as many pipelined requests as hyper reads at once, the slot goes to
//! the next client.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::head::{Charge, Head, Heads, Look};
use crate::limits::{
    HTTP_BUFFER_BYTES_KEPT_MAX, HTTP_HEAD_SECONDS_MAX, HTTP_LONG_REQUESTS_MAX, HTTP_TURNS_ENDLESS_MAX,
    HTTP_TURNS_SHORT_MAX, HTTP_WRITE_STALL_SECONDS_MAX,
};
use crate::net::StreamSocket;
use crate::slots::{Slots, Stall};

/// How long an idle connection stays open, and how long a request head may take to arrive.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(HTTP_HEAD_SECONDS_MAX);

/// How long a client may read nothing of a response.
const WRITE_STALL_MAX: Duration = Duration::from_secs(HTTP_WRITE_STALL_SECONDS_MAX);

/// The limits of connections, shared by all listeners.
#[derive(Debug)]
pub struct ConnectionLimits {
    /// One permit for each of the first connections, which hold it as long as they are open.
    pub(super) endless: Arc<Semaphore>,
    /// One slot for each of the other connections while a request is in flight.
    pub(super) short: Slots,
    /// One permit for each request that waits for something other than its client.
    long: Semaphore,
    heads: Arc<Heads>,
}

impl ConnectionLimits {
    /// Returns a permit for a request that waits for something other than its client, unless too
    /// many such requests wait.
    pub fn try_wait(&self) -> Option<SemaphorePermit<'_>> {
        self.long.try_acquire().ok()
    }
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            endless: Arc::new(Semaphore::new(HTTP_TURNS_ENDLESS_MAX)),
            short: Slots::new(HTTP_TURNS_SHORT_MAX),
            long: Semaphore::new(HTTP_LONG_REQUESTS_MAX),
            heads: Arc::default(),
        }
    }
}

/// The state of the latest request of a session; hyper handles one request after the other.
#[derive(Debug, Default)]
pub struct RequestState {
    /// The body of the request was read to its end, so the next bytes belong to another request.
    is_read: AtomicBool,
    is_answered: AtomicBool,
}

impl RequestState {
    /// Resets the state for a request that has arrived.
    pub(super) fn begin<B: Body>(&self, request: &Request<B>) {
        self.is_read.store(request.body().is_end_stream(), Relaxed);
        self.is_answered.store(false, Relaxed);
    }

    /// Records that the body of the request was read to its end.
    pub fn body_read(&self) {
        self.is_read.store(true, Relaxed);
    }

    fn is_at_rest(&self) -> bool {
        self.is_answered.load(Relaxed) && self.is_read.load(Relaxed)
    }
}

/// The socket as hyper sees it during one session.
pub(super) struct ParkableStream {
    stream: StreamSocket,
    /// Bytes that were read before this session and not used.
    rest: Bytes,
    /// The share of the memory for heads that `rest` occupies.
    charge: Option<Charge>,
    pub(super) state: Arc<RequestState>,
    /// The source of the slot of this session; `None` if the session may last as long as the
    /// connection.
    shared: Option<Arc<ConnectionLimits>>,
    /// The time during which the client has not read what was to be written.
    stall: Stall,
    /// The last write found the socket full: a part of a response may not have been written yet.
    is_blocked: bool,
    /// hyper has read an end of file: another session may follow.
    pub(super) is_over: bool,
    /// The largest read buffer that hyper has offered.
    buffer_bytes: usize,
}

impl ParkableStream {
    /// Creates the first session of a connection. `shared` contains the slots of which the session
    /// takes one.
    pub(super) fn new(stream: StreamSocket, shared: Option<Arc<ConnectionLimits>>) -> ParkableStream {
        ParkableStream {
            stream,
            rest: Bytes::new(),
            charge: None,
            state: Arc::default(),
            shared,
            stall: Stall::new(WRITE_STALL_MAX),
            is_blocked: false,
            is_over: false,
            buffer_bytes: 0,
        }
    }

    /// Returns the next session, with the bytes that hyper had read and not used.
    pub(super) fn next(self, rest: &[u8]) -> ParkableStream {
        // A copy, because even an empty slice of hyper's buffer keeps the whole buffer alive.
        ParkableStream { rest: Bytes::copy_from_slice(rest), ..ParkableStream::new(self.stream, self.shared) }
    }

    /// Returns true once there is a request to read. A session that takes a slot starts only with a
    /// complete head.
    pub(super) async fn request(&mut self) -> bool {
        match &self.shared {
            None => self.wait_readable().await,
            Some(limits) => {
                let heads = Arc::clone(&limits.heads);
                self.head(&heads).await
            }
        }
    }

    /// Returns once bytes or the end of the stream can be read. (Readiness alone is not enough:
    /// tokio assumes a new socket to be ready.)
    async fn wait_readable(&self) -> bool {
        let wait_readable = async {
            while self.rest.is_empty() {
                self.stream.readable().await?;
                match self.stream.try_peek(&mut [0]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return result.map(|_| ()),
                }
            }
            Ok(())
        };
        matches!(timeout(IDLE_MAX, wait_readable).await, Ok(Ok(())))
    }

    async fn head(&mut self, heads: &Arc<Heads>) -> bool {
        let mut head = Head::new(heads, &std::mem::take(&mut self.rest));
        let mut stall = Stall::new(IDLE_MAX);
        let mut begun = (!head.is_empty()).then(Instant::now);
        let is_whole = loop {
            match head.look(&self.stream) {
                Look::Whole => break true,
                Look::End => break false,
                Look::Part(bytes) => {
                    stall.moved(bytes);
                    begun.get_or_insert_with(Instant::now);
                }
                Look::Nothing => {}
            }
            let is_readable = match begun {
                None => matches!(timeout(IDLE_MAX, self.stream.readable()).await, Ok(Ok(()))),
                Some(begun) => begun.elapsed() < IDLE_MAX && self.readable(&mut stall, heads).await,
            };
            if !is_readable {
                break false;
            }
        };
        (self.rest, self.charge) = (head.bytes.into(), Some(head.charge));
        is_whole
    }

    /// Waits for more of a head. Returns false if the client has taken too long.
    async fn readable(&self, stall: &mut Stall, heads: &Heads) -> bool {
        let mut readable = pin!(self.stream.readable());
        poll_fn(|context| match readable.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(result.is_ok()),
            Poll::Pending => stall.poll_over(context, heads.is_scarce()).map(|()| false),
        })
        .await
    }

    /// Returns true if other connections wait for the slot of this session.
    fn is_wanted(&self) -> bool {
        self.shared.as_ref().is_some_and(|limits| limits.short.is_scarce())
    }

    /// Returns true if the memory of this session should be released while the client sends
    /// nothing.
    fn is_costly(&self) -> bool {
        self.shared.is_some() || self.buffer_bytes > HTTP_BUFFER_BYTES_KEPT_MAX
    }

    fn socket(&mut self) -> Pin<&mut (dyn Socket + Unpin)> {
        match &mut self.stream {
            StreamSocket::Tcp(stream) => Pin::new(stream),
            StreamSocket::Unix(stream) => Pin::new(stream),
        }
    }

    /// Evaluates the result of a write, so that the wait for a client that reads nothing is
    /// bounded.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.is_blocked = result.is_pending();
        match &result {
            Poll::Pending => {
                let is_wanted = self.is_wanted();
                if self.stall.poll_over(context, is_wanted).is_ready() {
                    // what the client does not read must not stay in the buffers of the system
                    // either
                    self.stream.reset_at_close();
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            Poll::Ready(Ok(bytes)) => self.stall.moved(*bytes),
            Poll::Ready(Err(_)) => {}
        }
        result
    }
}

trait Socket: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Socket for T {}

impl AsyncRead for ParkableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.rest.is_empty() {
            let length = self.rest.len().min(buffer.remaining());
            buffer.put_slice(&self.rest.split_to(length));
            return Poll::Ready(Ok(()));
        }
        self.charge = None;
        self.buffer_bytes = self.buffer_bytes.max(buffer.remaining());
        let is_at_rest = !self.is_blocked && self.state.is_at_rest();
        let result = match is_at_rest && self.is_wanted() {
            true => Poll::Pending, // even if the client has sent more requests
            false => self.socket().poll_read(context, buffer),
        };
        if result.is_pending() && is_at_rest && self.is_costly() {
            self.is_over = true;
            return Poll::Ready(Ok(())); // nothing was read, which hyper takes for the end
        }
        result
    }
}

impl AsyncWrite for ParkableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = self.socket().poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.socket().poll_write_vectored(context, parts);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        true // both TCP and Unix sockets support it
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_shutdown(context)
    }
}

/// The body of a response; hyper drops it once its last bytes are being written.
pub(super) struct MeteredBody<B> {
    pub(super) body: B,
    pub(super) state: Arc<RequestState>,
}

impl<B> Drop for MeteredBody<B> {
    fn drop(&mut self) {
        self.state.is_answered.store(true, Relaxed);
    }
}

impl<B: Body + Unpin> Body for MeteredBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    /// Returns what a session reads whose last request was answered and whose client has sent
    /// another one.
    async fn read_at_rest(limits: &Arc<ConnectionLimits>) -> (usize, bool) {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(b"GET").await.unwrap();
        let mut stream = ParkableStream::new(StreamSocket::Unix(server), Some(Arc::clone(limits)));
        stream.state.body_read();
        stream.state.is_answered.store(true, Relaxed);
        stream.stream.readable().await.unwrap();
        let length = stream.read(&mut [0; 8]).await.unwrap();
        (length, stream.is_over)
    }

    #[tokio::test]
    async fn turn_ends_at_rest_while_others_wait() {
        let limits = Arc::<ConnectionLimits>::default();
        let held = limits.short.acquire(HTTP_TURNS_SHORT_MAX as u32).await;
        assert_eq!(read_at_rest(&limits).await, (3, false));
        let mut waiting = Box::pin(limits.short.acquire(1));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert_eq!(read_at_rest(&limits).await, (0, true));
        drop(held);
    }
}
