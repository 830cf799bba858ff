//! Property: thousands of connections that are idle, or send far too little, do not harm
//! connections that work.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;
use test_support::load::{Connection, record};
use test_support::{Server, Setup, eventually, python};

/// Descriptors that the other tests of this process may need at the same time.
const SPARE_DESCRIPTORS: u64 = 4000;
const MEMORY_KIB_MAX: u64 = 64 << 10;

/// Only one crowd runs at a time: all tests share the descriptors of one process.
static CROWD: Mutex<()> = Mutex::new(());

/// Raises the limit of open files, and returns how many connections may be opened.
fn alone() -> (MutexGuard<'static, ()>, u64) {
    let guard = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let count = limit.maximum.map_or(10_000, |maximum| maximum.saturating_sub(SPARE_DESCRIPTORS).min(10_000));
    assert!(
        count >= 8000,
        "these tests open 8,000 connections: raise the hard limit of open files (ulimit -Hn)"
    );
    (guard, count)
}

fn connect(server: &Server, protocol: &str, count: u64) -> Vec<TcpStream> {
    let address = server.address(protocol);
    let crowd = (0..count).map(|_| TcpStream::connect(&address).unwrap()).collect();
    wait_for_connections(server, protocol, count);
    crowd
}

fn wait_for_connections(server: &Server, protocol: &str, count: u64) {
    eventually("all are connected", || {
        (server.source(protocol)["connections"].as_u64() >= Some(count)).then_some(())
    });
}

const NEIGHBOUR: &str = r#"
import logging, logging.handlers, sys
host, port = sys.argv[1].rsplit(":", 1)
handler = logging.handlers.SocketHandler(host, int(port))
log = logging.getLogger("neighbour")
log.addHandler(handler)
for n in range(1000):
    log.warning("neighbour", extra={"padding": "x" * 200})
handler.close()
"#;

/// Sends 1,000 records over each protocol, and checks that all arrive.
fn neighbours_work(server: &Server) {
    let stored = || server.value("select count(*) from logs where message = 'neighbour'").as_u64().unwrap();
    let before = stored();
    python(NEIGHBOUR, &[&server.address("python")]);
    let mut connection = Connection::open(&server.address("http")).unwrap();
    for _ in 0..1000 {
        let body = record("n").replace("key=n", "neighbour");
        assert_eq!(connection.post(&body).unwrap().0, 200);
    }
    eventually("all records of the neighbours arrive", || {
        server.flush();
        (stored() == before + 2000).then_some(())
    });
}

fn check_memory(server: &Server, before: u64) {
    let growth = server.peak_memory_kib().saturating_sub(before);
    assert!(growth < MEMORY_KIB_MAX, "{growth} KiB more");
}

/// Returns true if the server has closed the connection.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0; 1]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Ok(0) | Err(_) => true,
        Ok(_) => panic!("the server sent something"),
    }
}

#[test]
fn idle_connections_by_the_thousand_harm_no_client() {
    let (_alone, count) = alone();
    for protocol in ["python", "http"] {
        let folder = TempDir::new().unwrap();
        let server = Server::start(folder.path());
        neighbours_work(&server);
        let before = server.memory_kib();
        let crowd = connect(&server, protocol, count);
        neighbours_work(&server);
        check_memory(&server, before);
        assert!(!crowd.iter().any(is_closed), "an idle connection is never closed");
        drop(crowd);
        eventually("the connections are gone", || {
            (server.source(protocol)["connections"].as_u64() < Some(10)).then_some(())
        });
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }
}

#[test]
fn used_http_connections_share_little_memory() {
    let (_alone, count) = alone();
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let mut crowd = connect(&server, "http", count);
    let body = r#"{"message":"crowd"}"#;
    let head = format!("POST /api/v1/records HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    for _ in 0..2 {
        for stream in &mut crowd {
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
        for stream in &mut crowd {
            let mut answer = [0; 1 << 10];
            let length = stream.read(&mut answer).unwrap();
            assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
        }
    }
    assert!(server.peak_memory_kib() < MEMORY_KIB_MAX, "{} KiB", server.peak_memory_kib());
    server.flush();
    assert_eq!(server.value("select count(*) from logs where message = 'crowd'"), 2 * count);
}

#[test]
fn unfinished_frames_by_the_thousand_harm_no_client() {
    let (_alone, count) = alone();
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    neighbours_work(&server);
    let before = server.memory_kib();
    // 16 KiB each of frames of 64 KiB: some 130 MiB in all if they were kept.
    let crowd = connect(&server, "python", count);
    let beginning = [&[0, 1, 0, 0][..], &[0x5d; 16 << 10]].concat();
    for mut stream in &crowd {
        stream.write_all(&beginning).unwrap();
    }
    eventually("the memory for unfinished frames is used up", || {
        (server.source("python")["rejected"]["memory"].as_u64() > Some(0)).then_some(())
    });
    neighbours_work(&server);
    check_memory(&server, before);
    eventually("those that hold the memory give it back", || crowd.iter().any(is_closed).then_some(()));
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn unfinished_heads_by_the_thousand_harm_no_client() {
    let (_alone, count) = alone();
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    neighbours_work(&server);
    let before = server.memory_kib();
    // 30 KiB each: some 290 MiB in all if they were kept.
    let crowd = connect(&server, "http", count);
    let beginning = format!("GET /healthz HTTP/1.1\r\nhost: x\r\ncookie: {}", "x".repeat(30 << 10));
    for mut stream in &crowd {
        let _ = stream.write_all(beginning.as_bytes()); // the server may have closed it
    }
    neighbours_work(&server);
    check_memory(&server, before);
    eventually("those that hold the memory give it back", || crowd.iter().any(is_closed).then_some(()));
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn only_unfinished_frames_are_timed_out() {
    let (_alone, count) = alone();
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--frame-seconds-max=1").start(folder.path());
    let idle = connect(&server, "python", count / 4);
    let crowd = connect(&server, "python", count / 4);
    for mut stream in &crowd {
        stream.write_all(b"\0\0\x01\0}").unwrap();
    }
    eventually("unfinished frames are counted", || {
        (server.source("python")["truncated"] == count / 4).then_some(())
    });
    eventually("their connections are closed", || crowd.iter().all(is_closed).then_some(()));
    assert!(!idle.iter().any(is_closed), "an idle connection is never closed");
    neighbours_work(&server);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
