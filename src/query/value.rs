//! The values of the fields of a record: for code that counts and shows values, by the names that
//! queries use.

use std::borrow::Cow;

use super::attribute::{self, Members};
use super::field::Field;
use crate::record::{Column, ColumnValue, RecordId, RecordRef, time};

/// The kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are JSON's")]
pub enum Kind {
    String,
    Number,
    Boolean,
    Null,
    Object,
    Array,
}

/// A value that is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// The kind of the value.
    pub kind: Kind,
    /// The text that queries compare; of objects and arrays, their JSON.
    pub text: Cow<'a, str>,
}

impl Kind {
    /// Returns the name of the kind in responses.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Null => "null",
            Kind::Object => "object",
            Kind::Array => "array",
        }
    }

    /// Returns true if the value has members or elements, and therefore no text that could be
    /// compared.
    pub fn is_nested(self) -> bool {
        matches!(self, Kind::Object | Kind::Array)
    }
}

impl<'a> Value<'a> {
    fn text(text: &'a str) -> Option<Value<'a>> {
        (!text.is_empty()).then_some(Value { kind: Kind::String, text: Cow::Borrowed(text) })
    }

    fn number(number: i64) -> Option<Value<'a>> {
        (number != 0).then(|| Value { kind: Kind::Number, text: number.to_string().into() })
    }

    fn of_json(json: &'a str) -> Value<'a> {
        let kind = match json.as_bytes().first() {
            Some(b'"') => return Value { kind: Kind::String, text: attribute::unquoted(json) },
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            _ => Kind::Null,
        };
        Value { kind, text: Cow::Borrowed(json) }
    }
}

impl Field {
    /// Returns the value of the field in a record; `None` if it is absent. The severity is the word
    /// that responses show.
    pub fn value<'a>(&self, id: RecordId, record: &RecordRef<'a>) -> Option<Value<'a>> {
        match self {
            Field::Column(column) => column_value(*column, id, record),
            Field::Attribute(name) => attribute::find(record.attributes, name).map(Value::of_json),
        }
    }
}

fn column_value<'a>(column: Column, id: RecordId, record: &RecordRef<'a>) -> Option<Value<'a>> {
    match (column, column.get(id, record)) {
        (Column::Time, _) => Some(Value { kind: Kind::String, text: time::format(record.timestamp).into() }),
        (Column::Severity, _) => Value::text(record.severity()),
        (_, ColumnValue::Text(text)) => Value::text(text),
        (_, ColumnValue::Number(number)) => Value::number(number),
    }
}

/// Returns the attributes of a record, the last first: of equal names the first one returned is the
/// one that counts.
pub fn attributes(attributes: &str) -> impl Iterator<Item = (Cow<'_, str>, Value<'_>)> {
    let members: Vec<_> = Members::new(attributes).collect();
    members.into_iter().rev().map(|(name, value)| (attribute::unquoted(name), Value::of_json(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTRIBUTES: &str =
        r#"{"n":1,"user":{"id":-2.50},"a.b":"x\"y","list":[1],"yes":true,"none":null,"n":"2"}"#;

    fn shown(name: &str) -> Option<(Kind, String)> {
        let record = RecordRef { attributes: ATTRIBUTES, severity_number: 13, ..RecordRef::default() };
        let value = Field::of_name(name).unwrap().value(7, &record)?;
        Some((value.kind, value.text.into_owned()))
    }

    #[test]
    fn values_have_kind_and_compared_text() {
        for (name, kind, text) in [
            ("id", Kind::Number, "7"),
            ("level", Kind::String, "WARN"),
            ("severity_number", Kind::Number, "13"),
            ("time", Kind::String, "1970-01-01T00:00:00.000000000Z"),
            ("n", Kind::String, "2"),
            ("user", Kind::Object, "{\"id\":-2.50}"),
            ("user.id", Kind::Number, "-2.50"),
            ("a.b", Kind::String, "x\"y"),
            ("list", Kind::Array, "[1]"),
            ("yes", Kind::Boolean, "true"),
            ("none", Kind::Null, "null"),
        ] {
            assert_eq!(shown(name), Some((kind, text.to_owned())), "{name}");
        }
        for name in ["service", "line", "absent", "user.name", "attributes.service"] {
            assert_eq!(shown(name), None, "{name}");
        }
    }

    #[test]
    fn last_of_equal_names_comes_first() {
        let names: Vec<_> =
            attributes(ATTRIBUTES).map(|(name, value)| format!("{name}={}", value.text)).collect();
        assert_eq!((names.len(), &*names[0], &*names[6]), (7, "n=2", "n=1"));
        assert_eq!(attributes("").count(), 0);
    }
}
