//! Ingest over HTTP: bodies of every kind, limits, connections, a full spool, and durability.

mod bodies;
mod body_limits;
mod connections;
mod durability;
mod encodings;
mod full_spool;
mod site;
mod slow_clients;

use std::io::Write;

use serde_json::{Value, json};
use test_support::Server;

/// Returns this many records as NDJSON, `{"n":0,..}` and so on.
fn lines(records: usize, message: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for n in 0..records {
        writeln!(body, "{{\"message\":\"{message} {n}\",\"n\":{n}}}").unwrap();
    }
    body
}

/// Returns all messages, in the order of their ids, as soon as they are stored.
fn messages(server: &Server) -> Vec<String> {
    server.flush();
    let rows = server.sql("select message from logs order by id");
    rows.iter().map(|row| row[0].as_str().unwrap_or_default().to_owned()).collect()
}

/// Returns the answer for this many records and no error.
fn accepted(records: usize) -> Value {
    json!({"accepted": records, "rejected": 0, "errors": []})
}

fn count(server: &Server) -> u64 {
    server.flush();
    server.value("select count(*) from record").as_u64().unwrap()
}

/// Checks that no id between the first and the last is missing.
fn assert_without_gaps(server: &Server) {
    assert_eq!(server.value("select count(*) = max(id) - min(id) + 1 from record"), 1);
}
