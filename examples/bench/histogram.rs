//! Latencies, counted in buckets that are at most 1.6 % wide: any number of latencies in 30 KiB.

use std::time::Duration;

/// Number of buckets for each doubling.
const PER_DOUBLING: u64 = 64;

/// How often each latency occurred.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    /// Returns an empty histogram.
    pub fn new() -> Histogram {
        Histogram { counts: vec![0; (PER_DOUBLING * 60) as usize], total: 0, max: 0 }
    }

    /// Counts a latency.
    pub fn add(&mut self, latency: Duration) {
        let nanoseconds = latency.as_nanos() as u64;
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
        self.max = self.max.max(nanoseconds);
    }

    /// Returns true if nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Returns the latency in milliseconds that this part of all latencies does not exceed. 1
    /// returns the longest latency, exactly.
    pub fn quantile(&self, part: f64) -> f64 {
        let rank = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && part < 1.0 {
                return upper_bound(index).min(self.max) as f64 / 1e6;
            }
        }
        self.max as f64 / 1e6
    }
}

/// Returns the bucket of a value. Values below 64 have one bucket each. For larger values, the six
/// bits after the first one select the bucket within the doubling.
fn bucket(value: u64) -> usize {
    let shift = (63 - (value | PER_DOUBLING).leading_zeros() as u64) - PER_DOUBLING.ilog2() as u64;
    (shift * PER_DOUBLING + (value >> shift)) as usize
}

fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / PER_DOUBLING).saturating_sub(1);
    ((bucket - shift * PER_DOUBLING + 1) << shift) - 1
}
