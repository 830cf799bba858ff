//! Property: histograms, fields and errors count every matching record once, the same on both
//! databases.

use std::collections::BTreeMap;

use logboom::limits::SQLITE_BLOCK_ROWS;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::Server;

use super::parity::Both;
use super::{path, server_with};

const SERIES: [&str; 4] = ["DEBUG", "INFO", "WARN", "ERROR"];

fn numbers(counts: &Value) -> Vec<u64> {
    counts.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

/// Returns the value and the count of each entry of a list.
fn counted(values: &Value) -> Vec<(&str, u64)> {
    let values = values.as_array().unwrap().iter();
    values.map(|value| (value["value"].as_str().unwrap(), value["count"].as_u64().unwrap())).collect()
}

#[test]
fn histogram_counts_every_match_once() {
    let both = Both::with(3000);
    let day: &[_] = &[("since", "2026-11-21"), ("until", "2026-11-22")];
    let answer = both.get("/api/v1/histogram", &[day, &[("buckets", "24")]].concat());
    assert_eq!(
        (&answer["since"], &answer["until"], &answer["step_seconds"]),
        (&json!("2026-11-21T00:00:00.000000000Z"), &json!("2026-11-22T00:00:00.000000000Z"), &json!(3600))
    );
    assert_eq!(
        (&answer["total"], &answer["other"], &answer["partial"]),
        (&json!(1440), &Value::Null, &json!(false))
    );
    let series = answer["series"].as_array().unwrap();
    assert_eq!(series.iter().map(|series| series["value"].as_str().unwrap()).collect::<Vec<_>>(), SERIES);
    for series in series {
        assert_eq!((numbers(&series["counts"]), &series["total"]), (vec![15; 24], &json!(360)));
    }
    // For every field and any step: nothing is counted twice, and nothing is omitted.
    for by in ["severity", "service", "host", "n", "flag", "user.id", "severity_number", "time", "message"] {
        for buckets in ["1", "7", "60", "500", "100000"] {
            for query in ["", "service:billing", "\"of many\" n<100", "level:error OR flag:*"] {
                let range = [("q", query), ("until", "2026-12-01")];
                let answer = both
                    .get("/api/v1/histogram", &[&range[..], &[("by", by), ("buckets", buckets)]].concat());
                let series = answer["series"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .chain(answer.get("other").filter(|other| other.is_object()));
                let mut total = 0;
                for series in series {
                    let counts = numbers(&series["counts"]);
                    assert!((1..=500).contains(&counts.len()), "{answer}");
                    assert_eq!(counts.iter().sum::<u64>(), series["total"], "{answer}");
                    total += counts.iter().sum::<u64>();
                }
                let all = both.get("/api/v1/records", &[&range[..], &[("limit", "10000")]].concat());
                assert_eq!(
                    (answer["total"].as_u64().unwrap(), all["records"].as_array().unwrap().len()),
                    (total, total as usize),
                    "{by} {query}"
                );
            }
        }
    }
}

/// SQLite reads no rows of whole blocks for which it has counts. PostgreSQL has no such counts, and
/// must return the same numbers.
#[test]
fn histogram_over_whole_blocks_equals_that_of_rows() {
    let both = Both::with(3 * SQLITE_BLOCK_ROWS as usize + 1000);
    let blocks = both.sqlite.value("SELECT count(*) FROM block_counts");
    assert_eq!(blocks, 3);
    for by in ["severity", "service"] {
        for query in ["", "service:billing", "level>=warn -service:billing"] {
            // All blocks are whole, then some are cut by the range.
            for (since, until) in
                [("2026-11-01", "2026-12-25"), ("2026-11-21T07:30:17", "2026-11-27T01:02:03")]
            {
                for buckets in ["2", "60", "500"] {
                    let range = [("q", query), ("since", since), ("until", until)];
                    let all = [&range[..], &[("by", by), ("buckets", buckets)]].concat();
                    assert_eq!(both.get("/api/v1/histogram", &all)["partial"], false);
                }
            }
        }
    }
}

#[test]
fn histogram_by_field_has_frequent_values_and_rest() {
    let both = Both::with(40);
    let until = ("until", "2026-12-01");
    let answer = both.get("/api/v1/histogram", &[until, ("by", "n"), ("q", "n:*")]);
    let series = answer["series"].as_array().unwrap();
    assert_eq!(
        (series.len(), &series[0]["value"], &answer["other"]["total"]),
        (9, &json!("0"), &json!(42 - 9))
    );
    let answer = both.get("/api/v1/histogram", &[until, ("by", "service")]);
    let shown: BTreeMap<_, _> = answer["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| (series["value"].as_str().unwrap(), &series["total"]))
        .collect();
    assert_eq!(
        shown,
        BTreeMap::from([
            ("billing", &json!(26)),
            ("shop", &json!(13)),
            ("mail", &json!(13)),
            ("", &json!(4))
        ])
    );
}

#[test]
fn histogram_without_range_covers_stored_records() {
    let both = Both::with(100);
    // Later than now, so that the range ends there on both databases.
    both.post("{\"time\":\"2199-01-01T00:00:00Z\",\"message\":\"the future\"}\n{\"time\":\"1969-12-31T00:00:00Z\",\"message\":\"the past\"}");
    let answer = both.get("/api/v1/histogram", &[]);
    assert_eq!((&answer["total"], &answer["partial"]), (&json!(118), &json!(false)));
    let (since, until) = (answer["since"].as_str().unwrap(), answer["until"].as_str().unwrap());
    assert!(
        since <= "1969-12-31T00:00:00.000000000Z" && until > "2199-01-01T00:00:00.000000000Z",
        "{since} {until}"
    );
    let empty = Both::start();
    for query in [&[("until", "2026-12-01")][..], &[("since", "2026-11-01"), ("until", "2026-11-01")]] {
        let answer = empty.get("/api/v1/histogram", query);
        assert_eq!((&answer["total"], &answer["series"]), (&json!(0), &json!([])));
    }
    assert_eq!(empty.get("/api/v1/fields", &[])["fields"], json!([]));
    assert_eq!(empty.get("/api/v1/errors", &[("until", "2026-12-01")])["errors"], json!([]));
}

#[test]
fn fields_describe_the_matching_records() {
    let both = Both::with(300);
    let answer = both.get("/api/v1/fields", &[("values", "3")]);
    assert_eq!(
        (&answer["scanned"], &answer["total_matches"], &answer["partial"]),
        (&json!(316), &json!(316), &json!(false))
    );
    let fields = answer["fields"].as_array().unwrap();
    let field = |name: &str| {
        fields.iter().find(|field| field["name"] == name).unwrap_or_else(|| panic!("{name}: {answer}"))
    };
    let service = field("service");
    assert_eq!(
        (&service["kind"], &service["type"], &service["count"], &service["distinct"]),
        (&json!("field"), &json!("string"), &json!(312), &json!(3))
    );
    assert_eq!(counted(&service["values"]), [("billing", 112), ("mail", 100), ("shop", 100)]);
    let n = field("n");
    assert_eq!(
        (&n["kind"], &n["type"], &n["count"], &n["distinct"]),
        (&json!("attribute"), &json!("mixed"), &json!(302), &json!(302))
    );
    for (name, kind) in [
        ("flag", "mixed"),
        ("user", "object"),
        ("user.id", "number"),
        ("user.name", "string"),
        ("list", "array"),
        ("none", "null"),
        ("exception.type", "string"),
    ] {
        assert_eq!(field(name)["type"], kind);
    }
    assert!(!fields.iter().any(|field| field["name"] == "message" || field["name"] == "id"));
    // A field that is requested by name may be any field.
    let some = both
        .get("/api/v1/fields", &[("fields", "service,user.id,attributes.n,message,absent"), ("q", "user:*")]);
    let names: Vec<_> =
        some["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["message", "attributes.n", "user.id"]);
}

#[test]
fn field_values_are_found_by_prefix() {
    let both = Both::with(300);
    let values =
        |name: &str, parameters: &[(&str, &str)]| both.get(&format!("/api/v1/fields/{name}"), parameters);
    let answer = values("service", &[]);
    assert_eq!(counted(&answer["values"]), [("billing", 112), ("mail", 100), ("shop", 100)]);
    assert_eq!(
        (&answer["name"], &answer["missing"], &answer["partial"]),
        (&json!("service"), &json!(4), &json!(false))
    );
    assert_eq!(counted(&values("service", &[("prefix", "Bi")])["values"]), [("billing", 112)]);
    assert_eq!(values("service", &[("prefix", "x")])["values"], json!([]));
    assert_eq!(
        counted(&values("service", &[("limit", "1"), ("q", "level:debug service:(mail OR shop)")])["values"]),
        [("mail", 25)]
    );
    assert_eq!(counted(&values("user.id", &[])["values"]), [("7", 1)]);
    assert_eq!(
        counted(&values("exception%2Etype", &[])["values"]),
        [("ValueError", 9), ("KeyError", 3), ("OSError", 1)]
    );
    assert_eq!(values("a%20b%2Fc", &[])["name"], "a b/c");
    both.post("{\"level\":\"warning\",\"service\":\"spelt\"}\n{\"level\":\"WARN\",\"service\":\"spelt\"}\n");
    let spelt = values("severity", &[("q", "service:spelt"), ("prefix", "wa")]);
    assert_eq!(counted(&spelt["values"]), [("WARN", 2)]);
    assert_eq!(values("attributes.service", &[])["missing"], 318);
}

#[test]
fn errors_are_grouped_by_type_and_location() {
    let both = Both::with(40);
    let answer = both.get("/api/v1/errors", &[("q", "-\"of many\""), ("until", "2026-12-01")]);
    let shown = |error: &Value| {
        (
            error["type"].as_str().unwrap().to_owned(),
            error["count"].as_u64().unwrap(),
            error["message"].as_str().unwrap().to_owned(),
        )
    };
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(
        errors.iter().map(shown).collect::<Vec<_>>(),
        [
            ("ValueError".into(), 9, "charge 11 failed".into()),
            ("KeyError".into(), 3, "charge 8 failed".into()),
            (String::new(), 1, "=HYPERLINK(\"http://x\")".into()),
            ("OSError".into(), 1, "an exception that was handled".into()),
        ]
    );
    let first = &errors[0];
    assert_eq!(
        (&first["service"], &first["logger"], &first["file"], &first["line"]),
        (&json!("billing"), &json!("app.pay"), &json!("pay.py"), &json!(17))
    );
    assert_eq!(
        (&first["first_seen"], &first["last_seen"]),
        (&json!("2026-11-25T10:00:01.500000000Z"), &json!("2026-11-25T10:00:11.500000000Z"))
    );
    assert_eq!(first["last_id"], 40 + 12);
    assert_eq!(numbers(&first["sparkline"]).iter().sum::<u64>(), 9);
    assert!(numbers(&first["sparkline"]).len() <= 24);
    // Errors of one service and severity, without a location, form one group.
    let answer = both.get("/api/v1/errors", &[("q", "\"of many\""), ("limit", "2"), ("until", "2026-12-01")]);
    assert_eq!(answer["errors"].as_array().unwrap().len(), 2);
    assert_eq!(answer["errors"][0]["count"], 4);
}

#[test]
fn counts_without_enough_time_are_partial() {
    let folder = TempDir::new().unwrap();
    let server = server_with(1000, &folder);
    for place in ["/api/v1/histogram", "/api/v1/fields", "/api/v1/fields/service", "/api/v1/errors"] {
        let answer = server.get(&path(place, &[("seconds", "0")])).json();
        assert_eq!(answer["partial"], true, "{answer}");
    }
    let fields = server.get("/api/v1/fields?seconds=0").json();
    assert_eq!((&fields["scanned"], &fields["total_matches"]), (&json!(0), &Value::Null));
    assert_eq!(server.get("/api/v1/histogram?seconds=3600&until=2026-12-01").json()["partial"], false);
}

#[test]
fn many_distinct_values_take_bounded_memory() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for part in 0..4 {
        let padding = "x".repeat(900);
        let body: String = (0..5000)
            .map(|n| format!("{{\"message\":\"m\",\"key\":\"{padding}{part}{n}\",\"key {n}\":{n}}}\n"))
            .collect();
        assert_eq!(server.post(&body).status, 200);
    }
    server.flush();
    let before = server.peak_memory_kib();
    let fields = server.get("/api/v1/fields").json();
    let key = fields["fields"].as_array().unwrap().iter().find(|field| field["name"] == "key").unwrap();
    assert_eq!(
        (&key["count"], &key["distinct_capped"], &fields["fields_capped"]),
        (&json!(20_000), &json!(true), &json!(true))
    );
    let values = server.get("/api/v1/fields/key?limit=5000").json();
    assert_eq!(
        (values["values"].as_array().unwrap().len(), &values["distinct_capped"]),
        (1000, &json!(true))
    );
    assert!(values["distinct"].as_u64() > Some(5000), "{}", values["distinct"]);
    let histogram = server.get("/api/v1/histogram?by=key&buckets=500").json();
    assert_eq!((&histogram["total"], &histogram["other"]["total"]), (&json!(20_000), &json!(20_000 - 9)));
    let grown = server.peak_memory_kib() - before;
    assert!(grown < 64 << 10, "{grown} KiB more");
}

#[test]
fn invalid_parameters_are_refused() {
    let folder = TempDir::new().unwrap();
    let server = server_with(1, &folder);
    for place in [
        "histogram?buckets=x",
        "histogram?by=attributes.",
        "histogram?limit=1",
        "fields?values=-1",
        "fields?fields=a,,b",
        "fields/a?x=1",
        "errors?since=x",
        "errors?q=(",
        "errors?seconds=1s",
    ] {
        let answer = server.get(&format!("/api/v1/{place}"));
        assert_eq!(answer.status, 400, "{place}: {}", answer.text());
        assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
        assert!(answer.json()["hint"].is_string(), "{}", answer.text());
    }
}
