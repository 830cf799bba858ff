//! The memo: numbers that a pickle assigns to values in order to refer to them again.

use std::collections::HashMap;

use super::arena::NodeId;
use crate::ingest::empty;
use crate::limits::PICKLE_MEMO_GAP;

/// Values by number. Ordinary pickles count from 0 or 1, so a vector holds the values. A number far
/// beyond the count goes into a map, so that no number costs more than its own entry.
#[derive(Debug, Default)]
pub(super) struct Memo {
    dense: Vec<Option<NodeId>>,
    sparse: HashMap<u64, NodeId>,
    count: u64,
}

impl Memo {
    pub(super) fn clear(&mut self) {
        empty(&mut self.dense);
        // An empty map holds no memory, and ordinary pickles never use the map.
        self.sparse = HashMap::new();
        self.count = 0;
    }

    pub(super) fn put(&mut self, number: u64, value: NodeId) {
        let reach = 2 * self.dense.len() + PICKLE_MEMO_GAP;
        let earlier = match usize::try_from(number) {
            Ok(index) if index < reach => {
                if index >= self.dense.len() {
                    self.dense.resize(index + 1, None);
                }
                self.dense[index].replace(value).or_else(|| self.sparse.remove(&number))
            }
            _ => self.sparse.insert(number, value),
        };
        self.count += u64::from(earlier.is_none());
    }

    /// Stores a value under the number that `MEMOIZE` implies: the count of values so far.
    pub(super) fn add(&mut self, value: NodeId) {
        self.put(self.count, value);
    }

    pub(super) fn get(&self, number: u64) -> Option<NodeId> {
        let dense = usize::try_from(number).ok().and_then(|index| *self.dense.get(index)?);
        dense.or_else(|| self.sparse.get(&number).copied())
    }
}
