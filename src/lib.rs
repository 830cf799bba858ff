//! logboom: a central logger.
//!
//! The folders stand in the order of a record's way: `ingest` -> [`record`] -> `spool` -> `store` -> `view`.

pub mod disk;
pub mod ingest;
pub mod limits;
pub mod record;
pub mod spool;
pub mod store;
