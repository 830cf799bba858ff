//! Records of CPython and the records that they become.

use super::golden_tests::{ARRIVAL, as_json};
use super::*;

/// Returns a protocol 1 dict, as a stock handler sends it, of members whose values are already
/// pickled.
fn dict(members: &[(&str, &str)]) -> Vec<u8> {
    let mut pickle = b"}(".to_vec();
    for (key, value) in members {
        pickle.extend(text(key));
        pickle.extend(value.bytes());
    }
    pickle.extend(b"u.");
    pickle
}

fn text(value: &str) -> Vec<u8> {
    [&b"X"[..], &(value.len() as u32).to_le_bytes(), value.as_bytes()].concat()
}

/// Decodes a record with these members. The fast path and the general path must agree on it.
fn record(members: &[(&str, &str)], arrival: &Arrival<'_>) -> serde_json::Value {
    let pickle = dict(members);
    let mut scratch = PickleScratch::default();
    let (mut one, mut two) = (Batch::new(), Batch::new());
    decode(&pickle, arrival, &mut scratch, &mut one).unwrap();
    decode_any(&pickle, arrival, &mut scratch, &mut two).unwrap();
    assert_eq!(as_json(&one), as_json(&two));
    as_json(&one)
}

#[test]
fn missing_fields_are_filled_from_arrival() {
    let arrival = Arrival { service: "billing", process_id: 7, labels: r#""env":"prod""#, ..ARRIVAL };
    let bare = record(&[("msg", "U\x01m")], &arrival);
    assert_eq!((&bare["service"], &bare["host"]), (&"billing".into(), &"client-1".into()));
    assert_eq!((&bare["process_id"], &bare["attributes"]["env"]), (&7.into(), &"prod".into()));
    assert_eq!(bare["timestamp"], "2026-11-21T10:00:01.000000000Z");

    let own = [("msg", "U\x01m"), ("service", "U\x01s"), ("host", "U\x01h"), ("process", "K\x08")];
    let own = record(&own, &arrival);
    assert_eq!((&own["service"], &own["host"], &own["process_id"]), (&"s".into(), &"h".into(), &8.into()));
}

#[test]
fn long_names_stay_whole() {
    let (one, other) = ("k".repeat(500) + "1", "k".repeat(500) + "2");
    let attributes =
        &record(&[("msg", "U\x01m"), (&one, "K\x01"), (&other, "K\x02")], &ARRIVAL)["attributes"];
    assert_eq!((&attributes[&one], &attributes[&other]), (&1.into(), &2.into()));
}

#[test]
fn members_without_value_are_omitted() {
    let none =
        record(&[("msg", "U\x01m"), ("exc_text", "N"), ("taskName", "N"), ("trace_id", "N")], &ARRIVAL);
    assert_eq!(none["attributes"], serde_json::Value::Null);
    assert_eq!(none["trace_id"], serde_json::Value::Null);
}

#[test]
fn severity_comes_from_levelno_else_levelname() {
    assert_eq!(record(&[("levelno", "K\x1e")], &ARRIVAL)["severity_number"], 13);
    assert_eq!(record(&[("levelname", "U\x05ERROR")], &ARRIVAL)["severity_number"], 17);
    let both = record(&[("levelno", "K\x14"), ("levelname", "U\x05ERROR")], &ARRIVAL);
    assert_eq!((&both["severity_number"], &both["severity"]), (&9.into(), &"ERROR".into()));
}

#[test]
fn message_of_any_type_becomes_text() {
    for (value, expected) in [("I01\n", "True"), ("K\x05", "5"), ("F1.50\n", "1.5"), ("N", "None")] {
        let pickle = dict(&[("msg", value), ("levelno", "K\x14")]);
        let mut batch = Batch::new();
        decode(&pickle, &ARRIVAL, &mut PickleScratch::default(), &mut batch).unwrap();
        assert_eq!(as_json(&batch)["message"], expected);
    }
    assert_eq!(record(&[("message", "U\x01m"), ("msg", "N")], &ARRIVAL)["message"], "m");
}

#[test]
fn numbers_that_fit_no_field_become_attributes() {
    let odd = record(
        &[("lineno", "I-1\n"), ("process", "L99999999999L\n"), ("created", "F1e300\n"), ("levelno", "I0\n")],
        &ARRIVAL,
    );
    assert_eq!(
        odd["attributes"],
        serde_json::json!({"lineno": -1, "process": 99_999_999_999u64, "created": 1e300, "python.levelno": 0})
    );
}

#[test]
fn duplicate_key_keeps_last_value() {
    let twice = record(
        &[("lineno", "K\x05"), ("exc_text", "U\x01e"), ("lineno", "U\x01x"), ("exc_text", "N")],
        &ARRIVAL,
    );
    assert_eq!(twice["line"], serde_json::Value::Null);
    assert_eq!(twice["attributes"], serde_json::json!({"lineno": "x"}));
}

#[test]
fn scratch_is_reusable_after_any_frame() {
    let mut scratch = PickleScratch::default();
    let mut batch = Batch::new();
    let frames =
        [dict(&[("msg", "U\x01a")]), dict(&[("msg", "]")]), b"}(U\x01k".to_vec(), dict(&[("x", ")")])];
    let results: Vec<bool> =
        frames.iter().map(|frame| decode(frame, &ARRIVAL, &mut scratch, &mut batch).is_ok()).collect();
    assert_eq!(results, [true, true, false, true]);
    let messages: Vec<_> = crate::record::Records::new(batch.bytes())
        .map(|record| record.unwrap().body.message.to_owned())
        .collect();
    assert_eq!(messages, ["a", "[]", ""]);
}
