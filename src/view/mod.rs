//! Reads back what was stored: the query language, and what answers in it.

pub mod query;
