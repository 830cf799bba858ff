//! Requests to a running server, and the reading of its responses. Nothing here depends on how
//! they are shown.

mod events;
pub(crate) mod fields;
pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod parameters;
pub(crate) mod record;

#[cfg(test)]
pub(crate) mod stub_server;

pub(crate) use events::{EventStream, StreamEvent};
pub(crate) use fields::FieldSelection;
pub(crate) use http::{ApiClient, Reply, ServerResponse};
pub(crate) use record::{JsonRecord, RecordValue};
