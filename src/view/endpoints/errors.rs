//! `GET /api/v1/errors?q=&since=&until=&limit=50&seconds=`: the errors, grouped by kind.
//!
//! Records with an exception, or of the severity ERROR and above, are grouped by service, type of
//! the exception and place in the code; the most frequent groups come first. A group is shown with
//! its newest record.

use std::cmp::Reverse;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde_json::{Value, json};

use crate::limits::{ERROR_BUCKETS_MAX, ERROR_GROUPS_MAX, ERROR_MESSAGE_BYTES_MAX};
use crate::query::{Field, Query};
use crate::record::{Column, ColumnSet, RecordId, RecordRef, time};
use crate::store::scan::Fold;
use crate::view::search::count::CountMemory;
use crate::view::search::parameters::Parameters;
use crate::view::search::timeline::{Timeline, timeline_of};
use crate::view::{ApiRequest, ApiResult, View};

/// The default number of groups in a response.
const LIMIT_DEFAULT: u64 = 50;

/// The query that defines an error.
const ERRORS: &str = "exception.type:* OR severity_number>=17";

const TYPE: &str = "exception.type";

impl View {
    /// Responds with the errors among the matching records.
    pub async fn errors(&self, ask: ApiRequest<'_>) -> ApiResult {
        let mut parameters = Parameters::parse(ask.query);
        let mut search = parameters.search()?;
        let limit = parameters.number("limit")?.unwrap_or(LIMIT_DEFAULT);
        let seconds = parameters.number("seconds")?;
        parameters.end()?;
        if let Ok(errors) = Query::parse(ERRORS, time::now()) {
            search.query = search.query.and(errors);
        }
        search.fields =
            SHOWN.into_iter().map(ColumnSet::of_column).fold(ColumnSet::ATTRIBUTES, ColumnSet::and);
        let mut counting = self.counting(ask, search, seconds).await?;
        let timeline = timeline_of(&mut counting.scan, ERROR_BUCKETS_MAX).await?;
        let groups = counting.scan.fold(Groups::new(timeline)).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_partial = !counting.scan.is_done();
        Ok(counting.respond(&groups.shown(limit, is_partial)))
    }
}

const SHOWN: [Column; 7] = [
    Column::Message,
    Column::Severity,
    Column::Service,
    Column::Logger,
    Column::File,
    Column::Line,
    Column::Function,
];

/// What the errors of a group have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    service: Box<str>,
    exception: Box<str>,
    file: Box<str>,
    function: Box<str>,
    line: u32,
}

/// The data of a group.
struct Group {
    /// The message of the newest record.
    message: Box<str>,
    severity: Box<str>,
    logger: Box<str>,
    last_id: RecordId,
    count: u64,
    first_seen: i64,
    last_seen: i64,
    counts: Box<[u64]>,
}

struct Groups {
    exception: Field,
    timeline: Timeline,
    groups: HashMap<Key, Group, RandomState>,
    room: CountMemory,
    is_capped: bool,
}

impl Groups {
    fn new(timeline: Timeline) -> Groups {
        let exception = Field::Attribute(TYPE.to_owned());
        Groups {
            exception,
            timeline,
            groups: HashMap::default(),
            room: CountMemory::default(),
            is_capped: false,
        }
    }

    /// Returns a new group for its first record; `None` if there is no room.
    fn begin(&mut self, key: &Key, id: RecordId, record: &RecordRef<'_>) -> Option<Group> {
        let message = beginning(record.message);
        let texts = [
            &*key.service,
            &key.exception,
            &key.file,
            &key.function,
            record.severity(),
            record.origin.logger,
        ];
        let bytes =
            texts.iter().map(|text| text.len()).sum::<usize>() + message.len() + 8 * self.timeline.buckets;
        if self.groups.len() >= ERROR_GROUPS_MAX || !self.room.take(bytes + size_of::<(Key, Group)>()) {
            return None;
        }
        Some(Group {
            message: message.into(),
            severity: record.severity().into(),
            logger: record.origin.logger.into(),
            last_id: id,
            count: 0,
            first_seen: record.timestamp,
            last_seen: record.timestamp,
            counts: self.timeline.counts(),
        })
    }

    fn shown(self, limit: usize, is_partial: bool) -> Value {
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        groups.sort_unstable_by_key(|(_, group)| (Reverse(group.count), Reverse(group.last_id)));
        json!({
            "errors": groups.iter().take(limit).map(|(key, group)| shown(key, group)).collect::<Vec<_>>(),
            "errors_capped": self.is_capped,
            "since": self.timeline.since(),
            "until": self.timeline.until(),
            "step_seconds": self.timeline.step_seconds(),
            "partial": is_partial,
        })
    }
}

impl Fold for Groups {
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) {
        let exception = self.exception.value(id, record);
        let key = Key {
            service: record.origin.service.into(),
            exception: exception.map_or("".into(), |value| value.text.into()),
            file: record.origin.file.into(),
            function: record.origin.function.into(),
            line: record.origin.line,
        };
        if !self.groups.contains_key(&key) {
            match self.begin(&key, id, record) {
                Some(group) => drop(self.groups.insert(key.clone(), group)),
                None => self.is_capped = true,
            }
        }
        let Some(group) = self.groups.get_mut(&key) else { return };
        group.count += 1;
        group.first_seen = group.first_seen.min(record.timestamp);
        group.last_seen = group.last_seen.max(record.timestamp);
        if let Some(bucket) = self.timeline.bucket(record.timestamp) {
            group.counts[bucket] += 1;
        }
    }
}

fn shown(key: &Key, group: &Group) -> Value {
    json!({
        "type": key.exception,
        "message": group.message,
        "service": key.service,
        "logger": group.logger,
        "file": key.file,
        "line": key.line,
        "function": key.function,
        "severity": group.severity,
        "count": group.count,
        "first_seen": time::format(group.first_seen),
        "last_seen": time::format(group.last_seen),
        "last_id": group.last_id,
        "sparkline": group.counts,
    })
}

/// Returns the part of a message that is shown.
fn beginning(message: &str) -> &str {
    &message[..message.floor_char_boundary(ERROR_MESSAGE_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Groups {
        Groups::new(Timeline::new(0, 24 * 60 * time::SECOND - 1, ERROR_BUCKETS_MAX))
    }

    #[test]
    fn errors_of_one_place_form_group_with_newest_record() {
        let mut groups = groups();
        let mut record = RecordRef { attributes: r#"{"exception.type":"KeyError"}"#, ..RecordRef::default() };
        record.origin.service = "billing";
        for (id, message) in [(9, "newest"), (8, "older")] {
            groups.take(id, &RecordRef { timestamp: id as i64 * 60 * time::SECOND, message, ..record });
        }
        record.origin.line = 17;
        groups.take(7, &record);
        let answer = groups.shown(10, false);
        let first = &answer["errors"][0];
        let seen = |name: &str| first[name].as_str().unwrap();
        assert_eq!((&first["count"], &first["last_id"], seen("message")), (&json!(2), &json!(9), "newest"));
        assert_eq!((seen("type"), seen("first_seen")), ("KeyError", "1970-01-01T00:08:00.000000000Z"));
        assert_eq!((&first["sparkline"][8], &first["sparkline"][9]), (&json!(1), &json!(1)));
        assert_eq!((&answer["errors"][1]["line"], &answer["errors"][2]), (&json!(17), &Value::Null));
    }

    #[test]
    fn many_errors_take_bounded_memory() {
        let (mut groups, message) = (groups(), "\u{e4}".repeat(100_000));
        for line in 1..=ERROR_GROUPS_MAX as u32 + 1 {
            let mut record = RecordRef { message: &message, ..RecordRef::default() };
            record.origin.line = line;
            groups.take(line.into(), &record);
        }
        let answer = groups.shown(usize::MAX, false);
        assert_eq!(answer["errors"].as_array().unwrap().len(), ERROR_GROUPS_MAX);
        assert_eq!(answer["errors_capped"], true);
        assert_eq!(answer["errors"][0]["message"].as_str().unwrap().len(), ERROR_MESSAGE_BYTES_MAX);
    }
}
