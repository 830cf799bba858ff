//! Property: boundary values of parameters have the same meaning for all search endpoints and on
//! either database.

use serde_json::{Value, json};

use super::ids;
use super::parity::Both;

/// Returns the number of records that an endpoint has found.
fn found(both: &Both, place: &str, parameters: &[(&str, &str)]) -> u64 {
    let answer = both.get(&format!("/api/v1/{place}"), parameters);
    let sum = |list: &Value| list.as_array().unwrap().iter().map(|one| one["count"].as_u64().unwrap()).sum();
    match place {
        "records" => ids(&answer).len() as u64,
        "histogram" => answer["total"].as_u64().unwrap(),
        "fields" => answer["scanned"].as_u64().unwrap(),
        "errors" => sum(&answer["errors"]),
        _ => sum(&answer["values"]) + answer["missing"].as_u64().unwrap(),
    }
}

const PLACES: [&str; 5] = ["records", "histogram", "fields", "fields/service", "errors"];

#[test]
fn range_includes_its_start_and_excludes_its_end() {
    let both = Both::with(60);
    for (since, until) in [
        ("2026-11-21T00:03:00Z", "2026-11-21T00:07:00Z"),
        ("2026-11-21T02:03:00+02:00", "2026-11-20T19:07:00-05:00"),
        ("2026-11-21T00:02:00.000000001Z", "2026-11-21T00:06:00.000000001Z"),
        ("1795219380", "1795219620"),
    ] {
        for place in PLACES {
            let expected = if place == "errors" { 1 } else { 4 };
            let range = [("since", since), ("until", until)];
            assert_eq!(found(&both, place, &range), expected, "{place} {since}");
            let query = format!("time>={since} time<{until}");
            assert_eq!(
                found(&both, place, &[("q", &query), ("until", "2026-12-01")]),
                expected,
                "{place} {query}"
            );
        }
    }
    for place in PLACES {
        for (since, until) in [("2026-11-21T00:03:00Z", "2026-11-21T00:03:00Z"), ("2026-11-22", "2026-11-21")]
        {
            assert_eq!(found(&both, place, &[("since", since), ("until", until)]), 0, "{place} {since}");
        }
        let ages = [("since", "1677-09-22"), ("until", "2262-04-10")];
        assert_eq!(found(&both, place, &ages), if place == "errors" { 29 } else { 76 }, "{place}");
    }
}

#[test]
fn empty_database_answers_every_request() {
    let both = Both::start();
    for place in PLACES {
        for until in ["", "2026-12-01"] {
            for query in ["", "level:error user.id:7"] {
                assert_eq!(
                    found(&both, place, &[("q", query), ("until", until), ("since", "2026-11-01")]),
                    0
                );
            }
        }
    }
    let none = json!({"records": [], "next_cursor": null, "previous_cursor": null, "partial": false});
    assert_eq!(both.get("/api/v1/traces/x", &[]), none);
    for place in ["/api/v1/records/1", "/api/v1/records/1/context", "/api/v1/records/18446744073709551615"] {
        assert_eq!(both.answer(place, &[]).status, 404);
    }
}

#[test]
fn numbers_are_accepted_up_to_their_limits() {
    let both = Both::with(30);
    let until = ("until", "2026-12-01");
    let numbers = [
        ("records", "limit"),
        ("traces/trace-1", "limit"),
        ("histogram", "buckets"),
        ("histogram", "seconds"),
        ("fields", "values"),
        ("fields", "seconds"),
        ("fields/service", "limit"),
        ("errors", "limit"),
        ("errors", "seconds"),
        ("records/20/context", "before"),
        ("records/20/context", "after"),
    ];
    for (place, name) in numbers {
        let takes_range = !place.contains("trace") && !place.contains("context");
        let ask = |value: &str| {
            let range = if takes_range { vec![until] } else { vec![] };
            let (place, parameters) = (format!("/api/v1/{place}"), [&range[..], &[(name, value)]].concat());
            if (name, value) == ("seconds", "1") {
                // A busy machine may not find everything within a second.
                return both.status(&place, &parameters);
            }
            both.answer(&place, &parameters).status
        };
        for value in ["1", "18446744073709551615"] {
            assert_eq!(ask(value), 200, "{place} {name}={value}");
        }
        if name != "seconds" {
            // With 0 seconds there is an answer too, but not always the same.
            assert_eq!(ask("0"), 200, "{place} {name}=0");
        }
        for value in ["-1", "18446744073709551616", "1.0", "0x1", " 1", "\u{661}", "1,000"] {
            assert_eq!(ask(value), 400, "{place} {name}={value}");
        }
    }
    let context = |before: &str, after: &str| {
        ids(&both
            .get("/api/v1/records/20/context", &[("before", before), ("after", after), ("scope", "all")]))
    };
    assert_eq!(context("0", "0"), [20]);
    assert_eq!(context("0", "1"), [20, 21]);
    assert_eq!(context("18446744073709551615", "0"), (1..=20).collect::<Vec<_>>());
    let in_no_time = both.sqlite.get("/api/v1/fields?seconds=0").json();
    assert_eq!((&in_no_time["partial"], &in_no_time["total_matches"]), (&json!(true), &Value::Null));
}

#[test]
fn last_value_of_a_repeated_parameter_is_used() {
    let both = Both::with(10);
    let twice = [("limit", "7"), ("order", "desc"), ("limit", "2"), ("order", "asc"), ("q", "("), ("q", "")];
    assert_eq!(ids(&both.get("/api/v1/records", &twice)), [1, 2]);
}
