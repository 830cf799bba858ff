//! Aligned tables of text.

use std::io::{self, Write};

use super::output::Output;
use super::paint::Style;
use super::text;

/// A column is padded to at most this many characters; what is longer pushes its own row only.
const COLUMN_CHARACTERS_MAX: usize = 60;

/// A table with a heading. Columns in which every cell is a number are aligned to the right.
pub(super) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

struct Cell {
    text: String,
    is_number: bool,
}

impl Table {
    /// A table of these columns, without rows.
    pub(super) fn new(columns: impl IntoIterator<Item = impl Into<String>>) -> Table {
        let columns = columns.into_iter().map(|name| text::one_line(&name.into()).into_owned()).collect();
        Table { columns, rows: Vec::new() }
    }

    /// Adds a row of texts.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.cells(cells.into_iter().map(|text| (text, false)));
    }

    /// Adds a row of texts, each with whether it is a number.
    pub(super) fn cells(&mut self, cells: impl IntoIterator<Item = (String, bool)>) {
        let cell =
            |(text, is_number): (String, bool)| Cell { text: text::one_line(&text).into_owned(), is_number };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// Writes heading and rows.
    pub(super) fn write(&self, output: &mut Output) -> io::Result<()> {
        let layout: Vec<_> = (0..self.columns.len()).map(|column| self.layout(column)).collect();
        let (before, after) = output.paint.around(Style::Bold);
        output.write_all(before.as_bytes())?;
        line(output, self.columns.iter().map(String::as_str), &layout)?;
        output.write_all(after.as_bytes())?;
        writeln!(output)?;
        for row in &self.rows {
            line(output, row.iter().map(|cell| cell.text.as_str()), &layout)?;
            writeln!(output)?;
        }
        Ok(())
    }

    /// The width of a column, and whether it is aligned to the right.
    fn layout(&self, column: usize) -> (usize, bool) {
        let cells = || self.rows.iter().filter_map(|row| row.get(column));
        let widest = cells().map(|cell| width(&cell.text)).max().unwrap_or(0).min(COLUMN_CHARACTERS_MAX);
        let is_right =
            cells().any(|cell| cell.is_number) && cells().all(|cell| cell.is_number || cell.text.is_empty());
        (widest.max(width(&self.columns[column])), is_right)
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Writes one line; the last cell is not padded, so that no line ends with blanks.
fn line<'a>(
    output: &mut Output,
    cells: impl Iterator<Item = &'a str>,
    layout: &[(usize, bool)],
) -> io::Result<()> {
    let mut cells = cells.zip(layout).peekable();
    while let Some((text, &(width, is_right))) = cells.next() {
        match (is_right, cells.peek().is_some()) {
            (true, false) => write!(output, "{text:>width$}")?,
            (true, true) => write!(output, "{text:>width$}  ")?,
            (false, true) => write!(output, "{text:<width$}  ")?,
            (false, false) => write!(output, "{text}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::printed;
    use crate::cli::paint::Paint;

    #[test]
    fn one_long_cell_does_not_widen_every_row() {
        let mut table = Table::new(["message", "n"]);
        table.cells([("x".repeat(500), false), ("1".into(), true)]);
        table.cells([("short\x1b".into(), false), ("22".into(), true)]);
        let page = printed(false, Paint::Plain, |output| table.write(output).unwrap());
        let lines: Vec<_> = page.lines().collect();
        assert_eq!(lines[2], format!("{:<60}  22", "short\\x1b"));
        assert_eq!(lines[1], format!("{}   1", "x".repeat(500)));
    }
}
