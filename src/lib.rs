//! logboom: a central logger.
//!
//! The folders stand in the order of a record's way: `ingest` -> [`record`] -> `spool` -> `store` -> `view`.

pub mod blocking;
pub mod cli;
pub mod config;
pub mod disk;
pub mod escape;
pub mod failure;
pub mod ingest;
pub mod limits;
pub mod log;
mod memory;
pub mod metrics;
pub mod pipeline;
pub mod query;
pub mod record;
pub mod server;
pub mod slots;
pub mod spool;
pub mod store;
pub mod view;
