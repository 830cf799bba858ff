//! Records as lines of text for pipes and files: nothing is cut, and nothing depends on a terminal.

use super::output::Output;
use super::paint::{self, Style};
use super::record_text::{RecordText, short_time};
use super::text;
use crate::cli::client::JsonRecord;
use crate::failure::Failure;

/// Columns grow with their content, up to this many characters.
const COLUMN_CHARACTERS_MAX: usize = 24;

/// Prints records as lines of text in columns, which widen as needed.
pub(crate) struct LinePrinter {
    /// The record that the others surround.
    marked: Option<u64>,
    severity_width: usize,
    service_width: usize,
    logger_width: usize,
}

impl LinePrinter {
    /// Returns a printer. If a record is marked, it is preceded by `>`, and the others by a space.
    pub(crate) fn new(marked: Option<u64>) -> LinePrinter {
        LinePrinter { marked, severity_width: 8, service_width: 1, logger_width: 1 }
    }

    /// Writes a record: `time SEVERITY service logger message name=value...`, and below it,
    /// indented, the other lines of its message and its stack trace.
    pub(crate) fn write(&mut self, record: &JsonRecord<'_>, output: &mut Output) -> Result<(), Failure> {
        let parts = RecordText::of(record);
        let style = paint::of_severity(record.severity_number);
        if let Some(id) = self.marked {
            write!(output, "{} ", if id == record.id { '>' } else { ' ' })?;
        }
        write!(output, "{} ", output.paint.text(Style::Dim, &short_time(&record.timestamp)))?;
        column(output, style, &record.severity, &mut self.severity_width)?;
        column(output, Style::Normal, &record.service, &mut self.service_width)?;
        column(output, Style::Normal, &record.logger, &mut self.logger_width)?;
        output.write_all(parts.first_line().as_bytes())?;
        for (name, value) in &parts.attributes {
            let (before, after) = output.paint.around(Style::Dim);
            write!(output, " {before}{name}={after}{value}")?;
        }
        writeln!(output)?;
        indented(output, Style::Normal, parts.other_lines())?;
        indented(output, Style::Dim, &parts.stacktrace)
    }
}

fn column(output: &mut Output, style: Style, value: &str, width: &mut usize) -> Result<(), Failure> {
    let value = text::or_dash(value);
    let length = text::cells(&value);
    *width = (*width).max(length.min(COLUMN_CHARACTERS_MAX));
    let padding = width.saturating_sub(length) + 1;
    write!(output, "{}{:padding$}", output.paint.text(style, &value), "")
}

fn indented(output: &mut Output, style: Style, lines: &str) -> Result<(), Failure> {
    for line in lines.lines() {
        writeln!(output, "    {}", output.paint.text(style, line))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::record::FULL;
    use crate::cli::terminal::{output::printed, paint::Paint, record_text::EVIL};

    fn show(lines: &[&str], paint: Paint) -> String {
        printed(false, paint, |output| {
            let mut printer = LinePrinter::new(None);
            for line in lines {
                printer.write(&serde_json::from_str(line).unwrap(), output).unwrap();
            }
        })
    }

    #[test]
    fn record_is_printed_as_text() {
        let expected = "2026-11-21T10:00:00.123Z ERROR    billing app.views card \"4\" refused trace_id=17 z=1 \
                        user name=\"a b\" ok=true list=[1, \"x\"] plain=x\n    second line\n    Traceback:\n      \
                        File \"x\"\n    ValueError: 4\n";
        assert_eq!(show(&[FULL], Paint::Plain), expected);
    }

    #[test]
    fn columns_widen_and_stay_wide() {
        let bare = r#"{"id":1,"timestamp":"1970-01-01T00:00:00.000000000Z","message":"m"}"#;
        let text = show(&[bare, FULL, bare], Paint::Plain);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "1970-01-01T00:00:00.000Z -        - - m");
        assert_eq!(lines[lines.len() - 1], "1970-01-01T00:00:00.000Z -        -       -         m");
    }

    #[test]
    fn colours_follow_the_severity() {
        let text = show(&[FULL], Paint::Colours);
        assert!(text.contains("\x1b[31mERROR\x1b[0m    billing "), "{text}");
        assert!(!show(&[FULL], Paint::Plain).contains('\x1b'));
    }

    #[test]
    fn control_characters_of_fields_are_escaped() {
        let text = show(&[EVIL], Paint::Plain);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert_eq!(text.lines().count(), 3);
    }
}
