//! Property: bodies and their memory are bounded, and unknown paths and methods are rejected.

use std::io::{Read, Write};
use std::net::TcpStream;

use tempfile::TempDir;
use test_support::{PATIENCE, Server, Setup};

use super::encodings::{gzip, post, zstd};
use super::{accepted, count, lines};

fn small_bounds() -> Setup {
    Setup::new().argument("--body-bytes-max=1MiB").argument("--body-compressed-bytes-max=64KiB")
}

#[test]
fn oversized_body_is_refused() {
    let folder = TempDir::new().unwrap();
    let server = small_bounds().start(folder.path());
    let large = lines(40_000, "large");
    assert!(large.len() > 1 << 20);
    let answer = server.post(&large);
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("larger than 1048576 bytes"), "{}", answer.text());
    // Small when sent, too large after inflation.
    let blanks = gzip(&[lines(1, "first"), vec![b'\n'; 8 << 20]].concat());
    assert!(blanks.len() < 64 << 10);
    let answer = post(&server, "gzip", &blanks);
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("after inflation"), "{}", answer.text());
    // Already too large when sent, whatever it would inflate to.
    let noise: Vec<u8> = (0..1_u32 << 18).flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
    let answer = post(&server, "gzip", &gzip(&noise)[..128 << 10]);
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("before inflation"), "{}", answer.text());
    // If the body fits into one batch, nothing of it is stored.
    assert!(count(&server) < 40_000);
    assert_eq!(server.post(lines(1000, "fits")).json(), accepted(1000));
}

#[test]
fn oversized_chunked_body_is_refused() {
    let folder = TempDir::new().unwrap();
    let server = small_bounds().start(folder.path());
    let mut stream = TcpStream::connect(server.address("http")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"POST /api/v1/records HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    // The body is endless: only the answer stops it.
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 1 << 16], b"\r\n"].concat();
    while stream.write_all(&chunk).is_ok() {}
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
}

/// Sends bodies that grow a thousandfold, and eight of them at the same time.
#[test]
fn zip_bomb_occupies_no_memory() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let _ = server.post(lines(1000, "warm"));
    let before = server.peak_memory_kib();
    let bytes = 96 << 20;
    let (blanks, text) = (vec![b'\n'; bytes], vec![b'x'; bytes]);
    let text = [b"{\"message\":\"".as_slice(), &text].concat();
    let bombs =
        [("gzip", gzip(&blanks)), ("gzip", gzip(&text)), ("zstd", zstd(&blanks)), ("zstd", zstd(&text))];
    drop((blanks, text));
    std::thread::scope(|scope| {
        for (encoding, bomb) in bombs.iter().chain(&bombs) {
            assert!(bomb.len() < bytes / 200, "{encoding}: {}", bomb.len());
            let server = &server;
            scope.spawn(move || {
                let answer = post(server, encoding, bomb);
                // Too large, or too many bodies at the same time.
                assert!(
                    [413, 503].contains(&answer.status),
                    "{encoding}: {} {}",
                    answer.status,
                    answer.text()
                );
            });
        }
    });
    let grown = server.peak_memory_kib() - before;
    assert!(grown < 48 << 10, "{grown} KiB more");
    assert_eq!(count(&server), 1000);
}

#[test]
fn unknown_paths_and_methods_are_rejected() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for path in ["/nothing", "/api/v1/records/17/x", "/api/v2/records", "/%00"] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.head.contains("\r\ncontent-type: application/problem+json"), "{}", answer.head);
        let problem = answer.json();
        assert_eq!(
            (problem["status"].as_u64(), problem["detail"].as_str()),
            (Some(404), Some(path)),
            "{problem}"
        );
    }
    for (method, path, allowed) in [
        ("PUT", "/api/v1/records", "get, head, post"),
        ("DELETE", "/api/v1/records", "get, head, post"),
        ("GET", "/api/v1/sql", "post"),
        ("GET", "/api/v1/flush", "post"),
        ("POST", "/api/v1/status", "get, head"),
        ("POST", "/metrics", "get, head"),
        ("POST", "/healthz", "get, head"),
    ] {
        let answer = server.request(method, path, &[], b"");
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.head.contains(&format!("\r\nallow: {allowed}\r\n")), "{}", answer.head);
        assert!(answer.head.contains("\r\ncontent-type: application/problem+json"), "{}", answer.head);
        assert_eq!(answer.json()["status"], 405);
    }
}
