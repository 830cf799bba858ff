//! Responses: texts, JSON and error documents.

use std::ops::Range;

use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::body::StreamedBody;

/// The body of a response: complete, or streamed.
pub type Body = Either<Full<Bytes>, StreamedBody>;

/// Returns a response of plain text.
pub fn text(text: impl Into<Bytes>) -> Response<Body> {
    whole(StatusCode::OK, "text/plain; charset=utf-8", text)
}

/// Returns a response with metrics, whose format depends on `Accept`.
pub fn metrics(content_type: &'static str, text: String) -> Response<Body> {
    let mut answer = whole(StatusCode::OK, content_type, text);
    answer.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    answer
}

/// Returns a response of JSON.
pub fn json(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    whole(status, "application/json", text)
}

/// Returns an error response (RFC 9457), with the member `hint` if the client can do something
/// about the error.
pub fn problem(status: StatusCode, title: &str, detail: &str, hint: Option<&str>) -> Response<Body> {
    explain(status, title, detail, hint, None)
}

/// Returns the same for a part of the request: the member `position` contains the start and the end
/// of that part, in characters.
pub fn problem_at(title: &str, detail: &str, hint: &str, position: Range<usize>) -> Response<Body> {
    explain(StatusCode::BAD_REQUEST, title, detail, Some(hint), Some(position))
}

/// Returns a problem that passes by itself: 503 with the seconds after which the client retries.
pub fn retry_later(title: &str, detail: &str, hint: &str, seconds: u16) -> Response<Body> {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, title, detail, Some(hint));
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

#[derive(Serialize)]
struct Problem<'a> {
    status: u16,
    title: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Range<usize>>,
}

fn explain(
    status: StatusCode,
    title: &str,
    detail: &str,
    hint: Option<&str>,
    position: Option<Range<usize>>,
) -> Response<Body> {
    let problem = Problem { status: status.as_u16(), title, detail, hint, position };
    // Texts and numbers can always be written as JSON.
    let document = serde_json::to_vec(&problem).unwrap_or_default();
    whole(status, "application/problem+json", document)
}

fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
