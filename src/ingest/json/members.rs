//! Reads the members of a JSON object as they are written: values are not decoded, only checked and
//! skipped.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::member::JsonMember;
use super::text;
use crate::ingest::Rejection;

/// Passes each member of the object `json` to `take`.
pub(super) fn read<'a>(json: &'a str, take: impl FnMut(JsonMember<'a>)) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(MemberReader(take))?;
    deserializer.end()
}

/// Describes what is wrong with an object, and where.
pub(super) fn malformed(error: &serde_json::Error) -> Rejection {
    let full = error.to_string();
    let what = full.split(" at line ").next().unwrap_or_default();
    let detail = match (error.line(), error.column()) {
        (0 | 1, column) => format!("{what} at column {column}"),
        (line, column) => format!("{what} at column {column} of the record's line {line}"),
    };
    Rejection::new("malformed", detail)
}

struct MemberReader<T>(T);

impl<'a, T: FnMut(JsonMember<'a>)> Visitor<'a> for MemberReader<T> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        // Names are read raw as well, because serde_json would reject a name with half a surrogate
        // pair.
        while let Some((name, value)) = map.next_entry::<&'a RawValue, &'a RawValue>()? {
            (self.0)(JsonMember {
                prefix: "",
                name: text::decode(name.get()),
                value: value.get(),
                in_attributes: false,
                line: None,
            });
        }
        Ok(())
    }
}
