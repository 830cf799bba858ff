//! The program as its users meet it: the real binary, real clients, real signals.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "tests say what they do by their names"
)]

mod cli;
mod harness;
mod http;
mod python;
mod view;
