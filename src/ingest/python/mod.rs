//! Decodes what Python's `logging` sends: the pickles of its `SocketHandler` and `DatagramHandler`
//! become records.
//!
//! A frame (without its length prefix) is the pickle of a log record's `__dict__`: Python 2.7 and
//! 3, protocols 0 to 5, from stock handlers and from modified ones. Nothing in a pickle is ever
//! executed: `pickle` reads it as data. The path of a pickle:
//!
//! ```text
//!          .--> plain ------------------------------.
//! pickle --|                                        |--> log_record --> Batch
//!          '--> pickle (any value) --> members -----'    (traceback, percent)
//! ```
//!
//! `plain` decodes pickles that contain only texts and numbers (about 95 % of them), without a
//! copy. Every pickle that `plain` does not recognize takes the general path. Both paths end in
//! `log_record`, which maps the keys.

pub mod datagram;
mod frames;
mod log_record;
mod members;
mod message;
pub mod percent;
mod pickle;
mod plain;
mod plain_reader;
mod repr;
mod shape;
pub mod stream;
mod traceback;
mod value;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod shape_tests;
#[cfg(test)]
mod tests;

use super::attributes::Attributes;
use super::shapes::Shapes;
use super::{Arrival, Rejection};
use crate::record::Batch;
use log_record::LogRecord;
use members::PickleMember;
use pickle::{LoadError, Machine};
use shape::PickleShape;

/// Memory that decoding reuses from frame to frame.
#[derive(Debug, Default)]
pub struct PickleScratch {
    machine: Machine,
    members: Vec<PickleMember>,
    attributes: Attributes,
    shapes: Shapes<PickleShape>,
}

/// Decodes the pickle of one frame (without its length prefix) and pushes the record into `batch`.
///
/// The reasons of a rejection: `truncated` and `malformed` if the bytes are not a pickle,
/// `too_complex` if decoding would take too long, `not_a_record` if the pickle contains something
/// else. A record is never rejected because of a value in it.
pub fn decode(
    pickle: &[u8],
    arrival: &Arrival<'_>,
    scratch: &mut PickleScratch,
    batch: &mut Batch,
) -> Result<(), Rejection> {
    if plain::decode(pickle, arrival, scratch, batch).is_some() {
        return Ok(());
    }
    decode_any(pickle, arrival, scratch, batch)
}

/// Decodes any pickle of a record.
fn decode_any(
    pickle: &[u8],
    arrival: &Arrival<'_>,
    scratch: &mut PickleScratch,
    batch: &mut Batch,
) -> Result<(), Rejection> {
    let PickleScratch { machine, members, attributes, .. } = scratch;
    let top = machine.load(pickle).map_err(rejection)?;
    let dropped = members::collect(&mut machine.arena, pickle, top, members)?;

    let view = machine.view(pickle);
    let mut record = LogRecord::new(view, arrival, attributes);
    let mut whole_bytes = 2 * pickle.len(); // of text; Latin-1 can double in UTF-8
    for member in members.iter() {
        let (key, value) = member.resolve(view, &mut whole_bytes);
        match member.is_nested {
            true => record.set_extra(key, value),
            false => record.set(key, value),
        }
    }
    record.dropped(dropped);
    if machine.arena.is_lossy() {
        record.mark_lossy();
    }
    record.finish(batch);
    Ok(())
}

fn rejection(error: LoadError) -> Rejection {
    let reason = match error {
        LoadError::Truncated => "truncated",
        LoadError::Malformed(_) | LoadError::UnknownOpcode(_) => "malformed",
        LoadError::TooComplex => "too_complex",
    };
    Rejection::new(reason, format!("the pickle cannot be read: {error}"))
}
