//! `GET /api/v1/fields?q=&since=&until=&values=10&fields=&seconds=`: the fields of the matching
//! records, and their values.
//! `GET /api/v1/fields/{name}?q=&since=&until=&prefix=&limit=10&seconds=`: the values of one field.
//!
//! Records are read once, the newest first; the response is partial if there was no time for all of
//! them.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::limits::{COUNTED_FIELDS_MAX, COUNTED_LEVELS_MAX, LISTED_VALUES_MAX};
use crate::query::{self, Field, FieldValue, JsonKind};
use crate::record::{Column, ColumnSet, RecordId, RecordRef, severity};
use crate::store::scan::Fold;
use crate::view::search::count::{ByText, CountMemory, ValueCounts};
use crate::view::search::parameters::{Parameters, field};
use crate::view::{ApiRequest, ApiResult, View};

/// The default number of values of a field in a response.
const VALUES_DEFAULT: u64 = 10;

impl View {
    /// Responds with the fields of the records that match.
    pub async fn fields(&self, ask: ApiRequest<'_>) -> ApiResult {
        let mut parameters = Parameters::parse(ask.query);
        let mut search = parameters.search()?;
        let values = parameters.number("values")?.unwrap_or(VALUES_DEFAULT).min(LISTED_VALUES_MAX);
        let wanted = parameters.fields("fields")?;
        let seconds = parameters.number("seconds")?;
        parameters.end()?;
        let survey = Survey::new(wanted);
        search.fields = survey.fields();
        let mut counting = self.counting(ask, search, seconds).await?;
        let survey = counting.scan.fold(survey).await?;
        let is_partial = !counting.scan.is_done();
        Ok(counting.respond(&survey.shown(values, is_partial)))
    }

    /// Responds with the values of one field.
    pub async fn field(&self, ask: ApiRequest<'_>) -> ApiResult {
        let mut parameters = Parameters::parse(ask.query);
        let mut search = parameters.search()?;
        let prefix = parameters.text("prefix").unwrap_or_default().into_owned();
        let limit = parameters.number("limit")?.unwrap_or(VALUES_DEFAULT).min(LISTED_VALUES_MAX);
        let seconds = parameters.number("seconds")?;
        parameters.end()?;
        let field = field(ask.name)?;
        search.fields = field.column_set();
        let mut counting = self.counting(ask, search, seconds).await?;
        let values =
            Values { field, prefix, tally: ValueCounts::default(), room: CountMemory::default(), missing: 0 };
        let values = counting.scan.fold(values).await?;
        let answer = json!({
            "name": ask.name,
            "distinct": values.tally.distinct(),
            "distinct_capped": values.tally.is_capped,
            "values": values.tally.top(limit),
            "missing": values.missing,
            "partial": !counting.scan.is_done(),
        });
        Ok(counting.respond(&answer))
    }
}

/// Statistics of the fields of all records.
struct Survey {
    /// The columns that are counted.
    columns: Vec<Column>,
    /// The attributes that are counted; all of them if `None`.
    attributes: Option<Vec<(String, Field)>>,
    /// By the name that a query uses for the field.
    found: ByText<Seen>,
    room: CountMemory,
    /// The number of records read.
    records: u64,
    is_capped: bool,
}

/// Statistics of one field.
struct Seen {
    kind: &'static str,
    is_attribute: bool,
    count: u64,
    /// The number of the record that was counted last.
    last_record: u64,
    values: ValueCounts,
}

impl Survey {
    fn new(wanted: Option<Vec<(String, Field)>>) -> Survey {
        let (mut columns, mut attributes) = (Column::GROUPS.to_vec(), None);
        if let Some(wanted) = wanted {
            let named = |field: &(String, Field)| match field.1 {
                Field::Column(column) => Some(column),
                Field::Attribute(_) => None,
            };
            columns = wanted.iter().filter_map(named).collect();
            attributes = Some(wanted.into_iter().filter(|field| named(field).is_none()).collect());
        }
        let (found, room) = (ByText::default(), CountMemory::default());
        Survey { columns, attributes, found, room, records: 0, is_capped: false }
    }

    fn fields(&self) -> ColumnSet {
        let columns =
            self.columns.iter().copied().map(ColumnSet::of_column).fold(ColumnSet::NONE, ColumnSet::and);
        match &self.attributes {
            Some(attributes) if attributes.is_empty() => columns,
            _ => columns.and(ColumnSet::ATTRIBUTES),
        }
    }

    /// Counts a value of the current record. Returns false if the value was not counted.
    fn add(&mut self, name: &str, is_attribute: bool, value: &FieldValue<'_>) -> bool {
        if !self.found.contains_key(name) {
            if self.found.len() >= COUNTED_FIELDS_MAX || !self.room.take(name.len()) {
                self.is_capped = true;
                return false;
            }
            let kind = value.kind.name();
            let seen = Seen { kind, is_attribute, count: 0, last_record: 0, values: ValueCounts::default() };
            self.found.insert(name.into(), seen);
        }
        let Some(seen) = self.found.get_mut(name) else { return false };
        if std::mem::replace(&mut seen.last_record, self.records) == self.records {
            return false; // a name that occurs twice in a record is counted once
        }
        seen.count += 1;
        if seen.kind != value.kind.name() {
            seen.kind = match (seen.kind, value.kind) {
                ("null", kind) => kind.name(),
                (kind, JsonKind::Null) => kind,
                _ => "mixed",
            };
        }
        if !value.kind.is_nested() {
            seen.values.add(&value.text, &mut self.room);
        }
        true
    }

    /// Counts all attributes of a record, including nested ones, by the dotted path that a query
    /// uses for them. An attribute whose own name is that path takes precedence, so one level is
    /// read after the other.
    fn add_attributes(&mut self, attributes: &str) {
        let mut level = vec![(String::new(), attributes)];
        for _ in 0..COUNTED_LEVELS_MAX {
            let mut below = Vec::new();
            for (path, object) in level {
                for (name, value) in query::attributes(object) {
                    // Otherwise a query does not find nested members.
                    let leads_on = !name.contains('.');
                    let whole = if path.is_empty() { name } else { format!("{path}.{name}").into() };
                    let is_counted =
                        (path.is_empty() || leads_on) && self.add(&name_in_queries(&whole), true, &value);
                    if let (true, true, JsonKind::Object, Cow::Borrowed(object)) =
                        (is_counted, leads_on, value.kind, value.text)
                    {
                        below.push((whole.into_owned(), object));
                    }
                }
            }
            level = below;
        }
    }

    fn shown(self, values: u64, is_partial: bool) -> Value {
        let mut found: Vec<_> = self.found.into_iter().collect();
        let place = |name: &str| Column::GROUPS.iter().position(|column| column.name() == name);
        found.sort_unstable_by(|(one, ones), (other, others)| {
            let ones = (ones.is_attribute, place(one), std::cmp::Reverse(ones.count), one);
            ones.cmp(&(others.is_attribute, place(other), std::cmp::Reverse(others.count), other))
        });
        let shown = |(name, seen): (Box<str>, Seen)| {
            json!({
                "name": name,
                "kind": if seen.is_attribute { "attribute" } else { "field" },
                "type": seen.kind,
                "count": seen.count,
                "distinct": seen.values.distinct(),
                "distinct_capped": seen.values.is_capped,
                "values": seen.values.top(values),
            })
        };
        json!({
            "fields": found.into_iter().map(shown).collect::<Vec<_>>(),
            "fields_capped": self.is_capped,
            "scanned": self.records,
            "total_matches": if is_partial { Value::Null } else { self.records.into() },
            "partial": is_partial,
        })
    }
}

impl Fold for Survey {
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) {
        self.records += 1;
        for at in 0..self.columns.len() {
            let column = self.columns[at];
            if let Some(value) = value_of(&Field::Column(column), id, record) {
                self.add(column.name(), false, &value);
            }
        }
        let Some(attributes) = self.attributes.take() else {
            self.add_attributes(record.attributes);
            return;
        };
        for (name, field) in &attributes {
            if let Some(value) = field.value(id, record) {
                self.add(name, true, &value);
            }
        }
        self.attributes = Some(attributes);
    }
}

/// Returns the name of an attribute in a query: some attributes are named like columns.
fn name_in_queries(name: &str) -> Cow<'_, str> {
    match Field::of_name(name) {
        Some(Field::Attribute(own)) if own == name => name.into(),
        _ => format!("attributes.{name}").into(),
    }
}

/// Returns the value that a query for it must contain. Senders spell a severity in many ways, and
/// each spelling finds the whole range, so a severity is counted by its range.
fn value_of<'a>(field: &Field, id: RecordId, record: &RecordRef<'a>) -> Option<FieldValue<'a>> {
    let mut value = field.value(id, record)?;
    let range = severity::name_of_range(record.severity_number);
    if matches!(field, Field::Column(Column::Severity)) && !range.is_empty() {
        value.text = range.into();
    }
    Some(value)
}

/// Statistics of one field.
struct Values {
    field: Field,
    prefix: String,
    tally: ValueCounts,
    room: CountMemory,
    /// The number of records without the field.
    missing: u64,
}

impl Fold for Values {
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) {
        let Some(value) = value_of(&self.field, id, record) else {
            self.missing += 1;
            return;
        };
        let begins = |text: &str| {
            let start = text.as_bytes().get(..self.prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(self.prefix.as_bytes()))
        };
        if !value.kind.is_nested() && begins(&value.text) {
            self.tally.add(&value.text, &mut self.room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(records: &[RecordRef<'_>], wanted: Option<&str>) -> Value {
        let wanted = wanted.map(|names| format!("fields={names}"));
        let wanted = wanted.map(|names| Parameters::parse(&names).fields("fields").unwrap().unwrap());
        let mut survey = Survey::new(wanted);
        records.iter().for_each(|record| survey.take(1, record));
        survey.shown(2, false)
    }

    #[test]
    fn fields_have_query_name_type_and_values() {
        let mut records = [RecordRef::default(); 3];
        records[0].origin.service = "billing";
        records[0].severity_number = 9;
        records[0].attributes = r#"{"n":1,"name":"x","user":{"id":1},"n":2,"maybe":null}"#;
        records[1].attributes = r#"{"n":"2","maybe":true,"a.b":1}"#;
        let answer = survey(&records, None);
        let shown = |at: usize| {
            let field = &answer["fields"][at];
            (
                field["name"].as_str().unwrap(),
                field["kind"].as_str().unwrap(),
                field["type"].as_str().unwrap(),
            )
        };
        let names: Vec<_> = (0..answer["fields"].as_array().unwrap().len()).map(shown).collect();
        assert_eq!(
            names,
            [
                ("severity", "field", "string"),
                ("severity_number", "field", "number"),
                ("service", "field", "string"),
                ("maybe", "attribute", "boolean"),
                ("n", "attribute", "mixed"),
                ("a.b", "attribute", "number"),
                ("attributes.name", "attribute", "string"),
                ("user", "attribute", "object"),
                ("user.id", "attribute", "number"),
            ]
        );
        assert_eq!(answer["fields"][4]["count"], 2);
        assert_eq!(answer["fields"][4]["values"], json!([{"value": "2", "count": 2}]));
        assert_eq!(answer["fields"][7]["values"], json!([]));
        assert_eq!((&answer["scanned"], &answer["total_matches"]), (&json!(3), &json!(3)));
        let some = survey(&records, Some("service,user.id,absent"));
        let names: Vec<_> = some["fields"].as_array().unwrap().iter().map(|field| &field["name"]).collect();
        assert_eq!(names, ["service", "user.id"]);
    }

    #[test]
    fn nested_attributes_are_listed_by_path() {
        let record = RecordRef {
            attributes: r#"{"a":{"b":1},"a.b":2,"a":{"b":{"c":3},"d.e":4},"x.y":{"z":5},"list":[{"n":6}],"service":{"name":"s"}}"#,
            ..RecordRef::default()
        };
        let answer = survey(&[record], None);
        let names: Vec<_> = answer["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| field["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["a", "a.b", "attributes.service", "attributes.service.name", "list", "x.y"]);
        assert_eq!(answer["fields"][1]["values"], json!([{"value": "2", "count": 1}]));
        for field in answer["fields"].as_array().unwrap() {
            let found = Field::of_name(field["name"].as_str().unwrap()).unwrap().value(1, &record).unwrap();
            assert_eq!(field["type"], found.kind.name(), "{field}");
        }
        let depth = 2 * COUNTED_LEVELS_MAX;
        let deep = "{\"n\":".repeat(depth) + "1" + &"}".repeat(depth);
        let answer = survey(&[RecordRef { attributes: &deep, ..RecordRef::default() }], None);
        assert_eq!(answer["fields"].as_array().unwrap().len(), COUNTED_LEVELS_MAX);
    }

    #[test]
    fn severities_are_counted_by_query_range() {
        let mut records = [RecordRef::default(); 4];
        for (record, (number, text)) in
            records.iter_mut().zip([(13, "warning"), (14, "WARN"), (10, "notice"), (0, "odd")])
        {
            record.severity_number = number;
            record.origin.severity_text = text;
        }
        let mut survey = Survey::new(None);
        records.iter().for_each(|record| survey.take(1, record));
        let answer = survey.shown(5, false);
        assert_eq!(answer["fields"][0]["name"], "severity");
        assert_eq!(
            answer["fields"][0]["values"],
            json!([{"value": "WARN", "count": 2}, {"value": "INFO", "count": 1}, {"value": "odd", "count": 1}])
        );
    }

    #[test]
    fn many_fields_and_values_take_bounded_memory() {
        let attributes: Vec<_> = (0..5)
            .map(|part| (0..500).map(|n| format!("\"key_{part}_{n}\":{n}")).collect::<Vec<_>>().join(","))
            .collect();
        let attributes: Vec<_> = attributes.iter().map(|members| format!("{{{members}}}")).collect();
        let records: Vec<_> =
            attributes.iter().map(|attributes| RecordRef { attributes, ..RecordRef::default() }).collect();
        let answer = survey(&records, None);
        assert_eq!(answer["fields"].as_array().unwrap().len(), COUNTED_FIELDS_MAX);
        assert_eq!(answer["fields_capped"], true);
    }
}
