//! What clients send becomes the right records or is rejected: one folder for each protocol.

mod http;
mod python;
