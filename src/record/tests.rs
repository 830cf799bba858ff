//! The encoding of records.

use proptest::prelude::*;

use super::*;
use crate::limits::RECORD_BYTES_MAX;

fn all(batch: &Batch) -> Vec<RecordRef<'_>> {
    Records::new(batch.bytes()).map(|record| record.unwrap().record().unwrap()).collect()
}

fn full() -> RecordRef<'static> {
    RecordRef {
        timestamp: 1_795_255_200_123_456_789,
        observed_timestamp: 1_795_255_201_000_000_000,
        severity_number: severity::WARN,
        origin: Origin {
            service: "billing",
            logger: "app.views",
            host: "web-1",
            severity_text: "WARNING",
            file: "/srv/app/views.py",
            line: 17,
            function: "pay",
            process_id: 4321,
            thread: "MainThread",
        },
        message: "card \"4\u{fc}\" refused\n",
        trace_id: "17",
        span_id: "b7ad6b7169203331",
        event_name: "payment.refused",
        attributes: r#"{"user_id":42}"#,
    }
}

#[test]
fn batch_returns_pushed_records() {
    let bare = RecordRef { message: "bare", ..RecordRef::default() };
    let mut batch = Batch::new();
    for record in [full(), full(), bare, full()] {
        batch.push(&record);
    }
    assert_eq!(batch.count(), 4);
    assert_eq!(all(&batch), [full(), full(), bare, full()]);
}

#[test]
fn joined_batches_keep_their_origins() {
    let (mut one, mut two) = (Batch::new(), Batch::new());
    one.push(&RecordRef { message: "no origin", ..RecordRef::default() });
    two.push(&full());
    two.clear();
    two.push(&full());
    let joined = [one.bytes(), two.bytes(), one.bytes()].concat();
    let origins: Vec<_> =
        Records::new(&joined).map(|record| record.unwrap().record().unwrap().origin.service).collect();
    assert_eq!(origins, ["", "billing", ""]);
}

#[test]
fn repeated_origin_is_written_once() {
    let mut batch = Batch::new();
    batch.push(&full());
    let first = batch.bytes().len();
    batch.push(&full());
    assert!(batch.bytes().len() < 2 * first - 60);
}

#[test]
fn oversized_record_is_cut_with_mark() {
    let long = "\u{fc}".repeat(RECORD_BYTES_MAX);
    let mut batch = Batch::new();
    batch.push(&RecordRef { message: &long, ..full() });
    batch.push(&RecordRef { attributes: &long, ..full() });
    let records = all(&batch);
    assert!(records[0].message.ends_with("\u{fc} [cut by logboom]"));
    assert_eq!(records[0].attributes, full().attributes);
    assert!(records[0].message.len() <= RECORD_BYTES_MAX);
    assert_eq!(records[1].message, format!("{} [cut by logboom]", full().message));
    assert_eq!(records[1].attributes, "");
}

#[test]
fn json_omits_empty_fields() {
    let mut out = Vec::new();
    json::write(7, &RecordRef { message: "m", ..RecordRef::default() }, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"id":7,"timestamp":"1970-01-01T00:00:00.000000000Z","message":"m"}"#
    );
}

#[test]
fn json_has_every_field() {
    let mut out = Vec::new();
    json::write(1, &full(), &mut out);
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        value,
        serde_json::json!({
            "id": 1, "timestamp": "2026-11-21T10:00:00.123456789Z", "severity": "WARNING", "severity_number": 13,
            "service": "billing", "logger": "app.views", "host": "web-1", "message": "card \"4\u{fc}\" refused\n",
            "trace_id": "17", "span_id": "b7ad6b7169203331", "event_name": "payment.refused",
            "file": "/srv/app/views.py", "line": 17, "function": "pay", "process_id": 4321, "thread": "MainThread",
            "attributes": {"user_id": 42}
        })
    );
}

#[test]
fn python_levels_map_to_severity_numbers() {
    let expected = [
        (-5, 0),
        (0, 0),
        (5, 1),
        (10, 5),
        (11, 6),
        (13, 8),
        (19, 8),
        (20, 9),
        (25, 12),
        (30, 13),
        (40, 17),
        (50, 21),
        (51, 22),
        (52, 23),
        (53, 24),
        (1000, 24),
    ];
    for (level, number) in expected {
        assert_eq!(severity::from_python(level), number, "level {level}");
    }
}

#[test]
fn pino_and_syslog_levels_map_to_severity_numbers() {
    let numbers: Vec<_> = [10, 20, 30, 40, 50, 60].into_iter().map(severity::from_pino).collect();
    assert_eq!(numbers, [1, 5, 9, 13, 17, 21]);
    assert_eq!((severity::from_syslog(3), severity::from_syslog(7), severity::from_syslog(8)), (17, 5, 0));
}

#[test]
fn severity_words_map_to_numbers() {
    assert_eq!(severity::from_text("Warning"), Some(13));
    assert_eq!(severity::from_text("error3"), Some(19));
    assert_eq!(severity::from_text("Level 25"), None);
    assert_eq!(severity::from_text("a word of more than sixteen bytes"), None);
    assert_eq!(severity::range_of_text("warn"), Some((13, 16)));
    assert_eq!(severity::range_of_text("warn2"), Some((14, 14)));
    assert_eq!(severity::range_of_text("notice"), Some((10, 10)));
}

#[test]
fn times_are_parsed_in_all_sender_formats() {
    let expected = 1_795_255_200_123_000_000;
    for text in [
        "2026-11-21T10:00:00.123Z",
        "2026-11-21T12:00:00.123+02:00",
        "2026-11-21 10:00:00.123",
        "2026-11-21 10:00:00,123",
        "1795255200123",
        "1795255200.123",
        "1795255200123000000",
    ] {
        assert_eq!(time::parse(text), Some(expected), "{text}");
    }
    for text in
        ["", "now", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-21T25:00:00Z", "nan", "1e300"]
    {
        assert_eq!(time::parse(text), None, "{text}");
    }
    assert_eq!(time::from_seconds(f64::NAN), None);
    // Rounded to us.
    assert_eq!(time::from_seconds(1795287041.331234), Some(1_795_287_041_331_234_000));
}

#[test]
fn members_in_json_are_columns_and_attributes() {
    let mut out = Vec::new();
    json::write(7, &full(), &mut out);
    let text = String::from_utf8(out).unwrap();
    let written: Vec<_> = attributes::members(&text).map(|(name, _)| attributes::unquoted(name)).collect();
    assert_eq!(written, json::MEMBERS);
    let (last, columns) = json::MEMBERS.split_last().unwrap();
    assert_eq!(*last, "attributes");
    let mut found: Vec<_> = columns.iter().map(|name| Column::of_name(name).unwrap() as usize).collect();
    found.sort_unstable();
    assert_eq!(found, (0..=Column::Thread as usize).collect::<Vec<_>>());
}

#[test]
fn columns_have_unique_names_and_values() {
    let names: Vec<_> = Column::names().map(|(name, _)| name).collect();
    for (name, column) in Column::names() {
        assert_eq!(names.iter().filter(|other| **other == name).count(), 1, "{name}");
        assert_eq!(Column::of_name(column.name()), Some(column), "{name}");
        let value = column.get(7, &full());
        assert!(!matches!(value, ColumnValue::Number(0) | ColumnValue::Text("")), "{name}");
    }
}

proptest! {
    #[test]
    fn time_roundtrips_through_text(nanoseconds in any::<i64>()) {
        prop_assert_eq!(time::parse(&time::format(nanoseconds)), Some(nanoseconds));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for record in Records::new(&bytes).flatten() {
            let _ = record.record();
        }
    }
}
