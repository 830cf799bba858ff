//! Property: retention deletes what is too old or too large, by service, and nothing else.

use serde_json::json;
use test_support::{Setup, eventually};

use super::Kept;

/// Returns an argument that gives one service a shorter retention.
fn arguments(age: &str) -> [String; 1] {
    [format!("--retention=noise={age}")]
}

fn service(n: usize) -> &'static str {
    if n.is_multiple_of(2) { "noise" } else { "shop" }
}

#[test]
fn service_retention_deletes_only_its_service_in_sqlite() {
    let [argument] = arguments("1s");
    let kept = Kept::sqlite(&[&argument]);
    let line = |n: usize| json!({ "service": service(n), "message": format!("event {n}") });
    // A full block, and the beginning of the next.
    kept.fill((0..5000).map(line));
    eventually("the noise of the full block is gone", || (kept.count() == 5000 - 2048).then_some(()));
    assert_eq!(kept.value("SELECT count(*) FROM logs WHERE service = 'shop'"), 2500);
    kept.check_accounts();
    kept.fill((0..10).map(line));
    assert_eq!(kept.value("SELECT max(id) FROM logs"), 5010);
    kept.check_accounts();
}

/// Deleting every other record rewrites all pages, 40 MB of them; no record arrives during or after
/// the deletion.
#[test]
fn write_ahead_log_of_idle_server_stays_small() {
    const RECORDS: usize = 40 * 1024;
    let padding = "x".repeat(900);
    let mut kept = Kept::sqlite(&[]);
    kept.fill((0..RECORDS).map(|n| json!({ "service": service(n), "message": padding })));
    assert_eq!(kept.server.stop(), 0);
    let [argument] = arguments("1s");
    kept.server = Setup::new().argument(argument).start(kept.folder.path());
    // Short queries: a long query prevents the write-ahead log from being written from its start
    // again.
    let deleted = "SELECT coalesce(sum(records), 0) FROM logs_deleted";
    eventually("the noise is gone", || (kept.value(deleted) == RECORDS as u64 / 2).then_some(()));
    assert_eq!(kept.count(), RECORDS as u64 / 2);
    let bytes = std::fs::metadata(kept.folder.path().join("logboom.db-wal")).unwrap().len();
    assert!(bytes < 24 << 20, "{bytes} bytes of write-ahead log");
    kept.check_accounts();
}

/// Each record has its own thread name: what a database stores for the name is deleted with the
/// record.
#[test]
fn bound_on_bytes_also_covers_names() {
    let kept = Kept::sqlite(&["--retention-bytes=4MiB"]);
    let record = |n: usize| json!({ "service": "shop", "message": "event", "thread": format!("{n:032x}") });
    for part in 0..8 {
        kept.fill((part * 10_240..(part + 1) * 10_240).map(record));
    }
    eventually("the oldest are gone", || (kept.value("SELECT min(id) FROM logs") > 20_000).then_some(()));
    let used = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    let database = rusqlite::Connection::open(kept.folder.path().join("logboom.db")).unwrap();
    eventually("they fit", || {
        database
            .query_row(used, [], |row| row.get::<_, i64>(0))
            .is_ok_and(|bytes| bytes <= 4 << 20)
            .then_some(())
    });
    assert!(kept.count() > 12_000, "{} records are left", kept.count());
}

#[test]
fn service_retention_deletes_only_its_service_in_postgresql() {
    let [argument] = arguments("1d");
    let kept = Kept::postgres(&[&argument]);
    let (now, day) = (super::now(), 86_400);
    let line = |n: usize| {
        let time = now - [0, 1, 5, 9][n / 2 % 4] * day;
        json!({ "time": time, "service": service(n), "message": format!("event {n}") })
    };
    kept.fill((0..4000).map(line));
    eventually("the noise of the older days is gone", || (kept.count() == 3000).then_some(()));
    assert_eq!(kept.value("SELECT count(*) FROM logs WHERE service = 'shop'"), 2000);
    kept.check_accounts();
}

#[test]
fn configuration_accepts_services_in_tables() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("logboom.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        super::logboom(&["check-config", path.to_str().unwrap()])
    };
    let two = "[[retention]]\nservice = \"debug noise\"\nage = \"3d\"\n[[retention]]\nservice = \"health\"\nage = \"12h\"\n";
    let told = super::succeeded(&check(two));
    assert!(told.contains("debug noise=3d health=12h"), "{told}");
    super::failed(&check("[[retention]]\nservice = \"a\"\nages = \"3d\"\n"), "`service` and `age` alone");
    super::failed(&check("retention = [\"a=3d\", \"a=4d\"]"), "names the service `a` twice");
    super::failed(&check("retention = [\"a=3 days\"]"), "unknown unit");
}
