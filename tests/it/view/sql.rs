//! Property: `POST /api/v1/sql` reads anything and changes nothing, within bounds of time and
//! memory.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use logboom::limits::{ANSWERS_MAX, READING_MEMORY_KIB_MAX, SQL_BYTES_MAX};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{Server, Setup, eventually};

use super::{asking, server_with, sql_once};

/// A statement that ends only when it is stopped.
const ENDLESS: &str =
    "with recursive c(n) as (select 1 union all select n + 1 from c) select count(*) from c";

#[test]
fn statement_returns_rows_and_columns() {
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
fn rows_beyond_the_limit_are_cut_and_reported() {
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
fn statements_cannot_change_anything() {
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
    // A refusal is explained.
    let problem = server.ask_sql(&json!({"sql": "delete from record"})).json();
    assert!(problem["hint"].as_str().unwrap().contains("only statements that read"), "{problem}");
    let problem = server.ask_sql(&json!({"sql": "select nowhere from logs"})).json();
    assert!(problem["detail"].as_str().unwrap().contains("no such column: nowhere"), "{problem}");
}

#[test]
fn bad_requests_are_explained() {
    let folder = TempDir::new().unwrap();
    let server = test_support::Server::start(folder.path());
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
fn endless_statement_is_stopped() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--query-seconds-max=1").start(folder.path());
    // Each row of the second statement takes long, and each function call of the others is a single
    // step.
    let slow = "with recursive c(n) as (select 1 union all select n + 1 from c) select sum(length(hex(randomblob(500000)))) from c";
    let patterned = format!(
        "with recursive c(n) as (select 1 union all select n + 1 from c) select count(*) from c where hex(randomblob(100000)) like '%{}g'",
        "_%".repeat(100)
    );
    let searched = "with recursive c(n) as (select 1 union all select n + 1 from c) \
                    select sum(instr(hex(zeroblob(450000)), hex(zeroblob(200000)) || n)) from c";
    for statement in [ENDLESS, slow, &patterned, searched] {
        let answer = sql_once(&server, &json!({"sql": statement}));
        assert_eq!(answer.status, 408, "{}", answer.text());
        let problem = answer.json();
        assert!(problem["title"].as_str().unwrap().contains("stopped"), "{problem}");
        assert!(problem["hint"].as_str().unwrap().contains("query_seconds_max"), "{problem}");
    }
    assert_eq!(server.value("select 1"), 1);
}

/// More statements than may run at the same time: if these continued, no other statement would ever
/// run.
#[test]
fn statement_ends_when_its_client_disconnects() {
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

/// As many statements as may run at the same time run for an hour.
#[test]
fn waiting_requests_are_answered_in_time() {
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
    let server = test_support::Server::start(folder.path());
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
            // With one thread on a busy machine, the time may be over before the refusal.
            continue;
        }
        assert_eq!(answer.status, 400, "{statement}: {}", answer.text());
        let is_refused =
            ["too big", "not authorized", "of memory"].iter().any(|reason| answer.text().contains(reason));
        assert!(is_refused, "{}", answer.text());
    }
    // Values of the maximum size, many times: the answer is cut.
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

/// An endless sequence of rows.
const ROWS: &str = "with recursive c(n) as (select 1 union all select n + 1 from c)";

/// A value of 1 MB, which is different for each call.
const LONG: &str = "hex(randomblob(500000))";

/// Statements that would take gigabytes, or seconds without a check of the clock, each in a
/// different way.
fn hostile() -> Vec<(&'static str, String)> {
    let list = |separator: &str, count: usize, item: &dyn Fn(usize) -> String| {
        (0..count).map(item).collect::<Vec<_>>().join(separator)
    };
    let long = |n: usize| format!("{LONG} || {n}");
    let mut nested = "'1'".to_owned();
    for _ in 0..10 {
        nested = format!("max({}, {nested})", list(",", 9, &long));
    }
    let doubled = list("", 30, &|n| format!(", c{} as (select a.x from c{n} a, c{n} b)", n + 1));
    vec![
        ("arguments that wait for each other", format!("select length({nested})")),
        ("a list of long values", format!("select 1 where 'a' in ({})", list(",", 60, &long))),
        ("long values side by side", format!("select {}", list("+", 190, &|_| format!("length({LONG})")))),
        ("long rows", format!("select {} from (select {LONG} x)", list(",", 60, &|n| format!("x || {n}")))),
        ("arithmetic", format!("select {} from (select {LONG} x)", list(",", 50, &|_| ["x"; 190].join("+")))),
        ("an aggregate of texts", format!("{ROWS} select length(group_concat({LONG})) from c")),
        ("an aggregate of JSON", format!("{ROWS} select length(json_group_array({LONG})) from c")),
        (
            "a text that doubles",
            "with recursive c(x) as (select 'aaaa' union all select x || x from c) select max(x) from c"
                .into(),
        ),
        ("distinct long values", format!("{ROWS} select count(distinct {LONG}) from c")),
        (
            "long values to sort",
            format!("{ROWS} select n from (select n, {LONG} x from c limit 3000) order by x limit 1"),
        ),
        (
            "a window over long values",
            format!(
                "{ROWS} select max(x) from (select lag({LONG}, 50) over (order by n) x from c limit 9999)"
            ),
        ),
        (
            "widths",
            "select printf('%*c', 2000000, 'x') || printf('%2000000d', 1) || printf('%.2000000f', 1.5)"
                .into(),
        ),
        (
            "blobs of zeros",
            format!("select {}", list(",", 60, &|n| format!("quote(zeroblob(900000)) || {n}"))),
        ),
        (
            "members of JSON",
            format!("select json_set('{{}}', {})", list(",", 45, &|n| format!("'$.a{n}', {LONG}"))),
        ),
        ("nested JSON", "select count(*) from json_tree(replace(hex(zeroblob(900000)), '00', '[1,'))".into()),
        ("a pattern", format!("select hex(zeroblob(500000)) like '%{}1'", "0".repeat(250))),
        (
            "many patterns",
            format!(
                "select {}",
                list("+", 99, &|_| format!("hex(zeroblob(500000)) glob '*{}1'", "0".repeat(250)))
            ),
        ),
        ("hexadecimal digits of themselves", "select hex(hex(hex(zeroblob(400000))))".into()),
        (
            "a product of tables",
            "select count(*) from record a, record b, record c, record d, record e".into(),
        ),
        (
            "a sorted product",
            format!(
                "select a.message from logs a, logs b, logs c order by a.message || b.id || {LONG} limit 1"
            ),
        ),
        ("many tables", format!("select 1 from {}", list(",", 60, &|n| format!("logs t{n}")))),
        ("names that double", format!("with c0 as (select 1 x){doubled} select * from c30")),
        (
            "many names",
            format!("with {} select 1", list(",", 1500, &|n| format!("c{n} as (select * from logs)"))),
        ),
        (
            "many selects",
            format!("select {}", list("+", 190, &|n| format!("(select count(*) from logs where id > {n})"))),
        ),
        ("selects one after the other", format!("{} order by 8", ["select * from logs"; 60].join(" union "))),
        ("a deep expression", format!("select {}1{}", "(".repeat(5000), ")".repeat(5000))),
        ("many values", format!("values {}", list(",", 5000, &|n| format!("({n})")))),
        ("a long answer", format!("{ROWS} select {LONG} from c")),
    ]
}

/// Runs each statement alone, and then all at the same time, while records are stored.
#[test]
fn hostile_statements_end_within_bounds_of_memory() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--query-seconds-max=2").start(folder.path());
    super::fill(&server, 1000);
    let before = server.memory_kib();
    let is_over = AtomicBool::new(false);
    let stored = std::thread::scope(|scope| {
        let storing = scope.spawn(|| {
            let mut stored = 1000;
            while !is_over.load(Relaxed) {
                let answer = server.post("{\"message\":\"meanwhile\"}");
                assert_eq!(answer.status, 200, "{}", answer.text());
                stored += 1;
            }
            stored
        });
        let ask = |(name, statement): (&str, String)| {
            let answer = sql_once(&server, &json!({"sql": statement}));
            match answer.status {
                200 => assert!(answer.json()["rows"].is_array()),
                400 | 408 | 503 => assert!(answer.json()["detail"].is_string(), "{name}"),
                status => panic!("{name}: {status} {}", answer.text()),
            }
        };
        hostile().into_iter().for_each(ask);
        std::thread::scope(|scope| {
            for statement in hostile() {
                scope.spawn(move || ask(statement));
            }
        });
        is_over.store(true, Relaxed);
        storing.join().unwrap()
    });
    let grown = server.peak_memory_kib() - before;
    assert!(grown < 64 << 10, "{grown} KiB more");
    server.flush();
    assert_eq!(server.value("select count(*) from logs"), stored);
    let log = server.log();
    assert!(!log.contains("panicked") && !log.contains("does not accept records"), "{log}");
}

#[test]
fn uninterruptible_statement_is_refused_with_one_thread() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--threads=1").start(folder.path());
    let sums = vec![["x"; 100].join("+"); 20].join(",");
    let answer = server.ask_sql(&json!({"sql": format!("select {sums} from (select 'a' x)")}));
    let problem = answer.json();
    assert_eq!((answer.status, &problem["title"]), (400, &json!("the statement takes too much")));
    assert!(problem["detail"].as_str().unwrap().contains("operations"), "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains("several threads"), "{problem}");
    let columns = server.ask_sql(&json!({"sql": "select a.*, b.* from logs a join logs b using (id)"}));
    assert_eq!(columns.status, 200, "{}", columns.text());
}

/// Sends a statement, and never reads the answer; the receive buffer of its socket is small.
fn ask_deaf(server: &Server, statement: &str) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
    let address: SocketAddr = server.address("http").parse().unwrap();
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
    connect(&socket, &address).unwrap();
    let mut stream = TcpStream::from(socket);
    let body = json!({"sql": statement}).to_string();
    let head = "POST /api/v1/sql HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length";
    stream.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    stream
}

#[test]
fn unread_answers_of_statements_are_disconnected() {
    let folder = TempDir::new().unwrap();
    // With one thread, a busy machine has no time for an answer that is long enough.
    let setup = Setup::new().argument("--threads=2").argument("--query-seconds-max=3");
    let server = setup.start(folder.path());
    let before = server.memory_kib();
    let long = format!("{ROWS} select hex(zeroblob(500000)) from c");
    let mut clients: Vec<_> = (0..2 * ANSWERS_MAX).map(|_| ask_deaf(&server, &long)).collect();
    eventually("they are hung up on", || {
        // On a busy machine a statement may be stopped before it has an answer.
        if clients.len() < 1000 {
            clients.push(ask_deaf(&server, &long));
        }
        server.log_line("was not read in time")
    });
    eventually("all connections are closed", || (server.source("http")["connections"] == 1).then_some(()));
    drop(clients);
    let grown = server.peak_memory_kib().saturating_sub(before);
    assert!(grown < READING_MEMORY_KIB_MAX as u64, "{grown} KiB more");
    assert_eq!(server.value("select 1"), 1);
}

#[test]
fn long_answer_of_a_statement_is_complete() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let long = format!("{ROWS} select n, hex(zeroblob(50)) from c limit 20000");
    let answer = server.ask_sql(&json!({"sql": long}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let rows = answer.json();
    let rows = rows["rows"].as_array().unwrap();
    assert!(rows.iter().enumerate().all(|(n, row)| row == &json!([n + 1, "00".repeat(50)])));
    assert_eq!(rows.len(), 20_000);
}
