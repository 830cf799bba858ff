//! The values of the fields of a record: for code that counts and shows values, by the names that
//! queries use.

use std::borrow::Cow;

use super::field::Field;
use crate::record::{Column, ColumnValue, RecordId, RecordRef, attributes, time};

/// The kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are JSON's")]
pub enum JsonKind {
    String,
    Number,
    Boolean,
    Null,
    Object,
    Array,
}

/// A value that is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue<'a> {
    /// The kind of the value.
    pub kind: JsonKind,
    /// The text that queries compare; of objects and arrays, their JSON.
    pub text: Cow<'a, str>,
}

impl JsonKind {
    /// Returns the name of the kind in responses.
    pub fn name(self) -> &'static str {
        match self {
            JsonKind::String => "string",
            JsonKind::Number => "number",
            JsonKind::Boolean => "boolean",
            JsonKind::Null => "null",
            JsonKind::Object => "object",
            JsonKind::Array => "array",
        }
    }

    /// Returns true if the value has members or elements, and therefore no text that could be
    /// compared.
    pub fn is_nested(self) -> bool {
        matches!(self, JsonKind::Object | JsonKind::Array)
    }
}

impl<'a> FieldValue<'a> {
    fn text(text: &'a str) -> Option<FieldValue<'a>> {
        (!text.is_empty()).then_some(FieldValue { kind: JsonKind::String, text: Cow::Borrowed(text) })
    }

    fn number(number: i64) -> Option<FieldValue<'a>> {
        (number != 0).then(|| FieldValue { kind: JsonKind::Number, text: number.to_string().into() })
    }

    fn of_json(json: &'a str) -> FieldValue<'a> {
        let kind = match json.as_bytes().first() {
            Some(b'"') => return FieldValue { kind: JsonKind::String, text: attributes::unquoted(json) },
            Some(b'{') => JsonKind::Object,
            Some(b'[') => JsonKind::Array,
            Some(b't' | b'f') => JsonKind::Boolean,
            Some(b'-' | b'0'..=b'9') => JsonKind::Number,
            _ => JsonKind::Null,
        };
        FieldValue { kind, text: Cow::Borrowed(json) }
    }
}

impl Field {
    /// Returns the value of the field in a record; `None` if it is absent. The severity is the word
    /// that responses show.
    pub fn value<'a>(&self, id: RecordId, record: &RecordRef<'a>) -> Option<FieldValue<'a>> {
        match self {
            Field::Column(column) => column_value(*column, id, record),
            Field::Attribute(name) => attributes::get(record.attributes, name).map(FieldValue::of_json),
        }
    }
}

fn column_value<'a>(column: Column, id: RecordId, record: &RecordRef<'a>) -> Option<FieldValue<'a>> {
    match (column, column.get(id, record)) {
        (Column::Time, _) => {
            Some(FieldValue { kind: JsonKind::String, text: time::format(record.timestamp).into() })
        }
        (Column::Severity, _) => FieldValue::text(record.severity()),
        (_, ColumnValue::Text(text)) => FieldValue::text(text),
        (_, ColumnValue::Number(number)) => FieldValue::number(number),
    }
}

/// Returns the attributes of a record, the last first: of equal names the first one returned is the
/// one that counts.
pub fn attributes(attributes: &str) -> impl Iterator<Item = (Cow<'_, str>, FieldValue<'_>)> {
    let members: Vec<_> = attributes::members(attributes).collect();
    members.into_iter().rev().map(|(name, value)| (attributes::unquoted(name), FieldValue::of_json(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTRIBUTES: &str =
        r#"{"n":1,"user":{"id":-2.50},"a.b":"x\"y","list":[1],"yes":true,"none":null,"n":"2"}"#;

    fn shown(name: &str) -> Option<(JsonKind, String)> {
        let record = RecordRef { attributes: ATTRIBUTES, severity_number: 13, ..RecordRef::default() };
        let value = Field::of_name(name).unwrap().value(7, &record)?;
        Some((value.kind, value.text.into_owned()))
    }

    #[test]
    fn values_have_kind_and_compared_text() {
        for (name, kind, text) in [
            ("id", JsonKind::Number, "7"),
            ("level", JsonKind::String, "WARN"),
            ("severity_number", JsonKind::Number, "13"),
            ("time", JsonKind::String, "1970-01-01T00:00:00.000000000Z"),
            ("n", JsonKind::String, "2"),
            ("user", JsonKind::Object, "{\"id\":-2.50}"),
            ("user.id", JsonKind::Number, "-2.50"),
            ("a.b", JsonKind::String, "x\"y"),
            ("list", JsonKind::Array, "[1]"),
            ("yes", JsonKind::Boolean, "true"),
            ("none", JsonKind::Null, "null"),
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
