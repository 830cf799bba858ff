//! Counters of the input by source and reason. `/metrics` and `/api/v1/status` read the same
//! counters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};

use crate::limits::METRIC_PROBLEM_CHARS_MAX;

/// All counters, and their registry for Prometheus.
pub struct Metrics {
    registry: Registry,
    received: Family<Labels, Counter>,
    accepted: Family<Labels, Counter>,
    rejected: Family<Labels, Counter>,
    suppressed: Family<Labels, Counter>,
    shed: Family<Labels, Counter>,
    truncated: Family<Labels, Counter>,
    connections: Family<Labels, Gauge>,
    connections_total: Family<Labels, Counter>,
    gauges: BTreeMap<&'static str, Family<Labels, Gauge>>,
}

/// Names and values: the source and the reason, the store, or the text of a problem.
type Labels = Vec<(&'static str, String)>;

const PROBLEM: &str = "problem";

/// The text formats of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus 0.0.4, which every scraper reads.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// Gauges that are set at each scrape: name and help text.
const GAUGES: [(&str, &str); 20] = [
    ("ready", "1 while records are accepted and no store reports an error"),
    (PROBLEM, "1 for each current problem, with its text as the label"),
    ("memory_bytes", "Resident memory of the process"),
    ("log_lines_dropped", "Lines of the program's own log dropped because standard error was blocked"),
    ("spool_bytes", "Size of the spool's segment files in bytes"),
    ("spool_bytes_max", "The ceiling of the spool's segment files in bytes"),
    ("spool_quarantined_bytes", "Bytes of damaged ranges of the spool that were quarantined"),
    ("spool_lost_records", "Records lost to damage of the spool since the start"),
    (
        "spool_displaced_segments",
        "Segments of the spool whose files were moved, removed or replaced under the server",
    ),
    ("spool_restored_segments", "Displaced segments that were copied to new files since the start"),
    ("spool_commits", "Commits of the spool since the start"),
    ("spool_durable_id", "The id that the next durable record gets"),
    ("store_position", "The id of the first record that the store does not have yet"),
    ("store_lag_records", "Durable records that the store does not have yet"),
    ("store_stored_records", "Records stored since the start"),
    ("store_dead_letters", "Records that the store refused since the start, kept as dead letters"),
    (
        "store_missing_records",
        "Records that the store had before it went back to an older state, and that the spool no longer has",
    ),
    ("store_failures", "Failed attempts of the store since the start"),
    ("tails", "Open tails: clients that receive records as they become durable"),
    (
        "tail_missed_records",
        "Records that slow tail clients missed since the start, whether the records would have matched or not",
    ),
];

impl Default for Metrics {
    /// Returns metrics whose counters are all zero.
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("logboom");
        let new = &mut registry;
        Metrics {
            received: register(
                new,
                "received_records",
                "Records that arrived, including inputs that should have been records",
            ),
            accepted: register(new, "accepted_records", "Records that were made durable"),
            rejected: register(new, "rejected_records", "Inputs that were rejected as records"),
            suppressed: register(
                new,
                "dead_letters_suppressed",
                "Rejected inputs for which no dead letter was made, because there were too many",
            ),
            shed: register(new, "shed_records", "Records that could not be made durable"),
            truncated: register(new, "truncated_frames", "Frames cut off by their connection's end"),
            connections: register(new, "connections", "Open connections"),
            connections_total: register(new, "connections_opened", "Connections since the start"),
            gauges: GAUGES.map(|(name, help)| (name, register(new, name, help))).into(),
            registry,
        }
    }
}

impl Metrics {
    /// Returns the counters of one source, such as `python 127.0.0.1:9020`.
    pub fn source(&self, name: &str) -> SourceCounters {
        let label = vec![("source", name.to_owned())];
        SourceCounters {
            source: name.to_owned(),
            received: self.received.get_or_create(&label).clone(),
            accepted: self.accepted.get_or_create(&label).clone(),
            rejected: Reasons::new(name, &self.rejected),
            suppressed: Reasons::new(name, &self.suppressed),
            shed: Reasons::new(name, &self.shed),
            truncated: self.truncated.get_or_create(&label).clone(),
            connections: self.connections.get_or_create(&label).clone(),
            connections_total: self.connections_total.get_or_create(&label).clone(),
        }
    }

    /// Sets one of the gauges. `store` is empty if the gauge does not belong to a store.
    pub fn set(&self, name: &str, store: &str, value: u64) {
        let label = if store.is_empty() { vec![] } else { vec![("store", store.to_owned())] };
        if let Some(gauge) = self.gauges.get(name) {
            gauge.get_or_create(&label).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }

    /// Sets the gauges of the current problems, and removes those of earlier ones.
    pub fn set_problems(&self, problems: &[String]) {
        let family = &self.gauges[PROBLEM];
        family.clear();
        for problem in problems {
            let words = problem.chars().take(METRIC_PROBLEM_CHARS_MAX).collect();
            family.get_or_create(&vec![(PROBLEM, words)]).set(1);
        }
    }

    /// Returns the text that Prometheus and others scrape.
    pub fn render(&self, format: MetricsFormat) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode_registry(&mut text, &self.registry);
        match format {
            MetricsFormat::Prometheus => prometheus(&text),
            MetricsFormat::OpenMetrics => {
                let _ = encode_eof(&mut text);
                text
            }
        }
    }
}

/// Returns a family of metrics that the registry renders. Families are rendered in the order in
/// which they were registered.
fn register<F: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> F {
    let family = F::default();
    registry.register(name, help, family.clone());
    family
}

/// Translates OpenMetrics into the text format of Prometheus, where the comments of a counter have
/// its whole name, with `_total`.
fn prometheus(open_metrics: &str) -> String {
    let types = open_metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let counters: BTreeSet<_> = types.filter_map(|kind| kind.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open_metrics.len() + 16 * counters.len());
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(word), Some(name), Some(rest)) if counters.contains(name) => {
                let _ = writeln!(text, "# {word} {name}_total {rest}");
            }
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

/// The counters of one source.
pub struct SourceCounters {
    /// The source's name.
    pub source: String,
    /// Records that arrived, including inputs that should have been records.
    pub received: Counter,
    /// Records made durable.
    pub accepted: Counter,
    /// Inputs that were rejected as records.
    pub rejected: Reasons,
    /// Rejected inputs for which no dead letter was made, because there were too many.
    pub suppressed: Reasons,
    /// Records that could not be made durable.
    pub shed: Reasons,
    /// Frames cut off by their connection's end.
    pub truncated: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// Connections since the start.
    pub connections_total: Counter,
}

/// One counter per reason. Reasons are a few fixed words.
pub struct Reasons {
    source: String,
    family: Family<Labels, Counter>,
    counters: Mutex<BTreeMap<&'static str, Counter>>,
}

impl Reasons {
    fn new(source: &str, family: &Family<Labels, Counter>) -> Reasons {
        Reasons { source: source.to_owned(), family: family.clone(), counters: Mutex::default() }
    }

    /// Counts `records` for a reason.
    pub fn add(&self, reason: &'static str, records: u64) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = counters.entry(reason).or_insert_with(|| {
            let labels = vec![("source", self.source.clone()), ("reason", reason.to_owned())];
            self.family.get_or_create(&labels).clone()
        });
        counter.inc_by(records);
    }

    /// Returns every reason that has occurred, with its count.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.iter().map(|(reason, counter)| (*reason, counter.get())).collect()
    }
}

/// The counters of every source, for the status page.
pub type Sources = Vec<Arc<SourceCounters>>;

/// Returns the resident memory of this process in bytes; 0 if the system does not report it.
pub fn memory_bytes() -> u64 {
    let resident_pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    resident_pages.unwrap_or(0) * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_differ_in_comments_of_counters() {
        let metrics = Metrics::default();
        metrics.source("http a").accepted.inc_by(3);
        metrics.set("tails", "", 2);
        let sample = "logboom_accepted_records_total{source=\"http a\"} 3\n";
        let open = metrics.render(MetricsFormat::OpenMetrics);
        assert!(open.contains(&format!("\n# TYPE logboom_accepted_records counter\n{sample}")), "{open}");
        assert!(open.contains("\n# TYPE logboom_tails gauge\nlogboom_tails{} 2\n"), "{open}");
        assert!(open.ends_with("\n# EOF\n"), "{open}");
        let text = metrics.render(MetricsFormat::Prometheus);
        let help = "# HELP logboom_accepted_records_total Records that were made durable.\n";
        let expected = format!("{help}# TYPE logboom_accepted_records_total counter\n{sample}");
        assert!(text.contains(&expected) && !text.contains("# EOF"), "{text}");
        assert!(text.contains("\n# TYPE logboom_tails gauge\nlogboom_tails{} 2\n"), "{text}");
    }
}
