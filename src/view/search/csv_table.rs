//! Records as CSV: RFC 4180, with a header row, and safe to open in a spreadsheet.

use crate::query::{Field, FieldValue, JsonKind};

use crate::limits::CSV_FIELDS_MAX;
use crate::record::{Column, ColumnSet, RecordId, RecordRef, csv};
use crate::view::{Refusal, bad};

/// The columns of a table.
pub(in crate::view) struct CsvTable {
    /// Names and fields; `None` stands for all attributes, as JSON.
    columns: Vec<(String, Option<Field>)>,
}

/// The name of the column that contains all attributes.
const ATTRIBUTES: &str = "attributes";

impl CsvTable {
    /// Creates a table of these fields, or of all columns and the attributes as JSON.
    pub(in crate::view) fn new(fields: Option<Vec<(String, Field)>>) -> Result<CsvTable, Refusal> {
        let shown = |(name, field)| if name == ATTRIBUTES { (name, None) } else { (name, Some(field)) };
        let columns: Vec<_> = match fields {
            Some(fields) => fields.into_iter().map(shown).collect(),
            None => {
                let column = |column: Column| (column.name().to_owned(), Some(Field::Column(column)));
                Column::ALL.into_iter().map(column).chain([(ATTRIBUTES.to_owned(), None)]).collect()
            }
        };
        if columns.len() > CSV_FIELDS_MAX {
            let detail = format!("`fields` names {} fields", columns.len());
            return Err(bad(&detail, &format!("a table has at most {CSV_FIELDS_MAX}")));
        }
        Ok(CsvTable { columns })
    }

    /// Returns the columns of a record that the table needs.
    pub(in crate::view) fn fields(&self) -> ColumnSet {
        let fields = self.columns.iter().map(|(_, field)| field.as_ref());
        let needed = fields.map(|field| field.map_or(ColumnSet::ATTRIBUTES, Field::column_set));
        needed.fold(ColumnSet::NONE, ColumnSet::and)
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
        for (_, field) in &self.columns {
            let _ = match field {
                None => row.raw(record.attributes),
                Some(field) => match field.value(id, record) {
                    None => row.raw(""),
                    Some(FieldValue { kind: JsonKind::String, text }) => row.text(&text),
                    Some(FieldValue { text, .. }) => row.raw(&text), // numbers, and JSON
                },
            };
        }
        let _ = row.end();
    }
}
