//! Property: records are exported as CSV and as lines, in any number, with bounded memory.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use logboom::limits::EXPORTS_MAX;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{Server, eventually, python};

use super::parity::Both;
use super::path;

const RECORDS: &str = "/api/v1/records";

/// Parses CSV as a CSV reader does.
fn parse(text: &str) -> Vec<Vec<String>> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("logs.csv");
    std::fs::write(&file, text).unwrap();
    let program = "import csv, json, sys; print(json.dumps(list(csv.reader(open(sys.argv[1], newline='', encoding='utf-8'), strict=True))))";
    serde_json::from_str(&python(program, &[file.to_str().unwrap()])).unwrap()
}

#[test]
fn csv_contains_the_fields_of_the_records() {
    let both = Both::with(20);
    let answer = both.answer(
        RECORDS,
        &[
            ("format", "csv"),
            ("order", "asc"),
            ("fields", "id,time,severity,service,message,host,n,user.id,user.name,flag"),
        ],
    );
    assert!(answer.head.contains("content-type: text/csv; charset=utf-8; header=present"), "{}", answer.head);
    assert!(
        answer.head.contains("content-disposition: attachment; filename=\"logs.csv\""),
        "{}",
        answer.head
    );
    assert!(answer.text().ends_with("\r\n"));
    let rows = parse(&answer.text());
    assert_eq!(rows.len(), 37);
    assert_eq!(
        rows[0],
        ["id", "time", "severity", "service", "message", "host", "n", "user.id", "user.name", "flag"]
    );
    assert_eq!(rows[2][..5], ["2", "2026-11-21T00:01:00.000000000Z", "info", "shop", "event 1 of many"]);
    assert_eq!(rows[2][6..], ["1", "", "", ""]);
    // Text that a spreadsheet would run as a formula is escaped.
    assert_eq!(rows[34][4..], ["'=HYPERLINK(\"http://x\")", "'@web", "", "", "", "true"]);
    assert_eq!(rows[35][4], "two\r\nlines, \"quoted\" \u{1f600}");
    assert_eq!(rows[35][6..], ["12.5", "7", "'-x", ""]);
    // All columns, with the attributes as JSON.
    let sheets = [&both.sqlite, &both.postgres].map(|server| {
        let answer = server.request("GET", RECORDS, &[("accept", "text/csv")], b"");
        assert_eq!((answer.status, answer.head.contains("content-disposition")), (200, false));
        parse(&answer.text())
    });
    let heading = "id,time,severity_number,severity,service,logger,host,message,trace_id,span_id,event_name,file,line,function,process_id,thread,attributes";
    for sheet in &sheets {
        assert_eq!((sheet.len(), sheet[0].join(",")), (37, heading.to_owned()));
    }
    for (one, other) in sheets[0].iter().zip(&sheets[1]).skip(1) {
        assert_eq!(one[..16], other[..16]);
        let attributes = [&one[16], &other[16]].map(|text| serde_json::from_str::<Value>(text).ok());
        assert_eq!(attributes[0], attributes[1]);
    }
    let attributes =
        both.sqlite.get(&path(RECORDS, &[("format", "csv"), ("fields", "attributes"), ("q", "user:*")]));
    let attributes: Value = serde_json::from_str(&parse(&attributes.text())[1][0]).unwrap();
    assert_eq!(attributes, json!({"user": {"id": 7, "name": "-x"}, "n": 12.5}));
}

#[test]
fn format_is_chosen_by_header_or_parameter() {
    let both = Both::with(150);
    let ask = |accept: &str, parameters: &[(&str, &str)]| {
        let answer = both.sqlite.request("GET", &path(RECORDS, parameters), &[("accept", accept)], b"");
        let kind =
            answer.head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap().to_owned();
        (answer.status, kind, answer.text().lines().count(), answer.head.contains("attachment"))
    };
    let lines = |count, is_file| (200, "application/x-ndjson".to_owned(), count, is_file);
    assert_eq!(ask("application/x-ndjson", &[]), lines(100, false));
    assert_eq!(ask("application/x-ndjson", &[("limit", "120")]), lines(120, false));
    assert_eq!(ask("text/csv", &[("format", "ndjson")]), lines(166, true));
    assert_eq!(ask("*/*", &[("format", "ndjson"), ("limit", "5")]), lines(5, true));
    assert_eq!(ask("text/csv", &[("format", "json")]).1, "application/json");
    assert_eq!(ask("text/html", &[]).1, "application/json");
    assert_eq!(ask("", &[("format", "xml")]).0, 400);
    assert_eq!(ask("", &[("fields", "id")]).0, 400);
    assert_eq!(ask("", &[("format", "csv"), ("fields", "id,,n")]).0, 400);
    assert_eq!(ask("", &[("format", "csv"), ("fields", &["n"; 101].join(","))]).0, 400);
    assert_eq!(ask("", &[("format", "csv"), ("limit", "0")]).2, 1);
    assert_eq!(ask("", &[("format", "csv"), ("q", "(")]).1, "application/problem+json");
}

/// Starts an export, and reads no more of it than the status line.
fn start_export(server: &Server) -> (String, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(server.address("http")).unwrap();
    let target = path(RECORDS, &[("format", "ndjson")]);
    write!(stream, "GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut reader = BufReader::with_capacity(64, stream);
    let mut status = String::new();
    reader.read_line(&mut status).unwrap();
    (status, reader)
}

#[test]
fn slow_exports_leave_room_for_other_answers() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let record = format!("{{\"message\":\"{}\"}}\n", "x".repeat(10_000));
    for _ in 0..6 {
        assert_eq!(server.post(record.repeat(500)).status, 200);
    }
    server.flush();
    let exports: Vec<_> = (0..EXPORTS_MAX).map(|_| start_export(&server)).collect();
    assert!(exports.iter().all(|(status, _)| status.starts_with("HTTP/1.1 200 ")), "{:?}", exports[0].0);
    let refused = server.get(&path(RECORDS, &[("format", "csv")]));
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["title"], "too many exports are open");
    assert!(refused.head.contains("retry-after: 1\r\n"), "{}", refused.head);
    let lines = [("accept", "application/x-ndjson")];
    assert_eq!(server.request("GET", &path(RECORDS, &[("limit", "5")]), &lines, b"").status, 200);
    assert_eq!(server.get("/api/v1/records?limit=1").status, 200);
    assert_eq!(server.get("/api/v1/histogram").status, 200);
    assert_eq!(server.value("select count(*) from logs"), 3000);
    drop(exports);
    eventually("another export may begin", || {
        start_export(&server).0.starts_with("HTTP/1.1 200 ").then_some(())
    });
}

#[test]
fn export_of_any_size_takes_bounded_memory() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let count = 200_000;
    for part in 0..4 {
        let from = part * count / 4;
        let body: String = (from..from + count / 4)
            .map(|n| format!("{{\"message\":\"exported {n}\",\"padding\":\"{n:0150}\"}}\n"))
            .collect();
        assert_eq!(server.post(&body).json()["accepted"], count / 4);
    }
    server.flush();
    let before = server.peak_memory_kib();
    for format in ["csv", "ndjson"] {
        let answer = server.get(&path(RECORDS, &[("format", format), ("order", "asc")]));
        let lines = count + usize::from(format == "csv");
        assert_eq!((answer.status, answer.text().lines().count()), (200, lines));
        assert!(answer.body.len() > 40 << 20);
    }
    let grown = server.peak_memory_kib() - before;
    assert!(grown < 16 << 10, "{grown} KiB more");
}
