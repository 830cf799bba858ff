//! Queries on a database of any size, with its files in memory (warm) and after the system has
//! dropped its cache (cold).
//!
//! The records are those of a day (`day.rs`). They are made while they are sent, because no two are
//! the same.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;
use test_support::postgres::Server as Postgres;

use super::postgres::{SETTINGS, check_stored};
use super::{Setup, needs};
use crate::answers::Answers;
use crate::data_sets::DataSet;
use crate::day::{Day, NEEDLE, NEEDLE_VALUE, NEEDLES};
use crate::payloads::post;
use crate::report::{Figures, Line};
use crate::server::Server;

const RECORDS_PER_POST: u64 = 1000;
const CONNECTIONS: usize = 4;
const RECORDS_PER_PIECE: u64 = 5_000_000;

/// A query is repeated for this long, or this many times.
const PATIENCE: Duration = Duration::from_secs(5);
const TIMES: usize = 9;

/// Fills the data folder if it is not filled yet, and measures the queries.
pub fn measure(setup: &Setup, set: DataSet) -> Vec<Line> {
    let day = day(setup, set);
    let records = day.records;
    rustix::fs::sync();
    let server = match &setup.data_dir {
        Some(folder) => {
            fs::create_dir_all(folder).unwrap();
            Server::start_in(&setup.executable, folder.join(set.name()), &[])
        }
        None => Server::start(&setup.executable, &setup.folder, &[]),
    };
    server.flush();
    let mut lines = Vec::new();
    if server.stored().count != records {
        assert_eq!(server.stored().count, 0, "records in the data folder, and other than are wanted");
        lines.push(Line::new(name(set, "ingest, until stored"), fill(&server, day)));
        server.check_stored(records);
    }
    lines.push(database_line(day, server.database_bytes()));
    lines.extend(QUESTIONS.iter().map(|question| question.line(&server, day, drop_caches)));
    lines
}

fn day(setup: &Setup, set: DataSet) -> Day {
    Day { set, records: setup.scaled(setup.records).next_multiple_of(RECORDS_PER_POST) }
}

fn name(set: DataSet, what: &str) -> String {
    format!("{}: {what}", set.name())
}

fn database_line(day: Day, bytes: f64) -> Line {
    let figures = Figures::from([("database_bytes_per_record", bytes / day.records as f64)]);
    Line::new(name(day.set, "database"), figures)
}

/// Like [`measure`], with a PostgreSQL server of this machine, which is started again before each
/// cold query.
pub fn postgres(setup: &Setup, set: DataSet) -> Vec<Line> {
    let day = day(setup, set);
    let mut postgres = Postgres::start(SETTINGS);
    let database = postgres.database();
    let server = setup.server(0, &[&format!("--store={}", database.url())]);
    let mut lines = vec![Line::new(name(set, "ingest, until stored"), fill(&server, day))];
    check_stored(&database, day.records);
    database.execute("VACUUM (ANALYZE) logs"); // as the server itself does after a while
    let size =
        "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'logs'::regclass";
    let bytes: f64 = database.value(size).parse().unwrap();
    lines.push(database_line(day, bytes));
    lines.extend(QUESTIONS.iter().map(|question| {
        question.line(&server, day, || {
            postgres.stop();
            let is_dropped = drop_caches();
            postgres.restart();
            server.flush(); // the server is connected again
            is_dropped
        })
    }));
    lines
}

fn fill(server: &Server, day: Day) -> Figures {
    let records = day.records;
    let (start, cpu) = (Instant::now(), server.cpu_seconds());
    let next = AtomicU64::new(0);
    // Sent in pieces, so that the spool does not reach its ceiling however far the store is behind.
    for end in (RECORDS_PER_PIECE..records).step_by(RECORDS_PER_PIECE as usize).chain([records]) {
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| send(server.http, &next, end, day));
            }
        });
        next.store(end, Relaxed);
        server.flush();
    }
    let rate = records as f64 / start.elapsed().as_secs_f64();
    server.check_accepted(records);
    let mut figures = needs(server, cpu, records);
    figures.insert("records_per_second", rate);
    figures
}

/// Drops the system's cache of all files. Only the superuser may do this; other users get only warm
/// figures.
fn drop_caches() -> bool {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Takes the next records up to `end`, and sends them, until none are left.
fn send(address: SocketAddr, next: &AtomicU64, end: u64, day: Day) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answers = Answers::default();
    let mut buffer = [0; 4096];
    let mut body = String::new();
    loop {
        let first = next.fetch_add(RECORDS_PER_POST, Relaxed);
        if first >= end {
            return;
        }
        body.clear();
        (first..first + RECORDS_PER_POST).for_each(|number| day.event(number).write(&mut body));
        stream.write_all(&post(&body)).unwrap();
        let mut accepted = 0;
        while accepted == 0 {
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "the server has closed the connection");
            answers.read(&buffer[..length], |count| accepted = count.unwrap()).unwrap();
        }
        assert_eq!(accepted, RECORDS_PER_POST);
    }
}

/// A query, with a check of the response.
struct Question {
    name: &'static str,
    ask: fn(&Server, Day),
}

const QUESTIONS: [Question; 6] = [
    Question {
        name: "last 100 of a service",
        ask: |server, day| find(server, "service:service-07", day.set.found_of_service()),
    },
    Question { name: "a rare word", ask: |server, _| find(server, NEEDLE, NEEDLES) },
    Question {
        name: "a rare attribute value",
        ask: |server, _| find(server, &format!("animal:{NEEDLE_VALUE}"), NEEDLES),
    },
    Question {
        name: "a trace_id",
        ask: |server, day| {
            let (trace, expected) = day.some_trace();
            find(server, &format!("trace_id:{trace}"), expected);
        },
    },
    Question { name: "count by severity, last hour", ask: last_hour },
    Question { name: "histogram of everything", ask: |server, day| histogram(server, day.records) },
];

impl Question {
    fn line(&self, server: &Server, day: Day, mut forget: impl FnMut() -> bool) -> Line {
        let mut figures = Figures::new();
        if forget() {
            let start = Instant::now();
            (self.ask)(server, day);
            figures.insert("cold_ms", start.elapsed().as_secs_f64() * 1e3);
        }
        figures.insert("warm_ms", median_ms(|| (self.ask)(server, day)));
        Line::new(name(day.set, self.name), figures)
    }
}

/// Returns the median time of a query that is repeated for a while.
pub fn median_ms(ask: impl Fn()) -> f64 {
    let start = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || times.len() < TIMES && start.elapsed() < PATIENCE {
        let start = Instant::now();
        ask();
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Fails unless a query finds this many records.
pub fn find(server: &Server, query: &str, expected: u64) {
    let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let answer = server.get(&format!("/api/v1/records?q={encoded}&limit=100"));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["partial"], false, "{query}");
    assert_eq!(answer["records"].as_array().unwrap().len() as u64, expected, "{query}");
}

fn last_hour(server: &Server, day: Day) {
    let count = counted(server, "since=2026-11-21T09:00:00Z");
    let expected = day.records as f64 / 24.0;
    // Some records of the last hour are sent in the next one, which is not part of the day.
    assert!((count as f64 / expected - 1.0).abs() < 0.05, "{count}, and not about {expected}");
}

/// Fails unless a histogram of everything counts all records.
pub fn histogram(server: &Server, records: u64) {
    assert_eq!(counted(server, ""), records);
}

/// Returns the number of records of a histogram.
fn counted(server: &Server, range: &str) -> u64 {
    let answer: Value = serde_json::from_str(&server.get(&format!("/api/v1/histogram?{range}"))).unwrap();
    assert_eq!(answer["partial"], false, "{range}");
    answer["total"].as_u64().unwrap()
}
