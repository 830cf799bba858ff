//! Property: a database of an earlier version is moved into the tables of this version while the
//! server runs. Nothing is lost whatever ends the server, and all answers stay the same.

use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use tempfile::TempDir;
use test_support::load::post_each;
use test_support::{Server, eventually};

/// The version of a database whose rows have all been moved.
const VERSION: i64 = 5;

/// Unpacks a data folder that version 3 has left, with 6,000 records.
fn unpack(folder: &Path) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sqlite/version-3.tar.gz");
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder).status().unwrap();
    assert!(status.success());
}

fn open(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join("logboom.db")).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    connection
}

fn version(folder: &Path) -> i64 {
    open(folder).query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

/// Returns the first records as the view of the database shows them.
fn rows(folder: &Path) -> Vec<String> {
    let connection = open(folder);
    let mut select = connection
        .prepare(
            "SELECT json_array(id, time, severity_number, severity, service, logger, host, message, trace_id, span_id,
                 event_name, file, line, function, process_id, thread, attributes) FROM logs WHERE id <= 6000 ORDER BY id",
        )
        .unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Returns how many records some queries find.
fn counts(server: &Server) -> Vec<u64> {
    let queries = [
        "service:service-03",
        "logger:app.module01*",
        "level>=error",
        "level:warning",
        "request 17",
        "thread:MainThread -host:web-1",
        "line>200 function:f3",
        "user_id:17",
        "event_name:login OR trace_id:17",
        "span_id:*",
    ];
    let count = |query: &&str| {
        let query = query.replace(':', "%3A").replace(' ', "%20").replace('>', "%3E").replace('*', "%2A");
        let path = format!("/api/v1/records?limit=6000&order=asc&until=2026-11-22&q={query}");
        server.get(&path).json()["records"].as_array().unwrap().len() as u64
    };
    queries.iter().map(count).collect()
}

#[test]
fn answers_stay_the_same_through_migration_and_kills() {
    let folder = TempDir::new().unwrap();
    unpack(folder.path());
    assert_eq!(version(folder.path()), 3);
    let before = rows(folder.path());
    assert_eq!(before.len(), 6000);
    let (mut posted, mut found) = (0, Vec::new());
    for round in 0..6 {
        let mut server = Server::start(folder.path());
        posted += post_each(&server, &format!("round{round}"), 20).len();
        found.push(counts(&server));
        server.kill();
        assert!(rows(folder.path()) == before, "after round {round}");
    }
    let server = Server::start(folder.path());
    eventually("all rows are moved", || (version(folder.path()) == VERSION).then_some(()));
    server.flush();
    found.push(counts(&server));
    assert!(
        found.iter().all(|counts| *counts == found[0] && counts.iter().all(|count| *count > 0)),
        "{found:?}"
    );
    assert!(rows(folder.path()) == before);
    assert_eq!(server.value("SELECT count(*) FROM logs WHERE trace_id LIKE 'round%'"), posted);
    assert_eq!(server.value("SELECT missing FROM logs_accounted"), 0);
}

#[test]
fn deletion_of_names_waits_for_migration() {
    let folder = TempDir::new().unwrap();
    unpack(folder.path());
    let server = Server::start(folder.path());
    let body = br#"{"query": "thread:MainThread OR host:web-1", "before": "now"}"#;
    let headers = [("content-type", "application/json")];
    let answer = server.request("POST", "/api/v1/delete", &headers, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(version(folder.path()), VERSION);
    assert_eq!(server.value("SELECT count(*) FROM logs WHERE thread = 'MainThread' OR host = 'web-1'"), 0);
    for suffix in ["", "-wal"] {
        let bytes = std::fs::read(folder.path().join(format!("logboom.db{suffix}"))).unwrap_or_default();
        for name in ["MainThread", "web-1"] {
            let is_there = bytes.windows(name.len()).any(|window| window == name.as_bytes());
            assert!(!is_there, "{name} is in logboom.db{suffix}");
        }
    }
}
