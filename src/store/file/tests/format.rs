//! Compares lines with those of Python's own `logging.Formatter`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::*;
use crate::record::severity;

/// A time zone that needs no database and has daylight saving time.
const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

const SCRIPT: &str = r#"
import json, logging, sys
lines = []
for case in json.load(sys.stdin):
    record = logging.LogRecord("", 0, case["record"]["pathname"], 0, "", None, None)
    record.__dict__.update(case["record"])
    lines.append(logging.Formatter(case["format"]).format(record))
json.dump(lines, sys.stdout)
"#;

fn python(script: &str, input: &Value) -> Value {
    let mut python = Command::new("python3")
        .args(["-c", script])
        .env("TZ", ZONE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs python3");
    python.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn line(format: &str, record: &RecordRef<'_>) -> String {
    let zone = TimeZone::posix(ZONE).unwrap();
    let mut out = b"what stands before".to_vec();
    LineWriter::new(LineFormat::parse(format).unwrap(), zone).write(17, record, &mut out);
    String::from_utf8(out).unwrap().strip_prefix("what stands before").unwrap().to_owned()
}

fn record<'a>() -> RecordRef<'a> {
    RecordRef {
        timestamp: 1_763_719_200_123_456_000,
        severity_number: severity::WARN,
        origin: Origin {
            service: "billing",
            logger: "app.views",
            host: "web-1",
            severity_text: "WARNING",
            file: "/srv/app/views.list.py",
            line: 7,
            function: "check_äöü",
            process_id: 4711,
            thread: "MainThread",
        },
        message: "häagen 冰淇淋 for user 5",
        trace_id: "0af7651916cd43dd8448eb211c80319c",
        span_id: "b7ad6b7169203331",
        event_name: "order.placed",
        attributes: r#"{"user_id":5,"thread.id":140735,"python.task_name":"Task-1","python.process_name":"Worker"}"#,
        ..RecordRef::default()
    }
}

/// Returns the same record in Python's form.
fn in_python(record: &RecordRef<'_>) -> Value {
    let text = |name| line::text_of(record.attributes, name);
    json!({
        "name": record.origin.logger, "msg": record.message, "levelname": record.origin.severity_text,
        "levelno": severity::to_python(record.severity_number), "pathname": record.origin.file,
        "lineno": record.origin.line, "funcName": record.origin.function,
        "created": record.timestamp as f64 / 1e9, "msecs": (record.timestamp.rem_euclid(time::SECOND) / 1_000_000) as f64,
        "process": record.origin.process_id, "processName": text("python.process_name"),
        "thread": 140735, "threadName": record.origin.thread, "taskName": text("python.task_name"),
        "exc_text": text("exception.stacktrace"), "stack_info": text("code.stacktrace"),
    })
}

/// Formats every record in every format, here and in Python, and compares the lines.
fn compare(formats: &[String], records: &[RecordRef<'_>]) {
    let cases: Vec<_> =
        formats.iter().flat_map(|format| records.iter().map(move |record| (format, record))).collect();
    let input = cases.iter().map(|(format, record)| json!({"format": format, "record": in_python(record)}));
    let lines = python(SCRIPT, &input.collect());
    assert_eq!(lines.as_array().unwrap().len(), cases.len());
    for ((format, record), python) in cases.iter().zip(lines.as_array().unwrap()) {
        assert_eq!(
            line(format, record),
            format!("{}\n", python.as_str().unwrap()),
            "{format:?} of {record:?}"
        );
    }
}

#[test]
fn layouts_match_python() {
    let mut formats = Vec::new();
    for flags in ["", "-", "0", "+", " ", "#", "-0", "+0", " 0", "+ ", "#0"] {
        for size in ["", "1", "3", "12", ".0", ".1", ".3", "12.5", "3.12"] {
            for (name, conversions) in
                [("message", "s"), ("lineno", "sdf"), ("levelno", "d"), ("created", "df"), ("msecs", "sdf")]
            {
                formats.extend(
                    conversions.chars().map(|conversion| format!("%({name}){flags}{size}{conversion}|")),
                );
            }
        }
    }
    let empty = RecordRef { message: "", ..record() };
    let early = RecordRef { timestamp: -1_500_000_000, ..record() };
    compare(&formats, &[record(), empty, early]);
}

#[test]
fn attributes_match_python() {
    let names = [
        "name",
        "levelname",
        "levelno",
        "pathname",
        "filename",
        "module",
        "lineno",
        "funcName",
        "created",
        "asctime",
        "msecs",
        "process",
        "processName",
        "thread",
        "threadName",
        "taskName",
        "message",
    ];
    let mut formats: Vec<String> = names.iter().map(|name| format!("100%% %({name})s %%({name})s")).collect();
    formats.push(DEFAULT_LINE_FORMAT.to_owned());
    formats.push("%(name)s".to_owned() + &"%(message)s".repeat(3));
    let dotted = RecordRef { origin: Origin { file: "..profile", ..record().origin }, ..record() };
    compare(&formats, &[record(), dotted]);
}

#[test]
fn local_time_matches_python_across_clock_changes() {
    let clock_changes = [1_743_296_399, 1_743_296_400, 1_761_440_399, 1_761_440_400, 1_761_436_800, -1, 0];
    let days = (0..400).map(|day| 1_700_000_000 + day * 86_401);
    let records: Vec<_> = days
        .chain(clock_changes)
        .map(|second| RecordRef { timestamp: second * time::SECOND + 7_000_000, ..record() })
        .collect();
    compare(&["%(asctime)s".to_owned()], &records);
}

#[test]
fn tracebacks_and_stacks_match_python() {
    let attributes = [
        r#"{"exception.stacktrace":"Traceback:\n  File \"a.py\"\nValueError: x"}"#,
        r#"{"code.stacktrace":"Stack (most recent call last):\n  File"}"#,
        r#"{"n":{"exception.stacktrace":"nested"},"code.stacktrace":"stack\n","exception.stacktrace":"trace"}"#,
        r#"{"exception.stacktrace":null,"code.stacktrace":null}"#,
        r#"{"exception.type":"only"}"#,
    ];
    let mut records = Vec::new();
    for attributes in attributes {
        for message in ["message", "ends with a newline\n", "two\nlines"] {
            records.push(RecordRef { message, attributes, ..record() });
        }
    }
    compare(&["%(message)s".to_owned(), "%(message)s.".to_owned(), "%(message).0s".to_owned()], &records);
}

#[test]
fn real_exception_matches_python() {
    let script = r#"
import json, logging, sys
try:
    {}["missing"]
except KeyError:
    record = logging.LogRecord("app", logging.ERROR, "/srv/a.py", 12, "failed: %s", ("x",), sys.exc_info(), sinfo="Stack")
record.created, record.msecs = 1763719200.5, 500.0
line = logging.Formatter("%(levelname)1.1s %(asctime)s %(name)s:%(lineno)3s %(message)s").format(record)
json.dump([record.exc_text, record.stack_info, line], sys.stdout)
"#;
    let told = python(script, &Value::Null);
    // OpenTelemetry's SDK ends a stack trace with a newline, Python's handlers do not.
    for ending in ["", "\n"] {
        let exception = told[0].as_str().unwrap().to_owned() + ending;
        assert!(exception.contains("KeyError"));
        let attributes = json!({"exception.stacktrace": exception, "code.stacktrace": told[1]}).to_string();
        let record = RecordRef {
            timestamp: 1_763_719_200_500_000_000,
            severity_number: severity::ERROR,
            origin: Origin {
                logger: "app",
                severity_text: "ERROR",
                file: "/srv/a.py",
                line: 12,
                ..Origin::default()
            },
            message: "failed: x",
            attributes: &attributes,
            ..RecordRef::default()
        };
        assert_eq!(line(DEFAULT_LINE_FORMAT, &record), format!("{}\n", told[2].as_str().unwrap()));
    }
}

#[test]
fn own_fields_are_formatted() {
    let format = "%(id)05d %(service)s %(host)s %(trace_id).8s %(span_id)s %(event_name)s %(timestamp)s %(attributes)s";
    let expected =
        "00017 billing web-1 0af76519 b7ad6b7169203331 order.placed 2025-11-21T10:00:00.123456000Z ";
    assert_eq!(line(format, &record()), format!("{expected}{}\n", record().attributes));
}

#[test]
fn missing_values_have_default_or_are_empty() {
    let nothing = RecordRef::default();
    let format = "%(levelname)s %(name)s %(processName)s %(taskName)s %(levelno)s [%(funcName)s%(pathname)s%(threadName)s]";
    assert_eq!(line(format, &nothing), "NOTSET root MainProcess None 0 []\n");
    let ends = [i64::MIN, i64::MAX].map(|timestamp| line("%(asctime)s", &RecordRef { timestamp, ..nothing }));
    assert_eq!(ends, ["1677-09-21 02:12:43,145\n", "2262-04-12 01:47:16,854\n"]);
    let otel = RecordRef { severity_number: severity::ERROR, ..nothing };
    assert_eq!(line("%(levelname)s %(levelno)d", &otel), "ERROR 40\n");
    let own_level = RecordRef { attributes: r#"{"python.levelno":25}"#, severity_number: 12, ..nothing };
    assert_eq!(line("%(levelno)s", &own_level), "25\n");
}

#[test]
fn file_name_of_windows_path_is_last_part() {
    let origin = Origin { file: r"C:\app\views.py", ..Origin::default() };
    assert_eq!(
        line("%(filename)s %(module)s", &RecordRef { origin, ..RecordRef::default() }),
        "views.py views\n"
    );
}

#[test]
fn python_levels_round_trip_through_severities() {
    for level in (0..=50).step_by(10).chain([5, 11, 42, 53]) {
        assert_eq!(severity::to_python(severity::from_python(level)), level);
    }
}

#[test]
fn invalid_format_error_explains_cause() {
    for (format, part) in [
        ("", "no field"),
        ("text", "no field"),
        ("%(message)s %", "at character 13: a % must be followed by (name)"),
        ("ä%s", "at character 2"),
        ("%(message", "a ) is missing"),
        ("%(massage)s", "did you mean %(message)?"),
        ("%(relativeCreated)d", "there is no field %(relativeCreated)"),
        ("%(zzz)s", "there are name, levelname"),
        ("%(message)", "must end with s (text)"),
        ("%(message)5", "must end with s (text)"),
        ("%(lineno)x", "must end with s (text)"),
        ("%(message)*s", "must end with s (text)"),
        ("%(asctime)d", "is a text: write %(asctime)s"),
        ("%(message)1001s", "the maximum is 1000"),
        ("%(message).99999999999999999999s", "the maximum is 1000"),
    ] {
        let error = LineFormat::parse(format).unwrap_err();
        assert!(error.contains(part), "{format:?}: {error}");
    }
}

#[test]
fn default_format_parses() {
    assert_eq!(LineFormat::default(), LineFormat::parse(DEFAULT_LINE_FORMAT).unwrap());
    assert!(LineFormat::parse(&format!("%(message){}s", "1000")).is_ok());
}
