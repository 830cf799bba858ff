//! `POST /api/v1/sql`: reading anything, changing nothing, for a time.

use logboom::limits::SQL_BYTES_MAX;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{asking, server_with, sql_once};
use crate::harness::{Setup, eventually};

/// Ends only when it is stopped.
const ENDLESS: &str =
    "with recursive c(n) as (select 1 union all select n + 1 from c) select count(*) from c";

#[test]
fn rows_and_columns() {
    let folder = TempDir::new().unwrap();
    let server = server_with(100, &folder);
    let answer = server
        .ask_sql(&json!({"sql": "select service, count(*) as records from logs group by 1 order by 1"}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expected = json!({
        "columns": ["service", "records"], "rows": [["billing", 34], ["mail", 33], ["shop", 33]], "truncated": false,
    });
    assert_eq!(answer.json(), expected);
    let values = "select null, 1, -9223372036854775808, 1.5, 9e999, 'a\"\u{e4}\n', x'00ff', time from logs where id = 2";
    let expected =
        json!([null, 1, i64::MIN, 1.5, "inf", "a\"\u{e4}\n", "00ff", "2026-11-21T00:01:00.000000000Z"]);
    assert_eq!(server.sql(values)[0], expected);
    assert_eq!(server.sql("select 1 where false"), [json!(null); 0]);
    assert_eq!(
        server.sql("explain query plan select * from record where id = 1;  -- and a comment").len(),
        1
    );
    assert!(server.sql("pragma table_info(logs)").len() == 17);
}

#[test]
fn rows_beyond_the_limit_are_cut_and_the_answer_says_so() {
    let folder = TempDir::new().unwrap();
    drop(server_with(100, &folder));
    let server = Setup::new().argument("--query-rows-max=50").start(folder.path());
    for (limit, rows, truncated) in [(Value::Null, 50, true), (json!(10), 10, true), (json!(1000), 50, true)]
    {
        let answer =
            server.ask_sql(&json!({"sql": "select id from logs order by id", "limit": limit})).json();
        assert_eq!(
            (answer["rows"].as_array().unwrap().len(), &answer["truncated"]),
            (rows, &json!(truncated)),
            "{limit}"
        );
    }
    let answer = server.ask_sql(&json!({"sql": "select id from logs limit 50"})).json();
    assert_eq!(answer["truncated"], false);
}

#[test]
fn nothing_can_be_changed() {
    let folder = TempDir::new().unwrap();
    let server = server_with(10, &folder);
    let other = folder.path().join("other.db");
    let attach = format!("attach '{}' as other", other.display());
    let vacuum = format!("vacuum into '{}'", other.display());
    let statements = [
        "delete from record",
        "update record set message = 'x'",
        "insert into shipped values (2, 2)",
        "drop view logs",
        "create table t (a)",
        "create temp table t as select 1",
        "create temp view v as select 1",
        "alter table record rename to r",
        "begin immediate",
        "savepoint s",
        "reindex",
        "analyze",
        "vacuum",
        &vacuum,
        &attach,
        "attach ':memory:' as m",
        "detach main",
        "pragma query_only = 0",
        "pragma journal_mode = delete",
        "pragma user_version = 7",
        "pragma wal_checkpoint(truncate)",
        "pragma writable_schema = 1",
        "select load_extension('libc.so.6')",
        "select load_extension('libc.so.6', 'main')",
        "select fts3_tokenizer('simple', x'00')",
        "select readfile('/etc/passwd')",
        "select writefile('/tmp/x', 'y')",
        "select edit('x')",
        "create virtual table t using fts5(a)",
        "create trigger t after insert on record begin select 1; end",
        "create index i on record (timestamp)",
        "insert into sqlite_schema values ('table', 't', 't', 0, 'create table t (a)')",
        "replace into shipped values (1, 1)",
        "with gone as (select 1) delete from record",
        "explain delete from record",
        "pragma main.user_version = 7",
        "pragma temp_store_directory = '/'",
        "pragma trusted_schema = 1",
        "pragma hard_heap_limit = 1",
        "pragma shrink_memory",
        "select * from pragma_database_list",
        "select 1; select 2",
        "select 1; delete from record",
        "",
        "   ",
        "-- nothing",
        "selekt",
        "select nowhere from logs",
        "select ?1",
    ];
    for statement in statements {
        let answer = server.ask_sql(&json!({"sql": statement}));
        assert!(
            answer.status == 400 || statement == "select ?1" && answer.status == 200,
            "{statement}: {} {}",
            answer.status,
            answer.text()
        );
    }
    assert!(!other.exists());
    assert_eq!(server.value("select count(*) from logs where message like 'event % of many'"), 10);
    assert_eq!(server.value("select count(*) from sqlite_schema where name = 't'"), 0);
    // What is refused is explained.
    let problem = server.ask_sql(&json!({"sql": "delete from record"})).json();
    assert!(problem["hint"].as_str().unwrap().contains("only statements that read"), "{problem}");
    let problem = server.ask_sql(&json!({"sql": "select nowhere from logs"})).json();
    assert!(problem["detail"].as_str().unwrap().contains("no such column: nowhere"), "{problem}");
}

#[test]
fn bad_requests_are_explained() {
    let folder = TempDir::new().unwrap();
    let server = crate::harness::Server::start(folder.path());
    let long = json!({"sql": format!("select '{}'", "x".repeat(70_000))}).to_string();
    for body in [
        "",
        "select 1",
        "{}",
        "[]",
        r#"{"sql":1}"#,
        r#"{"sql":"select 1","rows":5}"#,
        r#"{"sql":"select 1","limit":-1}"#,
        &long,
    ] {
        let answer = server.request("POST", "/api/v1/sql", &[], body.as_bytes());
        let expected = if body.len() > SQL_BYTES_MAX { 413 } else { 400 };
        assert_eq!(answer.status, expected, "{}", answer.text());
        assert!(answer.json()["hint"].is_string(), "{}", answer.text());
    }
}

#[test]
fn an_endless_statement_is_stopped() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--query-seconds-max=1").start(folder.path());
    // Each row of the second takes long, and each function of the others is one step.
    let slow = "with recursive c(n) as (select 1 union all select n + 1 from c) select sum(length(hex(randomblob(1000000)))) from c";
    let patterned = format!(
        "with recursive c(n) as (select 1 union all select n + 1 from c) select count(*) from c where hex(randomblob(100000)) like '%{}g'",
        "_%".repeat(100)
    );
    let searched = "with recursive c(n) as (select 1 union all select n + 1 from c) \
                    select sum(instr(hex(zeroblob(900000)), hex(zeroblob(400000)) || n)) from c";
    for statement in [ENDLESS, slow, &patterned, searched] {
        let answer = sql_once(&server, &json!({"sql": statement}));
        assert_eq!(answer.status, 408, "{}", answer.text());
        let problem = answer.json();
        assert!(problem["title"].as_str().unwrap().contains("stopped"), "{problem}");
        assert!(problem["hint"].as_str().unwrap().contains("query_seconds_max"), "{problem}");
    }
    assert_eq!(server.value("select 1"), 1);
}

/// More of them than may run at once: if they went on, nobody else's turn would come.
#[test]
fn a_statement_ends_when_its_client_goes_away() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--query-seconds-max=1h").start(folder.path());
    let clients = asking(&server, ENDLESS, 8);
    eventually("all of them have asked", || {
        (server.source("http")["connections"].as_u64() > Some(8)).then_some(())
    });
    drop(clients);
    assert_eq!(server.value("select 1"), 1);
    eventually("their connections are closed", || (server.source("http")["connections"] == 1).then_some(()));
}

/// As many statements run as may at once, for an hour.
#[test]
fn whoever_waits_for_a_turn_is_answered_in_time() {
    let folder = TempDir::new().unwrap();
    let setup = Setup::new().argument("--threads=2").argument("--query-seconds-max=1h");
    let server = setup.start(folder.path());
    let _clients = asking(&server, ENDLESS, 4);
    for place in ["histogram", "fields", "fields/service", "errors"] {
        eventually("none has a turn left", || {
            let answer = server.get(&format!("/api/v1/{place}?seconds=1"));
            assert_eq!(answer.status, 200, "{}", answer.text());
            (answer.json()["partial"] == true).then_some(())
        });
    }
}

#[test]
fn huge_values_take_bounded_memory() {
    let folder = TempDir::new().unwrap();
    let server = crate::harness::Server::start(folder.path());
    assert_eq!(server.value("select 1"), 1);
    let before = server.peak_memory_kib();
    for statement in [
        "select zeroblob(1000000000)",
        "select randomblob(1000000000)",
        "select printf('%1000000000d', 1)",
        "select replace(hex(zeroblob(1000000)), '0', hex(zeroblob(1000000)))",
        "with recursive c(n) as (select 1 union all select n + 1 from c limit 100000) select group_concat(hex(zeroblob(1000))) from c",
    ] {
        let answer = sql_once(&server, &json!({"sql": statement}));
        if answer.status == 408 {
            continue; // with one thread, and on a busy machine, its time may be over before that
        }
        assert_eq!(answer.status, 400, "{statement}: {}", answer.text());
        let is_refused = ["too big", "not authorized"].iter().any(|reason| answer.text().contains(reason));
        assert!(is_refused, "{}", answer.text());
    }
    // As large as they may be, many times: the answer is cut.
    let many =
        "with recursive c(n) as (select 1 union all select n + 1 from c) select zeroblob(1000000) from c";
    let answer = sql_once(&server, &json!({"sql": many}));
    if answer.status != 408 {
        assert_eq!((answer.status, &answer.json()["truncated"]), (200, &json!(true)));
    }
    assert!(answer.body.len() < 32 << 20, "{}", answer.body.len());
    let grown = server.peak_memory_kib() - before;
    assert!(grown < 64 << 10, "{grown} KiB more");
}
