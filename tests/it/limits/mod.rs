//! What clients, threads, open files and a full spool may cost is bounded, and clients that work
//! are not affected.

mod client_cost;
mod idle_connections;
mod open_files;
mod spool_limit;
mod threads;
