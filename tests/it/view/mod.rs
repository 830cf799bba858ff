//! Reading over HTTP: records, counts, exports, tails, statements, the page, and the status.

mod client_disconnect;
mod compression;
mod context;
mod counts;
mod export;
mod head;
mod metrics;
mod openapi;
mod page;
mod paging;
mod parameter_bounds;
mod parity;
mod postgres;
mod records;
mod security;
mod sql;
mod status;
mod tail;

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{Answer, Server};

/// Returns a path with parameters.
fn path(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    format!("{path}?{}", query.finish())
}

fn records(server: &Server, parameters: &[(&str, &str)]) -> Value {
    let answer = server.get(&path("/api/v1/records", parameters));
    assert_eq!(answer.status, 200, "{parameters:?}: {}", answer.text());
    answer.json()
}

/// Returns the ids of the records of an answer.
fn ids(answer: &Value) -> Vec<u64> {
    answer["records"].as_array().unwrap().iter().map(|record| record["id"].as_u64().unwrap()).collect()
}

/// Sends a statement that may be stopped because its time is up, and returns the answer; for other
/// statements see [`Server::ask_sql`].
fn sql_once(server: &Server, body: &Value) -> Answer {
    server.request("POST", "/api/v1/sql", &[], body.to_string().as_bytes())
}

/// Starts this many clients that send a statement, and do not wait for the answer yet.
fn asking(server: &Server, statement: &str, clients: usize) -> Vec<TcpStream> {
    let body = json!({"sql": statement}).to_string();
    let head = format!("POST /api/v1/sql HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let ask = |_| {
        let mut stream = TcpStream::connect(server.address("http")).unwrap();
        stream.write_all((head.clone() + &body).as_bytes()).unwrap();
        stream
    };
    (0..clients).map(ask).collect()
}

fn server_with(records: usize, folder: &TempDir) -> Server {
    let server = Server::start(folder.path());
    fill(&server, records);
    server
}

/// Stores this many records, a minute apart from 2026-11-21T00:00:00Z on, with alternating
/// severities and services.
fn fill(server: &Server, records: usize) {
    let mut body = String::new();
    for n in 0..records {
        let (day, hour, minute) = (21 + n / 1440, n / 60 % 24, n % 60);
        let level = ["debug", "info", "warn", "error"][n % 4];
        let service = ["billing", "shop", "mail"][n % 3];
        body.push_str(&format!(
            "{{\"time\":\"2026-11-{day:02}T{hour:02}:{minute:02}:00Z\",\"level\":\"{level}\",\"service\":\"{service}\",\
             \"message\":\"event {n} of many\",\"n\":{n}}}\n"
        ));
    }
    let answer = server.post(&body);
    assert_eq!(answer.json()["accepted"], records, "{}", answer.text());
    server.flush();
}

/// Prevents all other processes from writing to the database until the lock is dropped.
fn lock(data_dir: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(data_dir.join("logboom.db")).unwrap();
    connection.busy_timeout(test_support::PATIENCE).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    connection
}
