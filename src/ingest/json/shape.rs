//! The shape of a JSON object: see [`crate::ingest::shapes`].

use std::ops::Range;

use super::fields::{Fields, last_segment};
use super::member::JsonMember;
use super::names::{self, FIELDS, JsonField, Meaning};
use super::sender::JsonSender;
use super::text::number_length;
use crate::ingest::Arrival;
use crate::ingest::attributes::Attributes;
use crate::ingest::shapes;
use crate::limits::{ATTRIBUTES_BYTES_MAX, SHAPE_BYTES_MAX};
use crate::record::{Batch, Origin, RecordRef, severity, text_or, time};

/// The longest number that an ordinary value has.
const NUMBER_BYTES_MAX: usize = 64;

/// The shapes of the most recent objects.
#[derive(Debug, Default)]
pub(super) struct JsonShapes {
    known: shapes::Shapes<JsonShape>,
    memory: Memory,
}

/// Memory that is reused for one object after another.
#[derive(Debug, Default)]
struct Memory {
    /// The positions of the values.
    values: Vec<Range<usize>>,
    attributes: String,
}

/// The text of an object without its values, and the destination of each value.
#[derive(Debug, Default)]
struct JsonShape {
    /// The listener's labels, with which the attributes begin.
    labels: String,
    /// The text before, between and after the values, joined.
    text: String,
    slots: Vec<Slot>,
    /// The text of the record's attributes without their values, joined.
    attributes_text: String,
    attributes: Vec<Attribute>,
}

#[derive(Debug)]
struct Slot {
    /// Where the text before the value ends.
    text_end: usize,
    kind: SlotKind,
    /// The field that holds the value. If `None`, the value is an attribute.
    field: Option<JsonField>,
}

#[derive(Debug)]
struct Attribute {
    text_end: usize,
    /// The number of the value that follows.
    slot: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotKind {
    /// A string, without its quotes.
    String,
    Number,
    /// `true`, `false` or `null`.
    Word,
}

impl JsonShapes {
    /// Appends the record of an object if its shape is known and its values are ordinary.
    pub(super) fn decode(&mut self, json: &str, arrival: &Arrival<'_>, batch: &mut Batch) -> Option<()> {
        let JsonShapes { known, memory } = self;
        known.read(|shape| shape.decode(json, arrival, memory, batch))
    }

    /// Keeps the shape of an object that the general decoder has read, if it is simple enough.
    /// `left` are the members that became `attributes`.
    pub(super) fn learn(
        &mut self,
        json: &str,
        arrival: &Arrival<'_>,
        sender: JsonSender,
        fields: &Fields<'_, '_>,
        left: &[u16],
        attributes: &Attributes,
    ) {
        self.known.learn(|| JsonShape::of(json, arrival.labels, sender, fields, left, attributes));
    }
}

impl JsonShape {
    fn of(
        json: &str,
        labels: &str,
        sender: JsonSender,
        fields: &Fields<'_, '_>,
        left: &[u16],
        attributes: &Attributes,
    ) -> Option<JsonShape> {
        if !matches!(sender, JsonSender::Other | JsonSender::Python) {
            // The other senders are identified by their values too.
            return None;
        }
        let mut values = Vec::new();
        for (number, member) in (0..).zip(&*fields.members) {
            if member.value.is_empty() {
                // The member's own members represent it.
                continue;
            }
            let (kind, field) = (SlotKind::of(member.value)?, fields.field_of(number));
            let is_simple = match field {
                Some(field) => can_be(field, kind),
                None => left.contains(&number) && is_attribute(member),
            };
            if !is_simple || may_tell_the_sender(member, kind) {
                return None;
            }
            values.push((range_in(json, member.value, kind)?, number, kind, field));
        }
        values.sort_by_key(|(range, ..)| range.start);
        let mut shape = JsonShape { labels: labels.to_owned(), ..JsonShape::default() };
        let (written, ranges) = attributes.parts(left.len())?;
        let mut at = 0;
        for (&number, range) in left.iter().zip(ranges) {
            let slot = values.iter().position(|(_, other, ..)| *other == number)?;
            if written[range.clone()] != *fields.members[usize::from(number)].value {
                // The value was changed to suit the databases.
                return None;
            }
            let quote = values[slot].2.quotes();
            shape.attributes_text.push_str(&written[at..range.start + quote]);
            shape.attributes.push(Attribute { text_end: shape.attributes_text.len(), slot });
            at = range.end - quote;
        }
        shape.attributes_text.push_str(&written[at..]);
        let mut at = 0;
        for (range, _, kind, field) in values {
            shape.text.push_str(json.get(at..range.start)?);
            shape.slots.push(Slot { text_end: shape.text.len(), kind, field });
            at = range.end;
        }
        shape.text.push_str(&json[at..]);
        (shape.text.len() + shape.attributes_text.len() <= SHAPE_BYTES_MAX).then_some(shape)
    }

    fn decode(
        &self,
        json: &str,
        arrival: &Arrival<'_>,
        memory: &mut Memory,
        batch: &mut Batch,
    ) -> Option<()> {
        let mut texts = [""; FIELDS];
        self.cut(json, &mut texts, &mut memory.values)?;
        if self.labels != arrival.labels {
            return None;
        }
        let text = |field: JsonField| texts[field as usize];
        let given = |field: JsonField| Some(text(field)).filter(|text| !text.is_empty());
        let number = |field: JsonField| given(field).map(|text| text.parse::<u32>().ok());
        if [JsonField::TraceId, JsonField::SpanId].map(text).contains(&"0") {
            // The record has no such id.
            return None;
        }
        let severity_text = text(JsonField::Severity);
        if severity_text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-')) {
            // A number on the sender's scale.
            return None;
        }
        let timestamp = match given(JsonField::Timestamp) {
            Some(text) => time::parse(text)?,
            None => arrival.observed_timestamp,
        };
        let line = number(JsonField::Line).unwrap_or(Some(0))?;
        let process_id = number(JsonField::ProcessId).unwrap_or(Some(arrival.process_id))?;
        self.write_attributes(json, memory)?;
        batch.push(&RecordRef {
            timestamp,
            observed_timestamp: arrival.observed_timestamp,
            severity_number: severity::from_text(severity_text).unwrap_or(0),
            origin: Origin {
                service: text_or(text(JsonField::Service), arrival.service),
                logger: text(JsonField::Logger),
                host: text_or(text(JsonField::Host), arrival.host),
                severity_text,
                file: text(JsonField::File),
                line,
                function: text(JsonField::Function),
                process_id,
                thread: text(JsonField::Thread),
            },
            message: text(JsonField::Message),
            trace_id: last_segment(text(JsonField::TraceId)),
            span_id: text(JsonField::SpanId),
            event_name: text(JsonField::EventName),
            attributes: &memory.attributes,
        });
        Some(())
    }

    /// Splits an object of this shape into its values.
    fn cut<'a>(
        &self,
        json: &'a str,
        texts: &mut [&'a str; FIELDS],
        values: &mut Vec<Range<usize>>,
    ) -> Option<()> {
        values.clear();
        let (mut at, mut text_at) = (0, 0);
        for slot in &self.slots {
            let before = &self.text.as_bytes()[text_at..slot.text_end];
            let rest = after(&json.as_bytes()[at..], before)?;
            text_at = slot.text_end;
            let start = at + before.len();
            at = start + slot.kind.length(rest)?;
            values.push(start..at);
            if let Some(field) = slot.field {
                texts[field as usize] = Some(&json[start..at]).filter(|text| !text.is_empty())?;
            }
        }
        (json[at..] == self.text[text_at..]).then_some(())
    }

    fn write_attributes(&self, json: &str, memory: &mut Memory) -> Option<()> {
        let Memory { values, attributes } = memory;
        attributes.clear();
        let mut at = 0;
        for attribute in &self.attributes {
            attributes.push_str(&self.attributes_text[at..attribute.text_end]);
            attributes.push_str(&json[values[attribute.slot].clone()]);
            at = attribute.text_end;
        }
        attributes.push_str(&self.attributes_text[at..]);
        // With longer attributes, some may have to be dropped.
        (attributes.len() < ATTRIBUTES_BYTES_MAX / 2).then_some(())
    }
}

impl SlotKind {
    fn of(value: &str) -> Option<SlotKind> {
        match value.as_bytes().first()? {
            b'"' => Some(SlotKind::String),
            b'-' | b'0'..=b'9' => Some(SlotKind::Number),
            b't' | b'f' | b'n' => Some(SlotKind::Word),
            _ => None,
        }
    }

    /// Returns the number of quotes on each side.
    fn quotes(self) -> usize {
        usize::from(self == SlotKind::String)
    }

    /// Returns the length of the ordinary value at the start of some JSON.
    fn length(self, json: &[u8]) -> Option<usize> {
        match self {
            SlotKind::String => string_length(json),
            // A longer number may be beyond a double, which changes how it is written. An exponent
            // differs from any text that follows a number.
            SlotKind::Number => number_length(json).filter(|length| *length <= NUMBER_BYTES_MAX),
            SlotKind::Word => ["true", "false", "null"]
                .iter()
                .find(|word| json.starts_with(word.as_bytes()))
                .map(|word| word.len()),
        }
    }
}

/// A `strip_prefix` for the few bytes between two values, without a call.
#[inline]
fn after<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = bytes.split_at_checked(prefix.len())?;
    let is_equal = match (start.last_chunk::<8>(), prefix.last_chunk::<8>()) {
        (Some(end), Some(prefix_end)) => {
            let words = start.as_chunks::<8>().0.iter().zip(prefix.as_chunks::<8>().0);
            let is_equal = |(one, other): (&[u8; 8], _)| one == other;
            is_equal((end, prefix_end)) && words.into_iter().all(is_equal)
        }
        _ => start.iter().zip(prefix).all(|(one, other)| one == other),
    };
    is_equal.then_some(rest)
}

/// Returns the length of a string without escapes up to its quote. It checks eight bytes at a time:
/// see "Bit Twiddling Hacks" (Sean Eron Anderson), "Determine if a word has a byte less than n".
/// The lowest byte that a test marks is always correct.
fn string_length(json: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let below = |word: u64, end: u64| word.wrapping_sub(ONES * end) & !word & HIGHS;
    let (words, rest) = json.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let (quote, backslash) = (word ^ (ONES * u64::from(b'"')), word ^ (ONES * u64::from(b'\\')));
        let found = below(quote, 1) | below(backslash, 1) | below(word, 0x20);
        if found != 0 {
            length += found.trailing_zeros() as usize / 8;
            return (json[length] == b'"').then_some(length);
        }
        length += 8;
    }
    let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    (rest[found] == b'"').then_some(length + found)
}

/// Returns true if an ordinary value of this kind always goes into the field.
fn can_be(field: JsonField, kind: SlotKind) -> bool {
    use JsonField::*;
    match field {
        Timestamp | TraceId | SpanId => kind != SlotKind::Word,
        Line | ProcessId => kind == SlotKind::Number,
        Severity | Service | Logger | Host | Message | EventName | File | Function | Thread => {
            kind == SlotKind::String
        }
        SeverityNumber | PythonLevel | Stacktrace | ExceptionType | ExceptionMessage => false,
    }
}

/// Returns true if the member is an attribute whatever its value.
fn is_attribute(member: &JsonMember<'_>) -> bool {
    let Some(known) = member.line.map(names::known) else { return true };
    if member.in_attributes { !known.is_semantic_convention() } else { matches!(known.meaning, Meaning::Own) }
}

/// Returns true if the value may change which sender is identified.
fn may_tell_the_sender(member: &JsonMember<'_>, kind: SlotKind) -> bool {
    member.name == "id" || member.name == "time" && kind == SlotKind::Number
}

/// Returns the position of a value in the object that it was borrowed from, without its quotes.
fn range_in(json: &str, value: &str, kind: SlotKind) -> Option<Range<usize>> {
    let start = (value.as_ptr() as usize).checked_sub(json.as_ptr() as usize)?;
    let end = start + value.len();
    let quote = kind.quotes();
    (json.get(start..end)? == value).then_some(start + quote..end - quote)
}
