//! Writes the attributes of a record: the text of one JSON object, bounded, with each name once.

use std::hash::BuildHasher;
use std::io::Write;
use std::ops::Range;

use foldhash::fast::RandomState;
use serde_json::value::RawValue;

use super::empty;
use crate::limits::{ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX};
use crate::record::json;

/// Builds the attributes of one record after another in memory that is reused.
///
/// A repeated name replaces the earlier member. Members beyond [`ATTRIBUTES_MAX`] or
/// [`ATTRIBUTES_BYTES_MAX`] are left out, and the member `logboom.dropped_attributes` holds their
/// number.
#[derive(Debug, Default)]
pub struct Attributes {
    /// `{` and members, each followed by a comma.
    text: Vec<u8>,
    /// The position of each member's quoted name, and the end of the whole member with its comma.
    members: Vec<(Range<usize>, usize)>,
    /// A hash of each member's name, to find one among a thousand quickly.
    hashes: Vec<u64>,
    hasher: RandomState,
    dropped: u64,
    /// How many of the members are labels.
    labels: usize,
    /// Whether a member has replaced another.
    has_replaced: bool,
}

impl Attributes {
    /// Empties the buffer for the next record. `labels` is as in [`super::Arrival::labels`]: a
    /// member of the record replaces a label of the same name.
    pub fn start(&mut self, labels: &str) {
        empty(&mut self.text);
        empty(&mut self.members);
        empty(&mut self.hashes);
        self.dropped = 0;
        self.has_replaced = false;
        self.text.push(b'{');
        let mut rest = labels;
        while let Some((name, value, after)) = first_member(rest) {
            let start = self.text.len();
            self.text.extend([name, ":", value, ","].iter().flat_map(|text| text.bytes()));
            self.hashes.push(self.hasher.hash_one(name.as_bytes()));
            self.members.push((start..start + name.len(), self.text.len()));
            rest = after;
        }
        self.labels = self.members.len();
    }

    /// Adds a member whose value is already valid JSON.
    pub fn raw(&mut self, name: &str, value: &str) {
        self.member(name, |out| out.extend_from_slice(value.as_bytes()));
    }

    /// Adds a member with a text as its value.
    pub fn text(&mut self, name: &str, value: &str) {
        self.member(name, |out| json::string(out, value));
    }

    /// Adds a member with an integer as its value.
    pub fn integer(&mut self, name: &str, value: i64) {
        self.member(name, |out| {
            let _ = write!(out, "{value}"); // writing to a Vec cannot fail
        });
    }

    /// Adds a member whose value `write` appends as valid JSON. The member is removed again if it
    /// turns out too large.
    pub fn member(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if self.members.len() >= ATTRIBUTES_MAX || self.text.len() + name.len() > ATTRIBUTES_BYTES_MAX {
            self.dropped += 1;
            return;
        }
        let start = self.text.len();
        json::string(&mut self.text, name);
        let name = start..self.text.len();
        self.text.push(b':');
        write(&mut self.text);
        self.text.push(b',');
        if self.text.len() > ATTRIBUTES_BYTES_MAX {
            self.text.truncate(start);
            self.dropped += 1;
            return;
        }
        let end = self.text.len();
        match self.find(&self.text[name.clone()]) {
            None => self.add(name, end),
            Some(earlier) => self.replace(earlier, name, end),
        }
    }

    fn add(&mut self, name: Range<usize>, end: usize) {
        self.hashes.push(self.hasher.hash_one(&self.text[name.clone()]));
        self.members.push((name, end));
    }

    /// Returns the member with a name, which includes its quotes.
    fn find(&self, name: &[u8]) -> Option<usize> {
        if !self.hashes.contains(&self.hasher.hash_one(name)) {
            return None;
        }
        self.members.iter().position(|(other, _)| self.text[other.clone()] == *name)
    }

    /// Removes the earlier member of the same name, and keeps the new one at the end.
    fn replace(&mut self, earlier: usize, name: Range<usize>, end: usize) {
        self.has_replaced = true;
        self.hashes.remove(earlier);
        let (old_name, old_end) = self.members.remove(earlier);
        let gone = old_end - old_name.start;
        self.text.drain(old_name.start..old_end);
        for (name, end) in &mut self.members[earlier..] {
            *name = name.start - gone..name.end - gone;
            *end -= gone;
        }
        self.add(name.start - gone..name.end - gone, end - gone);
    }

    /// Counts members that the caller left out.
    pub fn drop_members(&mut self, count: u64) {
        self.dropped += count;
    }

    /// Returns the finished object, or an empty text if it has no member.
    pub fn finish(&mut self) -> &str {
        if self.dropped > 0 {
            let _ = write!(self.text, "\"logboom.dropped_attributes\":{},", self.dropped);
        }
        if self.text.len() <= 1 {
            return "";
        }
        if let Some(last) = self.text.last_mut() {
            *last = b'}';
        }
        // Only whole texts are ever written. If the `raw` of a caller is not whole, the record has
        // no attributes.
        std::str::from_utf8(&self.text).unwrap_or("")
    }

    /// Returns the finished object and the positions of its members' values, except those of the
    /// labels. Returns `None` if a member was dropped or replaced, or if the number of members is
    /// not `count`.
    pub fn parts(&self, count: usize) -> Option<(&str, impl Iterator<Item = Range<usize>>)> {
        if self.dropped > 0 || self.has_replaced || self.members.len() != self.labels + count {
            return None;
        }
        let text = if self.members.is_empty() { "" } else { std::str::from_utf8(&self.text).ok()? };
        Some((text, self.members[self.labels..].iter().map(|(name, end)| name.end + 1..end - 1)))
    }
}

/// Splits off the first of some members: its quoted name, its value, and what follows the comma.
fn first_member(members: &str) -> Option<(&str, &str, &str)> {
    let (name, after) = first_value(members)?;
    let (value, after) = first_value(after.trim_ascii_start().strip_prefix(':')?)?;
    Some((name, value, after.trim_ascii_start().trim_start_matches(',')))
}

/// Splits off the JSON value that a text begins with.
pub(super) fn first_value(json: &str) -> Option<(&str, &str)> {
    let mut values = serde_json::Deserializer::from_str(json).into_iter::<&RawValue>();
    let value = values.next()?.ok()?.get();
    Some((value, &json[values.byte_offset()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order() {
        let mut attributes = Attributes::default();
        attributes.start("");
        assert_eq!(attributes.finish(), "");
        attributes.start(r#""env":"prod""#);
        attributes.text("a \"b\"", "c\n");
        attributes.integer("n", -3);
        attributes.raw("list", "[1,2]");
        assert_eq!(attributes.finish(), r#"{"env":"prod","a \"b\"":"c\n","n":-3,"list":[1,2]}"#);
    }

    #[test]
    fn member_replaces_label_of_same_name() {
        let mut attributes = Attributes::default();
        attributes.start(r#""env":"prod", "zone": 1 ,"a":{"b":2}"#);
        attributes.text("env", "test");
        attributes.text("zone", "x");
        assert_eq!(attributes.finish(), r#"{"a":{"b":2},"env":"test","zone":"x"}"#);
    }

    #[test]
    fn repeated_name_replaces_earlier_member() {
        let mut attributes = Attributes::default();
        attributes.start("");
        for (name, value) in [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("c", 5), ("b", 6), ("b", 7)] {
            attributes.integer(name, value);
        }
        assert_eq!(attributes.finish(), r#"{"a":4,"c":5,"b":7}"#);
    }

    #[test]
    fn excess_members_are_counted() {
        let mut attributes = Attributes::default();
        attributes.start("");
        attributes.text("huge", &"x".repeat(ATTRIBUTES_BYTES_MAX));
        for n in 0..ATTRIBUTES_MAX as i64 + 5 {
            attributes.integer(&n.to_string(), n);
        }
        let value: serde_json::Value = serde_json::from_str(attributes.finish()).unwrap();
        assert_eq!(value["logboom.dropped_attributes"], 6);
        assert_eq!(value.as_object().unwrap().len(), ATTRIBUTES_MAX + 1);
    }
}
