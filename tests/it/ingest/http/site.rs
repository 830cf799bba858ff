//! Property: requests with a foreign host, from another site, or with ambiguous headers are
//! rejected.

use std::io::{Read, Write};
use std::net::TcpStream;

use tempfile::TempDir;
use test_support::{PATIENCE, Server};

/// Sends a request exactly as given, and returns the status of the answer.
fn ask(server: &Server, head: &str) -> u16 {
    let mut stream = TcpStream::connect(server.address("http")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1."), "{answer}");
    answer[9..].parse().unwrap()
}

fn get(server: &Server, headers: &str) -> u16 {
    ask(server, &format!("GET /api/v1/status HTTP/1.1\r\nconnection: close\r\n{headers}\r\n"))
}

#[test]
fn host_must_be_valid_and_unique() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for (headers, expected) in [
        ("", 400),
        ("host:\r\n", 400),
        ("host: localhost\r\nhost: localhost\r\n", 400),
        ("host: localhost\r\nHOST: evil.example\r\n", 400),
        ("host: user@localhost\r\n", 400),
        ("host: local host\r\n", 400),
        ("host: localhost:x\r\n", 400),
        ("host: evil.example\r\n", 403),
        ("host: LOCALHOST:9022\r\n", 200),
        ("host: localhost.\r\n", 200),
        ("host: [::1%25lo]:9022\r\n", 200),
        ("host: my_logs\r\n", 200),
    ] {
        assert_eq!(get(&server, headers), expected, "{headers:?}");
    }
}

#[test]
fn missing_host_is_accepted_only_in_http_1_0() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    assert_eq!(ask(&server, "GET /healthz HTTP/1.0\r\n\r\n"), 200);
    assert_eq!(ask(&server, "GET /healthz HTTP/1.0\r\nhost: evil.example\r\n\r\n"), 403);
    assert_eq!(ask(&server, "GET /healthz HTTP/1.0\r\norigin: http://localhost\r\n\r\n"), 403);
    assert_eq!(ask(&server, "GET /healthz HTTP/1.1\r\n\r\n"), 400);
}

#[test]
fn url_target_must_agree_with_host() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for (target, expected) in [
        ("http://localhost:9022/healthz", 200),
        ("http://evil.example/healthz", 400),
        ("http://user@localhost:9022/healthz", 400),
        ("http://localhost:9023/healthz", 400),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: localhost:9022\r\n\r\n");
        assert_eq!(ask(&server, &head), expected, "{target}");
    }
}

#[test]
fn same_site_requests_are_refused() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for (headers, expected) in [
        ("sec-fetch-site: none", 200),
        ("sec-fetch-site: same-origin\r\norigin: http://localhost:9022", 200),
        ("sec-fetch-site: same-site", 403),
        ("sec-fetch-site: same-site\r\norigin: http://localhost:3000", 403),
        ("origin: http://localhost:3000", 403),
        ("origin: http://localhost:9022\r\norigin: http://evil.example", 400),
        ("sec-fetch-site: same-origin\r\nsec-fetch-site: cross-site", 400),
    ] {
        assert_eq!(get(&server, &format!("host: localhost:9022\r\n{headers}\r\n")), expected, "{headers:?}");
    }
    let link = "GET / HTTP/1.1\r\nhost: localhost:9022\r\nsec-fetch-site: same-site\r\n\r\n";
    assert_eq!(ask(&server, link), 200);
}

/// Tests headers that a proxy could interpret differently than this server.
#[test]
fn ambiguous_lengths_and_types_are_refused() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let body = "{\"message\":\"x\"}";
    for headers in [
        "content-length: 15\r\ncontent-length: 3",
        "content-length: 15, 3",
        "content-length: +15",
        "content-length: 15\r\ntransfer-encoding: chunked",
        "transfer-encoding: identity",
        "transfer-encoding: chunked, identity",
        "content-length: 15\r\ncontent-type: text/plain\r\ncontent-type: application/json",
        "content-length: 15\r\ncontent-encoding: identity\r\ncontent-encoding: gzip",
    ] {
        let request = format!("POST /api/v1/records HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n\r\n{body}");
        assert_eq!(ask(&server, &request), 400, "{headers:?}");
    }
    server.flush();
    assert_eq!(server.value("select count(*) from logs"), 0);
}
