//! Property: what one client can cost is bounded: memory, time, and delays of other clients.

use std::io::{Read, Write};
use std::net::TcpStream;

use tempfile::TempDir;
use test_support::{Server, Setup, eventually, meanwhile};

/// Opens connections that send a request's head and the beginning of its body, and then stall.
fn stall(server: &Server, connections: usize, headers: &str, beginning: &str) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(server.address("http")).unwrap();
        let head = format!("POST /api/v1/records HTTP/1.1\r\nhost: logboom\r\n{headers}\r\n\r\n{beginning}");
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    (0..connections).map(connect).collect()
}

/// Returns a body that counts as large.
fn large() -> String {
    "{\"message\":\"large\"}\n".repeat(5000)
}

/// The stalled requests occupy all the memory for large bodies.
#[test]
fn stalled_large_bodies_are_timed_out_for_others() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--frame-seconds-max=3600").start(folder.path());
    let mut stalled = stall(&server, 16, "transfer-encoding: chunked", "1\r\n{\r\n");
    assert_eq!(server.post("{\"message\":\"small\"}").status, 200);
    eventually("large bodies are taken", || Some(()).filter(|()| server.post(large()).status == 200));
    let mut answer = [0; 12];
    stalled[0].read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408");
}

#[test]
fn large_bodies_in_progress_keep_their_memory() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--frame-seconds-max=3600").start(folder.path());
    let mut sending = stall(&server, 16, "transfer-encoding: chunked", "1\r\n{\r\n");
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    let send = || {
        for stream in &mut sending {
            let _ = stream.write_all(chunk.as_bytes());
        }
    };
    let refused = meanwhile(send, || {
        let refused = eventually("another large body is refused", || {
            Some(server.post(large())).filter(|answer| answer.status == 503)
        });
        assert_eq!(server.post("{\"message\":\"small\"}").status, 200);
        refused
    });
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
}

#[test]
fn head_alone_reserves_no_body_memory() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let _stalled = stall(&server, 100, "content-encoding: zstd\r\ncontent-length: 1000000", "");
    for _ in 0..20 {
        let answer = server.post(large());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[test]
fn truncated_zstd_body_is_reported() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let body = zstd::encode_all(large().as_bytes(), 1).unwrap();
    let answer =
        server.request("POST", "/api/v1/records", &[("content-encoding", "zstd")], &body[..body.len() - 3]);
    let errors = answer.json()["errors"].to_string();
    assert!(errors.contains("the body cannot be read"), "{errors}");
}

#[test]
fn page_of_many_slices_is_one_document_with_cursor() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for _ in 0..40 {
        let message = "x".repeat(800_000);
        assert_eq!(server.post(format!("{{\"message\":\"{message}\"}}")).status, 200);
    }
    server.flush();
    let page = server.get("/api/v1/records?limit=10000").json();
    let found = page["records"].as_array().unwrap().len();
    assert!((10..13).contains(&found), "{found}"); // a page ends before 10 MB
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = server.get(&format!("/api/v1/records?limit=1&cursor={cursor}")).json();
    assert_eq!(next["records"].as_array().unwrap().len(), 1);
}

#[test]
fn cross_site_requests_are_refused() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let post = |name, value| {
        server.request("POST", "/api/v1/records", &[(name, value)], b"{\"message\":\"x\"}").status
    };
    assert_eq!(post("origin", "http://elsewhere.example"), 403);
    assert_eq!(post("origin", "null"), 403);
    assert_eq!(post("sec-fetch-site", "cross-site"), 403);
    assert_eq!(post("origin", "http://logboom"), 200);
    assert_eq!(post("sec-fetch-site", "same-origin"), 200);
}

#[test]
fn host_of_foreign_name_is_refused() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let ask = |host: &str| {
        let mut stream = std::net::TcpStream::connect(server.address("http")).unwrap();
        write!(stream, "GET /healthz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer[9..12].to_owned()
    };
    for host in ["localhost", "localhost:9022", "127.0.0.1:9022", "[::1]:9022", "logs"] {
        assert_eq!(ask(host), "200", "{host}");
    }
    for host in ["evil.example", "evil.example:9022"] {
        assert_eq!(ask(host), "403", "{host}");
    }
}
