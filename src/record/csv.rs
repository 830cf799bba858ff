//! CSV according to RFC 4180: CRLF at the end of a row, quotes where they are needed.

use std::io::{self, Write};

/// Characters that a formula may begin with, or that may precede a formula where a spreadsheet
/// ignores blanks. Includes the full-width forms that some spreadsheets of East Asia treat alike.
const FORMULAS: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// One row of a CSV file.
pub struct CsvRow<'a, W: Write> {
    out: &'a mut W,
    is_first: bool,
}

impl<'a, W: Write> CsvRow<'a, W> {
    /// Begins a row.
    pub fn new(out: &'a mut W) -> CsvRow<'a, W> {
        CsvRow { out, is_first: true }
    }

    /// Adds a text, prefixed with an apostrophe if a spreadsheet would run the text as a formula
    /// (OWASP, "CSV Injection").
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        let is_formula = text.starts_with(FORMULAS);
        self.quoted(if is_formula { "'" } else { "" }, text)
    }

    /// Adds a value that is not a text: a number, or JSON.
    pub fn raw(&mut self, text: &str) -> io::Result<()> {
        self.quoted("", text)
    }

    /// Ends the row.
    pub fn end(self) -> io::Result<()> {
        self.out.write_all(b"\r\n")
    }

    fn quoted(&mut self, prefix: &str, text: &str) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            self.out.write_all(b",")?;
        }
        match text.contains([',', '"', '\r', '\n']) {
            true => write!(self.out, "\"{prefix}{}\"", text.replace('"', "\"\"")),
            false => write!(self.out, "{prefix}{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_formulas_prefixed() {
        let mut out = Vec::new();
        let mut row = CsvRow::new(&mut out);
        for text in ["plain", "", "a,b", "say \"x\"", "two\nlines", "=1+1", "@a,b", "\n=1", "\u{ff1d}1"] {
            row.text(text).unwrap();
        }
        row.raw("-17").unwrap();
        row.end().unwrap();
        let expected =
            "plain,,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",'=1+1,\"'@a,b\",\"'\n=1\",'\u{ff1d}1,-17\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
