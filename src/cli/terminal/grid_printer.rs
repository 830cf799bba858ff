//! Records as a table of the requested fields.

use std::borrow::Cow;

use super::output::Output;
use super::paint::{self, Style};
use super::record_text::short_time;
use super::screen::Screen;
use super::text;
use super::wrap::LineWrapper;
use crate::cli::client::{FieldSelection, JsonRecord, RecordValue};
use crate::failure::Failure;
use crate::query::Field;
use crate::record::Column;

/// A column grows with its content up to this many cells. In a pipe, a longer value shifts only its
/// own line.
const COLUMN_CELLS_MAX: usize = 24;

/// Continuation lines of the last column are indented to that column if this leaves at least this
/// many cells.
const LAST_CELLS_MIN: usize = 30;

/// Prints one line per record, with its fields in columns.
pub(crate) struct GridPrinter {
    selection: FieldSelection,
    /// The terminal whose width the lines must fit.
    screen: Option<Screen>,
    /// Whether nothing is cut.
    full: bool,
    widths: Vec<usize>,
}

impl GridPrinter {
    /// Returns a grid of these fields.
    pub(crate) fn new(selection: FieldSelection, screen: Option<Screen>, full: bool) -> GridPrinter {
        // Names are shown on terminals only: a program that reads a pipe expects values alone.
        let widths = selection.names().map(|name| if screen.is_some() { text::cells(name) } else { 1 });
        GridPrinter { widths: widths.collect(), selection, screen, full }
    }

    /// Determines from the first records how wide columns must be.
    pub(crate) fn measure(&mut self, records: &[JsonRecord<'_>]) {
        records.iter().for_each(|record| self.widen(&self.cells(record)));
    }

    /// Writes the names of the fields, on a terminal only.
    pub(crate) fn begin(&self, output: &mut Output) -> Result<(), Failure> {
        let Some(screen) = self.screen else { return Ok(()) };
        let names = self.selection.names().map(|name| (text::one_line(name), Style::Bold)).collect();
        self.write_line(names, screen, output)
    }

    /// Writes a record.
    pub(crate) fn write(&mut self, record: &JsonRecord<'_>, output: &mut Output) -> Result<(), Failure> {
        let cells = self.cells(record);
        self.widen(&cells);
        match self.screen {
            Some(screen) => {
                let style = |(at, cell)| (cell, self.style(at, record));
                self.write_line(cells.into_iter().enumerate().map(style).collect(), screen, output)
            }
            None => self.write_plain(&cells, output),
        }
    }

    fn style(&self, column: usize, record: &JsonRecord<'_>) -> Style {
        match self.selection.field(column) {
            Some(Field::Column(Column::Severity)) => paint::of_severity(record.severity_number),
            Some(Field::Column(Column::Time)) => Style::Dim,
            Some(Field::Column(Column::Service)) => Style::Cyan,
            _ => Style::Normal,
        }
    }

    fn cells<'a>(&self, record: &'a JsonRecord<'_>) -> Vec<Cow<'a, str>> {
        let cell = |(at, (_, value))| match value {
            Some(RecordValue::Text(time))
                if self.selection.field(at) == Some(&Field::Column(Column::Time)) =>
            {
                short_time(&time).into_owned().into()
            }
            Some(RecordValue::Text(text)) => text::one_line(&text).into_owned().into(),
            Some(RecordValue::Json(json)) => text::json(&json).into_owned().into(),
            None => Cow::Borrowed("-"),
        };
        self.selection.values(record).enumerate().map(cell).collect()
    }

    fn widen(&mut self, cells: &[Cow<'_, str>]) {
        let cells_max = match self.screen {
            _ if self.full => usize::MAX,
            Some(screen) => (screen.columns / self.widths.len().max(1)).max(COLUMN_CELLS_MAX),
            None => COLUMN_CELLS_MAX,
        };
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(text::cells(cell).min(cells_max));
        }
    }

    fn write_plain(&self, cells: &[Cow<'_, str>], output: &mut Output) -> Result<(), Failure> {
        let (last, others) = cells.split_last().map_or(("", cells), |(last, others)| (last.as_ref(), others));
        for (cell, width) in others.iter().zip(&self.widths) {
            let padding = width.saturating_sub(text::cells(cell));
            write!(output, "{cell}{:padding$}  ", "")?;
        }
        writeln!(output, "{last}")
    }

    /// Cuts all cells but the last to the widths of their columns, and wraps the last cell.
    fn write_line(
        &self,
        cells: Vec<(Cow<'_, str>, Style)>,
        screen: Screen,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let count = cells.len().saturating_sub(1);
        let last_column: usize = self.widths.iter().take(count).map(|width| width + 2).sum();
        let indent = if last_column + LAST_CELLS_MIN <= screen.columns { last_column } else { 4 };
        let mut wrapper = LineWrapper::new(output.paint, screen.columns, indent);
        for (at, (cell, style)) in cells.iter().enumerate() {
            if at == count {
                wrapper.text(*style, cell);
            } else {
                let width = self.widths[at];
                wrapper.column(*style, &text::beginning(cell, width, screen.is_unicode), width + 1);
            }
        }
        wrapper.finish().iter().try_for_each(|line| writeln!(output, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::record::FULL;
    use crate::cli::terminal::{output::printed_on, paint::Paint, record_text::EVIL};

    fn show(fields: &str, screen: Option<Screen>, lines: &[&str]) -> String {
        printed_on(screen, Paint::Plain, |output| {
            let records: Vec<JsonRecord<'_>> =
                lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            let mut grid = GridPrinter::new(FieldSelection::parse(fields).unwrap(), screen, false);
            if screen.is_some() {
                grid.measure(&records);
            }
            grid.begin(output).unwrap();
            records.iter().for_each(|record| grid.write(record, output).unwrap());
        })
    }

    #[test]
    fn pipe_gets_one_line_per_record() {
        let text = show("id,level,message,z", None, &[FULL, r#"{"id":12,"message":"m"}"#]);
        let expected =
            "7  ERROR  card \"4\" refused\\nsecond line  1\n12  -      m                         -\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn terminal_gets_names_and_lines_of_its_width() {
        let screen = Screen { columns: 60, rows: 24, is_unicode: true };
        let long = format!(r#"{{"id":12,"service":"{0}","message":"{0}"}}"#, "long words ".repeat(10));
        let expected = "\
id  service                   message
7   billing                   card \"4\" refused\\nsecond line
12  long words long words l\u{2026}  long words long words long
                              words long words long words
                              long words long words long
                              words long words long words
";
        assert_eq!(show("id,service,message", Some(screen), &[FULL, &long]), expected);
        let text = show("severity,b,time,message,a\u{1b}", Some(screen), &[EVIL]);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
}
