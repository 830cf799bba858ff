//! Records in the format that this program writes ([`crate::record::json`]), stored without
//! interpretation.
//!
//! Records of other senders are interpreted: names have aliases, a missing host is replaced by that
//! of the peer, labels are added. An export must not change like that when it is imported.

use super::text;
use crate::ingest::Rejection;
use crate::limits::{ATTRIBUTES_BYTES_MAX, JSON_DEPTH_MAX};
use crate::record::json::ParsedRecord;
use crate::record::{Batch, RecordRef};

/// Decodes one record and appends it to the batch.
pub fn decode_exported(object: &[u8], observed_timestamp: i64, batch: &mut Batch) -> Result<(), Rejection> {
    let malformed = |why: String| Rejection::new("malformed", why);
    let text = std::str::from_utf8(object).map_err(|error| malformed(error.to_string()))?;
    let written = ParsedRecord::read(text.trim()).map_err(malformed)?;
    let record = written.record();
    check_attributes(record.attributes).map_err(|why| malformed(why.into()))?;
    batch.push(&RecordRef { observed_timestamp, ..record });
    Ok(())
}

/// Checks the bounds that the attributes of any record meet: attributes are stored and shown
/// unchanged.
fn check_attributes(attributes: &str) -> Result<(), &'static str> {
    if attributes.len() > ATTRIBUTES_BYTES_MAX {
        return Err("`attributes` is too large");
    }
    if attributes.bytes().any(|byte| byte < b' ') {
        return Err("`attributes` is not on one line");
    }
    if depth(attributes) > JSON_DEPTH_MAX + 1 {
        return Err("`attributes` nests too deep");
    }
    Ok(())
}

/// Returns how deep the objects and arrays of valid JSON nest.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for token in text::tokens(json) {
        match token {
            "{" | "[" => depth += 1,
            "}" | "]" => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Origin, json};

    fn decode(text: &str) -> Result<Batch, String> {
        let mut batch = Batch::new();
        decode_exported(text.as_bytes(), 5, &mut batch).map_err(|rejection| rejection.to_string())?;
        Ok(batch)
    }

    #[test]
    fn written_record_is_read_back_unchanged() {
        let hostile = "\"\\\u{0}\n\r\t\u{1b}[2J\u{202e}\u{2028}=HYPERLINK()é\u{1f600}";
        let origin = Origin {
            service: hostile,
            logger: "logger",
            host: "",
            severity_text: "Level 25",
            file: "/a b",
            line: u32::MAX,
            function: "<lambda>",
            process_id: u32::MAX,
            thread: hostile,
        };
        let attributes = r#"{"service.name":"x","id":1,"timestamp":"y","":null,"a":{"b":[1.0,-0.0,1e400,"\ud83d\ude00"]}}"#;
        for record in [
            RecordRef::default(),
            RecordRef { timestamp: i64::MIN, message: hostile, origin, attributes, ..RecordRef::default() },
            RecordRef {
                timestamp: i64::MAX,
                severity_number: 24,
                trace_id: "projects/a/traces/b",
                ..RecordRef::default()
            },
            RecordRef {
                timestamp: -1,
                severity_number: 9,
                span_id: "{}",
                event_name: " ",
                ..RecordRef::default()
            },
        ] {
            let mut text = Vec::new();
            json::write(17, &record, &mut text);
            let batch = decode(std::str::from_utf8(&text).unwrap()).unwrap();
            let read = crate::record::Records::new(batch.bytes()).next().unwrap().unwrap();
            assert_eq!(read.record().unwrap(), RecordRef { observed_timestamp: 5, ..record });
        }
    }

    #[test]
    fn invalid_record_is_rejected() {
        let deep =
            format!("{{\"timestamp\":\"0\",\"attributes\":{{\"a\":{}1{}}}}}", "[".repeat(65), "]".repeat(65));
        let large = format!(
            "{{\"timestamp\":\"0\",\"attributes\":{{\"a\":\"{}\"}}}}",
            "x".repeat(ATTRIBUTES_BYTES_MAX)
        );
        for (text, why) in [
            ("", "not a JSON object"),
            ("[1]", "not a JSON object"),
            ("{", "EOF"),
            ("{}", "missing field `timestamp`"),
            (r#"{"timestamp":"0","msg":"x"}"#, "unknown field `msg`"),
            (r#"{"timestamp":"soon"}"#, "`soon` is not a time"),
            (r#"{"timestamp":"0","severity_number":25}"#, "25 is not a severity"),
            (r#"{"timestamp":"0","attributes":[1]}"#, "not an object"),
            ("{\"timestamp\":\"0\",\"attributes\":{\n}}", "not on one line"),
            (&deep, "too deep"),
            (&large, "too large"),
        ] {
            let Err(error) = decode(text) else { panic!("{text} must not be taken") };
            assert!(error.contains(why), "{error}");
        }
    }
}
