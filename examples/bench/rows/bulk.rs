//! Records in bulk: how many per second are durable, while they are shipped into SQLite.

use super::victorialogs;
use super::{Setup, needs};
use crate::data_sets::DataSet;
use crate::generator::{Load, Pace};
use crate::limits::LimitServer;
use crate::payloads::Payloads;
use crate::report::{Figures, Line, Reach, figures_of};

const RECORDS: u64 = 2_000_000;

/// The processor time of a million events of about 340 bytes that logboom may need.
const CPU_SECONDS_PER_MILLION: f64 = 3.0;

/// Measures 1,000 events per POST on 4 connections, compared with a fixed processor time and, if
/// its executable is given, with VictoriaLogs.
pub fn ndjson(setup: &Setup, threads: usize, set: DataSet) -> Vec<Line> {
    let payloads = Payloads::of_set(set, setup.scaled(RECORDS));
    let records = payloads.total();
    let [mut durable, mut stored, discarded] =
        Bulk { payloads, connections: 4, records }.measure(setup, threads, set);
    if set.is_as_large_as_plain() {
        let limit = CPU_SECONDS_PER_MILLION;
        durable = durable.held_against("cpu_seconds_per_million", limit, Reach::AtMost(1.0));
    }
    let mut lines = Vec::new();
    // The peer has no setting that makes it use one thread.
    if let Some(executable) = setup.victorialogs.as_ref().filter(|_| threads == 0) {
        let peer = victorialogs::ingest(setup, executable, set, records);
        stored = stored.held_against("records_per_second", peer["records_per_second"], Reach::AtLeast(1.0));
        lines.push(Line::new("  VictoriaLogs, queryable", peer));
    }
    [durable, stored, discarded].into_iter().chain(lines).collect()
}

/// Measures frames on 200 connections.
pub fn python(setup: &Setup, threads: usize, set: DataSet) -> Vec<Line> {
    let payloads = Payloads::frames_of_set(set);
    Bulk { payloads, connections: 200, records: setup.scaled(RECORDS) }.measure(setup, threads, set).into()
}

struct Bulk {
    payloads: Payloads,
    connections: usize,
    records: u64,
}

impl Bulk {
    /// Measures logboom until everything was durable, and until it was stored; and, for information
    /// only, a server that discards everything: what the generator and the network need.
    fn measure(&self, setup: &Setup, threads: usize, set: DataSet) -> [Line; 3] {
        let discarded = self.discard(threads);
        let (durable, stored) = self.ours(setup, threads);
        let name = |what: &str| format!("logboom, {}, {what}", set.name());
        [
            Line::new(name("durable"), durable),
            Line::new(name("SQLite"), stored),
            Line::new("  read, thrown away", discarded),
        ]
    }

    fn load(&self, address: std::net::SocketAddr, records: u64) -> Load<'_> {
        Load { address, connections: self.connections, payloads: &self.payloads, records, pace: Pace::Closed }
    }

    /// This server is so fast that it gets more records.
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
