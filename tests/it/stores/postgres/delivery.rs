//! Property: every acknowledged record is in the database once, or is a counted dead letter, also
//! after interruptions of the server and of the network.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tempfile::TempDir;
use test_support::eventually;
use test_support::load::{Ledger, PythonLoad, post};
use test_support::postgres::Server as Postgres;

use super::{check, last_error, setup};

#[test]
fn records_of_all_clients_are_stored_once() {
    let folder = TempDir::new().unwrap();
    let database = Postgres::shared().database();
    let mut server = setup(&database.url()).start(folder.path());
    let keys = post(&server, "http", 100);
    let mut python = PythonLoad::start(1000);
    python.aim(&server.address("python"), "python");
    server.wait_for_accepted("python", 1000);
    server.flush();
    assert_eq!(last_error(&server), None);
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.stop(), 0);
    check(&database, &keys);
    let logger = "SELECT count(*), min(logger), min(severity), count(process_id), min(node) FROM logs WHERE trace_id LIKE 'python-%'";
    let row = &database.rows(logger)[0];
    let node = std::fs::read_to_string(folder.path().join("node")).unwrap();
    assert_eq!(row.iter().flatten().collect::<Vec<_>>(), ["1000", "load", "INFO", "1000", node.trim()]);
    let synced = database.value("SELECT position - synced FROM logs_node");
    assert_eq!(synced, "0", "the stop made everything durable");
}

#[test]
fn server_that_starts_later_delays_nothing() {
    let folder = TempDir::new().unwrap();
    let mut postgres = Postgres::start(&[]);
    let database = postgres.database();
    postgres.stop();
    let mut server = setup(&database.url()).start(folder.path());
    let mut keys = post(&server, "before", 100);
    let error = eventually("it says why", || last_error(&server));
    assert!(error.contains("no connection to") && error.contains("check that the server runs"), "{error}");
    assert_eq!(server.get("/readyz").status, 503);
    let problem =
        format!("\nlogboom_problem{{problem=\"store postgres: {}\"}} 1\n", error.replace('"', "\\\""));
    assert!(server.get("/metrics").text().contains(&problem), "{}", server.get("/metrics").text());
    postgres.restart();
    keys.extend(post(&server, "after", 100));
    server.flush();
    assert_eq!(server.get("/readyz").status, 200);
    assert!(!server.get("/metrics").text().contains("logboom_problem{"));
    assert_eq!(server.stop(), 0);
    check(&database, &keys);
}

#[test]
fn two_servers_write_into_one_database() {
    let database = Postgres::shared().database();
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let setups = [setup(&database.url()), setup(&database.url()).argument("--node=the-second")];
    let mut servers = [0, 1].map(|at| setups[at].start(folders[at].path()));
    let ledger = Arc::new(Ledger::default());
    let clients: Vec<_> = servers
        .iter()
        .enumerate()
        .map(|(at, server)| ledger.post_on(&server.address("http"), &format!("server-{at}"), 10))
        .collect();
    eventually("load", || (ledger.answers() >= 400).then_some(()));
    ledger.stop();
    clients.into_iter().for_each(|client| client.join().unwrap());
    for server in &mut servers {
        server.flush();
        assert_eq!(server.stop(), 0);
    }
    check(&database, &ledger.acknowledged());
    assert_eq!(database.value("SELECT count(DISTINCT node) FROM logs"), "2");
    assert_eq!(database.value("SELECT count(*) > 0 FROM logs WHERE node = 'the-second'"), "t");
}

#[test]
fn copied_node_name_does_not_take_over_the_position() {
    let database = Postgres::shared().database();
    let (folder, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut one = setup(&database.url()).start(folder.path());
    let mut keys = post(&one, "one", 10);
    one.flush();
    std::fs::copy(folder.path().join("node"), copy.path().join("node")).unwrap();
    let mut two = setup(&database.url()).start(copy.path());
    post(&two, "kept", 10);
    let error =
        eventually("it says why", || last_error(&two).filter(|error| error.contains("of the same name")));
    assert!(error.contains("another `node`"), "{error}");
    keys.extend(post(&one, "more", 10));
    one.flush();
    assert_eq!(one.get("/readyz").status, 200);
    two.kill();
    assert_eq!(one.stop(), 0);
    check(&database, &keys);
    assert_eq!(database.value("SELECT count(*) FROM logs"), "20");
}

#[test]
fn refused_records_become_counted_dead_letters() {
    let database = Postgres::shared().database();
    let folder = TempDir::new().unwrap();
    let mut server = setup(&database.url()).start(folder.path());
    let mut keys = post(&server, "good", 10);
    let bad = r#"{"message":"a\u0000b","trace_id":"bad-1"}
{"message":"x","deep":"\u0000","trace_id":"bad-2"}
{"message":"not this","trace_id":"bad-3"}"#;
    server.flush();
    database.execute("ALTER TABLE logs ADD CHECK (message <> 'not this')");
    assert_eq!(server.post(bad).status, 200);
    keys.extend(post(&server, "more", 10));
    server.flush();
    let store = server.status()["stores"][0].clone();
    let accepted = server.source("http")["accepted"].as_u64().unwrap();
    let aside = store["dead_letters"].as_u64().unwrap();
    assert_eq!(store["stored"].as_u64().unwrap() + aside, accepted);
    assert_eq!(server.stop(), 0);
    let reasons = database.rows("SELECT record, reason FROM logs_dead_letter");
    assert_eq!((reasons.len() as u64, aside), (aside, 3), "{reasons:?}");
    let stored = database.rows("SELECT trace_id FROM logs ORDER BY id");
    let stored: Vec<_> = stored.into_iter().map(|row| row[0].clone().unwrap()).collect();
    assert_eq!(stored, keys);
}

/// Forwards bytes between clients and a port, until it is set to discard them.
struct Proxy {
    port: u16,
    is_frozen: Arc<AtomicBool>,
}

impl Proxy {
    fn start(to: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_frozen = Arc::new(AtomicBool::new(false));
        let frozen = Arc::clone(&is_frozen);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                pass_on(client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&frozen));
                pass_on(server, client, Arc::clone(&frozen));
            }
        });
        Proxy { port, is_frozen }
    }
}

/// A connection that carries data while the proxy is frozen never forwards anything again.
fn pass_on(mut from: TcpStream, mut to: TcpStream, is_frozen: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        let mut swallows = false;
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            swallows |= is_frozen.load(SeqCst);
            if !swallows && to.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    });
}

#[test]
fn silent_network_is_detected_and_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let database = Postgres::shared().database();
    let proxy = Proxy::start(Postgres::shared().port());
    let mut server = setup(&database.url_by_port(proxy.port)).start(folder.path());
    let mut keys = post(&server, "before", 100);
    server.flush();
    // Creating a partition may take longer than everything else.
    let partitions = "SELECT count(*) >= 3 FROM pg_inherits WHERE inhparent = 'logs'::regclass";
    eventually("tomorrow has its partition", || (database.value(partitions) == "t").then_some(()));
    proxy.is_frozen.store(true, SeqCst);
    keys.extend(post(&server, "during", 1000));
    let error = eventually("it is noticed", || last_error(&server));
    assert!(error.contains("has been silent for"), "{error}");
    proxy.is_frozen.store(false, SeqCst);
    keys.extend(post(&server, "after", 100));
    server.flush();
    assert_eq!(server.stop(), 0);
    check(&database, &keys);
}

#[test]
fn older_state_is_reported_and_filled_from_spool() {
    let folder = TempDir::new().unwrap();
    let database = Postgres::shared().database();
    let mut server = setup(&database.url()).start(folder.path());
    let mut keys = post(&server, "before", 60);
    server.flush();
    database.execute("CREATE TABLE saved AS SELECT * FROM logs_node");
    keys.extend(post(&server, "later", 40));
    server.flush();
    // As a standby that took over without having received everything.
    database.execute(
        "DELETE FROM logs WHERE id > 60; DELETE FROM logs_node; INSERT INTO logs_node SELECT * FROM saved;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'logboom' AND datname = current_database()",
    );
    keys.extend(post(&server, "after", 100));
    eventually("it has gone back", || server.log_line("the store went back to an older state"));
    server.flush();
    assert_eq!(server.stop(), 0);
    check(&database, &keys);
}
