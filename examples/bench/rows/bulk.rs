//! Records in bulk: how many per second are durable, while they are shipped into SQLite.

use super::{Setup, needs};
use crate::generator::{Load, Pace};
use crate::limits::LimitServer;
use crate::payloads::Payloads;
use crate::report::{Figures, Line, Reach, figures_of};

/// Measures 1,000 events per POST on 4 connections.
pub fn ndjson(setup: &Setup, threads: usize) -> Vec<Line> {
    Bulk {
        payloads: Payloads::requests(1000),
        connections: 4,
        records: setup.scaled(4_000_000),
        reach: 0.1,
        durable: "logboom, acknowledged",
    }
    .measure(setup, threads)
}

/// Measures frames on 200 connections.
pub fn python(setup: &Setup, threads: usize) -> Vec<Line> {
    Bulk {
        payloads: Payloads::frames(),
        connections: 200,
        records: setup.scaled(4_000_000),
        reach: 0.2,
        durable: "logboom, durable",
    }
    .measure(setup, threads)
}

struct Bulk {
    payloads: Payloads,
    connections: usize,
    records: u64,
    /// The part of the limit's rate to reach.
    reach: f64,
    durable: &'static str,
}

impl Bulk {
    fn measure(&self, setup: &Setup, threads: usize) -> Vec<Line> {
        let limit = self.discard(threads);
        let (durable, stored) = self.ours(setup, threads);
        let rate = limit["records_per_second"];
        vec![
            Line::new(self.durable, durable).held_against(
                "records_per_second",
                rate,
                Reach::AtLeast(self.reach),
            ),
            Line::new("logboom, in SQLite", stored),
            Line::new("  read, thrown away", limit),
        ]
    }

    fn load(&self, address: std::net::SocketAddr, records: u64) -> Load<'_> {
        Load { address, connections: self.connections, payloads: &self.payloads, records, pace: Pace::Closed }
    }

    /// Measures the same sender with a server that discards everything. This server is so fast that
    /// it gets more records.
    fn discard(&self, threads: usize) -> Figures {
        let records = 4 * self.records;
        let per_payload = self.payloads.records.to_string();
        let what = if self.payloads.are_answered { per_payload.as_str() } else { "frames" };
        let server = LimitServer::start(&["discard", &threads.to_string(), what]);
        let sent = self.load(server.address, records).run().unwrap();
        assert_eq!(sent.accepted, records);
        let mut figures = figures_of(&sent, records);
        figures.insert("cpu_seconds_per_million", server.process.cpu_seconds() / records as f64 * 1e6);
        figures
    }

    /// Measures until the last record was durable, and until the last record was in the database.
    fn ours(&self, setup: &Setup, threads: usize) -> (Figures, Figures) {
        let records = self.records;
        let server = setup.server(threads, &[]);
        let cpu = server.cpu_seconds();
        let sent = self.load(if self.payloads.are_answered { server.http } else { server.python }, records);
        let mut sent = sent.run().unwrap();
        assert_eq!(sent.accepted, records);
        if !self.payloads.are_answered {
            server.wait_until_durable(records);
            sent.seconds = sent.start.elapsed().as_secs_f64();
        }
        server.flush();
        let seconds = sent.start.elapsed().as_secs_f64();
        let mut durable = figures_of(&sent, records);
        durable.extend(needs(&server, cpu, records));
        durable.insert("record_bytes", self.payloads.record_bytes());
        server.check_accepted(records);
        server.check_stored(records);
        (durable, Figures::from([("records_per_second", records as f64 / seconds)]))
    }
}
