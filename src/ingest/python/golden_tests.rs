//! Compares frames written by real interpreters (`tests/data/python/generate.py`) with the expected
//! records.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::record::{Records, json};

/// A pickle that a real interpreter wrote.
pub(super) struct Golden {
    pub(super) python: String,
    /// Name of the expected record.
    pub(super) name: String,
    pub(super) variant: String,
    pub(super) pickle: Vec<u8>,
}

pub(super) const ARRIVAL: Arrival<'_> = Arrival {
    observed_timestamp: 1_795_255_201_000_000_000,
    service: "",
    host: "client-1",
    process_id: 0,
    labels: "",
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/python")
}

/// Returns all frames of all interpreters.
pub(super) fn goldens() -> Vec<Golden> {
    let mut goldens = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(python) = name.strip_suffix(".frames.gz") {
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(fs::File::open(&path).unwrap()).read_to_end(&mut bytes).unwrap();
            read_frames(python, &bytes, &mut goldens);
        }
    }
    goldens
}

fn read_frames(python: &str, mut rest: &[u8], goldens: &mut Vec<Golden>) {
    while let [length, tail @ ..] = rest {
        let (name, tail) = tail.split_at(usize::from(*length));
        let (length, tail) = tail.split_first_chunk::<4>().unwrap();
        let (pickle, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        let (name, variant) = std::str::from_utf8(name).unwrap().split_once('/').unwrap();
        goldens.push(Golden {
            python: python.to_owned(),
            name: name.to_owned(),
            variant: variant.to_owned(),
            pickle: pickle.to_owned(),
        });
        rest = tail;
    }
}

/// Decodes a pickle and returns the record as JSON of the HTTP API, or `{"rejected": reason}`.
pub(super) fn outcome(pickle: &[u8]) -> Value {
    let mut batch = Batch::new();
    match decode(pickle, &ARRIVAL, &mut PickleScratch::default(), &mut batch) {
        Ok(()) => as_json(&batch),
        Err(rejection) => serde_json::json!({"rejected": rejection.reason}),
    }
}

/// Returns the only record of a batch as JSON.
pub(super) fn as_json(batch: &Batch) -> Value {
    assert_eq!(batch.count(), 1);
    let record = Records::new(batch.bytes()).next().unwrap().unwrap().record().unwrap();
    let mut out = Vec::new();
    json::write(1, &record, &mut out);
    serde_json::from_slice(&out).unwrap()
}

/// Returns the expected record of a golden: the one for its Python version, else the one that all
/// versions share.
fn expectation(golden: &Golden) -> Option<Value> {
    let own = format!("expected/{}@{}.json", golden.name, golden.python);
    let shared = format!("expected/{}.json", golden.name);
    let text = fs::read(folder().join(own)).or_else(|_| fs::read(folder().join(shared))).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

#[test]
fn golden_becomes_expected_record() {
    let mut problems = String::new();
    for golden in goldens() {
        let (expected, got) = (expectation(&golden), outcome(&golden.pickle));
        if expected.as_ref() != Some(&got) {
            let Golden { python, name, variant, .. } = &golden;
            problems += &format!("{name}/{variant} of Python {python}: expected {expected:?}, got {got}\n");
        }
    }
    assert_eq!(problems, "");
}

#[test]
fn goldens_cover_all_interpreters_and_protocols() {
    let mut variants: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for golden in goldens() {
        *variants.entry(golden.python).or_default().entry(golden.variant).or_default() += 1;
    }
    let pythons: Vec<&str> = variants.keys().map(String::as_str).collect();
    assert_eq!(pythons, ["2.7", "3.10", "3.11", "3.12", "3.13", "3.6", "3.7", "3.8", "3.9"]);
    for (python, counts) in &variants {
        let protocols = match python.as_str() {
            "2.7" => 3,
            "3.6" | "3.7" => 5,
            _ => 6,
        };
        for protocol in 0..protocols {
            assert!(counts[&format!("p{protocol}")] >= 20, "Python {python}, protocol {protocol}");
        }
        assert!(counts["stock"] >= 10, "Python {python}");
    }
}

/// Both paths must produce the same record for every pickle that the fast path accepts.
#[test]
fn fast_path_agrees_with_general_path() {
    let mut fast = 0;
    for golden in goldens() {
        let (mut one, mut two) = (Batch::new(), Batch::new());
        let mut scratch = PickleScratch::default();
        if plain::decode(&golden.pickle, &ARRIVAL, &mut scratch, &mut one).is_some() {
            fast += 1;
            decode_any(&golden.pickle, &ARRIVAL, &mut scratch, &mut two).unwrap();
            assert_eq!(
                as_json(&one),
                as_json(&two),
                "{}/{} of {}",
                golden.name,
                golden.variant,
                golden.python
            );
        } else {
            assert!(one.is_empty());
            let is_plain =
                golden.variant == "stock" && !["latin1", "lone_surrogate", "extras"].contains(&&*golden.name);
            assert!(!is_plain, "{} of {} is not taken as plain", golden.name, golden.python);
        }
    }
    assert!(fast > 100);
}
