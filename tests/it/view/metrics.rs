//! Property: `/metrics` is valid in both formats, read as strictly as Prometheus reads them, and
//! agrees with the status.

use std::collections::BTreeMap;

use serde_json::Value;
use tempfile::TempDir;
use test_support::{Server, eventually};

use super::server_with;

/// Samples by name and labels, such as `logboom_store_position{store="sqlite"}`.
type Samples = BTreeMap<String, f64>;

/// Parses the text format of OpenMetrics 1.0, as far as counters and gauges are concerned; anything
/// else is an error.
fn parse(text: &str) -> Samples {
    parse_body(text.strip_suffix("# EOF\n").expect("it ends with its mark"), "_total")
}

/// Parses metrics of which the samples of counters have this suffix in addition to the name in the
/// comments.
fn parse_body(body: &str, counter_suffix: &str) -> Samples {
    let (mut samples, mut families) = (Samples::new(), Vec::new());
    let (mut family, mut kind) = (String::new(), String::new());
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (word, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            assert!(is_name(name), "{line}");
            match word {
                "HELP" => {
                    assert!(!families.contains(&name.to_owned()), "twice: {name}");
                    assert!(rest.len() > 5, "{line}");
                    families.push(name.to_owned());
                    family = name.to_owned();
                    kind.clear();
                }
                "TYPE" => {
                    assert_eq!((name, kind.as_str()), (family.as_str(), ""), "{line}");
                    assert!(matches!(rest, "counter" | "gauge"), "{line}");
                    kind = rest.to_owned();
                }
                _ => panic!("{line}"),
            }
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series
                .split_once('{')
                .map_or((series, ""), |(name, labels)| (name, labels.strip_suffix('}').unwrap()));
            let suffix = if kind == "counter" { counter_suffix } else { "" };
            assert_eq!(name, format!("{family}{suffix}"), "{line}");
            check_labels(labels);
            let value: f64 = value.parse().unwrap();
            assert!(value >= 0.0 && value.is_finite(), "{line}");
            let series = series.trim_end_matches("{}");
            assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {series}");
        }
    }
    samples
}

fn is_name(name: &str) -> bool {
    name.starts_with("logboom_")
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn check_labels(labels: &str) {
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (name, value) = label.split_once('=').unwrap();
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase()), "{labels}");
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap();
        assert!(!value.contains(['"', '\\', '\n']), "{labels}");
    }
}

fn scrape(server: &Server) -> Samples {
    let accepted = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")];
    let answer = server.request("GET", "/metrics", &accepted, b"");
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{}",
        answer.head
    );
    parse(&answer.text())
}

#[test]
fn metrics_are_valid_and_agree_with_the_status() {
    let folder = TempDir::new().unwrap();
    let server = server_with(100, &folder);
    assert_eq!(server.post("oops\n{\"message\":\"m\"}\n17").status, 200);
    server.flush();
    let status = server.status();
    let samples = scrape(&server);
    let sample = |series: String| {
        samples.get(&series).copied().unwrap_or_else(|| panic!("no {series} in {samples:#?}"))
    };
    let number = |value: &Value| value.as_u64().unwrap() as f64;
    for source in status["sources"].as_array().unwrap() {
        let name = source["source"].as_str().unwrap();
        for (metric, field) in [
            ("received_records", "received"),
            ("accepted_records", "accepted"),
            ("truncated_frames", "truncated"),
        ] {
            assert_eq!(
                sample(format!("logboom_{metric}_total{{source=\"{name}\"}}")),
                number(&source[field]),
                "{name} {field}"
            );
        }
        for (reason, count) in source["rejected"].as_object().unwrap() {
            assert_eq!(
                sample(format!("logboom_rejected_records_total{{source=\"{name}\",reason=\"{reason}\"}}")),
                number(count)
            );
        }
    }
    let http = status["sources"][2]["source"].as_str().unwrap();
    assert_eq!(sample(format!("logboom_accepted_records_total{{source=\"{http}\"}}")), 101.0);
    assert_eq!(
        sample(format!("logboom_rejected_records_total{{source=\"{http}\",reason=\"malformed\"}}")),
        1.0
    );
    eventually("only the one that asks is open", || {
        let open = scrape(&server)[&format!("logboom_connections{{source=\"{http}\"}}")];
        (open == 1.0).then_some(())
    });
    assert!(sample(format!("logboom_connections_opened_total{{source=\"{http}\"}}")) >= 5.0);
    let store = &status["stores"][0];
    for (metric, field) in [
        ("position", "position"),
        ("lag_records", "lag_records"),
        ("stored_records", "stored"),
        ("dead_letters", "dead_letters"),
        ("failures", "failures"),
    ] {
        assert_eq!(
            sample(format!("logboom_store_{metric}{{store=\"sqlite\"}}")),
            number(&store[field]),
            "{field}"
        );
    }
    for field in ["bytes", "bytes_max", "durable_id", "commits", "lost_records", "quarantined_bytes"] {
        assert_eq!(sample(format!("logboom_spool_{field}")), number(&status["spool"][field]), "{field}");
    }
    assert_eq!(sample("logboom_ready".into()), 1.0);
    assert!(sample("logboom_memory_bytes".into()) > 1e6);
}

#[test]
fn text_of_prometheus_has_the_same_samples() {
    let folder = TempDir::new().unwrap();
    let server = server_with(10, &folder);
    let answer = server.get("/metrics");
    assert!(
        answer.head.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8"),
        "{}",
        answer.head
    );
    assert!(answer.head.contains("\r\nvary: accept"), "{}", answer.head);
    let (text, open) = (parse_body(&answer.text(), ""), scrape(&server));
    assert!(text.keys().eq(open.keys()), "{text:#?} {open:#?}");
    let accepted = format!("logboom_accepted_records_total{{source=\"http {}\"}}", server.address("http"));
    assert_eq!(text[&accepted], 10.0);
}

#[test]
fn counters_only_grow() {
    let folder = TempDir::new().unwrap();
    let server = server_with(10, &folder);
    let before = scrape(&server);
    assert_eq!(server.post("{\"message\":\"m\"}\noops").status, 200);
    let after = scrape(&server);
    for (series, value) in before.iter().filter(|(series, _)| series.contains("_total")) {
        assert!(after[series] >= *value, "{series}");
    }
    let accepted = format!("logboom_accepted_records_total{{source=\"http {}\"}}", server.address("http"));
    assert_eq!((before[&accepted], after[&accepted]), (10.0, 11.0));
}
