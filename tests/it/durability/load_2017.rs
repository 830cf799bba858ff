//! Property: under the load that the first predecessor was built for
//! (`examples/python/load_2017.py`), a log file and PostgreSQL both contain what was sent, by trace
//! id, whatever happens to PostgreSQL in the meantime, and also when logboom itself is killed.
//!
//! `LOAD_2017=full` runs the whole load: 200 processes, 550,000 records.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;
use test_support::postgres::{Database, Server as Postgres};
use test_support::{Server, Setup, eventually};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/load_2017.py");
const SMALL: &[&str] = &["--processes=20", "--tasks=40", "--calls", "50", "150"];

fn size() -> &'static [&'static str] {
    if std::env::var("LOAD_2017").is_ok_and(|size| size == "full") { &[] } else { SMALL }
}

/// Returns how many records each trace id gets.
fn plan() -> HashMap<String, u64> {
    let output = Command::new("python3").arg(SCRIPT).arg("--plan").args(size()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let task = |line: &str| {
        let (trace_id, calls) = line.split_once(' ').unwrap();
        (trace_id.to_owned(), calls.parse().unwrap())
    };
    String::from_utf8(output.stdout).unwrap().lines().map(task).collect()
}

/// The sending processes.
struct Load(Child);

impl Load {
    fn start(address: &str, arguments: &[&str]) -> Load {
        let mut command = Command::new("python3");
        Load(command.arg(SCRIPT).arg(address).args(size()).args(arguments).spawn().unwrap())
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn end(mut self) {
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A record as the stores contain it.
#[derive(Debug, PartialEq)]
struct Row {
    id: u64,
    trace_id: String,
    /// The number of the record among the calls of its task, from 0 on.
    number: u64,
}

impl Row {
    fn new(id: &str, trace_id: &str, message: &str) -> Row {
        let number = message.split(' ').nth(1).unwrap().parse().unwrap();
        Row { id: id.parse().unwrap(), trace_id: trace_id.into(), number }
    }
}

/// The data folder of logboom and its two stores.
struct Stores {
    folder: TempDir,
    database: Database,
}

impl Stores {
    fn new(postgres: &Postgres) -> Stores {
        Stores { folder: TempDir::new().unwrap(), database: postgres.database() }
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("all.log")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("python.sock")
    }

    fn start(&self) -> Server {
        let configuration = format!(
            "[[store]]\nurl = 'file:{}'\nline_format = '%(id)s %(trace_id)s %(message)s'\n\n[[store]]\nurl = '{}'\n",
            self.log_file().display(),
            self.database.url()
        );
        let path = self.folder.path().join("logboom.toml");
        std::fs::write(&path, configuration).unwrap();
        let setup = Setup::new()
            .argument(format!("--config={}", path.display()))
            .argument("--spool-segment-bytes=4MiB")
            .listen(format!("python=unix:{}", self.socket().display()));
        setup.start(&self.folder.path().join("data"))
    }

    /// Returns the rows of both stores, which must be the same: all ids from 1 up to the last
    /// accepted one.
    fn rows(&self, accepted: u64) -> Vec<Row> {
        let rows = self.database.rows("SELECT id, trace_id, message FROM logs ORDER BY id");
        let text = |value: &Option<String>| value.clone().unwrap();
        let rows: Vec<Row> =
            rows.iter().map(|row| Row::new(&text(&row[0]), &text(&row[1]), &text(&row[2]))).collect();
        assert!(
            rows.iter().map(|row| row.id).eq(1..=accepted),
            "PostgreSQL has other ids than were accepted"
        );
        let lines = lines(&self.log_file());
        let difference = rows.iter().zip(&lines).find(|(row, line)| row != line);
        assert_eq!((difference, lines.len()), (None, rows.len()), "file and PostgreSQL differ");
        rows
    }
}

fn lines(path: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let [id, trace_id, message] = [(); 3].map(|()| parts.next().unwrap());
        Row::new(id, trace_id, message)
    };
    text.lines().map(row).collect()
}

/// Checks that each trace id has as many records as were sent.
fn check_all(stores: &Stores, plan: &HashMap<String, u64>) {
    let counts = stores.database.rows("SELECT trace_id, count(*) FROM logs GROUP BY trace_id");
    let text = |value: &Option<String>| value.clone().unwrap();
    let counts: HashMap<_, _> =
        counts.iter().map(|row| (text(&row[0]), text(&row[1]).parse::<u64>().unwrap())).collect();
    assert!(counts == *plan, "PostgreSQL has other numbers of records than were sent");
    let rows = stores.rows(plan.values().sum());
    let mut next: HashMap<&str, u64> = HashMap::new();
    for row in &rows {
        let expected = next.entry(&row.trace_id).or_default();
        assert_eq!(row.number, *expected, "{row:?}");
        *expected += 1;
    }
}

/// Checks that every record was sent, and is stored once.
fn check_none_twice(rows: &[Row], plan: &HashMap<String, u64>) {
    let mut known = HashSet::new();
    for row in rows {
        assert!(row.number < plan[&row.trace_id], "{row:?} was not sent");
        assert!(known.insert((&row.trace_id, row.number)), "{row:?} is there twice");
    }
}

fn durable(server: &Server) -> u64 {
    server.status()["spool"]["durable_id"].as_u64().unwrap() - 1
}

fn wait_for_durable(server: &Server, records: u64) {
    eventually("records come", || (durable(server) >= records).then_some(()));
}

#[test]
fn load_without_pauses_is_stored_by_trace_id() {
    let plan = plan();
    let stores = Stores::new(Postgres::shared());
    let mut server = stores.start();
    Load::start(&server.address("python"), &["--no-pause"]).end();
    server.wait_for_accepted("python", plan.values().sum());
    server.flush();
    assert_eq!(server.stop(), 0);
    check_all(&stores, &plan);
}

#[test]
fn postgresql_stops_lose_and_double_nothing() {
    let plan = plan();
    let records: u64 = plan.values().sum();
    let mut postgres = Postgres::start(&[]);
    let stores = Stores::new(&postgres);
    let mut server = stores.start();
    let load = Load::start(&server.address("python"), &[]);
    for stop in [1, 3, 5] {
        wait_for_durable(&server, stop * records / 8);
        postgres.stop();
        wait_for_durable(&server, (stop + 1) * records / 8);
        postgres.restart();
    }
    load.end();
    server.wait_for_accepted("python", records);
    server.flush();
    assert_eq!(server.stop(), 0);
    check_all(&stores, &plan);
}

/// Clients receive no acknowledgements, so records in flight to a killed logboom are lost, and so
/// are records that clients log before they connect again. Durable records are not lost: both
/// stores contain all of them, exactly once.
fn kills_of_logboom(stops: usize) -> String {
    let mut postgres = Postgres::start(&[]);
    let plan = plan();
    let records: u64 = plan.values().sum();
    let stores = Stores::new(&postgres);
    let mut server = stores.start();
    let mut load = Load::start(&format!("unix:{}", stores.socket().display()), &[]);
    for round in 0..3 {
        if round < stops {
            postgres.stop();
        }
        let wanted = durable(&server) + records / 10;
        // While the server is down, clients continue without it: after a long downtime fewer
        // records remain to be sent.
        eventually("records come", || (durable(&server) >= wanted || load.has_ended()).then_some(()));
        if round < 2 {
            let known = durable(&server);
            server.kill();
            server = stores.start();
            assert!(durable(&server) >= known, "it was durable");
        }
        if round < stops {
            postgres.restart();
        }
    }
    load.end();
    assert_eq!(server.stop(), 0, "it reads what has arrived, and ships it");
    let mut server = stores.start();
    server.flush();
    let rows = stores.rows(durable(&server));
    assert_eq!(server.stop(), 0);
    check_none_twice(&rows, &plan);
    format!("{} of {records} records arrived", rows.len())
}

#[test]
fn kills_lose_no_durable_record() {
    println!("{}", kills_of_logboom(0));
}

#[test]
fn kills_with_postgresql_stops_lose_no_durable_record() {
    println!("{}", kills_of_logboom(3));
}
