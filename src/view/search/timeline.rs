//! A range of time divided into buckets of a round length.

use serde_json::Value;

use crate::query::IntegerRange;
use crate::record::time::{self, SECOND};
use crate::store::{Scan, Search, StoreError};

/// Lengths of a bucket: units in ns, and how many of each. Longer lengths are a week, doubled
/// repeatedly.
const STEPS: [(i64, &[i64]); 5] = [
    (MILLISECOND, &[1, 2, 5, 10, 20, 50, 100, 200, 500]),
    (SECOND, &[1, 2, 5, 10, 15, 30]),
    (MINUTE, &[1, 2, 5, 10, 15, 30]),
    (HOUR, &[1, 2, 3, 6, 12]),
    (DAY, &[1, 2, 7]),
];

const MILLISECOND: i64 = SECOND / 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Buckets of equal length; the first begins at a multiple of that length since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::view) struct Timeline {
    /// The index of the first bucket, in steps since the Unix epoch.
    first: i64,
    /// The length of a bucket, in ns.
    pub(in crate::view) step: i64,
    pub(in crate::view) buckets: usize,
}

impl Timeline {
    /// Creates at most `buckets_max` buckets (but at least two, since a range may cross a boundary
    /// between two buckets) over the times from `first` to `last`, both included.
    pub(in crate::view) fn new(first: i64, last: i64, buckets_max: u64) -> Timeline {
        let (last, buckets_max) = (last.max(first), buckets_max.max(2));
        let of = |step: i64| {
            let (first, last) = (first.div_euclid(step), last.div_euclid(step));
            Timeline { first, step, buckets: usize::try_from(last - first + 1).unwrap_or(usize::MAX) }
        };
        let weeks = std::iter::successors(Some(14 * DAY), |step| step.checked_mul(2));
        let steps = STEPS.into_iter().flat_map(|(unit, counts)| counts.iter().map(move |count| count * unit));
        let mut timelines = steps.chain(weeks).map(of);
        let fits = |timeline: &Timeline| timeline.buckets as u64 <= buckets_max;
        timelines.find(fits).unwrap_or(Timeline { first: -1, step: i64::MAX, buckets: 2 })
    }

    /// Returns the index of the bucket that contains a time, if there is one.
    pub(in crate::view) fn bucket(&self, time: i64) -> Option<usize> {
        let bucket = usize::try_from(time.div_euclid(self.step) - self.first).ok()?;
        (bucket < self.buckets).then_some(bucket)
    }

    /// Returns one zero for each bucket.
    pub(in crate::view) fn counts(&self) -> Box<[u64]> {
        vec![0; self.buckets].into()
    }

    /// Returns the times of a bucket.
    pub(in crate::view) fn times(&self, bucket: usize) -> IntegerRange {
        let index = self.first.saturating_add(bucket as i64);
        // The first and the last bucket may extend beyond the range of representable times.
        let end = index.saturating_add(1).checked_mul(self.step);
        IntegerRange { first: index.saturating_mul(self.step), last: end.map_or(i64::MAX, |end| end - 1) }
    }

    /// Returns when the first bucket begins.
    pub(in crate::view) fn since(&self) -> String {
        time::format(self.first.saturating_mul(self.step))
    }

    /// Returns when the last bucket ends.
    pub(in crate::view) fn until(&self) -> String {
        time::format(self.first.saturating_add(self.buckets as i64).saturating_mul(self.step))
    }

    /// Returns the length of a bucket in seconds: a whole number, or thousandths of a second.
    pub(in crate::view) fn step_seconds(&self) -> Value {
        match self.step % SECOND {
            0 => (self.step / SECOND).into(),
            _ => ((self.step / MILLISECOND) as f64 / 1000.0).into(),
        }
    }
}

/// Returns the buckets for a search. If the search has no beginning, the buckets begin at the
/// earliest of all records. If the search has no end, they end now, or at the latest record if that
/// is later.
pub(in crate::view) async fn timeline_of(scan: &mut Scan, buckets_max: u64) -> Result<Timeline, StoreError> {
    let now = time::now();
    let Search { time_min, time_max, .. } = scan.search;
    let (has_since, has_until) = (time_min != i64::MIN, time_max != i64::MAX);
    if has_since && has_until {
        return Ok(Timeline::new(time_min, time_max, buckets_max));
    }
    let (earliest, latest) = scan.times(!has_since, now).await?;
    let last = if has_until { time_max } else { latest.unwrap_or(now) };
    let first = if has_since { time_min } else { earliest.unwrap_or(last).min(last) };
    Ok(Timeline::new(first, last, buckets_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(since: &str, until: &str, buckets: u64) -> (String, String, Value, usize) {
        let time = |text| time::parse(text).unwrap();
        let timeline = Timeline::new(time(since), time(until) - 1, buckets);
        (timeline.since(), timeline.until(), timeline.step_seconds(), timeline.buckets)
    }

    #[test]
    fn buckets_are_round_and_cover_the_range() {
        for (since, until, buckets, expected) in [
            ("2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z", 60, ("10:00:00", "11:00:00", 60.0, 60)),
            ("2026-11-21T10:00:30Z", "2026-11-21T11:00:30Z", 60, ("10:00:00", "11:02:00", 120.0, 31)),
            ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00.01Z", 60, ("10:00:00", "10:00:00.01", 0.001, 10)),
            ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z", 60, ("10:00:00", "10:00:00.001", 0.001, 1)),
            ("2026-11-21T01:30:00Z", "2026-11-21T23:00:00Z", 1, ("00:00:00", "24:00:00", 43_200.0, 2)),
        ] {
            let (since, until, step, count) = shown(since, until, buckets);
            let time = |text: &str| match text {
                "24:00:00" => "2026-11-22T00:00:00.000000000Z".to_owned(),
                text => time::format(time::parse(&format!("2026-11-21T{text}Z")).unwrap()),
            };
            assert_eq!((since, until), (time(expected.0), time(expected.1)));
            assert_eq!((step.as_f64().unwrap(), count), (expected.2, expected.3));
        }
    }

    #[test]
    fn every_range_fits_allowed_buckets() {
        for (first, last) in [(i64::MIN + 1, i64::MAX - 1), (i64::MAX, i64::MIN), (0, 0), (-1, 0)] {
            for buckets in [2, 60, 500] {
                let timeline = Timeline::new(first, last, buckets);
                assert!((1..=buckets as usize).contains(&timeline.buckets), "{first} {last} {timeline:?}");
                assert_eq!(timeline.bucket(first), Some(0));
                assert_eq!(timeline.bucket(last.max(first)), Some(timeline.buckets - 1));
                assert!(timeline.since() <= timeline.until());
                for bucket in [0, timeline.buckets - 1] {
                    let IntegerRange { first, last } = timeline.times(bucket);
                    assert_eq!([first, last].map(|time| timeline.bucket(time)), [Some(bucket); 2]);
                }
            }
        }
        let hour = Timeline::new(0, HOUR - 1, 60);
        assert_eq!(
            [-1, 0, MINUTE - 1, MINUTE, HOUR - 1, HOUR].map(|time| hour.bucket(time)),
            [None, Some(0), Some(0), Some(1), Some(59), None]
        );
    }
}
