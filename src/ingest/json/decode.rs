//! Decodes one JSON object into one record.
//!
//! First all members are collected. Together they identify the sender, and with it the meaning of
//! an ambiguous name or number. Then each member goes into its field or into the attributes.

use std::borrow::Cow;

use super::exception;
use super::fields::{Fields, integer, last_segment};
use super::member::JsonMember;
use super::members;
use super::names::JsonField;
use super::object::{JsonObject, ObjectError};
use super::sender::JsonSender;
use super::shape::JsonShapes;
use super::text::{self, JsonText};
use crate::ingest::attributes::Attributes;
use crate::ingest::{Arrival, Rejection};
use crate::limits::DECODER_SCRATCH_MAX;
use crate::record::{Batch, Origin, RecordRef, severity, text_or, time};

/// Memory that is reused for one record after another.
#[derive(Debug, Default)]
pub struct JsonScratch {
    pub(super) shapes: JsonShapes,
    members: Vec<JsonMember<'static>>,
    /// Numbers of the members that are attributes.
    left: Vec<u16>,
    attributes: Attributes,
    /// Strings with escapes, decoded.
    decoded: String,
}

/// Decodes one JSON object into a record and appends it to the batch.
///
/// A member of the wrong type, or a time that cannot be parsed, becomes an attribute. A record is
/// rejected only as `malformed` (not JSON), `not_an_object` or `empty` (an object without members).
/// Bytes that are not UTF-8 become U+FFFD, and the words `NaN` and `Infinity` become strings.
pub fn decode(
    object: &[u8],
    arrival: &Arrival<'_>,
    scratch: &mut JsonScratch,
    batch: &mut Batch,
) -> Result<(), Rejection> {
    let json = match std::str::from_utf8(object) {
        Ok(json) if scratch.shapes.decode(json, arrival, batch).is_some() => return Ok(()),
        Ok(json) => Cow::Borrowed(json),
        Err(_) => String::from_utf8_lossy(object),
    };
    check_is_object(&json)?;
    let error = match decode_text(&json, arrival, scratch, batch) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    match text::mend_non_finite(&json).map(|mended| decode_text(&mended, arrival, scratch, batch)) {
        Some(Ok(())) => Ok(()),
        _ => Err(error.into()),
    }
}

fn check_is_object(json: &str) -> Result<(), Rejection> {
    let kind = match json.trim_ascii_start().as_bytes().first() {
        Some(b'{') => return Ok(()),
        None => return Err(Rejection::new("empty", "there is no JSON value")),
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(b't' | b'f' | b'n') => "a word",
        Some(_) => "",
    };
    match serde_json::from_str::<serde::de::IgnoredAny>(json) {
        Ok(_) => Err(Rejection::new("not_an_object", format!("a record is a JSON object, this is {kind}"))),
        Err(error) => Err(members::malformed(&error)),
    }
}

fn decode_text(
    json: &str,
    arrival: &Arrival<'_>,
    scratch: &mut JsonScratch,
    batch: &mut Batch,
) -> Result<(), ObjectError> {
    let JsonScratch { shapes, members, left, attributes, decoded } = scratch;
    let mut object = JsonObject::new(recycle(std::mem::take(members)));
    let result = object.read(json);
    if result.is_ok() {
        decoded.clear();
        decoded.shrink_to(DECODER_SCRATCH_MAX);
        attributes.start(arrival.labels);
        attributes.drop_members(object.dropped);
        left.clear();
        let mut builder = Builder { sender: object.sender, left, attributes, decoded };
        let fields = builder.push(&mut object, arrival, batch);
        shapes.learn(json, arrival, builder.sender, &fields, left, attributes);
    }
    *members = recycle(object.members);
    result
}

/// Empties the vector and keeps its memory, for members that borrow from another text. (`collect`
/// from a vector into one of the same layout works in place.)
fn recycle<'a>(mut members: Vec<JsonMember<'_>>) -> Vec<JsonMember<'a>> {
    members.clear();
    members.into_iter().map(|_| unreachable!("it was cleared")).collect()
}

/// Builds the record from the members.
struct Builder<'s> {
    sender: JsonSender,
    left: &'s mut Vec<u16>,
    attributes: &'s mut Attributes,
    decoded: &'s mut String,
}

impl Builder<'_> {
    /// Appends the record, and returns which members went into which fields.
    fn push<'m, 'a>(
        &mut self,
        object: &'m mut JsonObject<'a>,
        arrival: &Arrival<'_>,
        batch: &mut Batch,
    ) -> Fields<'m, 'a> {
        let mut fields = Fields::new(&mut object.members);
        for member in 0..fields.members.len() {
            if let Some(left) = fields.place(member, self.sender) {
                self.left.push(left as u16); // at most JSON_MEMBERS_MAX
                self.attribute(&fields.members[left]);
            }
        }
        let timestamp = self.timestamp(&fields).unwrap_or(arrival.observed_timestamp);
        let (severity_number, severity_text) = self.severity(&fields);
        self.exception(&fields, object.loguru_text);
        let texts = [
            JsonField::Service,
            JsonField::Logger,
            JsonField::Host,
            JsonField::File,
            JsonField::Function,
            JsonField::Thread,
            JsonField::Message,
            JsonField::TraceId,
            JsonField::SpanId,
            JsonField::EventName,
        ]
        .map(|field| self.text(&fields, field));
        let attributes = self.attributes.finish();
        let [service, logger, host, file, function, thread, message, trace_id, span_id, event_name] =
            texts.map(|text| text.get(self.decoded));
        batch.push(&RecordRef {
            timestamp,
            observed_timestamp: arrival.observed_timestamp,
            severity_number,
            origin: Origin {
                service: text_or(service, arrival.service),
                logger,
                host: text_or(host, arrival.host),
                severity_text: severity_text.get(self.decoded),
                file,
                line: small(&fields, JsonField::Line).unwrap_or(0),
                function,
                process_id: small(&fields, JsonField::ProcessId).unwrap_or(arrival.process_id),
                thread,
            },
            message,
            trace_id: last_segment(trace_id),
            span_id,
            event_name,
            attributes,
        });
        fields
    }

    fn text<'a>(&mut self, fields: &Fields<'_, 'a>, field: JsonField) -> JsonText<'a> {
        fields.get(field).map_or(JsonText::None, |member| JsonText::of(member, self.decoded))
    }

    fn attribute(&mut self, member: &JsonMember<'_>) {
        self.attributes.member(&member.full_name(), |out| text::write_value(member, out));
    }

    /// Returns the time of the record. A time that cannot be parsed stays as an attribute.
    fn timestamp(&mut self, fields: &Fields<'_, '_>) -> Option<i64> {
        let member = fields.get(JsonField::Timestamp)?;
        let timestamp = time::parse(&text::decode(member.value));
        if timestamp.is_none() {
            self.attribute(member);
        }
        timestamp
    }

    /// Returns the severity's number and text. A word is sufficient by itself, a number needs the
    /// scale of its sender.
    fn severity<'a>(&mut self, fields: &Fields<'_, 'a>) -> (u8, JsonText<'a>) {
        let python_level = fields.number(JsonField::PythonLevel);
        if let Some(level) = python_level
            && !JsonSender::Python.is_standard_level(level)
        {
            self.attributes.integer("python.levelno", level);
        }
        let given = fields
            .number(JsonField::SeverityNumber)
            .or(python_level.map(severity::from_python).map(i64::from));
        let given = given.and_then(|number| u8::try_from(number).ok());
        let Some(member) = fields.get(JsonField::Severity) else {
            return (given.unwrap_or(0), JsonText::None);
        };
        if let Some(level) = integer(member.value)
            && let Some(number) = self.sender.severity_of_level(level)
        {
            if !self.sender.is_standard_level(level) {
                self.attribute(member);
            }
            return (given.unwrap_or(number), JsonText::None);
        }
        let text = JsonText::of(member, self.decoded);
        let number = given.or_else(|| severity::from_text(text.get(self.decoded)));
        (number.unwrap_or(0), text)
    }

    /// Writes the exception's attributes, with its type and message from the stack trace if no
    /// members contain them.
    fn exception(&mut self, fields: &Fields<'_, '_>, loguru_text: &str) {
        let stack = match fields.get(JsonField::Stacktrace) {
            Some(member) => text::decode(member.value),
            None if fields.get(JsonField::ExceptionType).is_some() => traceback_of(loguru_text),
            None => Cow::Borrowed(""),
        };
        let stack = stack.trim_end();
        let told = exception::type_and_message(stack);
        for (field, name, told) in [
            (JsonField::ExceptionType, "exception.type", told.map(|(kind, _)| kind)),
            (JsonField::ExceptionMessage, "exception.message", told.map(|(_, message)| message)),
        ] {
            match (fields.get(field), told) {
                (Some(member), _) => self.attributes.member(name, |out| text::write_value(member, out)),
                (None, Some(told)) if !told.is_empty() => self.attributes.text(name, told),
                _ => {}
            }
        }
        if !stack.is_empty() {
            let is_call_stack = stack.starts_with("Stack (most recent call last)");
            let name = if is_call_stack { "code.stacktrace" } else { "exception.stacktrace" };
            self.attributes.text(name, stack);
        }
    }
}

/// Returns the traceback in loguru's rendered text.
fn traceback_of(loguru_text: &str) -> Cow<'_, str> {
    let text = text::decode(loguru_text);
    match text.find("Traceback (most recent call last") {
        Some(start) => Cow::Owned(text[start..].to_owned()),
        None => Cow::Borrowed(""),
    }
}

fn small(fields: &Fields<'_, '_>, field: JsonField) -> Option<u32> {
    fields.number(field).and_then(|number| u32::try_from(number).ok())
}
