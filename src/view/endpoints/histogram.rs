//! `GET /api/v1/histogram?q=&since=&until=&by=severity&buckets=60&seconds=`: the number of matching
//! records over time, grouped by one field.
//!
//! `{"since":..,"until":..,"step_seconds":60,"by":"severity",
//! "series":[{"value":"ERROR","total":12,"counts":[..]}],"other":null,"total":12,"partial":false}`.
//! The range is that of the buckets, which are aligned to their length.

use serde_json::{Value, json};

use crate::limits::{
    COUNTED_VALUE_BYTES_MAX, HISTOGRAM_BUCKETS_DEFAULT, HISTOGRAM_BUCKETS_MAX, HISTOGRAM_SERIES_MAX,
    HISTOGRAM_VALUES_MAX,
};
use crate::query::Field;
use crate::record::{Column, ColumnSet, RecordId, RecordRef, severity};
use crate::store::StoreError;
use crate::store::reader::{CountSink, CountedMatches};
use crate::store::scan::{Fold, Scan};
use crate::view::search::count::{ByText, CountMemory, most_frequent};
use crate::view::search::parameters::{Parameters, field};
use crate::view::search::timeline::{Timeline, timeline_of};
use crate::view::{ApiRequest, ApiResult, View};

impl View {
    /// Responds with a histogram.
    pub async fn histogram(&self, ask: ApiRequest<'_>) -> ApiResult {
        let mut parameters = Parameters::parse(ask.query);
        let mut search = parameters.search()?;
        let name = parameters.text("by").unwrap_or("severity".into());
        let by = field(&name)?;
        let buckets = parameters.number("buckets")?.unwrap_or(HISTOGRAM_BUCKETS_DEFAULT);
        let seconds = parameters.number("seconds")?;
        parameters.end()?;
        search.fields = match by {
            SEVERITY => ColumnSet::NONE,
            _ => by.column_set(),
        };
        let mut counting = self.counting(ask, search, seconds).await?;
        let timeline = timeline_of(&mut counting.scan, buckets.min(HISTOGRAM_BUCKETS_MAX)).await?;
        let (counts, is_partial) = count(&mut counting.scan, Counts::new(by, timeline)).await?;
        Ok(counting.respond(&counts.shown(&name, is_partial)))
    }
}

/// Counts all matches or, with a partial result, those for which there is time.
async fn count(scan: &mut Scan, counts: Counts) -> Result<(Counts, bool), StoreError> {
    if let Some(column) = groups_of(&counts.by).filter(|_| scan.can_count_groups()) {
        return count_in_database(scan, column, counts).await;
    }
    let counts = match counts.by {
        SEVERITY | Field::Column(Column::Service) => scan.fold_counts(counts).await?,
        _ => scan.fold(counts).await?,
    };
    Ok((counts, !scan.is_done()))
}

/// Lets the database count, bucket by bucket, the latest first.
async fn count_in_database(
    scan: &mut Scan,
    column: Column,
    mut counts: Counts,
) -> Result<(Counts, bool), StoreError> {
    for bucket in (0..counts.timeline.buckets).rev() {
        if scan.is_late() {
            return Ok((counts, true));
        }
        let times = counts.timeline.times(bucket);
        let add = |text: &str, records| counts.add_text(text, times.first, records);
        scan.count_groups(column, times, add).await?;
    }
    Ok((counts, scan.is_late()))
}

/// Records are grouped by the six severity ranges of OpenTelemetry, and no severity.
const SEVERITY: Field = Field::Column(Column::Severity);

/// The names of the severities, in order.
const SEVERITIES: [&str; 7] = ["", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/// Returns the column to group by, if it has few distinct values.
fn groups_of(by: &Field) -> Option<Column> {
    match by {
        &SEVERITY => Some(Column::SeverityNumber),
        Field::Column(column) if Column::GROUPS.contains(column) => Some(*column),
        _ => None,
    }
}

/// The counters of one value.
#[derive(Clone)]
struct Series {
    total: u64,
    counts: Box<[u64]>,
}

impl Series {
    fn new(timeline: &Timeline) -> Series {
        Series { total: 0, counts: timeline.counts() }
    }

    fn add(&mut self, bucket: usize, records: u64) {
        self.total += records;
        self.counts[bucket] += records;
    }

    fn merge(&mut self, other: &Series) {
        other.counts.iter().enumerate().for_each(|(bucket, records)| self.add(bucket, *records));
    }

    fn shown(&self, value: &str) -> Value {
        json!({ "value": value, "total": self.total, "counts": self.counts })
    }
}

/// All counters of a histogram.
struct Counts {
    by: Field,
    timeline: Timeline,
    values: ByText<Series>,
    /// Values that found no room in `values`.
    others: Series,
    room: CountMemory,
}

impl Counts {
    fn new(by: Field, timeline: Timeline) -> Counts {
        let others = Series::new(&timeline);
        Counts { by, timeline, values: ByText::default(), others, room: CountMemory::default() }
    }

    /// Counts this many records of a value, at a time.
    fn add(&mut self, value: &str, time: i64, records: u64) {
        let Some(bucket) = self.timeline.bucket(time) else { return };
        if let Some(series) = self.values.get_mut(value) {
            return series.add(bucket, records);
        }
        let fits = value.len() <= COUNTED_VALUE_BYTES_MAX && self.values.len() < HISTOGRAM_VALUES_MAX;
        if fits && self.room.take(value.len()) {
            let series = Series::new(&self.timeline);
            self.values.entry(value.into()).or_insert(series).add(bucket, records);
        } else {
            self.others.add(bucket, records);
        }
    }

    /// Counts records whose value is the text of the column in the database.
    fn add_text(&mut self, text: &str, time: i64, records: u64) {
        match self.by {
            SEVERITY => self.add(severity::name_of_range(text.parse().unwrap_or_default()), time, records),
            _ => self.add(text, time, records),
        }
    }

    fn shown(mut self, name: &str, is_partial: bool) -> Value {
        let total = self.others.total + self.values.values().map(|series| series.total).sum::<u64>();
        let mut values: Vec<_> = self.values.into_iter().collect();
        match self.by {
            SEVERITY => {
                values.sort_by_key(|(value, _)| SEVERITIES.iter().position(|name| **name == **value));
            }
            _ => values = most_frequent(values, |series| series.total),
        }
        let rest = values.split_off(values.len().min(HISTOGRAM_SERIES_MAX));
        rest.iter().for_each(|(_, series)| self.others.merge(series));
        let Series { total: others, counts } = self.others;
        let other = (others > 0).then(|| json!({ "total": others, "counts": counts }));
        json!({
            "since": self.timeline.since(),
            "until": self.timeline.until(),
            "step_seconds": self.timeline.step_seconds(),
            "by": name,
            "series": values.iter().map(|(value, series)| series.shown(value)).collect::<Vec<_>>(),
            "other": other,
            "total": total,
            "partial": is_partial,
        })
    }
}

impl Fold for Counts {
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) {
        let value = match &self.by {
            &SEVERITY => severity::name_of_range(record.severity_number).into(),
            field => match field.value(id, record) {
                Some(value) if !value.kind.is_nested() => value.text,
                _ => "".into(),
            },
        };
        self.add(&value, record.timestamp, 1);
    }
}

impl CountSink for Counts {
    fn step(&self) -> i64 {
        self.timeline.step
    }

    fn take_counted(&mut self, counted: CountedMatches<'_>) {
        let value = match self.by {
            SEVERITY => severity::name_of_range(counted.severity_number),
            _ => counted.service,
        };
        self.add(value, counted.timestamp, counted.records);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_room_count_as_others() {
        let field = field("k").unwrap();
        let mut counts = Counts::new(field, Timeline::new(0, 3_600_000_000_000 - 1, 60));
        for n in 0..HISTOGRAM_VALUES_MAX + 5 {
            counts.add(&n.to_string(), 0, 1);
        }
        counts.add("0", 60_000_000_000, 2);
        counts.add("0", -1, 1);
        counts.add(&"x".repeat(COUNTED_VALUE_BYTES_MAX + 1), 0, 1);
        let shown = counts.shown("k", false);
        assert_eq!(shown["series"].as_array().unwrap().len(), HISTOGRAM_SERIES_MAX);
        assert_eq!((&shown["series"][0]["value"], &shown["series"][0]["total"]), (&json!("0"), &json!(3)));
        assert_eq!(shown["series"][0]["counts"][1], 2);
        let shown_ones = HISTOGRAM_SERIES_MAX - 1;
        assert_eq!(shown["other"]["total"], json!(HISTOGRAM_VALUES_MAX + 5 + 1 - 1 - shown_ones));
        assert_eq!(shown["total"], json!(HISTOGRAM_VALUES_MAX + 5 + 2 + 1));
    }
}
