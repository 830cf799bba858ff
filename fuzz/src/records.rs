//! What must hold for any batch, however it was filled.

use std::collections::HashSet;
use std::fmt;

use logboom::ingest::Arrival;
use logboom::limits::{ATTRIBUTES_BYTES_MAX, RECORD_BYTES_MAX};
use logboom::record::{Batch, RecordRef, Records, json};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Where the records of the fuzzer come from.
pub const ARRIVAL: Arrival<'_> = Arrival {
    observed_timestamp: 1_795_255_201_000_000_000,
    service: "listener",
    host: "client-1",
    process_id: 7,
    labels: r#""env":"prod""#,
};

/// Maximum bytes beyond the bound for the member that counts dropped attributes.
const DROPPED_BYTES_MAX: usize = 64;

/// Returns all records of a batch.
pub fn read(batch: &Batch) -> Vec<RecordRef<'_>> {
    let records: Vec<_> =
        Records::new(batch.bytes()).map(|record| record.unwrap().record().unwrap()).collect();
    assert_eq!(records.len(), batch.count() as usize);
    records
}

/// Checks that every record is within bounds, is displayed as valid JSON, and is encoded to the
/// same bytes again.
pub fn check(batch: &Batch) {
    let mut again = Batch::new();
    for record in read(batch) {
        check_attributes(record.attributes);
        assert!(record.message.len() <= RECORD_BYTES_MAX);
        assert!(record.severity_number <= 24);
        shown(&record);
        again.push(&record);
    }
    assert_eq!(again.bytes(), batch.bytes());
}

/// Returns a record in the format of the HTTP API.
pub fn shown(record: &RecordRef<'_>) -> Value {
    let mut out = Vec::new();
    json::write(1, record, &mut out);
    serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
}

fn check_attributes(attributes: &str) {
    if attributes.is_empty() {
        return;
    }
    assert!(attributes.len() <= ATTRIBUTES_BYTES_MAX + DROPPED_BYTES_MAX, "{} bytes", attributes.len());
    let members = members(attributes);
    assert!(!members.is_empty());
    let names: HashSet<_> = members.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), members.len(), "a name stands twice in {attributes}");
}

/// Returns the members of an object in order, each as often as it is written.
pub fn members(object: &str) -> Vec<(String, &RawValue)> {
    let members = serde_json::Deserializer::from_str(object).deserialize_map(Members);
    members.unwrap_or_else(|error| panic!("{error}: {object}"))
}

struct Members;

impl<'a> Visitor<'a> for Members {
    type Value = Vec<(String, &'a RawValue)>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        std::iter::from_fn(|| map.next_entry().transpose()).collect()
    }
}
