//! How the figures change with growth: of connections, records, the database.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::{Setup, needs};
use crate::data_sets::DataSet;
use crate::generator::{Load, Pace};
use crate::histogram::Histogram;
use crate::limits::LimitServer;
use crate::payloads::{Payloads, post};
use crate::report::{Figures, Line, Reach, figures_of, latencies};
use crate::server::Server;

/// Measures with 1 to 10,000 connections.
pub fn connections(setup: &Setup) -> Vec<Line> {
    const COUNTS: [usize; 5] = [1, 50, 200, 2000, 10_000];
    let (requests, frames) = (Payloads::requests(1), Payloads::frames());
    let single = |connections: usize| {
        // A single connection waits for the disk each time.
        let records = setup.scaled(if connections == 1 { 40_000 } else { 200_000 });
        let echo = LimitServer::start(&["echo", "0"]);
        let load = |address| Load { address, connections, payloads: &requests, records, pace: Pace::Closed };
        let limit = records as f64 / load(echo.address).run().unwrap().seconds;
        drop(echo);
        let name = format!("single POSTs, {connections} connections");
        Line::new(name, sent(&setup.server(0, &[]), &requests, connections, records)).held_against(
            "records_per_second",
            limit,
            Reach::Open,
        )
    };
    let python = |connections: usize| {
        let records = setup.scaled(2_000_000);
        let name = format!("pickles, {connections} connections");
        Line::new(name, sent(&setup.server(0, &[]), &frames, connections, records))
    };
    COUNTS.map(single).into_iter().chain(COUNTS.map(python)).collect()
}

/// Measures with records of 100 bytes to 64 KiB.
pub fn sizes(setup: &Setup) -> Vec<Line> {
    const SIZES: [usize; 6] = [100, 340, 1 << 10, 4 << 10, 16 << 10, 64 << 10];
    let line = |bytes: usize| {
        let events = ((1 << 20) / bytes).clamp(10, 1000);
        let payloads = Payloads::sized(events, bytes);
        let records =
            setup.scaled(((512 << 20) / bytes as u64).min(2_000_000)).next_multiple_of(events as u64);
        let mut figures = sent(&setup.server(0, &[]), &payloads, 4, records);
        figures.insert("megabytes_per_second", figures["records_per_second"] * bytes as f64 / 1e6);
        Line::new(format!("{bytes} B a record, {events} a POST"), figures)
    };
    SIZES.map(line).into()
}

/// Sends, waits until everything is stored, and counts the records.
pub fn sent(server: &Server, payloads: &Payloads, connections: usize, records: u64) -> Figures {
    let address = if payloads.are_answered { server.http } else { server.python };
    let cpu = server.cpu_seconds();
    let mut sent = Load { address, connections, payloads, records, pace: Pace::Closed }.run().unwrap();
    assert_eq!(sent.accepted, records);
    if !payloads.are_answered {
        server.wait_until_durable(records);
        sent.seconds = sent.start.elapsed().as_secs_f64();
    }
    server.flush();
    let seconds = sent.start.elapsed().as_secs_f64();
    let mut figures = figures_of(&sent, records);
    figures.insert("stored_per_second", records as f64 / seconds);
    figures.extend(needs(server, cpu, records));
    server.check_accepted(records);
    if server.has_database() {
        server.check_stored(records);
    }
    figures
}

/// Sizes of the database, in rows, at which ingest and queries are measured.
const FILLS: [u64; 3] = [0, 10_000_000, 50_000_000];

/// A word and a trace id that only a handful of records have.
const NEEDLE: &str = "quokka";
const NEEDLE_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Disk space of a record here, with the spool and some room.
const DISK_BYTES_PER_RECORD: u64 = 180;

/// Number of different events, which repeat.
const EVENTS: u64 = 1_000_000;

/// Measures ingest and queries on an empty database, on one of 10 million rows, and on one of 50
/// million; on a fifth of that with larger events.
pub fn rows(setup: &Setup, set: DataSet) -> Vec<Line> {
    let payloads = Payloads::of_set(set, setup.scaled(EVENTS));
    let (part, disk_bytes_per_record) = match set.is_as_large_as_plain() {
        true => (1, DISK_BYTES_PER_RECORD),
        false => (5, DISK_BYTES_PER_RECORD.max((payloads.record_bytes() * 1.2) as u64)),
    };
    let fills = FILLS.map(|size| setup.scaled(size / part));
    check_free_space(&setup.folder, fills[fills.len() - 1] * disk_bytes_per_record);
    let server = setup.server(0, &[]);
    let mut there = 0;
    let mut lines = Vec::new();
    let send = |records: u64, there: &mut u64| {
        let load =
            Load { address: server.http, connections: 4, payloads: &payloads, records, pace: Pace::Closed };
        let sent = load.run().unwrap();
        assert_eq!(sent.accepted, records);
        server.flush();
        *there += records;
        records as f64 / sent.start.elapsed().as_secs_f64()
    };
    for (planted, size) in fills.into_iter().enumerate() {
        if size > there {
            send((size - there).next_multiple_of(1000), &mut there);
        }
        there += plant(&server);
        let name = |what: &str| format!("{}, {} M rows: {what}", set.name(), size as f64 / 1e6);
        let rate = send(setup.scaled(1_000_000), &mut there);
        let ingest = Figures::from([
            ("records_per_second", rate),
            ("peak_megabytes", server.peak_bytes() / 1e6),
            ("disk_bytes_per_record", server.disk_bytes() / there as f64),
        ]);
        lines.push(Line::new(name("ingest, until stored"), ingest));
        for (what, figures) in ask(&server, set, there, planted as u64 + 1) {
            lines.push(Line::new(name(what), figures));
        }
    }
    server.check_stored(there);
    lines
}

fn check_free_space(folder: &Path, needed: u64) {
    let disk = rustix::fs::statvfs(folder).unwrap();
    let free = disk.f_bavail * disk.f_frsize;
    assert!(free > needed, "{free} bytes are free in {}, and {needed} are needed", folder.display());
}

/// Sends one record that queries look for.
fn plant(server: &Server) -> u64 {
    let body = format!(
        "{{\"level\":\"WARN\",\"service\":\"zoo\",\"message\":\"a {NEEDLE} escaped\",\"trace_id\":\"{NEEDLE_TRACE}\"}}\n"
    );
    let payloads = Payloads::answered(vec![post(&body)], 1);
    let load =
        Load { address: server.http, connections: 1, payloads: &payloads, records: 1, pace: Pace::Closed };
    load.run().unwrap().accepted
}

/// Runs each query a few times, and checks the responses.
fn ask(server: &Server, set: DataSet, rows: u64, planted: u64) -> [(&'static str, Figures); 4] {
    let find = |query: &str| {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = server.get(&format!("/api/v1/records?q={query}&limit=100"));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["partial"], false, "{query}");
        answer["records"].as_array().unwrap().len() as u64
    };
    [
        ("last 100 of a service", timed(|| assert_eq!(find("service:service-07"), set.found_of_service()))),
        (
            "count by severity",
            timed(|| {
                let counts = server.sql("SELECT severity, count(*) FROM logs GROUP BY 1");
                assert_eq!(counts.iter().map(|row| row[1].as_u64().unwrap()).sum::<u64>(), rows);
            }),
        ),
        ("a rare word", timed(|| assert_eq!(find(NEEDLE), planted))),
        ("a trace_id", timed(|| assert_eq!(find(&format!("trace_id:{NEEDLE_TRACE}")), planted))),
    ]
}

fn timed(question: impl Fn()) -> Figures {
    let mut times = Histogram::new();
    for _ in 0..5 {
        let start = Instant::now();
        question();
        times.add(start.elapsed());
    }
    let mut figures = latencies(&times);
    figures.retain(|name, _| matches!(*name, "p50_ms" | "max_ms"));
    figures
}
