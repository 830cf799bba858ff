//! Sockets and HTTP connections. Nothing here knows a route or a record.

pub mod http;
mod socket;

pub use socket::StreamSocket;
