//! The two designs that logboom descends from, measured beside it: small honest references of them, not the originals.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::growth::sent;
use super::{Setup, lines_of};
use crate::generator::{Load, Pace, Sent};
use crate::limits::LimitServer;
use crate::payloads::Payloads;
use crate::process::{Process, disk_bytes};
use crate::report::{Figures, Line, figures_of};

/// The design of 2017: Python, pickles over 200 connections, a file of lines, and a database.
pub fn design_2017(setup: &Setup) -> Vec<Line> {
    let payloads = Payloads::frames();
    let ancestor = |name: &str, arguments: &[&str], records: u64| {
        let records = setup.scaled(records);
        Line::new(name, python(setup, &payloads, arguments, records))
    };
    let ours = |name: &str, arguments: &[&str]| {
        let records = setup.scaled(2_000_000);
        Line::new(name, stored(sent(&setup.server(0, arguments), &payloads, CONNECTIONS, records)))
    };
    vec![
        ancestor("2017, file", &["file"], 400_000),
        ours("logboom, file", &["--store=file:{data}/all.log"]),
        ancestor("2017, + SQLite one by one", &["sqlite", "1"], 40_000),
        ancestor("2017, + SQLite, 100", &["sqlite", "100"], 200_000),
        ancestor("2017, + SQLite, 1,000", &["sqlite", "1000"], 200_000),
        ours("logboom, file + SQLite", &["--log-file={data}/all.log"]),
    ]
}

const CONNECTIONS: usize = 200;
const ANCESTOR: &str = include_str!("../ancestor.py");

/// Rates until all is stored, for those who compare stores.
fn stored(mut figures: Figures) -> Figures {
    if let Some(rate) = figures.get("stored_per_second").copied() {
        figures.insert("records_per_second", rate);
    }
    figures
}

fn python(setup: &Setup, payloads: &Payloads, arguments: &[&str], records: u64) -> Figures {
    let folder = tempfile::tempdir_in(&setup.folder).unwrap();
    let path = folder.path().join("ancestor");
    let mut command = Command::new("python3");
    command.args(["-c", ANCESTOR]).args(arguments).arg(&path).arg(records.to_string());
    let mut process = Process(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address: SocketAddr = line.trim().parse().unwrap();
    let load = Load { address, connections: CONNECTIONS, payloads, records, pace: Pace::Closed };
    let mut sent = load.run().unwrap();
    assert!(process.0.wait().unwrap().success());
    sent.seconds = sent.start.elapsed().as_secs_f64();
    assert_eq!(lines_of(&path.with_extension("log")), records, "lines in the file");
    if arguments[0] == "sqlite" {
        assert_eq!(count(&path.with_extension("db"), "logs"), records, "rows");
    }
    let mut figures = figures_of(&sent, records);
    figures.insert("disk_bytes_per_record", disk_bytes(folder.path()) / records as f64);
    figures
}

/// The design of 2025: events by HTTP, acknowledged from memory, 1,000 or one second a transaction.
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
    assert_eq!(count(&database, "events"), records, "rows");
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

fn count(database: &Path, table: &str) -> u64 {
    ask(database, &format!("SELECT count(*) FROM {table}"))
}

fn ask(database: &Path, sql: &str) -> u64 {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64
}
