//! JSON events: the bodies of `POST /api/v1/records`, and any other bytes that contain records as
//! JSON objects.
//!
//! [`Splitter`] splits a streamed body into values, and [`decode`] makes a record of each. Both are
//! pure; the sockets are elsewhere. The names of members are those that the common logging
//! libraries write, see the table in `names.rs`.

mod decode;
mod exception;
mod exported;
mod fields;
mod framing;
mod member;
mod members;
mod names;
mod object;
mod scan;
mod sender;
mod shape;
mod splitter;
mod text;

#[cfg(test)]
mod tests;

pub use decode::{JsonScratch, decode};
pub use exported::decode_exported;
pub use framing::{EXPORTED, Framing};
pub use splitter::Splitter;
