//! Property: whatever untrusted clients write into records, queries and addresses stays data.

use logboom::limits::{ANSWERS_MAX, EXPORTS_MAX};
use serde_json::json;
use tempfile::TempDir;
use test_support::{Server, eventually};

use super::parity::Both;
use super::{ids, path};

/// Texts with a special meaning in SQL, patterns, JSON, paths or terminals.
const HOSTILE: [&str; 19] = [
    "'; DROP TABLE record; --",
    "\"; DROP TABLE logs; --",
    "' OR '1'='1",
    "') OR 1=1 --",
    "x' UNION SELECT key FROM origin --",
    "'||(SELECT 1)||'",
    "?",
    "?1",
    "$1",
    "%",
    "_",
    "\\",
    "a\0b",
    "{\"a\":",
    "$.a[0]",
    "../../etc/passwd",
    "\r\nx-injected: 1",
    "\u{1b}[31m",
    "\u{202e}\u{fffe}\u{10ffff}",
];

#[test]
fn request_text_never_becomes_part_of_a_statement() {
    let both = Both::with(60);
    let all = ids(&both.get("/api/v1/records", &[("limit", "1000")]));
    for text in HOSTILE {
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let queries = [
            text.to_owned(),
            quoted.clone(),
            format!("service:{quoted}"),
            format!("{quoted}:1"),
            format!("{quoted}:{quoted} OR -k>{quoted}"),
            format!("trace_id:{quoted}*"),
        ];
        for place in ["records", "histogram", "fields", "fields/service", "errors"] {
            for query in &queries {
                ask(&both, &format!("/api/v1/{place}"), &[("q", query), ("until", "2026-12-01")]);
            }
            for name in
                ["since", "until", "limit", "cursor", "order", "format", "seconds", "buckets", "values", text]
            {
                ask(&both, &format!("/api/v1/{place}"), &[(name, text)]);
            }
        }
        let until = ("until", "2026-12-01");
        ask(&both, "/api/v1/histogram", &[("by", text), until]);
        ask(&both, "/api/v1/fields", &[("fields", text), until]);
        ask(&both, "/api/v1/fields/service", &[("prefix", text), until]);
        ask(&both, "/api/v1/records", &[("format", "csv"), ("fields", text)]);
        ask(&both, "/api/v1/records/1/context", &[("scope", text)]);
        let encoded = path("", &[("", text)]).trim_start_matches("?=").replace('+', "%20");
        for place in ["records", "traces", "fields"] {
            ask(&both, &format!("/api/v1/{place}/{encoded}"), &[]);
        }
    }
    assert_eq!(ids(&both.get("/api/v1/records", &[("limit", "1000")])), all);
}

fn ask(both: &Both, place: &str, parameters: &[(&str, &str)]) {
    let answer = both.answer(place, parameters);
    assert!(
        matches!(answer.status, 200 | 400 | 404),
        "{place} {parameters:?}: {} {}",
        answer.status,
        answer.text()
    );
    assert!(!answer.head.contains("x-injected"), "{}", answer.head);
}

#[test]
fn query_error_has_its_position() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for (query, start, end) in [
        ("service:billing (level>=warn", 16, 17),
        ("\u{e4}\u{1f600} line:x", 8, 9),
        ("\"\u{e4}", 0, 2),
        ("level>=warn ()", 12, 14),
    ] {
        for place in ["records", "histogram", "fields", "fields/x", "errors"] {
            let problem = server.get(&path(&format!("/api/v1/{place}"), &[("q", query)])).json();
            assert_eq!(problem["position"], json!({"start": start, "end": end}), "{query}: {problem}");
            assert_eq!(problem["status"], 400);
        }
    }
    let long = server.get(&path("/api/v1/records", &[("q", &"\u{e4} ".repeat(2000))])).json();
    assert_eq!(long["position"]["end"], 4000, "{long}");
    assert_eq!(server.get("/api/v1/records?since=x").json()["position"], json!(null));
}

#[test]
fn html_in_records_stays_data() {
    let both = Both::with(0);
    for (place, parameters, kind) in [
        ("records", vec![("q", "script")], "application/json"),
        ("records", vec![("q", "script"), ("format", "csv"), ("fields", "message")], "text/csv"),
        ("records", vec![("q", "script"), ("format", "ndjson")], "application/x-ndjson"),
        ("fields/message", vec![("q", "script")], "application/json"),
        ("records", vec![("q", "<script> (")], "application/problem+json"),
        ("fields", vec![("<script>", "1")], "application/problem+json"),
    ] {
        let answer = both.answer(&format!("/api/v1/{place}"), &parameters);
        assert!(answer.head.contains(&format!("content-type: {kind}")), "{}", answer.head);
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
        assert!(answer.text().contains("<script>"), "{}", answer.text());
    }
}

#[test]
fn every_answer_disables_content_sniffing() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for (method, place) in [
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/api/v1/status"),
        ("GET", "/api/v1/records"),
        ("GET", "/nowhere"),
        ("PUT", "/api/v1/records"),
        ("POST", "/api/v1/records"),
        ("POST", "/api/v1/sql"),
        ("POST", "/api/v1/flush"),
    ] {
        let answer = server.request(method, place, &[], b"");
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{method} {place}: {}", answer.head);
    }
    let foreign = server.request("GET", "/healthz", &[("origin", "http://elsewhere.example")], b"");
    assert!(foreign.status == 403 && foreign.head.contains("nosniff"), "{}", foreign.head);
}

#[test]
fn number_of_open_answers_is_bounded() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let body: String =
        (0..30_000).map(|n| format!("{{\"message\":\"{n}\",\"padding\":\"{n:0900}\"}}\n")).collect();
    assert_eq!(server.post(body).status, 200);
    server.flush();
    // Exports alone do not take all the room.
    let export = || super::records::stream(&server, &[("limit", "1000000")]);
    let page = || super::records::stream(&server, &[("format", "json"), ("limit", "10000")]);
    let mut stalled: Vec<_> = (0..EXPORTS_MAX).map(|_| export()).collect();
    stalled.extend((EXPORTS_MAX..ANSWERS_MAX - 1).map(|_| page()));
    let refused = eventually("one too many", || {
        // An earlier one may have been refused because the histogram request was running.
        stalled.push(page());
        let answer = server.get("/api/v1/histogram");
        (answer.status == 503).then_some(answer)
    });
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    drop(stalled);
    eventually("there is room again", || (server.get("/api/v1/histogram").status == 200).then_some(()));
}
