//! Identifies the sender of an object by its members, where the sender determines what a name or a
//! number means.

use super::member::JsonMember;
use super::names::{SeenNames, line_of};
use crate::record::{json, severity};

/// A sender that must be known to interpret its names or numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonSender {
    /// This program: a record as [`crate::record::json`] writes it.
    Own,
    /// loguru with `serialize=True`: `{"text": .., "record": {..}}`.
    Loguru,
    /// Graylog's format: `version` and `short_message`, further names with an underscore.
    Gelf,
    /// Anything that formats Python's `LogRecord`.
    Python,
    /// pino or bunyan: `pid` and `hostname`, or a time in ms.
    Pino,
    /// Anything else.
    Other,
}

impl JsonSender {
    /// Returns the sender of an object. `members` are those of the object itself, `seen` their
    /// known names.
    pub(super) fn of(members: &[JsonMember<'_>], seen: SeenNames) -> JsonSender {
        if seen.has(const { line_of("id") }) && is_own(members) {
            JsonSender::Own
        } else if seen.has(const { line_of("record") }) && is_loguru(members) {
            JsonSender::Loguru
        } else if seen.has(const { line_of("short_message") }) && seen.has(const { line_of("version") }) {
            JsonSender::Gelf
        } else if seen.has(const { line_of("levelname") }) || seen.has(const { line_of("levelno") }) {
            JsonSender::Python
        } else if seen.has(const { line_of("pid") }) && seen.has(const { line_of("hostname") })
            || seen.has(const { line_of("time") }) && has_time_in_ms(members)
        {
            JsonSender::Pino
        } else {
            JsonSender::Other
        }
    }

    /// Returns the severity number of a numeric `level`, or `None` if its scale is unknown.
    pub(super) fn severity_of_level(self, level: i64) -> Option<u8> {
        match self {
            JsonSender::Gelf => Some(severity::from_syslog(level)),
            JsonSender::Python | JsonSender::Loguru => Some(severity::from_python(level)),
            JsonSender::Pino => Some(severity::from_pino(level)),
            JsonSender::Own | JsonSender::Other => None,
        }
    }

    /// Returns true if a numeric `level` can be restored from its severity number.
    pub(super) fn is_standard_level(self, level: i64) -> bool {
        match self {
            JsonSender::Gelf => (0..=7).contains(&level),
            JsonSender::Python | JsonSender::Loguru => matches!(level, 10 | 20 | 30 | 40 | 50),
            JsonSender::Pino => matches!(level, 10 | 20 | 30 | 40 | 50 | 60),
            JsonSender::Own | JsonSender::Other => false,
        }
    }

    /// Returns true if a member only repeats or labels what the record contains anyway.
    pub(super) fn is_redundant(self, member: &JsonMember<'_>) -> bool {
        let name = &*member.name;
        match (self, member.prefix) {
            _ if member.in_attributes => false,
            (JsonSender::Own, "") => name == "id",
            (JsonSender::Gelf, "") => matches!(name, "version" | "_id"),
            (JsonSender::Pino, "") => name == "v",
            (JsonSender::Loguru, "") => matches!(name, "elapsed" | "module" | "repr"),
            (JsonSender::Loguru, "level.") => name == "icon",
            (JsonSender::Loguru, "code.file.") => name == "name",
            (JsonSender::Loguru, "exception.") => name == "traceback",
            (JsonSender::Loguru, "process.") => name == "name" && member.value == "\"MainProcess\"",
            _ => false,
        }
    }
}

/// Returns true if all members have names of this program, beginning with `id` and a time with nine
/// digits.
fn is_own(members: &[JsonMember<'_>]) -> bool {
    const TIME_LENGTH: usize = r#""2026-11-21T10:00:00.123456789Z""#.len();
    let [id, timestamp, ..] = members else { return false };
    id.name == "id"
        && timestamp.name == "timestamp"
        && timestamp.value.len() == TIME_LENGTH
        && members.iter().all(|member| json::MEMBERS.contains(&&*member.name))
}

fn is_loguru(members: &[JsonMember<'_>]) -> bool {
    let has = |name: &str, first: char| {
        members.iter().any(|member| member.name == name && member.value.starts_with(first))
    };
    members.len() == 2 && has("text", '"') && has("record", '{')
}

fn has_time_in_ms(members: &[JsonMember<'_>]) -> bool {
    let time = members.iter().find(|member| member.name == "time");
    let number = time.and_then(|time| time.value.parse::<f64>().ok());
    number.is_some_and(|number| (1e11..1e14).contains(&number))
}
