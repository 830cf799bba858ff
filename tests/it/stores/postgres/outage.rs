//! Property: while PostgreSQL is down under load over both protocols, until the spool is full and
//! longer, no accepted record is lost or stored twice.

use tempfile::TempDir;
use test_support::eventually;
use test_support::overload::Overload;
use test_support::postgres::Server as Postgres;

use super::{check, setup};

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
    let overload = Overload::fill(&server, when_full);
    let status = eventually("it says why", || {
        Some(server.status()).filter(|status| status["problems"].to_string().contains("no connection to"))
    });
    assert!(status["spool"]["bytes"].as_u64().unwrap() <= 12 << 20, "{status}");

    postgres.restart();
    let (acknowledged, accepted) = overload.resume_and_stop(&server);
    assert_eq!(server.status()["stores"][0]["missing"], 0);
    assert_eq!(server.stop(), 0);
    check(&database, &acknowledged);
    assert_eq!(database.value("SELECT count(*) FROM logs"), accepted.to_string());
}

#[test]
fn absence_that_fills_the_spool_sheds_and_ends_exactly() {
    away_until_the_spool_is_full("shed");
}

#[test]
fn absence_that_fills_the_spool_blocks_and_ends_exactly() {
    away_until_the_spool_is_full("block");
}
