//! Live tails: how soon a record is seen once it is acknowledged, and what many tails cost the
//! senders.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

use memchr::memmem::{self, Finder};

use super::{Setup, needs};
use crate::generator::{Load, Pace};
use crate::histogram::Histogram;
use crate::payloads::{Payloads, post};
use crate::report::{Figures, Line, Reach, figures_of, latencies};

const CONNECTIONS: usize = 64;
const TAILS: usize = 16;

/// The last record, which every tail waits for.
const END: &str = "end-of-run";

pub fn measure(setup: &Setup) -> Vec<Line> {
    let none: Vec<String> = Vec::new();
    let services: Vec<_> = (0..TAILS).map(|n| format!("service:service-{n:02} OR {END}")).collect();
    let everything = vec![String::new(); TAILS];
    let alone = shared(setup, "60,000/s, no tail", &none);
    let limit = alone.figures["p99_ms"];
    let held = |line: Line| line.held_against("p99_ms", limit, Reach::AtMost(2.0));
    vec![
        seen(setup).held_against("p99_ms", 100.0, Reach::AtMost(1.0)),
        held(shared(setup, "60,000/s, 16 tails, each of a service", &services)),
        held(shared(setup, "60,000/s, 16 tails of everything", &everything)),
        Line { name: format!("  {}", alone.name), ..alone },
    ]
}

/// Measures 10,000 single events per second and one tail of all events: from the response to each
/// event until the tail has the event.
fn seen(setup: &Setup) -> Line {
    const RATE: f64 = 10_000.0;
    let payloads = Payloads::requests(1);
    let server = setup.server(0, &[]);
    let warm_up = (RATE * setup.seconds(2.0)) as u64;
    let records = warm_up + (RATE * setup.seconds(10.0)) as u64;
    let tail = Tail::open(server.http, "");
    let seen = thread::spawn(move || tail.times(records));
    let mut acknowledged = vec![None; records as usize];
    let pace = Pace::Open { per_second: RATE, warm_up };
    let load = Load { address: server.http, connections: CONNECTIONS, payloads: &payloads, records, pace };
    let cpu = server.cpu_seconds();
    let sent = load.run_telling(|number, now| acknowledged[number as usize] = Some(now)).unwrap();
    let seen = seen.join().unwrap();
    server.flush();
    let mut histogram = Histogram::new();
    // The same events are sent repeatedly.
    let mut times = HashMap::<u64, u64>::new();
    for (event, at) in seen {
        let time = times.entry(event).or_default();
        let number = event + *time * payloads.bytes.len() as u64;
        *time += 1;
        if number >= warm_up {
            histogram.add(at.saturating_duration_since(acknowledged[number as usize].unwrap()));
        }
    }
    let mut figures = figures_of(&sent, records);
    figures.extend(latencies(&histogram));
    figures.extend(needs(&server, cpu, records));
    server.check_stored(records);
    Line::new("acknowledged to seen, 10,000/s", figures)
}

/// Measures 600 POSTs of 100 events per second; latencies are those of the POSTs.
fn shared(setup: &Setup, name: &str, queries: &[String]) -> Line {
    const RATE: f64 = 600.0;
    let payloads = Payloads::requests(100);
    let server = setup.server(0, &[]);
    let warm_up = (RATE * setup.seconds(2.0)) as u64;
    let records = payloads.records * (warm_up + (RATE * setup.seconds(10.0)) as u64);
    let tails: Vec<_> = queries.iter().map(|query| Tail::open(server.http, query)).collect();
    let tails: Vec<_> = tails.into_iter().map(|tail| thread::spawn(move || tail.count())).collect();
    let pace = Pace::Open { per_second: RATE, warm_up };
    let load = Load { address: server.http, connections: CONNECTIONS, payloads: &payloads, records, pace };
    let cpu = server.cpu_seconds();
    let sent = load.run().unwrap();
    let end = Payloads::answered(vec![post(&format!("{{\"message\":\"{END}\"}}"))], 1);
    let end = Load { connections: 1, payloads: &end, records: 1, pace: Pace::Closed, ..load };
    assert_eq!(end.run().unwrap().accepted, 1); // accepted before the flush, which waits for it
    let counts: Vec<Counts> = tails.into_iter().map(|tail| tail.join().unwrap()).collect();
    server.flush();
    let mut figures = figures_of(&sent, records);
    figures.extend(needs(&server, cpu, records));
    for (counts, query) in counts.iter().zip(queries) {
        let expected = if query.is_empty() { records } else { records / 20 } + 1;
        assert!(counts.seen == expected || counts.missed > 0, "{query}: {counts:?} of {expected}");
        assert!(!query.is_empty() || counts.seen + counts.missed == expected, "{counts:?}");
    }
    let total = |count: fn(&Counts) -> u64| counts.iter().map(count).sum::<u64>() as f64;
    if !counts.is_empty() {
        figures.extend(Figures::from([
            ("seen_per_second", total(|counts| counts.seen) / sent.seconds),
            ("missed", total(|counts| counts.missed)),
        ]));
    }
    server.check_stored(records + 1);
    Line::new(name, figures)
}

/// A client of a live tail.
struct Tail(TcpStream);

/// What a tail has received.
#[derive(Debug, Default)]
struct Counts {
    seen: u64,
    missed: u64,
}

impl Tail {
    /// Returns once the server has begun to respond.
    fn open(address: SocketAddr, query: &str) -> Tail {
        let mut stream = TcpStream::connect(address).unwrap();
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let head = format!("GET /api/v1/tail?q={query} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        Tail(stream)
    }

    /// Receives whole events until `is_over` returns true. The framing of HTTP chunks is between
    /// events.
    fn read(mut self, mut is_over: impl FnMut(&[u8]) -> bool) {
        let (mut buffer, mut filled) = (vec![0; 1 << 20], 0);
        loop {
            let length = self.0.read(&mut buffer[filled..]).unwrap();
            assert!(length > 0, "the stream ended");
            filled += length;
            let Some(end) = memmem::rfind(&buffer[..filled], b"\n\n") else { continue };
            if is_over(&buffer[..end + 2]) {
                return;
            }
            buffer.copy_within(end + 2..filled, 0);
            filled -= end + 2;
        }
    }

    /// Returns which event arrived when, until there are this many.
    fn times(self, records: u64) -> Vec<(u64, Instant)> {
        let mut times = Vec::with_capacity(records as usize);
        let message = Finder::new("log message ");
        self.read(|events| {
            let now = Instant::now();
            for at in message.find_iter(events) {
                let digits = &events[at + "log message ".len()..][..8];
                times.push((std::str::from_utf8(digits).unwrap().parse().unwrap(), now));
            }
            times.len() as u64 == records
        });
        times
    }

    /// Returns how many events arrived until the last one.
    fn count(self) -> Counts {
        let mut counts = Counts::default();
        let (record, missed, end) =
            (Finder::new("\nevent: record\n"), Finder::new("{\"count\":"), Finder::new(END));
        self.read(|events| {
            counts.seen += record.find_iter(events).count() as u64;
            for at in missed.find_iter(events) {
                let digits = events[at + "{\"count\":".len()..].split(|byte| !byte.is_ascii_digit()).next();
                counts.missed += std::str::from_utf8(digits.unwrap()).unwrap().parse::<u64>().unwrap();
            }
            end.find(events).is_some()
        });
        counts
    }
}
