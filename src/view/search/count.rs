//! Counts the matches of a search, in bounded memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hyper::Response;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;

use super::response::{OpenResponse, ResponsePiece};
use crate::limits::{COUNTED_BYTES_MAX, COUNTED_VALUE_BYTES_MAX, COUNTED_VALUES_MAX};
use crate::net::http::Body;
use crate::store::{Scan, Search};
use crate::view::{ApiRequest, Refusal, View};

/// The memory that a map needs for an entry beside its text.
const ENTRY_BYTES: usize = 64;

/// A map whose keys are texts.
pub(in crate::view) type ByText<V> = HashMap<Box<str>, V, RandomState>;

/// The memory that is left, in bytes.
pub(in crate::view) struct CountMemory(usize);

impl Default for CountMemory {
    fn default() -> CountMemory {
        CountMemory(COUNTED_BYTES_MAX)
    }
}

impl CountMemory {
    /// Reserves memory for an entry with this many bytes of text and other data. Returns false if
    /// there is not enough.
    pub(in crate::view) fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes.saturating_add(ENTRY_BYTES));
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// The number of occurrences of each text.
#[derive(Default)]
pub(in crate::view) struct ValueCounts {
    counts: ByText<u64>,
    /// Some texts found no room, or were too long.
    pub(in crate::view) is_capped: bool,
}

impl ValueCounts {
    /// Counts a text.
    pub(in crate::view) fn add(&mut self, text: &str, room: &mut CountMemory) {
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

    /// Returns the number of distinct texts.
    pub(in crate::view) fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// Returns the most frequent texts, in descending order of count; texts with equal counts are
    /// in their order as texts.
    pub(in crate::view) fn top(self, values: u64) -> Value {
        let counts = most_frequent(self.counts.into_iter().collect(), |count| *count);
        let listed = counts.into_iter().take(usize::try_from(values).unwrap_or(usize::MAX));
        listed.map(|(value, count)| json!({"value": value, "count": count})).collect()
    }
}

/// Sorts by descending count; texts with equal counts are in their order as texts.
pub(in crate::view) fn most_frequent<V>(
    mut counted: Vec<(Box<str>, V)>,
    count: impl Fn(&V) -> u64,
) -> Vec<(Box<str>, V)> {
    counted.sort_unstable_by(|(one, ones), (other, others)| {
        count(others).cmp(&count(ones)).then(one.cmp(other))
    });
    counted
}

/// The resources that a counting request holds. There is memory for only a few of them at a time.
pub(in crate::view) struct Counting {
    pub(in crate::view) scan: Scan,
    open: OpenResponse,
    _permit: Option<OwnedSemaphorePermit>,
}

impl View {
    /// Starts a search, and waits for permission to count. The search has the requested number of
    /// seconds, but at most the time of a query.
    pub(in crate::view) async fn counting(
        &self,
        ask: ApiRequest<'_>,
        search: Search,
        seconds: Option<u64>,
    ) -> Result<Counting, Refusal> {
        let open = self.open(ask.abort)?;
        let mut scan = self.scan(search)?;
        if let Some(seconds) = seconds {
            scan.shorten_deadline(Duration::from_secs(seconds));
        }
        // If the deadline passes before the permit is granted, the request continues without a
        // permit: it counts nothing and needs no memory.
        let turn = Arc::clone(&self.queries.heavy).acquire_owned();
        let permit = timeout_at(scan.deadline.into(), turn).await.ok().and_then(Result::ok);
        Ok(Counting { scan, open, _permit: permit })
    }
}

impl Counting {
    /// Returns the response with a document, which may be long.
    pub(in crate::view) fn respond(self, document: &Value) -> Response<Body> {
        let piece = ResponsePiece { bytes: document.to_string().into(), share: None };
        self.open.respond(vec![piece], self.scan.deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_lists_most_frequent_first() {
        let (mut tally, mut room) = (ValueCounts::default(), CountMemory::default());
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
    fn text_without_room_sets_capped() {
        let long = "x".repeat(COUNTED_VALUE_BYTES_MAX + 1);
        let (mut tally, mut room) = (ValueCounts::default(), CountMemory::default());
        tally.add(&long, &mut room);
        assert_eq!((tally.distinct(), tally.is_capped), (0, true));

        let (mut tally, mut room) = (ValueCounts::default(), CountMemory(200));
        for text in ["a", "b", "c", "d", "a"] {
            tally.add(text, &mut room);
        }
        assert_eq!((tally.distinct(), tally.is_capped), (3, true));
        assert_eq!(tally.top(1), json!([{"value":"a","count":2}]));

        let (mut tally, mut room) = (ValueCounts::default(), CountMemory::default());
        (0..=COUNTED_VALUES_MAX).for_each(|n| tally.add(&n.to_string(), &mut room));
        assert_eq!((tally.distinct(), tally.is_capped), (COUNTED_VALUES_MAX, true));
    }
}
