//! Property: bodies of every documented form are accepted, and a bad record costs only itself and
//! is reported.

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::Server;

use super::{accepted, assert_without_gaps, count, messages};

fn post_as(server: &Server, content_type: &str, body: &str) -> Value {
    let headers = [("content-type", content_type)];
    let answer = server.request("POST", "/api/v1/records", &headers, body.as_bytes());
    assert_eq!(answer.status, 200, "{content_type}: {}", answer.text());
    assert!(answer.head.contains("\r\ncontent-type: application/json"), "{}", answer.head);
    answer.json()
}

#[test]
fn object_array_and_lines_are_accepted() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let two = "{\"message\":\"a\"}\n{\"message\":\"b\"}\n";
    let json = "application/json; charset=utf-8";
    assert_eq!(post_as(&server, json, r#"{"message":"object"}"#), accepted(1));
    assert_eq!(post_as(&server, json, r#" [{"message":"first"} , {"message":"second"}] "#), accepted(2));
    assert_eq!(post_as(&server, "application/x-ndjson", two), accepted(2));
    assert_eq!(post_as(&server, json, two), accepted(2));
    assert_eq!(post_as(&server, "text/plain", two.trim_end()), accepted(2));
    assert_eq!(
        post_as(&server, json, "{\n  \"message\": \"pretty\",\n  \"tags\": [\n    1,\n    2\n  ]\n}\n"),
        accepted(1)
    );
    assert_eq!(
        server.post("{\"message\":\"crlf\"}\r\n\r\n{\"message\":\"blank line\"}\r\n").json(),
        accepted(2)
    );
    let all = ["object", "first", "second", "a", "b", "a", "b", "a", "b", "pretty", "crlf", "blank line"];
    assert_eq!(messages(&server), all);
    assert_eq!(server.value("select attributes from logs where message = 'pretty'"), r#"{"tags":[1,2]}"#);
    assert_without_gaps(&server);
}

#[test]
fn aliases_of_fields_are_accepted() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let time = "2026-11-21T10:00:00.123000000Z";
    let cases = [
        ("time", "timestamp", json!("2026-11-21T10:00:00.123Z"), json!(time)),
        ("time", "time", json!("2026-11-21T11:00:00.123+01:00"), json!(time)),
        ("time", "ts", json!(1_795_255_200.123), json!(time)),
        ("time", "@timestamp", json!(1_795_255_200_123_u64), json!(time)),
        ("time", "_time", json!(1_795_255_200_123_000_u64), json!(time)),
        ("time", "timestamp", json!("1795255200123000000"), json!(time)),
        ("severity_number", "level", json!("warning"), json!(13)),
        ("severity_number", "severity", json!("ERROR"), json!(17)),
        ("severity_number", "levelname", json!("CRITICAL"), json!(21)),
        ("message", "message", json!("m"), json!("m")),
        ("message", "msg", json!("m"), json!("m")),
        ("message", "_msg", json!("m"), json!("m")),
        ("message", "body", json!("m"), json!("m")),
        ("message", "short_message", json!("m"), json!("m")),
        ("service", "service", json!("s"), json!("s")),
        ("service", "service.name", json!("s"), json!("s")),
        ("service", "app", json!("s"), json!("s")),
        ("logger", "logger", json!("l"), json!("l")),
        ("logger", "name", json!("l"), json!("l")),
        ("trace_id", "trace_id", json!(17), json!("17")),
        ("host", "host.name", json!("h"), json!("h")),
        ("line", "code.line.number", json!(3), json!(3)),
        ("process_id", "process.pid", json!(4), json!(4)),
        (
            "attributes",
            "attributes",
            json!({"ok": true, "user": {"id": 1}}),
            json!(r#"{"ok":true,"user":{"id":1}}"#),
        ),
    ];
    let mut body = String::new();
    for (_, alias, value, _) in &cases {
        body.push_str(&format!("{}\n", json!({ *alias: value })));
    }
    assert_eq!(server.post(&body).json(), accepted(cases.len()));
    server.flush();
    for (id, (column, alias, value, expected)) in (1..).zip(cases) {
        let found = server.value(&format!("select {column} from logs where id = {id}"));
        assert_eq!(found, expected, "{alias}: {value}");
    }
}

#[test]
fn good_lines_of_bad_body_are_accepted() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let body = "{\"message\":\"one\"}\n{\"message\": oops}\n\n{\"message\":\"four\"}\n\"text\"\n{}\n{\"message\":\"seven\"}\n{\"mess";
    for content_type in ["application/x-ndjson", "application/json"] {
        let answer = post_as(&server, content_type, body);
        assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(3), &json!(4)), "{answer}");
        let errors = answer["errors"].as_array().unwrap();
        let lines: Vec<_> = errors.iter().map(|error| error["line"].as_u64().unwrap()).collect();
        assert_eq!(lines, [2, 5, 6, 8], "{answer}");
        assert!(errors[1]["error"].as_str().unwrap().contains("a record is a JSON object"), "{answer}");
    }
    assert_eq!(messages(&server), ["one", "four", "seven", "one", "four", "seven"]);
    assert_without_gaps(&server);
    let source = server.source("http");
    assert_eq!(source["rejected"], json!({"malformed": 4, "not_an_object": 2, "empty": 2}));
    assert_eq!((&source["received"], &source["accepted"]), (&json!(14), &json!(6)));
}

#[test]
fn elements_beside_broken_one_are_accepted() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    // The end of the broken element is found, so only this element is rejected.
    let answer = server.post("[{\"message\":\"one\"},\n{\"message\" \"two\"},\n{\"message\":\"three\"}]");
    let told = answer.json();
    assert_eq!((answer.status, &told["accepted"], &told["errors"][0]["line"]), (200, &json!(2), &json!(2)));
    // It is not known where the next element begins.
    let answer = server.post("[{\"message\":\"four\"},\n{\"message\":[}},\n{\"message\":\"lost\"}]");
    let told = answer.json();
    assert_eq!((answer.status, &told["accepted"], &told["errors"][0]["line"]), (200, &json!(1), &json!(2)));
    assert!(told["errors"][0]["error"].as_str().unwrap().ends_with("the rest was not read"), "{told}");
    assert_eq!(messages(&server), ["one", "three", "four"]);
}

#[test]
fn body_without_good_record_is_a_400() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for body in ["oops", "{\"a\":", "17\n18", "[", "{}", "[1, \"a\"]", "\u{1}\u{2}"] {
        let answer = server.post(body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert_eq!(answer.json()["accepted"], 0);
        assert!(!answer.json()["errors"].as_array().unwrap().is_empty(), "{}", answer.text());
    }
    for nothing in ["", " \n", "[]"] {
        let answer = server.post(nothing);
        assert_eq!((answer.status, answer.json()), (200, accepted(0)), "{nothing}: nothing was refused");
    }
    assert_eq!(count(&server), 0);
}

#[test]
fn errors_are_listed_up_to_limit_and_all_counted() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let answer = server.post("oops\n".repeat(1000) + "{\"message\":\"m\"}").json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(1), &json!(1000)));
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &errors[99]["line"]), (100, &json!(100)));
}

#[test]
fn invalid_utf8_becomes_replacement_characters() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let body = b"{\"message\":\"before\"}\n{\"message\":\"caf\xe9\",\"\xff\":1}\n{\"message\":\"\xf0\x9f\x98\x80\"}\n";
    assert_eq!(server.post(body).json(), accepted(3));
    assert_eq!(messages(&server), ["before", "caf\u{fffd}", "\u{1f600}"]);
    assert_eq!(server.value("select attributes from logs where id = 2"), "{\"\u{fffd}\":1}");
}

#[test]
fn oversized_record_is_reported_and_others_accepted() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let huge = "x".repeat(3 << 20);
    for [start, between, end] in [["", "\n", ""], ["[", ",\n", "]"]] {
        let records =
            [r#"{"message":"before"}"#, &format!(r#"{{"message":"{huge}"}}"#), r#"{"message":"after"}"#];
        let answer = server.post(format!("{start}{}{end}", records.join(between)));
        let told = answer.json();
        assert_eq!((answer.status, &told["accepted"], &told["rejected"]), (200, &json!(2), &json!(1)));
        assert_eq!(told["errors"][0]["line"], 2);
        assert!(told["errors"][0]["error"].as_str().unwrap().contains("larger than 1048576 bytes"), "{told}");
    }
    assert_eq!(messages(&server), ["before", "after", "before", "after"]);
    assert_eq!(server.source("http")["rejected"], json!({"too_large": 2}));
}

#[test]
fn record_at_the_limit_is_stored() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let message = "x".repeat((1 << 20) - 100);
    // Attributes have a separate bound, and are cut with a mark.
    let attribute = "y".repeat((1 << 20) - 100);
    let body = format!(
        "{{\"message\":\"{message}\"}}\n{{\"message\":\"m\",\"a\":\"{attribute}\"}}\n{{\"message\":\"after\"}}"
    );
    assert_eq!(server.post(body).json(), accepted(3));
    server.flush();
    assert_eq!(server.value("select length(message) from logs where id = 1"), (1 << 20) - 100);
    let cut = server.sql("select message, json_valid(attributes), length(attributes) from logs where id = 2");
    assert_eq!((&cut[0][0], &cut[0][1]), (&json!("m"), &json!(1)));
    assert!(cut[0][2].as_u64().unwrap() <= 1 << 19, "{cut:?}");
    assert_eq!(server.value("select message from logs where id = 3"), "after");
}
