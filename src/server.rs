//! The HTTP server: connections, and the table of routes.

mod head;
mod site;
pub mod stream;
mod turn;

use std::convert::Infallible;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, watch};

use crate::ingest::http;
use crate::ingest::python::stream::Stream;
use crate::ingest::source::Source;
use crate::limits::{
    DELETE_BYTES_MAX, HTTP_BUFFER_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_LONG_REQUESTS_MAX, SQL_BYTES_MAX,
};
use crate::record::json;
use crate::slots::Slots;
use crate::view::{self, Ask, View, page};
use turn::{Answer, Exchange, IDLE_MAX, Turn};

pub use turn::Turns;

/// The body of a response: complete, or streamed.
pub type Body = Either<Full<Bytes>, stream::Stream>;

/// What the connections of one listener share.
pub struct Server {
    /// Receives the records of this listener.
    pub source: Arc<Source>,
    /// The limits of request bodies, shared by all listeners.
    pub bounds: Arc<http::Bounds>,
    /// Answers queries and reports the status.
    pub view: Arc<View>,
    /// The limits of connections, shared by all listeners.
    pub turns: Arc<Turns>,
    /// The client is on this machine and may be a browser, so a web page may have caused its
    /// requests.
    pub is_local: bool,
    /// The client is on this machine, which includes clients of a Unix socket. It may delete
    /// records.
    pub is_on_machine: bool,
}

/// Closes the connection of a request whose client does not read the response. While the socket is
/// not writable, hyper does not poll the body of the response, so the body cannot end the
/// connection.
#[derive(Clone)]
pub struct HangUp {
    order: Arc<Notify>,
    /// Nothing is ever sent. The channel closes when the connection ends.
    open: watch::Receiver<()>,
}

impl HangUp {
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
struct Client {
    server: Arc<Server>,
    /// The host name that the records of this connection receive.
    host: String,
    /// The connection shares slots with others.
    is_short: bool,
    hang_up: HangUp,
    _open: watch::Sender<()>,
}

impl Client {
    fn new(server: Arc<Server>, host: String, is_short: bool) -> Client {
        let (sender, open) = watch::channel(());
        Client { server, host, is_short, hang_up: HangUp { order: Arc::default(), open }, _open: sender }
    }

    /// The slots of which the connection holds one while a request is in flight.
    fn slots(&self) -> Option<&Slots> {
        self.is_short.then_some(&self.server.turns.short)
    }
}

/// A request and the client that sent it.
struct Call<'a> {
    request: Request<Incoming>,
    client: &'a Client,
    exchange: &'a Exchange,
    /// The part of the path that matched the name in braces.
    name: String,
}

impl<'a> Call<'a> {
    fn view(&self) -> &'a View {
        &self.client.server.view
    }

    fn ask(&self) -> Ask<'_> {
        Ask {
            query: self.request.uri().query().unwrap_or_default(),
            name: &self.name,
            headers: self.request.headers(),
            hang_up: &self.client.hang_up,
        }
    }
}

type Answering<'a> = Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>>;

type Handler = for<'a> fn(Call<'a>) -> Answering<'a>;

/// The handler of a request that the view answers.
macro_rules! view {
    ($answer:ident) => {
        |call| Box::pin(long(call.client, async move { call.view().$answer(call.ask()).await }))
    };
}

/// The handlers by method and path. A name in braces matches any single part of a path.
static ROUTES: [(Method, &str, Handler); 18] = [
    (Method::POST, "/api/v1/records", |call| Box::pin(post_records(call))),
    (Method::GET, "/api/v1/records", view!(records)),
    (Method::GET, "/api/v1/records/{id}", view!(record)),
    (Method::GET, "/api/v1/records/{id}/context", view!(context)),
    (Method::GET, "/api/v1/traces/{trace_id}", view!(trace)),
    (Method::GET, "/api/v1/histogram", view!(histogram)),
    (Method::GET, "/api/v1/fields", view!(fields)),
    (Method::GET, "/api/v1/fields/{name}", view!(field)),
    (Method::GET, "/api/v1/errors", view!(errors)),
    (Method::GET, "/api/v1/tail", |call| Box::pin(async move { call.view().tail(&call.ask()) })),
    (Method::POST, "/api/v1/sql", |call| Box::pin(post_sql(call))),
    (Method::POST, "/api/v1/delete", |call| Box::pin(post_delete(call))),
    (Method::GET, "/api/v1/status", |call| Box::pin(async move { call.view().status() })),
    (Method::POST, "/api/v1/flush", |call| Box::pin(long(call.client, call.client.server.view.flush()))),
    (Method::GET, "/openapi.json", |_| Box::pin(async { view::openapi() })),
    (Method::GET, "/healthz", |_| Box::pin(async { text("ok\n") })),
    (Method::GET, "/readyz", |call| Box::pin(async move { call.view().ready() })),
    (Method::GET, "/metrics", |call| Box::pin(async move { call.view().metrics() })),
];

/// Returns the name in a path that matches a route; empty if the route has no name in braces.
fn name_in(path: &str, route: &str) -> Option<String> {
    let Some((start, end)) = route.split_once('{') else { return (path == route).then(String::new) };
    let (_, end) = end.split_once('}')?;
    let name = path.strip_prefix(start)?.strip_suffix(end)?;
    let is_one_part = !name.is_empty() && !name.contains('/');
    is_one_part.then(|| percent_decode_str(name).decode_utf8_lossy().into_owned())
}

/// Serves one connection until it ends or, once `stop` is true, until the request in flight is
/// answered.
pub async fn serve(stream: Stream, server: Arc<Server>, host: String, mut stop: watch::Receiver<bool>) {
    let turns = Arc::clone(&server.turns);
    let endless = Arc::clone(&turns.endless).try_acquire_owned().ok();
    let is_short = endless.is_none();
    let mut turn = Turn::new(stream, is_short.then(|| Arc::clone(&turns)));
    let client = Arc::new(Client::new(server, host, is_short));
    loop {
        // A connection uses no memory for requests before the first byte of a request arrives.
        tokio::select! {
            is_there = turn.request() => if !is_there { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let permit = match is_short {
            false => None,
            true => tokio::select! {
                biased;
                permit = turns.short.acquire(1) => permit,
                _ = stop.wait_for(|stop| *stop) => return,
            },
        };
        match Box::pin(take(turn, &client, &mut stop)).await {
            Some(next) => turn = next,
            None => return,
        }
        drop(permit);
    }
}

/// Answers requests until no further request is pending, and returns the next turn.
async fn take(turn: Turn, client: &Arc<Client>, stop: &mut watch::Receiver<bool>) -> Option<Turn> {
    let exchange = turn.exchange();
    let service = service_fn(|request: Request<Incoming>| {
        let (client, exchange) = (Arc::clone(client), Arc::clone(&exchange));
        exchange.begin(&request);
        // Boxed because hyper returns the socket only if the futures can be moved.
        Box::pin(async move {
            let mut answer = answer(request, &client, &exchange).await;
            answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            Ok::<_, Infallible>(answer.map(|body| Answer::new(body, exchange)))
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .max_buf_size(HTTP_BUFFER_BYTES_MAX)
        .max_header_size(HTTP_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(turn), service);
    let stopping = tokio::select! {
        biased; // polled first, because this branch has the most work
        // Errors that a client causes on its own connection are not reported.
        _ = poll_fn(|context| connection.poll_without_shutdown(context)) => false,
        () = client.hang_up.order.notified() => return None,
        _ = stop.wait_for(|stop| *stop) => true,
    };
    if stopping {
        Pin::new(&mut connection).graceful_shutdown();
        tokio::select! {
            _ = connection => {}
            () = client.hang_up.order.notified() => {}
        }
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
    let path = request.uri().path();
    let is_page = page::is_path(path);
    let is_link = is_page && request.method() == Method::GET;
    if let Err(refusal) = site::check(&request, is_link, client.server.is_local) {
        return refusal.answer();
    }
    if is_page {
        let file = || page::get(path, request.headers()).unwrap_or_else(|| nothing_at(path));
        return if is_link { file() } else { not_allowed(path, &HeaderValue::from_static("GET")) };
    }
    for (method, route, handle) in &ROUTES {
        if method == request.method()
            && let Some(name) = name_in(path, route)
        {
            return handle(Call { request, client, exchange, name }).await;
        }
    }
    not_answered(path)
}

/// Runs a request that waits for queries, stores or deletions. Their number is limited so that they
/// never occupy all slots.
async fn long(client: &Client, answer: impl Future<Output = Response<Body>>) -> Response<Body> {
    if let Ok(_permit) = client.server.turns.long.try_acquire() {
        return answer.await;
    }
    let mut answer = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many requests wait",
        &format!("{HTTP_LONG_REQUESTS_MAX} requests wait for queries, for stores or for deletions"),
        Some("try again later"),
    );
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// Returns the response for a path without a route, or without a route for this method.
fn not_answered(path: &str) -> Response<Body> {
    let routes = ROUTES.iter().filter(|(_, route, _)| name_in(path, route).is_some());
    let mut allowed: Vec<_> = routes.map(|(method, ..)| method.as_str()).collect();
    allowed.sort_unstable();
    let allowed = allowed.join(", ");
    match HeaderValue::from_str(&allowed) {
        Ok(allowed) if !allowed.is_empty() => not_allowed(path, &allowed),
        _ => nothing_at(path),
    }
}

fn nothing_at(path: &str) -> Response<Body> {
    problem(StatusCode::NOT_FOUND, "there is nothing at this path", path, None)
}

fn not_allowed(path: &str, allowed: &HeaderValue) -> Response<Body> {
    let detail = format!("{path} answers {}", allowed.to_str().unwrap_or_default());
    let mut answer =
        problem(StatusCode::METHOD_NOT_ALLOWED, "this method is not answered here", &detail, None);
    answer.headers_mut().insert(ALLOW, allowed.clone());
    answer
}

async fn post_records(call: Call<'_>) -> Response<Body> {
    let Call { request, client, exchange, .. } = call;
    let server = &client.server;
    let outcome = http::post(request, &server.source, &server.bounds, client.slots(), &client.host).await;
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

/// Reads the body of a request that does not carry records.
async fn read_body(
    body: Incoming,
    bytes_max: usize,
    client: &Client,
    exchange: &Exchange,
) -> Result<Vec<u8>, Response<Body>> {
    let read = http::read_whole(body, bytes_max, &client.server.bounds, client.slots()).await;
    let failure = match read {
        Ok(body) => {
            exchange.body_read();
            return Ok(body);
        }
        Err(failure) => failure,
    };
    let hint = match failure {
        http::Failure::TooLarge(..) => {
            "the body of such a request is a statement or a query, and little else"
        }
        http::Failure::Slow => "send the body without pauses",
        _ => "try again",
    };
    let mut answer = problem(failure.status(), "the body was not taken", &failure.to_string(), Some(hint));
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Err(answer)
}

async fn post_sql(call: Call<'_>) -> Response<Body> {
    let Call { request, client, exchange, .. } = call;
    match read_body(request.into_body(), SQL_BYTES_MAX, client, exchange).await {
        Ok(body) => long(client, client.server.view.sql(&body, &client.hang_up)).await,
        Err(answer) => answer,
    }
}

async fn post_delete(call: Call<'_>) -> Response<Body> {
    let Call { request, client, exchange, .. } = call;
    let (parts, body) = request.into_parts();
    match read_body(body, DELETE_BYTES_MAX, client, exchange).await {
        Ok(body) => {
            let Server { view, is_on_machine, .. } = &*client.server;
            long(client, view.delete(&parts.headers, &body, *is_on_machine)).await
        }
        Err(answer) => answer,
    }
}

/// Returns a response of plain text.
pub fn text(text: impl Into<Bytes>) -> Response<Body> {
    whole(StatusCode::OK, "text/plain; charset=utf-8", text)
}

/// Returns a response for Prometheus.
pub fn metrics(text: String) -> Response<Body> {
    whole(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text)
}

/// Returns a response of JSON.
pub fn json(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    whole(status, "application/json", text)
}

/// Returns an error response (RFC 9457), with the member `hint` if the client can do something
/// about the error.
pub fn problem(status: StatusCode, title: &str, detail: &str, hint: Option<&str>) -> Response<Body> {
    explain(status, title, detail, hint, "")
}

/// Returns the same for a part of the request: the member `position` contains the start and the end
/// of that part, in characters.
pub fn problem_at(title: &str, detail: &str, hint: &str, position: Range<usize>) -> Response<Body> {
    let position = format!(",\"position\":{{\"start\":{},\"end\":{}}}", position.start, position.end);
    explain(StatusCode::BAD_REQUEST, title, detail, Some(hint), &position)
}

/// `extension` is JSON: further members, each preceded by a comma.
fn explain(
    status: StatusCode,
    title: &str,
    detail: &str,
    hint: Option<&str>,
    extension: &str,
) -> Response<Body> {
    let mut out = format!("{{\"status\":{},\"title\":", status.as_u16()).into_bytes();
    json::string(&mut out, title);
    out.extend_from_slice(b",\"detail\":");
    json::string(&mut out, detail);
    if let Some(hint) = hint {
        out.extend_from_slice(b",\"hint\":");
        json::string(&mut out, hint);
    }
    out.extend_from_slice(extension.as_bytes());
    out.push(b'}');
    whole(status, "application/problem+json", out)
}

fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn routes_equal_operations_of_openapi_document() {
        let document: serde_json::Value = serde_json::from_str(include_str!("view/openapi.json")).unwrap();
        let mut described = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let routes: BTreeSet<_> = ROUTES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn name_in_path_is_one_part() {
        let name = |path| name_in(path, "/a/{x}/b");
        assert_eq!(name("/a/1%2F%20%C3%A4/b").as_deref(), Some("1/ \u{e4}"));
        for path in ["/a//b", "/a/b", "/a/1/2/b", "/a/1/b/", "/a/1", "/"] {
            assert_eq!(name(path), None, "{path}");
        }
        assert_eq!((name_in("/a", "/a"), name_in("/a/", "/a")), (Some(String::new()), None));
    }
}
