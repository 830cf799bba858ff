//! The PostgreSQL store keeps its records exact with real servers that are stopped, killed,
//! changed, full and disconnected.

mod changes;
mod claims;
mod connecting;
mod delivery;
mod disk_full;
mod kills;
mod outage;
mod several_stores;
mod single_thread;

use std::collections::HashSet;

use test_support::postgres::Database;
use test_support::{Server, Setup};

fn setup(url: &str) -> Setup {
    Setup::new().argument(format!("--store={url}")).argument("--spool-segment-bytes=4MiB")
}

fn last_error(server: &Server) -> Option<String> {
    server.status()["stores"][0]["last_error"].as_str().map(str::to_owned)
}

/// Checks that every acknowledged key is stored, none twice, and that the ids of each node have no
/// gap.
fn check(database: &Database, acknowledged: &[String]) {
    let gaps =
        "SELECT count(*) FROM (SELECT FROM logs GROUP BY node HAVING count(*) <> max(id) - min(id) + 1) gaps";
    assert_eq!(database.value(gaps), "0", "ids have gaps");
    let keys = database.rows("SELECT trace_id FROM logs");
    let keys: Vec<String> = keys.into_iter().map(|row| row[0].clone().unwrap()).collect();
    let known: HashSet<_> = keys.iter().collect();
    assert_eq!(keys.len(), known.len(), "keys are there twice");
    let lost: Vec<_> = acknowledged.iter().filter(|key| !known.contains(key)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {:?}", lost.len(), acknowledged.len(), lost.first());
}
