//! A record comes back with the values that it had.

use super::{Subject, values_of, write_chunk};
use crate::limits::RECORD_BYTES_MAX;
use crate::record::{Batch, Column, Origin, RecordRef};
use crate::spool::Chunk;
use crate::store::Store;

/// Attributes with all types of JSON.
const ATTRIBUTES: &str = r#"{"text":"a \"quoted\" \\ \u00e9\n","empty":"","least":-9223372036854775808,
    "largest":18446744073709551615,"decimal":-0.5,"true":true,"false":false,"null":null,
    "list":[1,"two",[3.25],{},[]],"object":{"a":{"b":{}},"":0}}"#;

/// Writes records to a new store, and compares what the store has then.
async fn check(subject: &impl Subject, records: &[RecordRef<'_>]) {
    let mut batch = Batch::new();
    records.iter().for_each(|record| batch.push(record));
    let mut store = subject.open();
    store.position().await.unwrap();
    let written = write_chunk(&mut store, &Chunk::of(1, batch.bytes(), records.len() as u64)).await;
    let kept = (1..).zip(records).filter(|(_, record)| !subject.cannot_hold(record));
    let expected: Vec<_> = kept.map(|(id, record)| values_of(id, record)).collect();
    assert_eq!(written.stored, expected.len() as u64);
    let stored = subject.read();
    assert_eq!(stored.len(), expected.len());
    for (stored, expected) in stored.iter().zip(&expected) {
        let id = &expected[0];
        for ((column, stored), expected) in Column::ALL.iter().zip(stored).zip(expected) {
            let is_equal = stored == expected || !subject.keeps(*column);
            assert!(is_equal, "record {id}: {column:?} is {stored:.99} and not {expected:.99}");
        }
        let (stored, expected) = (&stored[Column::ALL.len()], &expected[Column::ALL.len()]);
        assert!(is_same_json(stored, expected), "record {id}: {stored} and not {expected}");
    }
}

/// Returns true if two attributes are equal; a database may store them in another notation.
fn is_same_json(one: &str, other: &str) -> bool {
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other || parse(one).is_some_and(|value| Some(value) == parse(other))
}

pub(crate) async fn unusual_values_come_back_unchanged(subject: &impl Subject) {
    let empty = RecordRef::default();
    let origin = Origin {
        service: "a service",
        logger: "a.logger",
        host: "host",
        severity_text: "Level 25",
        file: "/a/file.py",
        line: u32::MAX,
        function: "<lambda>",
        process_id: u32::MAX,
        thread: "Thread-1 (\u{e9})",
    };
    let full = RecordRef {
        timestamp: 1_700_000_000_123_456_789,
        observed_timestamp: 1_700_000_001_000_000_000,
        severity_number: 24,
        origin,
        message: "a message",
        trace_id: "0af7651916cd43dd8448eb211c80319c",
        span_id: "b7ad6b7169203331",
        event_name: "an.event",
        attributes: ATTRIBUTES,
    };
    let long = "x\u{1f600}".repeat(RECORD_BYTES_MAX / 6);
    let mut records = vec![
        empty,
        full,
        RecordRef { message: "a\0b", ..full },
        RecordRef { origin: Origin { thread: "\0", ..origin }, ..full },
        RecordRef { message: "\u{1f600} \u{10ffff} e\u{301} \u{feff}\u{202e}", ..empty },
        RecordRef {
            message: "two\nlines\r\n\t\u{1b}[0m \u{7f} 'quoted' \"twice\" back\\slash %s {} $1",
            ..empty
        },
        RecordRef { message: " ", attributes: "{}", ..empty },
        RecordRef { message: &long, ..empty },
    ];
    // Escapes of half a surrogate pair, of a whole pair, and of NUL.
    let escapes =
        [r#"{"a":"\ud800"}"#, r#"{"a":"\udc00\ud800"}"#, r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\u0000"}"#];
    records.extend(escapes.map(|attributes| RecordRef { attributes, ..full }));
    // Before 1970, between two microseconds, and the ends of what a record can hold: 1677 and 2262.
    let times = [i64::MIN, i64::MIN + 1, -1_000_000_001, -1, 0, 1, 999, 1001, i64::MAX - 1, i64::MAX];
    records.extend(times.map(|time| RecordRef { timestamp: time, observed_timestamp: time, ..empty }));
    check(subject, &records).await;
}

pub(crate) async fn absent_values_are_not_taken_from_neighbours(subject: &impl Subject) {
    let text = |id: u32, of: u32| if id.is_multiple_of(of) { "x" } else { "" };
    let record = |id: u32| RecordRef {
        origin: Origin { service: text(id, 13), line: id % 2, thread: text(id, 4), ..Origin::default() },
        message: text(id, 2),
        trace_id: text(id, 3),
        span_id: text(id, 5),
        event_name: text(id, 7),
        attributes: if id.is_multiple_of(11) { "{}" } else { "" },
        ..RecordRef::default()
    };
    check(subject, &(1..=500).map(record).collect::<Vec<_>>()).await;
}

pub(crate) async fn severity_without_text_is_named_by_its_number(subject: &impl Subject) {
    let of_number = |severity_number| RecordRef { severity_number, ..RecordRef::default() };
    check(subject, &(0..=24).map(of_number).collect::<Vec<_>>()).await;
}
