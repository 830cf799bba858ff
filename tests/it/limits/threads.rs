//! Property: a shortage of threads stops nothing that runs, and a start without enough threads is a
//! clear failure.

use std::os::unix::process::CommandExt;
use std::process::Command;

use logboom::limits::QUERIES_MAX;
use serde_json::json;
use tempfile::TempDir;
use test_support::load::record;
use test_support::{Server, Setup};

/// Users that have no other processes.
const USERS: [u32; 2] = [64_901, 64_902];

/// Sets the limit of all threads of the server's user.
fn limit_threads(server: &Server, limit: &str) {
    let mut command = Command::new("prlimit");
    command.arg(format!("--pid={}", server.child.id())).arg(format!("--nproc={limit}:"));
    if rustix::process::geteuid().is_root() {
        // In a container even root may not change the limit.
        command.uid(USERS[0]);
    }
    assert!(command.status().unwrap().success());
}

fn records(from: usize) -> String {
    (from..from + 1000).map(|number| record(&format!("key-{number}"))).collect::<Vec<_>>().join("\n")
}

#[test]
fn shortage_of_threads_stops_nothing_that_runs() {
    let folder = TempDir::new().unwrap();
    let setup = Setup::new().argument("--threads=2").user(USERS[0], folder.path());
    let mut server = setup.start(&folder.path().join("data"));
    assert_eq!(server.post(records(0)).status, 200);
    server.flush();

    limit_threads(&server, "0");
    // As many rounds as queries can wait at the same time, and more.
    for round in 0..2 * QUERIES_MAX {
        for path in ["/api/v1/records?q=key-7", "/api/v1/fields", "/api/v1/histogram", "/api/v1/errors"] {
            let answer = server.get(path);
            assert_eq!(answer.status, 200, "{round} {path}: {}", answer.text());
        }
        let body = json!({"sql": "select count(*) from logs"}).to_string();
        let answer = server.request("POST", "/api/v1/sql", &[], body.as_bytes());
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
        assert!(
            answer.status == 200 || answer.text().contains("no thread can be started"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(server.post(records(1000)).status, 200);
    server.flush();

    limit_threads(&server, "1000");
    assert_eq!(server.value("select count(*) from logs"), 2000);
    assert_eq!(server.get("/api/v1/records").status, 200);
    assert_eq!(server.stop(), 0);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn start_without_threads_is_a_clear_failure() {
    let folder = TempDir::new().unwrap();
    // The program needs ten: the main thread, four for queries, two for the network, one each for
    // the spool, the store and the tails.
    for threads in 1..=9 {
        let setup = Setup::new().argument("--threads=2").threads_max(threads).user(USERS[1], folder.path());
        let mut server = setup.spawn(&folder.path().join("data"));
        assert_eq!(server.exit_code(), Some(1), "{threads}: {}", server.log());
        let log = server.log();
        assert!(log.contains("error: cannot start the server's threads: "), "{threads}: {log}");
        assert!(log.contains("hint: raise the limit of threads"), "{threads}: {log}");
        assert!(!log.contains("panicked"), "{threads}: {log}");
    }
}
