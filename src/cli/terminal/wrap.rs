//! Lays out styled text in lines of a terminal's width.

use unicode_width::UnicodeWidthChar;

use super::paint::{Paint, Style};
use super::text;

/// Lines that are being filled. Texts must have passed [`text`]: this type does not look for
/// control characters.
pub(crate) struct LineWrapper {
    paint: Paint,
    columns: usize,
    indent: usize,
    lines: Vec<String>,
    line: String,
    /// Cells of `line`.
    width: usize,
    /// Spaces that precede the next character, unless the line ends there.
    spaces: usize,
    /// Whether the line contains nothing but its indentation.
    is_empty: bool,
    style: Style,
}

/// A text in a style.
type StyledText<'a> = (Style, &'a str);

/// Returns the cells of these texts, without trailing blanks.
fn width(pieces: &[StyledText<'_>]) -> usize {
    let whole: usize = pieces.iter().map(|(_, text)| text::cells(text)).sum();
    let last = pieces.last().map_or("", |(_, text)| text);
    whole - (last.len() - last.trim_end_matches(' ').len())
}

impl LineWrapper {
    /// Begins lines of `columns` cells. Continuation lines are indented by `indent` cells.
    pub(crate) fn new(paint: Paint, columns: usize, indent: usize) -> LineWrapper {
        LineWrapper {
            paint,
            columns,
            indent,
            lines: Vec::new(),
            line: String::new(),
            width: 0,
            spaces: 0,
            is_empty: true,
            style: Style::Normal,
        }
    }

    /// Begins lines as [`LineWrapper::new`] does, with the first line indented too.
    pub(crate) fn indented(paint: Paint, columns: usize, first_indent: usize, indent: usize) -> LineWrapper {
        LineWrapper {
            line: " ".repeat(first_indent),
            width: first_indent,
            ..LineWrapper::new(paint, columns, indent)
        }
    }

    /// Adds a text, which continues on the next line at the end of a word, or anywhere if a word is
    /// longer than a line.
    pub(crate) fn text(&mut self, style: Style, text: &str) {
        self.add_words(&[(style, text)]);
    }

    /// Adds texts that stay together if one line can hold them.
    pub(crate) fn keep_together(&mut self, pieces: &[StyledText<'_>]) {
        if width(pieces) <= self.line_cells() { self.add_unbroken(pieces) } else { self.add_words(pieces) }
    }

    fn add_words(&mut self, pieces: &[StyledText<'_>]) {
        let mut word = Vec::new();
        for (style, piece) in pieces {
            for part in piece.split_inclusive(' ') {
                word.push((*style, part));
                if part.ends_with(' ') {
                    self.add_unbroken(&word);
                    word.clear();
                }
            }
        }
        self.add_unbroken(&word);
    }

    fn add_unbroken(&mut self, pieces: &[StyledText<'_>]) {
        let width = width(pieces);
        if width <= self.line_cells() && !self.is_empty && self.width + self.spaces + width > self.columns {
            self.break_line();
        }
        for (style, piece) in pieces {
            piece.chars().for_each(|c| self.add_character(*style, c));
        }
    }

    /// Returns the cells of a continuation line.
    fn line_cells(&self) -> usize {
        self.columns.saturating_sub(self.indent)
    }

    /// Adds a column: a text, padded to this many cells, and a space.
    pub(crate) fn column(&mut self, style: Style, text: &str, cells: usize) {
        text.chars().for_each(|c| self.add_character(style, c));
        self.spaces += cells.saturating_sub(text::cells(text)) + 1;
    }

    /// Continues on a new line, indented.
    fn break_line(&mut self) {
        let style = self.style;
        self.set_style(Style::Normal);
        self.lines.push(std::mem::replace(&mut self.line, " ".repeat(self.indent)));
        (self.width, self.spaces, self.is_empty) = (self.indent, 0, true);
        self.set_style(style);
    }

    /// Returns the lines.
    pub(crate) fn finish(mut self) -> Vec<String> {
        self.set_style(Style::Normal);
        self.lines.push(self.line);
        self.lines
    }

    fn add_character(&mut self, style: Style, c: char) {
        if c == ' ' {
            let was_wrapped = self.is_empty && !self.lines.is_empty();
            self.spaces += usize::from(!was_wrapped);
            return;
        }
        let width = c.width().unwrap_or(0);
        if !self.is_empty && self.width + self.spaces + width > self.columns {
            self.break_line();
        }
        if style != self.style {
            self.set_style(Style::Normal); // blanks between two styles have neither style
        }
        let spaces = std::mem::take(&mut self.spaces).min(self.columns.saturating_sub(self.width));
        self.line.extend(std::iter::repeat_n(' ', spaces));
        self.set_style(style);
        self.line.push(c);
        self.width += spaces + width;
        self.is_empty = false;
    }

    fn set_style(&mut self, style: Style) {
        if style != self.style {
            self.line.push_str(self.paint.around(self.style).1);
            self.line.push_str(self.paint.around(style).0);
            self.style = style;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(columns: usize, indent: usize, text: &str) -> Vec<String> {
        let mut wrapper = LineWrapper::new(Paint::Plain, columns, indent);
        wrapper.text(Style::Normal, text);
        wrapper.finish()
    }

    #[test]
    fn words_continue_on_indented_lines() {
        assert_eq!(wrapped(10, 2, "one two three four"), ["one two", "  three", "  four"]);
        assert_eq!(wrapped(7, 2, "one two"), ["one two"]);
        assert_eq!(wrapped(10, 0, ""), [""]);
    }

    #[test]
    fn word_longer_than_a_line_is_broken_anywhere() {
        assert_eq!(wrapped(5, 2, "abcdefghij k"), ["abcde", "  fgh", "  ij", "  k"]);
        assert_eq!(wrapped(3, 8, "abc"), ["abc"]);
    }

    #[test]
    fn line_never_exceeds_its_columns() {
        let texts = [
            "\u{6f22}\u{5b57}\u{6f22}\u{5b57} \u{6f22}\u{5b57}",
            "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301} x",
            "a      b       c",
            "\u{1f332}\u{1f332}\u{1f332}\u{1f332}\u{1f332}",
        ];
        for text in texts {
            let lines = wrapped(7, 2, text);
            assert!(lines.iter().all(|line| text::cells(line) <= 7), "{lines:?}");
            let letters = |text: &str| text.replace(' ', "");
            assert_eq!(letters(&lines.concat()), letters(text));
        }
    }

    #[test]
    fn pieces_stay_together_if_a_line_holds_them() {
        let mut wrapper = LineWrapper::new(Paint::Plain, 12, 2);
        wrapper.text(Style::Normal, "message");
        wrapper.keep_together(&[(Style::Normal, " "), (Style::Dim, "user="), (Style::Normal, "42")]);
        wrapper.keep_together(&[
            (Style::Normal, " "),
            (Style::Dim, "x="),
            (Style::Normal, "a rather long value"),
        ]);
        assert_eq!(wrapper.finish(), ["message", "  user=42", "  x=a rather", "  long value"]);
        // Exact to the cell: a line of 12 cells holds both texts, 13 cells need a second line.
        for (text, expected) in [("one ", 1), ("one  ", 2)] {
            let mut wrapper = LineWrapper::new(Paint::Plain, 12, 2);
            wrapper.text(Style::Normal, text);
            wrapper.keep_together(&[(Style::Normal, " "), (Style::Dim, "user="), (Style::Normal, "42")]);
            assert_eq!(wrapper.finish().len(), expected);
        }
    }

    #[test]
    fn every_line_ends_with_a_reset_of_its_colour() {
        let mut wrapper = LineWrapper::new(Paint::Colours, 3, 0);
        wrapper.text(Style::Red, "abcdef");
        assert_eq!(wrapper.finish(), ["\x1b[31mabc\x1b[0m", "\x1b[31mdef\x1b[0m"]);
    }
}
