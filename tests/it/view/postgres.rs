//! Property: reading from PostgreSQL returns the same answers as reading from SQLite.

use logboom::limits::QUERIES_HEAVY_MAX;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::postgres::{Database, Server as Postgres};
use test_support::{Server, Setup, eventually};

use super::{asking, fill, path, records, server_with, sql_once};

/// Returns the URL of a role that owns only what it creates.
fn url(database: &Database) -> String {
    let role = format!("reader_{}", database.name);
    database.execute(&format!("CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}"));
    database.url_as(&role)
}

pub(super) fn setup(database: &Database) -> Setup {
    Setup::new().argument(format!("--store={}", url(database)))
}

pub(super) fn postgres_with(records: usize, folder: &TempDir) -> (Server, Database) {
    let database = Postgres::shared().database();
    let server = setup(&database).start(folder.path());
    fill(&server, records);
    (server, database)
}

/// Stores a record with every field, and a record with as few fields as possible.
fn edges(server: &Server) {
    let full = json!({
        "timestamp": "2026-11-25T10:00:00.123456789Z", "severity": "INFO", "severity_number": 9, "service": "billing",
        "logger": "app.views", "host": "web-1", "message": "two\nlines \"quoted\" \u{1f600} 100%_\\", "trace_id": "17", "span_id": "4",
        "event_name": "paid", "file": "/srv/views.py", "line": 17, "function": "pay", "process_id": 4321, "thread": "Main",
        "attributes": {"list": [1, null, "x", 1.5], "user": {"id": 1}, "a": true},
    });
    let bare =
        json!({"timestamp": "1969-12-31T23:59:59.999999999Z", "host": "h", "message": "", "level": "Audit"});
    assert_eq!(server.post(format!("{full}\n{bare}")).status, 200);
    server.flush();
}

/// Returns the records of all pages of a search, one page after the other.
pub(super) fn pages(server: &Server, parameters: &[(&str, &str)]) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut page = records(server, &[parameters, &[("cursor", &cursor)]].concat());
        assert_eq!(page["partial"], false);
        found.append(page["records"].as_array_mut().unwrap());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return found,
        }
    }
}

#[test]
fn queries_have_the_same_answers_on_both_databases() {
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let sqlite = server_with(5000, &folders[0]);
    let (postgres, _) = postgres_with(5000, &folders[1]);
    [&sqlite, &postgres].into_iter().for_each(edges);
    let queries = [
        "",
        "service:billing level>=error \"of many\" -n:3 n<100",
        "nothing",
        "level:audit OR trace_id:17",
        "n>=4990",
        "id>100 id<=120 -level:warn",
        "time>=2026-11-24T11:00:00Z -service:shop",
        "user.id:1 list:* \"100%_\\\\\"",
        "-n:* event_name:pa*",
    ];
    let ranges: [&[(&str, &str)]; 5] = [
        &[],
        &[("since", "2026-11-21T01:00:00Z"), ("until", "2026-11-21T01:04:00Z")],
        &[("since", "2026-11-23")],
        &[("until", "1970-01-01")],
        &[("since", "2026-11-25T10:00:00.123456789Z"), ("until", "2026-11-25T10:00:00.123456790Z")],
    ];
    for query in queries {
        for range in ranges {
            for page in [&[("order", "asc"), ("limit", "1500")], &[("order", "desc"), ("limit", "7")]] {
                // Many small pages only if there are few records.
                let order = if query.len() < 3 { &[page[0], ("limit", "10000")] } else { page };
                let parameters = [&[("q", query)], range, order].concat();
                let [one, other] = [&sqlite, &postgres].map(|server| pages(server, &parameters));
                assert_eq!(one, other, "{parameters:?}");
            }
        }
    }
    assert_eq!(pages(&postgres, &[("q", "level:audit")]).len(), 1);
    let ndjson = |server: &Server| {
        let accept = [("accept", "application/x-ndjson")];
        let parameters = [("q", "service:billing"), ("limit", "1000000")];
        let answer = server.request("GET", &path("/api/v1/records", &parameters), &accept, b"");
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    assert_eq!(ndjson(&sqlite), ndjson(&postgres));
    assert_eq!(ndjson(&postgres).len(), 1668);
}

#[test]
fn statements_have_the_same_answers_on_both_databases() {
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let sqlite = server_with(2500, &folders[0]);
    let (postgres, _) = postgres_with(2500, &folders[1]);
    [&sqlite, &postgres].into_iter().for_each(edges);
    for statement in [
        "select service, count(*) as records from logs group by 1 order by 1 nulls last",
        // To the microsecond, which is the precision of PostgreSQL.
        "select id, time from logs where id <= 2500 order by id desc limit 5",
        "select id, severity_number, severity, service, logger, host, message, trace_id, span_id, event_name, file, line, \
         function, process_id, thread from logs order by id desc limit 5",
        "select max(id) as a, sum(id) as b, count(line) as c, count(*) as d from logs; -- and a comment",
        "with errors as (select * from logs where severity_number >= 17) select count(*) as n from errors",
        "select 1 as one, null as absent, 'a\"\u{e4}\n' as text, 1.5 as half where 1 = 1",
        "select id from logs where id < 0",
        "select id from logs order by id",
    ] {
        let ask = |server: &Server| server.ask_sql(&json!({"sql": statement, "limit": 2000})).json();
        assert_eq!(ask(&sqlite), ask(&postgres), "{statement}");
    }
    let cut = postgres.ask_sql(&json!({"sql": "select id from logs", "limit": 2000})).json();
    assert_eq!((cut["rows"].as_array().unwrap().len(), &cut["truncated"]), (2000, &json!(true)));
}

#[test]
fn statements_cannot_change_anything() {
    let folder = TempDir::new().unwrap();
    let (server, database) = postgres_with(10, &folder);
    let file = folder.path().join("file");
    // The effects of a function are part of the statement's transaction.
    database.execute(
        "CREATE FUNCTION wipe() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM logs; SELECT 1'; CREATE SEQUENCE s;
         GRANT ALL ON SEQUENCE s TO PUBLIC",
    );
    let statements = [
        "select wipe()",
        "select set_config('transaction_read_only', 'off', false), wipe()",
        "select nextval('s')",
        "delete from logs",
        "update logs set message = 'x'",
        "insert into logs_version values (2)",
        "drop table logs",
        "create table t (a int)",
        "create temp table t as select 1",
        "select * into t from logs",
        "select 1 into temp t",
        "with gone as (delete from logs returning id) select * from gone",
        "select * from logs for update",
        "begin",
        "commit",
        "set transaction read write",
        "set default_transaction_read_only = off",
        "select set_config('transaction_read_only', 'off', true)",
        "select setval('s', 1)",
        "declare c cursor for select 1",
        "fetch 1 from rows",
        "prepare p as delete from logs",
        "do $$ begin delete from logs; end $$",
        "vacuum",
        "analyze",
        "lock table logs",
        "listen x",
        "explain analyze delete from logs",
        "select 1; select 2",
        "select 1; delete from logs",
        "",
        "   ",
        "-- nothing",
        "selekt",
        "select nowhere from logs",
        "select $1",
        "select 1/0",
        "select pg_read_file('/etc/passwd')",
        "select lo_export(lo_from_bytea(0, 'x'), '/tmp/x')",
        &format!("copy logs to '{}'", file.display()),
        &format!("copy (select 1) to program 'touch {}'", file.display()),
    ];
    for statement in statements {
        let answer = server.ask_sql(&json!({"sql": statement}));
        assert_eq!(answer.status, 400, "{statement}: {}", answer.text());
        assert!(answer.json()["hint"].is_string(), "{statement}: {}", answer.text());
    }
    assert!(!file.exists());
    assert_eq!(database.value("SELECT count(*) FROM logs WHERE message LIKE 'event % of many'"), "10");
    assert_eq!(database.value("SELECT to_regclass('t') IS NULL"), "t");
    let problem = server.ask_sql(&json!({"sql": "select nowhere from logs"})).json();
    assert!(problem["detail"].as_str().unwrap().contains("column \"nowhere\" does not exist"), "{problem}");
}

/// A statement can change the encoding of its own answer, and some databases do not check the
/// encoding of text.
#[test]
fn answer_with_invalid_text_is_refused() {
    let folder = TempDir::new().unwrap();
    let (server, _) = postgres_with(1, &folder);
    let statement = "select set_config('client_encoding', 'LATIN1', true), 'caf\u{e9}'";
    let answer = server.ask_sql(&json!({"sql": statement}));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.json()["detail"].as_str().unwrap().contains("not UTF-8"), "{}", answer.text());
    assert_eq!(server.value("select 1"), 1);
}

#[test]
fn statements_as_superuser_are_refused() {
    let folder = TempDir::new().unwrap();
    let database = Postgres::shared().database();
    let server = Setup::new().argument(format!("--store={}", database.url())).start(folder.path());
    fill(&server, 3);
    let answer = server.ask_sql(&json!({"sql": "select 1"}));
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.json()["hint"].as_str().unwrap().contains("a role of its own"), "{}", answer.text());
    assert_eq!(pages(&server, &[]).len(), 3);
}

/// A statement that takes longer than any time limit, and returns a single row.
const ENDLESS: &str =
    "select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000000000) b";

/// Returns the number of busy statements of logboom, from the server's own view.
pub(super) fn running(database: &Database) -> String {
    database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'FETCH%'",
    )
}

#[test]
fn endless_statement_is_stopped() {
    let folder = TempDir::new().unwrap();
    let database = Postgres::shared().database();
    let server = setup(&database).argument("--query-seconds-max=1").start(folder.path());
    let answer = sql_once(&server, &json!({"sql": ENDLESS}));
    assert_eq!(answer.status, 408, "{}", answer.text());
    assert!(answer.json()["title"].as_str().unwrap().contains("stopped"), "{}", answer.text());
    eventually("it has ended", || (running(&database) == "0").then_some(()));
    assert_eq!(server.value("select 1"), 1);
}

/// More statements than may run at the same time: if these continued, no other statement would ever
/// run.
#[test]
fn statement_ends_when_its_client_disconnects() {
    let folder = TempDir::new().unwrap();
    let database = Postgres::shared().database();
    let server = setup(&database).argument("--query-seconds-max=1h").start(folder.path());
    let clients = asking(&server, ENDLESS, 8);
    eventually("as many run as may", || (running(&database) == QUERIES_HEAVY_MAX.to_string()).then_some(()));
    drop(clients);
    eventually("none runs any more", || (running(&database) == "0").then_some(()));
    assert_eq!(server.value("select 1"), 1);
}

#[test]
fn huge_values_take_bounded_memory() {
    let folder = TempDir::new().unwrap();
    let (server, _) = postgres_with(10, &folder);
    assert_eq!(server.value("select 1"), 1);
    let before = server.peak_memory_kib();
    let answer = server.ask_sql(&json!({"sql": "select repeat('x', 200000000)"}));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.json()["detail"].as_str().unwrap().contains("too long"), "{}", answer.text());
    let many = json!({"sql": "select repeat('x', 1000000) from generate_series(1, 1000)"});
    let answer = server.ask_sql(&many);
    assert_eq!((answer.status, &answer.json()["truncated"]), (200, &json!(true)));
    let grown = server.peak_memory_kib() - before;
    assert!(grown < 64 << 10, "{grown} KiB more");
}

#[test]
fn unavailable_server_is_reported() {
    let folder = TempDir::new().unwrap();
    let mut postgres = Postgres::start(&[]);
    let database = postgres.database();
    let server = setup(&database).start(folder.path());
    fill(&server, 3);
    postgres.stop();
    for answer in [server.get("/api/v1/records"), server.ask_sql(&json!({"sql": "select 1"}))] {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.text().contains("check that the server runs"), "{}", answer.text());
    }
    postgres.restart();
    assert_eq!(pages(&server, &[]).len(), 3);
}

/// Ids belong to a node: a search shows the records of one node, a statement the records of all
/// nodes.
#[test]
fn search_shows_only_records_of_its_node() {
    let database = Postgres::shared().database();
    let url = url(&database);
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let servers = [0, 1].map(|at| {
        let server = Setup::new().argument(format!("--store={url}")).start(folders[at].path());
        fill(&server, 5 + at);
        server
    });
    for (at, server) in servers.iter().enumerate() {
        assert_eq!(pages(server, &[]).len(), 5 + at);
        assert_eq!(server.value("select count(*) from logs"), 11);
    }
}

#[test]
fn histogram_out_of_time_has_partial_counts() {
    let folder = TempDir::new().unwrap();
    let (server, database) = postgres_with(600, &folder);
    database.execute(
        "ALTER TABLE logs ENABLE ROW LEVEL SECURITY; ALTER TABLE logs FORCE ROW LEVEL SECURITY;
         CREATE POLICY endless ON logs USING (id > 1 OR pg_sleep(3600)::text IS NOT NULL)",
    );
    let day = [("since", "2026-11-21T00:00:00Z"), ("until", "2026-11-21T10:00:00Z")];
    for (query, total) in [("", 540), ("service:billing OR level:warn", 270)] {
        let asked = [("q", query), ("buckets", "10"), ("seconds", "2")];
        eventually("all that can be counted is", || {
            let answer = server.get(&path("/api/v1/histogram", &[&day[..], &asked].concat())).json();
            assert_eq!(answer["partial"], true, "{answer}");
            assert!(answer["total"].as_u64() <= Some(total), "{answer}");
            (answer["total"] == total).then_some(())
        });
    }
}
