//! The design of 2025 that logboom descends from, as a reference: events by HTTP, acknowledged from
//! memory, written into SQLite in one transaction for each 1,000 events, or each second. For
//! comparison, each event can have a transaction of its own instead, and is acknowledged after
//! that.
//!
//! SQLite runs with WAL and `synchronous=NORMAL`: what was acknowledged can be lost either way.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use logboom::blocking::Threads;
use rusqlite::{Connection, params};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

const EVENTS_PER_TRANSACTION: usize = 1000;
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of events that wait in memory; beyond it, clients wait too.
const EVENTS_WAITING_MAX: usize = 50_000;

/// The fields of an event that the columns need.
#[derive(Deserialize)]
struct Event {
    timestamp: String,
    service: String,
    level: String,
    message: String,
}

struct Insert {
    event: Event,
    json: String,
    /// Notified when the event is committed, if a client waits for that.
    committed: Option<oneshot::Sender<()>>,
}

/// Serves until the process ends. With `each`, every event has a transaction, and is acknowledged
/// after it.
pub fn serve(database: &Path, each: bool) {
    let connection = create(database);
    Threads::of(0).runtime().unwrap().block_on(async {
        let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
        let handle = tokio::runtime::Handle::current();
        let batch = if each { 1 } else { EVENTS_PER_TRANSACTION };
        std::thread::spawn(move || handle.block_on(store(connection, receiver, batch)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let sender = sender.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, sender.clone(), each));
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

fn create(database: &Path) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = normal;
             CREATE TABLE events (id INTEGER PRIMARY KEY, time TEXT, service TEXT, level TEXT, message TEXT, event TEXT);
             CREATE INDEX events_service_time ON events (service, time);",
        )
        .unwrap();
    connection
}

async fn answer(
    request: Request<Incoming>,
    sender: mpsc::Sender<Insert>,
    each: bool,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let lines = std::str::from_utf8(&body).unwrap().lines();
    let mut accepted = 0;
    for line in lines {
        let event = serde_json::from_str(line).unwrap();
        let (committed, is_committed) = oneshot::channel();
        let committed = each.then_some(committed);
        sender.send(Insert { event, json: line.to_owned(), committed }).await.unwrap();
        if each {
            is_committed.await.unwrap();
        }
        accepted += 1;
    }
    Ok(Response::new(Full::new(format!("{{\"accepted\":{accepted}}}").into())))
}

async fn store(connection: Connection, mut receiver: mpsc::Receiver<Insert>, batch: usize) {
    let mut waiting = Vec::with_capacity(batch);
    while receiver.recv_many(&mut waiting, batch).await > 0 {
        let deadline = Instant::now() + FLUSH_INTERVAL;
        while waiting.len() < batch {
            let missing = batch - waiting.len();
            if timeout_at(deadline, receiver.recv_many(&mut waiting, missing)).await.is_err() {
                break;
            }
        }
        insert(&connection, &mut waiting);
    }
}

fn insert(connection: &Connection, waiting: &mut Vec<Insert>) {
    connection.execute_batch("BEGIN").unwrap();
    let mut insert = connection
        .prepare_cached("INSERT INTO events (time, service, level, message, event) VALUES (?, ?, ?, ?, ?)")
        .unwrap();
    for Insert { event, json, .. } in &*waiting {
        insert.execute(params![event.timestamp, event.service, event.level, event.message, json]).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    for insert in waiting.drain(..) {
        if let Some(committed) = insert.committed {
            let _ = committed.send(()); // the client may have disconnected
        }
    }
}
