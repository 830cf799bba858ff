//! A shape decodes an object exactly as the general decoder does.

use proptest::prelude::*;

use super::*;
use crate::ingest::json::names;
use crate::limits::SHAPES_MAX;

const EVENT: &str = r#"{"timestamp":"2026-11-21T10:00:00.000001Z","level":"INFO","service":"billing","logger":"app","message":"hello","trace_id":"0af7651916cd43dd8448eb211c80319c","ratio":-0.5,"ok":true,"attributes":{"code.file.path":"/a.py","code.line.number":3,"process.pid":7,"thread.name":"MainThread","user_id":5}}"#;

/// Returns the bytes of one record, decoded with or without a shape.
fn encoded(object: &str, arrival: &Arrival<'_>, scratch: &mut JsonScratch) -> Result<Vec<u8>, Rejection> {
    let mut batch = Batch::new();
    decode(object.as_bytes(), arrival, scratch, &mut batch).map(|()| batch.bytes().to_vec())
}

/// Returns true if a shape decodes the object.
fn is_known(object: &str, arrival: &Arrival<'_>, scratch: &mut JsonScratch) -> bool {
    scratch.shapes.decode(object, arrival, &mut Batch::new()).is_some()
}

#[test]
fn object_like_previous_is_read_by_shape() {
    let mut scratch = JsonScratch::default();
    assert!(!is_known(EVENT, &ARRIVAL, &mut scratch));
    encoded(EVENT, &ARRIVAL, &mut scratch).unwrap();
    assert!(is_known(EVENT, &ARRIVAL, &mut scratch));
    for (old, new) in [
        ("hello", "good \u{1f600} bye"),
        ("\"INFO\"", "\"weird\""),
        ("-0.5", "12"),
        ("true", "null"),
        ("MainThread", "worker"),
        ("10:00:00.000001Z", "23:59:59Z"),
        ("0af7651916cd43dd8448eb211c80319c", "17"),
    ] {
        let object = EVENT.replace(old, new);
        assert!(is_known(&object, &ARRIVAL, &mut scratch), "{object}");
        let expected = encoded(&object, &ARRIVAL, &mut JsonScratch::default());
        assert_eq!(encoded(&object, &ARRIVAL, &mut scratch), expected, "{object}");
    }
}

#[test]
fn unusual_object_is_left_to_general_decoder() {
    let mut scratch = JsonScratch::default();
    encoded(EVENT, &ARRIVAL, &mut scratch).unwrap();
    for (old, new) in [
        ("hello", "a\\nb"),
        ("hello", "a\tb"),
        ("hello", ""),
        ("\"hello\"", "5"),
        ("\"INFO\"", "\"20\""),
        ("\"INFO\"", "\"+20\""),
        ("-0.5", "1e400"),
        ("-0.5", "01"),
        ("-0.5", "-"),
        ("-0.5", "1."),
        ("true", "tru"),
        ("true", "[]"),
        ("2026-11-21", "yesterday"),
        ("\"0af7651916cd43dd8448eb211c80319c\"", "\"0\""),
        ("number\":3", "number\":-3"),
        ("number\":3", "number\":3.0"),
        ("number\":3", "number\":99999999999"),
        ("user_id", "user id"),
        ("}}", "}"),
        ("}}", "}}}"),
        ("}}", "}} x"),
    ] {
        let object = EVENT.replace(old, new);
        assert_ne!(object, EVENT);
        assert!(!is_known(&object, &ARRIVAL, &mut scratch), "{object}");
        let expected = encoded(&object, &ARRIVAL, &mut JsonScratch::default());
        assert_eq!(encoded(&object, &ARRIVAL, &mut scratch), expected, "{object}");
    }
}

#[test]
fn shape_is_bound_to_its_labels() {
    let labelled = Arrival { labels: r#""zone":"a","user_id":1"#, ..ARRIVAL };
    let other = Arrival { labels: r#""zone":"b""#, ..ARRIVAL };
    let mut scratch = JsonScratch::default();
    for arrival in [&ARRIVAL, &labelled, &other, &ARRIVAL, &other] {
        let expected = encoded(EVENT, arrival, &mut JsonScratch::default());
        assert_eq!(encoded(EVENT, arrival, &mut scratch), expected);
    }
    assert!(!is_known(EVENT, &labelled, &mut scratch), "a label that the object replaces");
    assert!(is_known(EVENT, &other, &mut scratch));
}

#[test]
fn shapes_are_bounded_and_useless_learning_is_rare() {
    let mut scratch = JsonScratch::default();
    let object = |number: usize| format!(r#"{{"message":"a","x{number}":1}}"#);
    let known = |scratch: &mut JsonScratch| {
        (0..1000).filter(|number| is_known(&object(*number), &ARRIVAL, scratch)).count()
    };
    let mut learnt = 0;
    for number in 0..1000 {
        encoded(&object(number), &ARRIVAL, &mut scratch).unwrap();
        learnt += usize::from(is_known(&object(number), &ARRIVAL, &mut scratch));
    }
    assert_eq!(known(&mut scratch), SHAPES_MAX);
    assert!(learnt < 400, "{learnt}"); // half of the credit comes from this test
}

/// Decodes every golden object twice.
#[test]
fn golden_input_is_read_the_same_by_shapes() {
    let mut by_shape = 0;
    for path in goldens() {
        let mut scratch = JsonScratch::default();
        let mut splitter = Splitter::new(Framing::Sniff);
        splitter.push(&fs::read(&path).unwrap(), |_, object| {
            let object = std::str::from_utf8(object.unwrap()).unwrap();
            let first = encoded(object, &ARRIVAL, &mut JsonScratch::default());
            for _ in 0..2 {
                assert_eq!(encoded(object, &ARRIVAL, &mut scratch), first, "{object}");
            }
            by_shape += u32::from(is_known(object, &ARRIVAL, &mut scratch));
        });
    }
    assert!(by_shape > 0);
}

fn any_scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[\\-0-9][0-9]{0,3}([.][0-9]{1,3})?([eE][+\\-]?[0-9]{1,3})?",
        (0..3_000_000_000_000_000_000i64).prop_map(|number| number.to_string()),
        Just("0".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("[1,{}]".to_owned()),
        Just("{\"name\":\"b\"}".to_owned()),
        "\"[a-zA-Z0-9 {}:,\u{e9}\u{1f600}]{0,12}\"",
        "\"([a-z\\\\\"\u{1}]|\\\\[nu\"]|\\\\ud83d){0,6}\"",
        "\"(0|-3|INFO|warning|2026-11-21T10:00:00[.]5Z|2026-11-21 10:00)\"",
    ]
}

fn any_name() -> impl Strategy<Value = String> {
    let known = (0..names::count()).prop_map(|line| names::known(line).name.to_owned());
    let usual =
        proptest::sample::select(vec!["message", "level", "timestamp", "time", "service", "id", "pid"]);
    prop_oneof![known, usual.prop_map(str::to_owned), "[a-z_.]{1,5}", "x\\\\u00e9"]
}

fn object(names: &[String], values: &[String], nested: usize, blank: &str) -> String {
    let members: Vec<_> =
        names.iter().zip(values).map(|(name, value)| format!("\"{name}\":{blank}{value}")).collect();
    let (outer, inner) = members.split_at(nested.min(members.len()));
    let mut members = outer.to_vec();
    if !inner.is_empty() {
        members.push(format!("\"attributes\":{{{}}}", inner.join(",")));
    }
    let places = nested / 2 % members.len().max(1);
    members.rotate_left(places);
    format!("{{{}}}", members.join(&format!(",{blank}")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn shape_agrees_with_general_decoder(
        names in proptest::collection::vec(any_name(), 1..7),
        values in proptest::collection::vec(proptest::collection::vec(any_scalar(), 7), 2..5),
        nested in 0..8usize,
        blank in " ?",
        labels in proptest::sample::select(vec!["", r#""zone":"a""#, r#""message":"l","a":1"#]),
    ) {
        let arrival = Arrival { labels, service: "svc", host: "h", process_id: 3, ..ARRIVAL };
        let mut scratch = JsonScratch::default();
        for values in &values {
            // An object with only one different value is more likely to fit a shape of the others.
            for (number, value) in values.iter().enumerate() {
                let mut mixed = vec!["\"abc\"".to_owned(); 7];
                mixed[number] = value.clone();
                for values in [values, &mixed] {
                    let object = object(&names, values, nested, &blank);
                    let expected = encoded(&object, &arrival, &mut JsonScratch::default());
                    prop_assert_eq!(encoded(&object, &arrival, &mut scratch), expected, "{}", object);
                }
            }
        }
    }
}
