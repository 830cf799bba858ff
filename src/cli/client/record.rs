//! A record as a server sends it (`crate::record::json`), with access to its fields by name.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::http;
use crate::failure::Failure;
use crate::query::Field;
use crate::record::{Column, attributes};

/// One line of NDJSON, borrowed. Fields that are missing in the line are empty, or 0.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct JsonRecord<'a> {
    pub(crate) id: u64,
    #[serde(borrow)]
    pub(crate) timestamp: Cow<'a, str>,
    pub(crate) severity_number: u8,
    #[serde(borrow)]
    pub(crate) severity: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) service: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) logger: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) host: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) message: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) trace_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) span_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) event_name: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) file: Cow<'a, str>,
    pub(crate) line: u32,
    #[serde(borrow)]
    pub(crate) function: Cow<'a, str>,
    pub(crate) process_id: u32,
    #[serde(borrow)]
    pub(crate) thread: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) attributes: RecordAttributes<'a>,
}

/// The attributes of a record: a JSON object.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct RecordAttributes<'a> {
    #[serde(borrow)]
    json: Option<&'a RawValue>,
}

/// The value of a field of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RecordValue<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A number, or any other JSON that is not a text.
    Json(Cow<'a, str>),
}

impl<'a> JsonRecord<'a> {
    /// Returns the value of a field, if the record has one.
    pub(crate) fn value(&self, field: &Field) -> Option<RecordValue<'_>> {
        let column = match field {
            Field::Attribute(name) => return self.attributes.value(name),
            Field::Column(column) => *column,
        };
        let text = match column {
            Column::Id => return Some(RecordValue::Json(self.id.to_string().into())),
            Column::SeverityNumber => return number(self.severity_number.into()),
            Column::Line => return number(self.line),
            Column::ProcessId => return number(self.process_id),
            Column::Time => &self.timestamp,
            Column::Severity => &self.severity,
            Column::Service => &self.service,
            Column::Logger => &self.logger,
            Column::Host => &self.host,
            Column::Message => &self.message,
            Column::TraceId => &self.trace_id,
            Column::SpanId => &self.span_id,
            Column::EventName => &self.event_name,
            Column::File => &self.file,
            Column::Function => &self.function,
            Column::Thread => &self.thread,
        };
        (!text.is_empty()).then(|| RecordValue::Text(Cow::Borrowed(text)))
    }
}

/// Returns the id of a record that is one line of NDJSON.
pub(crate) fn id_of(line: &[u8]) -> Result<u64, Failure> {
    #[derive(Deserialize)]
    struct Identified {
        id: u64,
    }
    http::parse(line).map(|Identified { id }| id)
}

/// Returns a JSON object of these members, in their order. The values are JSON.
pub(crate) fn json_object(members: impl Iterator<Item = (impl AsRef<str>, impl fmt::Display)>) -> String {
    let members = members.map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name.as_ref())));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Returns a number; 0 stands for a missing number.
fn number<'a>(number: u32) -> Option<RecordValue<'a>> {
    (number != 0).then(|| RecordValue::Json(number.to_string().into()))
}

impl<'a> RecordAttributes<'a> {
    fn json(&self) -> &'a str {
        self.json.map_or("", RawValue::get)
    }

    /// Returns the attributes in their order: the name, and the value as JSON.
    pub(crate) fn members(&self) -> impl Iterator<Item = (Cow<'a, str>, &'a str)> {
        attributes::members(self.json()).map(|(name, value)| (attributes::unquoted(name), value))
    }

    /// Returns the attributes as JSON again; an empty text if there are none.
    pub(crate) fn as_json(&self) -> String {
        let mut members = self.members().peekable();
        match members.peek() {
            Some(_) => json_object(members),
            None => String::new(),
        }
    }

    /// Returns the value of an attribute by the rules of queries: the member of that name, or the
    /// member at the end of the path that its dots describe.
    fn value(&self, path: &str) -> Option<RecordValue<'a>> {
        let value = attributes::get(self.json(), path)?;
        Some(attributes::text(value).map_or(RecordValue::Json(Cow::Borrowed(value)), RecordValue::Text))
    }

    /// Returns the member of this name, if it is a text.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        attributes::text(attributes::member(self.json(), name)?)
    }
}

/// A record with nearly every field, for tests.
#[cfg(test)]
pub(crate) const FULL: &str = r#"{"id":7,"timestamp":"2026-11-21T10:00:00.123456789Z","severity":"ERROR","severity_number":17,
    "service":"billing","logger":"app.views","host":"web-1","message":"card \"4\" refused\nsecond line","trace_id":"17",
    "file":"/srv/app/views.py","line":17,"function":"pay","process_id":4321,"thread":"MainThread","attributes":
    {"z":1,"user name":"a b","ok":true,"list":[1, "x"],"plain":"x","exception.type":"ValueError",
    "exception.stacktrace":"Traceback:\n  File \"x\"\nValueError: 4\n"}}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_the_names_of_queries() {
        let line = r#"{"id":7,"timestamp":"2026-11-21T10:00:00.000000000Z","message":"m","line":17,"attributes":
            {"level":"high","n":1.50,"text":"a\"b","http":{"request":{"method":"GET"}},"a.b":1,"a":{"b":2},"n":2.50}}"#;
        let record: JsonRecord<'_> = serde_json::from_str(line).unwrap();
        let value = |name: &str| match record.value(&Field::of_name(name).unwrap()) {
            Some(RecordValue::Text(text)) => format!("text {text}"),
            Some(RecordValue::Json(json)) => format!("json {json}"),
            None => "nothing".into(),
        };
        for (name, expected) in [
            ("id", "json 7"),
            ("time", "text 2026-11-21T10:00:00.000000000Z"),
            ("code.line.number", "json 17"),
            ("pid", "nothing"),
            ("level", "nothing"),
            ("attributes.level", "text high"),
            ("n", "json 2.50"),
            ("text", "text a\"b"),
            ("http.request.method", "text GET"),
            ("http.request", "json {\"method\":\"GET\"}"),
            ("http.nothing.method", "nothing"),
            ("a.b", "json 1"),
        ] {
            assert_eq!(value(name), expected, "{name}");
        }
    }
}
