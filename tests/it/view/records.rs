//! Property: `GET /api/v1/records` returns exactly the matching records, page by page or as a
//! stream.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{PATIENCE, Server, eventually};

use super::{ids, path, records, server_with};

#[test]
fn record_with_every_field_is_returned() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let record = json!({
        "timestamp": "2026-11-21T10:00:00.123456789Z", "severity": "INFO", "severity_number": 9, "service": "billing",
        "logger": "app.views", "host": "web-1", "message": "two\nlines \"quoted\" \u{1f600}", "trace_id": "17", "span_id": "4",
        "event_name": "paid", "file": "/srv/views.py", "line": 17, "function": "pay", "process_id": 4321, "thread": "Main",
        "attributes": {"list": [1, null, "x"], "user": {"id": 1}},
    });
    assert_eq!(server.post(record.to_string()).status, 200);
    server.flush();
    let mut found = records(&server, &[]);
    assert_eq!((&found["next_cursor"], &found["partial"]), (&Value::Null, &json!(false)));
    let mut found = found["records"][0].take();
    assert_eq!(found.as_object_mut().unwrap().remove("id"), Some(json!(1)));
    assert_eq!(found, record);
}

/// The record becomes visible soon, without a wait or a flush by the client.
#[test]
fn single_record_is_visible_soon() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    assert_eq!(server.post(r#"{"message":"lone"}"#).status, 200);
    let found = eventually("it is found", || {
        Some(records(&server, &[("q", "lone")])).filter(|found| !ids(found).is_empty())
    });
    assert_eq!(ids(&found), [1]);
    // Empty fields are omitted.
    let record = found["records"][0].as_object().unwrap();
    assert_eq!(record.keys().collect::<Vec<_>>(), ["host", "id", "message", "timestamp"]);
}

#[test]
fn queries_times_limits_and_orders_select_records() {
    let folder = TempDir::new().unwrap();
    let server = server_with(600, &folder);
    let found = |parameters: &[(&str, &str)]| ids(&records(&server, parameters));
    assert_eq!(found(&[]), (501..=600).rev().collect::<Vec<_>>());
    assert_eq!(found(&[("limit", "3"), ("order", "asc")]), [1, 2, 3]);
    assert_eq!(found(&[("limit", "3"), ("order", "desc")]), [600, 599, 598]);
    assert_eq!(found(&[("limit", "0")]), [0; 0]);
    let query = "service:billing level>=error \"of many\" -n:3 n<100";
    let expected: Vec<u64> = (1..=600).filter(|id| (id - 1) % 12 == 3 && *id != 4 && *id <= 100).collect();
    assert_eq!(found(&[("q", query), ("order", "asc")]), expected);
    let hour = [("since", "2026-11-21T01:00:00Z"), ("until", "2026-11-21T01:04:00Z"), ("order", "asc")];
    assert_eq!(found(&hour), [61, 62, 63, 64]);
    assert_eq!(found(&[("q", "event"), ("since", "2026-11-22")]), [0; 0]);
    assert_eq!(found(&[("q", "nothing")]), [0; 0]);
    assert_eq!(found(&[("q", ""), ("since", ""), ("until", ""), ("cursor", ""), ("limit", "1")]), [600]);
}

#[test]
fn pages_visit_each_record_once_in_both_orders() {
    let folder = TempDir::new().unwrap();
    let server = server_with(2000, &folder);
    for (query, order, limit) in [
        ("", "asc", "7"),
        ("", "desc", "333"),
        ("level:warn", "asc", "11"),
        ("level:warn", "desc", "100"),
        ("event", "desc", "2000"),
    ] {
        let (mut visited, mut cursor) = (Vec::new(), String::new());
        loop {
            let page =
                records(&server, &[("q", query), ("order", order), ("limit", limit), ("cursor", &cursor)]);
            assert!(ids(&page).len() <= limit.parse().unwrap());
            assert_eq!(page["partial"], false);
            visited.extend(ids(&page));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        let mut expected: Vec<u64> = (1..=2000).filter(|id| query != "level:warn" || id % 4 == 3).collect();
        if order == "desc" {
            expected.reverse();
        }
        assert_eq!(visited, expected, "{query} {order} {limit}");
    }
}

/// Records that arrive while a client pages backwards do not shift the pages.
#[test]
fn pages_do_not_shift_while_records_arrive() {
    let folder = TempDir::new().unwrap();
    let server = server_with(30, &folder);
    let first = records(&server, &[("limit", "10")]);
    assert_eq!(server.post("{\"message\":\"new\"}").status, 200);
    server.flush();
    let second = records(&server, &[("limit", "10"), ("cursor", first["next_cursor"].as_str().unwrap())]);
    assert_eq!(ids(&second), (11..=20).rev().collect::<Vec<_>>());
}

pub(super) fn stream(server: &Server, parameters: &[(&str, &str)]) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(server.address("http")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let path = path("/api/v1/records", parameters);
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\naccept: application/x-ndjson\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    BufReader::new(stream)
}

#[test]
fn many_records_are_streamed() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let count = 120_000;
    let body: String =
        (0..count).map(|n| format!("{{\"message\":\"streamed {n}\",\"padding\":\"{n:0100}\"}}\n")).collect();
    assert_eq!(server.post(&body).json()["accepted"], count);
    server.flush();
    let headers = [("accept", "application/x-ndjson")];
    for order in ["asc", "desc"] {
        let path = path("/api/v1/records", &[("limit", "1000000"), ("order", order)]);
        let answer = server.request("GET", &path, &headers, b"");
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("\r\ncontent-type: application/x-ndjson"), "{}", answer.head);
        let text = answer.text();
        let found =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap());
        match order {
            "asc" => assert!(found.eq(1..=count)),
            _ => assert!(found.eq((1..=count).rev())),
        }
    }
    // Readers that stop reading delay no other client, and take no memory: their answers are
    // produced as they are read.
    let before = server.memory_kib();
    let mut stalled: Vec<_> =
        (0..8).map(|_| stream(&server, &[("limit", "1000000"), ("order", "asc")])).collect();
    for reader in &mut stalled {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    }
    assert_eq!(server.post("{\"message\":\"meanwhile\"}").json()["accepted"], 1);
    server.flush();
    assert_eq!(ids(&records(&server, &[("q", "meanwhile")])), [count + 1]);
    assert!(server.memory_kib() < before + (32 << 10), "{} KiB, {before} KiB before", server.memory_kib());
    // These readers can also disconnect.
    drop(stalled);
    eventually("their connections are closed", || (server.source("http")["connections"] == 1).then_some(()));
}

#[test]
fn bad_query_is_reported_with_its_position() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let answer =
        server.get(&path("/api/v1/records", &[("q", "service:billing (level>=warn OR \"timeout\"")]));
    assert_eq!(answer.status, 400);
    assert!(answer.head.contains("\r\ncontent-type: application/problem+json"), "{}", answer.head);
    let problem = answer.json();
    assert_eq!(problem["status"], 400);
    let detail = problem["detail"].as_str().unwrap();
    let expected = "the parenthesis is not closed\n\
                    service:billing (level>=warn OR \"timeout\"\n                ^";
    assert_eq!(detail, expected);
    assert!(problem["hint"].as_str().unwrap().contains("add a `)`"), "{problem}");
}

#[test]
fn bad_parameters_are_reported_by_name() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for (name, value, told) in [
        ("since", "yesterday", "yesterday"),
        ("until", "24:00", "24:00"),
        ("limit", "-1", "`limit` is `-1`"),
        ("limit", "1e3", "`limit` is `1e3`"),
        ("cursor", "abc", "`cursor` is `abc`"),
        ("order", "up", "the order `up`"),
        ("query", "x", "there is no parameter `query`"),
        ("q", "line:x", "whole numbers"),
        ("q", "time>=soon", "not a time"),
    ] {
        let answer = server.get(&path("/api/v1/records", &[(name, value)]));
        assert_eq!(answer.status, 400, "{name}={value}");
        let problem = answer.json();
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
        assert!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{problem}");
    }
}

#[test]
fn server_without_a_database_returns_501() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("out.log");
    let server = test_support::Setup::new()
        .argument(format!("--store=file:{}", log.display()))
        .start(&folder.path().join("data"));
    assert_eq!(server.get("/api/v1/records").status, 501);
    assert_eq!(server.ask_sql(&json!({"sql": "select 1"})).status, 501);
}
