//! Records in the requested format.

use clap::ArgMatches;

use super::grid_printer::GridPrinter;
use super::highlight::Highlight;
use super::line_printer::LinePrinter;
use super::output::Output;
use super::screen::Screen;
use super::screen_printer::ScreenPrinter;
use crate::cli::arguments::{is_set, text};
use crate::cli::client::{FieldSelection, JsonRecord, http};
use crate::failure::Failure;

/// This many bytes of records are more than a screen shows.
const SCREEN_BYTES_MAX: usize = 256 << 10;

/// Writes records one by one, as they arrive.
pub(crate) struct RecordWriter {
    format: RecordFormat,
    held: Option<Held>,
}

enum RecordFormat {
    Lines(LinePrinter),
    Terminal(ScreenPrinter),
    Grid(GridPrinter),
    Json(Option<FieldSelection>),
    Csv(FieldSelection),
}

/// The first records for a terminal: they determine how wide columns must be, and whether
/// everything fits on the screen.
struct Held {
    screen: Screen,
    lines: Vec<Vec<u8>>,
    bytes: usize,
}

impl RecordWriter {
    /// Returns a writer for this output, according to the command's arguments. `marked` is the
    /// record that the others surround.
    pub(crate) fn new(
        matches: &ArgMatches,
        marked: Option<u64>,
        output: &Output,
    ) -> Result<RecordWriter, Failure> {
        let full = is_set(matches, "full");
        let selection = text(matches, "fields").map(FieldSelection::parse).transpose()?;
        let format = match (text(matches, "format"), selection, output.screen) {
            (Some("json"), selection, _) => RecordFormat::Json(selection),
            (Some("csv"), selection, _) => RecordFormat::Csv(selection.unwrap_or_else(FieldSelection::all)),
            (_, Some(selection), screen) => RecordFormat::Grid(GridPrinter::new(selection, screen, full)),
            (_, None, Some(screen)) => {
                let highlight = Highlight::of(matches);
                RecordFormat::Terminal(ScreenPrinter::new(screen, full, marked, highlight))
            }
            (_, None, None) => RecordFormat::Lines(LinePrinter::new(marked)),
        };
        let is_held = matches!(format, RecordFormat::Terminal(_) | RecordFormat::Grid(_));
        let held = output.screen.filter(|_| is_held);
        let held = held.map(|screen| Held { screen, lines: Vec::new(), bytes: 0 });
        Ok(RecordWriter { format, held })
    }

    /// Writes what precedes the first record.
    pub(crate) fn begin(&self, output: &mut Output) -> Result<(), Failure> {
        match &self.format {
            RecordFormat::Csv(selection) => output.write_csv(|out| selection.write_csv_heading(out)),
            _ => Ok(()),
        }
    }

    /// Writes the record of one line of JSON; an empty line is no record.
    pub(crate) fn write(&mut self, line: &[u8], output: &mut Output) -> Result<(), Failure> {
        if line.is_empty() {
            return Ok(());
        }
        match &mut self.held {
            Some(held) => {
                held.lines.push(line.to_vec());
                held.bytes += line.len();
                let is_screenful = held.lines.len() >= held.screen.rows || held.bytes > SCREEN_BYTES_MAX;
                if is_screenful { self.write_held(false, output) } else { Ok(()) }
            }
            None => {
                self.format.write(line, output)?;
                // A person is watching, and the next record may take long to arrive.
                if output.is_terminal() { output.flush() } else { Ok(()) }
            }
        }
    }

    /// Writes the records that were held back; `are_all` unless others will follow later.
    pub(crate) fn write_held(&mut self, are_all: bool, output: &mut Output) -> Result<(), Failure> {
        let Some(held) = self.held.take() else { return Ok(()) };
        let records = held.lines.iter().map(|line| http::parse(line));
        let records = records.collect::<Result<Vec<JsonRecord<'_>>, _>>()?;
        match &mut self.format {
            RecordFormat::Terminal(printer) => printer.measure(&records, are_all),
            RecordFormat::Grid(grid) => {
                grid.measure(&records);
                if !(are_all && records.is_empty()) {
                    grid.begin(output)?;
                }
            }
            RecordFormat::Lines(_) | RecordFormat::Json(_) | RecordFormat::Csv(_) => {}
        }
        held.lines.iter().try_for_each(|line| self.format.write(line, output))?;
        output.flush()
    }
}

impl RecordFormat {
    fn write(&mut self, line: &[u8], output: &mut Output) -> Result<(), Failure> {
        match self {
            RecordFormat::Lines(printer) => printer.write(&http::parse(line)?, output),
            RecordFormat::Terminal(printer) => printer.write(&http::parse(line)?, output),
            RecordFormat::Grid(grid) => grid.write(&http::parse(line)?, output),
            RecordFormat::Csv(selection) => {
                let record = http::parse(line)?;
                output.write_csv(|out| selection.write_csv(&record, out))
            }
            RecordFormat::Json(Some(selection)) => {
                output.write_json(selection.as_json(&http::parse(line)?).as_bytes())
            }
            RecordFormat::Json(None) => output.write_json(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments;
    use crate::cli::terminal::{output::printed, paint::Paint};

    fn show(arguments: &[&str], is_terminal: bool, lines: &[&str]) -> String {
        let matches = arguments::command().get_matches_from(["logboom", "query"].iter().chain(arguments));
        let matches = matches.subcommand().unwrap().1;
        printed(is_terminal, Paint::Plain, |output| {
            let mut writer = RecordWriter::new(matches, None, output).unwrap();
            writer.begin(output).unwrap();
            lines.iter().for_each(|line| writer.write(line.as_bytes(), output).unwrap());
            writer.write_held(true, output).unwrap();
        })
    }

    #[test]
    fn json_is_unchanged_except_on_terminals() {
        let line = "{\"a\":\"\u{9b}\"}";
        assert_eq!(show(&["--format", "json"], false, &[line, ""]), format!("{line}\n"));
        assert_eq!(show(&["--format", "json"], true, &[line]), "{\"a\":\"\\u009b\"}\n");
    }

    #[test]
    fn selected_fields_are_shown_in_every_format() {
        let line = r#"{"id":1,"message":"a,b\u001b","attributes":{"n":5}}"#;
        let fields = |format| show(&["--fields", "n,message,x", "--format", format], false, &[line]);
        assert_eq!(fields("text"), "5  a,b\\x1b  -\n");
        assert_eq!(fields("csv"), "n,message,x\r\n5,\"a,b\u{1b}\",\r\n");
        assert_eq!(fields("json"), "{\"n\":5,\"message\":\"a,b\\u001b\"}\n");
        let shown = show(&["--fields", "n,message"], true, &[line]);
        assert_eq!(shown, "n  message\n5  a,b\\x1b\n");
        assert_eq!(show(&["--fields", "n"], true, &[]), "");
    }

    #[test]
    fn columns_fit_the_records_of_the_first_screen() {
        let line = |service: &str| {
            format!(
                r#"{{"id":1,"timestamp":"2026-11-21T10:00:00.000000000Z","service":"{service}","message":"m"}}"#
            )
        };
        let lines: Vec<_> = (0..30).map(|n| line(if n == 20 { "billing" } else { "web" })).collect();
        let text = show(&[], true, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        let at: Vec<_> = text.lines().skip(1).map(|line| line.find(" m id").unwrap()).collect();
        assert!(at.len() == 30 && at.iter().all(|place| *place == at[0]), "{text}");
    }

    #[test]
    fn invalid_record_is_a_failure() {
        let matches = arguments::command().get_matches_from(["logboom", "query"]);
        printed(false, Paint::Plain, |output| {
            let mut writer = RecordWriter::new(matches.subcommand().unwrap().1, None, output).unwrap();
            let failure = writer.write(b"<html>", output).unwrap_err();
            assert!(failure.to_string().contains("cannot read the server"));
        });
    }
}
