//! Property: one record, the records around it, and the records of a trace are the same on both
//! databases.

use serde_json::json;

use super::ids;
use super::parity::Both;

#[test]
fn record_is_found_by_its_id() {
    let both = Both::with(100);
    let record = both.get("/api/v1/records/17", &[]);
    assert_eq!(
        (&record["id"], &record["n"], &record["attributes"]["n"]),
        (&json!(17), &json!(null), &json!(16))
    );
    for id in ["0", "118", "99999999999", "18446744073709551615"] {
        let answer = both.answer(&format!("/api/v1/records/{id}"), &[]);
        assert_eq!(answer.status, 404, "{}", answer.text());
        assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
        assert_eq!(both.answer(&format!("/api/v1/records/{id}/context"), &[]).status, 404);
    }
    for id in ["x", "-1", "1.5", "18446744073709551616", "%31%00"] {
        assert_eq!(both.answer(&format!("/api/v1/records/{id}"), &[]).status, 400, "{id}");
    }
    assert_eq!(both.answer("/api/v1/records/17", &[("q", "x")]).status, 400);
    assert_eq!(both.answer("/api/v1/records/17/x", &[]).status, 404);
}

#[test]
fn record_is_shown_with_surrounding_records() {
    let both = Both::with(100);
    let context = |id: u64, parameters: &[(&str, &str)]| {
        let answer = both.get(&format!("/api/v1/records/{id}/context"), parameters);
        assert_eq!(answer["partial"], false);
        ids(&answer)
    };
    // Every third record is of the same service.
    assert_eq!(context(50, &[("before", "2"), ("after", "3")]), [44, 47, 50, 53, 56, 59]);
    assert_eq!(
        context(50, &[("before", "2"), ("after", "3"), ("scope", "all")]),
        (48..=53).collect::<Vec<_>>()
    );
    assert_eq!(context(50, &[("scope", "all")]), (40..=60).collect::<Vec<_>>());
    assert_eq!(context(50, &[("before", "0"), ("after", "0")]), [50]);
    assert_eq!(context(1, &[("before", "5"), ("after", "1")]), [1, 4]);
    assert_eq!(context(116, &[("before", "2"), ("after", "5"), ("scope", "all")]), [114, 115, 116]);
    assert_eq!(context(2, &[("before", "9999999"), ("after", "0"), ("scope", "all")]), [1, 2]);
    // Records without a service are shown among other records without a service.
    assert_eq!(context(115, &[]), [113, 114, 115, 116]);
    assert_eq!(both.answer("/api/v1/records/1/context", &[("scope", "trace")]).status, 400);
}

#[test]
fn trace_has_all_of_its_records_in_order() {
    let both = Both::with(10);
    let trace = both.get("/api/v1/traces/trace-1", &[]);
    assert_eq!(
        (ids(&trace), &trace["partial"], &trace["next_cursor"]),
        (vec![12, 15, 18, 21], &json!(false), &json!(null))
    );
    let page = both.get("/api/v1/traces/trace-1", &[("limit", "3")]);
    assert_eq!(ids(&page), [12, 15, 18]);
    let next = both.get("/api/v1/traces/trace-1", &[("cursor", page["next_cursor"].as_str().unwrap())]);
    assert_eq!(ids(&next), [21]);
    let back = both.get(
        "/api/v1/traces/trace-1",
        &[("limit", "2"), ("cursor", next["previous_cursor"].as_str().unwrap())],
    );
    assert_eq!(ids(&back), [15, 18]);
    assert_eq!(ids(&both.get("/api/v1/traces/trace-1%22%20OR%20id:1", &[])), [0; 0]);
    assert_eq!(both.answer("/api/v1/traces/", &[]).status, 404);
}
