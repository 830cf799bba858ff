//! Property: `kill -9` at any moment, repeatedly, loses no acknowledged record and stores none
//! twice.
//!
//! `TORTURE_ROUNDS` is the number of rounds. `TORTURE_SEED` repeats a run, as far as the timing of
//! the machine allows.

#![allow(clippy::print_stdout, reason = "the figures are what a long run is made for")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use test_support::audit::{self, Trail};
use test_support::load::{Ledger, PythonLoad};
use test_support::random::{Random, variable};
use test_support::{Server, Setup, eventually};

use super::displaced_files;
use super::kill_points::{KillPoint, Places};

const ROUNDS: u64 = 20;
/// A fast machine sends this many answers in about 300 ms.
const ANSWERS_MAX: u64 = 600;
/// If the expected moment has not occurred after this many answers, the kill happens without it.
const ANSWERS_PATIENCE: u64 = 10_000;
/// A kill happens up to this long after the expected moment: most such moments do not last longer.
const AFTER_MICROSECONDS_MAX: u64 = 2000;
/// A start on a fast machine takes about this long.
const START_MICROSECONDS: u64 = 30_000;
/// More than the number of lines that every start logs: three listeners, and that the server is
/// ready.
const START_LINES: u64 = 6;
/// The maximum number of records that each of two Python processes sends in one round.
const PYTHON_RECORDS_MAX: u64 = 6000;

/// A sequence of servers on the same folders, and what is known about the stored records.
struct Torture {
    random: Random,
    places: Places,
    setup: Setup,
    ledger: Arc<Ledger>,
    pythons: [PythonLoad; 2],
    /// The records that the database was observed to contain: it must contain them permanently.
    seen: Trail,
    /// The number of acknowledged records that were found in the database.
    found: usize,
    durable_id: u64,
    kills: BTreeMap<String, u64>,
}

impl Torture {
    fn begin(folder: &TempDir, rounds: u64) -> Torture {
        let random = Random::from_seed("TORTURE_SEED");
        let places = Places { data: folder.path().join("data"), log_file: folder.path().join("out/all.log") };
        // Small segments and files, so that kills also occur while they change; large enough that
        // old files do not number thousands.
        let setup = Setup::new()
            .argument("--spool-segment-bytes=4MiB")
            .argument(format!("--rotate-bytes={}MiB", 2 + rounds / 20))
            .argument("--line-format=%(id)s %(message)s")
            .argument(format!("--log-file={}", places.log_file.display()));
        Torture {
            random,
            places,
            setup,
            ledger: Arc::default(),
            pythons: [PythonLoad::start(PYTHON_RECORDS_MAX), PythonLoad::start(PYTHON_RECORDS_MAX)],
            seen: Trail::default(),
            found: 0,
            durable_id: 0,
            kills: BTreeMap::new(),
        }
    }

    fn round(&mut self, round: u64) {
        if self.random.below(5) == 0 {
            self.move_position(round);
        }
        for _ in 0..self.random.of(&[0, 0, 0, 1, 2, 4]) {
            self.kill_while_starting();
        }
        let mut server = self.setup.start(&self.places.data);
        self.check(&server);
        if self.random.below(3) == 0 {
            server.block_log();
            *self.kills.entry("(log blocked)".into()).or_default() += 1;
        }
        let point = self.random.of(&KillPoint::ALL);
        let clients = self.load(&server, round);
        let theft = self.random.of(&Theft::ALL);
        self.steal(&server, theft);
        self.wait_for(point);
        server.kill();
        clients.into_iter().for_each(|client| client.join().unwrap());
        check_log(&server, theft);
    }

    /// Removes files under the server, during the load, and waits until the server has what it
    /// needs again: what a kill before that point costs is lost permanently.
    fn steal(&mut self, server: &Server, theft: Theft) {
        let spool = self.places.data.join("spool");
        match theft {
            Theft::Nothing => return,
            Theft::LockFile => {
                let lock = self.places.data.join("lock");
                std::fs::remove_file(&lock).unwrap();
                eventually("the lock file is made again", || lock.exists().then_some(()));
            }
            Theft::Segment => {
                let all = displaced_files::segments(&spool);
                let taken = &all[self.random.below(all.len() as u64) as usize];
                // The server may have just released the segment.
                let _ = std::fs::remove_file(taken);
                displaced_files::wait_until_restored(server, std::slice::from_ref(taken));
            }
            Theft::SpoolFolder => {
                let away = self.places.data.join("away");
                std::fs::rename(&spool, &away).unwrap();
                let names = displaced_files::segments(&away);
                let taken: Vec<_> = names.iter().map(|path| spool.join(path.file_name().unwrap())).collect();
                displaced_files::wait_until_restored(server, &taken);
                std::fs::remove_dir_all(away).unwrap();
            }
        }
        *self.kills.entry(format!("after the theft of {theft:?}")).or_default() += 1;
    }

    /// Kills a server before it serves, while it recovers from the last kill.
    fn kill_while_starting(&mut self) {
        let mut server = self.setup.spawn(&self.places.data);
        if self.random.below(2) == 0 {
            let lines = self.random.below(START_LINES);
            eventually("the server begins to start", || {
                (server.log().lines().count() as u64 >= lines || server.log_line("ready").is_some())
                    .then_some(())
            });
        } else {
            self.wait_microseconds(START_MICROSECONDS);
        }
        server.kill();
        check_log(&server, Theft::Nothing);
        let when = if server.log_line("ready").is_some() { "just started" } else { "while starting" };
        *self.kills.entry(when.into()).or_default() += 1;
    }

    /// Changes the position in the database, as a person might. The server still accepts records,
    /// and writes nothing to that database until the position is restored.
    fn move_position(&mut self, round: u64) {
        let open = || rusqlite::Connection::open(self.places.database()).unwrap();
        if !self.places.database().exists() {
            return;
        }
        let before: Result<i64, _> = open().query_row("SELECT position FROM shipped", [], |row| row.get(0));
        // The server was killed before a position existed.
        let Ok(before) = before else { return };
        let moved = match self.random.below(5) {
            0 => -5,
            1 => i64::MAX,
            2 => before + 1000,
            3 => before + 1,
            _ => before - 1000,
        };
        let set = |position: i64| open().execute("UPDATE shipped SET position = ?", [position]).unwrap();
        set(moved);
        let mut server = self.setup.start(&self.places.data);
        let client = self.ledger.post_on(&server.address("http"), &format!("moved-{round}"), 10);
        eventually("the position is not believed", || {
            let told = server.status()["stores"][0]["last_error"].to_string();
            told.contains("cannot be trusted").then_some(())
        });
        let answers = self.ledger.answers() + 20;
        eventually("answers come", || (self.ledger.answers() >= answers).then_some(()));
        server.kill();
        client.join().unwrap();
        set(before);
        *self.kills.entry("position moved".into()).or_default() += 1;
    }

    fn load(&mut self, server: &Server, round: u64) -> Vec<JoinHandle<()>> {
        for (number, python) in self.pythons.iter_mut().enumerate() {
            python.aim(&server.address("python"), &format!("python-{round}-{number}"));
        }
        let address = server.address("http");
        let clients = [(1, 0), (1, 0), (1, 0), (20, 0), (60, 0), (10, 1000)].into_iter().enumerate();
        let clients = clients.map(|(number, (batch, padding))| {
            self.ledger.post_padded_on(&address, &format!("http-{round}-{number}"), batch, padding)
        });
        clients.collect()
    }

    fn wait_for(&mut self, point: KillPoint) {
        let enough = |answers: u64| {
            let wanted = self.ledger.answers() + answers;
            let ledger = &self.ledger;
            move || ledger.answers() >= wanted
        };
        let mut kind = format!("{point:?}");
        if point == KillPoint::Anything {
            let is_enough = enough(self.random.below(ANSWERS_MAX));
            eventually("answers come", || is_enough().then_some(()));
        } else if point != KillPoint::CatchingUp {
            let (watch, is_enough) = (self.places.watch(point), enough(ANSWERS_PATIENCE));
            while !watch.is_hit() && !is_enough() {
                std::thread::yield_now();
            }
            if !watch.is_hit() {
                kind.push_str(" (missed)");
            }
        }
        self.wait_microseconds(AFTER_MICROSECONDS_MAX);
        *self.kills.entry(kind).or_default() += 1;
    }

    /// Waits for a random time without yielding the processor, because yielding would take longer.
    fn wait_microseconds(&mut self, end: u64) {
        let until = Instant::now() + Duration::from_micros(self.random.below(end));
        while Instant::now() < until {}
    }

    /// Checks that no acknowledged record has disappeared, as far as this is visible without
    /// waiting; in some rounds, waits first.
    fn check(&mut self, server: &Server) {
        let spool = server.status()["spool"].clone();
        assert_eq!(spool["lost_records"], 0, "{spool}");
        assert_eq!(spool["quarantined_bytes"], 0, "{spool}");
        let durable_id = spool["durable_id"].as_u64().unwrap();
        let acknowledged = self.ledger.acknowledged_since(self.found).len() as u64 + self.found as u64;
        assert!(durable_id >= self.durable_id.max(acknowledged + 1), "{durable_id} after {acknowledged}");
        self.durable_id = durable_id;
        if self.random.below(4) == 0 {
            server.flush();
            self.seen.follow_database(&self.places.database());
            assert!(self.seen.count() as u64 >= durable_id - 1);
            let acknowledged = self.ledger.acknowledged_since(self.found);
            self.seen.check_has("the database", &acknowledged);
            self.found += acknowledged.len();
        } else {
            self.seen.follow_database(&self.places.database());
        }
    }

    fn end(mut self) -> String {
        let mut server = self.setup.start(&self.places.data);
        // The Python processes of the rounds may all have been too slow.
        let [mut python, _] = self.pythons;
        python.aim(&server.address("python"), "python-end");
        server.wait_for_accepted("python", 1);
        drop(python);
        server.flush();
        let spool = server.status()["spool"].clone();
        assert_eq!((&spool["lost_records"], &spool["quarantined_bytes"]), (&0.into(), &0.into()));
        assert_eq!(server.stop(), 0);
        check_log(&server, Theft::Nothing);

        let acknowledged = self.ledger.acknowledged();
        self.seen.follow_database(&self.places.database());
        let mut database = Trail::default();
        database.follow_database(&self.places.database());
        database.check_equal("the database as it was seen meanwhile", &self.seen);
        database.check_has("the database", &acknowledged);
        let lines = Trail::of_log_files(&self.places.log_file);
        lines.check_equal("the database", &database);
        let python = audit::check_streams(&database, "python-");
        assert!(python > 0, "no Python client got through");
        let (files, records) = (audit::log_files(&self.places.log_file).len(), database.count());
        let acknowledged = acknowledged.len();
        format!(
            "{acknowledged} records acknowledged over HTTP, {python} stored from Python, {records} in all, in both \
             stores ({files} log files): 0 lost, 0 doubled; kills: {:?}",
            self.kills
        )
    }
}

/// What is removed under a running server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theft {
    Nothing,
    LockFile,
    Segment,
    SpoolFolder,
}

impl Theft {
    const ALL: [Theft; 6] =
        [Theft::Nothing, Theft::Nothing, Theft::Nothing, Theft::LockFile, Theft::Segment, Theft::SpoolFolder];
}

fn check_log(server: &Server, theft: Theft) {
    let log = server.log();
    let mut errors = log.lines().filter(|line| line.contains("\"ERROR\""));
    let may_err = |line: &str| theft != Theft::Nothing && line.contains("moved, removed or replaced");
    assert!(!log.contains("panicked") && errors.all(may_err), "{log}");
}

#[test]
fn kills_lose_nothing_and_store_nothing_twice() {
    let start = Instant::now();
    let rounds = variable("TORTURE_ROUNDS").unwrap_or(ROUNDS);
    let folder = TempDir::new().unwrap();
    let mut torture = Torture::begin(&folder, rounds);
    (0..rounds).for_each(|round| torture.round(round));
    println!("{rounds} rounds, {:.1} minutes: {}", start.elapsed().as_secs_f64() / 60.0, torture.end());
}
