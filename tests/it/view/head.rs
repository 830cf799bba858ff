//! Property: `HEAD` returns the status and the headers of `GET`, without a body, for every route.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use tempfile::TempDir;
use test_support::{PATIENCE, Server, eventually};

use super::server_with;

fn open(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address("http")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn send(stream: &mut TcpStream, method: &str, path: &str) {
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: logboom\r\n\r\n").unwrap();
}

/// Returns the status line and the headers of a response, in lower case.
fn read_head(stream: &mut TcpStream) -> Vec<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase().trim_end().split("\r\n").map(String::from).collect()
}

/// Returns the head of the response to `GET`, whose body may be endless.
fn get(server: &Server, path: &str) -> Vec<String> {
    let mut stream = open(server);
    send(&mut stream, "GET", path);
    read_head(&mut stream)
}

/// Returns the head of the response to `HEAD`. The next response follows it immediately.
fn head(server: &Server, path: &str) -> Vec<String> {
    let mut stream = open(server);
    send(&mut stream, "HEAD", path);
    send(&mut stream, "GET", "/healthz");
    let head = read_head(&mut stream);
    assert_eq!(read_head(&mut stream)[0], "http/1.1 200 ok", "{path}: a body follows the head");
    head
}

/// Returns what two responses have in common: headers without values that differ between any two
/// requests.
fn comparable(head: &[String]) -> Vec<String> {
    let is_compared =
        |line: &&String| !line.starts_with("date: ") && !line.starts_with("transfer-encoding: ");
    let shown = |line: &String| match line.split_once(": ") {
        Some((name @ "content-length", _)) => name.to_owned(),
        _ => line.clone(),
    };
    let mut lines: Vec<_> = head.iter().filter(is_compared).map(shown).collect();
    lines.sort();
    lines
}

#[test]
fn head_equals_get_for_every_route() {
    let folder = TempDir::new().unwrap();
    let server = server_with(300, &folder); // more than fits into an answer that is not streamed
    let document: Value = server.get("/openapi.json").json();
    let mut paths: Vec<String> =
        ["/", "/assets/app.js", "/assets/none.js", "/nothing", "/api/v1/records?format=csv"]
            .map(String::from)
            .into();
    for (path, operations) in document["paths"].as_object().unwrap() {
        if operations.get("get").is_some() {
            paths.push(path.replace("{id}", "1").replace("{trace_id}", "x").replace("{name}", "service"));
        }
    }
    assert!(paths.len() > 15, "{paths:?}");
    for path in paths {
        let (get, head) = (get(&server, &path), head(&server, &path));
        assert_eq!(comparable(&head), comparable(&get), "{path}");
    }
    let length = |head: Vec<String>| head.into_iter().find(|line| line.starts_with("content-length: "));
    for path in ["/openapi.json", "/assets/app.js", "/nothing", "/healthz"] {
        let expected = length(get(&server, path));
        assert!(expected.is_some() && length(head(&server, path)) == expected, "{path}");
    }
}

#[test]
fn head_of_other_methods_is_rejected() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for path in ["/api/v1/sql", "/api/v1/flush", "/api/v1/delete"] {
        let head = head(&server, path);
        assert_eq!(head[0], "http/1.1 405 method not allowed", "{path}");
        assert!(head.contains(&"allow: post".to_owned()), "{head:?}");
    }
}

#[test]
fn head_of_tail_opens_no_tail() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let mut stream = open(&server);
    send(&mut stream, "HEAD", "/api/v1/tail");
    assert_eq!(read_head(&mut stream)[0], "http/1.1 200 ok");
    eventually("no tail is open", || {
        server.get("/metrics").text().contains("logboom_tails{} 0\n").then_some(())
    });
}
