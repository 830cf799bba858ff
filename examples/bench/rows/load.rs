//! The load of 2017 (`examples/python/load_2017.py`): real processes with real handlers, into
//! logboom and into the design of 2017.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::Instant;

use test_support::postgres::{Database, Server as Postgres};

use super::ancestors::Ancestor;
use super::postgres::{self, cpu_seconds, settle};
use super::{Setup, lines_of, needs};
use crate::report::{Figures, Line};

const LOAD: &str = include_str!("../../python/load_2017.py");

/// Measures the load with its pauses: 8,000 records per second, for more than a minute each.
pub fn paused(setup: &Setup) -> Vec<Line> {
    measure(setup, &[])
}

/// Measures the load without pauses: as fast as the processes can send.
pub fn rush(setup: &Setup) -> Vec<Line> {
    measure(setup, &["--no-pause"])
}

fn measure(setup: &Setup, arguments: &[&str]) -> Vec<Line> {
    let postgres = Postgres::start(postgres::SETTINGS);
    let scale = if setup.is_quick { 8 } else { 1 };
    let run = Run::new(setup, &postgres, 1000 / scale, arguments);
    // One commit per record takes long, so this run has fewer records.
    let short = Run::new(setup, &postgres, 125 / scale, arguments);
    vec![
        run.ours("logboom, file", false),
        run.ours("logboom, file + PostgreSQL", true),
        run.ancestor("2017, file", None),
        short.ancestor("2017, + PostgreSQL, one by one", Some(1)),
        run.ancestor("2017, + PostgreSQL, 100", Some(100)),
        run.ancestor("2017, + PostgreSQL, 1,000", Some(1000)),
    ]
}

/// Number of records of each trace id.
type Counts = HashMap<String, u64>;

fn plan(arguments: &[String]) -> Counts {
    let output = load(&[arguments, &["--plan".to_owned()]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let task = |line: &str| {
        let (trace_id, calls) = line.split_once(' ').unwrap();
        (trace_id.to_owned(), calls.parse().unwrap())
    };
    text.lines().map(task).collect()
}

fn load(arguments: &[String]) -> Output {
    let output = Command::new("python3").args(["-c", LOAD]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

struct Run<'a> {
    setup: &'a Setup,
    postgres: &'a Postgres,
    arguments: Vec<String>,
    plan: Counts,
}

impl<'a> Run<'a> {
    fn new(setup: &'a Setup, postgres: &'a Postgres, tasks: u32, arguments: &[&str]) -> Run<'a> {
        let mut arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        arguments.push(format!("--tasks={tasks}"));
        Run { setup, postgres, plan: plan(&arguments), arguments }
    }

    fn records(&self) -> u64 {
        self.plan.values().sum()
    }

    fn send(&self, address: SocketAddr) {
        load(&[self.arguments.as_slice(), &[address.to_string()]].concat());
    }

    fn ours(&self, name: &str, has_database: bool) -> Line {
        let database = has_database.then(|| self.postgres.database());
        let mut arguments = vec!["--store=file:{data}/all.log".to_owned()];
        arguments.extend(database.iter().map(|database| format!("--store={}", database.url())));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let server = self.setup.server(0, &arguments);
        let (cpu, clock) = (server.cpu_seconds(), self.start());
        self.send(server.python);
        server.wait_until_durable(self.records());
        server.flush();
        let figures = self.end(clock, self.records(), database.is_some());
        server.check_accepted(self.records());
        assert_eq!(lines_of(&server.data_dir().join("all.log")), self.records(), "lines in the file");
        if let Some(database) = &database {
            assert!(
                counts(database) == self.plan,
                "the database has other numbers of records than were sent"
            );
        }
        Line::new(name, [figures, needs(&server, cpu, self.records())].into_iter().flatten().collect())
    }

    fn ancestor(&self, name: &str, batch: Option<u32>) -> Line {
        let database = batch.map(|batch| (batch, self.postgres.database()));
        let ancestor = Ancestor::start(self.setup, database);
        let clock = self.start();
        self.send(ancestor.address);
        let kept = ancestor.end();
        let figures = self.end(clock, kept.records, batch.is_some());
        Line::new(name, [figures, kept.figures].into_iter().flatten().collect())
    }

    /// Returns the current time, and PostgreSQL's processor time so far.
    fn start(&self) -> (Instant, f64) {
        settle(&self.postgres.database_named("postgres"));
        (Instant::now(), cpu_seconds(self.postgres))
    }

    /// Returns the rates until the records that were kept were stored.
    fn end(&self, (start, cpu): (Instant, f64), kept: u64, has_database: bool) -> Figures {
        let (seconds, kept) = (start.elapsed().as_secs_f64(), kept as f64);
        let mut figures = Figures::from([
            ("sent", self.records() as f64),
            ("stored", kept),
            ("records_per_second", kept / seconds),
        ]);
        if has_database {
            let cpu = cpu_seconds(self.postgres) - cpu;
            figures.insert("database_cpu_seconds_per_million", cpu / kept * 1e6);
        }
        figures
    }
}

fn counts(database: &Database) -> Counts {
    let rows = database.rows("SELECT trace_id, count(*) FROM logs GROUP BY trace_id");
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    rows.iter().map(|row| (text(&row[0]), text(&row[1]).parse().unwrap())).collect()
}
