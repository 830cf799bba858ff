//! The endpoints of the HTTP API, one file each: each reads its parameters, and responds.

mod context;
mod delete;
mod errors;
mod fields;
mod histogram;
pub(super) mod openapi;
mod records;
mod sql;
mod status;
