//! A connection takes turns: it has memory only while it is being answered.
//!
//! hyper keeps some 20 KiB for every open connection. Where many are open, those that rest are better off without: once
//! an answer has been sent and nothing more has arrived, hyper is told that the client has ended, and lets go. The socket
//! stays open, and the next turn begins when the client says more. What hyper had already read goes to that turn.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use hyper::Request;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ingest::python::stream::Stream;

/// How far the request of a turn is that came last; hyper takes one after the other.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Its body was read to the end: what follows is another request.
    is_read: AtomicBool,
    is_answered: AtomicBool,
}

impl Exchange {
    /// A request has arrived.
    pub(super) fn begin<B: Body>(&self, request: &Request<B>) {
        self.is_read.store(request.body().is_end_stream(), Relaxed);
        self.is_answered.store(false, Relaxed);
    }

    /// The body was read to its end.
    pub(super) fn body_read(&self) {
        self.is_read.store(true, Relaxed);
    }

    fn is_at_rest(&self) -> bool {
        self.is_answered.load(Relaxed) && self.is_read.load(Relaxed)
    }
}

/// The socket as hyper sees it for one turn.
pub(super) struct Turn {
    stream: Stream,
    /// Read in the turn before, but not used.
    rest: Bytes,
    exchange: Arc<Exchange>,
    /// The turn lasts as long as the connection.
    is_endless: bool,
    /// The last write found no room: part of an answer may be yet to be written.
    is_blocked: bool,
    /// hyper was told that the client has ended.
    is_over: bool,
}

impl Turn {
    pub(super) fn new(stream: Stream, is_endless: bool) -> Turn {
        let (rest, exchange) = (Bytes::new(), Arc::default());
        Turn { stream, rest, exchange, is_endless, is_blocked: false, is_over: false }
    }

    pub(super) fn exchange(&self) -> Arc<Exchange> {
        Arc::clone(&self.exchange)
    }

    /// Whether another turn may follow.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The turn that follows, with what hyper had read and not used.
    pub(super) fn next(self, rest: &[u8]) -> Turn {
        // A copy: even an empty part of hyper's buffer keeps all of it.
        Turn { rest: Bytes::copy_from_slice(rest), ..Turn::new(self.stream, self.is_endless) }
    }

    /// Returns once there is something to read, or the end.
    pub(super) async fn spoken(&self) -> io::Result<()> {
        if self.rest.is_empty() { self.stream.spoken().await } else { Ok(()) }
    }

    fn socket(&mut self) -> Pin<&mut (dyn Socket + Unpin)> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream),
            Stream::Unix(stream) => Pin::new(stream),
        }
    }
}

trait Socket: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Socket for T {}

impl AsyncRead for Turn {
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
        let result = self.socket().poll_read(context, buffer);
        if result.is_pending() && !self.is_endless && !self.is_blocked && self.exchange.is_at_rest() {
            self.is_over = true;
            return Poll::Ready(Ok(())); // nothing read: the end
        }
        result
    }
}

impl AsyncWrite for Turn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = self.socket().poll_write(context, bytes);
        self.is_blocked = result.is_pending();
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.socket().poll_write_vectored(context, parts);
        self.is_blocked = result.is_pending();
        result
    }

    fn is_write_vectored(&self) -> bool {
        true // TCP and Unix sockets both are
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_shutdown(context)
    }
}

/// The body of an answer; hyper drops it once the last of it is on its way.
pub(super) struct Answer<B> {
    body: B,
    exchange: Arc<Exchange>,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, exchange: Arc<Exchange>) -> Answer<B> {
        Answer { body, exchange }
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.exchange.is_answered.store(true, Relaxed);
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
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
