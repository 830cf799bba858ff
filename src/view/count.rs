//! Counting what a search finds, within bounds of memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hyper::Response;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;

use super::answer::{Open, Piece};
use super::scan::Scan;
use super::{Ask, Refusal, View};
use crate::limits::{COUNTED_BYTES_MAX, COUNTED_VALUE_BYTES_MAX, COUNTED_VALUES_MAX};
use crate::server::Body;
use crate::store::Search;

/// What a map needs for an entry beside its text.
const ENTRY_BYTES: usize = 64;

/// A map by texts.
pub(super) type ByText<V> = HashMap<Box<str>, V, RandomState>;

/// The memory that is left.
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Room {
        Room(COUNTED_BYTES_MAX)
    }
}

impl Room {
    /// Takes room for a text, and whatever else goes with it, if there is.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes.saturating_add(ENTRY_BYTES));
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// How often each text has occurred.
#[derive(Default)]
pub(super) struct Tally {
    counts: ByText<u64>,
    /// There were texts that found no room, or were too long.
    pub(super) is_capped: bool,
}

impl Tally {
    /// Counts a text.
    pub(super) fn add(&mut self, text: &str, room: &mut Room) {
        if let Some(count) = self.counts.get_mut(text) {
            *count += 1;
            return;
        }
        let fits = text.len() <= COUNTED_VALUE_BYTES_MAX && self.counts.len() < COUNTED_VALUES_MAX;
        if fits && room.take(text.len()) {
            self.counts.insert(text.into(), 1);
        } else {
            self.is_capped = true;
        }
    }

    /// How many were told apart.
    pub(super) fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// The most frequent, those first; of equal ones in their order as texts.
    pub(super) fn top(self, values: u64) -> Value {
        let counts = most_frequent(self.counts.into_iter().collect(), |count| *count);
        let listed = counts.into_iter().take(usize::try_from(values).unwrap_or(usize::MAX));
        listed.map(|(value, count)| json!({"value": value, "count": count})).collect()
    }
}

/// The most frequent first; of equal ones in their order as texts.
pub(super) fn most_frequent<V>(
    mut counted: Vec<(Box<str>, V)>,
    count: impl Fn(&V) -> u64,
) -> Vec<(Box<str>, V)> {
    counted.sort_unstable_by(|(one, ones), (other, others)| {
        count(others).cmp(&count(ones)).then(one.cmp(other))
    });
    counted
}

/// What whoever counts holds meanwhile: there is memory for a few of them only.
pub(super) struct Counting {
    pub(super) scan: Scan,
    pub(super) open: Open,
    _permit: Option<OwnedSemaphorePermit>,
}

impl View {
    /// Begins a search, and waits for its turn to count: it has as many seconds as are asked for, within what a query may take.
    pub(super) async fn counting(
        &self,
        ask: Ask<'_>,
        search: Search,
        seconds: Option<u64>,
    ) -> Result<Counting, Refusal> {
        let open = self.open(ask.hang_up)?;
        let mut scan = Scan::new(self, search)?;
        if let Some(seconds) = seconds {
            scan.limit(Duration::from_secs(seconds));
        }
        // Whose turn does not come in time counts nothing, for which it needs no memory.
        let turn = Arc::clone(&self.queries.heavy).acquire_owned();
        let permit = timeout_at(scan.deadline.into(), turn).await.ok().and_then(Result::ok);
        Ok(Counting { scan, open, _permit: permit })
    }
}

/// The answer with a document, which may be long.
pub(super) fn document(document: &Value, open: Open, deadline: Instant) -> Result<Response<Body>, Refusal> {
    let piece = Piece { bytes: document.to_string().into(), share: None };
    Ok(open.respond(vec![piece], deadline))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first() {
        let (mut tally, mut room) = (Tally::default(), Room::default());
        for text in ["b", "a", "c", "c", "a", "d"] {
            tally.add(text, &mut room);
        }
        assert_eq!((tally.distinct(), tally.is_capped), (4, false));
        assert_eq!(
            tally.top(3),
            json!([{"value":"a","count":2},{"value":"c","count":2},{"value":"b","count":1}])
        );
    }

    #[test]
    fn what_finds_no_room_is_told() {
        let long = "x".repeat(COUNTED_VALUE_BYTES_MAX + 1);
        let (mut tally, mut room) = (Tally::default(), Room::default());
        tally.add(&long, &mut room);
        assert_eq!((tally.distinct(), tally.is_capped), (0, true));

        let (mut tally, mut room) = (Tally::default(), Room(200));
        for text in ["a", "b", "c", "d", "a"] {
            tally.add(text, &mut room);
        }
        assert_eq!((tally.distinct(), tally.is_capped), (3, true));
        assert_eq!(tally.top(1), json!([{"value":"a","count":2}]));

        let (mut tally, mut room) = (Tally::default(), Room::default());
        (0..=COUNTED_VALUES_MAX).for_each(|n| tally.add(&n.to_string(), &mut room));
        assert_eq!((tally.distinct(), tally.is_capped), (COUNTED_VALUES_MAX, true));
    }
}
