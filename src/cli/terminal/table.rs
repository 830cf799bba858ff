//! Aligned tables of text.

use super::output::Output;
use super::paint::Style;
use super::text;
use crate::failure::Failure;

/// A column is padded to at most this many characters; a longer cell shifts only its own row.
const COLUMN_CHARACTERS_MAX: usize = 60;

/// A table with a heading. Columns in which every cell is a number are aligned to the right.
pub(crate) struct TextTable {
    columns: Vec<String>,
    rows: Vec<TableRow>,
}

struct TableRow {
    /// The style of the first cell.
    style: Style,
    cells: Vec<TableCell>,
}

struct TableCell {
    text: String,
    is_number: bool,
}

impl TextTable {
    /// Returns a table of these columns, without rows.
    pub(crate) fn new(columns: impl IntoIterator<Item = impl Into<String>>) -> TextTable {
        let columns = columns.into_iter().map(|name| text::one_line(&name.into()).into_owned()).collect();
        TextTable { columns, rows: Vec::new() }
    }

    /// Adds a row of texts.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.cells(cells.into_iter().map(|text| (text, false)));
    }

    /// Adds a row of texts, each with whether it is a number.
    pub(crate) fn cells(&mut self, cells: impl IntoIterator<Item = (String, bool)>) {
        self.styled_row(Style::Normal, cells);
    }

    /// Adds a row as [`TextTable::cells`] does, with the first cell in a style.
    pub(crate) fn styled_row(&mut self, style: Style, cells: impl IntoIterator<Item = (String, bool)>) {
        let cell = |(text, is_number): (String, bool)| TableCell {
            text: text::one_line(&text).into_owned(),
            is_number,
        };
        self.rows.push(TableRow { style, cells: cells.into_iter().map(cell).collect() });
    }

    /// Writes the heading and the rows.
    pub(crate) fn write(&self, output: &mut Output) -> Result<(), Failure> {
        let layout: Vec<_> = (0..self.columns.len()).map(|column| self.layout(column)).collect();
        let (before, after) = output.paint.around(Style::Bold);
        output.write_all(before.as_bytes())?;
        line(output, Style::Normal, self.columns.iter().map(String::as_str), &layout)?;
        writeln!(output, "{after}")?;
        for row in &self.rows {
            line(output, row.style, row.cells.iter().map(|cell| cell.text.as_str()), &layout)?;
            writeln!(output)?;
        }
        Ok(())
    }

    /// Returns the width of a column, and whether it is aligned to the right.
    fn layout(&self, column: usize) -> (usize, bool) {
        let cells = || self.rows.iter().filter_map(|row| row.cells.get(column));
        let widest =
            cells().map(|cell| text::cells(&cell.text)).max().unwrap_or(0).min(COLUMN_CHARACTERS_MAX);
        let is_right =
            cells().any(|cell| cell.is_number) && cells().all(|cell| cell.is_number || cell.text.is_empty());
        (widest.max(text::cells(&self.columns[column])), is_right)
    }
}

/// Writes one line; the last cell is not padded, so that no line ends with blanks.
fn line<'a>(
    output: &mut Output,
    mut style: Style,
    cells: impl Iterator<Item = &'a str>,
    layout: &[(usize, bool)],
) -> Result<(), Failure> {
    let mut cells = cells.zip(layout).peekable();
    while let Some((text, &(width, is_right))) = cells.next() {
        let padding = width.saturating_sub(text::cells(text));
        let text = output.paint.text(std::mem::replace(&mut style, Style::Normal), text);
        match (is_right, cells.peek().is_some()) {
            (true, false) => write!(output, "{:padding$}{text}", "")?,
            (true, true) => write!(output, "{:padding$}{text}  ", "")?,
            (false, true) => write!(output, "{text}{:padding$}  ", "")?,
            (false, false) => write!(output, "{text}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::{output::printed, paint::Paint};

    #[test]
    fn wide_character_takes_two_cells() {
        let mut table = TextTable::new(["name", "x"]);
        table.row(["\u{6f22}\u{5b57}\u{6f22}".into(), "a".into()]);
        table.row(["abc".into(), "b".into()]);
        let page = printed(false, Paint::Plain, |output| table.write(output).unwrap());
        assert_eq!(page, "name    x\n\u{6f22}\u{5b57}\u{6f22}  a\nabc     b\n");
    }

    #[test]
    fn long_cell_does_not_widen_every_row() {
        let mut table = TextTable::new(["message", "n"]);
        table.cells([("x".repeat(500), false), ("1".into(), true)]);
        table.cells([("short\x1b".into(), false), ("22".into(), true)]);
        let page = printed(false, Paint::Plain, |output| table.write(output).unwrap());
        let lines: Vec<_> = page.lines().collect();
        assert_eq!(lines[2], format!("{:<60}  22", "short\\x1b"));
        assert_eq!(lines[1], format!("{}   1", "x".repeat(500)));
    }
}
