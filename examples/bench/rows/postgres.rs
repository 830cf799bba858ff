//! From the first byte until everything is in PostgreSQL, compared with `psql \copy` of the same
//! rows into the same table.
//!
//! The server is a real one of this machine (`initdb` in the temporary folder, with its defaults),
//! so that both use the same disk, the same settings, tables and indexes.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use test_support::postgres::{Database, Server as Postgres};

use super::{Setup, needs};
use crate::data_sets::DataSet;
use crate::generator::{Load, Pace};
use crate::payloads::Payloads;
use crate::process::family_cpu_seconds;
use crate::report::{Figures, Line, Reach, figures_of};
use crate::server::Server;

/// The part of the rate of `\copy` to reach.
const REACH: f64 = 0.8;

/// PostgreSQL's own defaults where the tests use smaller values.
pub const SETTINGS: &[&str] = &["shared_buffers=128MB"];

const RECORDS: u64 = 1_000_000;

/// Measures NDJSON and pickles, each compared with a copy of its own rows.
pub fn measure(setup: &Setup, set: DataSet) -> Vec<Line> {
    let postgres = Postgres::start(SETTINGS);
    let name = |what: &str| format!("logboom, {}, {what}", set.name());
    let events = Payloads::of_set(set, setup.scaled(RECORDS));
    let mut lines = against_copy(setup, &postgres, name("NDJSON"), &events, 4);
    drop(events);
    lines.extend(against_copy(setup, &postgres, name("pickles"), &Payloads::frames_of_set(set), 200));
    lines
}

fn against_copy(
    setup: &Setup,
    postgres: &Postgres,
    name: String,
    payloads: &Payloads,
    connections: usize,
) -> Vec<Line> {
    let mut records = setup.scaled(RECORDS);
    if payloads.are_answered {
        records = records.min(payloads.total()); // all events differ
    }
    let database = postgres.database();
    let server = setup.server(0, &[&format!("--store={}", database.url())]);
    let ours = stored(&server, postgres, &database, payloads, connections, records);
    drop(server);

    let rows = tempfile::NamedTempFile::new_in(&setup.folder).unwrap();
    copy(&database, "(SELECT * FROM logs ORDER BY id)", "to", rows.path());
    database.execute("TRUNCATE logs");
    settle(&database);
    let cpu = cpu_seconds(postgres);
    let start = Instant::now();
    copy(&database, "logs", "from", rows.path());
    let rate = records as f64 / start.elapsed().as_secs_f64();
    let limit = Figures::from([
        ("records_per_second", rate),
        ("database_cpu_seconds_per_million", (cpu_seconds(postgres) - cpu) / records as f64 * 1e6),
    ]);
    check_stored(&database, records);
    vec![
        Line::new(name, ours).held_against("records_per_second", rate, Reach::AtLeast(REACH)),
        Line::new(r"  psql \copy of its rows", limit),
    ]
}

/// Sends, and waits until everything is in the database.
pub fn stored(
    server: &Server,
    postgres: &Postgres,
    database: &Database,
    payloads: &Payloads,
    connections: usize,
    records: u64,
) -> Figures {
    settle(database);
    let address = if payloads.are_answered { server.http } else { server.python };
    let cpu = (server.cpu_seconds(), cpu_seconds(postgres));
    let sent = Load { address, connections, payloads, records, pace: Pace::Closed }.run().unwrap();
    assert_eq!(sent.accepted, records);
    if !payloads.are_answered {
        server.wait_until_durable(records);
    }
    server.flush();
    let seconds = sent.start.elapsed().as_secs_f64();
    let database_cpu = cpu_seconds(postgres) - cpu.1;
    let mut figures = figures_of(&sent, records);
    figures.insert("records_per_second", records as f64 / seconds);
    figures.insert("database_cpu_seconds_per_million", database_cpu / records as f64 * 1e6);
    figures.extend(needs(server, cpu.0, records));
    server.check_accepted(records);
    check_stored(database, records);
    figures
}

/// Fails unless the database has exactly these records, each once.
pub fn check_stored(database: &Database, records: u64) {
    let row = &database.rows("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM logs")[0];
    let figures: Vec<u64> = row.iter().map(|value| value.as_ref().unwrap().parse().unwrap()).collect();
    assert_eq!(figures, [records, records, 1, records], "count, different ids, the first, the last");
}

/// Completes the work that earlier writes have left.
pub fn settle(database: &Database) {
    database.execute("CHECKPOINT");
    rustix::fs::sync();
}

/// Returns the processor time of all processes of the server.
pub fn cpu_seconds(postgres: &Postgres) -> f64 {
    let file = std::fs::read_to_string(postgres.data().join("postmaster.pid")).unwrap();
    family_cpu_seconds(file.lines().next().unwrap())
}

/// Runs `psql \copy` of a table or a query, `to` or `from` a file.
pub fn copy(database: &Database, what: &str, direction: &str, file: &Path) {
    let statement = format!("\\copy {what} {direction} '{}'", file.display());
    let output = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", &statement, &database.url()])
        .output()
        .expect("psql is there where the server is");
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
}
