//! `GET /openapi.json`: the description of the HTTP API, for programs.

use hyper::{Response, StatusCode};

use crate::server::{self, Body};

/// OpenAPI 3.1.
const DOCUMENT: &str = include_str!("openapi.json");

/// Answers with the description.
pub fn openapi() -> Response<Body> {
    server::json(StatusCode::OK, DOCUMENT)
}
