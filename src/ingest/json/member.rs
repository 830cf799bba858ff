//! One member of a JSON object, as it is written.

use std::borrow::Cow;

/// One member of an object.
#[derive(Clone, Debug)]
pub(super) struct JsonMember<'a> {
    /// The prefix of the name: the names of the enclosing objects, each with a dot. Mostly empty.
    pub(super) prefix: &'static str,
    /// The name, decoded.
    pub(super) name: Cow<'a, str>,
    /// The value as JSON text.
    pub(super) value: &'a str,
    /// Whether the member is in the object's `attributes`.
    pub(super) in_attributes: bool,
    /// The line of [`super::names`] that contains its whole name.
    pub(super) line: Option<u8>,
}

impl JsonMember<'_> {
    /// The name with the prefix.
    pub(super) fn full_name(&self) -> Cow<'_, str> {
        match self.prefix {
            "" => Cow::Borrowed(&self.name),
            prefix => Cow::Owned([prefix, &self.name].concat()),
        }
    }
}
