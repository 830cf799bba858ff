//! Sorts members into the record's fields; what is no field, or does not suit it, is left over for the attributes.

use std::borrow::Cow;

use super::exception;
use super::members::Member;
use super::names::{self, FIELDS, Field, Meaning};
use super::sender::Sender;
use super::text;

/// The member that each field is taken from.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    slots: [Option<Member<'a>>; FIELDS],
}

impl<'a> Fields<'a> {
    /// Puts a member into its field. Gives back what is to become an attribute: the member itself, or the one of a lesser
    /// name that had the field; `None` where there is none.
    pub(super) fn place(&mut self, mut member: Member<'a>, sender: Sender) -> Option<Member<'a>> {
        if sender == Sender::Gelf {
            strip_underscore(&mut member);
        }
        let Some(line) = member.line else { return Some(member) };
        let known = names::known(line);
        if member.in_attributes && !known.is_semantic_convention() {
            return Some(member);
        }
        match known.meaning {
            Meaning::Field(field) => self.put(field, line, member),
            Meaning::Attribute(_) if matches!(member.value, "null" | "\"\"" | "\"MainProcess\"") => None,
            Meaning::Attribute(name) => Some(Member { prefix: "", name: Cow::Borrowed(name), ..member }),
            Meaning::MessageAgain => self.message_again(member),
            Meaning::Own | Meaning::Members => Some(member),
        }
    }

    fn put(&mut self, field: Field, line: u8, member: Member<'a>) -> Option<Member<'a>> {
        if is_absent(field, member.value) {
            return None;
        }
        if !suits(field, member.value) {
            return Some(match field {
                Field::Thread if integer(member.value).is_some() => {
                    Member { prefix: "", name: Cow::Borrowed("thread.id"), ..member }
                }
                _ => member,
            });
        }
        let slot = &mut self.slots[field as usize];
        match slot {
            Some(other) if other.line < Some(line) => Some(member),
            Some(other) if other.line == Some(line) => {
                *slot = Some(member);
                None
            }
            _ => slot.replace(member),
        }
    }

    /// A longer message, as GELF has it, is the traceback where there is one.
    fn message_again(&mut self, member: Member<'a>) -> Option<Member<'a>> {
        if self.value(Field::Message) == Some(member.value) {
            return None;
        }
        let slot = &mut self.slots[Field::Stacktrace as usize];
        if slot.is_none() && exception::is_python(member.value) {
            return slot.replace(member);
        }
        Some(member)
    }

    /// The member of a field.
    pub(super) fn get(&self, field: Field) -> Option<&Member<'a>> {
        self.slots[field as usize].as_ref()
    }

    /// The JSON text of a field.
    pub(super) fn value(&self, field: Field) -> Option<&'a str> {
        self.get(field).map(|member| member.value)
    }

    /// The whole number of a field.
    pub(super) fn number(&self, field: Field) -> Option<i64> {
        self.value(field).and_then(integer)
    }
}

/// Names of GELF's additional fields start with an underscore. Those of the code's location, of processes and of
/// traces become fields; the message, the time and the severity have their own names in the standard.
fn strip_underscore(member: &mut Member<'_>) {
    if !member.prefix.is_empty() || !member.name.starts_with('_') {
        return;
    }
    match &mut member.name {
        Cow::Borrowed(name) => *name = &name[1..],
        Cow::Owned(name) => drop(name.remove(0)),
    }
    member.line = names::find(member.name.as_bytes()).filter(|line| {
        use Field::{Host, Message, Severity, SeverityNumber, Timestamp};
        match names::known(*line).meaning {
            Meaning::Field(Host | Message | Severity | SeverityNumber | Timestamp) => false,
            Meaning::Field(_) | Meaning::Attribute(_) => true,
            Meaning::Members | Meaning::MessageAgain | Meaning::Own => false,
        }
    });
}

/// Whether the value says that there is none.
fn is_absent(field: Field, value: &str) -> bool {
    let is_trace = matches!(field, Field::TraceId | Field::SpanId);
    matches!(value, "null" | "\"\"") || is_trace && matches!(value, "\"0\"" | "0")
}

/// Whether a field can hold the value.
fn suits(field: Field, value: &str) -> bool {
    let is_string = value.starts_with('"');
    let is_number = value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    match field {
        Field::Message => true,
        Field::Line | Field::ProcessId => integer(value).is_some_and(|number| u32::try_from(number).is_ok()),
        Field::SeverityNumber => integer(value).is_some_and(|number| (0..=24).contains(&number)),
        Field::PythonLevel => integer(value).is_some(),
        Field::Thread | Field::Stacktrace | Field::ExceptionType | Field::ExceptionMessage => is_string,
        _ => is_string || is_number,
    }
}

/// A whole number, also in quotes.
pub(super) fn integer(value: &str) -> Option<i64> {
    text::content(value).unwrap_or(value).parse().ok()
}
