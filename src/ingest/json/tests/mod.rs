//! JSON inputs and the records that they become.

mod records;
mod shapes;
mod values;

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::ingest::{Arrival, Rejection};
use crate::record::{Batch, Records, json};

const ARRIVAL: Arrival<'_> = Arrival {
    observed_timestamp: 1_795_255_300_000_000_000,
    service: "",
    host: "",
    process_id: 0,
    labels: "",
};

/// Returns the records of a body and its rejections.
fn take(body: &[u8], framing: Framing) -> (Batch, Vec<(u64, Rejection)>) {
    let (mut batch, mut scratch, mut rejections) = (Batch::new(), JsonScratch::default(), Vec::new());
    let mut record = |line, value: Result<&[u8], Rejection>| {
        if let Err(rejection) = value.and_then(|value| decode(value, &ARRIVAL, &mut scratch, &mut batch)) {
            rejections.push((line, rejection));
        }
    };
    let mut splitter = Splitter::new(framing);
    splitter.push(body, &mut record);
    splitter.finish(&mut record);
    (batch, rejections)
}

fn as_json(batch: &Batch) -> String {
    let mut out = Vec::new();
    for (record, id) in Records::new(batch.bytes()).zip(1..) {
        json::write(id, &record.unwrap().record().unwrap(), &mut out);
        out.push(b'\n');
    }
    String::from_utf8(out).unwrap()
}

/// Decodes one object into this program's JSON, without its id.
fn decoded(object: &str) -> serde_json::Value {
    decoded_from(object.as_bytes(), &ARRIVAL)
}

fn decoded_from(object: &[u8], arrival: &Arrival<'_>) -> serde_json::Value {
    let mut batch = Batch::new();
    decode(object, arrival, &mut JsonScratch::default(), &mut batch).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&as_json(&batch)).unwrap();
    value.as_object_mut().unwrap().remove("id");
    value
}

fn rejected(object: &[u8]) -> (&'static str, String) {
    let rejection = decode(object, &ARRIVAL, &mut JsonScratch::default(), &mut Batch::new()).unwrap_err();
    (rejection.reason, rejection.detail)
}

fn goldens() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/json");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        let name = path.to_str().unwrap();
        (name.ends_with(".json") || name.ends_with(".jsonl")) && !name.ends_with(".expected.jsonl")
    });
    files.sort();
    files
}

/// Compares inputs of real senders with the expected records beside them. `LOGBOOM_BLESS=1`
/// rewrites the expected records.
#[test]
fn golden_input_decodes_to_expected_records() {
    let goldens = goldens();
    assert!(goldens.len() >= 10, "{goldens:?}");
    for path in goldens {
        let (batch, rejections) = take(&fs::read(&path).unwrap(), Framing::Sniff);
        assert_eq!(rejections, [], "{path:?}");
        let expected = path.with_extension("expected.jsonl");
        if std::env::var_os("LOGBOOM_BLESS").is_some() {
            fs::write(&expected, as_json(&batch)).unwrap();
        }
        assert_eq!(as_json(&batch), fs::read_to_string(expected).unwrap(), "{path:?}");
    }
}

/// Decodes the program's own JSON of each golden record to the same record.
#[test]
fn own_json_round_trips() {
    for path in goldens() {
        let (first, _) = take(&fs::read(&path).unwrap(), Framing::Sniff);
        let (second, rejections) = take(as_json(&first).as_bytes(), Framing::Lines);
        assert_eq!(rejections, []);
        assert_eq!(as_json(&second), as_json(&first), "{path:?}");
    }
}
