//! Connects to a server as libpq does.
//!
//! A [`PostgresUrl`] is completed to an [`Endpoint`] by a service file, libpq's environment and
//! libpq's defaults. [`Session::open`] connects to the first usable server of an endpoint, with the
//! TLS and the channel binding that the endpoint requires. A [`Fault`] is the reason why an
//! operation on a server failed, and what to do about it.

mod channel_binding;
mod driver;
mod endpoint;
mod error;
mod passfile;
mod service;
mod session;
mod socket;
mod ssl_mode;
mod tls;
mod url;

pub(crate) use driver::ConnectionDriver;
pub(crate) use endpoint::Endpoint;
#[cfg(test)]
pub(crate) use endpoint::ServerAddress;
pub(crate) use error::{Fault, obstacles, with_detail};
pub(crate) use session::Session;
pub(crate) use socket::Activity;
pub use url::PostgresUrl;
