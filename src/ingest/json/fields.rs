//! Sorts members into the record's fields. A member that is not a field, or does not suit its
//! field, remains for the attributes.

use std::borrow::Cow;

use super::exception;
use super::member::JsonMember;
use super::names::{self, FIELDS, JsonField, Meaning};
use super::sender::JsonSender;
use super::text;
use crate::limits::JSON_MEMBERS_MAX;

/// The members, and which of them each field is taken from.
#[derive(Debug)]
pub(super) struct Fields<'m, 'a> {
    pub(super) members: &'m mut [JsonMember<'a>],
    /// Numbers of members.
    slots: [Option<u16>; FIELDS],
}

const _: () = assert!(JSON_MEMBERS_MAX < u16::MAX as usize);

impl<'m, 'a> Fields<'m, 'a> {
    /// Returns the fields of an object before any member has been placed.
    pub(super) fn new(members: &'m mut [JsonMember<'a>]) -> Fields<'m, 'a> {
        Fields { members, slots: [None; FIELDS] }
    }

    /// Places a member in its field. Returns the member that becomes an attribute: the member
    /// itself, or the one with a lower-ranked name that was in the field. Returns `None` if there
    /// is none.
    pub(super) fn place(&mut self, number: usize, sender: JsonSender) -> Option<usize> {
        let member = &mut self.members[number];
        if member.value.is_empty() || sender.is_redundant(member) {
            return None;
        }
        if sender == JsonSender::Gelf {
            strip_underscore(member);
        }
        let Some(line) = member.line else { return Some(number) };
        let known = names::known(line);
        if member.in_attributes && !known.is_semantic_convention() {
            return Some(number);
        }
        match known.meaning {
            Meaning::Field(field) => self.put(field, number),
            Meaning::Attribute(_) if matches!(member.value, "null" | "\"\"" | "\"MainProcess\"") => None,
            Meaning::Attribute(name) => {
                rename(member, name);
                Some(number)
            }
            Meaning::MessageAgain => self.message_again(number),
            Meaning::Own | Meaning::Members => Some(number),
        }
    }

    fn put(&mut self, field: JsonField, number: usize) -> Option<usize> {
        let member = &mut self.members[number];
        if is_absent(field, member.value) {
            return None;
        }
        if !suits(field, member.value) {
            if field == JsonField::Thread && integer(member.value).is_some() {
                rename(member, "thread.id");
            }
            return Some(number);
        }
        let line = member.line;
        match self.get(field).map(|other| other.line) {
            Some(other) if other < line => Some(number),
            Some(other) => {
                let earlier = self.take(field, number);
                if other == line { None } else { earlier }
            }
            None => self.take(field, number),
        }
    }

    /// Places a member in a field, and returns the one that was there.
    fn take(&mut self, field: JsonField, number: usize) -> Option<usize> {
        self.slots[field as usize].replace(number as u16).map(usize::from)
    }

    /// Handles a longer message, as GELF has it: it is the traceback if it contains one.
    fn message_again(&mut self, number: usize) -> Option<usize> {
        let value = self.members[number].value;
        if self.get(JsonField::Message).is_some_and(|message| message.value == value) {
            return None;
        }
        if self.get(JsonField::Stacktrace).is_none() && exception::is_python(value) {
            return self.take(JsonField::Stacktrace, number);
        }
        Some(number)
    }

    /// Returns the field of its own name in which a member is placed.
    pub(super) fn field_of(&self, number: u16) -> Option<JsonField> {
        match names::known(self.members[usize::from(number)].line?).meaning {
            Meaning::Field(field) if self.slots[field as usize] == Some(number) => Some(field),
            _ => None,
        }
    }

    /// Returns the member of a field.
    pub(super) fn get(&self, field: JsonField) -> Option<&JsonMember<'a>> {
        self.slots[field as usize].map(|number| &self.members[usize::from(number)])
    }

    /// Returns the integer of a field.
    pub(super) fn number(&self, field: JsonField) -> Option<i64> {
        self.get(field).and_then(|member| integer(member.value))
    }
}

fn rename(member: &mut JsonMember<'_>, name: &'static str) {
    member.prefix = "";
    member.name = Cow::Borrowed(name);
}

/// Removes the underscore that starts the names of GELF's additional fields. Names of the code's
/// location, of processes and of traces become fields; the message, the time and the severity have
/// their own names in the standard.
fn strip_underscore(member: &mut JsonMember<'_>) {
    if !member.prefix.is_empty() || !member.name.starts_with('_') {
        return;
    }
    match &mut member.name {
        Cow::Borrowed(name) => *name = &name[1..],
        Cow::Owned(name) => drop(name.remove(0)),
    }
    member.line = names::find(member.name.as_bytes()).filter(|line| {
        use JsonField::{Host, Message, Severity, SeverityNumber, Timestamp};
        match names::known(*line).meaning {
            Meaning::Field(Host | Message | Severity | SeverityNumber | Timestamp) => false,
            Meaning::Field(_) | Meaning::Attribute(_) => true,
            Meaning::Members | Meaning::MessageAgain | Meaning::Own => false,
        }
    });
}

/// Returns true if the value means that there is none.
fn is_absent(field: JsonField, value: &str) -> bool {
    let is_trace = matches!(field, JsonField::TraceId | JsonField::SpanId);
    matches!(value, "null" | "\"\"") || is_trace && matches!(value, "\"0\"" | "0")
}

/// Returns true if a field can hold the value.
fn suits(field: JsonField, value: &str) -> bool {
    let is_string = value.starts_with('"');
    let is_number = value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    match field {
        JsonField::Message => true,
        JsonField::Line | JsonField::ProcessId => {
            integer(value).is_some_and(|number| u32::try_from(number).is_ok())
        }
        JsonField::SeverityNumber => integer(value).is_some_and(|number| (0..=24).contains(&number)),
        JsonField::PythonLevel => integer(value).is_some(),
        JsonField::Thread
        | JsonField::Stacktrace
        | JsonField::ExceptionType
        | JsonField::ExceptionMessage => is_string,
        _ => is_string || is_number,
    }
}

/// Parses an integer, also in quotes.
pub(super) fn integer(value: &str) -> Option<i64> {
    text::content(value).unwrap_or(value).parse().ok()
}

/// Returns the id of a trace: Google Cloud writes `projects/PROJECT/traces/ID`, and other ids have
/// no slash.
pub(super) fn last_segment(trace_id: &str) -> &str {
    if trace_id.starts_with("projects/") { trace_id.rsplit('/').next().unwrap_or_default() } else { trace_id }
}
