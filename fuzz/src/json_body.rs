//! Any bytes as the body of `POST /api/v1/records`.
//!
//! The first byte selects the framing, the second how the body is cut into pieces; the body
//! follows.

use std::cell::RefCell;

use logboom::ingest::Rejection;
use logboom::ingest::json::{Framing, JsonScratch, Splitter, decode};
use logboom::limits::JSON_DEPTH_MAX;
use logboom::record::Batch;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::records::{self, ARRIVAL};

thread_local! {
    static SCRATCH: RefCell<JsonScratch> = RefCell::default();
}

/// The outcome of a body: the line of each value, with the reason if the value was refused, and the
/// records.
#[derive(Default)]
struct Outcome {
    values: Vec<(u64, Result<(), &'static str>)>,
    batch: Batch,
}

/// Checks that the outcome is the same however the body is cut, that exactly what serde_json reads
/// is accepted, and that values stay unchanged.
pub fn check(input: &[u8]) {
    let [framing, pieces, body @ ..] = input else { return };
    let framing = if framing & 1 == 0 { Framing::Sniff } else { Framing::Lines };
    let whole = outcome(framing, [body]);
    records::check(&whole.batch);
    let accepted = whole.values.iter().filter(|(_, outcome)| outcome.is_ok()).count();
    assert_eq!(accepted, whole.batch.count() as usize);
    check_pieces(framing, body, u32::from(*pieces), &whole);
    if let Ok(text) = std::str::from_utf8(body) {
        check_against_serde(framing, text, &whole);
        check_value_stays(text);
    }
}

fn outcome<'a>(framing: Framing, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut take = |line: u64, value: Result<&[u8], Rejection>| {
        let result = value.and_then(|value| decoded(value, &mut outcome.batch));
        outcome.values.push((line, result.map_err(|rejection| rejection.reason)));
    };
    let mut splitter = Splitter::new(framing);
    for piece in pieces {
        splitter.push(piece, &mut take);
    }
    splitter.finish(&mut take);
    outcome
}

fn decoded(value: &[u8], batch: &mut Batch) -> Result<(), Rejection> {
    SCRATCH.with_borrow_mut(|scratch| decode(value, &ARRIVAL, scratch, batch))
}

fn check_pieces(framing: Framing, body: &[u8], seed: u32, whole: &Outcome) {
    let cut = outcome(framing, Pieces { rest: body, state: seed });
    assert_eq!(whole.values, cut.values, "it depends on how the body is cut");
    assert_eq!(whole.batch.bytes(), cut.batch.bytes());
}

/// Cuts a body into pieces whose lengths follow from a seed: seed 0 makes single bytes, larger
/// seeds make larger pieces.
struct Pieces<'a> {
    rest: &'a [u8],
    state: u32,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = 1 + self.state as usize % 64;
        if self.state > 0 {
            self.state = (self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)) >> 8;
        }
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        (!piece.is_empty()).then_some(piece)
    }
}

/// Checks that each value of a body is accepted or refused as by serde_json, if the body matches
/// its framing.
fn check_against_serde(framing: Framing, body: &str, outcome: &Outcome) {
    let body = body.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{feff}');
    // The bytes of a byte order mark are skipped one by one, whatever character they belong to.
    let starts_with_mark = body.starts_with(|c: char| !c.is_ascii());
    if starts_with_mark || NOT_STANDARD.iter().any(|word| body.contains(word)) {
        return;
    }
    let expected: Vec<bool> = if body.starts_with('[') {
        let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(body) else {
            assert!(outcome.values.iter().any(|(_, outcome)| outcome.is_err()), "a broken array passes");
            return;
        };
        elements.iter().map(|element| is_record(element.get())).collect()
    } else if framing == Framing::Lines {
        let lines = body.split('\n').filter(|line| !line.trim_ascii_end().is_empty());
        lines.map(is_record).collect()
    } else {
        let values: Result<Vec<&RawValue>, _> =
            serde_json::Deserializer::from_str(body).into_iter().collect();
        match values {
            Ok(values) if values.iter().all(|value| value.get().starts_with('{')) => {
                values.iter().map(|value| is_record(value.get())).collect()
            }
            _ => return,
        }
    };
    let got: Vec<bool> = outcome.values.iter().map(|(_, outcome)| outcome.is_ok()).collect();
    assert_eq!(got, expected, "serde_json takes other values");
}

/// Input that is accepted although no standard allows it: these words as values, and form feeds as
/// whitespace between values.
const NOT_STANDARD: [&str; 3] = ["NaN", "Infinity", "\u{c}"];

/// Returns true if a text is an object with members.
fn is_record(json: &str) -> bool {
    let json = json.trim_ascii();
    json.starts_with('{')
        && serde_json::from_str::<IgnoredAny>(json).is_ok()
        && !json[1..json.len() - 1].trim_ascii().is_empty()
}

/// Checks that the value of an attribute is the value that was sent.
fn check_value_stays(text: &str) {
    let Ok(sent) = serde_json::from_str::<&RawValue>(text) else { return };
    let mut batch = Batch::new();
    let object = format!("{{\"message\":\"m\",\"a value\":{}}}", sent.get());
    if decoded(object.as_bytes(), &mut batch).is_err() {
        panic!("it is refused as a value: {object}");
    }
    let records = records::read(&batch);
    let members = records::members(records[0].attributes);
    let stored = members.iter().find(|(name, _)| name == "a value").map(|(_, value)| value.get());
    let Some(stored) = stored else {
        assert!(sent.get().len() > 100_000, "the attribute is gone");
        return;
    };
    if let Ok(value) = serde_json::from_str::<Value>(sent.get())
        && depth(&value) <= JSON_DEPTH_MAX
    {
        assert_eq!(serde_json::from_str::<Value>(stored).unwrap(), value);
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
