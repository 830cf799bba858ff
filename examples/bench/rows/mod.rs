//! What is measured: one file for each kind of work.

pub mod ancestors;
pub mod bulk;
pub mod fields;
pub mod growth;
pub mod indexes;
pub mod load;
pub mod memory;
pub mod open;
pub mod peers;
pub mod postgres;
pub mod queries;
pub mod single;
pub mod stored;
pub mod tail;
pub mod victorialogs;

use std::path::{Path, PathBuf};

use crate::data_sets::DataSet;
use crate::report::{Figures, Line};
use crate::server::Server;

/// One row of the benchmark.
pub struct Row {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Measured when no row is named.
    pub is_default: bool,
    /// Measures one round: always the same lines.
    pub measure: fn(&Setup) -> Vec<Line>,
}

/// All rows, in the order in which they are measured.
pub const ROWS: &[Row] = &[
    Row {
        name: "memory",
        title: "Peak memory: idle, and with NDJSON, single POSTs and pickles at once, on 254 connections",
        is_default: true,
        measure: memory::measure,
    },
    Row {
        name: "single",
        title: "One event a POST, answered when durable",
        is_default: true,
        measure: |setup| single::measure(setup, 0),
    },
    Row {
        name: "ndjson",
        title: "1,000 events a POST, 4 connections, answered when durable, shipped into SQLite meanwhile",
        is_default: true,
        measure: |setup| setup.of_sets(|set| bulk::ndjson(setup, 0, set)),
    },
    Row {
        name: "python",
        title: "Pickles of CPython's SocketHandler, 200 connections, shipped into SQLite meanwhile",
        is_default: true,
        measure: |setup| setup.of_sets(|set| bulk::python(setup, 0, set)),
    },
    Row {
        name: "sqlite",
        title: "1,000 events a POST, 4 connections, from the first byte until all can be queried in SQLite",
        is_default: true,
        measure: |setup| setup.of_sets(|set| stored::sqlite(setup, 0, set)),
    },
    Row {
        name: "file",
        title: "The same into a file of lines, without a database",
        is_default: true,
        measure: |setup| stored::file(setup, 0),
    },
    Row {
        name: "fields",
        title: "What a field costs if it is different in each record: until all can be queried in SQLite",
        is_default: false,
        measure: fields::measure,
    },
    Row {
        name: "postgres",
        title: "Until all can be queried in PostgreSQL, on this machine too; NDJSON on 4 connections, pickles on 200",
        is_default: false,
        measure: |setup| setup.of_sets(|set| postgres::measure(setup, set)),
    },
    Row {
        name: "indexes",
        title: "PostgreSQL: psql \\copy of rows of a day, and queries, with one index more each time; milliseconds",
        is_default: false,
        measure: indexes::measure,
    },
    Row {
        name: "open",
        title: "One event a POST at a given rate, 64 connections; latency from the scheduled time",
        is_default: true,
        measure: open::rates,
    },
    Row {
        name: "stalls",
        title: "60,000 single events a second for a minute, 64 connections, with checkpoints, retention and changes of segments",
        is_default: true,
        measure: open::stalls,
    },
    Row {
        name: "tail",
        title: "Live tails: from the answer until a record is seen, and the POSTs of others meanwhile",
        is_default: true,
        measure: tail::measure,
    },
    Row { name: "one-thread", title: "logboom with --threads 1", is_default: true, measure: one_thread },
    Row {
        name: "connections",
        title: "As connections grow (single POSTs: against bare hyper)",
        is_default: false,
        measure: growth::connections,
    },
    Row {
        name: "sizes",
        title: "As records grow: NDJSON, 4 connections",
        is_default: false,
        measure: growth::sizes,
    },
    Row {
        name: "rows",
        title: "As the database grows: NDJSON, 4 connections, then queries over HTTP",
        is_default: false,
        measure: |setup| setup.of_sets(|set| growth::rows(setup, set)),
    },
    Row {
        name: "queries",
        title: "Questions to --records records of a day; milliseconds, with the files in memory and without",
        is_default: false,
        measure: |setup| setup.of_sets(|set| queries::measure(setup, set)),
    },
    Row {
        name: "queries-postgres",
        title: "The same with PostgreSQL on this machine, which is started anew before each cold question",
        is_default: false,
        measure: |setup| setup.of_sets(|set| queries::postgres(setup, set)),
    },
    Row {
        name: "design-2017",
        title: "The first ancestor: one thread of Python, pickles over 200 connections; rates until stored",
        is_default: false,
        measure: ancestors::design_2017,
    },
    Row {
        name: "load-2017",
        title: "The load of 2017 with its pauses: 200 processes with SocketHandler; until stored",
        is_default: false,
        measure: load::paused,
    },
    Row {
        name: "rush-2017",
        title: "The load of 2017 without pauses; until stored",
        is_default: false,
        measure: load::rush,
    },
    Row {
        name: "design-2025",
        title: "The second: events by HTTP, acknowledged from memory; rates until acknowledged, and until stored",
        is_default: false,
        measure: ancestors::design_2025,
    },
    Row {
        name: "peers",
        title: "Other log servers, if they are there, and logboom; 4 connections",
        is_default: false,
        measure: peers::measure,
    },
];

/// The settings of a measurement.
pub struct Setup {
    /// The server's executable.
    pub executable: PathBuf,
    /// The folder in which data folders are created: on the disk that is measured.
    pub folder: PathBuf,
    /// Whether to do only an eighth of the work.
    pub is_quick: bool,
    /// The data sets that the rows with data sets measure one after another.
    pub sets: Vec<DataSet>,
    /// The executable of VictoriaLogs, if the rows that compare with it are to do so.
    pub victorialogs: Option<PathBuf>,
    /// Number of records of the row `queries`.
    pub records: u64,
    /// The data folder of the row `queries`, if it is to be kept.
    pub data_dir: Option<PathBuf>,
}

impl Setup {
    /// Starts a server with this many threads (0: as many as there are cores).
    pub fn server(&self, threads: usize, arguments: &[&str]) -> Server {
        // The disk must complete earlier work, such as removing deleted files, before this
        // measurement.
        rustix::fs::sync();
        let threads = format!("--threads={threads}");
        Server::start(&self.executable, &self.folder, &[&[threads.as_str()], arguments].concat())
    }

    /// Returns the lines of all data sets.
    pub fn of_sets(&self, measure: impl Fn(DataSet) -> Vec<Line>) -> Vec<Line> {
        self.sets.iter().flat_map(|set| measure(*set)).collect()
    }

    /// Returns this amount of work, or an eighth of it, in whole thousands.
    pub fn scaled(&self, records: u64) -> u64 {
        if self.is_quick { (records / 8).next_multiple_of(1000) } else { records }
    }

    /// Returns the seconds of an open loop.
    pub fn seconds(&self, seconds: f64) -> f64 {
        if self.is_quick { seconds / 4.0 } else { seconds }
    }
}

/// Returns what a server needed for records: processor time since `cpu_before`, memory and disk.
pub fn needs(server: &Server, cpu_before: f64, records: u64) -> Figures {
    Figures::from([
        ("cpu_seconds_per_million", (server.cpu_seconds() - cpu_before) / records as f64 * 1e6),
        ("peak_megabytes", server.peak_bytes() / 1e6),
        ("disk_bytes_per_record", server.disk_bytes() / records as f64),
    ])
}

/// Returns the number of lines of a file.
pub fn lines_of(path: &Path) -> u64 {
    memchr::memchr_iter(b'\n', &std::fs::read(path).unwrap()).count() as u64
}

/// Measures the rows that matter most, with the whole program on one thread, and limits on one
/// thread too.
fn one_thread(setup: &Setup) -> Vec<Line> {
    type Measure = fn(&Setup, usize) -> Vec<Line>;
    let rows: [(&str, Measure); 4] = [
        ("single", single::measure),
        ("ndjson", |setup, threads| bulk::ndjson(setup, threads, DataSet::Plain)),
        ("python", |setup, threads| bulk::python(setup, threads, DataSet::Plain)),
        ("sqlite", |setup, threads| stored::sqlite(setup, threads, DataSet::Plain)),
    ];
    let of_row = |(name, measure): (&str, Measure)| {
        let rename = |line: Line| Line { name: format!("{name}: {}", line.name.trim()), ..line };
        measure(setup, 1).into_iter().map(rename).collect::<Vec<_>>()
    };
    rows.into_iter().flat_map(of_row).collect()
}
