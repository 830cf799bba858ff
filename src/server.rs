//! The HTTP server: connections, and which path is answered by what.
//!
//! There is nothing here for pages of other sites: a request that a browser says to come from one (`Origin` other than
//! `Host`, or `Sec-Fetch-Site: cross-site`) is refused, so that no page that somebody opens can write records or read them.

mod turn;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::channel::Channel;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;

use crate::ingest::http;
use crate::ingest::python::stream::Stream;
use crate::ingest::source::Source;
use crate::limits::{
    HTTP_BUFFER_BYTES_MAX, HTTP_HEAD_SECONDS_MAX, HTTP_TURN_WAIT_SECONDS_MAX, HTTP_TURNS_ENDLESS_MAX,
    HTTP_TURNS_SHORT_MAX,
};
use crate::record::json;
use crate::view::View;
use turn::{Answer, Exchange, Turn};

/// The body of an answer: whole, or streamed.
pub type Body = Either<Full<Bytes>, Channel<Bytes, io::Error>>;

/// What the connections of one listener answer from.
pub struct Server {
    /// Where its records go.
    pub source: Arc<Source>,
    /// The bounds of bodies, shared by all listeners.
    pub bounds: Arc<http::Bounds>,
    /// What is read back.
    pub view: Arc<View>,
    /// The bounds of connections, shared by all listeners.
    pub turns: Arc<Turns>,
    /// The client is on this machine: it may be a browser, and what it sends then be a page's doing.
    pub is_local: bool,
}

/// Closes the connection of a request whose client does not read the answer: while the socket takes nothing, the body of the
/// answer is not asked for more and could not end it.
#[derive(Clone, Default)]
pub struct HangUp(Arc<Notify>);

impl HangUp {
    /// Closes the connection.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

/// How long an idle connection stays open, and a request head may take.
const IDLE_MAX: Duration = Duration::from_secs(HTTP_HEAD_SECONDS_MAX);

/// How long a connection waits for its turn.
const TURN_WAIT_MAX: Duration = Duration::from_secs(HTTP_TURN_WAIT_SECONDS_MAX);

/// What the requests of one connection share.
struct Client {
    server: Arc<Server>,
    /// The name that its records get for a host.
    host: String,
    hang_up: HangUp,
}

/// How many connections have memory at once: see `turn`.
pub struct Turns {
    /// One for each of the first connections, which keep it as long as they are open.
    endless: Arc<Semaphore>,
    /// One for each of the others that are being answered.
    short: Semaphore,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns {
            endless: Arc::new(Semaphore::new(HTTP_TURNS_ENDLESS_MAX)),
            short: Semaphore::new(HTTP_TURNS_SHORT_MAX),
        }
    }
}

/// Serves one connection until it ends, or, once `stop` says so, until the request under way is answered.
pub async fn serve(stream: Stream, server: Arc<Server>, host: String, mut stop: watch::Receiver<bool>) {
    let endless = Arc::clone(&server.turns.endless).try_acquire_owned().ok();
    let mut turn = Turn::new(stream, endless.is_some());
    let client = Arc::new(Client { server, host, hang_up: HangUp::default() });
    loop {
        // A connection takes no memory before it says something.
        tokio::select! {
            spoken = timeout(IDLE_MAX, turn.spoken()) => if !matches!(spoken, Ok(Ok(()))) { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let permit = match endless {
            Some(_) => None,
            // Slow clients may have all of them; whoever waited long goes without.
            None => {
                timeout(TURN_WAIT_MAX, client.server.turns.short.acquire()).await.ok().and_then(Result::ok)
            }
        };
        match Box::pin(take(turn, &client, &mut stop)).await {
            Some(next) => turn = next,
            None => return,
        }
        drop(permit);
    }
}

/// Answers until nothing more is asked for now, and gives the turn that follows.
async fn take(turn: Turn, client: &Arc<Client>, stop: &mut watch::Receiver<bool>) -> Option<Turn> {
    let exchange = turn.exchange();
    let service = service_fn(|request: Request<Incoming>| {
        let (client, exchange) = (Arc::clone(client), Arc::clone(&exchange));
        exchange.begin(&request);
        // Boxed, since hyper gives the socket back only where futures can be moved.
        Box::pin(async move {
            let answer = answer(request, &client, &exchange).await;
            Ok::<_, Infallible>(answer.map(|body| Answer::new(body, exchange)))
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .max_buf_size(HTTP_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(turn), service);
    let stopping = tokio::select! {
        biased; // it has most to do
        // What a client does to its connection is its own business.
        _ = poll_fn(|context| connection.poll_without_shutdown(context)) => false,
        () = client.hang_up.0.notified() => return None,
        _ = stop.wait_for(|stop| *stop) => true,
    };
    if stopping {
        Pin::new(&mut connection).graceful_shutdown();
        let _ = connection.await;
        return None;
    }
    let parts = connection.into_parts();
    let mut turn = parts.io.into_inner();
    if turn.is_over() {
        return Some(turn.next(&parts.read_buf));
    }
    let _ = turn.shutdown().await;
    None
}

async fn answer(request: Request<Incoming>, client: &Client, exchange: &Exchange) -> Response<Body> {
    let Client { server, hang_up, .. } = client;
    if is_foreign(request.headers()) || server.is_local && is_renamed(request.headers()) {
        return problem(
            StatusCode::FORBIDDEN,
            "requests from pages of other sites are refused",
            "the header Origin or Sec-Fetch-Site names another site than Host, or Host is no name of this machine",
            Some("on this machine it is reached as localhost, by address, or by a name without a dot"),
        );
    }
    // The futures of what is asked for seldom are kept out of this one, which is made for every request.
    let allowed = match (request.method(), request.uri().path()) {
        (&Method::POST, "/api/v1/records") => return post_records(request, client, exchange).await,
        (&Method::GET, "/api/v1/records") => return Box::pin(server.view.records(&request, hang_up)).await,
        (&Method::POST, "/api/v1/sql") => {
            let answer = Box::pin(server.view.sql(request)).await;
            if answer.status().is_success() {
                exchange.body_read();
            }
            return answer;
        }
        (&Method::GET, "/api/v1/status") => return server.view.status(),
        (&Method::POST, "/api/v1/flush") => return Box::pin(server.view.flush()).await,
        (&Method::GET, "/healthz") => return text("ok\n"),
        (&Method::GET, "/readyz") => return server.view.ready(),
        (&Method::GET, "/metrics") => return server.view.metrics(),
        (_, "/api/v1/records") => "GET, POST",
        (_, "/api/v1/sql" | "/api/v1/flush") => "POST",
        (_, "/api/v1/status" | "/healthz" | "/readyz" | "/metrics") => "GET",
        (_, path) => return problem(StatusCode::NOT_FOUND, "there is nothing at this path", path, None),
    };
    let path = request.uri().path();
    let detail = format!("{path} answers {allowed}");
    let mut answer =
        problem(StatusCode::METHOD_NOT_ALLOWED, "this method is not answered here", &detail, None);
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}

/// Whether a browser sends it for a page of another site.
fn is_foreign(headers: &HeaderMap) -> bool {
    let is_cross_site = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    let host = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_other = |origin: &HeaderValue| {
        let origin = origin.as_bytes();
        let at = memchr::memmem::find(origin, b"://").map_or(0, |at| at + 3);
        !origin[at..].eq_ignore_ascii_case(host)
    };
    is_cross_site || headers.get(ORIGIN).is_some_and(is_other)
}

/// Whether a client on this machine calls it by the name of another site: a page can have its own name point to loopback (DNS
/// rebinding), and would be asked from under that name.
fn is_renamed(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    let is_address = name.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok();
    name.contains('.') && !is_address
}

async fn post_records(request: Request<Incoming>, client: &Client, exchange: &Exchange) -> Response<Body> {
    let Client { server, host, .. } = client;
    let outcome = http::post(request, &server.source, &server.bounds, host).await;
    if outcome.failure.is_none() {
        exchange.body_read();
    }
    let status = outcome.status();
    let mut answer = json(status, outcome.body());
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// An answer of plain text.
pub fn text(text: impl Into<Bytes>) -> Response<Body> {
    whole(StatusCode::OK, "text/plain; charset=utf-8", text)
}

/// An answer for Prometheus.
pub fn metrics(text: String) -> Response<Body> {
    whole(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text)
}

/// An answer of JSON.
pub fn json(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    whole(status, "application/json", text)
}

/// An answer that says what is wrong (RFC 9457), with the member `hint` where something can be done.
pub fn problem(status: StatusCode, title: &str, detail: &str, hint: Option<&str>) -> Response<Body> {
    let mut out = format!("{{\"status\":{},\"title\":", status.as_u16()).into_bytes();
    json::string(&mut out, title);
    out.extend_from_slice(b",\"detail\":");
    json::string(&mut out, detail);
    if let Some(hint) = hint {
        out.extend_from_slice(b",\"hint\":");
        json::string(&mut out, hint);
    }
    out.push(b'}');
    whole(status, "application/problem+json", out)
}

fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
