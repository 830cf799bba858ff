//! The state of the server: `/api/v1/status`, `/readyz`, `/metrics`, and `/api/v1/flush`.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout_at;

use crate::limits::FLUSH_SECONDS_MAX;
use crate::log;
use crate::metrics::{MetricsFormat, SourceCounters, memory_bytes};
use crate::net::http::{self, Body, accept, problem};
use crate::record::RecordId;
use crate::store::Progress;
use crate::view::{ApiResult, Refusal, View, refuse};

impl View {
    /// Responds with everything that a person needs to see whether something is wrong or lost.
    pub fn status(&self) -> Response<Body> {
        let spool = self.spool.status();
        let problems = self.problems();
        let status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "ready": problems.is_empty(),
            "problems": problems,
            "memory_bytes": memory_bytes(),
            "log_lines_dropped": log::dropped_lines(),
            "spool": {
                "oldest_id": spool.oldest_id,
                "durable_id": spool.durable_id,
                "bytes": spool.bytes,
                "bytes_max": spool.bytes_max,
                "segments": spool.segments,
                "quarantined_bytes": spool.quarantined_bytes,
                "lost_records": spool.lost_records,
                "displaced_segments": spool.displaced_segments,
                "restored_segments": spool.restored_segments,
                "commits": spool.commits,
            },
            "sources": self.sources.iter().map(|source| source_status(source)).collect::<Vec<_>>(),
            "stores": self.stores.iter().map(|store| store_status(store, spool.durable_id)).collect::<Vec<_>>(),
        });
        http::json(StatusCode::OK, status.to_string())
    }

    /// Responds with 200 while records are accepted and no store reports an error, else with 503
    /// and the reasons.
    pub fn ready(&self) -> Response<Body> {
        match self.problems().as_slice() {
            [] => http::text("ready\n"),
            problems => problem(StatusCode::SERVICE_UNAVAILABLE, "not ready", &problems.join("; "), None),
        }
    }

    /// Returns descriptions of the current problems.
    fn problems(&self) -> Vec<String> {
        let spool = self.spool.state().err().map(|refusal| refusal.to_string());
        let displaced = match self.spool.status().displaced_segments {
            0 => None,
            segments => Some(format!(
                "the files of {segments} segments of the spool were moved, removed or replaced: their records can be read \
                 only as long as this process lives; do not stop this process before the records are copied to new \
                 files or stored"
            )),
        };
        let store = |store: &std::sync::Arc<Progress>| {
            store.last_error().map(|error| format!("store {}: {error}", store.name))
        };
        spool.into_iter().chain(displaced).chain(self.stores.iter().filter_map(store)).collect()
    }

    /// Responds with all metrics, in the format that the client prefers.
    pub fn metrics(&self, headers: &HeaderMap) -> Response<Body> {
        let spool = self.spool.status();
        let problems = self.problems();
        self.metrics.set_problems(&problems);
        for (name, value) in [
            ("ready", u64::from(problems.is_empty())),
            ("memory_bytes", memory_bytes()),
            ("log_lines_dropped", log::dropped_lines()),
            ("spool_bytes", spool.bytes),
            ("spool_bytes_max", spool.bytes_max),
            ("spool_quarantined_bytes", spool.quarantined_bytes),
            ("spool_lost_records", spool.lost_records),
            ("spool_displaced_segments", spool.displaced_segments as u64),
            ("spool_restored_segments", spool.restored_segments),
            ("spool_commits", spool.commits),
            ("spool_durable_id", spool.durable_id),
            ("tails", self.tails.open() as u64),
            ("tail_missed_records", self.tails.missed()),
        ] {
            self.metrics.set(name, "", value);
        }
        for store in &self.stores {
            for (name, value) in [
                ("store_position", store.position()),
                ("store_lag_records", lag(store, spool.durable_id)),
                ("store_stored_records", store.stored.load(Relaxed)),
                ("store_dead_letters", store.dead_letters.load(Relaxed)),
                ("store_failures", store.failures.load(Relaxed)),
                ("store_missing_records", store.missing.load(Relaxed)),
            ] {
                self.metrics.set(name, &store.name, value);
            }
        }
        let (format, content_type) = metrics_format(headers);
        http::metrics(content_type, self.metrics.render(format))
    }

    /// Responds once everything that was accepted before the call is in every store.
    pub async fn flush(&self) -> ApiResult {
        let end = Instant::now() + Duration::from_secs(FLUSH_SECONDS_MAX);
        if timeout_at(end.into(), self.spool.committed()).await.is_err() {
            let why = self.spool.state().err().map(|refusal| format!(": {refusal}")).unwrap_or_default();
            return Err(late(&format!("the spool has not written all accepted records{why}")));
        }
        let (position, start) = (self.spool.durable_id(), Instant::now());
        let stores: Vec<_> = self.stores.iter().map(|store| (store, store.position())).collect();
        let wants: Vec<_> = self.stores.iter().map(|store| store.want(position)).collect();
        self.spool.wake_readers();
        let everywhere = async {
            for want in wants {
                want.await;
            }
        };
        if timeout_at(end.into(), everywhere).await.is_ok() {
            return Ok(http::json(StatusCode::OK, json!({ "position": position }).to_string()));
        }
        let behind = stores.into_iter().filter_map(|(store, from)| {
            let reached = store.position();
            (reached < position).then(|| behind(store, from, reached, position, start.elapsed()))
        });
        Err(late(&behind.collect::<Vec<_>>().join("; ")))
    }
}

/// Returns OpenMetrics to clients that name it and do not prefer the other format.
fn metrics_format(headers: &HeaderMap) -> (MetricsFormat, &'static str) {
    let open = accept::media_type(headers, "application/openmetrics-text", "1.0.0");
    let text = accept::media_type(headers, "text/plain", "0.0.4");
    if open.exactness == accept::NAMED && open.quality > 0 && open.quality >= text.quality {
        return (MetricsFormat::OpenMetrics, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    }
    (MetricsFormat::Prometheus, "text/plain; version=0.0.4; charset=utf-8")
}

fn late(detail: &str) -> Refusal {
    refuse(
        StatusCode::SERVICE_UNAVAILABLE,
        "not all accepted records are stored yet",
        detail,
        "accepted records stay in the spool, and stores continue by themselves: retry, or see /api/v1/status",
    )
}

/// Describes how far a store is from the position that it was to reach, and the rate at which it
/// advanced since it was at `from`.
fn behind(
    store: &Progress,
    from: RecordId,
    reached: RecordId,
    position: RecordId,
    elapsed: Duration,
) -> String {
    let name = &store.name;
    let error = store.last_error().map(|error| format!(": {error}")).unwrap_or_default();
    if reached == 0 {
        return format!("store {name} has not reported its position yet{error}");
    }
    let (rest, written) = (position - reached, reached.saturating_sub(from.max(1)));
    let pace = written as f64 / elapsed.as_secs_f64().max(0.001);
    let seconds = match written {
        0 => String::new(),
        _ => format!(", {:.0} s to go", (rest as f64 / pace).ceil()),
    };
    format!(
        "store {name} is at {reached} of {position}: {rest} records behind, {pace:.1} records/s{seconds}{error}"
    )
}

fn source_status(source: &SourceCounters) -> Value {
    json!({
        "source": source.source,
        "received": source.received.get(),
        "accepted": source.accepted.get(),
        "rejected": source.rejected.counts(),
        "dead_letters_suppressed": source.suppressed.counts(),
        "shed": source.shed.counts(),
        "truncated": source.truncated.get(),
        "connections": source.connections.get(),
        "connections_total": source.connections_total.get(),
    })
}

fn store_status(store: &Progress, durable_id: RecordId) -> Value {
    json!({
        "name": store.name,
        "kind": store.kind,
        "position": store.position(),
        "lag_records": lag(store, durable_id),
        "stored": store.stored.load(Relaxed),
        "dead_letters": store.dead_letters.load(Relaxed),
        "failures": store.failures.load(Relaxed),
        "missing": store.missing.load(Relaxed),
        "last_error": store.last_error(),
    })
}

fn lag(store: &Progress, durable_id: RecordId) -> u64 {
    durable_id.saturating_sub(store.position().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_format_follows_preference() {
        let of = |accepted: &'static str| {
            let accepted = hyper::header::HeaderValue::from_static(accepted);
            metrics_format(&HeaderMap::from_iter([(hyper::header::ACCEPT, accepted)])).0
        };
        for accepted in [
            "*/*",
            "text/plain",
            "application/json",
            "text/plain, application/openmetrics-text;q=0.5",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=0.0.1",
        ] {
            assert_eq!(of(accepted), MetricsFormat::Prometheus, "{accepted}");
        }
        for accepted in [
            "application/openmetrics-text",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;\
             version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ] {
            assert_eq!(of(accepted), MetricsFormat::OpenMetrics, "{accepted}");
        }
        assert_eq!(metrics_format(&HeaderMap::new()).0, MetricsFormat::Prometheus);
    }

    #[test]
    fn lagging_store_reports_distance_and_rate() {
        let store = Progress::new("archive", "file");
        let words = |from, reached| behind(&store, from, reached, 1001, Duration::from_secs(10));
        assert_eq!(
            words(1, 501),
            "store archive is at 501 of 1001: 500 records behind, 50.0 records/s, 10 s to go"
        );
        assert_eq!(words(501, 501), "store archive is at 501 of 1001: 500 records behind, 0.0 records/s");
        assert_eq!(words(0, 0), "store archive has not reported its position yet");
        assert_eq!(words(601, 501), words(501, 501), "a store that went back");
    }
}
