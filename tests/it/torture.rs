//! `kill -9` in the middle of everything, again and again.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::audit;
use crate::harness::{Server, Setup, eventually};
use crate::load::{Ledger, PythonLoad};

const ROUNDS: u64 = 20;
/// A fast machine gives so many answers in about 300 ms.
const ANSWERS_MAX: u64 = 600;
/// One more than the lines that every start logs: three listeners, and that it is ready.
const START_LINES: u64 = 5;

/// Random numbers from a seed (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// `TORTURE_SEED` repeats a run, as far as the machine lets it.
fn seed() -> u64 {
    let given = std::env::var("TORTURE_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into()) | 1
}

#[test]
fn twenty_kills_lose_nothing_and_double_nothing() {
    let seed = seed();
    println!("TORTURE_SEED={seed} repeats this run"); // shown when it fails
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let folder = TempDir::new().unwrap();
    let (data, log_file) = (folder.path().join("data"), folder.path().join("out/all.log"));
    // Small segments, so that kills also meet their change and release.
    let setup = Setup::new()
        .argument("--spool-segment-bytes=8MiB")
        .argument(format!("--log-file={}", log_file.display()));
    let ledger = Arc::new(Ledger::default());
    let mut pythons = [PythonLoad::start(4000), PythonLoad::start(4000)];

    for round in 0..ROUNDS {
        if random.below(4) == 0 {
            let mut server = setup.spawn(&data);
            let lines = random.below(START_LINES);
            eventually("the server begins to start", || {
                (server.log().lines().count() as u64 >= lines).then_some(())
            });
            server.kill();
            check_log(&server);
        }
        let mut server = setup.start(&data);
        let lost = server.status()["spool"]["lost_records"].clone();
        assert_eq!(lost, 0, "round {round}");
        let address = server.address("http");
        let clients = [1, 1, 1, 20, 60]
            .iter()
            .enumerate()
            .map(|(number, batch)| ledger.post_on(&address, &format!("http-{round}-{number}"), *batch));
        let clients: Vec<_> = clients.collect();
        for (number, python) in pythons.iter_mut().enumerate() {
            python.aim(&server.address("python"), &format!("python-{round}-{number}"));
        }
        let wanted = ledger.answers() + random.below(ANSWERS_MAX);
        eventually("answers come", || (ledger.answers() >= wanted).then_some(()));
        server.kill();
        clients.into_iter().for_each(|client| client.join().unwrap());
        check_log(&server);
    }

    drop(pythons);
    let mut server = setup.start(&data);
    server.flush();
    let status = server.status();
    assert_eq!(status["spool"]["lost_records"], 0);
    assert_eq!(status["spool"]["quarantined_bytes"], 0);
    assert_eq!(server.stop(), 0);
    check_log(&server);

    let acknowledged = ledger.acknowledged();
    let database = audit::database(&data.join("logboom.db"));
    let lines = audit::log_file(&log_file);
    database.check("the database", &acknowledged);
    lines.check("the log file", &acknowledged);
    database.check_equal(&lines);
    assert!(database.starting_with("python-") > 0, "no Python client got through");
    println!("{} acknowledged, {} from Python", acknowledged.len(), database.starting_with("python-"));
}

fn check_log(server: &Server) {
    let log = server.log();
    assert!(!log.contains("panicked") && !log.contains("\"ERROR\""), "{log}");
}
