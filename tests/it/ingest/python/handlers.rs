//! Property: records of standard Python handlers are stored completely, over every transport.

use tempfile::TempDir;
use test_support::{Server, Setup, eventually, python};

/// The script of the README, which a new user runs first.
const TEN_LINES: &str = r#"
import logging, logging.handlers, sys
host, port = sys.argv[1].rsplit(":", 1)
handler = logging.handlers.SocketHandler(host, int(port))
log = logging.getLogger("app.views")
log.addHandler(handler)
log.setLevel(logging.DEBUG)
for n in range(10):
    log.info("hello %d", n, extra={"trace_id": n})
handler.close()
"#;

#[test]
fn records_of_standard_handler_are_stored_and_found() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    python(TEN_LINES, &[&server.address("python")]);
    server.wait_for_accepted("python", 10);
    server.flush();
    assert_eq!(server.value("select count(*) = max(id) - min(id) + 1 from logs"), 1);
    let output = server.cli(&["query", "trace_id:7", "--format", "json"]);
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["message"], "hello 7");
    assert_eq!(record["logger"], "app.views");
    assert_eq!(record["severity"], "INFO");
}

/// 200 processes at the same time, each with its own records and a few exceptions.
const MANY_PROCESSES: &str = r#"
import logging, logging.handlers, os, sys
host, port = sys.argv[1].rsplit(":", 1)
processes, records = int(sys.argv[2]), int(sys.argv[3])
children = []
for number in range(processes):
    pid = os.fork()
    if pid == 0:
        handler = logging.handlers.SocketHandler(host, int(port))
        log = logging.getLogger("worker.%d" % number)
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
        for n in range(records - 3):
            log.debug("task %d of %d", n, number, extra={"trace_id": number})
        for n in range(3):
            try:
                raise ValueError("failure %d" % n)
            except ValueError:
                log.exception("it failed", extra={"trace_id": number})
        handler.close()
        os._exit(0)
    children.append(pid)
for pid in children:
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit(1)
"#;

#[test]
fn two_hundred_processes_lose_nothing() {
    let folder = TempDir::new().unwrap();
    let log_file = folder.path().join("out").join("team.log");
    let setup = Setup::new().argument("--log-file").argument(log_file.to_str().unwrap());
    let server = setup.start(&folder.path().join("data"));
    python(MANY_PROCESSES, &[&server.address("python"), "200", "300"]);
    server.wait_for_accepted("python", 60_000);
    server.flush();

    assert_eq!(server.value("select count(*) from logs"), 60_000);
    assert_eq!(server.value("select count(*) = max(id) - min(id) + 1 from logs"), 1);
    let complete = "select count(*) from (select trace_id from logs group by 1 having count(*) = 300)";
    assert_eq!(server.value(complete), 200);
    assert_eq!(server.value("select count(distinct process_id) from logs"), 200);
    let found = server.cli(&["query", "trace_id:17", "--format", "json", "--limit", "1000"]);
    assert_eq!(String::from_utf8_lossy(&found.stdout).lines().count(), 300);
    let exceptions = "select count(*) from logs where attributes ->> '$.\"exception.type\"' = 'ValueError'";
    assert_eq!(server.value(exceptions), 600);

    let text = std::fs::read_to_string(&log_file).unwrap();
    // `17` is at the end of the line: the line of task 170 must not match.
    let line = text.lines().find(|line| line.ends_with(" task 296 of 17")).unwrap();
    assert!(line.starts_with("D 20") && line.contains(" worker.17: "), "{line}");
    let records = text.lines().filter(|line| line.starts_with("D 20") || line.starts_with("E 20"));
    assert_eq!(records.count(), 60_000);
    assert_eq!(text.lines().filter(|line| *line == "ValueError: failure 2").count(), 200);
}

#[test]
fn datagrams_and_unix_sockets_are_received() {
    let folder = TempDir::new().unwrap();
    let (stream, datagrams) = (folder.path().join("stream.sock"), folder.path().join("datagrams.sock"));
    let server = Setup::new()
        .listen(format!("python=unix:{},service=billing,env=test", stream.display()))
        .listen(format!("python-udp=unix:{}", datagrams.display()))
        .start(&folder.path().join("data"));
    let program = r#"
import logging, logging.handlers, sys
host, port = sys.argv[1].rsplit(":", 1)
for name, handler in [
    ("udp", logging.handlers.DatagramHandler(host, int(port))),
    ("stream", logging.handlers.SocketHandler(sys.argv[2], None)),
    ("datagrams", logging.handlers.DatagramHandler(sys.argv[3], None)),
]:
    log = logging.getLogger(name)
    log.addHandler(handler)
    for n in range(5):
        log.warning("over %s", name)
    handler.close()
"#;
    let paths = [stream.to_str().unwrap(), datagrams.to_str().unwrap()];
    python(program, &[&server.address("python-udp"), paths[0], paths[1]]);
    eventually("all records are stored", || {
        server.flush();
        (server.value("select count(*) from logs") == 15).then_some(())
    });
    for (name, service) in [("udp", None), ("stream", Some("billing")), ("datagrams", None)] {
        let sql = format!(
            "select count(*), max(service), max(attributes ->> 'env') from logs where message = 'over {name}'"
        );
        let env = service.map(|_| "test");
        assert_eq!(server.sql(&sql), [serde_json::json!([5, service, env])], "{name}");
    }
}
