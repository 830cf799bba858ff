//! Property: `query`, `sql`, `stats` and `status` print exactly the expected output for known
//! records.

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::Server;

use super::{assert_fails, err, nobody, out, run};

const RECORDS: [&str; 3] = [
    r#"{"time":"2026-11-21T10:00:00.123456789Z","level":"INFO","service":"billing","logger":"app.views","host":"web-1","message":"card accepted","trace_id":"17","amount":12.5}"#,
    r#"{"time":"2026-11-21T10:00:01Z","level":"ERROR","service":"billing","logger":"app.views","host":"web-1","message":"it failed, \"badly\"\nand twice","exception.type":"ValueError","exception.message":"4","exception.stacktrace":"Traceback (most recent call last):\n  File \"a.py\", line 1\nValueError: 4"}"#,
    r#"{"time":"2026-11-21T10:00:02Z","level":"WARN","host":"web-2","message":"=1+1 \u001b[31mred\u001b[0m","user name":"a b"}"#,
];

fn server(folder: &TempDir) -> Server {
    let server = Server::start(folder.path());
    assert_eq!(server.post(RECORDS.join("\n")).json()["accepted"], 3);
    server.flush();
    server
}

/// Runs a command that must succeed without messages, and returns what it prints.
#[track_caller]
fn printed(server: &Server, arguments: &[&str]) -> String {
    let output = server.cli(arguments);
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
    out(&output)
}

#[test]
fn query_prints_records_as_text() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder);
    let expected = "\
2026-11-21T10:00:00.123Z INFO     billing app.views card accepted trace_id=17 amount=12.5
2026-11-21T10:00:01.000Z ERROR    billing app.views it failed, \"badly\"
    and twice
    Traceback (most recent call last):
      File \"a.py\", line 1
    ValueError: 4
2026-11-21T10:00:02.000Z WARN     -       -         =1+1 \\x1b[31mred\\x1b[0m user name=\"a b\"
";
    assert_eq!(printed(&server, &["query"]), expected);
    assert_eq!(
        printed(&server, &["query", "level>=warn", "NOT service:billing", "--limit=5"]).lines().count(),
        1
    );
    // The newest records come first if this order is requested.
    assert!(printed(&server, &["query", "--order=desc"]).starts_with("2026-11-21T10:00:02.000Z WARN"));
    assert_eq!(printed(&server, &["query", "--limit=1"]).split(' ').next(), Some("2026-11-21T10:00:02.000Z"));
    assert_eq!(printed(&server, &["query", "nothing like it"]), "");
    let between = ["query", "--since=2026-11-21T10:00:01Z", "--until=2026-11-21T10:00:02Z", "--format=json"];
    assert_eq!(printed(&server, &between).lines().count(), 1);
    // Colours appear only on request; control sequences within a record never do.
    let coloured = printed(&server, &["query", "--color=always"]);
    assert!(coloured.contains("\x1b[31mERROR\x1b[0m") && coloured.contains("\\x1b[31mred"), "{coloured:?}");
}

#[test]
fn query_prints_records_as_json_and_csv() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder);
    let text = printed(&server, &["query", "--format=json"]);
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = json!({
        "id": 1, "timestamp": "2026-11-21T10:00:00.123456789Z", "severity": "INFO", "severity_number": 9, "service": "billing",
        "logger": "app.views", "host": "web-1", "message": "card accepted", "trace_id": "17", "attributes": {"amount": 12.5},
    });
    assert_eq!(records[0], expected);
    assert_eq!(records[1]["message"], "it failed, \"badly\"\nand twice");
    assert_eq!(records[2]["message"], "=1+1 \x1b[31mred\x1b[0m");

    let text = printed(&server, &["query", "--format=csv"]);
    let rows: Vec<_> = text.split("\r\n").collect();
    let heading = "id,time,severity_number,severity,service,logger,host,message,trace_id,span_id,event_name,file,line,function,process_id,thread,attributes";
    assert_eq!(rows[0], heading);
    assert_eq!(
        rows[1],
        r#"1,2026-11-21T10:00:00.123456789Z,9,INFO,billing,app.views,web-1,card accepted,17,,,,,,,,"{""amount"":12.5}""#
    );
    assert!(rows[2].contains(",\"it failed, \"\"badly\"\"\nand twice\","), "{text}");
    // A spreadsheet does not evaluate the text as a formula.
    assert!(rows[3].contains(",'=1+1 "), "{text}");
}

#[test]
fn query_prints_requested_fields_only() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder);
    let fields = ["query", "--fields=level,service,amount,attributes.user name,message", "--limit=2"];
    let with = |format| printed(&server, &[&fields[..], &["--format", format]].concat());
    assert_eq!(
        with("text"),
        "ERROR  billing  -  -  it failed, \"badly\"\\nand twice\nWARN   -        -  a b  =1+1 \\x1b[31mred\\x1b[0m\n"
    );
    let csv = "level,service,amount,attributes.user name,message\r\n\
               ERROR,billing,,,\"it failed, \"\"badly\"\"\nand twice\"\r\nWARN,,,a b,'=1+1 \x1b[31mred\x1b[0m\r\n";
    assert_eq!(with("csv"), csv);
    let json: Value = serde_json::from_str(with("json").lines().nth(1).unwrap()).unwrap();
    assert_eq!(
        json,
        json!({"level": "WARN", "attributes.user name": "a b", "message": "=1+1 \u{1b}[31mred\u{1b}[0m"})
    );
    let output = server.cli(&["query", "--fields=level,,message"]);
    assert_fails(&output, 2, &["bad value for --fields", "hint: "]);
}

#[test]
fn query_prints_a_trace() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder);
    assert_eq!(server.post(r#"{"message":"and refused","trace_id":"17"}"#).status, 200);
    server.flush();
    let messages = |arguments: &[&str]| {
        let all = [&["query", "--fields=message", "--trace=17"], arguments].concat();
        printed(&server, &all)
    };
    assert_eq!(messages(&[]), "card accepted\nand refused\n");
    assert_eq!(messages(&["refused OR nothing"]), "and refused\n");
    assert_eq!(messages(&["--limit=1", "--order=desc"]), "and refused\n");
    let output = server.cli(&["query", "--trace=17", "refused) OR (card"]);
    assert_fails(&output, 2, &["nothing opens this parenthesis", "refused) OR (card\n       ^\nhint: "]);
}

#[test]
fn sql_prints_rows_in_every_format() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder);
    let sql = "select service, count(*) as records, min(message) as first from logs group by 1 order by 1";
    let text = "\
service  records  first
NULL           1  =1+1 \\x1b[31mred\\x1b[0m
billing        2  card accepted
";
    assert_eq!(printed(&server, &["sql", sql]), text);
    let lines = printed(&server, &["sql", sql, "--format=json"]);
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows[1], json!({"service": "billing", "records": 2, "first": "card accepted"}));
    assert_eq!(rows[0]["service"], Value::Null);
    let csv = printed(&server, &["sql", "select 1 as a, null as b, 'x,y' as c", "--format=csv"]);
    assert_eq!(csv, "a,b,c\r\n1,,\"x,y\"\r\n");
    assert_fails(
        &server.cli(&["sql", "delete from record"]),
        2,
        &["invalid statement", "hint: only statements that read"],
    );
    assert_fails(&server.cli(&["sql", "selekt"]), 2, &["syntax error"]);
}

#[test]
fn omitted_rows_are_reported_on_standard_error() {
    let folder = TempDir::new().unwrap();
    let server = test_support::Setup::new().argument("--query-rows-max=2").start(folder.path());
    let output = server.cli(&["sql", "values (1), (2), (3)", "--format=csv"]);
    assert_eq!((output.status.code(), out(&output).lines().count()), (Some(0), 3));
    assert!(err(&output).contains("only the first 2 rows"), "{}", err(&output));
}

#[test]
fn status_prints_counts_and_problems() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder);
    assert_eq!(server.post("oops").status, 400);
    let page = printed(&server, &["status"]);
    let http = server.address("http");
    assert!(page.starts_with(&format!("logboom {}  ready  up ", env!("CARGO_PKG_VERSION"))), "{page}");
    assert!(page.contains("records from 1 on; the next durable one gets 4\n"), "{page}");
    assert!(page.contains(&format!("rejected by http {http}: 1 malformed\n")), "{page}");
    assert!(!page.contains('\x1b') && !page.contains("null"), "{page:?}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = page.lines().map(words).collect();
    // The numbers of open connections and of all connections so far depend on the client.
    let counts = words(&format!("http {http} 4 3 1 0 0"));
    assert!(rows.iter().any(|row| row.starts_with(&counts)), "{page}");
    assert!(rows.contains(&words("sqlite sqlite 4 0 3 0")), "{page}");
    let status: Value = serde_json::from_str(&printed(&server, &["status", "--format=json"])).unwrap();
    assert_eq!((&status["ready"], &status["stores"][0]["stored"]), (&json!(true), &json!(3)));
}

#[test]
fn bad_query_is_a_usage_error() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let output = server.cli(&["query", "service:billing (level>=warn"]);
    assert_fails(
        &output,
        2,
        &[
            "the parenthesis is not closed",
            "service:billing (level>=warn\n                ^\nhint: add a `)`",
        ],
    );
    assert_fails(
        &server.cli(&["query", "--since=yesterday"]),
        2,
        &["bad value for --since: `yesterday` is not a time", "hint: "],
    );
    assert_fails(&server.cli(&["query", "--limit=0"]), 2, &["0"]);
    assert_fails(&server.cli(&["query", "--format=xml"]), 2, &["xml", "csv"]);
}

#[test]
fn refused_connection_is_a_failure_with_hint() {
    let (_nobody, url) = nobody();
    for command in [&["query"][..], &["sql", "select 1"], &["status"]] {
        let output = run(&[command, &["--url", &url]].concat());
        assert_fails(
            &output,
            1,
            &[&format!("cannot reach {url}"), "refused", "hint: is `logboom serve` running?"],
        );
    }
}

/// A pipe whose reader leaves early, as `head` does, is not a failure.
#[test]
fn reader_that_leaves_early_is_no_failure() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let body: String = (0..20_000).map(|n| format!("{{\"message\":\"line {n}\"}}\n")).collect();
    assert_eq!(server.post(body).status, 200);
    server.flush();
    let program = test_support::program();
    let script = format!(
        "set -o pipefail; {program} query --limit 20000 --order asc --url {} | head -1",
        server.url()
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
    assert!(out(&output).ends_with(" line 0\n"), "{}", out(&output));
}

#[test]
fn query_around_prints_a_record_with_its_surroundings() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder);
    let around = |arguments: &[&str]| {
        let all = [&["query", "--around=2", "--fields=message"], arguments].concat();
        printed(&server, &all)
    };
    assert_eq!(around(&[]), "card accepted\nit failed, \"badly\"\\nand twice\n");
    assert_eq!(around(&["--before=0", "--scope=all"]).lines().count(), 2);
    assert_eq!(
        around(&["--before=1", "--after=1", "--scope=all", "--format=csv"]).matches("\r\n").count(),
        4
    );
    let page = printed(&server, &["query", "--around=1", "--scope=all", "--after=1"]);
    let marked: Vec<_> = page.lines().map(|line| &line[..3]).collect();
    assert_eq!(marked, ["> 2", "  2", "   ", "   ", "   ", "   "], "{page}");
    assert_fails(&server.cli(&["query", "--around=17"]), 1, &["record not found", "hint: "]);
    assert_fails(&server.cli(&["query", "--around=1", "word"]), 2, &["--around", "QUERY"]);
    assert_fails(&server.cli(&["query", "--before=1"]), 2, &["--around"]);
}

#[test]
fn stats_prints_plot_tables_and_csv() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder);
    let range = ["--since=2026-11-21T10:00", "--until=2026-11-21T10:01"];
    let stats = |arguments: &[&str]| printed(&server, &[&["stats", "--ascii"], arguments, &range].concat());
    let page = stats(&["--buckets=12"]);
    assert!(
        page.starts_with(
            "2026-11-21 10:00:00 to 2026-11-21 10:01:00 UTC: 3 records, 5 s a bar\n     3 |####\n"
        ),
        "{page}"
    );
    let tables = "

severity  records   share  over time
ERROR           1  33.3 %  #
WARN            1  33.3 %  #
INFO            1  33.3 %  #

service  records   share  over time
billing        2  66.7 %  #
-              1  33.3 %  #
";
    assert!(page.ends_with(tables), "{page}");
    let csv = stats(&["--by=logger", "--format=csv", "--buckets=2", "service:billing"]);
    let expected = "by,value,time,count\r\nlogger,app.views,2026-11-21T10:00:00.000000000Z,2\r\n\
                    logger,app.views,2026-11-21T10:00:30.000000000Z,0\r\n";
    assert_eq!(csv, expected);
    let json = stats(&["--by=amount,level", "--format=json"]);
    let documents: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&documents[0]["by"], &documents[1]["by"]), (&json!("amount"), &json!("level")));
    assert_eq!(documents[0]["total"], 3);
    assert_eq!(stats(&["nothing like it"]).lines().count(), 1);
    assert_fails(
        &server.cli(&["stats", "service:"]),
        2,
        &["the field has no value", "service:\n", "^", "hint: "],
    );
    assert_fails(&server.cli(&["stats", "--by=a,"]), 2, &["bad value for --by", "hint: "]);
}
