//! Records as CSV: RFC 4180, with a header row, and safe to open in a spreadsheet.

use crate::query::{Field, FieldValue, JsonKind};

use crate::limits::CSV_FIELDS_MAX;
use crate::record::{Column, ColumnSet, RecordId, RecordRef, csv};
use crate::view::{Refusal, bad};

/// The columns of a table.
pub(in crate::view) struct CsvTable {
    columns: Vec<(String, Shown)>,
}

enum Shown {
    Field(Field),
    /// All attributes, as JSON.
    Attributes,
}

/// The name of the column that contains all attributes.
const ATTRIBUTES: &str = "attributes";

impl CsvTable {
    /// Creates a table of these fields, or of all columns and the attributes as JSON.
    pub(in crate::view) fn new(fields: Option<Vec<(String, Field)>>) -> Result<CsvTable, Refusal> {
        let shown = |(name, field): (String, Field)| match &*name {
            ATTRIBUTES => (name, Shown::Attributes),
            _ => (name, Shown::Field(field)),
        };
        let fields = match fields {
            Some(fields) => fields,
            None => {
                let attributes = (ATTRIBUTES.to_owned(), Field::Attribute(String::new()));
                let column = |column: Column| (column.name().to_owned(), Field::Column(column));
                Column::ALL.into_iter().map(column).chain([attributes]).collect()
            }
        };
        if fields.len() > CSV_FIELDS_MAX {
            let detail = format!("`fields` names {} fields", fields.len());
            return Err(bad(&detail, &format!("a table has at most {CSV_FIELDS_MAX}")));
        }
        Ok(CsvTable { columns: fields.into_iter().map(shown).collect() })
    }

    /// Returns the columns of a record that the table needs.
    pub(in crate::view) fn fields(&self) -> ColumnSet {
        let needed = |(_, shown): &(String, Shown)| match shown {
            Shown::Field(field) => field.column_set(),
            Shown::Attributes => ColumnSet::ATTRIBUTES,
        };
        self.columns.iter().map(needed).fold(ColumnSet::NONE, ColumnSet::and)
    }

    /// Appends the names of the columns.
    pub(in crate::view) fn heading(&self, out: &mut Vec<u8>) {
        let mut row = csv::CsvRow::new(out);
        for (name, _) in &self.columns {
            let _ = row.text(name); // writing to a Vec cannot fail
        }
        let _ = row.end();
    }

    /// Appends a record.
    pub(in crate::view) fn row(&self, id: RecordId, record: &RecordRef<'_>, out: &mut Vec<u8>) {
        let mut row = csv::CsvRow::new(out);
        for (_, shown) in &self.columns {
            let _ = match shown {
                Shown::Attributes => row.raw(record.attributes),
                Shown::Field(field) => match field.value(id, record) {
                    None => row.raw(""),
                    Some(FieldValue { kind: JsonKind::String, text }) => row.text(&text),
                    Some(FieldValue { text, .. }) => row.raw(&text), // numbers, and JSON
                },
            };
        }
        let _ = row.end();
    }
}
