//! Dates and times of Python's `datetime`, as text.

use std::fmt::Write;

use super::arena::{Node, NodeId};
use super::call::{CallArguments, bytes, class_of, integer};
use super::view::PickleView;

/// Returns dates and times in ISO 8601, from the packed bytes that the `datetime` module writes,
/// and time spans as `str` shows them.
pub(super) fn date_and_time(
    view: PickleView<'_>,
    class: &str,
    arguments: [Option<NodeId>; 4],
) -> Option<String> {
    let [first, second, ..] = arguments;
    if class == "timedelta" {
        return time_span(view, arguments);
    }
    if class == "timezone" {
        return offset(view, first?);
    }
    let packed = packed_bytes(view, first?)?;
    let mut text = match (class, &packed[..]) {
        ("date", [high, low, month, day]) => date(*high, *low, *month, *day),
        ("datetime", [high, low, month, day, clock @ ..]) if clock.len() == 6 => {
            // The high bit of the month is `fold`.
            format!("{}T{}", date(*high, *low, *month & 0x7f, *day), clock_time(clock))
        }
        ("time", [hour, clock @ ..]) if clock.len() == 5 => {
            // The high bit of the hour is `fold`.
            clock_time(&[&[*hour & 0x7f], clock].concat())
        }
        _ => return None,
    };
    if let Some(zone) = second.and_then(|zone| zone_suffix(view, zone)) {
        text.push_str(&zone);
    }
    Some(text)
}

/// Returns the packed bytes of a date or time. Python 2 writes them as a byte string.
fn packed_bytes(view: PickleView<'_>, id: NodeId) -> Option<Vec<u8>> {
    match view.node(id) {
        Node::Text(span) => Some(view.prefix(span, 16).as_bytes().to_vec()),
        Node::Object(_) | Node::Bytes(_) | Node::Latin1(_) => bytes(view, Some(id), 32),
        _ => None,
    }
}

fn date(high: u8, low: u8, month: u8, day: u8) -> String {
    format!("{:04}-{month:02}-{day:02}", u16::from_be_bytes([high, low]))
}

fn clock_time(packed: &[u8]) -> String {
    let [hour, minute, second, microseconds @ ..] = packed else { return String::new() };
    let microseconds = microseconds.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
    let mut text = format!("{hour:02}:{minute:02}:{second:02}");
    if microseconds != 0 {
        let _ = write!(text, ".{microseconds:06}"); // writing to a String cannot fail
    }
    text
}

/// Returns an offset such as `+02:00`, or a name in brackets for a zone whose offset is only in its
/// database.
fn zone_suffix(view: PickleView<'_>, id: NodeId) -> Option<String> {
    let Node::Object(number) = view.node(id) else { return None };
    let object = view.object(number);
    let [first, second, ..] = CallArguments::new(view, object).first;
    match class_of(view, object.class) {
        Some(("datetime", "timezone")) => offset(view, first?),
        Some(("pytz", "_UTC") | ("dateutil.tz.tz", "tzutc")) => Some(offset_text(0)),
        Some(("pytz", "_p")) if second.is_some() => integer(view, second?).map(offset_text),
        _ => first.and_then(|name| view.name(name)).map(|name| format!("[{name}]")),
    }
}

fn offset(view: PickleView<'_>, span: NodeId) -> Option<String> {
    let Node::Object(number) = view.node(span) else { return None };
    let [days, seconds, ..] = CallArguments::new(view, view.object(number)).first;
    let seconds = integer(view, seconds?)?.checked_add(integer(view, days?)?.checked_mul(86_400)?)?;
    Some(offset_text(seconds))
}

fn offset_text(seconds: i64) -> String {
    let (sign, size) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
    let mut text = format!("{sign}{:02}:{:02}", size / 3600, size / 60 % 60);
    if size % 60 != 0 {
        let _ = write!(text, ":{:02}", size % 60); // writing to a String cannot fail
    }
    text
}

fn time_span(view: PickleView<'_>, arguments: [Option<NodeId>; 4]) -> Option<String> {
    let number = |argument: Option<NodeId>| argument.map_or(Some(0), |argument| integer(view, argument));
    let [days, seconds, microseconds, _] = arguments;
    let (days, seconds, microseconds) = (number(days)?, number(seconds)?, number(microseconds)?);
    let mut text = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        _ => format!("{days} days, "),
    };
    let _ = write!(text, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if microseconds != 0 {
        let _ = write!(text, ".{microseconds:06}"); // writing to a String cannot fail
    }
    Some(text)
}
