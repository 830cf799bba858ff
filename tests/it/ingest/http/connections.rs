//! Property: connections that are slow, chunked, shared by many requests, or aborted lose no
//! accepted record and do not delay others.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use logboom::limits::{HTTP_TURNS_ENDLESS_MAX, HTTP_TURNS_SHORT_MAX};
use serde_json::json;
use tempfile::TempDir;
use test_support::{PATIENCE, Server, Setup, eventually};

use super::{accepted, assert_without_gaps, count, lines, messages};

/// A connection for several requests.
pub(super) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(super) fn open(server: &Server) -> Connection {
        let stream = TcpStream::connect(server.address("http")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Returns status and body of the next answer.
    pub(super) fn answer(&mut self) -> (u16, String) {
        let (mut head, mut length, mut is_chunked) = (String::new(), 0, false);
        while !head.ends_with("\r\n\r\n") {
            let line = self.line().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            is_chunked |= line.starts_with("transfer-encoding: chunked");
            head.push_str(&line);
        }
        let body = if is_chunked { self.chunks() } else { self.bytes(length) };
        (head.split(' ').nth(1).unwrap().parse().unwrap(), String::from_utf8(body).unwrap())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the connection ended");
        line
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(self.line().trim_end(), 16).unwrap();
            body.extend(self.bytes(length));
            assert_eq!(self.line(), "\r\n");
            if length == 0 {
                return body;
            }
        }
    }

    pub(super) fn json(&mut self) -> serde_json::Value {
        let (status, body) = self.answer();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

pub(super) fn head(length: usize) -> String {
    format!("POST /api/v1/records HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")
}

#[test]
fn chunks_are_accepted_at_any_size() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let body = "{\"message\":\"one\"}\n{\"message\":\"zwei: \u{e4}\u{1f600}\",\"a\":{\"b\":[1,{}]}}\n[not json\n{\"message\":\"three\"}".as_bytes();
    for size in [1, 2, 3, 7, 64] {
        let mut connection = Connection::open(&server);
        connection.send(b"POST /api/v1/records HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
        for chunk in body.chunks(size) {
            connection.send(&[format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        }
        connection.send(b"0\r\n\r\n");
        let answer = connection.json();
        assert_eq!(
            (&answer["accepted"], &answer["rejected"], &answer["errors"][0]["line"]),
            (&json!(3), &json!(1), &json!(3))
        );
    }
    let expected = ["one", "zwei: \u{e4}\u{1f600}", "three"];
    assert_eq!(messages(&server), expected.repeat(5));
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let mut connection = Connection::open(&server);
    // Two good bodies, a bad one, and a health check, before any of them is answered.
    let (one, two) = (lines(1, "one"), lines(20, "two"));
    let bad = b"oops";
    let requests = [
        [head(one.len()).as_bytes(), &one].concat(),
        [head(bad.len()).as_bytes(), bad].concat(),
        [head(two.len()).as_bytes(), &two].concat(),
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
    ];
    connection.send(&requests.concat());
    assert_eq!(connection.json(), accepted(1));
    assert_eq!(connection.answer().0, 400);
    assert_eq!(connection.json(), accepted(20));
    assert_eq!(connection.answer(), (200, "ok\n".into()));
    for n in 0..100 {
        let body = format!("{{\"message\":\"again {n}\"}}");
        connection.send(format!("{}{body}", head(body.len())).as_bytes());
        assert_eq!(connection.json(), accepted(1));
    }
    let stored = messages(&server);
    assert_eq!((stored.len(), stored[0].as_str(), stored[120].as_str()), (121, "one 0", "again 99"));
    // The accepted records and the bad one.
    let source = server.source("http");
    assert_eq!(source["received"], 122);
}

#[test]
fn expect_100_continue_is_answered() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let mut connection = Connection::open(&server);
    let body = "{\"message\":\"m\"}";
    let length = body.len();
    connection.send(format!("POST /api/v1/records HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n").as_bytes());
    assert_eq!(connection.answer().0, 100);
    connection.send(body.as_bytes());
    assert_eq!(connection.json(), accepted(1));
}

#[test]
fn client_sending_byte_by_byte_is_served() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let mut slow = Connection::open(&server);
    let body = lines(20, "slow");
    for byte in [head(body.len()).as_bytes(), &body].concat() {
        slow.send(&[byte]);
        if byte == b'\n' {
            // Other clients are not delayed in the meantime.
            assert_eq!(server.post(lines(1, "quick")).json(), accepted(1));
        }
    }
    assert_eq!(slow.json(), accepted(20));
}

#[test]
fn incomplete_body_is_timed_out() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--frame-seconds-max=1").start(folder.path());
    let mut slow = Connection::open(&server);
    slow.send(head(1000).as_bytes());
    slow.send(b"{\"message\":\"begun\"}\n{\"mess");
    let (status, body) = slow.answer();
    assert_eq!(status, 408, "{body}");
    assert!(body.contains("did not arrive in time") && body.contains("\"accepted\":0"), "{body}");
    assert_eq!(count(&server), 0);
}

/// Complete records of these clients may be stored, parts of records never, and the server
/// continues.
#[test]
fn aborted_requests_lose_nothing() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let body = lines(5000, "gone");
    for round in 1..=20 {
        let mut connection = Connection::open(&server);
        connection.send(head(body.len()).as_bytes());
        connection.send(&body[..body.len() * round / 21]);
    }
    eventually("their connections are closed", || {
        let source = server.source("http");
        // The connection of this request is open.
        (source["connections"] == 1 && source["connections_total"].as_u64() > Some(20)).then_some(())
    });
    assert_eq!(server.post(lines(1, "after")).json(), accepted(1));
    let stored = count(&server);
    assert_eq!(server.source("http")["accepted"], stored);
    let wrong =
        "select count(*) from logs where message <> 'gone ' || (attributes ->> 'n') and message <> 'after 0'";
    assert_eq!(server.value(wrong), 0);
    assert_without_gaps(&server);
}

#[test]
fn large_body_is_stored_completely_and_in_order() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let body = lines(200_000, "large");
    assert_eq!(server.post(&body).json(), accepted(200_000));
    server.flush();
    let headers = [("accept", "application/x-ndjson")];
    let stored = server.request("GET", "/api/v1/records?order=asc&limit=1000000", &headers, b"").text();
    let mut lines = 0;
    for (n, line) in stored.lines().enumerate() {
        assert!(line.starts_with(&format!("{{\"id\":{},", n + 1)), "{line}");
        assert!(line.contains(&format!("\"large {n}\"")), "{line}");
        lines += 1;
    }
    assert_eq!(lines, 200_000);
    // The body is processed as a stream: memory does not depend on its size.
    assert!(server.peak_memory_kib() < 64 << 10, "{} KiB", server.peak_memory_kib());
}

/// Opens the connections that keep their buffers; connections that are opened later release them
/// between requests.
pub(super) fn first(server: &Server) -> Vec<Connection> {
    let first: Vec<_> = (0..HTTP_TURNS_ENDLESS_MAX).map(|_| Connection::open(server)).collect();
    eventually("all are open", || {
        (server.source("http")["connections"].as_u64() >= Some(first.len() as u64)).then_some(())
    });
    first
}

pub(super) fn request(message: &str) -> Vec<u8> {
    let body = json!({ "message": message }).to_string();
    format!("{}{body}", head(body.len())).into_bytes()
}

#[test]
fn connections_that_release_buffers_lose_nothing() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let _first = first(&server);
    let mut connection = Connection::open(&server);
    let mut expected = Vec::new();
    for message in ["a", "b", "c"] {
        connection.send(&request(message));
        assert_eq!(connection.json(), accepted(1));
        expected.push(message);
    }
    // Three requests together with the beginning of a fourth, which is split in its head, in its
    // body, or before its last byte.
    for split in [10, 60, request("g").len() - 1] {
        let (start, end) = (&request("g")[..split], &request("g")[split..]);
        connection.send(&[&request("d")[..], &request("e"), &request("f"), start].concat());
        for _ in 0..3 {
            assert_eq!(connection.json(), accepted(1));
        }
        connection.send(end);
        assert_eq!(connection.json(), accepted(1));
        expected.extend(["d", "e", "f", "g"]);
    }
    // More connections than can have buffers at the same time.
    let mut crowd: Vec<_> = (0..HTTP_TURNS_SHORT_MAX + 100).map(|_| Connection::open(&server)).collect();
    for _ in 0..3 {
        crowd.iter_mut().for_each(|connection| connection.send(&request("crowd")));
        crowd.iter_mut().for_each(|connection| assert_eq!(connection.json(), accepted(1)));
        expected.extend(std::iter::repeat_n("crowd", crowd.len()));
    }
    assert_eq!(messages(&server), expected);
}

#[test]
fn answer_larger_than_socket_buffers_is_complete() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let _first = first(&server);
    server.post(lines(20_000, &"x".repeat(1000)));
    server.flush();
    let mut connection = Connection::open(&server);
    let sql = r#"{"sql": "select message from logs limit 10000"}"#;
    let ask = format!("POST /api/v1/sql HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{sql}", sql.len());
    for _ in 0..2 {
        // With one thread a statement has a quarter of a second, which may be too short on a busy
        // machine.
        let answer = eventually("an answer in time", || {
            connection.send(ask.as_bytes());
            Some(connection.answer()).filter(|(status, _)| *status != 408)
        });
        let answer: serde_json::Value = serde_json::from_str(&answer.1).unwrap();
        assert!(answer["rows"].as_array().unwrap().len() > 8000); // 8 MiB
    }
}

/// A body that the server does not read is not a request, even if it looks like one.
#[test]
fn unread_body_is_never_treated_as_a_request() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let _first = first(&server);
    let decoy = request("decoy");
    for path in ["/api/v1/flush", "/api/v1/nothing"] {
        let mut connection = Connection::open(&server);
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", decoy.len());
        connection.send(head.as_bytes());
        connection.answer();
        server.flush(); // by then the server has looked for the body
        // The server may have closed the connection.
        let _ = connection.0.get_mut().write_all(&decoy);
        assert!(matches!(connection.0.read(&mut [0]), Ok(0) | Err(_)), "it was answered");
    }
    assert_eq!(messages(&server), [""; 0]);
}

#[test]
fn slow_clients_with_all_slots_do_not_delay_others() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let _first = first(&server);
    let slow: Vec<_> = (0..HTTP_TURNS_SHORT_MAX)
        .map(|_| {
            let mut connection = Connection::open(&server);
            connection.send(b"POST /api/v1/records HTTP/1.1\r\nhost: ");
            connection
        })
        .collect();
    let mut connection = Connection::open(&server);
    connection.send(&request("quick"));
    assert_eq!(connection.json(), accepted(1));
    drop(slow);
}
