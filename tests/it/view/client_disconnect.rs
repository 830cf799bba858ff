//! Property: when a client disconnects, the work for its request ends, on either database.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::json;
use tempfile::TempDir;
use test_support::postgres::Database;
use test_support::{Server, eventually};

use super::{path, postgres};

/// Sends a request, and does not wait for the answer.
fn ask(server: &Server, place: &str, parameters: &[(&str, &str)]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address("http")).unwrap();
    write!(stream, "GET {} HTTP/1.1\r\nhost: x\r\n\r\n", path(place, parameters)).unwrap();
    stream
}

/// Sends more requests than may run at the same time: if these continued, no other request would
/// ever run.
fn ask_everything(server: &Server, query: &str) -> Vec<TcpStream> {
    let q = ("q", query);
    let places = ["histogram", "fields", "fields/service", "errors", "records"];
    let mut clients: Vec<_> =
        places.iter().map(|place| ask(server, &format!("/api/v1/{place}"), &[q])).collect();
    for format in ["csv", "ndjson"] {
        clients.push(ask(server, "/api/v1/records", &[q, ("format", format)]));
    }
    clients.push(ask(server, "/api/v1/records", &[q, ("cursor", "-1")]));
    clients
}

fn wait_until_closed(server: &Server) {
    eventually("their connections are closed", || (server.source("http")["connections"] == 1).then_some(()));
}

/// Returns the processor time of all threads of the server, in ticks.
fn processor_time(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.child.id())).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Large attributes that are searched for many names: minutes of work in total.
#[test]
fn search_of_sqlite_ends_when_its_client_disconnects() {
    let folder = TempDir::new().unwrap();
    let server = test_support::Setup::new().argument("--query-seconds-max=1h").start(folder.path());
    let attributes: Vec<_> = (0..500).map(|n| format!("\"key_{n}\":\"a\\\\b\"")).collect();
    let record = format!("{{\"message\":\"m\",{}}}\n", attributes.join(","));
    for _ in 0..6 {
        assert_eq!(server.post(record.repeat(500)).status, 200);
    }
    // The newest records are searched quickly, so that the slices become large before the search
    // reaches the others.
    assert_eq!(server.post("{\"message\":\"small\"}\n".repeat(20_000)).status, 200);
    server.flush();
    let names: Vec<_> = (0..60).map(|n| format!("absent_{n}:*")).collect();
    let clients = ask_everything(&server, &names.join(" OR "));
    eventually("all of them have asked", || {
        (server.source("http")["connections"].as_u64() > Some(8)).then_some(())
    });
    drop(clients);
    wait_until_closed(&server);
    eventually("nothing runs any more", || {
        let before = processor_time(&server);
        std::thread::park_timeout(std::time::Duration::from_millis(300));
        (processor_time(&server) - before < 5).then_some(())
    });
    assert_eq!(server.get("/api/v1/records?limit=1").status, 200);
}

/// Returns the number of statements of logboom that the server is executing.
fn running(database: &Database) -> u64 {
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                AND pid <> pg_backend_pid() AND query LIKE '%FROM logs WHERE%'";
    database.value(busy).parse().unwrap()
}

/// Makes the reading of every record up to an id take a third of a second. The other records are
/// read before these, one after the other.
fn slow_down(database: &Database, id: u64) {
    for setting in ["enable_seqscan", "enable_bitmapscan", "enable_sort"] {
        database.execute(&format!("ALTER DATABASE {} SET {setting} = off", database.name));
    }
    database.execute(&format!(
        "ALTER TABLE logs ENABLE ROW LEVEL SECURITY; ALTER TABLE logs FORCE ROW LEVEL SECURITY;
         CREATE POLICY slow ON logs USING (id > {id} OR pg_sleep(0.3)::text IS NOT NULL)"
    ));
}

#[test]
fn search_of_postgresql_ends_when_its_client_disconnects() {
    let folder = TempDir::new().unwrap();
    let (server, database) = postgres::postgres_with(3000, &folder);
    slow_down(&database, 3000);
    let clients = ask_everything(&server, "");
    eventually("as many run as may", || (running(&database) == 4).then_some(()));
    drop(clients);
    eventually("none runs any more", || (running(&database) == 0).then_some(()));
    wait_until_closed(&server);
    database.execute("ALTER TABLE logs DISABLE ROW LEVEL SECURITY");
    assert_eq!(server.get("/api/v1/histogram?until=2026-12-01").json()["total"], 3000);
}

/// Once a streamed answer has begun, no request handler waits for its search any more.
#[test]
fn stream_ends_when_its_client_disconnects() {
    let folder = TempDir::new().unwrap();
    let database = test_support::postgres::Server::shared().database();
    let server = postgres::setup(&database).argument("--query-seconds-max=1h").start(folder.path());
    super::fill(&server, 5000);
    slow_down(&database, 500);
    let client = ask(&server, "/api/v1/records", &[("format", "ndjson")]);
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    while !line.contains("\"id\":701,") {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0);
    }
    eventually("it is at the slow ones", || (running(&database) == 1).then_some(()));
    drop(reader);
    eventually("it does not go on", || (running(&database) == 0).then_some(()));
}

/// When the time of a search is over, a streamed answer is aborted, so that it cannot be mistaken
/// for a complete one; a document reports that it is partial.
#[test]
fn answer_that_takes_too_long_is_partial_or_aborted() {
    let folder = TempDir::new().unwrap();
    let database = test_support::postgres::Server::shared().database();
    let server = postgres::setup(&database).argument("--query-seconds-max=3").start(folder.path());
    super::fill(&server, 3000);
    slow_down(&database, 1500);
    // The quick records take hardly any time, except on a machine that stalls.
    eventually("the quick ones are found", || {
        let page = server.get("/api/v1/records?limit=10000").json();
        assert_eq!(page["partial"], true);
        let found = super::ids(&page);
        let last = *found.last()?;
        assert!(found.iter().copied().eq((last..=3000).rev()) && last > 1, "{last}");
        assert_eq!(page["next_cursor"], last.to_string(), "what was found is not found again");
        (last <= 1501).then_some(())
    });
    eventually("the quick ones are counted", || {
        let count = server.get("/api/v1/fields").json();
        let scanned = count["scanned"].as_u64().unwrap();
        assert!(count["partial"] == true && scanned < 3000, "{count}");
        (scanned >= 1500).then_some(())
    });
    // A search that finds something continues.
    let place = path("/api/v1/records", &[("format", "csv"), ("q", "nowhere")]);
    let broken = test_support::request(&server.address("http"), "GET", &place, &[], b"");
    assert!(broken.is_err(), "{}", broken.unwrap().text().lines().count());
    // The same applies backwards: the page contains what was found in time, and both cursors are
    // known.
    let back = server.get("/api/v1/records?cursor=-100&limit=10000").json();
    assert_eq!(
        (&back["partial"], back["previous_cursor"].is_string(), back["next_cursor"].is_string()),
        (&json!(true), true, true)
    );
    assert!(super::ids(&back).iter().rev().copied().eq((101..).take(super::ids(&back).len())), "{back}");
}
