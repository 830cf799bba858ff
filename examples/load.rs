//! A load generator: sends records as fast as a server takes them, and tells rate and latency.
//!
//! ```text
//! cargo run --release --example load -- python 127.0.0.1:9020 CONNECTIONS RECORDS
//! cargo run --release --example load -- ndjson 127.0.0.1:9022 CONNECTIONS RECORDS
//! cargo run --release --example load -- single 127.0.0.1:9022 CONNECTIONS RECORDS
//! ```
//!
//! `python` sends frames that the local CPython pickled, `ndjson` 1,000 events a POST, `single` one. All payloads are made
//! before the clock starts. Latency is that of a closed loop: from a request to its answer.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool that stops at the first surprise, and prints"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Makes one frame a record, as `SocketHandler` does.
const FRAMES: &str = r#"
import logging, logging.handlers, sys
handler = logging.handlers.SocketHandler("localhost", 1)
for n in range(int(sys.argv[1])):
    record = logging.LogRecord("app.views.payments", logging.INFO, "/srv/app/views/payments.py", 100 + n % 50,
        "request %s for user %d took %d ms", ("/api/v1/payments/%06d" % n, n % 5000, n % 300), None, "handle_payment")
    record.trace_id, record.user_id, record.region = "%032x" % (n * 7919), n % 5000, "eu-central-1"
    sys.stdout.buffer.write(handler.makePickle(record))
"#;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Python,
    Requests { events: usize },
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, address, connections, records] = &arguments[..] else {
        println!("usage: load python|ndjson|single ADDRESS CONNECTIONS RECORDS");
        return;
    };
    let mode = match mode.as_str() {
        "python" => Mode::Python,
        "ndjson" => Mode::Requests { events: 1000 },
        _ => Mode::Requests { events: 1 },
    };
    let (connections, records): (usize, usize) = (connections.parse().unwrap(), records.parse().unwrap());
    let payloads = Arc::new(payloads(mode));
    let start = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|number| {
            tokio::spawn(send(mode, address.clone(), number, records / connections, Arc::clone(&payloads)))
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    report(start.elapsed(), records, latencies);
}

/// What is sent: blocks of 100 frames, or whole requests.
fn payloads(mode: Mode) -> Vec<Vec<u8>> {
    match mode {
        Mode::Python => {
            let output = std::process::Command::new("python3").args(["-c", FRAMES, "5000"]).output().unwrap();
            assert!(output.status.success());
            blocks(&output.stdout)
        }
        Mode::Requests { events } => {
            (0..1000 / events.min(100)).map(|number| request(number, events)).collect()
        }
    }
}

fn blocks(mut frames: &[u8]) -> Vec<Vec<u8>> {
    let mut blocks = vec![Vec::new()];
    let mut count = 0;
    while let Some((prefix, _)) = frames.split_first_chunk::<4>() {
        let (frame, rest) = frames.split_at(4 + u32::from_be_bytes(*prefix) as usize);
        if count > 0 && count % 100 == 0 {
            blocks.push(Vec::new());
        }
        blocks.last_mut().unwrap().extend_from_slice(frame);
        (frames, count) = (rest, count + 1);
    }
    blocks
}

/// A POST of events of about 340 bytes.
fn request(number: usize, events: usize) -> Vec<u8> {
    let mut body = String::new();
    for event in 0..events {
        let n = number * events + event;
        let level = ["DEBUG", "INFO", "INFO", "INFO", "WARN"][n % 5];
        body += &format!(
            "{{\"timestamp\":\"2026-11-21T10:00:00.{:06}Z\",\"level\":\"{level}\",\"service\":\"service-{:02}\",\"logger\":\"app.module{:03}\",\"message\":\"[{:06}] log message {n:08} for user {}\",\"trace_id\":\"{:032x}\",\"attributes\":{{\"code.file.path\":\"/srv/app/module.py\",\"code.line.number\":{},\"process.pid\":{},\"thread.name\":\"MainThread\"}}}}\n",
            n % 1_000_000,
            n % 20,
            n % 100,
            n % 997,
            n % 500_000,
            (n as u128 + 1) * 0x9e37_79b9_7f4a_7c15_f39c,
            n % 400,
            1000 + n % 20,
        );
    }
    let length = body.len();
    format!("POST /api/v1/records HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

async fn send(
    mode: Mode,
    address: String,
    number: usize,
    records: usize,
    payloads: Arc<Vec<Vec<u8>>>,
) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let per_payload = match mode {
        Mode::Python => 100,
        Mode::Requests { events } => events,
    };
    let mut latencies = Vec::with_capacity(records / per_payload);
    let mut answer = vec![0; 4096];
    for round in 0..records / per_payload {
        let start = Instant::now();
        stream.write_all(&payloads[(number * 7 + round) % payloads.len()]).await.unwrap();
        if mode != Mode::Python {
            let length = stream.read(&mut answer).await.unwrap();
            assert!(
                answer[..length].starts_with(b"HTTP/1.1 200"),
                "{}",
                String::from_utf8_lossy(&answer[..length])
            );
            latencies.push(start.elapsed());
        }
    }
    stream.shutdown().await.unwrap();
    if mode == Mode::Python {
        // The server closes once it has read everything.
        let _ = stream.read(&mut answer).await;
    }
    latencies
}

fn report(elapsed: Duration, records: usize, mut latencies: Vec<Duration>) {
    println!("{records} records in {elapsed:.2?}: {:.0} records/s", records as f64 / elapsed.as_secs_f64());
    if latencies.is_empty() {
        return;
    }
    latencies.sort_unstable();
    let quantile = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
    let [p50, p90, p95, p99, max] = [0.5, 0.9, 0.95, 0.99, 1.0].map(quantile);
    println!("answers: p50 {p50:.2?}  p90 {p90:.2?}  p95 {p95:.2?}  p99 {p99:.2?}  max {max:.2?}");
}
