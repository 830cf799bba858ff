//! Ingest over Python's protocol: records of standard handlers, and input that is no record.

mod handlers;
mod hostile_input;
