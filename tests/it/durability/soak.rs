//! Property: all kinds of load together for a long time keep the stores exact and within their
//! bounds: records at a steady rate into SQLite and PostgreSQL, live tails, exports, heavy SQL
//! statements, retention, and `kill -9` at the end of every round.
//!
//! `SOAK_MINUTES` is the duration of the load (a few seconds without it), `SOAK_RATE` the records
//! per second that are offered, and `SOAK_SEED` repeats the times of the kills. After each kill
//! both databases are read: every acknowledged record must be in both of them, exactly once, and
//! the records of each connection must be in order and without a gap.

#![allow(clippy::print_stdout, reason = "the figures are what a long run is made for")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection as Sqlite, OpenFlags};
use tempfile::TempDir;
use test_support::load::Connection;
use test_support::postgres::{Database, Server as Postgres};
use test_support::random::{Random, variable};
use test_support::{PATIENCE, Server, Setup};

/// The duration of a round, which ends with a kill.
const ROUND: Duration = Duration::from_secs(60);
/// The duration of a round without `SOAK_MINUTES`.
const SHORT_ROUND: Duration = Duration::from_secs(3);
/// The number of rounds without `SOAK_MINUTES`.
const SHORT_ROUNDS: u64 = 2;
/// The offered records per second with `SOAK_MINUTES`.
const RATE: u64 = 100_000;
/// The offered records per second without `SOAK_MINUTES`: lower, for the debug build of an everyday
/// run on a busy machine.
const SHORT_RATE: u64 = 10_000;

const CONNECTIONS: u64 = 4;
const BATCH_RECORDS: u64 = 1000;
const TAILS: usize = 60;
const EXPORTS: usize = 40;
/// An export reads this much, then pauses: as fast as over a line of a few Mbit/s.
const EXPORT_PIECE_BYTES: usize = 64 << 10;
const EXPORT_PAUSE: Duration = Duration::from_millis(100);
/// The pause of a client after a refusal.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// The maximum size of the SQLite database: more than a round sends, so that the audit finds the
/// round complete.
const SQLITE_BYTES: u64 = 2 << 30;
/// The maximum size of the PostgreSQL database: more than a round sends, so that the audit finds
/// the round complete.
const POSTGRES_BYTES: u64 = 4 << 30;
const SPOOL_BYTES: u64 = 1 << 30;
/// The bytes that may exist in addition to `SQLITE_BYTES`: the write-ahead log at the size at which
/// queries wait, and the records that arrive while the longest of these queries ends.
const SQLITE_BYTES_BESIDE: u64 = 1024 << 20;
/// The documented limit is 64 MB for the release build.
const MEMORY_KIB_MAX: u64 = 64 << 10;

const TAIL_QUERIES: [&str; 5] = ["level>=error", "logger:shop.7", "service:checkout-3 timeout", "rare", ""];
const STATEMENTS: [&str; 6] = [
    "SELECT severity, count(*) FROM logs GROUP BY severity",
    "SELECT service, count(*), max(id) FROM logs GROUP BY service ORDER BY 2 DESC",
    "SELECT logger, count(DISTINCT message) FROM logs GROUP BY logger LIMIT 10",
    "SELECT * FROM logs ORDER BY message DESC LIMIT 100",
    "SELECT count(*) FROM logs WHERE message LIKE '%user 4711%'",
    "SELECT a.id FROM logs a JOIN logs b ON a.message = b.message AND a.id < b.id LIMIT 10",
];

/// Counts that all clients share.
#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    refused_batches: AtomicU64,
    tail_bytes: AtomicU64,
    export_bytes: AtomicU64,
    refused_reads: AtomicU64,
    statements: AtomicU64,
    /// Statements that ran until a limit stopped them.
    stopped_statements: AtomicU64,
    refused_statements: AtomicU64,
}

impl Counts {
    fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

/// Posts batches at a steady rate until it is stopped or the server is gone. Returns the number of
/// acknowledged records.
struct Sender {
    address: String,
    stream: String,
    round: u64,
    batches_per_second: f64,
    counts: Arc<Counts>,
}

impl Sender {
    fn run(self) -> u64 {
        let Ok(mut connection) = Connection::open(&self.address) else { return 0 };
        let (start, mut batch) = (Instant::now(), 0);
        while !self.counts.is_stopped() {
            let due = start + Duration::from_secs_f64(batch as f64 / self.batches_per_second);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let Ok((status, _, body)) = connection.post(&self.body(batch)) else { break };
            match status {
                200 => {
                    assert!(body.starts_with(&format!("{{\"accepted\":{BATCH_RECORDS},")), "{body}");
                    self.counts.acknowledged.fetch_add(BATCH_RECORDS, Relaxed);
                    batch += 1;
                }
                429 | 503 => {
                    assert!(body.starts_with("{\"accepted\":0,"), "{body}");
                    self.counts.refused_batches.fetch_add(1, Relaxed);
                    std::thread::sleep(REFUSED_PAUSE);
                }
                _ => panic!("{status}: {body}"),
            }
        }
        batch * BATCH_RECORDS
    }

    fn body(&self, batch: u64) -> String {
        let mut body = String::with_capacity(BATCH_RECORDS as usize * 350);
        for number in batch * BATCH_RECORDS..(batch + 1) * BATCH_RECORDS {
            self.record(&mut body, number);
        }
        body
    }

    /// Each round has its own day, so that PostgreSQL has a partition for it that retention can
    /// drop.
    fn record(&self, body: &mut String, number: u64) {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let pick = |shift: u32, end: u64| (mixed >> shift) % end;
        let day = Timestamp::now() - SignedDuration::from_hours(24 * (300 - self.round as i64 % 300));
        let level = ["debug", "info", "info", "info", "warn", "error"][pick(8, 6) as usize];
        let _ = writeln!(
            body,
            "{{\"time\":\"{day}\",\"level\":\"{level}\",\"service\":\"checkout-{}\",\"logger\":\"shop.{}\",\
             \"trace_id\":\"{}-{number}\",\"thread\":\"worker-{}\",\"message\":\"[{:06}] {} for user {}\",\
             \"order_id\":{},\"duration_ms\":{}}}",
            pick(16, 20),
            pick(24, 100),
            self.stream,
            pick(20, 8),
            pick(12, 1_000_000),
            if pick(30, 50_000) == 0 { "rare failure" } else { "request timeout or success" },
            pick(28, 500_000),
            pick(32, 1_000_000),
            pick(36, 5000),
        );
    }
}

/// The work of a reading client until it is stopped or the server is gone.
type Work = Box<dyn Fn(&str, &Counts) + Send>;

/// Reads an endless or long answer until it is stopped or the server is gone; connects again after
/// a refusal or at the end.
fn read_on(
    address: &str,
    path: &str,
    pause: Duration,
    bytes: impl Fn(&Counts) -> &AtomicU64,
    counts: &Counts,
) {
    let mut buffer = vec![0; EXPORT_PIECE_BYTES];
    while !counts.is_stopped() {
        let Ok(mut stream) = TcpStream::connect(address) else { return };
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        if stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).is_err() {
            return;
        }
        let mut is_begun = false;
        while !counts.is_stopped() {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) if !is_begun && !buffer[..read].starts_with(b"HTTP/1.1 200") => {
                    counts.refused_reads.fetch_add(1, Relaxed);
                    std::thread::sleep(REFUSED_PAUSE);
                    break;
                }
                Ok(read) => {
                    is_begun = true;
                    bytes(counts).fetch_add(read as u64, Relaxed);
                    if buffer[..read].ends_with(b"0\r\n\r\n") {
                        break;
                    }
                    std::thread::sleep(pause);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    }
}

fn ask_on(address: &str, statement: &str, counts: &Counts) {
    let body = serde_json::json!({ "sql": statement }).to_string();
    while !counts.is_stopped() {
        let answer = test_support::request(address, "POST", "/api/v1/sql", &[], body.as_bytes());
        match answer {
            Ok(answer) if answer.status == 200 => counts.statements.fetch_add(1, Relaxed),
            Ok(answer) if answer.status == 503 => {
                std::thread::sleep(REFUSED_PAUSE);
                counts.refused_statements.fetch_add(1, Relaxed)
            }
            Ok(answer) => {
                assert!(matches!(answer.status, 400 | 408), "{}", answer.text());
                counts.stopped_statements.fetch_add(1, Relaxed)
            }
            Err(_) => return,
        };
    }
}

/// The records of each stream that were found in one database.
#[derive(Default)]
struct Audit {
    /// The last id that was read.
    end: u64,
    next: HashMap<String, u64>,
}

impl Audit {
    /// Adds a row; rows are in the order of their ids.
    fn take(&mut self, id: u64, key: &str) {
        assert_eq!(id, self.end + 1, "ids have a gap before {key}");
        self.end = id;
        let (stream, number) = key.rsplit_once('-').unwrap();
        if !self.next.contains_key(stream) {
            self.next.insert(stream.to_owned(), 0);
        }
        let next = self.next.get_mut(stream).unwrap();
        assert_eq!(number.parse(), Ok(*next), "{key} is doubled, or records before it are lost");
        *next += 1;
    }

    fn follow_sqlite(&mut self, path: &Path) {
        let database = Sqlite::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut select = database.prepare("SELECT id, trace_id FROM logs WHERE id > ? ORDER BY id").unwrap();
        let mut rows = select.query([self.end as i64]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let key = row.get_ref(1).unwrap().as_str().unwrap();
            self.take(row.get::<_, i64>(0).unwrap() as u64, key);
        }
    }

    fn follow_postgres(&mut self, database: &Database) {
        loop {
            let rows = database.rows(&format!(
                "SELECT id, trace_id FROM logs WHERE id > {} ORDER BY id LIMIT 100000",
                self.end
            ));
            if rows.is_empty() {
                return;
            }
            for row in rows {
                let [id, key] = row.as_slice() else { panic!("two columns") };
                self.take(id.as_ref().unwrap().parse().unwrap(), key.as_ref().unwrap());
            }
        }
    }

    fn check_has(&self, what: &str, acknowledged: &HashMap<String, u64>) {
        for (stream, count) in acknowledged {
            let stored = self.next.get(stream).copied().unwrap_or_default();
            assert!(stored >= *count, "{what}: {count} of {stream} were acknowledged, {stored} are stored");
        }
    }
}

/// The largest observed values.
#[derive(Default)]
struct Peaks {
    memory_kib: u64,
    spool_bytes: u64,
    sqlite_bytes: u64,
}

struct Soak {
    folder: TempDir,
    setup: Setup,
    database: Database,
    _postgres: Postgres,
    rate: u64,
    counts: Arc<Counts>,
    acknowledged: HashMap<String, u64>,
    sqlite: Audit,
    postgres: Audit,
    peaks: Peaks,
    load_seconds: f64,
}

impl Soak {
    fn begin(rate: u64) -> Soak {
        let postgres = Postgres::start(&["max_wal_size=1GB"]);
        let database = postgres.database();
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("logboom.toml");
        let text = format!(
            "spool_bytes_max = \"{SPOOL_BYTES}\"\n\
             [[store]]\nurl = \"sqlite\"\nretention_bytes = \"{SQLITE_BYTES}\"\n\
             [[store]]\nurl = \"{}\"\nretention_bytes = \"{POSTGRES_BYTES}\"\n",
            database.url()
        );
        std::fs::write(&config, text).unwrap();
        Soak {
            setup: Setup::new().argument(format!("--config={}", config.display())),
            folder,
            database,
            _postgres: postgres,
            rate,
            counts: Arc::default(),
            acknowledged: HashMap::new(),
            sqlite: Audit::default(),
            postgres: Audit::default(),
            peaks: Peaks::default(),
            load_seconds: 0.0,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn round(&mut self, round: u64, duration: Duration) {
        let mut server = self.setup.start(&self.data());
        self.counts.stop.store(false, Relaxed);
        let senders = self.start_senders(&server, round);
        let readers = self.start_readers(&server);
        let start = Instant::now();
        while start.elapsed() < duration {
            self.look(&server);
            std::thread::sleep(Duration::from_millis(500));
        }
        server.kill();
        self.load_seconds += start.elapsed().as_secs_f64();
        self.counts.stop.store(true, Relaxed);
        for (stream, sender) in senders {
            self.acknowledged.insert(stream, sender.join().unwrap());
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        check_log(&server);
        self.audit();
    }

    fn start_senders(&self, server: &Server, round: u64) -> Vec<(String, JoinHandle<u64>)> {
        let start = |number: u64| {
            let stream = format!("r{round}c{number}");
            let sender = Sender {
                address: server.address("http"),
                stream: stream.clone(),
                round,
                batches_per_second: self.rate as f64 / (BATCH_RECORDS * CONNECTIONS) as f64,
                counts: Arc::clone(&self.counts),
            };
            (stream, std::thread::spawn(|| sender.run()))
        };
        (0..CONNECTIONS).map(start).collect()
    }

    fn start_readers(&self, server: &Server) -> Vec<JoinHandle<()>> {
        let address = server.address("http");
        let start = |work: Work| {
            let (address, counts) = (address.clone(), Arc::clone(&self.counts));
            std::thread::spawn(move || work(&address, &counts))
        };
        let tail = |number: usize| {
            let query = TAIL_QUERIES[number % TAIL_QUERIES.len()].replace(' ', "%20").replace('>', "%3E");
            let path = format!("/api/v1/tail?q={query}");
            start(Box::new(move |address, counts| {
                read_on(address, &path, Duration::ZERO, |counts| &counts.tail_bytes, counts);
            }))
        };
        let export = |number: usize| {
            let format = ["ndjson", "csv"][number % 2];
            let path = format!("/api/v1/records?format={format}&order=asc&limit=1000000");
            start(Box::new(move |address, counts| {
                read_on(address, &path, EXPORT_PAUSE, |counts| &counts.export_bytes, counts);
            }))
        };
        let statement =
            |text: &'static str| start(Box::new(move |address, counts| ask_on(address, text, counts)));
        let tails = (0..TAILS).map(tail);
        tails.chain((0..EXPORTS).map(export)).chain(STATEMENTS.map(statement)).collect()
    }

    fn look(&mut self, server: &Server) {
        let Peaks { memory_kib, spool_bytes, sqlite_bytes } = &mut self.peaks;
        *memory_kib = (*memory_kib).max(server.peak_memory_kib());
        let data = self.folder.path().join("data");
        *spool_bytes = (*spool_bytes).max(bytes_in(&data.join("spool"), ""));
        *sqlite_bytes = (*sqlite_bytes).max(bytes_in(&data, "logboom.db"));
    }

    /// Reads the new rows of both databases, once everything has been shipped.
    fn audit(&mut self) {
        let mut server = self.setup.start(&self.data());
        let start = Instant::now();
        loop {
            let answer = server.request("POST", "/api/v1/flush", &[], b"");
            if answer.status == 200 {
                break;
            }
            assert!(start.elapsed() < 10 * PATIENCE, "{}", answer.text());
        }
        self.sqlite.follow_sqlite(&self.data().join("logboom.db"));
        self.sqlite.check_has("SQLite", &self.acknowledged);
        self.postgres.follow_postgres(&self.database);
        self.postgres.check_has("PostgreSQL", &self.acknowledged);
        assert_eq!(self.sqlite.next, self.postgres.next, "both databases have the same records");
        let status = server.status();
        let lost = &status["spool"]["lost_records"];
        assert_eq!(lost, 0, "{status}");
        self.look(&server);
        assert_eq!(server.stop(), 0);
        check_log(&server);
    }

    /// Every kind of client got its share of the work in every round.
    fn check_shares(&self, rounds: u64) {
        let read = |count: &AtomicU64| count.load(Relaxed);
        let Counts { statements, stopped_statements, export_bytes, tail_bytes, .. } = &*self.counts;
        assert!(read(statements) + read(stopped_statements) >= rounds, "statements starve");
        assert!(read(export_bytes) > 0 && read(tail_bytes) > 0, "exports or tails starve");
    }

    fn check_bounds(&self) {
        let Peaks { memory_kib, spool_bytes, sqlite_bytes } = self.peaks;
        assert!(memory_kib <= MEMORY_KIB_MAX, "{memory_kib} KiB of resident memory at its peak");
        assert!(spool_bytes <= SPOOL_BYTES, "the spool took {spool_bytes} bytes");
        assert!(sqlite_bytes <= SQLITE_BYTES + SQLITE_BYTES_BESIDE, "SQLite took {sqlite_bytes} bytes");
    }

    fn summary(&self) -> String {
        let counts = &self.counts;
        let read = |count: &AtomicU64| count.load(Relaxed);
        let acknowledged = read(&counts.acknowledged);
        let postgres = self.database.value("SELECT pg_database_size(current_database()) >> 20");
        format!(
            "{acknowledged} records acknowledged in {:.0} s of load ({:.0}/s), {} stored in each database, 0 lost, 0 doubled; \
             {} batches refused; tails read {} MB, exports {} MB, {} reads refused; {} statements answered, {} stopped by a limit, {} refused; \
             peaks: {:.1} MiB resident, spool {} MiB, SQLite {} MiB; PostgreSQL {postgres} MiB at the end",
            self.load_seconds,
            acknowledged as f64 / self.load_seconds,
            self.sqlite.end,
            read(&counts.refused_batches),
            read(&counts.tail_bytes) / 1_000_000,
            read(&counts.export_bytes) / 1_000_000,
            read(&counts.refused_reads),
            read(&counts.statements),
            read(&counts.stopped_statements),
            read(&counts.refused_statements),
            self.peaks.memory_kib as f64 / 1024.0,
            self.peaks.spool_bytes >> 20,
            self.peaks.sqlite_bytes >> 20,
        )
    }
}

/// Returns the bytes of the files in a folder whose names start with this text.
fn bytes_in(folder: &Path, start: &str) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let files = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(start));
    files.filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
}

fn check_log(server: &Server) {
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn combined_load_stays_exact_and_within_bounds() {
    let mut random = Random::from_seed("SOAK_SEED");
    let minutes = variable("SOAK_MINUTES");
    let round_of = |duration: Duration, random: &mut Random| {
        duration * 3 / 4 + duration.mul_f64(random.below(1000) as f64 / 2000.0)
    };
    let rate = variable("SOAK_RATE").unwrap_or(if minutes.is_some() { RATE } else { SHORT_RATE });
    let mut soak = Soak::begin(rate);
    let start = Instant::now();
    let mut round = 0;
    match minutes {
        Some(minutes) => {
            while start.elapsed() < Duration::from_secs(60 * minutes) {
                soak.round(round, round_of(ROUND, &mut random));
                round += 1;
                println!(
                    "{round} rounds, {:.0} minutes: {}",
                    start.elapsed().as_secs_f64() / 60.0,
                    soak.summary()
                );
            }
        }
        None => {
            while round < SHORT_ROUNDS {
                soak.round(round, round_of(SHORT_ROUND, &mut random));
                round += 1;
            }
        }
    }
    println!("{}", soak.summary());
    soak.check_shares(round);
    if minutes.is_some() {
        soak.check_bounds(); // a few seconds of a debug build say little about the bounds
    }
}
