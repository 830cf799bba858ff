//! Property: `kill -9` of either side at random moments, repeatedly, loses no acknowledged record
//! and stores none twice. It hits logboom, the first process of the server, or the one process that
//! serves logboom; while they work, while they start, and while the other side is down.
//!
//! `POSTGRES_ROUNDS` is the number of rounds. `POSTGRES_SEED` repeats a run, as far as the timing
//! of the machine allows.

#![allow(clippy::print_stdout, reason = "the figures are what a long run is made for")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use test_support::load::{Ledger, PythonLoad};
use test_support::postgres::{Database, Server as Postgres};
use test_support::random::{Random, variable};
use test_support::{Server, Setup, eventually};

use super::{check, setup};

const ROUNDS: u64 = 6;
/// The maximum number of records that a Python process sends in one round.
const PYTHON_RECORDS_MAX: u64 = 2000;
/// The maximum number of answers before a kill: some hundred milliseconds of work.
const ANSWERS_MAX: u64 = 200;
/// The maximum time between the last answer and a kill: a COPY takes some milliseconds.
const AFTER_MICROSECONDS_MAX: u64 = 5000;
/// Either side takes about this long to start.
const START_MICROSECONDS: u64 = 60_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    /// The process that serves logboom is killed; the server detects it, ends all other processes
    /// and recovers.
    Backend,
    /// The process that serves logboom is killed when it has received rows, but not the end of the
    /// COPY.
    BackendInCopy,
    /// The connection is ended normally, a few times in a row.
    Connection,
    /// The first process of the server is killed.
    Postmaster,
    /// The first process of the server is killed, and killed again while the server recovers.
    PostmasterWhileStarting,
    /// The server is stopped normally.
    Stop,
    /// logboom is killed while the server is down.
    BothAtOnce,
}

impl Blow {
    const ALL: [Blow; 7] = [
        Blow::Backend,
        Blow::BackendInCopy,
        Blow::Connection,
        Blow::Postmaster,
        Blow::PostmasterWhileStarting,
        Blow::Stop,
        Blow::BothAtOnce,
    ];
}

/// logboom while clients send to it.
struct Running {
    server: Server,
    clients: Vec<JoinHandle<()>>,
}

struct Kills {
    random: Random,
    folder: TempDir,
    postgres: Postgres,
    database: Database,
    setup: Setup,
    ledger: Arc<Ledger>,
    python: PythonLoad,
    starts: u64,
    kills: BTreeMap<String, u64>,
}

impl Kills {
    fn begin() -> Kills {
        let postgres = Postgres::start(&[]);
        let database = postgres.database();
        Kills {
            random: Random::from_seed("POSTGRES_SEED"),
            folder: TempDir::new().unwrap(),
            setup: setup(&database.url()),
            database,
            postgres,
            ledger: Arc::default(),
            python: PythonLoad::start(PYTHON_RECORDS_MAX),
            starts: 0,
            kills: BTreeMap::new(),
        }
    }

    fn round(&mut self) {
        for _ in 0..self.random.of(&[0, 0, 1, 2]) {
            self.kill_while_starting();
        }
        let mut running = self.start();
        for _ in 0..self.random.of(&[1, 2, 3]) {
            self.work();
            let blow = self.random.of(&Blow::ALL);
            running = self.strike(blow, running);
        }
        self.work();
        self.kill(running);
        if self.random.below(3) == 0 {
            let mut server = self.setup.start(self.folder.path());
            server.flush();
            assert_eq!(server.status()["stores"][0]["missing"], 0);
            check(&self.database, &self.ledger.acknowledged());
            server.kill();
        }
    }

    fn start(&mut self) -> Running {
        self.starts += 1;
        let mut server = self.setup.start(self.folder.path());
        if self.random.below(3) == 0 {
            server.block_log();
            *self.kills.entry("(log blocked)".into()).or_default() += 1;
        }
        let name = self.starts;
        let clients = [(1, 0), (50, 0), (50, 1000)].map(|(batch, padding)| {
            let name = format!("http-{name}-{batch}-{padding}");
            self.ledger.post_padded_on(&server.address("http"), &name, batch, padding)
        });
        self.python.aim(&server.address("python"), &format!("python-{name}"));
        Running { server, clients: clients.into() }
    }

    fn kill(&mut self, running: Running) {
        let Running { mut server, clients } = running;
        let store = server.status()["stores"][0].clone();
        server.kill();
        clients.into_iter().for_each(|client| client.join().unwrap());
        assert_eq!((&store["missing"], &store["dead_letters"]), (&0.into(), &0.into()), "{store}");
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }

    fn kill_while_starting(&mut self) {
        let mut server = self.setup.spawn(self.folder.path());
        self.wait_microseconds(START_MICROSECONDS);
        server.kill();
        assert!(!server.log().contains("panicked"), "{}", server.log());
        *self.kills.entry("logboom while starting".into()).or_default() += 1;
    }

    fn strike(&mut self, blow: Blow, mut running: Running) -> Running {
        let mut kind = format!("{blow:?}");
        match blow {
            Blow::Backend => {
                self.kill_process("SELECT pid FROM pg_stat_activity WHERE application_name = 'logboom'");
            }
            Blow::BackendInCopy if self.wait_for_copy() => {
                self.kill_process("SELECT pid FROM pg_stat_progress_copy");
            }
            Blow::BackendInCopy => kind.push_str(" (missed)"),
            Blow::Connection => {
                for _ in 0..self.random.of(&[1, 3, 5]) {
                    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'logboom'";
                    self.ask(end);
                    self.work();
                }
            }
            Blow::Postmaster => {
                self.postgres.kill();
                self.work();
                self.postgres.restart();
            }
            Blow::PostmasterWhileStarting => {
                self.postgres.kill();
                for _ in 0..self.random.of(&[1, 2, 3]) {
                    self.postgres.begin_restart();
                    self.wait_microseconds(START_MICROSECONDS);
                    self.postgres.kill();
                }
                self.postgres.restart();
            }
            Blow::Stop => {
                // A stop while PostgreSQL 15 recovers from a crash may make it hang forever.
                self.postgres.wait();
                self.postgres.stop();
                self.work();
                self.postgres.restart();
            }
            Blow::BothAtOnce => {
                self.postgres.kill();
                self.work();
                self.kill(running);
                running = self.start();
                self.work();
                self.postgres.restart();
            }
        }
        *self.kills.entry(kind).or_default() += 1;
        running
    }

    /// Waits for a random number of answers, and then for a short random time.
    fn work(&mut self) {
        let wanted = self.ledger.answers() + self.random.below(ANSWERS_MAX);
        eventually("answers come", || (self.ledger.answers() >= wanted).then_some(()));
        self.wait_microseconds(AFTER_MICROSECONDS_MAX);
    }

    /// Waits for a random time without yielding the processor, because yielding would take longer.
    fn wait_microseconds(&mut self, end: u64) {
        let until = Instant::now() + Duration::from_micros(self.random.below(end));
        while Instant::now() < until {}
    }

    /// Waits for a COPY. The server itself checks for it, which is the fastest way.
    fn wait_for_copy(&self) -> bool {
        self.ask(
            "DO $$ BEGIN FOR look IN 1..20000 LOOP
                 PERFORM pg_stat_clear_snapshot();
                 EXIT WHEN EXISTS (SELECT FROM pg_stat_progress_copy);
             END LOOP; END $$",
        );
        self.ask("SELECT count(*) FROM pg_stat_progress_copy") != "0"
    }

    /// Kills a process that the server names, if it exists at the moment.
    fn kill_process(&self, which: &str) {
        let pid = self.ask(&format!("SELECT max(pid) FROM ({which}) AS found"));
        if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
            // The process may have ended by itself in the meantime.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Returns a value, as soon as the server answers again.
    fn ask(&self, sql: &str) -> String {
        let database = self.postgres.database_named("postgres");
        eventually("the server answers", || database.try_rows(sql).ok())
            .first()
            .and_then(|row| row[0].clone())
            .unwrap_or_default()
    }

    fn end(mut self) -> String {
        let mut server = self.setup.start(self.folder.path());
        // The Python processes of the rounds may all have been too slow.
        self.python.aim(&server.address("python"), "python-end");
        server.wait_for_accepted("python", 1);
        drop(self.python);
        server.flush();
        assert_eq!(server.stop(), 0);
        let acknowledged = self.ledger.acknowledged();
        check(&self.database, &acknowledged);
        check_streams(&self.database);
        let records = self.database.value("SELECT count(*) FROM logs");
        let python = self.database.value("SELECT count(*) FROM logs WHERE trace_id LIKE 'python-%'");
        assert_ne!(python, "0", "no Python client got through");
        let acknowledged = acknowledged.len();
        format!(
            "{acknowledged} records acknowledged over HTTP, {python} stored from Python, {records} in all: 0 lost, 0 doubled; \
             logboom started {} times, kills: {:?}",
            self.starts, self.kills
        )
    }
}

/// Checks the records of clients that send without waiting for answers: such a client may lose what
/// was in flight at the end, but nothing in between.
fn check_streams(database: &Database) {
    let gaps = "SELECT count(*) FROM (
        SELECT FROM logs WHERE trace_id LIKE 'python-%' GROUP BY substring(trace_id FROM '^(.*)-')
        HAVING count(*) <> max(substring(trace_id FROM '[0-9]+$')::int) + 1) AS gaps";
    assert_eq!(database.value(gaps), "0", "what a Python client sent has a gap");
}

#[test]
fn kills_of_either_side_lose_and_double_nothing() {
    let start = Instant::now();
    let rounds = variable("POSTGRES_ROUNDS").unwrap_or(ROUNDS);
    let mut kills = Kills::begin();
    (0..rounds).for_each(|_| kills.round());
    println!("{rounds} rounds, {:.1} minutes: {}", start.elapsed().as_secs_f64() / 60.0, kills.end());
}
