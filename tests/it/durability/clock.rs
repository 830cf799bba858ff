//! Property: clocks that step by years, forward and back, under a working server, lose no record
//! and delete none.
//!
//! Only the server has such a clock: libfaketime replaces the system's clock and takes the time
//! from a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use test_support::audit::{self, Trail};
use test_support::load::{Ledger, PythonLoad, record};
use test_support::postgres::Server as Postgres;
use test_support::{Server, Setup, eventually, python};

/// A clock that is ahead of the system's by this many days.
struct FalseClock(PathBuf);

impl FalseClock {
    fn new(folder: &Path) -> FalseClock {
        let clock = FalseClock(folder.join("clock"));
        clock.set(0);
        clock
    }

    fn set(&self, days: i64) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("{days:+}d\n")).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }

    fn given_to(&self, setup: Setup) -> Setup {
        setup
            .environment("LD_PRELOAD", library().display().to_string())
            .environment("FAKETIME_TIMESTAMP_FILE", self.0.display().to_string())
            .environment("FAKETIME_NO_CACHE", "1")
            .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }
}

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.find(|path| path.exists()).expect("this test takes libfaketime: apt-get install faketime")
}

/// Returns the first and last year of the records of one load, by the time at which the server
/// received them.
fn years(server: &Server, key: &str) -> (i64, i64) {
    let sql = format!(
        "select min(cast(time as integer)), max(cast(time as integer)) from logs where trace_id like '{key}-%'"
    );
    let row = server.sql(&sql).remove(0);
    (row[0].as_i64().unwrap(), row[1].as_i64().unwrap())
}

/// Posts until this many more records are acknowledged, beside what Python sends.
fn load(server: &Server, ledger: &Arc<Ledger>, python: &mut PythonLoad, name: &str, answers: u64) {
    python.aim(&server.address("python"), &format!("python-{name}"));
    let (wanted, before) = (ledger.answers() + answers, server.source("python")["accepted"].as_u64());
    let connections = [(1, "one"), (50, "many")]
        .map(|(batch, size)| ledger.post_on(&server.address("http"), &format!("{name}-{size}"), batch));
    eventually("answers come", || (ledger.answers() >= wanted).then_some(()));
    eventually("Python comes", || (server.source("python")["accepted"].as_u64() > before).then_some(()));
    ledger.stop();
    connections.into_iter().for_each(|client| client.join().unwrap());
    ledger.go_on();
}

#[test]
fn clock_steps_of_years_lose_and_delete_nothing() {
    let folder = TempDir::new().unwrap();
    let (data, log_file) = (folder.path().join("data"), folder.path().join("out/all.log"));
    let clock = FalseClock::new(folder.path());
    let setup = clock.given_to(
        Setup::new()
            .argument("--retention-age=30d")
            .argument("--rotate-daily")
            .argument("--frame-seconds-max=5")
            .argument(format!("--log-file={}", log_file.display())),
    );
    let mut server = setup.start(&data);
    let ledger = Arc::new(Ledger::default());
    let mut python = PythonLoad::start(3000);
    load(&server, &ledger, &mut python, "today", 300);
    server.flush();
    let (today, _) = years(&server, "today-many");

    // The steps occur under load: a client that posts throughout must not notice them.
    let steady = Arc::new(Ledger::default());
    let through = steady.post_on(&server.address("http"), "through", 1);
    for (name, days) in [("ahead", 3650), ("behind", -3650), ("right", 0)] {
        clock.set(days);
        load(&server, &ledger, &mut python, name, 200);
        server.flush();
        let (first, last) = years(&server, &format!("{name}-many"));
        let year = today + days / 365;
        assert!(
            (year - 1..=year + 1).contains(&first) && (first..=year + 1).contains(&last),
            "{first} {last}"
        );
        if days > 0 {
            eventually("retention waits", || server.log_line("retention waits"));
        }
        eventually("it is well", || (server.get("/readyz").status == 200).then_some(()));
    }
    assert!(!through.is_finished());
    steady.stop();
    through.join().unwrap();
    assert_eq!(server.stop(), 0);
    // A restart under a wrong clock, after records were received under it, deletes nothing either.
    clock.set(3650);
    let mut server = setup.start(&data);
    assert_eq!(server.post(record("restarted")).status, 200);
    eventually("retention waits", || server.log_line("retention waits"));
    server.flush();
    assert_eq!(server.stop(), 0);
    assert!(!server.log().contains("panicked"), "{}", server.log());

    let mut keys = [ledger.acknowledged(), steady.acknowledged()].concat();
    keys.push("restarted".into());
    let database = audit::database(&data.join("logboom.db"));
    database.check("the database", &keys);
    assert!(database.starting_with("python-") > 0);
    let mut trail = Trail::default();
    trail.follow_database(&data.join("logboom.db"));
    let lines: usize = std::fs::read_dir(log_file.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_str().unwrap().ends_with(".position"))
        .map(|path| std::fs::read_to_string(path).unwrap().lines().count())
        .sum();
    assert_eq!(lines, trail.count(), "every record is in one of the log files");
}

/// Tests times before 1970, and after the last year of an `i64` of ns and of the header `Date`.
#[test]
fn clock_out_of_range_breaks_nothing() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let clock = FalseClock::new(folder.path());
    // TLS uses the clock, too.
    let postgres = Postgres::start_with_tls(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres"));
    let database = postgres.database();
    let setup = clock.given_to(
        Setup::new()
            .argument("--retention-age=30d")
            .argument("--rotate-daily")
            .argument("--store=sqlite")
            .argument(format!(
                "--store=postgres://postgres@127.0.0.1:{}/{}?sslmode=require",
                postgres.port(),
                database.name
            ))
            .argument(format!("--log-file={}", folder.path().join("out/all.log").display())),
    );
    let days_of = |year: i64| (year - 2026) * 365;
    let mut server = setup.start(&data);
    let mut keys = Vec::new();
    for (year, date) in
        [(2026, "20"), (1950, "1970"), (1600, "1970"), (2300, "2300"), (12_000, "9999"), (2026, "20")]
    {
        clock.set(days_of(year));
        for restarted in [false, true] {
            if restarted {
                server = setup.start(&data);
            }
            let key = format!("{year}-{restarted}-{}", keys.len());
            let answer = server.post(record(&key));
            assert_eq!(answer.status, 200, "{year}: {}", answer.text());
            let header = answer.head.lines().find(|line| line.starts_with("date: ")).unwrap();
            assert!(header.ends_with(" gmt"), "{year}: {header}");
            // Each thread keeps the header until the clock is past it.
            assert!(!restarted || header.contains(date), "{year}: {header}");
            python(SEND, &[&server.address("python"), &format!("python-{key}")]);
            server.wait_for_accepted("python", 1);
            keys.extend([format!("python-{key}"), key]);
            server.flush();
            for path in [
                "/api/v1/records?limit=2",
                "/api/v1/records?since=1h",
                "/api/v1/histogram",
                "/api/v1/histogram?since=1000d",
                "/api/v1/fields",
                "/api/v1/errors",
                "/api/v1/status",
                "/metrics",
            ] {
                let answer = server.get(path);
                assert_eq!(answer.status, 200, "{year} {path}: {}", answer.text());
            }
            assert_eq!(server.get("/readyz").status, 200);
            assert_eq!(server.stop(), 0);
            let log = server.log();
            assert!(!log.contains("panicked") && !log.contains("\"ERROR\""), "{year}: {log}");
        }
        server = setup.start(&data);
    }
    assert_eq!(server.stop(), 0);
    audit::database(&data.join("logboom.db")).check("the database", &keys);
    assert_eq!(database.value("SELECT count(DISTINCT trace_id) FROM logs"), keys.len().to_string());
}

const SEND: &str = r#"
import logging.handlers, sys
host, port = sys.argv[1].rsplit(":", 1)
handler = logging.handlers.SocketHandler(host, int(port))
logging.getLogger().addHandler(handler)
logging.warning("in whichever year", extra={"trace_id": sys.argv[2]})
handler.close()
"#;
