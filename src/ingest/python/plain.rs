//! The fast path for a dict of texts, numbers, booleans and `None`, which nearly every record is.
//!
//! ```text
//! [PROTO [FRAME]] EMPTY_DICT [memo] (MARK (key [memo] value [memo])... SETITEMS)... STOP
//! ```
//!
//! The fast path borrows every text from the frame and keeps nothing but the first few memo
//! entries. For any other pickle the fast path returns `None`, and the general machine starts from
//! the beginning.

use super::PickleScratch;
use super::log_record::LogRecord;
use super::pickle::opcode as op;
use super::plain_reader::PlainReader;
use super::shape::PickleShape;
use super::value::DictValue;
use crate::ingest::Arrival;
use crate::limits::PICKLE_MEMBERS_PLAIN_MAX;
use crate::record::Batch;

/// Decodes a plain record and pushes it into `batch`. Returns `None`, and pushes nothing, if the
/// record is not plain.
pub(super) fn decode(
    frame: &[u8],
    arrival: &Arrival<'_>,
    scratch: &mut PickleScratch,
    batch: &mut Batch,
) -> Option<()> {
    let PickleScratch { machine, attributes, shapes, .. } = scratch;
    let view = machine.view(&[]); // a plain record has no nodes
    let known = shapes.read(|shape| {
        let mut record = LogRecord::new(view, arrival, attributes);
        shape.read(frame, &mut record)?;
        record.finish(batch);
        Some(())
    });
    if known.is_none() {
        decode_member_by_member(frame, arrival, scratch, batch)?;
        scratch.shapes.learn(|| PickleShape::of(frame));
    }
    Some(())
}

fn decode_member_by_member(
    frame: &[u8],
    arrival: &Arrival<'_>,
    scratch: &mut PickleScratch,
    batch: &mut Batch,
) -> Option<()> {
    let mut plain = PlainReader::new(frame);
    plain.head()?;
    scratch.machine.arena.start(frame.len());
    let view = scratch.machine.view(frame);
    let mut record = LogRecord::new(view, arrival, &mut scratch.attributes);
    let mut keys = [""; PICKLE_MEMBERS_PLAIN_MAX];
    let mut members = 0;
    loop {
        match plain.reader.byte().ok()? {
            op::MARK => {}
            op::STOP if members > 0 => break,
            _ => return None,
        }
        while plain.reader.peek()? != op::SETITEMS {
            let DictValue::Text(key) = plain.value()? else { return None };
            if keys[..members].contains(&key) {
                return None; // duplicate: the last value counts, as in a dict
            }
            *keys.get_mut(members)? = key;
            members += 1;
            record.set(key, plain.value_of(key)?);
        }
        plain.reader.byte().ok()?;
    }
    record.finish(batch);
    Some(())
}
