//! A server that is away for long, under load over both doors: until the spool is full, and beyond.

use std::sync::Arc;

use tempfile::TempDir;

use super::server::Server as Postgres;
use super::{check, setup};
use crate::harness::eventually;
use crate::load::{Ledger, PythonLoad};

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn away_until_the_spool_is_full(when_full: &str) {
    let folder = TempDir::new().unwrap();
    let mut postgres = Postgres::start(&[]);
    let database = postgres.database();
    let mut server = setup(&database.url())
        .argument("--spool-bytes-max=12MiB")
        .argument(format!("--when-full={when_full}"))
        .start(folder.path());
    server.flush();
    postgres.stop();
    let ledger = Arc::new(Ledger::default().with_refusals());
    let address = server.address("http");
    let clients = [(1, 1000), (1, 0), (20, 1000)].map(|(batch, padding)| {
        ledger.post_padded_on(&address, &format!("http-{batch}-{padding}"), batch, padding)
    });
    let mut python = PythonLoad::start(u64::MAX);
    python.aim(&server.address("python"), "python");
    eventually("clients are told, and the spool is full", || {
        let is_seen = when_full == "block" || number(&server.source("python")["shed"]["full"]) > 100;
        (is_seen && ledger.refusals() >= 20).then_some(())
    });
    let problems = server.status()["problems"].to_string();
    assert!(problems.contains("the spool is full") && problems.contains("no connection to"), "{problems}");
    let spool = &server.status()["spool"];
    assert!(number(&spool["bytes"]) <= 12 << 20, "{spool}");
    assert_eq!(server.get("/healthz").status, 200);

    postgres.restart();
    let wanted = ledger.answers() + 100;
    eventually("all goes on", || (ledger.answers() >= wanted).then_some(()));
    let before = number(&server.source("python")["accepted"]);
    eventually("Python goes on", || (number(&server.source("python")["accepted"]) > before).then_some(()));
    ledger.stop();
    clients.into_iter().for_each(|client| client.join().unwrap());
    drop(python);
    eventually("every record is accepted or counted as shed", || {
        let source = server.source("python");
        (source["connections"] == 0
            && number(&source["received"]) == number(&source["accepted"]) + number(&source["shed"]["full"]))
        .then_some(())
    });
    eventually("it is well", || (server.get("/readyz").status == 200).then_some(()));
    server.flush();
    let accepted: u64 =
        ["http", "python"].map(|protocol| number(&server.source(protocol)["accepted"])).iter().sum();
    assert_eq!(server.status()["stores"][0]["missing"], 0);
    assert_eq!(server.stop(), 0);
    check(&database, &ledger.acknowledged());
    assert_eq!(database.value("SELECT count(*) FROM logs"), accepted.to_string());
}

#[test]
fn an_absence_that_fills_the_spool_sheds_with_a_count_and_ends_exactly() {
    away_until_the_spool_is_full("shed");
}

#[test]
fn an_absence_that_fills_the_spool_slows_python_down_and_ends_exactly() {
    away_until_the_spool_is_full("block");
}
