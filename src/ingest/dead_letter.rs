//! Rejected inputs become records with an event name of their own: they are stored, counted and
//! found like any other record, with the reason and the first bytes of the input.
//!
//! A dead letter takes up to a hundred times the disk space of its input, so an [`Allowance`]
//! limits the dead letters of each connection and each source. Further inputs are only counted, by
//! source and reason; see `Source::reject`.

use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};

use super::attributes::Attributes;
use super::{Arrival, Rejection};
use crate::limits::{DEAD_LETTER_BYTES_MAX, DEAD_LETTERS_INTERVAL_SECONDS};
use crate::record::{Batch, Origin, RecordRef, severity};

/// The event name of dead letters: `event_name:logboom.dead_letter` finds them.
pub const EVENT_NAME: &str = "logboom.dead_letter";

/// Limits the dead letters of a connection or a source per interval.
#[derive(Debug, Default)]
pub struct Allowance {
    /// Start of the interval.
    since: Option<Instant>,
    /// Dead letters made in the interval, and the bytes of input in them.
    letters: u32,
    bytes: usize,
}

impl Allowance {
    /// Returns true, and counts the input, if it may become a dead letter now. An interval has at
    /// most `letters_max` dead letters with `bytes_max` of input.
    pub(super) fn admits(
        &mut self,
        now: Instant,
        input: &[u8],
        (letters_max, bytes_max): (u32, usize),
    ) -> bool {
        let interval = Duration::from_secs(DEAD_LETTERS_INTERVAL_SECONDS);
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= interval) {
            *self = Allowance { since: Some(now), ..Allowance::default() };
        }
        let bytes = self.bytes.saturating_add(kept_bytes(input));
        let is_admitted = self.letters < letters_max && bytes <= bytes_max;
        if is_admitted {
            self.letters += 1;
            self.bytes = bytes;
        }
        is_admitted
    }
}

fn kept_bytes(input: &[u8]) -> usize {
    input.len().min(DEAD_LETTER_BYTES_MAX)
}

/// Pushes a dead letter: `input` from `source` was rejected.
pub(super) fn push(
    batch: &mut Batch,
    arrival: &Arrival<'_>,
    source: &str,
    rejection: &Rejection,
    input: &[u8],
) {
    let kept = &input[..kept_bytes(input)];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_bounds_letters_and_bytes() {
        let start = Instant::now();
        let later = start + Duration::from_secs(DEAD_LETTERS_INTERVAL_SECONDS);
        let admitted = |input: &[u8], max| {
            let mut allowance = Allowance::default();
            let mut count = |now| (0..1000).filter(|_| allowance.admits(now, input, max)).count();
            [count(start), count(start), count(later)]
        };
        assert_eq!(admitted(b"", (10, 1000)), [10, 0, 10]);
        assert_eq!(admitted(b"a", (1000, 20)), [20, 0, 20]);
        let large = vec![0; 1 << 20];
        assert_eq!(admitted(&large, (1000, 3 * DEAD_LETTER_BYTES_MAX)), [3, 0, 3], "what is kept counts");
    }
}
