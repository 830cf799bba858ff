//! Property: a compressed response has the content of an uncompressed one, and responses that gain
//! nothing are not compressed.

use std::io::{Read, Write};
use std::net::TcpStream;

use flate2::read::GzDecoder;
use tempfile::TempDir;

use super::{fill, server_with};
use test_support::{Answer, PATIENCE, Server};

const GZIP: (&str, &str) = ("accept-encoding", "gzip, deflate, br");

fn get(server: &Server, path: &str, encoding: &str) -> Answer {
    server.request("GET", path, &[("accept-encoding", encoding)], b"")
}

fn is_compressed(answer: &Answer) -> bool {
    answer.head.contains("\r\ncontent-encoding: gzip")
}

fn inflated(answer: &Answer) -> String {
    let (mut decoder, mut text) = (GzDecoder::new(&*answer.body), String::new());
    decoder.read_to_string(&mut text).unwrap();
    assert!(decoder.into_inner().is_empty(), "bytes follow the stream");
    text
}

#[test]
fn compressed_response_has_the_same_content() {
    let folder = TempDir::new().unwrap();
    let server = server_with(1000, &folder);
    fill(&server, 3000);
    for path in [
        "/",
        "/assets/app.js",
        "/openapi.json",
        "/api/v1/records?limit=10",
        "/api/v1/records?limit=4000",
        "/api/v1/records?format=csv",
        "/api/v1/records?format=ndjson&order=asc",
        "/api/v1/fields?until=2026-12-01",
    ] {
        let (plain, gzip) = (server.get(path), get(&server, path, GZIP.1));
        assert!(is_compressed(&gzip) && !is_compressed(&plain), "{path}: {}{}", gzip.head, plain.head);
        assert!(gzip.head.contains("vary: accept-encoding") && plain.head.contains("vary: accept-encoding"));
        assert!(gzip.body.len() < plain.body.len() / 2, "{path}: {} {}", gzip.body.len(), plain.body.len());
        assert!(inflated(&gzip) == plain.text(), "{path}");
    }
}

#[test]
fn compression_follows_quality_values() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for (encoding, expected) in
        [("gzip;q=0", false), ("gzip;q=0.1, identity;q=0.2", false), ("br", false), ("*;q=0.5", true)]
    {
        for path in ["/openapi.json", "/assets/app.js"] {
            assert_eq!(is_compressed(&get(&server, path, encoding)), expected, "{path} {encoding}");
        }
    }
}

#[test]
fn short_responses_and_tails_are_not_compressed() {
    let folder = TempDir::new().unwrap();
    let server = server_with(1, &folder);
    for path in ["/healthz", "/nothing", "/api/v1/records/1"] {
        let answer = get(&server, path, GZIP.1);
        assert!(!is_compressed(&answer) && answer.head.contains("vary: accept-encoding"), "{}", answer.head);
    }
    let mut tail = TcpStream::connect(server.address("http")).unwrap();
    tail.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(tail, "GET /api/v1/tail HTTP/1.1\r\nhost: logboom\r\naccept-encoding: gzip\r\n\r\n").unwrap();
    let mut head = [0; 256];
    let length = tail.read(&mut head).unwrap();
    let head = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
    assert!(head.contains("text/event-stream") && !head.contains("content-encoding"), "{head}");
}

/// The length is that of the compressed content.
#[test]
fn head_of_compressed_response_has_its_length() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for path in ["/openapi.json", "/assets/app.js"] {
        let length = get(&server, path, GZIP.1).body.len();
        let mut stream = TcpStream::connect(server.address("http")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (name, value) = GZIP;
        let head =
            format!("HEAD {path} HTTP/1.1\r\nhost: logboom\r\nconnection: close\r\n{name}: {value}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let answer = answer.to_ascii_lowercase();
        assert!(answer.contains(&format!("\r\ncontent-length: {length}\r\n")), "{length}: {answer}");
        assert!(
            answer.contains("\r\ncontent-encoding: gzip\r\n") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
    }
}
