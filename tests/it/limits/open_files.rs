//! Property: with more clients than the limit of open files allows, connected clients continue,
//! other clients wait, and spool and stores are not affected.

use std::net::TcpStream;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use test_support::audit;
use test_support::load::{Connection, padded_record, record};
use test_support::lock::DatabaseLock;
use test_support::{Server, Setup, eventually, python};

/// The limit of open files. About 200 of the descriptors are needed by the server itself.
const DESCRIPTORS: u64 = 300;

fn status(connection: &mut Connection) -> Value {
    let (status, _, body) = connection.request("GET", "/api/v1/status", "").unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

fn connections(status: &Value) -> u64 {
    status["sources"].as_array().unwrap().iter().map(|source| source["connections"].as_u64().unwrap()).sum()
}

/// Opens more connections than the server accepts; returns them and the number that it accepted.
fn crowd(server: &Server, status_of: &mut Connection) -> (Vec<TcpStream>, u64) {
    let address = server.address("python");
    let crowd: Vec<_> = (0..DESCRIPTORS).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let line = server.log_line("too low for `connections_max`").unwrap();
    let most = line["connections_max"].as_u64().unwrap();
    // One connection is reserved for the other listener's next client.
    eventually("the server takes all that it can", || {
        (connections(&status(status_of)) >= most - 1).then_some(())
    });
    (crowd, most)
}

/// Fills the spool, whose store is locked, with records of 64 KiB. Each is posted until the server
/// accepts it or `enough` returns true.
fn fill(connection: &mut Connection, enough: impl Fn(usize, u16) -> bool) -> (Vec<String>, (u16, String)) {
    let mut keys = Vec::new();
    for number in 0.. {
        let key = format!("full-{number}");
        let (status, head, body) = connection.post(&padded_record(&key, 64 << 10)).unwrap();
        if status == 200 {
            keys.push(key);
        }
        if enough(keys.len(), status) {
            return (keys, (status, head + &body));
        }
    }
    unreachable!()
}

fn check_end(server: &mut Server, database: &Path, keys: &[String]) {
    assert_eq!(server.stop(), 0);
    let log = server.log();
    assert!(!log.contains("Too many open files") && !log.contains("panicked"), "{log}");
    audit::database(database).check("the database", keys);
}

const NEIGHBOUR: &str = r#"
import logging, logging.handlers, sys
host, port = sys.argv[1].rsplit(":", 1)
logging.raiseExceptions = False
handler = logging.handlers.SocketHandler(host, int(port))
log = logging.getLogger("neighbour")
log.addHandler(handler)
for n in range(100):
    log.warning("key=neighbour", extra={"trace_id": "neighbour-%d" % n})
handler.close()
"#;

#[test]
fn connections_leave_the_spool_its_files() {
    let folder = TempDir::new().unwrap();
    let setup = Setup::new()
        .descriptors(DESCRIPTORS)
        .argument("--spool-segment-bytes=4MiB")
        .argument("--spool-bytes-max=160MiB");
    let mut server = setup.start(folder.path());
    let database = folder.path().join("logboom.db");
    server.flush();
    let mut connection = Connection::open(&server.address("http")).unwrap();
    assert_eq!(connection.post(&record("first")).unwrap().0, 200);
    let (crowd, most) = crowd(&server, &mut connection);
    assert!((20..DESCRIPTORS).contains(&most), "{most}");

    let locked = DatabaseLock::acquire(&database);
    // Each segment is an open file while the store is locked.
    let (mut keys, _) = fill(&mut connection, |taken, status| {
        assert_eq!(status, 200);
        taken >= 1500
    });
    let spool = status(&mut connection)["spool"].clone();
    assert!(spool["segments"].as_u64() >= Some(20), "{spool}");
    // The client waits in the kernel's queue, and does not notice it.
    python(NEIGHBOUR, &[&server.address("python")]);
    locked.release();
    let (status, _, body) = connection.request("POST", "/api/v1/flush", "").unwrap();
    assert_eq!(status, 200, "{body}");

    drop(crowd);
    server.wait_for_accepted("python", 100);
    server.flush();
    keys.push("first".into());
    keys.extend((0..100).map(|number| format!("neighbour-{number}")));
    check_end(&mut server, &database, &keys);
}

#[test]
fn limit_too_low_for_spool_lowers_its_ceiling() {
    let folder = TempDir::new().unwrap();
    let mut server =
        Setup::new().descriptors(220).argument("--spool-segment-bytes=4MiB").start(folder.path());
    let line = server.log_line("too low for `spool_bytes_max`").unwrap();
    let ceiling = line["bytes_max"].as_u64().unwrap();
    assert!((32 << 20..160 << 20).contains(&ceiling), "{ceiling}");
    let database = folder.path().join("logboom.db");
    server.flush();
    let mut connection = Connection::open(&server.address("http")).unwrap();
    let (crowd, _) = crowd(&server, &mut connection);
    let locked = DatabaseLock::acquire(&database);
    let (mut keys, (refusal, answer)) = fill(&mut connection, |_, status| status != 200);
    assert_eq!(refusal, 429, "{answer}");
    assert!(answer.contains(&format!("it has reached its ceiling of {ceiling} bytes")), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1"), "{answer}");
    locked.release();
    let later = eventually("there is room again", || {
        let (status, _, _) = connection.post(&record("later")).unwrap();
        (status == 200).then(|| "later".to_owned())
    });
    keys.push(later);
    drop(crowd);
    eventually("others are served", || (server.get("/readyz").status == 200).then_some(()));
    check_end(&mut server, &database, &keys);
}

#[test]
fn ordinary_limit_is_not_worth_a_message() {
    let folder = TempDir::new().unwrap();
    let message = "too low for `connections_max`";
    let server = Setup::new().descriptors(4096).start(folder.path());
    assert_eq!(server.log_line(message).unwrap()["level"], "DEBUG");
    assert!(!server.log().contains("\"level\":\"WARN\""), "{}", server.log());
    drop(server);
    let server = Setup::new().descriptors(4096).argument("--connections-max=5000").start(folder.path());
    assert_eq!(server.log_line(message).unwrap()["level"], "INFO");
}

#[test]
fn limit_far_too_low_is_a_clear_failure() {
    let folder = TempDir::new().unwrap();
    let mut server = Setup::new().descriptors(64).spawn(folder.path());
    assert_eq!(server.exit_code(), Some(1));
    assert!(server.log().contains("hint: raise it with `ulimit -Hn`"), "{}", server.log());
    assert!(server.log().contains("error: the limit of open files is 64: at least "), "{}", server.log());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was begun");
}
