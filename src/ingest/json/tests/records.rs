//! Objects as records.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::limits::{ATTRIBUTES_MAX, JSON_DEPTH_MAX, JSON_MEMBERS_MAX};

#[test]
fn shortest_records_decode() {
    let received = "2026-11-21T10:01:40.000000000Z";
    assert_eq!(decoded(r#"{"msg":"x"}"#), json!({"timestamp": received, "message": "x"}));
    assert_eq!(
        decoded(r#" {"a":null} "#),
        json!({"timestamp": received, "message": "", "attributes": {"a": null}})
    );
    assert_eq!(decoded(r#"{"message":""}"#), json!({"timestamp": received, "message": ""}));
}

#[test]
fn non_record_is_rejected_with_reason() {
    assert_eq!(rejected(b"{}"), ("empty", "the object has no members".into()));
    assert_eq!(rejected(b" "), ("empty", "there is no JSON value".into()));
    assert_eq!(rejected(b"[1]"), ("not_an_object", "a record is a JSON object, this is an array".into()));
    assert_eq!(rejected(b"\"a\""), ("not_an_object", "a record is a JSON object, this is a string".into()));
    assert_eq!(rejected(b"null"), ("not_an_object", "a record is a JSON object, this is a word".into()));
    assert_eq!(
        rejected(br#"{"message":"x" "b":1}"#),
        ("malformed", "expected `,` or `}` at column 16".into())
    );
    assert_eq!(
        rejected(b"{\n\"a\":1,\n}"),
        ("malformed", "trailing comma at column 1 of the record's line 3".into())
    );
    assert_eq!(rejected(b"{\"a\":1}}"), ("malformed", "trailing characters at column 8".into()));
    assert_eq!(rejected(b"hello"), ("malformed", "expected value at column 1".into()));
}

#[test]
fn numeric_level_needs_known_sender() {
    let severity = |object: &str| {
        let record = decoded(object);
        (
            record["severity_number"].as_u64(),
            record["severity"].as_str().map(str::to_owned),
            record["attributes"].clone(),
        )
    };
    let word = |word: &str| Some(word.to_owned());
    let cases = [
        (r#"{"level":30,"msg":"a"}"#, None, word("30"), Value::Null),
        (r#"{"level":30,"msg":"a","time":1795255200123}"#, Some(9), word("INFO"), Value::Null),
        (r#"{"level":30,"msg":"a","time":1795255200}"#, None, word("30"), Value::Null),
        (
            r#"{"level":35,"msg":"a","pid":1,"hostname":"h","v":1}"#,
            Some(12),
            word("INFO4"),
            json!({"level": 35}),
        ),
        (r#"{"level":30,"levelname":"WARNING","msg":"a"}"#, Some(13), word("WARNING"), json!({"level": 30})),
        (r#"{"levelno":25,"msg":"a"}"#, Some(12), word("INFO4"), json!({"python.levelno": 25})),
        (r#"{"levelno":30,"level":"warning","msg":"a"}"#, Some(13), word("warning"), Value::Null),
        (r#"{"level":3,"version":"1.1","short_message":"a"}"#, Some(17), word("ERROR"), Value::Null),
        (r#"{"level":"loud","msg":"a"}"#, None, word("loud"), Value::Null),
        (r#"{"level":"INFO","severity_number":11}"#, Some(11), word("INFO"), Value::Null),
        (r#"{"level":{"name":"SUCCESS","no":25}}"#, Some(12), word("SUCCESS"), json!({"python.levelno": 25})),
    ];
    for (object, number, text, attributes) in cases {
        assert_eq!(severity(object), (number, text, attributes), "{object}");
    }
}

#[test]
fn time_in_any_unit_is_parsed() {
    for time in ["1795255200", "1795255200000", "1795255200000000", "1795255200000000000", "1795255200.0"] {
        let record = decoded(&format!(r#"{{"ts":{time}}}"#));
        assert_eq!(record["timestamp"], "2026-11-21T10:00:00.000000000Z", "{time}");
    }
    for time in [r#""yesterday""#, "1e300", "[1]", "true"] {
        let record = decoded(&format!(r#"{{"time":{time}}}"#));
        assert_eq!(record["timestamp"], "2026-11-21T10:01:40.000000000Z", "{time}");
        assert_eq!(record["attributes"]["time"], serde_json::from_str::<Value>(time).unwrap());
    }
}

#[test]
fn first_name_of_field_wins_and_others_stay() {
    let record = decoded(r#"{"event":"e","msg":"m","message":"M","name":"n","logger":"l","msg":"again"}"#);
    assert_eq!((&record["message"], &record["logger"]), (&json!("M"), &json!("l")));
    assert_eq!(record["attributes"], json!({"event": "e", "msg": "again", "name": "n"}));
    assert_eq!(decoded(r#"{"message":null,"event":"e"}"#)["message"], "e");
}

#[test]
fn repeated_name_has_last_value() {
    let record = decoded(r#"{"message":"a","x":1,"mess\u0061ge":"b","x":2}"#);
    assert_eq!((&record["message"], &record["attributes"]), (&json!("b"), &json!({"x": 2})));
}

#[test]
fn value_of_wrong_type_becomes_attribute() {
    let object = json!({
        "line": "many", "process_id": -1, "host": ["a"], "trace_id": {"a": 1}, "severity_number": 25, "thread": 140013345826560u64,
        "logger": true, "exception": [{"a": 1}], "message": 17, "service": 5, "span_id": 6, "attributes": "a"
    });
    let record = decoded(&object.to_string());
    assert_eq!(
        (&record["message"], &record["service"], &record["span_id"]),
        (&json!("17"), &json!("5"), &json!("6"))
    );
    let attributes = json!({
        "line": "many", "process_id": -1, "host": ["a"], "trace.a": 1, "severity_number": 25, "thread.id": 140013345826560u64,
        "logger": true, "exception": [{"a": 1}], "attributes": "a"
    });
    let mut expected = attributes;
    expected["trace_id"] = json!({"a": 1});
    expected.as_object_mut().unwrap().remove("trace.a");
    assert_eq!(record["attributes"], expected);
}

#[test]
fn arrival_fills_missing_fields() {
    let arrival = Arrival {
        service: "billing",
        host: "10.0.0.1",
        process_id: 7,
        labels: r#""env":"prod","zone":"a""#,
        ..ARRIVAL
    };
    let record = decoded_from(br#"{"msg":"x"}"#, &arrival);
    assert_eq!((&record["service"], &record["host"]), (&json!("billing"), &json!("10.0.0.1")));
    assert_eq!(
        (&record["process_id"], &record["attributes"]),
        (&json!(7), &json!({"env": "prod", "zone": "a"}))
    );

    let own = br#"{"msg":"x","service":"shop","host":"web-1","pid":8,"env":"test"}"#;
    let mut batch = Batch::new();
    decode(own, &arrival, &mut JsonScratch::default(), &mut batch).unwrap();
    assert!(as_json(&batch).ends_with(
        r#""service":"shop","host":"web-1","message":"x","process_id":8,"attributes":{"zone":"a","env":"test"}}
"#
    ));
}

#[test]
fn half_surrogate_pair_is_replaced() {
    let record = decoded(
        r#"{"msg":"\ud800 \ud83d\ude00 \udc00\u0041\u0000","a":"\ud800\\ud800","b":["\udead\ud83d\ude00"],"\ud800":1}"#,
    );
    assert_eq!(record["message"], "\u{fffd} \u{1f600} \u{fffd}A\0");
    assert_eq!(
        record["attributes"],
        json!({"a": "\u{fffd}\\ud800", "b": ["\u{fffd}\u{1f600}"], "\u{fffd}": 1})
    );
}

#[test]
fn almost_valid_json_is_accepted() {
    let record = decoded(r#"{"msg":"NaN","a":NaN,"b":[-Infinity,1e999],"c":1e400,"d":1e300}"#);
    assert_eq!(record["message"], "NaN");
    assert_eq!(
        record["attributes"],
        json!({"a": "NaN", "b": ["-Infinity", "1e999"], "c": "1e400", "d": 1e300})
    );
    let latin1 = decoded_from(b"{\"msg\":\"caf\xe9\"}", &ARRIVAL);
    assert_eq!(latin1["message"], "caf\u{fffd}");
}

#[test]
fn nested_value_loses_blanks() {
    let mut batch = Batch::new();
    let object = b"{\n  \"a\": {\n    \"b c\": [ 1, -2.5e3 ,true,\n null ],\n \"d\\\" \" : \" e \"\n  }\n}";
    decode(object, &ARRIVAL, &mut JsonScratch::default(), &mut batch).unwrap();
    assert!(as_json(&batch).contains(r#""attributes":{"a":{"b c":[1,-2.5e3,true,null],"d\" ":" e "}}"#));
}

#[test]
fn too_deep_value_is_kept_as_text() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let record =
        decoded(&format!(r#"{{"a":{},"b":{}}}"#, nested(JSON_DEPTH_MAX), nested(JSON_DEPTH_MAX + 1)));
    assert!(record["attributes"]["a"].is_array());
    assert_eq!(record["attributes"]["b"], nested(JSON_DEPTH_MAX + 1));
    let abyss = nested(200_000);
    assert_eq!(decoded(&format!(r#"{{"msg":{abyss},"a":{abyss}}}"#))["message"], abyss);
}

#[test]
fn members_beyond_limit_are_counted() {
    let members: Vec<_> = (0..JSON_MEMBERS_MAX + 10).map(|n| format!("\"k{n}\":{n}")).collect();
    let attributes = &decoded(&format!("{{{}}}", members.join(",")))["attributes"];
    assert_eq!(attributes["logboom.dropped_attributes"], JSON_MEMBERS_MAX + 10 - ATTRIBUTES_MAX);
}

#[test]
fn id_is_ignored_only_in_own_records() {
    assert_eq!(
        decoded(r#"{"id":5,"timestamp":"2026-11-21T10:00:00Z","message":"x"}"#)["attributes"],
        json!({"id": 5})
    );
}

#[test]
fn call_stack_is_not_an_exception() {
    let record = decoded(
        r#"{"event":"x","stack":"Stack (most recent call last):\n  File \"a.py\"","stack_info":null}"#,
    );
    assert_eq!(
        record["attributes"],
        json!({"code.stacktrace": "Stack (most recent call last):\n  File \"a.py\""})
    );
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z.]{0,6}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn unknown_member_becomes_attribute_unchanged(
        members in proptest::collection::hash_map("x.{0,5}", any_value(), 1..6),
    ) {
        let object: Value = members.into_iter().collect();
        for text in [object.to_string(), serde_json::to_string_pretty(&object).unwrap()] {
            let mut batch = Batch::new();
            decode(text.as_bytes(), &ARRIVAL, &mut JsonScratch::default(), &mut batch).unwrap();
            let end = format!("\"message\":\"\",\"attributes\":{object}}}\n");
            prop_assert!(as_json(&batch).ends_with(&end), "{} {}", as_json(&batch), end);
        }
    }

    #[test]
    fn no_value_of_known_name_loses_record(
        names in proptest::collection::vec(0..super::super::names::count(), 1..6),
        values in proptest::collection::vec(any_value(), 6),
    ) {
        let known = names.iter().map(|line| super::super::names::known(*line).name.to_owned());
        let object: Value = known.zip(values).collect();
        let record = decoded(&object.to_string());
        prop_assert!(record["message"].is_string());
        let mut batch = Batch::new();
        let again = record.to_string();
        decode(again.as_bytes(), &ARRIVAL, &mut JsonScratch::default(), &mut batch).unwrap();
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let object = [b"{\"a\":\"", &bytes[..], b"\"}"].concat();
        let _ = decode(&object, &ARRIVAL, &mut JsonScratch::default(), &mut Batch::new());
    }
}
