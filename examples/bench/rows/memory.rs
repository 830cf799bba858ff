//! The memory of a server without any client, and of a server under every kind of load.

use std::thread;
use std::time::{Duration, Instant};

use super::{Setup, needs};
use crate::generator::{Load, Pace};
use crate::payloads::Payloads;
use crate::report::{Figures, Line, Reach};

/// Measures an idle server, and one under all kinds of load at once.
pub fn measure(setup: &Setup) -> Vec<Line> {
    let limit = |name: &str, figures, megabytes| {
        Line::new(name, figures).held_against("peak_megabytes", megabytes, Reach::AtMost(1.0))
    };
    vec![limit("idle", idle(setup), 15.0), limit("full load of three kinds", full(setup), 64.0)]
}

/// Measures a server that has started, and has answered one request.
fn idle(setup: &Setup) -> Figures {
    let server = setup.server(0, &[]);
    server.status();
    let cpu = server.cpu_seconds();
    let seconds = setup.seconds(4.0);
    thread::sleep(Duration::from_secs_f64(seconds));
    Figures::from([
        ("peak_megabytes", server.peak_bytes() / 1e6),
        ("cpu_percent", (server.cpu_seconds() - cpu) / seconds * 100.0),
    ])
}

/// Measures bulk on 4 connections, single events on 50, pickles on 200, all in closed loops at the
/// same time.
fn full(setup: &Setup) -> Figures {
    let server = setup.server(0, &[]);
    let kinds = [
        (Payloads::requests(1000), server.http, 4, setup.scaled(2_000_000)),
        (Payloads::requests(1), server.http, 50, setup.scaled(100_000)),
        (Payloads::frames(), server.python, 200, setup.scaled(2_000_000)),
    ];
    let total = kinds.iter().map(|(.., records)| records).sum();
    let cpu = server.cpu_seconds();
    let start = Instant::now();
    thread::scope(|scope| {
        for (payloads, address, connections, records) in &kinds {
            let (address, connections, records) = (*address, *connections, *records);
            let load = Load { address, connections, payloads, records, pace: Pace::Closed };
            scope.spawn(move || assert_eq!(load.run().unwrap().accepted, records));
        }
    });
    server.wait_until_durable(total);
    let seconds = start.elapsed().as_secs_f64();
    server.flush();
    let mut figures = needs(&server, cpu, total);
    figures.insert("records_per_second", total as f64 / seconds);
    server.check_accepted(total);
    server.check_stored(total);
    figures
}
