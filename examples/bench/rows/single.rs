//! One event per POST: how many per second, and how long each waits.

use super::{Setup, needs};
use crate::generator::{Load, Pace};
use crate::limits::{LimitServer, disk};
use crate::payloads::Payloads;
use crate::report::{Line, Reach, figures_of, latencies};

const CONNECTIONS: usize = 50;
const RATE: f64 = 5000.0;

/// Measures the rate of a closed loop compared with that of a server that does nothing, and the
/// latency of an open loop of 5,000 per second compared with the latency of that server and of one
/// durable write together.
pub fn measure(setup: &Setup, threads: usize) -> Vec<Line> {
    let payloads = Payloads::requests(1);
    let mut lines = rates(setup, threads, &payloads);
    lines.extend(waits(setup, threads, &payloads));
    lines
}

fn rates(setup: &Setup, threads: usize, payloads: &Payloads) -> Vec<Line> {
    let records = setup.scaled(400_000);
    let load = |address| Load { address, connections: CONNECTIONS, payloads, records, pace: Pace::Closed };

    let echo = LimitServer::start(&["echo", &threads.to_string()]);
    let cpu = echo.process.cpu_seconds();
    let sent = load(echo.address).run().unwrap();
    let mut limit = figures_of(&sent, records);
    limit.insert("cpu_seconds_per_million", (echo.process.cpu_seconds() - cpu) / records as f64 * 1e6);
    drop(echo);

    let server = setup.server(threads, &[]);
    let cpu = server.cpu_seconds();
    let sent = load(server.http).run().unwrap();
    assert_eq!(sent.accepted, records);
    server.flush();
    let mut ours = figures_of(&sent, records);
    ours.extend(needs(&server, cpu, records));
    server.check_accepted(records);
    server.check_stored(records);

    let rate = limit["records_per_second"];
    vec![
        Line::new("logboom, closed loop", ours).held_against("records_per_second", rate, Reach::AtLeast(0.7)),
        Line::new("  bare hyper", limit),
    ]
}

fn waits(setup: &Setup, threads: usize, payloads: &Payloads) -> Vec<Line> {
    let (warm_up, seconds) = (setup.seconds(2.0), setup.seconds(8.0));
    let warm_up = (RATE * warm_up) as u64;
    let records = warm_up + (RATE * seconds) as u64;
    let pace = Pace::Open { per_second: RATE, warm_up };
    let load = |address| Load { address, connections: CONNECTIONS, payloads, records, pace };

    let echo = LimitServer::start(&["echo", &threads.to_string()]);
    let echo = figures_of(&load(echo.address).run().unwrap(), records);
    let sync = latencies(&disk::sync(&setup.folder, setup.scaled(8000)));

    let server = setup.server(threads, &[]);
    let cpu = server.cpu_seconds();
    let sent = load(server.http).run().unwrap();
    assert_eq!(sent.accepted, records);
    server.flush();
    let mut ours = figures_of(&sent, records);
    ours.extend(needs(&server, cpu, records));
    server.check_stored(records);

    let limit = echo["p50_ms"] + sync["p50_ms"];
    vec![
        Line::new("logboom, 5,000/s", ours).held_against("p50_ms", limit, Reach::AtMost(2.0)),
        Line::new("  bare hyper, 5,000/s", echo),
        Line::new("  write + fdatasync", sync),
    ]
}
