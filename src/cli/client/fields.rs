//! Selection of the fields of a record that are shown, and records of these fields as CSV and JSON.

use std::io;

use super::record::{JsonRecord, RecordValue, json_object};
use crate::failure::Failure;
use crate::query::Field;
use crate::record::{Column, csv};

/// The name of the column that contains all attributes as JSON.
const ATTRIBUTES: &str = "attributes";

/// Fields, with the names under which they were requested.
pub(crate) struct FieldSelection {
    fields: Vec<(String, Field)>,
}

impl FieldSelection {
    /// Selects the columns of every database, and all attributes.
    pub(crate) fn all() -> FieldSelection {
        let names = Column::ALL.map(Column::name).join(",");
        FieldSelection::listed(&format!("{names},{ATTRIBUTES}"))
    }

    /// Parses `time,level,user_id`: names as in queries, and `attributes`.
    pub(crate) fn parse(list: &str) -> Result<FieldSelection, Failure> {
        let selection = FieldSelection::listed(list);
        let wrong = |why: &str| invalid_names("--fields", why, "time,level,user_id");
        if selection.fields.len() != list.split(',').count() {
            return Err(wrong("a name between the commas is empty"));
        }
        let names: Vec<_> = selection.names().collect();
        match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            Some((_, name)) => Err(wrong(&format!("`{name}` is listed twice"))),
            None => Ok(selection),
        }
    }

    fn listed(list: &str) -> FieldSelection {
        let fields = list.split(',').map(str::trim);
        let fields = fields.filter_map(|name| Some((name.to_owned(), Field::of_name(name)?)));
        FieldSelection { fields: fields.collect() }
    }

    /// Returns the names, as they were written.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the field at this index.
    pub(crate) fn field(&self, at: usize) -> Option<&Field> {
        self.fields.get(at).map(|(_, field)| field)
    }

    /// Returns the fields of a record, each with its name.
    pub(crate) fn values<'a>(
        &self,
        record: &'a JsonRecord<'_>,
    ) -> impl Iterator<Item = (&str, Option<RecordValue<'a>>)> {
        self.fields.iter().map(|(name, field)| {
            let value = match field {
                Field::Attribute(own) if own == ATTRIBUTES => Some(record.attributes.as_json())
                    .filter(|json| !json.is_empty())
                    .map(|json| RecordValue::Json(json.into())),
                field => record.value(field),
            };
            (name.as_str(), value)
        })
    }

    /// Writes the names as a row of CSV.
    pub(crate) fn write_csv_heading(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut row = csv::CsvRow::new(out);
        for name in self.names() {
            row.text(name)?;
        }
        row.end()
    }

    /// Writes a record as a row of CSV; fields that the record does not have are empty.
    pub(crate) fn write_csv(&self, record: &JsonRecord<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        let mut row = csv::CsvRow::new(out);
        for (_, value) in self.values(record) {
            match value {
                Some(RecordValue::Text(text)) => row.text(&text)?,
                Some(RecordValue::Json(json)) => row.raw(&json)?,
                None => row.raw("")?,
            }
        }
        row.end()
    }

    /// Returns the record as a JSON object; fields that the record does not have are omitted.
    pub(crate) fn as_json(&self, record: &JsonRecord<'_>) -> String {
        json_object(self.values(record).filter_map(|(name, value)| match value? {
            RecordValue::Text(text) => Some((name, serde_json::Value::from(text).to_string())),
            RecordValue::Json(json) => Some((name, json.into_owned())),
        }))
    }
}

/// Returns the failure for the value of a flag that takes names of fields.
pub(crate) fn invalid_names(flag: &str, why: &str, example: &str) -> Failure {
    Failure::usage(format!("bad value for {flag}"))
        .because(why)
        .hint(format!("it takes names of columns and attributes, as in {flag} {example}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::record::FULL;

    fn csv(selection: &FieldSelection, lines: &[&str]) -> String {
        let mut out = Vec::new();
        selection.write_csv_heading(&mut out).unwrap();
        for line in lines {
            selection.write_csv(&serde_json::from_str(line).unwrap(), &mut out).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn record_is_written_as_csv() {
        let text = csv(&FieldSelection::all(), &[FULL, r#"{"id":8,"message":"=HYPERLINK(1)"}"#]);
        let rows: Vec<_> = text.split("\r\n").collect();
        assert_eq!(
            rows[0],
            "id,time,severity_number,severity,service,logger,host,message,trace_id,span_id,event_name,file,line,\
             function,process_id,thread,attributes"
        );
        assert!(
            rows[1].starts_with("7,2026-11-21T10:00:00.123456789Z,17,ERROR,billing,app.views,web-1,\"card"),
            "{text}"
        );
        assert!(rows[1].contains(",/srv/app/views.py,17,pay,4321,MainThread,\"{\"\"z\"\":1,"), "{text}");
        assert_eq!(rows[2], "8,,,,,,,'=HYPERLINK(1),,,,,,,,,");
    }

    #[test]
    fn requested_fields_are_written_in_their_order() {
        let selection = FieldSelection::parse("level, z,nothing,plain,attributes.ok").unwrap();
        let line = FULL;
        assert_eq!(csv(&selection, &[line]), "level,z,nothing,plain,attributes.ok\r\nERROR,1,,x,true\r\n");
        let json = selection.as_json(&serde_json::from_str(line).unwrap());
        assert_eq!(json, r#"{"level":"ERROR","z":1,"plain":"x","attributes.ok":true}"#);
    }

    #[test]
    fn invalid_lists_are_rejected() {
        for (list, why) in [("", "empty"), ("a,,b", "empty"), ("time,a,a", "`a` is listed twice")] {
            let failure = FieldSelection::parse(list).err().unwrap().to_string();
            assert!(
                failure.starts_with("error: bad value for --fields: ") && failure.contains(why),
                "{failure}"
            );
        }
    }
}
