//! The two designs that logboom descends from, measured beside it: small honest references of these
//! designs, not the originals.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;
use test_support::postgres::{Database, Server as Postgres};

use super::growth::sent;
use super::{Setup, lines_of, postgres};
use crate::generator::{Load, Pace, Sent};
use crate::limits::LimitServer;
use crate::payloads::Payloads;
use crate::process::{Process, disk_bytes};
use crate::report::{Figures, Line, figures_of};

/// Measures the design of 2017: Python, pickles over 200 connections, a file of lines, and
/// PostgreSQL.
pub fn design_2017(setup: &Setup) -> Vec<Line> {
    let payloads = Payloads::frames();
    let postgres = Postgres::start(postgres::SETTINGS);
    let ancestor = |name: &str, batch: Option<u32>, records: u64| {
        let records = setup.scaled(records);
        let ancestor = Ancestor::start(setup, batch.map(|batch| (batch, postgres.database())));
        let load = Load {
            address: ancestor.address,
            connections: CONNECTIONS,
            payloads: &payloads,
            records,
            pace: Pace::Closed,
        };
        let mut sent = load.run().unwrap();
        let kept = ancestor.end();
        assert_eq!(kept.records, records);
        sent.seconds = sent.start.elapsed().as_secs_f64();
        Line::new(name, [figures_of(&sent, records), kept.figures].into_iter().flatten().collect())
    };
    let ours = |name: &str, arguments: &[&str]| {
        let records = setup.scaled(1_000_000);
        Line::new(name, stored(sent(&setup.server(0, arguments), &payloads, CONNECTIONS, records)))
    };
    let store = format!("--store={}", postgres.database().url());
    vec![
        ancestor("2017, file", None, 400_000),
        ours("logboom, file", &["--store=file:{data}/all.log"]),
        ancestor("2017, + PostgreSQL, one by one", Some(1), 40_000),
        ancestor("2017, + PostgreSQL, 100", Some(100), 200_000),
        ancestor("2017, + PostgreSQL, 1,000", Some(1000), 200_000),
        ours("logboom, file + PostgreSQL", &["--log-file={data}/all.log", &store]),
    ]
}

const CONNECTIONS: usize = 200;
const ANCESTOR: &str = include_str!("../ancestor.py");

/// Uses the rate until everything is stored as the rate, for comparisons of stores.
fn stored(mut figures: Figures) -> Figures {
    if let Some(rate) = figures.get("stored_per_second").copied() {
        figures.insert("records_per_second", rate);
    }
    figures
}

/// A running server of 2017.
pub struct Ancestor {
    /// The address on which it listens.
    pub address: SocketAddr,
    process: Process,
    database: Option<Database>,
    folder: TempDir,
}

/// What the server has stored in the end. It acknowledges nothing, so fast senders may have dropped
/// some records.
pub struct Kept {
    /// Number of lines of the file, and of rows of the database.
    pub records: u64,
    /// The resources that these records took.
    pub figures: Figures,
}

impl Ancestor {
    /// Starts a server with a file, and optionally with a database that gets this many rows at
    /// once.
    pub fn start(setup: &Setup, database: Option<(u32, Database)>) -> Ancestor {
        let folder = tempfile::tempdir_in(&setup.folder).unwrap();
        let mut command = Command::new(if database.is_some() { psycopg(setup) } else { "python3".into() });
        command.args(["-c", ANCESTOR]);
        match &database {
            None => command.arg("file"),
            Some((batch, database)) => {
                command.args(["postgres", batch.to_string().as_str(), database.url().as_str()])
            }
        };
        command.arg(folder.path().join("ancestor")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        Ancestor { address, process, database: database.map(|(_, database)| database), folder }
    }

    /// Waits until everything that was sent is stored, and counts it.
    pub fn end(mut self) -> Kept {
        drop(self.process.0.stdin.take()); // signals the end to the server
        let cpu_seconds = self.process.cpu_seconds_at_end();
        assert!(self.process.0.wait().unwrap().success());
        let records = lines_of(&self.folder.path().join("ancestor.log"));
        if let Some(database) = &self.database {
            assert_eq!(database.value("SELECT count(*) FROM logs"), records.to_string(), "rows");
        }
        let figures = Figures::from([
            ("cpu_seconds_per_million", cpu_seconds / records as f64 * 1e6),
            ("disk_bytes_per_record", disk_bytes(self.folder.path()) / records as f64),
        ]);
        Kept { records, figures }
    }
}

/// Returns a Python that has psycopg2: that of the machine, or else one in a virtual environment
/// below the benchmark's folder.
fn psycopg(setup: &Setup) -> PathBuf {
    let own = setup.folder.join("psycopg2");
    let run = |program: &Path, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let has_psycopg = |program: &Path| run(program, &["-c", "import psycopg2"]);
    let (machine, environment) = (PathBuf::from("python3"), own.join("bin/python"));
    if has_psycopg(&machine) {
        return machine;
    }
    if !has_psycopg(&environment) {
        let is_made = run(&machine, &["-m", "venv", own.to_str().unwrap()])
            && run(&environment, &["-m", "pip", "install", "--quiet", "psycopg2-binary"]);
        assert!(
            is_made && has_psycopg(&environment),
            "the design of 2017 needs psycopg2 for Python: install python3-psycopg2 (Debian), or python3-venv so that `pip install \
             psycopg2-binary` works here"
        );
    }
    environment
}

/// Measures the design of 2025: events by HTTP, acknowledged from memory, with 1,000 events or one
/// second per transaction.
pub fn design_2025(setup: &Setup) -> Vec<Line> {
    let (single, thousand) = (Payloads::requests(1), Payloads::requests(1000));
    let ancestor = |name: &str, kind: &str, payloads: &Payloads, connections: usize, records: u64| {
        Line::new(name, events(setup, kind, payloads, connections, setup.scaled(records)))
    };
    let ours = |name: &str, payloads: &Payloads, connections: usize, records: u64| {
        Line::new(name, sent(&setup.server(0, &[]), payloads, connections, setup.scaled(records)))
    };
    vec![
        ancestor("2025, single, commit each", "each", &single, 50, 40_000),
        ancestor("2025, single, buffered", "buffered", &single, 50, 200_000),
        ours("logboom, single", &single, 50, 200_000),
        ancestor("2025, 1,000 a POST", "buffered", &thousand, 4, 1_000_000),
        ours("logboom, 1,000 a POST", &thousand, 4, 2_000_000),
    ]
}

fn events(setup: &Setup, kind: &str, payloads: &Payloads, connections: usize, records: u64) -> Figures {
    let folder = tempfile::tempdir_in(&setup.folder).unwrap();
    let database = folder.path().join("events.db");
    let server = LimitServer::start(&["events", kind, database.to_str().unwrap()]);
    let load = Load { address: server.address, connections, payloads, records, pace: Pace::Closed };
    let sent: Sent = load.run().unwrap();
    assert_eq!(sent.accepted, records);
    let deadline = Instant::now() + Duration::from_secs(120);
    while last_id(&database) < records {
        assert!(Instant::now() < deadline, "the events are not stored");
        std::thread::sleep(Duration::from_millis(5));
    }
    let seconds = sent.start.elapsed().as_secs_f64();
    assert_eq!(ask(&database, "SELECT count(*) FROM events"), records, "rows");
    let mut figures = figures_of(&sent, records);
    figures.extend([
        ("stored_per_second", records as f64 / seconds),
        ("cpu_seconds_per_million", server.process.cpu_seconds() / records as f64 * 1e6),
        ("peak_megabytes", server.process.peak_bytes() / 1e6),
        ("disk_bytes_per_record", disk_bytes(folder.path()) / records as f64),
    ]);
    figures
}

fn last_id(database: &Path) -> u64 {
    ask(database, "SELECT coalesce(max(id), 0) FROM events")
}

fn ask(database: &Path, sql: &str) -> u64 {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64
}
