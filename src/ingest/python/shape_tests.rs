//! A shape must read exactly what the general machine reads.

use proptest::prelude::*;

use super::golden_tests::{ARRIVAL, goldens};
use super::*;
use crate::record::Batch;

/// Decodes a frame and returns the bytes of its record.
fn encoded(frame: &[u8], scratch: &mut PickleScratch) -> Result<Vec<u8>, Rejection> {
    let mut batch = Batch::new();
    decode(frame, &ARRIVAL, scratch, &mut batch).map(|()| batch.bytes().to_vec())
}

fn encoded_in_general(frame: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut batch = Batch::new();
    decode_any(frame, &ARRIVAL, &mut PickleScratch::default(), &mut batch).map(|()| batch.bytes().to_vec())
}

fn is_known(frame: &[u8], scratch: &mut PickleScratch) -> bool {
    let PickleScratch { machine, attributes, shapes, .. } = scratch;
    let read =
        |shape: &PickleShape| shape.read(frame, &mut LogRecord::new(machine.view(&[]), &ARRIVAL, attributes));
    shapes.read(read).is_some()
}

#[test]
fn shapes_read_goldens_as_machine_does() {
    let mut by_shape = 0;
    let mut scratch = PickleScratch::default();
    for golden in goldens() {
        let expected = encoded_in_general(&golden.pickle);
        for _ in 0..3 {
            assert_eq!(encoded(&golden.pickle, &mut scratch), expected, "{} {}", golden.name, golden.variant);
        }
        by_shape += u32::from(is_known(&golden.pickle, &mut scratch));
    }
    assert!(by_shape > 10, "{by_shape}");
}

/// Writes a dict as CPython's protocol 1 does: a memo number after each text, and only that number
/// where the text is repeated.
#[derive(Default)]
struct Pickler {
    out: Vec<u8>,
    memo: Vec<String>,
}

impl Pickler {
    fn dict(members: &[(String, AnyValue)]) -> Vec<u8> {
        let mut pickler = Pickler { out: b"}q\0(".to_vec(), memo: vec![String::new()] };
        for (key, value) in members {
            pickler.text(key, false);
            match value {
                AnyValue::Text(text) => pickler.text(text, false),
                AnyValue::Again(text) => pickler.text(text, true),
                AnyValue::Bytes(bytes) => pickler.out.extend_from_slice(bytes),
            }
        }
        pickler.out.extend_from_slice(b"u.");
        pickler.out
    }

    fn text(&mut self, text: &str, may_recall: bool) {
        if may_recall && let Some(number) = self.memo.iter().position(|known| known == text) {
            self.out.extend_from_slice(&[b'h', number as u8]);
            return;
        }
        self.out.push(b'X');
        self.out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(&[b'q', self.memo.len() as u8]);
        self.memo.push(text.to_owned());
    }
}

#[derive(Clone, Debug)]
enum AnyValue {
    Text(String),
    /// A text that is written as a memo number if it was written before.
    Again(String),
    Bytes(Vec<u8>),
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let text = || prop_oneof!["[a-z%]{0,3}", ".{0,12}", Just("MainProcess".to_owned()), Just("0".to_owned())];
    prop_oneof![
        text().prop_map(AnyValue::Text),
        text().prop_map(AnyValue::Text),
        text().prop_map(AnyValue::Again),
        any::<u8>().prop_map(|number| AnyValue::Bytes(vec![b'K', number])),
        any::<u16>().prop_map(|number| AnyValue::Bytes([b"M", &number.to_le_bytes()[..]].concat())),
        any::<i32>().prop_map(|number| AnyValue::Bytes([b"J", &number.to_le_bytes()[..]].concat())),
        any::<i64>().prop_map(|number| AnyValue::Bytes(format!("L{number}L\n").into_bytes())),
        any::<f64>().prop_map(|number| AnyValue::Bytes([b"G", &number.to_be_bytes()[..]].concat())),
        (1.6e9..2e9).prop_map(|number: f64| AnyValue::Bytes([b"G", &number.to_be_bytes()[..]].concat())),
        Just(AnyValue::Bytes(b"N".to_vec())),
        Just(AnyValue::Bytes(b"I01\n".to_vec())),
        Just(AnyValue::Bytes(b")".to_vec())),
        Just(AnyValue::Bytes(b"U\x02ab".to_vec())),
        Just(AnyValue::Bytes(b"X\x01\0\0\0\xff".to_vec())),
    ]
}

fn any_key() -> impl Strategy<Value = String> {
    const KEYS: [&str; 32] = [
        "name",
        "msg",
        "args",
        "levelname",
        "levelno",
        "pathname",
        "filename",
        "module",
        "exc_info",
        "exc_text",
        "stack_info",
        "lineno",
        "funcName",
        "created",
        "msecs",
        "relativeCreated",
        "thread",
        "threadName",
        "processName",
        "process",
        "taskName",
        "message",
        "asctime",
        "trace_id",
        "otelTraceID",
        "span_id",
        "service",
        "host",
        "event_name",
        "user_id",
        "extra",
        "otelTraceSampled",
    ];
    prop_oneof![proptest::sample::select(KEYS.to_vec()).prop_map(str::to_owned), "[a-c]{1,2}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn shapes_read_random_pickles_as_machine_does(
        keys in proptest::collection::vec(any_key(), 1..9),
        values in proptest::collection::vec(proptest::collection::vec(any_value(), 9), 2..5),
    ) {
        let mut scratch = PickleScratch::default();
        for values in &values {
            // A frame that differs in only one value is more likely to fit the shape of another
            // frame.
            for (number, value) in values.iter().enumerate() {
                let mut mixed = vec![AnyValue::Text("abc".to_owned()); 9];
                mixed[number] = value.clone();
                for values in [values, &mixed] {
                    let members: Vec<_> = keys.iter().cloned().zip(values.iter().cloned()).collect();
                    let frame = Pickler::dict(&members);
                    let expected = encoded_in_general(&frame);
                    prop_assert_eq!(encoded(&frame, &mut scratch), expected, "{:?}", members);
                }
            }
        }
    }
}
