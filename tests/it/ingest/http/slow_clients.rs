//! Property: clients that do not finish what they send, or do not read their answers, do not block
//! other clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use logboom::limits::{HTTP_LONG_REQUESTS_MAX, HTTP_TURNS_ENDLESS_MAX, HTTP_TURNS_SHORT_MAX};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use test_support::{PATIENCE, Server, Setup, eventually, meanwhile};

use super::connections::{Connection, first, request};
use super::{accepted, lines};

/// Sends far more requests than socket buffers have room for answers, with a small receive buffer.
fn ask_and_read_nothing(server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address: SocketAddr = server.address("http").parse().unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.write_all("GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(200).as_bytes()).unwrap();
    stream
}

fn connections(server: &Server) -> u64 {
    server.source("http")["connections"].as_u64().unwrap()
}

#[test]
fn client_that_reads_no_answer_is_disconnected() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let _unread = ask_and_read_nothing(&server);
    eventually("it is connected", || (connections(&server) == 2).then_some(()));
    let start = Instant::now();
    while connections(&server) > 1 {
        assert!(start.elapsed() < 3 * PATIENCE, "it is still connected");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn clients_that_read_no_answers_are_disconnected_for_others() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let _first = first(&server);
    let unread: Vec<_> = (0..HTTP_TURNS_SHORT_MAX).map(|_| ask_and_read_nothing(&server)).collect();
    // Each of these requests needs a slot.
    eventually("some have lost their connections", || {
        let mut connection = Connection::open(&server);
        connection.send(&request("served"));
        assert_eq!(connection.json(), accepted(1));
        unread.iter().any(|stream| stream.take_error().unwrap().is_some()).then_some(())
    });
}

#[test]
fn clients_that_send_slowly_are_disconnected_for_others() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--frame-seconds-max=3600").start(folder.path());
    // These requests occupy all of the memory for small bodies.
    let mut slow: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address("http")).unwrap();
            let head = "POST /api/v1/records HTTP/1.1\r\nhost: x\r\ncontent-length: 65000\r\n\r\n{";
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let drop_by_drop = || {
        for stream in &mut slow {
            let _ = stream.write(b" ");
        }
    };
    meanwhile(drop_by_drop, || {
        eventually("others are served", || {
            (0..100).all(|_| server.post(lines(1, "quick")).status == 200).then_some(())
        });
    });
}

#[test]
fn statement_that_does_not_arrive_is_timed_out() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--frame-seconds-max=1").start(folder.path());
    for path in ["/api/v1/sql", "/api/v1/delete"] {
        let mut slow = Connection::open(&server);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
        );
        slow.send(head.as_bytes());
        let (status, body) = slow.answer();
        assert!(status == 408 && body.contains("did not arrive in time"), "{status} {body}");
    }
}

#[test]
fn waiting_requests_leave_slots_for_others() {
    let folder = TempDir::new().unwrap();
    // A store that is never available.
    let server = Setup::new()
        .argument("--store=postgres://nobody@127.0.0.1:1/none")
        .argument("--query-seconds-max=3600")
        .start(folder.path());
    assert_eq!(server.post(lines(1, "waits")).json(), accepted(1));
    let mut waiting: Vec<_> = (0..HTTP_TURNS_ENDLESS_MAX + HTTP_TURNS_SHORT_MAX)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address("http")).unwrap();
            stream.write_all(b"POST /api/v1/flush HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    let mut refused = 0;
    eventually("most are refused", || {
        for stream in &mut waiting {
            let mut answer = [0; 4096];
            if let Ok(length) = stream.read(&mut answer) {
                let answer = String::from_utf8_lossy(&answer[..length]);
                assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
                refused += usize::from(answer.contains("too many waiting requests"));
            }
        }
        (refused >= waiting.len() - HTTP_LONG_REQUESTS_MAX).then_some(())
    });
    assert_eq!(server.post(lines(1, "more")).json(), accepted(1));
}

/// Connections have a quarter of a megabyte each while their bodies arrive.
#[test]
fn idle_connections_keep_no_large_buffers() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let body = lines(1, &"x".repeat(900_000));
    let post = [super::connections::head(body.len()).as_bytes(), &body].concat();
    let post_on = |connections: usize| -> Vec<_> {
        let mut open = Vec::new();
        for _ in 0..connections {
            let mut connection = Connection::open(&server);
            connection.send(&post);
            assert_eq!(connection.json(), accepted(1));
            open.push(connection);
        }
        open
    };
    let few = post_on(20);
    let before = server.memory_kib();
    let many = post_on(300);
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more");
    drop((few, many));
}
