//! VictoriaLogs and logboom, if the executable of the former is given: the same events over the
//! same number of connections, and then the same queries.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::peers::free_port;
use super::queries::{find, histogram, median_ms};
use super::stored::store;
use super::{Setup, needs};
use crate::data_sets::DataSet;
use crate::day::{NEEDLE, NEEDLE_VALUE, NEEDLES, plant};
use crate::event::Event;
use crate::generator::{Load, Pace};
use crate::payloads::{POST, Payloads};
use crate::report::{Figures, Line, Reach, figures_of};
use crate::server::Server;
use crate::victorialogs::{self, VictoriaLogs, number};

const CONNECTIONS: usize = 4;

/// The number of events. VictoriaLogs makes events searchable about a second after it has received
/// them, and sending this many takes much longer than a second.
const RECORDS: u64 = 2_000_000;

/// The events that both get.
#[derive(Clone, Copy)]
struct Events {
    set: DataSet,
    records: u64,
}

impl Events {
    fn event(self, number: u64) -> Event {
        let mut event = self.set.event(number);
        plant(&mut event, number, self.records);
        event
    }

    fn payloads(self, head: &str) -> Payloads {
        Payloads::of_events(head, self.records, |number| self.event(number))
    }

    fn expected(self) -> Expected {
        let trace = (self.records / 3..self.records).find_map(|number| self.event(number).trace_id);
        Expected {
            records: self.records,
            of_service: self.set.found_of_service(),
            of_trace: u64::from(trace.is_some()),
            trace: trace.unwrap_or_else(|| "none".to_owned()),
        }
    }
}

/// Measures ingest and queries of both.
pub fn compare(setup: &Setup, executable: &Path, set: DataSet) -> Vec<Line> {
    let events = Events { set, records: Payloads::fitting(set, setup.scaled(RECORDS)) };
    let (server, ours) = ours(setup, events.payloads(POST));
    let expected = events.expected();
    let ask_ours = QUESTIONS.map(|question| median_ms(|| (question.ours)(&server, &expected)));
    let our_peak = server.peak_bytes();
    drop(server);

    let (peer, theirs) = run(setup, executable, events.payloads(victorialogs::POST));
    let ask_theirs = QUESTIONS.map(|question| median_ms(|| (question.theirs)(&peer, &expected)));
    let their_peak = peer.process.peak_bytes();
    drop(peer);

    let name = |what: &str| format!("{}: {what}", set.name());
    let after_queries = |who, bytes| Line::new(name(who), Figures::from([("peak_megabytes", bytes / 1e6)]));
    let rate = theirs["records_per_second"];
    let mut lines = vec![
        Line::new(name("logboom"), ours).held_against("records_per_second", rate, Reach::AtLeast(1.0)),
        Line::new(name("VictoriaLogs"), theirs),
        after_queries("logboom, queried", our_peak),
        after_queries("VictoriaLogs, queried", their_peak),
    ];
    for ((question, ours), theirs) in QUESTIONS.iter().zip(ask_ours).zip(ask_theirs) {
        let line = Line::new(name(question.name), Figures::from([("warm_ms", ours)]));
        lines.push(line.held_against("warm_ms", theirs, Reach::Open));
    }
    lines
}

/// Measures the ingest of VictoriaLogs alone: the events of the row `ndjson`.
pub fn ingest(setup: &Setup, executable: &Path, set: DataSet, records: u64) -> Figures {
    let payloads = Payloads::of_events(victorialogs::POST, records, |number| set.event(number));
    run(setup, executable, payloads).1
}

/// Sends all payloads to a new logboom, and waits as for VictoriaLogs.
fn ours(setup: &Setup, payloads: Payloads) -> (Server, Figures) {
    let records = payloads.total();
    let server = setup.server(0, &[]);
    let cpu = server.cpu_seconds();
    let mut figures = store(&server, &payloads);
    server.check_stored(records);
    settle(|| server.disk_bytes());
    let needs = needs(&server, cpu, records);
    figures.insert("cpu_seconds_per_million", needs["cpu_seconds_per_million"]);
    figures.insert("disk_bytes_per_record", needs["disk_bytes_per_record"]);
    figures.insert("database_bytes_per_record", server.database_bytes() / records as f64);
    (server, figures)
}

/// Sends all payloads to a new VictoriaLogs, and waits until all events can be queried, and then
/// until all are on disk.
fn run(setup: &Setup, executable: &Path, payloads: Payloads) -> (VictoriaLogs, Figures) {
    let records = payloads.total();
    let payloads = Payloads { are_counted: false, ..payloads };
    rustix::fs::sync();
    let peer = VictoriaLogs::start(executable, &setup.folder, free_port());
    let cpu = peer.process.cpu_seconds();
    let load = Load {
        address: peer.address,
        connections: CONNECTIONS,
        payloads: &payloads,
        records,
        pace: Pace::Closed,
    };
    let sent = load.run().unwrap();
    peer.wait_until_queryable(records);
    let seconds = sent.start.elapsed().as_secs_f64();
    let peak = peer.process.peak_bytes();
    peer.wait_until_on_disk();
    settle(|| peer.disk_bytes());
    peer.wait_until_queryable(records);
    let disk_bytes = peer.disk_bytes() / records as f64;
    let mut figures = figures_of(&sent, records);
    figures.extend([
        ("records_per_second", records as f64 / seconds),
        ("cpu_seconds_per_million", (peer.process.cpu_seconds() - cpu) / records as f64 * 1e6),
        ("peak_megabytes", peak / 1e6),
        ("disk_bytes_per_record", disk_bytes),
        ("database_bytes_per_record", disk_bytes),
    ]);
    (peer, figures)
}

/// Waits until files no longer change, because both servers still work on them after everything is
/// stored.
fn settle(disk_bytes: impl Fn() -> f64) {
    const STILL_SECONDS: u32 = 5;
    const SECONDS_MAX: u32 = 60;
    let (mut size, mut still) = (disk_bytes(), 0);
    for _ in 0..SECONDS_MAX {
        std::thread::sleep(Duration::from_secs(1));
        let now = disk_bytes();
        still = if now == size { still + 1 } else { 0 };
        size = now;
        if still == STILL_SECONDS {
            return;
        }
    }
}

/// What queries find.
struct Expected {
    records: u64,
    /// Of a service, at most 100.
    of_service: u64,
    /// A trace id, and the number of its events.
    trace: String,
    of_trace: u64,
}

/// A query to both, whose answers are checked.
struct Question {
    name: &'static str,
    ours: fn(&Server, &Expected),
    theirs: fn(&VictoriaLogs, &Expected),
}

const QUESTIONS: [Question; 6] = [
    Question {
        name: "last 100 of a service",
        ours: |server, expected| find(server, "service:service-07", expected.of_service),
        theirs: |peer, expected| {
            check(&peer.query(r#"{service="service-07"}"#, Some(100)), expected.of_service);
        },
    },
    Question {
        name: "a rare word",
        ours: |server, _| find(server, NEEDLE, NEEDLES),
        theirs: |peer, _| check(&peer.query(NEEDLE, Some(100)), NEEDLES),
    },
    Question {
        name: "a rare attribute value",
        ours: |server, _| find(server, &format!("animal:{NEEDLE_VALUE}"), NEEDLES),
        theirs: |peer, _| {
            let query = format!(r#""attributes.animal":="{NEEDLE_VALUE}""#);
            check(&peer.query(&query, Some(100)), NEEDLES);
        },
    },
    Question {
        name: "a trace_id",
        ours: |server, expected| {
            find(server, &format!("trace_id:{}", expected.trace), expected.of_trace);
        },
        theirs: |peer, expected| {
            let query = format!(r#"trace_id:="{}""#, expected.trace);
            check(&peer.query(&query, Some(100)), expected.of_trace);
        },
    },
    Question {
        name: "count by severity",
        ours: |server, expected| assert_eq!(severity_total(server), expected.records),
        theirs: |peer, expected| {
            let rows = peer.query("* | stats by (level) count() n", None);
            assert_eq!(rows.iter().map(|row| number(&row["n"])).sum::<u64>(), expected.records);
        },
    },
    Question {
        name: "histogram by severity",
        ours: |server, expected| histogram(server, expected.records),
        theirs: |peer, expected| assert_eq!(peer.histogram_total(), expected.records),
    },
];

fn check(found: &[Value], expected: u64) {
    assert_eq!(found.len() as u64, expected, "{found:?}");
}

/// Returns the number of records of all severities.
fn severity_total(server: &Server) -> u64 {
    let answer: Value = serde_json::from_str(&server.get("/api/v1/fields/severity?limit=100")).unwrap();
    assert_eq!(answer["partial"], false);
    let counts = answer["values"].as_array().unwrap().iter().map(|value| number(&value["count"]));
    counts.sum::<u64>() + number(&answer["missing"])
}
