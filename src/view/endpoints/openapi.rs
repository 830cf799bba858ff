//! `GET /openapi.json`: the machine-readable description of the HTTP API.

use hyper::{Response, StatusCode};

use crate::net::http::{self, Body};

/// The description, in OpenAPI 3.1.
const DOCUMENT: &str = include_str!("openapi.json");

/// Responds with the description.
pub fn openapi() -> Response<Body> {
    http::json(StatusCode::OK, DOCUMENT)
}
