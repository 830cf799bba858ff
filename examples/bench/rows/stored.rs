//! From the first byte until everything is stored, compared with the store alone.

use std::time::Instant;

use super::{Setup, lines_of, needs};
use crate::data_sets::DataSet;
use crate::generator::{Load, Pace};
use crate::limits::{disk, sqlite::Rows};
use crate::payloads::Payloads;
use crate::report::{Figures, Line, Reach, figures_of};
use crate::server::Server;

const CONNECTIONS: usize = 4;

const RECORDS: u64 = 2_000_000;

/// Measures SQLite, compared with one thread that inserts the same rows.
pub fn sqlite(setup: &Setup, threads: usize, set: DataSet) -> Vec<Line> {
    let payloads = Payloads::of_set(set, setup.scaled(RECORDS));
    let records = payloads.total();
    let server = setup.server(threads, &[]);
    let mut ours = store(&server, &payloads);
    ours.insert("database_bytes_per_record", server.database_bytes() / records as f64);
    drop(payloads);
    server.check_stored(records);
    let rows = Rows::of(&server.database());
    drop(server);

    let folder = tempfile::tempdir_in(&setup.folder).unwrap();
    let seconds = rows.insert(&folder.path().join("rows.db"), records);
    let rate = records as f64 / seconds;
    let limit = Figures::from([
        ("records_per_second", rate),
        ("database_bytes_per_record", crate::process::disk_bytes(folder.path()) / records as f64),
    ]);
    vec![
        Line::new(format!("logboom, {}", set.name()), ours).held_against(
            "records_per_second",
            rate,
            Reach::AtLeast(0.8),
        ),
        Line::new("  rows inserted", limit),
    ]
}

/// Measures a file of lines, compared with writing the same bytes.
pub fn file(setup: &Setup, threads: usize) -> Vec<Line> {
    let payloads = Payloads::of_set(DataSet::Plain, setup.scaled(RECORDS));
    let records = payloads.total();
    let server = setup.server(threads, &["--store=file:{data}/all.log"]);
    let ours = store(&server, &payloads);
    let path = server.data_dir().join("all.log");
    assert_eq!(lines_of(&path), records, "lines in the file");

    let seconds = disk::copy(&path, &server.data_dir().join("copy"));
    let rate = records as f64 / seconds;
    vec![
        Line::new("logboom, in a file", ours).held_against("records_per_second", rate, Reach::Open),
        Line::new("  bytes written", Figures::from([("records_per_second", rate)])),
    ]
}

/// Sends all payloads once, and waits until everything is in the store.
pub fn store(server: &Server, payloads: &Payloads) -> Figures {
    let records = payloads.total();
    let cpu = server.cpu_seconds();
    let load = Load { address: server.http, connections: CONNECTIONS, payloads, records, pace: Pace::Closed };
    let sent = load.run().unwrap();
    assert_eq!(sent.accepted, records);
    server.flush();
    let seconds = Instant::now().duration_since(sent.start).as_secs_f64();
    let mut figures = figures_of(&sent, records);
    figures.insert("records_per_second", records as f64 / seconds);
    figures.extend(needs(server, cpu, records));
    server.check_accepted(records);
    figures
}
