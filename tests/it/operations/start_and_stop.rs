//! Property: starts, stops and signals, as operators and their tools send them, lose no record and
//! leave no resources behind.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logboom::limits::DRAIN_SECONDS_MAX;
use rustix::process::Signal;
use tempfile::TempDir;
use test_support::audit;
use test_support::good_frame;
use test_support::load::{Ledger, PythonLoad, record};
use test_support::lock::DatabaseLock;
use test_support::{Server, Setup, eventually, python};

#[test]
fn stop_under_load_loses_nothing() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = TempDir::new().unwrap();
        let log_file = folder.path().join("all.log");
        let setup = Setup::new()
            .argument("--shutdown-seconds-max=60")
            .argument(format!("--log-file={}", log_file.display()));
        let mut server = setup.start(&folder.path().join("data"));
        let ledger = Arc::new(Ledger::default());
        let clients = [("a", 1), ("b", 1), ("c", 50)]
            .map(|(name, batch)| ledger.post_on(&server.address("http"), &format!("http-{name}"), batch));
        let mut load = PythonLoad::start(u64::MAX);
        load.aim(&server.address("python"), "load");
        // This client has sent everything before the signal, and stays connected without sending.
        let mut quiet = PythonLoad::start(5000);
        quiet.aim(&server.address("python"), "quiet");
        eventually("load", || (ledger.answers() >= 50).then_some(()));
        wait_for_key(&server, "quiet-4999");
        wait_for_key(&server, "load-0");

        server.signal(signal);
        assert_eq!(server.exit_code(), Some(0), "{}", server.log());
        assert!(server.log_line("stopped").is_some(), "{}", server.log());
        clients.into_iter().for_each(|client| client.join().unwrap());
        drop(load);
        let database = audit::database(&folder.path().join("data/logboom.db"));
        database.check("the database", &ledger.acknowledged());
        let lines = audit::log_file(&log_file);
        lines.check("the log file", &ledger.acknowledged());
        assert_eq!(lines.starting_with(""), database.starting_with(""));
        assert_eq!(database.starting_with("quiet-"), 5000);
        assert!(database.starting_with("load-") > 0);
    }
}

fn wait_for_key(server: &Server, key: &str) {
    let sql = format!("select count(*) from logs where trace_id = '{key}'");
    eventually("a key is stored", || (server.value(&sql) == 1).then_some(()));
}

/// 200 clients connect, log and are still connected when the signal arrives: whatever the system
/// has accepted for the server is stored, also from connections that the server has not read yet.
#[test]
fn records_sent_before_the_signal_are_stored() {
    const CLIENTS: &str = r#"
import logging, logging.handlers, os, signal, sys
host, port = sys.argv[1].rsplit(":", 1)
handlers = []
for number in range(200):
    handler = logging.handlers.SocketHandler(host, int(port))
    log = logging.getLogger("client.%d" % number)
    log.addHandler(handler)
    for n in range(3):
        log.warning("hello", extra={"trace_id": "%d-%d" % (number, n)})
    handlers.append(handler)
os.kill(int(sys.argv[2]), signal.SIGTERM)
"#;
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path());
    python(CLIENTS, &[&server.address("python"), &server.child.id().to_string()]);
    assert_eq!(server.exit_code(), Some(0));
    let mut server = Server::start(folder.path());
    server.flush();
    assert_eq!(server.stop(), 0);
    assert_eq!(audit::database(&folder.path().join("logboom.db")).starting_with(""), 600);
}

/// The time that a stop allows for what clients have sent is measured by the server itself: it does
/// not pass while the machine is suspended.
#[test]
fn machine_suspended_during_stop_loses_no_records() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path());
    let frames = good_frame("sent").repeat(100);
    server.signal(Signal::STOP);
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address("python")).unwrap();
            stream.write_all(&frames).unwrap();
            stream
        })
        .collect();
    server.signal(Signal::TERM);
    server.signal(Signal::CONT);
    eventually("it is stopping", || server.log_line("stopping"));
    server.signal(Signal::STOP);
    let end = Instant::now() + Duration::from_secs(DRAIN_SECONDS_MAX + 1);
    while Instant::now() < end {
        std::thread::park_timeout(end.saturating_duration_since(Instant::now()));
    }
    server.signal(Signal::CONT);
    assert_eq!(server.exit_code(), Some(0));
    drop(clients);
    let mut server = Server::start(folder.path());
    server.flush();
    assert_eq!(server.value("select count(*) from logs where message = 'sent'"), 10_000);
    assert_eq!(server.stop(), 0);
}

#[test]
fn second_signal_exits_immediately() {
    let folder = TempDir::new().unwrap();
    let setup = Setup::new().argument("--shutdown-seconds-max=3600");
    let mut server = setup.start(folder.path());
    server.flush();
    let locked = DatabaseLock::acquire(&folder.path().join("logboom.db"));
    assert_eq!(server.post(record("one")).status, 200);
    server.signal(Signal::TERM);
    eventually("it is stopping", || server.log_line("stopping"));
    assert!(server.child.try_wait().unwrap().is_none());
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(1));
    locked.release();
    let server = setup.start(folder.path());
    server.flush();
    assert_eq!(server.value("select trace_id from logs"), "one");
}

#[test]
fn second_signal_under_load_loses_no_acknowledged_record() {
    let folder = TempDir::new().unwrap();
    let (data, log_file) = (folder.path().join("data"), folder.path().join("all.log"));
    let setup = Setup::new()
        .argument("--shutdown-seconds-max=3600")
        .argument(format!("--log-file={}", log_file.display()));
    let mut server = setup.start(&data);
    server.flush();
    let locked = DatabaseLock::acquire(&data.join("logboom.db"));
    let ledger = Arc::new(Ledger::default());
    let clients = [1, 1, 50].into_iter().enumerate();
    let clients: Vec<_> = clients
        .map(|(number, batch)| ledger.post_on(&server.address("http"), &format!("http-{number}"), batch))
        .collect();
    let mut load = PythonLoad::start(u64::MAX);
    load.aim(&server.address("python"), "python");
    eventually("load", || (ledger.answers() >= 100).then_some(()));
    server.signal(Signal::TERM);
    eventually("it is stopping", || server.log_line("stopping"));
    server.signal(Signal::INT);
    assert_eq!(server.exit_code(), Some(1));
    clients.into_iter().for_each(|client| client.join().unwrap());
    drop(load);
    locked.release();

    let mut server = setup.start(&data);
    server.flush();
    assert_eq!(server.stop(), 0);
    let database = audit::database(&data.join("logboom.db"));
    database.check("the database", &ledger.acknowledged());
    let lines = audit::log_file(&log_file);
    lines.check("the log file", &ledger.acknowledged());
    assert_eq!(lines.starting_with(""), database.starting_with(""));
}

#[test]
fn stop_with_locked_database_ends_in_time() {
    for threads in ["0", "1"] {
        let folder = TempDir::new().unwrap();
        let setup =
            Setup::new().argument("--shutdown-seconds-max=1").argument(format!("--threads={threads}"));
        let mut server = setup.start(folder.path());
        server.flush();
        let locked = DatabaseLock::acquire(&folder.path().join("logboom.db"));
        let keys: Vec<_> = (0..100).map(|number| format!("key-{number}")).collect();
        for key in &keys {
            assert_eq!(server.post(record(key)).status, 200);
        }
        eventually("it is noticed", || server.log_line("database is locked"));
        server.signal(Signal::TERM);
        assert_eq!(server.exit_code(), Some(0));
        assert!(server.log_line("a store did not accept all records in time").is_some(), "{}", server.log());
        let complaints = server.log().matches("database is locked").count();
        assert_eq!(complaints, 1, "said once, however often it is tried: {}", server.log());
        locked.release();
        let mut server = setup.start(folder.path());
        server.flush();
        assert_eq!(server.stop(), 0);
        audit::database(&folder.path().join("logboom.db")).check("the database", &keys);
    }
}

#[test]
fn restart_continues_the_ids() {
    let folder = TempDir::new().unwrap();
    for round in 1..=3 {
        let mut server = Server::start(folder.path());
        for number in 0..10 {
            assert_eq!(server.post(record(&format!("{round}-{number}"))).status, 200);
        }
        server.flush();
        let ids = server.sql("select count(*), min(id), max(id) from logs");
        assert_eq!(ids, [serde_json::json!([10 * round, 1, 10 * round])]);
        assert_eq!(server.stop(), 0);
    }
}

#[test]
fn data_folder_accepts_one_server() {
    let folder = TempDir::new().unwrap();
    let _first = Server::start(folder.path());
    let mut second = Setup::new().spawn(folder.path());
    assert_eq!(second.exit_code(), Some(1));
    assert!(second.log().contains("another process is using it"), "{}", second.log());
}

/// Renames the file and sends SIGHUP, as logrotate does.
#[test]
fn renamed_log_file_is_created_again_after_sighup() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("all.log");
    let setup = Setup::new().argument(format!("--log-file={}", path.display()));
    let mut server = setup.start(&folder.path().join("data"));
    server.post(record("before"));
    server.flush();
    let renamed = folder.path().join("all.log.1");
    std::fs::rename(&path, &renamed).unwrap();
    server.post(record("between"));
    server.flush();
    server.signal(Signal::HUP);
    eventually("it has heard", || server.log_line("reopening log files"));
    server.post(record("after"));
    server.flush();
    assert_eq!(server.stop(), 0);
    let lines = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.split_once("key=").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&renamed), ["before", "between"]);
    assert_eq!(lines(&path), ["after"]);
}

#[test]
fn unix_sockets_are_replaced_and_removed() {
    let folder = TempDir::new().unwrap();
    let paths = ["stream.sock", "datagrams.sock", "http.sock"].map(|name| folder.path().join(name));
    let setup = Setup::new()
        .listen(format!("python=unix:{}", paths[0].display()))
        .listen(format!("python-udp=unix:{}", paths[1].display()))
        .listen(format!("http=unix:{}", paths[2].display()));
    let data = folder.path().join("data");
    let mut server = setup.start(&data);
    server.kill();
    assert!(paths.iter().all(|path| path.exists()), "a killed server leaves its sockets behind");
    let mut server = setup.start(&data);
    let program = "import logging.handlers, sys; \
        logging.getLogger().addHandler(logging.handlers.SocketHandler(sys.argv[1], None)); \
        logging.warning('over the new socket')";
    python(program, &[paths[0].to_str().unwrap()]);
    eventually("the record is stored", || {
        server.flush();
        (server.value("select count(*) from logs where message = 'over the new socket'") == 1).then_some(())
    });

    let mut second = setup.spawn(&folder.path().join("other"));
    assert_eq!(second.exit_code(), Some(1), "a socket in use is not taken away");
    assert!(paths[0].exists());
    assert_eq!(server.stop(), 0);
    assert!(paths.iter().all(|path| !path.exists()), "a stopped server removes its sockets");

    std::fs::write(&paths[0], "a file of someone").unwrap();
    let mut server = setup.spawn(&data);
    assert_eq!(server.exit_code(), Some(1));
    assert_eq!(std::fs::read_to_string(&paths[0]).unwrap(), "a file of someone");
}

#[test]
fn configuration_file_with_two_stores_is_used() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("logboom.toml");
    let text = r#"
flush_interval = "20ms"
[[store]]
url = "sqlite:FOLDER/elsewhere/records.db"
[[store]]
name = "readable"
url = "file:FOLDER/readable.log"
line_format = "%(levelname)s|%(message)s"
"#;
    std::fs::write(&config, text.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
    let setup = Setup::new().argument(format!("--config={}", config.display()));
    let mut server = setup.start(&folder.path().join("data"));
    server.post(record("one"));
    server.flush();
    let names: Vec<_> =
        server.status()["stores"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
    assert_eq!(names, ["sqlite", "readable"]);
    assert_eq!(server.value("select trace_id from logs"), "one");
    assert_eq!(server.stop(), 0);
    assert_eq!(std::fs::read_to_string(folder.path().join("readable.log")).unwrap(), "info|key=one\n");
    assert_eq!(audit::database(&folder.path().join("elsewhere/records.db")).starting_with("one"), 1);
    assert!(!folder.path().join("data/logboom.db").exists());
}

/// Continuously observes the threads and child processes of a server.
struct Census {
    is_over: Arc<AtomicBool>,
    looking: JoinHandle<Vec<String>>,
}

impl Census {
    fn of(server: &Server) -> Census {
        let process = format!("/proc/{}/task", server.child.id());
        let is_over = Arc::<AtomicBool>::default();
        let until = Arc::clone(&is_over);
        let looking = std::thread::spawn(move || {
            let mut strangers = Vec::new();
            while !until.load(Relaxed) && strangers.len() < 10 {
                let tasks = std::fs::read_dir(&process).into_iter().flatten().map_while(Result::ok);
                for task in tasks.map(|task| task.path()) {
                    let read = |file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
                    let is_main =
                        process.ends_with(&format!("/{}/task", task.file_name().unwrap().display()));
                    if !is_main {
                        strangers.push(format!("thread {:?}", read("comm")));
                    }
                    if !read("children").is_empty() {
                        strangers.push("a child process".into());
                    }
                }
            }
            strangers
        });
        Census { is_over, looking }
    }

    fn check(self) {
        self.is_over.store(true, Relaxed);
        assert_eq!(self.looking.join().unwrap(), [""; 0]);
    }
}

/// With `--threads=1` the server has one thread and no child process: before, under and after load,
/// while the stores ship and a query runs.
#[test]
fn threads_1_runs_one_thread_and_no_child() {
    let folder = TempDir::new().unwrap();
    let setup = Setup::new()
        .argument("--threads=1")
        .argument("--retention-age=1h")
        .argument(format!("--log-file={}", folder.path().join("all.log").display()));
    let mut server = setup.start(&folder.path().join("data"));
    let census = Census::of(&server);
    let ledger = Arc::new(Ledger::default());
    let clients = [1, 100].map(|batch| ledger.post_on(&server.address("http"), &format!("{batch}"), batch));
    let mut load = PythonLoad::start(5000);
    load.aim(&server.address("python"), "python");
    let mut tail = TcpStream::connect(server.address("http")).unwrap();
    write!(tail, "GET /api/v1/tail?last=10 HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    eventually("load", || (ledger.answers() >= 100).then_some(()));
    server.flush();
    everything_is_asked_for(&server);
    wait_for_key(&server, "python-4999");
    ledger.stop();
    clients.into_iter().for_each(|client| client.join().unwrap());
    server.flush();
    let backup = folder.path().join("backup");
    let output = std::process::Command::new(test_support::program())
        .args(["backup", "--data-dir"])
        .args([&folder.path().join("data"), &backup])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.signal(Signal::HUP);
    server.flush();
    census.check();
    assert_eq!(server.stop(), 0);
    audit::database(&folder.path().join("data/logboom.db")).check("the database", &ledger.acknowledged());
    audit::log_file(&folder.path().join("all.log")).check("the log file", &ledger.acknowledged());
}

/// Sends statements that end and that are stopped, searches, counts, exports, a deletion without
/// matches, and requests for figures.
fn everything_is_asked_for(server: &Server) {
    assert!(server.value("select count(*) from logs").is_u64());
    let endless = "with recursive c(n) as (select 1 union all select n + 1 from c) select count(*) from c";
    let body = serde_json::json!({"sql": endless}).to_string();
    assert_eq!(server.request("POST", "/api/v1/sql", &[], body.as_bytes()).status, 408);
    for place in [
        "records?q=nowhere",
        "records?format=csv",
        "records?format=ndjson&order=asc",
        "records/1/context",
        "histogram",
        "histogram?by=logger",
        "fields",
        "fields/service",
        "errors",
        "status",
    ] {
        assert_eq!(server.get(&format!("/api/v1/{place}")).status, 200, "{place}");
    }
    for place in ["/metrics", "/", "/openapi.json"] {
        assert_eq!(server.get(place).status, 200, "{place}");
    }
    let deletion = br#"{"query": "trace_id:none", "before": "2020-01-01"}"#;
    let json = [("content-type", "application/json")];
    let answer = server.request("POST", "/api/v1/delete", &json, deletion);
    assert!(matches!(answer.status, 200 | 403), "{}", answer.text());
}
