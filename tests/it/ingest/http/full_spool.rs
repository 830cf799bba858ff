//! Property: at the ceiling of the spool, while the database accepts nothing, clients are refused,
//! shed or blocked, and every accepted record is stored once.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;
use test_support::{Server, Setup, eventually};

use super::{assert_without_gaps, count, lines};

/// Returns options of a spool that is small enough to be full soon.
fn small_spool() -> Setup {
    Setup::new().argument("--spool-bytes-max=24MiB").argument("--spool-segment-bytes=8MiB")
}

/// Prevents all other processes from writing to the database until the lock is dropped.
fn lock(data_dir: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(data_dir.join("logboom.db")).unwrap();
    connection.busy_timeout(test_support::PATIENCE).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    connection
}

fn is_full(server: &Server) -> bool {
    server.status()["problems"].to_string().contains("the spool is full")
}

#[test]
fn http_clients_are_refused_and_accepted_records_stored() {
    let folder = TempDir::new().unwrap();
    let server = small_spool().start(folder.path());
    let lock = lock(folder.path());
    let body = lines(2000, &"x".repeat(200));
    let mut accepted = 0;
    let refusal = eventually("the spool is full", || {
        let answer = server.post(&body);
        accepted += answer.json()["accepted"].as_u64().unwrap();
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(refusal.status, 429, "{}", refusal.text());
    assert!(refusal.head.contains("\r\nretry-after: 1\r\n"), "{}", refusal.head);
    let told = refusal.json();
    let reason = told["errors"].as_array().unwrap().last().unwrap()["error"].as_str().unwrap();
    assert!(reason.contains("the spool is full: it has reached its ceiling of 25165824 bytes"), "{told}");
    assert_eq!(told["accepted"].as_u64().unwrap() + told["rejected"].as_u64().unwrap(), 2000);
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.json()["detail"].as_str().unwrap().contains("the spool is full"), "{}", ready.text());
    let spool = &server.status()["spool"];
    assert!(spool["bytes"].as_u64() <= spool["bytes_max"].as_u64(), "{spool}");

    drop(lock);
    eventually("there is room again", || {
        let answer = server.post(&body);
        accepted += answer.json()["accepted"].as_u64().unwrap();
        (answer.status == 200).then_some(())
    });
    assert_eq!(count(&server), accepted);
    assert_without_gaps(&server);
    let source = server.source("http");
    assert_eq!(source["accepted"], accepted);
    let shed = source["received"].as_u64().unwrap() - accepted;
    assert_eq!(source["shed"], json!({"full": shed}));
    eventually("it is ready again", || (server.get("/readyz").status == 200).then_some(()));
}

/// Records that wait in a full spool survive a kill, and the restart continues with them.
#[test]
fn full_spool_survives_a_restart() {
    let folder = TempDir::new().unwrap();
    let mut server = small_spool().start(folder.path());
    let lock = lock(folder.path());
    let body = lines(2000, &"x".repeat(200));
    let mut accepted = 0;
    eventually("the spool is full", || {
        let answer = server.post(&body);
        accepted += answer.json()["accepted"].as_u64().unwrap();
        (answer.status == 429).then_some(())
    });
    server.kill();
    let server = small_spool().start(folder.path());
    drop(lock);
    assert_eq!(count(&server), accepted);
    assert_without_gaps(&server);
}

/// Sends a given number of records of 1 KB, then as many more as each line on standard input
/// requests. It differs from the standard handler only in its timeout: the standard handler would
/// discard a record that the system has not accepted within a second. This one waits as long as the
/// server does not read.
const CLIENT: &str = r#"
import logging, logging.handlers, sys
host, port = sys.argv[1].rsplit(":", 1)
class Handler(logging.handlers.SocketHandler):
    connections = 0
    def makeSocket(self, timeout=1):
        Handler.connections += 1
        sock = super().makeSocket(timeout)
        sock.settimeout(None)
        return sock
handler = Handler(host, int(port))
log = logging.getLogger("client")
log.addHandler(handler)
log.setLevel(logging.DEBUG)
log.propagate = False
sent = 0
def send(count):
    global sent
    for _ in range(count):
        log.info("%d %s", sent, "x" * 1000)
        sent += 1
send(int(sys.argv[2]))
for line in sys.stdin:
    send(int(line))
handler.close()
print(sent, Handler.connections)
"#;

fn client(server: &Server, records: u64) -> (Child, ChildStdin) {
    let arguments = ["-c", CLIENT, &server.address("python"), &records.to_string()];
    let mut command = Command::new("python3");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let input = child.stdin.take().unwrap();
    (child, input)
}

/// Returns the reported numbers of sent records and of connections.
fn finish(mut child: Child, input: ChildStdin) -> String {
    drop(input);
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    said.trim().to_owned()
}

#[test]
fn shed_records_are_counted_and_clients_stay_connected() {
    let folder = TempDir::new().unwrap();
    let server = small_spool().start(folder.path());
    let lock = lock(folder.path());
    let (child, mut input) = client(&server, 40_000);
    let source = eventually("all are received", || {
        let source = server.source("python");
        let shed = source["shed"]["full"].as_u64().unwrap_or(0);
        (source["accepted"].as_u64().unwrap() + shed == 40_000).then_some(source)
    });
    assert_eq!(source["received"], 40_000);
    let shed = source["shed"]["full"].as_u64().unwrap();
    assert!(shed > 5000, "{source}");
    assert_eq!((&source["connections"], &source["connections_total"]), (&json!(1), &json!(1)));
    let page = server.cli(&["status"]);
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(
        page.contains("NOT READY") && page.contains("shed by python") && page.contains(" full"),
        "{page}"
    );

    drop(lock);
    // Whether the spool is full at one moment is not sufficient: the last record may have been one
    // that fitted.
    eventually("there is room again", || {
        let spool = &server.status()["spool"];
        (spool["oldest_id"].as_u64() > Some(1) && !is_full(&server)).then_some(())
    });
    writeln!(input, "100").unwrap();
    input.flush().unwrap();
    server.wait_for_accepted("python", 40_100 - shed);
    assert_eq!(finish(child, input), "40100 1");
    assert_eq!(count(&server), 40_100 - shed);
    assert_without_gaps(&server);
    let latest = "select count(*) from (select message from logs order by id desc limit 100) where message >= '40000 '";
    assert_eq!(server.value(latest), 100);
}

#[test]
fn blocked_clients_lose_nothing() {
    let folder = TempDir::new().unwrap();
    let server = small_spool().argument("--when-full=block").start(folder.path());
    let lock = lock(folder.path());
    let (child, input) = client(&server, 40_000);
    eventually("the spool is full", || is_full(&server).then_some(()));
    let held = server.source("python");
    assert!(held["received"].as_u64() < Some(40_000), "{held}");
    drop(lock);
    assert_eq!(finish(child, input), "40000 1");
    server.wait_for_accepted("python", 40_000);
    assert_eq!(count(&server), 40_000);
    assert_without_gaps(&server);
    let source = server.source("python");
    assert_eq!((&source["received"], &source["shed"]), (&json!(40_000), &json!({})));
}
