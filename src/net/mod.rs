//! Sockets and HTTP connections. This module contains no routes and no record types.

pub mod http;
mod socket;

pub use socket::StreamSocket;
