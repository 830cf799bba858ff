//! Property: status, readiness and flush report the actual state of spool and stores.

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{Server, Setup, eventually};

use super::{lock, server_with};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn status_reports_received_and_stored_records() {
    let folder = TempDir::new().unwrap();
    let server = server_with(100, &folder);
    assert_eq!(server.post("oops\n{\"message\":\"m\"}").status, 200);
    server.flush();
    let status = server.status();
    let expected = [
        "log_lines_dropped",
        "memory_bytes",
        "problems",
        "ready",
        "sources",
        "spool",
        "stores",
        "uptime_seconds",
        "version",
    ];
    assert_eq!(keys(&status), expected);
    assert_eq!(
        (&status["ready"], &status["problems"], &status["version"]),
        (&json!(true), &json!([]), &json!(env!("CARGO_PKG_VERSION")))
    );
    let memory = server.memory_kib() * 1024;
    let told = status["memory_bytes"].as_u64().unwrap();
    assert!(told > memory / 2 && told < memory * 2, "{told} {memory}");
    let spool = &status["spool"];
    assert_eq!(
        (&spool["oldest_id"], &spool["durable_id"], &spool["lost_records"]),
        (&json!(1), &json!(102), &json!(0))
    );
    assert!(
        spool["bytes"].as_u64() > Some(0) && spool["bytes"].as_u64() <= spool["bytes_max"].as_u64(),
        "{spool}"
    );
    let names: Vec<_> = status["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source["source"].as_str().unwrap())
        .collect();
    let listeners =
        ["python", "python-udp", "http"].map(|protocol| format!("{protocol} {}", server.address(protocol)));
    assert_eq!(names, listeners);
    let http = &status["sources"][2];
    assert_eq!(
        (&http["received"], &http["accepted"], &http["rejected"], &http["shed"]),
        (&json!(102), &json!(101), &json!({"malformed": 1}), &json!({}))
    );
    assert_eq!(http["truncated"], 0);
    eventually("only the one that asks is open", || {
        (server.source("http")["connections"] == 1).then_some(())
    });
    let stores = json!([{
        "name": "sqlite", "kind": "sqlite", "position": 102, "lag_records": 0, "stored": 101, "dead_letters": 0, "failures": 0, "missing": 0,
        "last_error": null,
    }]);
    assert_eq!(status["stores"], stores);
}

#[test]
fn flush_waits_for_every_store() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("team.log");
    // Without a flush, the stores would wait for an hour.
    let setup =
        Setup::new().argument("--flush-interval=1h").argument(format!("--log-file={}", log.display()));
    let server = setup.start(&folder.path().join("data"));
    for round in 1..=20 {
        assert_eq!(server.post("{\"message\":\"flushed\"}").status, 200);
        let answer = server.request("POST", "/api/v1/flush", &[], b"");
        assert_eq!((answer.status, answer.json()), (200, json!({"position": round + 1})));
        assert_eq!(server.value("select count(*) from logs"), round);
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text.lines().filter(|line| line.ends_with(" flushed")).count(), round);
    }
    // A flush without anything to wait for is also answered.
    server.flush();
}

#[test]
fn flush_that_times_out_reports_stores_and_positions() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("team.log");
    let data = folder.path().join("data");
    let server = Setup::new().argument(format!("--log-file={}", log.display())).start(&data);
    assert_eq!(server.post("{\"message\":\"before\"}").status, 200);
    server.flush();
    let lock = lock(&data);
    for _ in 0..10 {
        assert_eq!(server.post("{\"message\":\"while it is locked\"}").status, 200);
    }
    let answer = server.request("POST", "/api/v1/flush", &[], b"");
    assert_eq!(answer.status, 503);
    let problem = answer.json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("store sqlite is at 2 of 12: 10 records behind, 0.0 records/s: "), "{detail}");
    assert!(detail.contains("locked"), "{detail}");
    assert!(!detail.contains("store file"), "the other one has everything: {detail}");
    drop(lock);
    server.flush();
}

#[test]
fn readiness_reports_problems_and_recovery() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let (health, ready) = (server.get("/healthz"), server.get("/readyz"));
    assert_eq!((health.status, health.text().as_str()), (200, "ok\n"));
    assert_eq!((ready.status, ready.text().as_str()), (200, "ready\n"));

    let lock = lock(folder.path());
    assert_eq!(server.post("{\"message\":\"while it is locked\"}").status, 200);
    let answer =
        eventually("it is not ready", || Some(server.get("/readyz")).filter(|answer| answer.status == 503));
    assert!(answer.head.contains("\r\ncontent-type: application/problem+json"), "{}", answer.head);
    let problem = answer.json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("store sqlite: ") && detail.contains("locked"), "{problem}");
    let status = server.status();
    assert_eq!((&status["ready"], &status["problems"][0]), (&json!(false), &json!(detail)));
    assert!(status["stores"][0]["last_error"].as_str().unwrap().contains("locked"), "{status}");
    assert!(status["stores"][0]["failures"].as_u64() > Some(0), "{status}");
    // The process is healthy, ingest continues, and stored records can be read.
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.post("{\"message\":\"ingest goes on\"}").status, 200);
    assert_eq!(server.get("/api/v1/records").status, 200);

    drop(lock);
    eventually("it is ready again", || (server.get("/readyz").status == 200).then_some(()));
    server.flush();
    assert_eq!(
        server.value("select group_concat(message, '; ') from logs"),
        "while it is locked; ingest goes on"
    );
    assert_eq!(server.status()["stores"][0]["last_error"], Value::Null);
}
