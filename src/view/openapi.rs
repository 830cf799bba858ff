//! `GET /openapi.json`: the machine-readable description of the HTTP API.

use hyper::{Response, StatusCode};

use crate::server::{self, Body};

/// The description, in OpenAPI 3.1.
const DOCUMENT: &str = include_str!("openapi.json");

/// Responds with the description.
pub fn openapi() -> Response<Body> {
    server::json(StatusCode::OK, DOCUMENT)
}
