//! What each index of PostgreSQL's table costs while rows are written, and what it saves for a
//! query.

use std::time::Instant;

use logboom::store::postgres::SCHEMA;
use test_support::postgres::{Database, Server as Postgres};

use super::Setup;
use super::postgres::{self, copy, settle, stored};
use crate::payloads::Payloads;
use crate::report::{Figures, Line};

/// Rows of logboom, spread over a day in the order of their ids, with a second of disorder.
const SPREAD: &str = "SELECT id, timestamptz '2026-11-21 00:00:00+00' + id * interval '86390 seconds' / RECORDS + random() * interval '1 second', \
    severity_number, severity, service, logger, host, message, trace_id, span_id, event_name, file, line, function, process_id, \
    thread, attributes, node, time_ns FROM logs ORDER BY id";

const HOUR: &str = "SELECT severity, count(*) FROM logs WHERE time >= '2026-11-21 12:00:00+00' AND time < '2026-11-21 13:00:00+00' \
    GROUP BY severity";

const TRACE: &str = "SELECT * FROM logs WHERE trace_id = (SELECT trace_id FROM sample) ORDER BY time";

/// Measures without any index, and then with one more of the schema's indexes each time.
pub fn measure(setup: &Setup) -> Vec<Line> {
    let records = setup.scaled(2_000_000);
    let postgres = Postgres::start(postgres::SETTINGS);
    let database = postgres.database();
    let server = setup.server(0, &[&format!("--store={}", database.url())]);
    stored(&server, &postgres, &database, &Payloads::requests(1000), 4, records);
    drop(server);

    let rows = tempfile::NamedTempFile::new_in(&setup.folder).unwrap();
    let spread = SPREAD.replace("RECORDS", &records.to_string());
    copy(&database, &format!("({spread})"), "to", rows.path());
    database.execute("CREATE TABLE sample AS SELECT trace_id FROM logs WHERE id = 4711");
    database.execute("DROP INDEX logs_time, logs_id, logs_trace_id");
    let indexes = SCHEMA.lines().filter(|line| line.starts_with("CREATE INDEX")).map(Some);
    let names = ["no index", "BRIN (time)", "  + B-tree (id)", "  + B-tree (trace_id)"];
    let measure = |(name, index): (&str, Option<&str>)| {
        database.execute("TRUNCATE logs");
        index.into_iter().for_each(|index| database.execute(index));
        settle(&database);
        let start = Instant::now();
        copy(&database, "logs", "from", rows.path());
        let rate = records as f64 / start.elapsed().as_secs_f64();
        Line::new(
            name,
            [Figures::from([("records_per_second", rate)]), queries(&database, records)]
                .into_iter()
                .flatten()
                .collect(),
        )
    };
    names.into_iter().zip(std::iter::once(None).chain(indexes)).map(measure).collect()
}

fn queries(database: &Database, records: u64) -> Figures {
    database.execute("VACUUM (ANALYZE) logs");
    let size = "SELECT sum(pg_indexes_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'logs'::regclass";
    let bytes: f64 = database.value(size).parse().unwrap();
    let middle = records / 2;
    let ids = format!("SELECT * FROM logs WHERE id >= {middle} AND id < {middle} + 1000 ORDER BY id");
    Figures::from([
        ("index_bytes_per_record", bytes / records as f64),
        ("id_range_ms", milliseconds(database, &ids)),
        ("hour_ms", milliseconds(database, HOUR)),
        ("trace_ms", milliseconds(database, TRACE)),
    ])
}

/// Returns the time that `EXPLAIN ANALYZE` reports, the median of a few runs.
fn milliseconds(database: &Database, query: &str) -> f64 {
    let explain = format!("EXPLAIN (ANALYZE, TIMING OFF) {query}");
    let time = || {
        let mut lines = database.rows(&explain).into_iter().flatten().flatten();
        let time =
            |line: String| line.strip_prefix("Execution Time: ")?.strip_suffix(" ms")?.parse::<f64>().ok();
        lines.find_map(time).unwrap()
    };
    let mut times: Vec<f64> = (0..5).map(|_| time()).collect();
    times.sort_by(f64::total_cmp);
    times[2]
}
