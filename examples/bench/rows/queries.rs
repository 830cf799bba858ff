//! Queries on a database of any size, with its files in memory (warm) and after the system has
//! dropped its cache (cold).
//!
//! The records are those of a day of twenty services: messages from templates with numbers in them,
//! traces of some ten records that run beside each other, attributes. They are made while they are
//! sent, because no two are the same.

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
use crate::payloads::{post, scramble};
use crate::process::disk_bytes;
use crate::report::{Figures, Line};
use crate::server::Server;

/// The time of the last record: 2026-11-21T10:00:00Z, in ms.
const END_MS: u64 = 1_795_255_200_000;
const DAY_MS: u64 = 86_400_000;

const RECORDS_PER_POST: u64 = 1000;
const CONNECTIONS: usize = 4;
const RECORDS_PER_PIECE: u64 = 5_000_000;

/// Number of records that contain `NEEDLE`, of all records.
const NEEDLES: u64 = 5;
const NEEDLE: &str = "quokka";
const NEEDLE_VALUE: &str = "wombat-0815";

/// A query is repeated for this long, or this many times.
const PATIENCE: Duration = Duration::from_secs(5);
const TIMES: usize = 9;

/// Fills the data folder if it is not filled yet, and measures the queries.
pub fn measure(setup: &Setup) -> Vec<Line> {
    let records = setup.scaled(setup.records).next_multiple_of(RECORDS_PER_POST);
    rustix::fs::sync();
    let server = match &setup.data_dir {
        Some(folder) => Server::start_in(&setup.executable, folder.clone(), &[]),
        None => Server::start(&setup.executable, &setup.folder, &[]),
    };
    server.flush();
    let mut lines = Vec::new();
    if server.stored().count != records {
        assert_eq!(server.stored().count, 0, "records in the data folder, and other than are wanted");
        lines.push(Line::new("ingest, until stored", fill(&server, records)));
        server.check_stored(records);
    }
    let database = disk_bytes(server.data_dir()) - disk_bytes(&server.data_dir().join("spool"));
    lines.push(Line::new("database", Figures::from([("disk_bytes_per_record", database / records as f64)])));
    lines.extend(QUESTIONS.iter().map(|question| question.line(&server, records, drop_caches)));
    lines
}

/// Like [`measure`], with a PostgreSQL server of this machine, which is started again before each
/// cold query.
pub fn postgres(setup: &Setup) -> Vec<Line> {
    let records = setup.scaled(setup.records).next_multiple_of(RECORDS_PER_POST);
    let mut postgres = Postgres::start(SETTINGS);
    let database = postgres.database();
    let server = setup.server(0, &[&format!("--store={}", database.url())]);
    let mut lines = vec![Line::new("ingest, until stored", fill(&server, records))];
    check_stored(&database, records);
    database.execute("VACUUM (ANALYZE) logs"); // as the server itself does after a while
    let size =
        "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'logs'::regclass";
    let bytes: f64 = database.value(size).parse().unwrap();
    lines.push(Line::new("database", Figures::from([("disk_bytes_per_record", bytes / records as f64)])));
    lines.extend(QUESTIONS.iter().map(|question| {
        question.line(&server, records, || {
            postgres.stop();
            let is_dropped = drop_caches();
            postgres.restart();
            server.flush(); // the server is connected again
            is_dropped
        })
    }));
    lines
}

fn fill(server: &Server, records: u64) -> Figures {
    let (start, cpu) = (Instant::now(), server.cpu_seconds());
    let next = AtomicU64::new(0);
    // Sent in pieces, so that the spool does not reach its ceiling however far the store is behind.
    for end in (RECORDS_PER_PIECE..records).step_by(RECORDS_PER_PIECE as usize).chain([records]) {
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| send(server.http, &next, end, records));
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
fn send(address: SocketAddr, next: &AtomicU64, end: u64, records: u64) {
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
        (first..first + RECORDS_PER_POST).for_each(|number| write_event(&mut body, number, records));
        stream.write_all(&post(&body)).unwrap();
        let mut accepted = 0;
        while accepted == 0 {
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "the server has closed the connection");
            answers.read(&buffer[..length], |count| accepted = count).unwrap();
        }
        assert_eq!(accepted, RECORDS_PER_POST);
    }
}

/// The level and logger of a message, and its text around two numbers.
const TEMPLATES: [(&str, &str, [&str; 3]); 12] = [
    ("INFO", "http.access", ["GET /api/v2/orders/", " 200 in ", " ms"]),
    ("INFO", "http.access", ["POST /api/v2/carts/", "/items 201 in ", " ms"]),
    ("INFO", "auth.session", ["user ", " logged in from 10.2.0.", ""]),
    ("DEBUG", "cache.store", ["cache miss for key session:", ", loading ", " bytes"]),
    ("DEBUG", "db.pool", ["connection ", " taken from the pool after ", " ms"]),
    ("INFO", "jobs.worker", ["job ", " finished in ", " ms"]),
    ("WARN", "jobs.retry", ["job ", " failed, next try in ", " s"]),
    ("INFO", "mail.sender", ["message ", " handed to the relay in ", " ms"]),
    ("WARN", "http.client", ["slow answer of inventory for order ", ": ", " ms"]),
    ("ERROR", "payments.gateway", ["payment ", " refused: card declined, code ", ""]),
    ("ERROR", "db.query", ["timeout of statement ", " after ", " ms, connection reset"]),
    ("INFO", "search.index", ["indexed ", " documents in ", " ms"]),
];

/// How often each template occurs, of a hundred.
const WEIGHTS: [u64; 12] = [24, 10, 8, 16, 12, 9, 3, 5, 3, 2, 1, 7];

const REGIONS: [&str; 4] = ["eu-central-1", "eu-west-1", "us-east-1", "ap-south-1"];

fn write_event(out: &mut String, number: u64, records: u64) {
    use std::fmt::Write;
    let random = scramble(number);
    let (level, logger, [before, between, after]) = TEMPLATES[template(random % 100)];
    let service = (random >> 8) % 20;
    let time_ms = time_ms(number, records) + (random >> 16) % 2000;
    let (id, figure) = ((random >> 24) % 10_000_000, (random >> 50) % 3000);
    let level = if random.is_multiple_of(50_021) { "FATAL" } else { level };
    let _ = write!(
        out,
        "{{\"timestamp\":{time_ms},\"level\":\"{level}\",\"service\":\"service-{service:02}\",\"logger\":\"{logger}\",\
         \"message\":\"{before}{id}{between}{figure}{after}"
    );
    let is_needle = number.is_multiple_of(records / NEEDLES);
    if is_needle {
        let _ = write!(out, ", and a {NEEDLE} escaped");
    }
    let _ = write!(
        out,
        "\",\"trace_id\":\"{}\",\"span_id\":\"{:016x}\",\"process_id\":{},\"attributes\":{{\"user_id\":{},\"region\":\"{}\"",
        trace(number),
        scramble(!(number / 3)),
        1000 + service * 3 + random % 3,
        (random >> 30) % 500_000,
        REGIONS[(random >> 40) as usize % REGIONS.len()],
    );
    if random.is_multiple_of(3) {
        let _ = write!(
            out,
            ",\"http.status_code\":{},\"duration_ms\":{figure}.{}",
            200 + random % 5 * 100,
            random % 10
        );
    }
    if is_needle {
        let _ = write!(out, ",\"animal\":\"{NEEDLE_VALUE}\"");
    }
    out.push_str("}}\n");
}

/// Returns the time of a record. Times ascend evenly except for some jitter, which the caller adds.
fn time_ms(number: u64, records: u64) -> u64 {
    END_MS - DAY_MS + (u128::from(number) * u128::from(DAY_MS) / u128::from(records)) as u64
}

fn template(percent: u64) -> usize {
    let mut sum = 0;
    let is_reached = |weight: &u64| {
        sum += weight;
        percent < sum
    };
    WEIGHTS.iter().position(is_reached).expect("weights of a hundred")
}

/// Returns the trace of a record. Ten traces run beside each other, over a hundred records.
fn trace(number: u64) -> String {
    let trace = number / 100 * 10 + number % 10;
    format!("{:016x}{:016x}", scramble(trace), scramble(trace ^ 0xabcd_0000_0000))
}

/// A query, with a check of the response.
struct Question {
    name: &'static str,
    ask: fn(&Server, u64),
}

const QUESTIONS: [Question; 6] = [
    Question { name: "last 100 of a service", ask: |server, _| find(server, "service:service-07", 100) },
    Question { name: "a rare word", ask: |server, _| find(server, NEEDLE, NEEDLES) },
    Question {
        name: "a rare attribute value",
        ask: |server, _| find(server, &format!("animal:{NEEDLE_VALUE}"), NEEDLES),
    },
    Question {
        name: "a trace_id",
        ask: |server, records| find(server, &format!("trace_id:{}", trace(records / 3)), 10),
    },
    Question { name: "count by severity, last hour", ask: |server, records| last_hour(server, records) },
    Question { name: "histogram of everything", ask: |server, records| histogram(server, records) },
];

impl Question {
    fn line(&self, server: &Server, records: u64, mut forget: impl FnMut() -> bool) -> Line {
        let asked = || {
            let start = Instant::now();
            (self.ask)(server, records);
            start.elapsed().as_secs_f64() * 1e3
        };
        let mut figures = Figures::new();
        if forget() {
            figures.insert("cold_ms", asked());
        }
        let start = Instant::now();
        let mut times = vec![asked()];
        while times.len() < TIMES && start.elapsed() < PATIENCE {
            times.push(asked());
        }
        times.sort_unstable_by(f64::total_cmp);
        figures.insert("warm_ms", times[times.len() / 2]);
        Line::new(self.name, figures)
    }
}

fn find(server: &Server, query: &str, expected: u64) {
    let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let answer = server.get(&format!("/api/v1/records?q={encoded}&limit=100"));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["partial"], false, "{query}");
    assert_eq!(answer["records"].as_array().unwrap().len() as u64, expected, "{query}");
}

fn last_hour(server: &Server, records: u64) {
    let count = counted(server, "since=2026-11-21T09:00:00Z");
    let expected = records as f64 / 24.0;
    assert!((count as f64 / expected - 1.0).abs() < 0.02, "{count}, and not about {expected}");
}

fn histogram(server: &Server, records: u64) {
    assert_eq!(counted(server, ""), records);
}

/// Returns the number of records of a histogram.
fn counted(server: &Server, range: &str) -> u64 {
    let answer: Value = serde_json::from_str(&server.get(&format!("/api/v1/histogram?{range}"))).unwrap();
    assert_eq!(answer["partial"], false, "{range}");
    answer["total"].as_u64().unwrap()
}
