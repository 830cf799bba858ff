//! Limits of connections, threads, open files and spool space hold, and well-behaved clients are
//! not affected when others reach them.

mod client_cost;
mod idle_connections;
mod open_files;
mod spool_limit;
mod threads;
