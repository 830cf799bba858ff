//! A record as a server sends it (`crate::record::json`), and as a row of CSV.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::record::csv;

/// One line of NDJSON, borrowed. What the line does not have is empty, or 0.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record<'a> {
    pub(super) id: u64,
    #[serde(borrow)]
    pub(super) timestamp: Cow<'a, str>,
    pub(super) severity_number: u8,
    #[serde(borrow)]
    pub(super) severity: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) service: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) logger: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) host: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) trace_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) span_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) event_name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) file: Cow<'a, str>,
    pub(super) line: u32,
    #[serde(borrow)]
    pub(super) function: Cow<'a, str>,
    pub(super) process_id: u32,
    #[serde(borrow)]
    pub(super) thread: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) attributes: Members<'a>,
}

/// The members of a JSON object, in its order.
#[derive(Debug, Default)]
pub(super) struct Members<'a> {
    pub(super) list: Vec<(String, &'a RawValue)>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'a>, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members::default();
                while let Some(member) = map.next_entry()? {
                    members.list.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// The columns that every database shows, in their order.
const COLUMNS: [&str; 17] = [
    "id",
    "time",
    "severity_number",
    "severity",
    "service",
    "logger",
    "host",
    "message",
    "trace_id",
    "span_id",
    "event_name",
    "file",
    "line",
    "function",
    "process_id",
    "thread",
    "attributes",
];

/// Writes the heading of [`write_csv`].
pub(super) fn write_csv_heading(out: &mut impl Write) -> io::Result<()> {
    let mut row = csv::Row::new(out);
    for column in COLUMNS {
        row.raw(column)?;
    }
    row.end()
}

/// Writes a record as a row of CSV; numbers that were not given are empty.
pub(super) fn write_csv(record: &Record<'_>, out: &mut impl Write) -> io::Result<()> {
    let number = |number: u32| if number == 0 { String::new() } else { number.to_string() };
    let mut row = csv::Row::new(out);
    row.raw(&record.id.to_string())?;
    row.raw(&record.timestamp)?;
    row.raw(&number(record.severity_number.into()))?;
    for text in [&record.severity, &record.service, &record.logger, &record.host, &record.message] {
        row.text(text)?;
    }
    for text in [&record.trace_id, &record.span_id, &record.event_name, &record.file] {
        row.text(text)?;
    }
    row.raw(&number(record.line))?;
    row.text(&record.function)?;
    row.raw(&number(record.process_id))?;
    row.text(&record.thread)?;
    row.raw(&record.attributes.as_json())?;
    row.end()
}

impl Members<'_> {
    /// As JSON again; nothing for no members.
    fn as_json(&self) -> String {
        if self.list.is_empty() {
            return String::new();
        }
        let member = |(name, value): &(String, &RawValue)| {
            let name = serde_json::Value::from(name.as_str());
            format!("{name}:{value}")
        };
        format!("{{{}}}", self.list.iter().map(member).collect::<Vec<_>>().join(","))
    }

    /// The member of this name, if it is a text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let (_, value) = self.list.iter().find(|(known, _)| known == name)?;
        serde_json::from_str(value.get()).ok()
    }
}

/// A record with nearly everything, for tests.
#[cfg(test)]
pub(super) const FULL: &str = r#"{"id":7,"timestamp":"2026-11-21T10:00:00.123456789Z","severity":"ERROR","severity_number":17,
    "service":"billing","logger":"app.views","host":"web-1","message":"card \"4\" refused\nsecond line","trace_id":"17",
    "file":"/srv/app/views.py","line":17,"function":"pay","process_id":4321,"thread":"MainThread","attributes":
    {"z":1,"user name":"a b","ok":true,"list":[1, "x"],"plain":"x","exception.type":"ValueError",
    "exception.stacktrace":"Traceback:\n  File \"x\"\nValueError: 4\n"}}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_as_csv() {
        let mut out = Vec::new();
        write_csv_heading(&mut out).unwrap();
        write_csv(&serde_json::from_str(FULL).unwrap(), &mut out).unwrap();
        write_csv(&serde_json::from_str(r#"{"id":8,"message":"=HYPERLINK(1)"}"#).unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<_> = text.split("\r\n").collect();
        assert_eq!(rows[0], COLUMNS.join(","));
        assert!(
            rows[1].starts_with("7,2026-11-21T10:00:00.123456789Z,17,ERROR,billing,app.views,web-1,\"card"),
            "{text}"
        );
        assert!(rows[1].contains(",/srv/app/views.py,17,pay,4321,MainThread,\"{\"\"z\"\":1,"), "{text}");
        assert_eq!(rows[2], "8,,,,,,,'=HYPERLINK(1),,,,,,,,,");
    }
}
