//! Inputs that are no records become records that say so: stored, counted and found like any other, with the reason
//! and the first of their bytes.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::attributes::Attributes;
use super::{Arrival, Rejection};
use crate::limits::DEAD_LETTER_BYTES_MAX;
use crate::record::{Batch, Origin, RecordRef, severity};

/// The event name of dead letters: `event_name:logboom.dead_letter` finds them.
pub const EVENT_NAME: &str = "logboom.dead_letter";

/// Pushes a dead letter: `input` from `source` was rejected.
pub fn push(batch: &mut Batch, arrival: &Arrival<'_>, source: &str, rejection: &Rejection, input: &[u8]) {
    let kept = &input[..input.len().min(DEAD_LETTER_BYTES_MAX)];
    let mut attributes = Attributes::default();
    attributes.start(arrival.labels);
    attributes.text("dead_letter.reason", rejection.reason);
    attributes.text("dead_letter.source", source);
    attributes.integer("dead_letter.length", input.len() as i64);
    attributes.text("dead_letter.base64", &BASE64_STANDARD.encode(kept));
    let message = format!("rejected input of {} bytes from {source}: {rejection}", input.len());
    batch.push(&RecordRef {
        timestamp: arrival.observed_timestamp,
        observed_timestamp: arrival.observed_timestamp,
        severity_number: severity::WARN,
        origin: Origin {
            service: arrival.service,
            host: arrival.host,
            logger: "logboom.ingest",
            severity_text: "WARNING",
            process_id: arrival.process_id,
            ..Origin::default()
        },
        message: &message,
        event_name: EVENT_NAME,
        attributes: attributes.finish(),
        ..RecordRef::default()
    });
}
