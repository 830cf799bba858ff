//! The table of HTTP routes: which part of the program answers which request.

use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use crate::ingest::http;
use crate::ingest::source::Source;
use crate::limits::{DELETE_BYTES_MAX, HTTP_LONG_REQUESTS_MAX, SQL_BYTES_MAX};
use crate::net::http::{
    Body, ConnectionContext, RequestState, Service, accept, gzip, json, problem, retry_later, site, text,
};
use crate::view::{self, ApiRequest, ApiResult, Refusal, View, page};

/// Answers the requests of one connection, for its listener.
pub(super) struct Routes {
    /// Receives the records of this listener.
    pub source: Arc<Source>,
    /// The limits of request bodies, shared by all listeners.
    pub bounds: Arc<http::UploadBounds>,
    /// Answers queries and reports the status.
    pub view: Arc<View>,
    /// The host name that the records of this connection receive.
    pub host: String,
    /// The client is on this machine and may be a browser, so a web page may have caused its
    /// requests.
    pub is_local: bool,
    /// The client is on this machine, which includes clients of a Unix socket. It may delete
    /// records.
    pub is_on_machine: bool,
}

/// A request and the client that sent it.
struct Call<'a> {
    request: Request<Incoming>,
    routes: &'a Routes,
    client: &'a ConnectionContext,
    state: &'a RequestState,
    /// The part of the path that matched the name in braces.
    name: String,
}

impl<'a> Call<'a> {
    fn view(&self) -> &'a View {
        &self.routes.view
    }

    fn ask(&self) -> ApiRequest<'_> {
        ApiRequest {
            query: self.request.uri().query().unwrap_or_default(),
            name: &self.name,
            headers: self.request.headers(),
            abort: &self.client.abort,
        }
    }
}

type Handler = for<'a> fn(Call<'a>) -> Pin<Box<dyn Future<Output = ApiResult> + Send + 'a>>;

/// The handler of a request that the view answers.
macro_rules! view {
    ($answer:ident) => {
        |call| Box::pin(long(call.client, async move { call.view().$answer(call.ask()).await }))
    };
}

/// The handlers by method and path. A name in braces matches any single part of a path.
static ROUTES: [(Method, &str, Handler); 18] = [
    (Method::POST, "/api/v1/records", |call| Box::pin(async { Ok(post_records(call).await) })),
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
    (Method::GET, "/api/v1/status", |call| Box::pin(async move { Ok(call.view().status()) })),
    (Method::POST, "/api/v1/flush", |call| Box::pin(long(call.client, call.view().flush()))),
    (Method::GET, "/openapi.json", |_| Box::pin(async { Ok(view::openapi()) })),
    (Method::GET, "/healthz", |_| Box::pin(async { Ok(text("ok\n")) })),
    (Method::GET, "/readyz", |call| Box::pin(async move { Ok(call.view().ready()) })),
    (Method::GET, "/metrics", |call| Box::pin(async move { Ok(call.view().metrics(call.ask().headers)) })),
];

/// Returns the name in a path that matches a route; empty if the route has no name in braces.
fn name_in(path: &str, route: &str) -> Option<String> {
    let Some((start, end)) = route.split_once('{') else { return (path == route).then(String::new) };
    let (_, end) = end.split_once('}')?;
    let name = path.strip_prefix(start)?.strip_suffix(end)?;
    let is_one_part = !name.is_empty() && !name.contains('/');
    is_one_part.then(|| percent_decode_str(name).decode_utf8_lossy().into_owned())
}

impl Service for Routes {
    async fn answer(
        &self,
        request: Request<Incoming>,
        client: &ConnectionContext,
        state: &RequestState,
    ) -> Response<Body> {
        let is_gzip_accepted = accept::gzip(request.headers());
        gzip::compress(self.respond(request, client, state).await, is_gzip_accepted)
    }
}

impl Routes {
    async fn respond(
        &self,
        request: Request<Incoming>,
        client: &ConnectionContext,
        state: &RequestState,
    ) -> Response<Body> {
        let (path, wanted) = (request.uri().path(), handled_as(request.method()));
        let is_page = page::is_path(path);
        let is_link = is_page && wanted == Method::GET;
        if let Err(refusal) = site::check(&request, is_link, self.is_local) {
            return refusal.answer();
        }
        if is_page {
            let file = || page::get(path, request.headers()).unwrap_or_else(|| nothing_at(path));
            return if is_link { file() } else { not_allowed(path, &HeaderValue::from_static("GET, HEAD")) };
        }
        for (method, route, handle) in &ROUTES {
            if *method == wanted
                && let Some(name) = name_in(path, route)
            {
                let answer = handle(Call { request, routes: self, client, state, name }).await;
                return answer.unwrap_or_else(Refusal::into_response);
            }
        }
        not_answered(path)
    }
}

/// Returns the method whose handler answers a request: `GET` also answers `HEAD`. hyper sends the
/// head of that response with its `Content-Length`, and drops the body.
fn handled_as(method: &Method) -> Method {
    if method == Method::HEAD { Method::GET } else { method.clone() }
}

/// Runs a request that waits for queries, stores or deletions. Their number is limited so that they
/// never occupy all slots.
async fn long(client: &ConnectionContext, answer: impl Future<Output = ApiResult>) -> ApiResult {
    if let Some(_permit) = client.limits.try_wait() {
        return answer.await;
    }
    let detail =
        format!("{HTTP_LONG_REQUESTS_MAX} requests are already waiting for queries, stores or deletions");
    Err(retry_later("too many waiting requests", &detail, "try again later", 1).into())
}

/// Returns the response for a path without a route, or without a route for this method.
fn not_answered(path: &str) -> Response<Body> {
    let routes = ROUTES.iter().filter(|(_, route, _)| name_in(path, route).is_some());
    let names = |method: &'static Method| match *method {
        Method::GET => "GET, HEAD",
        _ => method.as_str(),
    };
    let mut allowed: Vec<_> = routes.map(|(method, ..)| names(method)).collect();
    allowed.sort_unstable();
    let allowed = allowed.join(", ");
    match HeaderValue::from_str(&allowed) {
        Ok(allowed) if !allowed.is_empty() => not_allowed(path, &allowed),
        _ => nothing_at(path),
    }
}

fn nothing_at(path: &str) -> Response<Body> {
    problem(StatusCode::NOT_FOUND, "not found", path, None)
}

fn not_allowed(path: &str, allowed: &HeaderValue) -> Response<Body> {
    let detail = format!("{path} supports {}", allowed.to_str().unwrap_or_default());
    let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", &detail, None);
    answer.headers_mut().insert(ALLOW, allowed.clone());
    answer
}

async fn post_records(call: Call<'_>) -> Response<Body> {
    let Call { request, routes, client, state, .. } = call;
    let outcome = http::post(request, &routes.source, &routes.bounds, client.slots(), &routes.host).await;
    if outcome.failure.is_none() {
        state.body_read();
    }
    with_retry(json(outcome.status(), outcome.body()))
}

/// Adds when to repeat a request that failed because the server is busy.
fn with_retry(mut answer: Response<Body>) -> Response<Body> {
    if matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// Reads the body of a request that does not carry records. Returns the headers and the body.
async fn read_body(call: Call<'_>, bytes_max: usize) -> Result<(HeaderMap, Vec<u8>), Refusal> {
    let (parts, body) = call.request.into_parts();
    let failure = match http::read_whole(body, bytes_max, &call.routes.bounds, call.client.slots()).await {
        Ok(body) => {
            call.state.body_read();
            return Ok((parts.headers, body));
        }
        Err(failure) => failure,
    };
    let hint = match failure {
        http::UploadFailure::TooLarge(..) => {
            "the body of this request must contain little more than a statement or a query"
        }
        http::UploadFailure::Slow => "send the body without pauses",
        _ => "try again",
    };
    let problem = problem(failure.status(), "the body could not be read", &failure.to_string(), Some(hint));
    Err(with_retry(problem).into())
}

async fn post_sql(call: Call<'_>) -> ApiResult {
    let (routes, client) = (call.routes, call.client);
    let (_, body) = read_body(call, SQL_BYTES_MAX).await?;
    long(client, routes.view.sql(&body, &client.abort)).await
}

async fn post_delete(call: Call<'_>) -> ApiResult {
    let (routes, client) = (call.routes, call.client);
    let (headers, body) = read_body(call, DELETE_BYTES_MAX).await?;
    long(client, routes.view.delete(&headers, &body, routes.is_on_machine)).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn routes_equal_operations_of_openapi_document() {
        let document: serde_json::Value =
            serde_json::from_str(include_str!("../view/endpoints/openapi.json")).unwrap();
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
