//! The program as its users run it: the real binary, real clients, real signals.
//!
//! One folder for each property, in the order of a record's way. The documentation of each `mod.rs`
//! states what belongs there.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "tests say what they do by their names"
)]

// What clients send becomes records, over each protocol.
mod ingest;
// Memory, time, connections, threads and disk space are bounded.
mod limits;
// Acknowledged records survive kills, damage, and false clocks.
mod durability;
// Stores have every record once, and recover from failures.
mod stores;
// The reading API, the live tail and the web page.
mod view;
// Deletion, retention, backup, export and import.
mod data_lifecycle;
// Starts, stops, signals, and the program's own log.
mod operations;
// The commands, for people and for scripts.
mod cli;

// Rules of the source tree itself.
mod tidy;
