//! Property: a deletion removes exactly the selected records, everywhere, and can be repeated after
//! any interruption.

use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use test_support::load::Ledger;
use test_support::{Server, Setup, eventually};

use super::{Kept, holding, lines, succeeded};

#[test]
fn matching_records_are_counted_then_deleted() {
    for kept in Kept::both(&[]) {
        kept.fill(lines(2000, "secret"));
        // One record that is younger.
        kept.fill([
            json!({ "time": "2026-11-21T00:00:00Z", "service": "shop", "message": "a secret of today" }),
        ]);
        let mut body = json!({ "query": "secret", "before": "2026-11-21", "dry_run": true });
        let counted = kept.delete(&body);
        assert_eq!(counted.status, 200, "{}", counted.text());
        let counted = counted.json();
        assert_eq!(
            (&counted["matched"], &counted["deleted"], &counted["dry_run"]),
            (&json!(200), &json!(0), &json!(true))
        );
        let by_service = json!([
            { "service": "billing", "count": 67 }, { "service": "mail", "count": 66 }, { "service": "shop", "count": 67 }
        ]);
        let mut services = counted["by_service"].as_array().unwrap().clone();
        services.sort_by_key(|service| service["service"].as_str().unwrap().to_owned());
        assert_eq!(json!(services), by_service);
        assert_eq!(kept.count(), 2001);
        body["dry_run"] = json!(false);
        let deleted = kept.delete(&body).json();
        assert_eq!(
            (&deleted["matched"], &deleted["deleted"], &deleted["partial"]),
            (&json!(200), &json!(200), &json!(false))
        );
        assert_eq!(kept.count(), 1801);
        assert_eq!(kept.value("SELECT count(*) FROM logs WHERE message LIKE '%secret%'"), 1);
        kept.check_accounts();
        assert_eq!(kept.delete(&body).json()["deleted"], 0);
        // Ids continue.
        kept.fill(lines(10, "new"));
        assert_eq!(kept.value("SELECT max(id) FROM logs"), 2011);
        kept.check_accounts();
    }
}

/// Both databases evaluate the same queries, including queries that PostgreSQL itself cannot
/// decide.
#[test]
fn only_records_that_match_the_query_are_deleted() {
    for kept in Kept::both(&[]) {
        kept.fill([
            json!({ "time": "2026-11-20T10:00:00Z", "message": "fail", "user": 17 }),
            json!({ "time": "2026-11-20T10:00:00Z", "message": "failed", "user": 17.0 }),
            json!({ "time": "2026-11-20T10:00:00Z", "message": "to fail", "user": "18" }),
            json!({ "time": "2026-11-20T10:00:00Z", "message": "a fail%_\\'; DROP TABLE logs --" }),
        ]);
        let body = json!({ "query": "fail -user:18 (user:17 OR message:*)", "before": "now" });
        assert_eq!(kept.delete(&body).json()["deleted"], 2);
        let left = kept.server.sql("SELECT message FROM logs ORDER BY id");
        assert_eq!(json!(left), json!([["failed"], ["to fail"]]));
    }
}

#[test]
fn deleted_text_is_in_no_file() {
    let kept = Kept::sqlite(&[]);
    let secret = "hunter2-correct-horse";
    kept.fill(lines(3000, secret));
    assert!(!holding(kept.folder.path(), secret).is_empty());
    let output = kept.server.cli(&["delete", secret, "--before", "now", "--yes"]);
    let said = succeeded(&output);
    assert!(
        said.contains("300 records before ") && said.ends_with("deleted 300 records from sqlite\n"),
        "{said}"
    );
    let database = kept.folder.path().join("logboom.db");
    for path in holding(kept.folder.path(), secret) {
        assert!(path.contains("/spool/"), "{path} beside {}", database.display());
    }
    // The spool releases its copy with the next record.
    kept.fill(lines(1, "next"));
    eventually("no file has it", || holding(kept.folder.path(), secret).is_empty().then_some(()));
    assert_eq!(kept.count(), 2701);
}

/// Names are stored separately from records, once for all records that have them.
#[test]
fn deleted_name_is_in_no_file() {
    let kept = Kept::sqlite(&[]);
    let name = "jane.doe@example.org";
    let line = |n: usize, thread: &str| json!({ "time": "2026-11-20T10:00:00Z", "thread": thread, "message": format!("event {n}") });
    kept.fill((0..5000).map(|n| line(n, if n % 7 == 3 { name } else { "main" })));
    let query = format!("thread:{name}");
    let deleted = kept.delete(&json!({ "query": query, "before": "now" })).json();
    assert_eq!(deleted["deleted"], (0..5000).filter(|n| n % 7 == 3).count());
    let is_left = |path: &String| !path.contains("/spool/");
    assert!(!holding(kept.folder.path(), name).iter().any(is_left));
    // A name that still has a record stays, and a deleted name that is used again is stored again.
    kept.fill([line(1, name), line(2, "main")]);
    assert_eq!(kept.value("SELECT count(*) FROM logs WHERE thread = 'jane.doe@example.org'"), 1);
    assert_eq!(kept.value("SELECT count(*) FROM record"), kept.count());
    let some = kept.delete(&json!({ "query": "thread:main \"event 6\"", "before": "2026-11-21" })).json();
    assert_eq!(some["deleted"], 1);
    assert_eq!(kept.value("SELECT count(*) FROM record"), kept.count());
    kept.check_accounts();
}

#[test]
fn ambiguous_requests_delete_nothing() {
    let kept = Kept::sqlite(&[]);
    kept.fill(lines(20, "secret"));
    let json = ("content-type", "application/json");
    let body = br#"{"query":"secret","before":"now"}"#;
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        let answer = kept.server.request("POST", "/api/v1/delete", headers, body);
        (answer.status, answer.text())
    };
    for (headers, body, status, told) in [
        (&[][..], &body[..], 415, "Content-Type: application/json"),
        (&[("content-type", "text/plain")], body, 415, "text/plain"),
        (&[("content-type", "application/x-www-form-urlencoded")], body, 415, "declared as JSON"),
        (&[json, ("origin", "http://evil.example")], body, 403, "pages of other sites"),
        (&[json, ("sec-fetch-site", "cross-site")], body, 403, "pages of other sites"),
        (&[json], br#"{"query":"","before":"now"}"#, 400, "finds every record"),
        (&[json], br#"{"query":"secret"}"#, 400, "missing field `before`"),
        (&[json], br#"{"query":"(secret","before":"now"}"#, 400, "parenthesis"),
        (&[json], br#"{"query":"secret","before":"soon"}"#, 400, "before"),
        (&[json], br#"{"query":"secret","before":"now","dryrun":true}"#, 400, "unknown field"),
        (&[json], br#"{"query":"secret","before":"now","cursor":"7"}"#, 400, "next_cursor"),
        (&[json], br#"{"query":"secret","before":"now","cursor":"0-0-9999-0-5"}"#, 400, "next_cursor"),
    ] {
        let (answered, text) = post(headers, body);
        assert_eq!(answered, status, "{headers:?}: {text}");
        assert!(text.contains(told), "{text}");
    }
    assert_eq!(kept.server.get("/api/v1/delete").status, 405);
    let unasked = kept.server.cli(&["delete", "secret", "--before", "now"]);
    assert_eq!(unasked.status.code(), Some(2)); // standard input of a test is not a terminal
    assert!(String::from_utf8_lossy(&unasked.stderr).contains("--yes"));
    assert_eq!(kept.count(), 20);
    let all = kept.server.cli(&["delete", "--all", "--before", "now", "--yes"]);
    assert!(succeeded(&all).contains("deleted 20 records"));
    assert_eq!(kept.count(), 0);
    kept.check_accounts();
}

/// A person who confirms has seen a count before, and takes some time.
#[test]
fn records_arriving_after_the_count_are_kept() {
    for kept in Kept::both(&[]) {
        let aged =
            |seconds: u64, message: String| json!({ "time": super::now() - seconds, "message": message });
        let mut number = 0;
        let (mut body, counted) = eventually("it is counted before the second is old enough", || {
            number += 1;
            let secret = |place: u64| format!("secret{number} {place}");
            kept.fill([aged(100, secret(1)), aged(7, secret(2)), aged(0, secret(3))]);
            let query = format!("secret{number} time<10s");
            let body = json!({ "query": query, "before": "now", "dry_run": true });
            let counted = kept.delete(&body).json();
            (counted["matched"] == 1).then_some((body, counted))
        });
        // One record that arrives late, and one that is old enough by now.
        kept.fill([aged(100, format!("secret{number} 4"))]);
        eventually("time passes", || {
            (kept.delete(&body).json()["matched"].as_u64() >= Some(3)).then_some(())
        });
        body["cursor"] = counted["cursor"].clone();
        assert_eq!(kept.delete(&body).json()["matched"], 1);
        body["dry_run"] = json!(false);
        assert_eq!(kept.delete(&body).json()["deleted"], 1);
        let left = format!("SELECT message FROM logs WHERE message LIKE 'secret{number} %' ORDER BY id");
        let expected = [2, 3, 4].map(|place| [format!("secret{number} {place}")]);
        assert_eq!(json!(kept.server.sql(&left)), json!(expected));
        kept.check_accounts();
    }
}

#[test]
fn deletion_can_be_disabled() {
    let kept = Kept::sqlite(&["--delete=false"]);
    kept.fill(lines(20, "secret"));
    let answer = kept.delete(&json!({ "query": "secret", "before": "now" }));
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("`delete`"), "{}", answer.text());
    assert_eq!(kept.count(), 20);
}

/// With two databases and one log file: the records are deleted from both databases, and the log
/// file is reported.
#[test]
fn records_are_deleted_from_every_database() {
    let folder = TempDir::new().unwrap();
    let second = folder.path().join("second.db");
    let server = Setup::new()
        .argument("--store=sqlite")
        .argument(format!("--store=sqlite:{}", second.display()))
        .argument(format!("--log-file={}", folder.path().join("all.log").display()))
        .start(folder.path());
    let body: Vec<_> = lines(100, "secret").map(|line| line.to_string()).collect();
    assert_eq!(server.post(body.join("\n")).json()["accepted"], 100);
    let said = succeeded(&server.cli(&["delete", "secret", "--before", "now", "--yes"]));
    for part in [
        "and 10 records in the store sqlite-2\n",
        "the store file is a log file",
        "deleted 10 records from sqlite\n",
        "deleted 10 records from sqlite-2\n",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let second = rusqlite::Connection::open(second).unwrap();
    let left: i64 = second.query_row("SELECT count(*) FROM logs", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 90);
    drop(server);
}

#[test]
fn deletion_includes_dead_letters() {
    for kept in Kept::both(&[]) {
        kept.fill(lines(10, "x"));
        let refuse = match &kept.database {
            Some(database) => {
                database.execute("ALTER TABLE logs ADD CONSTRAINT picky CHECK (message NOT LIKE 'refused%')");
                None
            }
            None => {
                let connection = rusqlite::Connection::open(kept.folder.path().join("logboom.db")).unwrap();
                connection.busy_timeout(test_support::PATIENCE).unwrap();
                connection
                    .execute_batch(
                        "CREATE TRIGGER picky BEFORE INSERT ON record WHEN new.message LIKE 'refused%'
                         BEGIN SELECT raise(ABORT, 'not these'); END",
                    )
                    .unwrap();
                Some(connection)
            }
        };
        drop(refuse);
        kept.fill((0..30).map(|n| {
            let message = if n % 3 == 0 { format!("refused secret {n}") } else { format!("event {n}") };
            json!({ "time": "2026-11-20T10:00:00Z", "service": "shop", "message": message })
        }));
        assert_eq!(kept.value("SELECT count(*) FROM logs_dead_letter"), 10);
        let answer = kept.delete(&json!({ "query": "secret service:shop", "before": "now" })).json();
        assert_eq!((&answer["matched"], &answer["deleted"]), (&json!(10), &json!(10)), "{answer}");
        assert_eq!(kept.value("SELECT count(*) FROM logs_dead_letter"), 0);
        assert_eq!(kept.count(), 30);
        kept.check_accounts();
    }
}

#[test]
fn records_are_accepted_during_a_deletion() {
    for kept in Kept::both(&["--spool-segment-bytes=4MiB"]) {
        kept.fill(lines(20_000, "secret"));
        let ledger = Arc::new(Ledger::default());
        let clients: Vec<_> = (0..3)
            .map(|n| ledger.post_on(&kept.server.address("http"), &format!("during-{n}"), 20))
            .collect();
        let deleted =
            kept.delete(&json!({ "query": "service:shop OR secret", "before": "2026-11-21" })).json();
        let expected = (0..20_000).filter(|n| n % 3 == 1 || n % 10 == 3).count();
        assert_eq!(
            (deleted["deleted"].as_u64(), &deleted["partial"]),
            (Some(expected as u64), &json!(false))
        );
        eventually("further load", || (ledger.answers() >= 50).then_some(()));
        ledger.stop();
        clients.into_iter().for_each(|client| client.join().unwrap());
        kept.server.flush();
        let acknowledged = ledger.acknowledged().len() as u64;
        assert_eq!(kept.value("SELECT count(*) FROM logs WHERE logger = 'load'"), acknowledged);
        assert_eq!(kept.count(), 20_000 - expected as u64 + acknowledged);
        kept.check_accounts();
        assert_eq!(kept.server.status()["stores"][0]["failures"], 0);
    }
}

#[test]
fn interrupted_deletion_is_consistent_and_repeatable() {
    for mut kept in Kept::both(&["--spool-segment-bytes=4MiB"]) {
        kept.fill(lines(30_000, "secret"));
        let address = kept.server.address("http");
        let asking = std::thread::spawn(move || {
            let body = br#"{"query":"service:shop","before":"now"}"#;
            let headers = [("content-type", "application/json")];
            test_support::request(&address, "POST", "/api/v1/delete", &headers, body)
        });
        eventually("it has begun", || (kept.count() < 30_000).then_some(()));
        kept.kill_and_restart();
        let _ = asking.join().unwrap(); // the deletion may have been faster
        kept.server.flush();
        kept.check_accounts();
        let gone = 30_000 - kept.count();
        assert!(gone > 0);
        let rest = kept.delete(&json!({ "query": "service:shop", "before": "now" })).json();
        assert_eq!(rest["deleted"].as_u64(), Some(10_000 - gone));
        assert_eq!(kept.count(), 20_000);
        kept.check_accounts();
    }
}

/// The rows were deleted, but not their bytes.
#[test]
fn repeated_deletion_cleans_up_after_a_kill() {
    let mut kept = Kept::sqlite(&[]);
    let secret = "hunter2-correct-horse";
    kept.fill(lines(100, secret));
    let reader = rusqlite::Connection::open(kept.folder.path().join("logboom.db")).unwrap();
    reader.busy_timeout(test_support::PATIENCE).unwrap();
    let left = |kept: &Kept| {
        let mut paths = holding(kept.folder.path(), secret);
        paths.retain(|path| !path.contains("/spool/"));
        paths
    };
    // An open read transaction keeps the write-ahead log from being truncated.
    reader.execute_batch("BEGIN").unwrap();
    let read: i64 = reader.query_row("SELECT count(*) FROM record", [], |row| row.get(0)).unwrap();
    assert_eq!(read, 100);
    let address = kept.server.address("http");
    let asking = std::thread::spawn(move || {
        let body = format!("{{\"query\":\"{secret}\",\"before\":\"now\"}}");
        let headers = [("content-type", "application/json")];
        test_support::request(&address, "POST", "/api/v1/delete", &headers, body.as_bytes())
    });
    eventually("the rows are gone", || (kept.count() == 90).then_some(()));
    kept.kill_and_restart();
    assert!(asking.join().unwrap().is_err());
    kept.server.flush();
    reader.execute_batch("COMMIT").unwrap();
    assert!(!left(&kept).is_empty());
    let again = kept.server.cli(&["delete", secret, "--before", "now"]);
    assert!(succeeded(&again).starts_with("no record before "));
    assert!(left(&kept).is_empty(), "{:?}", left(&kept));
    drop(reader);
    kept.check_accounts();
}

#[test]
fn closed_output_stops_only_an_unconfirmed_deletion() {
    let kept = Kept::sqlite(&[]);
    kept.fill(lines(100, "secret"));
    let url = kept.server.url();
    let run = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let delete = ["delete", "secret", "--before", "now", "--url", &url];
        super::command(&delete).args(arguments).stdout(writer).status().unwrap()
    };
    assert!(run(&["--dry-run"]).success());
    run(&[]);
    assert_eq!(kept.count(), 100, "nobody has said yes");
    assert!(run(&["--yes"]).success());
    assert_eq!(kept.count(), 90);
}

/// The deletion uses the store's own connection. If another process holds a lock, the deletion is
/// stopped and reports this.
#[test]
fn locked_database_stops_only_the_deletion() {
    let kept = Kept::sqlite(&[]);
    kept.fill(lines(100, "secret"));
    let connection = rusqlite::Connection::open(kept.folder.path().join("logboom.db")).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = kept.delete(&json!({ "query": "secret", "before": "now" }));
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("the deletion was stopped"), "{}", answer.text());
    assert!(answer.text().contains("another process holds a lock"), "{}", answer.text());
    connection.execute_batch("ROLLBACK").unwrap();
    assert_eq!(kept.delete(&json!({ "query": "secret", "before": "now" })).json()["deleted"], 10);
    kept.fill(lines(10, "x"));
    kept.check_accounts();
}

#[test]
fn deletion_without_a_database_is_not_implemented() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("all.log");
    let server: Server =
        Setup::new().argument(format!("--store=file:{}", file.display())).start(folder.path());
    let headers = [("content-type", "application/json")];
    let body = br#"{"query":"secret","before":"now"}"#;
    let answer = server.request("POST", "/api/v1/delete", &headers, body);
    assert_eq!(answer.status, 501, "{}", answer.text());
}
