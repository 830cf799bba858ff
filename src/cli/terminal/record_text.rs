//! The texts of a record, escaped for a terminal, as all layouts show them.

use std::borrow::Cow;

use super::text;
use crate::cli::client::JsonRecord;
use crate::record::attributes;

/// The part of a record that is shown after its columns. No text in it can control a terminal.
pub(crate) struct RecordText<'a> {
    message: Cow<'a, str>,
    /// The lines of the stack trace.
    pub(crate) stacktrace: String,
    /// The event's name, the trace and every attribute, except what the stack trace already
    /// contains.
    pub(crate) attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

const STACKTRACE: &str = "exception.stacktrace";

/// Python's number of a thread is of no use to a person; JSON and CSV contain it.
const THREAD_ID: &str = "thread.id";

impl<'a> RecordText<'a> {
    /// Returns the parts of this record.
    pub(crate) fn of(record: &'a JsonRecord<'_>) -> RecordText<'a> {
        let stacktrace = record.attributes.text(STACKTRACE).unwrap_or_default();
        let mut shown_attributes = Vec::new();
        for (name, value) in [("event_name", &record.event_name), ("trace_id", &record.trace_id)] {
            if !value.is_empty() {
                shown_attributes.push((Cow::Borrowed(name), shown(value)));
            }
        }
        for (name, value) in record.attributes.members() {
            let value = match attributes::text(value) {
                Some(_) if name == STACKTRACE => continue,
                _ if name == THREAD_ID => continue,
                Some(text) if name.starts_with("exception.") && stacktrace.contains(&*text) => continue,
                Some(text) => shown(&text).into_owned().into(),
                None => text::json(value),
            };
            shown_attributes.push((text::one_line(&name).into_owned().into(), value));
        }
        let stacktrace = text::lines(&stacktrace).trim_end_matches('\n').to_owned();
        RecordText { message: text::lines(&record.message), stacktrace, attributes: shown_attributes }
    }

    /// Returns the message's first line.
    pub(crate) fn first_line(&self) -> &str {
        self.message.split('\n').next().unwrap_or_default()
    }

    /// Returns the message's other lines.
    pub(crate) fn other_lines(&self) -> &str {
        self.message.split_once('\n').map_or("", |(_, rest)| rest.trim_end_matches('\n'))
    }
}

/// Returns a text, as a JSON string if its end would not be recognizable otherwise.
fn shown(value: &str) -> Cow<'_, str> {
    let is_bare = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    if !value.is_empty() && value.chars().all(is_bare) {
        return text::one_line(value);
    }
    text::json(&serde_json::Value::from(value).to_string()).into_owned().into()
}

/// Shortens `2026-11-21T10:00:00.123456789Z` to milliseconds.
pub(crate) fn short_time(timestamp: &str) -> Cow<'_, str> {
    match timestamp.get(..23) {
        Some(short) if timestamp.len() == 30 && timestamp.ends_with('Z') => {
            format!("{}Z", text::one_line(short)).into()
        }
        _ => text::one_line(timestamp),
    }
}

/// A record with control sequences for a terminal in every field, for tests.
#[cfg(test)]
pub(crate) const EVIL: &str = r#"{"severity":"\u001b[2J","service":"\u001b[2J","logger":"\u001b\n",
    "message":"\u001b[2J\n\u001b[2J","timestamp":"\u001b[2J","trace_id":"\u001b[2J","event_name":"\u009b","attributes":
    {"\u001b[2J":"\u001b[2J","b":{"\u001b":"\u009b"},"exception.stacktrace":"\u001b[2J"}}"#;
