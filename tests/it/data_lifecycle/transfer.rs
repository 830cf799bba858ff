//! Property: export and import transfer every record from one server to another unchanged, exactly
//! once.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{eventually, python};

use super::{Kept, failed, lines, succeeded};

/// Returns all records, without their ids.
fn contents(kept: &Kept) -> Vec<Value> {
    let headers = [("accept", "application/x-ndjson")];
    let answer = kept.server.request("GET", "/api/v1/records?order=asc&limit=100000", &headers, b"");
    let lines = answer.text();
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .map(|mut record| {
            record.as_object_mut().unwrap().remove("id");
            record
        })
        .collect()
}

/// Stores values that have a special meaning in one of the formats or programs on the way, and
/// values without any meaning.
fn hostile(kept: &Kept) {
    let texts = [
        "",
        " ",
        "\u{1b}[2J",
        "\"\\\n\r\t",
        "\u{202e}\u{2028}\u{feff}",
        "=cmd|' /C calc'!A0",
        "'; DROP TABLE logs; --",
        "%s %(x)s {}",
        "\u{10ffff}é\u{1f600}",
        "null",
        "NaN",
        "{\"a\":1}",
        "projects/p/traces/t",
    ];
    let fields = [
        "service",
        "logger",
        "host",
        "message",
        "trace_id",
        "span_id",
        "event_name",
        "file",
        "function",
        "thread",
    ];
    kept.fill(texts.iter().enumerate().map(|(n, text)| {
        let mut record = json!({
            "time": "2026-11-20T10:00:00.123456789Z", "severity": text, "severity_number": n % 25,
            "attributes": {
                *text: text, "id": 1, "timestamp": "x", "service": {"name": 1}, "list": [1, -0.5, null, true, [text]],
                "big": 123456789012345678u64,
            },
        });
        for field in fields {
            record[field] = json!(text);
        }
        record
    }));
    kept.fill([
        json!({ "timestamp": "1677-09-21T00:12:43.145224192Z", "message": "the first moment" }),
        json!({ "timestamp": "2262-04-11T23:47:16.854775807Z", "line": 4294967295u32, "process_id": 1 }),
        json!({ "timestamp": "1969-12-31T23:59:59.999999999Z", "message": "x".repeat(300_000) }),
    ]);
    // A client that uses names which are fields for JSON senders.
    python(
        "
import logging, logging.handlers, sys
host, port = sys.argv[1].rsplit(':', 1)
log = logging.getLogger('a.b')
log.addHandler(logging.handlers.SocketHandler(host, int(port)))
log.setLevel(1)
extra = {'service.name': 'not the service', 'code.file.path': 'x', 'time': 'y', 'body': {'a': [1]}}
log.log(25, 'a %s', 'message', extra=extra)
try:
    1 / 0
except ZeroDivisionError:
    log.exception('failed')
",
        &[&kept.server.address("python")],
    );
    kept.server.wait_for_accepted("python", 2);
    kept.server.flush();
}

fn export(kept: &Kept, path: &Path) {
    let output = kept.server.cli(&["export", "-o", path.to_str().unwrap()]);
    assert_eq!(succeeded(&output), "");
}

#[test]
fn every_field_survives_export_and_import() {
    let folder = TempDir::new().unwrap();
    let [sqlite, postgres] = Kept::both(&[]);
    hostile(&sqlite);
    let expected = contents(&sqlite);
    assert_eq!(expected.len(), 18);
    // Listeners add labels and hosts to the records that they receive, but not to exported records.
    let labelled = Kept::sqlite(&[]);
    for (name, target) in [("a.ndjson", &labelled), ("b.ndjson.gz", &postgres)] {
        let path = folder.path().join(name);
        export(&sqlite, &path);
        let said = succeeded(&target.server.cli(&["import", path.to_str().unwrap()]));
        assert_eq!(said, "imported 18 records\n");
        target.server.flush();
    }
    assert!(contents(&labelled) == expected, "they differ");
    // The records are also transferred back from the other database.
    let path = folder.path().join("c.ndjson.zst");
    export(&postgres, &path);
    let last = Kept::sqlite(&[]);
    succeeded(&last.server.cli(&["import", path.to_str().unwrap()]));
    last.server.flush();
    assert!(contents(&last) == contents(&postgres), "they differ");
    // PostgreSQL has its own format of numbers and order of members in jsonb; everything else is
    // unchanged.
    let without_attributes = |mut records: Vec<Value>| {
        records.iter_mut().for_each(|record| {
            record.as_object_mut().unwrap().remove("attributes");
        });
        records
    };
    for (read, sent) in without_attributes(contents(&last)).iter().zip(without_attributes(expected)) {
        assert_eq!(*read, sent);
    }
    assert_eq!(fs::read(folder.path().join("b.ndjson.gz")).unwrap()[..2], [0x1f, 0x8b]);
    assert_eq!(fs::read(&path).unwrap()[..4], [0x28, 0xb5, 0x2f, 0xfd]);
}

#[test]
fn many_records_are_transferred_in_pages_and_batches() {
    for kept in Kept::both(&[]) {
        kept.fill(lines(25_000, "secret"));
        let exported = kept.server.cli(&["export", "service:shop", "--until", "2026-11-21"]);
        let text = succeeded(&exported);
        let expected = (0..25_000).filter(|n| n % 3 == 1).count();
        assert_eq!(text.lines().count(), expected);
        let ids: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap())
            .collect();
        assert!(ids.is_sorted() && ids[0] == 2);
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("shop.ndjson");
        fs::write(&path, &text).unwrap();
        succeeded(&kept.server.cli(&["import", path.to_str().unwrap()]));
        kept.server.flush();
        assert_eq!(kept.count(), 25_000 + expected as u64);
        kept_has_no_gaps(&kept);
    }
}

fn kept_has_no_gaps(kept: &Kept) {
    assert_eq!(kept.value("SELECT max(id) - min(id) + 1 - count(*) FROM logs"), 0);
}

#[test]
fn invalid_lines_are_reported_by_number() {
    let kept = Kept::sqlite(&[]);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mixed.ndjson");
    let good = r#"{"id":9,"timestamp":"2026-11-20T10:00:00Z","message":"a"}"#;
    fs::write(&path, format!("{good}\n\nnot json\n{good}\n{{\"msg\":\"foreign\"}}\n{good}")).unwrap();
    let output = kept.server.cli(&["import", path.to_str().unwrap()]);
    failed(&output, "error: 2 lines of 6 refused");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("line 3: ") && said.contains("line 5: ") && said.contains("unknown field `msg`"),
        "{said}"
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "imported 3 records\n");
    kept.server.flush();
    assert_eq!(kept.count(), 3);
    succeeded(&kept.server.cli(&["import", path.to_str().unwrap(), "--from-line", "6"]));
    kept.server.flush();
    assert_eq!(kept.count(), 4);
}

/// Answers one request per connection, and returns the bodies that arrived.
fn answering(answers: &[&str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers: Vec<_> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let thread = std::thread::spawn(move || {
        let mut bodies = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
            loop {
                let length = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..length]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let head = head.to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                let expected = length.map_or(0, |length| length.parse::<usize>().unwrap());
                if body.len() >= expected {
                    bodies.push(body.to_owned());
                    break;
                }
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
        bodies
    });
    (url, thread)
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nRetry-After: 0\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn import_retries_refusals_but_not_unknown_outcomes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("one.ndjson");
    let line = r#"{"timestamp":"2026-11-20T10:00:00Z","message":"a"}"#;
    fs::write(&path, format!("{line}\n{line}\n")).unwrap();
    let full = answer(
        "429 Too Many Requests",
        r#"{"accepted":0,"rejected":2,"errors":[{"line":0,"error":"full"}]}"#,
    );
    let good = answer("200 OK", r#"{"accepted":2,"rejected":0,"errors":[]}"#);
    let (url, bodies) = answering(&[&full, &full, &good]);
    let from_line = |line: &str, url: &str| {
        super::logboom(&["import", path.to_str().unwrap(), "--url", url, "--from-line", line])
    };
    let import = |url: &str| super::logboom(&["import", path.to_str().unwrap(), "--url", url]);
    assert_eq!(succeeded(&import(&url)), "imported 2 records\n");
    assert_eq!(bodies.join().unwrap(), vec![format!("{line}\n{line}\n"); 3]);
    let (url, bodies) = answering(&[""]);
    let output = import(&url);
    failed(&output, "lines 1 to 2 may be stored or not");
    failed(&output, "--from-line 3");
    assert_eq!(bodies.join().unwrap().len(), 1);
    // If the hint was not read, the next import repeats it instead of storing everything twice.
    failed(&import(&url), "lines 1 to 2 may be stored or not");
    let busy = answer("503 Service Unavailable", r#"{"accepted":0,"rejected":0,"errors":[]}"#);
    let (url, bodies) = answering(&[&busy, &good]);
    assert_eq!(succeeded(&from_line("1", &url)), "imported 2 records\n");
    assert_eq!(bodies.join().unwrap().len(), 2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "it has come to its end");
    let dead = answer(
        "503 Service Unavailable",
        r#"{"accepted":1,"rejected":1,"errors":[{"line":0,"error":"stopping"}]}"#,
    );
    let (url, bodies) = answering(&[&dead]);
    let output = import(&url);
    failed(&output, "the server stopped at lines 1 to 2: stopping");
    failed(&output, "lines 1 to 2 may be stored or not");
    assert_eq!(bodies.join().unwrap().len(), 1);
    // An import that has sent nothing leaves nothing to continue from.
    let (url, bodies) = answering(&[&answer("404 Not Found", r#"{"accepted":0,"rejected":0,"errors":[]}"#)]);
    failed(&from_line("1", &url), "everything before line 1 was sent");
    bodies.join().unwrap();
    let (url, _bodies) = answering(&[&good]);
    assert_eq!(succeeded(&import(&url)), "imported 2 records\n");
}

/// Kills the command, as in a crash.
#[test]
fn killed_import_reports_where_to_continue() {
    let kept = Kept::sqlite(&[]);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("many.ndjson");
    let line = |n: usize| format!("{{\"timestamp\":\"2026-11-20T10:00:00Z\",\"message\":\"event {n}\"}}\n");
    let lines: String = (1..=60_000).map(line).collect();
    let file = path.to_str().unwrap();
    assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
    let mut child = super::command(&["import", file, "--url", &kept.server.url()]).spawn().unwrap();
    let stored = || kept.value("SELECT count(*) FROM logs");
    thread::scope(|scope| {
        // The command cannot end before it is killed: the last lines are never written to the pipe.
        let (hold, held) = mpsc::channel::<()>();
        let (most, path) = (&lines[..lines.len() - 100_000], &path);
        scope.spawn(move || {
            let mut pipe = fs::File::options().write(true).open(path).unwrap();
            let _ = pipe.write_all(most.as_bytes()); // the reader of the pipe is killed
            held.recv().unwrap_err();
        });
        eventually("it has begun", || (stored() > 0).then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
        drop(hold);
    });
    fs::remove_file(&path).unwrap();
    fs::write(&path, &lines).unwrap();
    let output = kept.server.cli(&["import", file]);
    failed(&output, "an import of this file is not finished");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let choices: Vec<u64> = said
        .split("--from-line ")
        .skip(1)
        .map(|rest| rest.split(|char: char| !char.is_ascii_digit()).next().unwrap().parse().unwrap())
        .filter(|line| *line > 1)
        .collect();
    eventually("what was under way is there or not", || {
        kept.server.flush();
        choices.contains(&(stored() + 1)).then_some(())
    });
    let next = (stored() + 1).to_string();
    succeeded(&kept.server.cli(&["import", file, "--from-line", &next]));
    kept.server.flush();
    assert_eq!(kept.value("SELECT count(*) FROM logs"), 60_000);
    assert_eq!(kept.value("SELECT count(DISTINCT message) FROM logs"), 60_000);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn aborted_export_leaves_no_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("all.ndjson");
    let (url, bodies) = answering(&[&answer("200 OK", r#"{"position":5}"#), ""]);
    // The second request has no body, and receives no answer.
    let output = super::logboom(&["export", "-o", path.to_str().unwrap(), "--url", &url]);
    assert!(!output.status.success());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it takes no room either");
    drop(bodies);
}

#[test]
fn concurrent_imports_of_one_file_are_refused() {
    let kept = Kept::sqlite(&[]);
    let folder = TempDir::new().unwrap();
    let (path, journal) = (folder.path().join("many.ndjson"), folder.path().join("many.ndjson.importing"));
    let file = path.to_str().unwrap();
    assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
    let mut import = super::command(&["import", file, "--url", &kept.server.url()]);
    let mut child = import.stdout(Stdio::null()).spawn().unwrap();
    let mut pipe = fs::File::options().write(true).open(&path).unwrap();
    eventually("it has begun", || {
        fs::read_to_string(&journal).is_ok_and(|text| !text.is_empty()).then_some(())
    });
    for arguments in [&["import", file][..], &["import", file, "--from-line", "1"]] {
        failed(&kept.server.cli(arguments), "another import of this file is running");
    }
    for n in 0..10 {
        writeln!(pipe, "{{\"timestamp\":\"2026-11-20T10:00:00Z\",\"message\":\"event {n}\"}}").unwrap();
    }
    drop(pipe);
    assert!(child.wait().unwrap().success());
    kept.server.flush();
    assert_eq!(kept.count(), 10);
    assert!(!journal.exists());
}

#[test]
fn import_with_unknown_outcome_is_not_retried() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("two.ndjson");
    let line = r#"{"timestamp":"2026-11-20T10:00:00Z","message":"a"}"#;
    fs::write(&path, format!("{line}\n{line}\n")).unwrap();
    let error = "the spool has stopped after a disk error: input/output error";
    for (status, body) in [
        // A restart of the server may find the records.
        (
            "503 Service Unavailable",
            json!({ "accepted": 0, "rejected": 2, "errors": [{ "line": 0, "error": error }] }),
        ),
        // A proxy in between has aborted the request.
        (
            "400 Bad Request",
            json!({ "accepted": 0, "rejected": 0, "errors": [{ "line": 0, "error": "broken" }] }),
        ),
        ("200 OK", json!({ "accepted": 1, "rejected": 0, "errors": [] })),
    ] {
        let (url, bodies) = answering(&[&answer(status, &body.to_string())]);
        let output = super::logboom(&["import", path.to_str().unwrap(), "--url", &url, "--from-line", "1"]);
        failed(&output, "lines 1 to 2 may be stored or not");
        assert_eq!(bodies.join().unwrap().len(), 1, "{body}");
    }
}

#[test]
fn records_before_the_damage_are_imported() {
    let kept = Kept::sqlite(&[]);
    let folder = TempDir::new().unwrap();
    kept.fill(lines(5000, "secret"));
    let whole = folder.path().join("whole.ndjson.gz");
    export(&kept, &whole);
    let path = folder.path().join("cut.ndjson.gz");
    let bytes = fs::read(&whole).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1000]).unwrap();
    let target = Kept::sqlite(&[]);
    let output = target.server.cli(&["import", path.to_str().unwrap()]);
    failed(&output, "cannot read");
    target.server.flush();
    let stored = target.count();
    assert!(stored > 1500 && !stored.is_multiple_of(1500), "{stored}");
    failed(&output, &format!("--from-line {} continues there", stored + 1));
    succeeded(&target.server.cli(&[
        "import",
        whole.to_str().unwrap(),
        "--from-line",
        &(stored + 1).to_string(),
    ]));
    target.server.flush();
    assert_eq!(contents(&target), contents(&kept));
}
