//! Collects the members of an object, with those of known inner objects (`log`, `error`,
//! `process`...) under their dotted names beside the others, and identifies the sender by them.

use super::member::JsonMember;
use super::members;
use super::names::{self, Meaning, SeenNames};
use super::sender::JsonSender;
use crate::ingest::Rejection;
use crate::limits::JSON_MEMBERS_MAX;

/// The content of an object.
pub(super) struct JsonObject<'a> {
    pub(super) members: Vec<JsonMember<'a>>,
    pub(super) sender: JsonSender,
    /// loguru's rendered text, the only place that contains the traceback.
    pub(super) loguru_text: &'a str,
    /// Members beyond the limit.
    pub(super) dropped: u64,
}

impl<'a> JsonObject<'a> {
    /// Returns an object that has not been read yet, with memory for its members.
    pub(super) fn new(members: Vec<JsonMember<'a>>) -> JsonObject<'a> {
        JsonObject { members, sender: JsonSender::Other, loguru_text: "", dropped: 0 }
    }

    /// Collects the members, and those of known inner objects.
    pub(super) fn read(&mut self, json: &'a str) -> Result<(), ObjectError> {
        self.members_of(json, "", false).map_err(ObjectError::Malformed)?;
        if self.members.is_empty() {
            return Err(ObjectError::Empty);
        }
        let mut seen = SeenNames::default();
        self.members.iter().filter_map(|member| member.line).for_each(|line| seen.insert(line));
        self.sender = JsonSender::of(&self.members, seen);
        if self.sender == JsonSender::Loguru {
            self.enter_loguru_record().map_err(ObjectError::Malformed)?;
        }
        let mut at = 0;
        while at < self.members.len() {
            self.expand(at).map_err(ObjectError::Malformed)?;
            at += 1;
        }
        Ok(())
    }

    /// Appends the members of an object. `prefix` is put before their names.
    fn members_of(
        &mut self,
        json: &'a str,
        prefix: &'static str,
        in_attributes: bool,
    ) -> Result<(), serde_json::Error> {
        members::read(json, |member| self.add(member, prefix, in_attributes))
    }

    fn add(&mut self, mut member: JsonMember<'a>, prefix: &'static str, in_attributes: bool) {
        if self.members.len() >= JSON_MEMBERS_MAX {
            self.dropped += 1;
            return;
        }
        member.prefix = prefix;
        member.in_attributes = in_attributes;
        member.line = names::find(member.full_name().as_bytes());
        self.members.push(member);
    }

    /// Replaces the outer members by those of loguru's `record`.
    fn enter_loguru_record(&mut self) -> Result<(), serde_json::Error> {
        let mut record = "{}";
        for member in self.members.drain(..) {
            match &*member.name {
                "record" => record = member.value,
                _ => self.loguru_text = member.value,
            }
        }
        self.members_of(record, "", false)
    }

    /// If the member's value is an object that stands for several members, appends those members
    /// and leaves this one without a value. Known prefixes nest at most three deep, so the
    /// expansion ends soon.
    fn expand(&mut self, at: usize) -> Result<(), serde_json::Error> {
        let member = &self.members[at];
        if !member.value.starts_with('{') || member.in_attributes {
            return Ok(());
        }
        let (prefix, in_attributes) = match (self.sender, &*member.name, member.line.map(names::known)) {
            (JsonSender::Loguru, "extra", _) if member.prefix.is_empty() => ("", true),
            (JsonSender::Loguru, "file", _) if member.prefix.is_empty() => ("code.file.", false),
            (JsonSender::Loguru, "time", _) if member.prefix.is_empty() => ("", false),
            (_, _, Some(known)) if matches!(known.meaning, Meaning::Members) => ("", true),
            (_, _, Some(known)) if !known.prefix.is_empty() => (known.prefix, false),
            _ => return Ok(()),
        };
        let value = std::mem::take(&mut self.members[at].value);
        self.members_of(value, prefix, in_attributes)
    }
}

/// Why an object is not a record.
pub(super) enum ObjectError {
    Malformed(serde_json::Error),
    Empty,
}

impl From<ObjectError> for Rejection {
    fn from(refusal: ObjectError) -> Rejection {
        match refusal {
            ObjectError::Malformed(error) => members::malformed(&error),
            ObjectError::Empty => Rejection::new("empty", "the object has no members"),
        }
    }
}
