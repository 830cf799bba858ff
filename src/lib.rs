//! logboom: a central log server.
//!
//! # Layout
//!
//! In the order of a record's way:
//!
//! - `ingest`: decodes what clients send, one folder per protocol
//! - [`spool`]: the crash-safe queue on disk, where durability is decided
//! - [`store`]: ships records from the spool into databases and files, and reads them back
//! - [`view`]: the reading API, live tail and the web page
//!
//! What these share:
//!
//! - [`record`]: the record, its columns and its encoding
//! - [`query`]: the query language, without any database
//! - [`net`]: sockets and HTTP connections, without any route
//! - [`pipeline`]: starts, connects and stops the parts, and has the table of HTTP routes;
//!   `data_dir`: the data folder
//! - [`cli`]: the commands; [`config`]: the options
//! - [`disk`], [`blocking`], [`slots`], [`log`], [`metrics`], `memory`, [`failure`], [`escape`],
//!   [`limits`]: files, threads, concurrency, the program's own log, figures, errors and bounds

pub mod record;

pub mod query;

pub mod ingest;

pub mod spool;

pub mod store;

pub mod view;

pub mod net;

mod data_dir;
pub mod pipeline;

pub mod cli;
pub mod config;

pub mod blocking;
pub mod disk;
pub mod escape;
pub mod failure;
pub mod limits;
pub mod log;
mod memory;
pub mod metrics;
pub mod slots;
