//! HTTP/1.1 connections: their memory, their time limits and their end.

pub mod accept;
pub mod body;
pub mod gzip;
mod head;
mod parking;
mod response;
pub mod site;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, watch};

use super::StreamSocket;
use crate::limits::{HTTP_BUFFER_BYTES_MAX, HTTP_HEAD_BYTES_MAX};
use crate::slots::Slots;
use parking::{IDLE_MAX, MeteredBody, ParkableStream};

pub use parking::{ConnectionLimits, RequestState};
pub use response::{Body, json, metrics, problem, problem_at, retry_later, text};

/// Closes the connection of a request whose client does not read the response. While the socket is
/// not writable, hyper does not poll the body of the response, so the body cannot end the
/// connection.
#[derive(Clone)]
pub struct ConnectionAbort {
    order: Arc<Notify>,
    /// Nothing is ever sent. The channel closes when the connection ends.
    open: watch::Receiver<()>,
}

impl ConnectionAbort {
    /// Closes the connection.
    pub fn now(&self) {
        self.order.notify_one();
    }

    /// Returns once the connection is closed, by either side.
    pub async fn gone(&mut self) {
        let _ = self.open.changed().await; // an error means that the connection has ended
    }
}

/// What the requests of one connection share.
pub struct ConnectionContext {
    /// The limits of connections.
    pub limits: Arc<ConnectionLimits>,
    /// The connection shares slots with others.
    is_short: bool,
    /// Closes the connection.
    pub abort: ConnectionAbort,
    _open: watch::Sender<()>,
}

impl ConnectionContext {
    fn new(limits: Arc<ConnectionLimits>, is_short: bool) -> ConnectionContext {
        let (sender, open) = watch::channel(());
        ConnectionContext {
            limits,
            is_short,
            abort: ConnectionAbort { order: Arc::default(), open },
            _open: sender,
        }
    }

    /// Returns the slots of which the connection holds one while a request is in flight.
    pub fn slots(&self) -> Option<&Slots> {
        self.is_short.then_some(&self.limits.short)
    }
}

/// Answers the requests of connections.
pub trait Service: Send + Sync + 'static {
    /// Answers one request.
    fn answer(
        &self,
        request: Request<Incoming>,
        client: &ConnectionContext,
        state: &RequestState,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// Serves one connection until it ends or, once `stop` is true, until the request in flight is
/// answered.
pub async fn serve<S: Service>(
    socket: StreamSocket,
    service: Arc<S>,
    limits: Arc<ConnectionLimits>,
    mut stop: watch::Receiver<bool>,
) {
    let endless = Arc::clone(&limits.endless).try_acquire_owned().ok();
    let is_short = endless.is_none();
    let mut stream = ParkableStream::new(socket, is_short.then(|| Arc::clone(&limits)));
    let client = Arc::new(ConnectionContext::new(Arc::clone(&limits), is_short));
    loop {
        // A connection uses no memory for requests before the first byte of a request arrives.
        tokio::select! {
            is_there = stream.request() => if !is_there { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let permit = match is_short {
            false => None,
            true => tokio::select! {
                biased;
                permit = limits.short.acquire(1) => permit,
                _ = stop.wait_for(|stop| *stop) => return,
            },
        };
        match Box::pin(take(stream, &service, &client, &mut stop)).await {
            Some(next) => stream = next,
            None => return,
        }
        drop(permit);
    }
}

/// Answers requests until no further request is pending, and returns the next stream.
async fn take<S: Service>(
    stream: ParkableStream,
    service: &Arc<S>,
    client: &Arc<ConnectionContext>,
    stop: &mut watch::Receiver<bool>,
) -> Option<ParkableStream> {
    let state = Arc::clone(&stream.state);
    let answering = service_fn(|request: Request<Incoming>| {
        let (service, client, state) = (Arc::clone(service), Arc::clone(client), Arc::clone(&state));
        state.begin(&request);
        // Boxed because hyper returns the socket only if the futures can be moved.
        Box::pin(async move {
            let mut answer = service.answer(request, &client, &state).await;
            answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            Ok::<_, Infallible>(answer.map(|body| MeteredBody { body, state }))
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .max_buf_size(HTTP_BUFFER_BYTES_MAX)
        .max_header_size(HTTP_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answering);
    let stopping = tokio::select! {
        biased; // polled first, because this branch has the most work
        // Errors that a client causes on its own connection are not reported.
        _ = poll_fn(|context| connection.poll_without_shutdown(context)) => false,
        () = client.abort.order.notified() => return None,
        _ = stop.wait_for(|stop| *stop) => true,
    };
    if stopping {
        Pin::new(&mut connection).graceful_shutdown();
        tokio::select! {
            _ = connection => {}
            () = client.abort.order.notified() => {}
        }
        return None;
    }
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner();
    if stream.is_over {
        return Some(stream.next(&parts.read_buf));
    }
    let _ = stream.shutdown().await;
    None
}
