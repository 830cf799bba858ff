//! The program as its users run it: the real binary, real clients, real signals.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "tests say what they do by their names"
)]

mod accounted;
mod aim;
mod audit;
mod bounds;
mod ceiling;
mod claims;
mod cli;
mod clock;
mod crowd;
mod descriptors;
mod disk;
mod displaced;
mod failures;
mod harness;
mod hostile;
mod http;
mod keep;
mod lifecycle;
mod load;
mod load_2017;
mod locked;
mod log;
mod postgres;
mod python;
mod soak;
mod threads;
mod tidy;
mod torture;
mod view;
