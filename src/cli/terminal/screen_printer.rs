//! Records on a terminal: in columns, wrapped at its width, and folded if they are long.

use std::borrow::Cow;

use super::highlight::Highlight;
use super::output::Output;
use super::paint::{self, Paint, Style};
use super::record_text::RecordText;
use super::screen::Screen;
use super::text;
use super::wrap::LineWrapper;
use crate::cli::client::JsonRecord;
use crate::failure::Failure;

/// The column of the severity grows up to this many cells.
const SEVERITY_CELLS_MAX: usize = 8;

/// The other lines of a message and stack traces are indented by this many cells.
const INDENT: usize = 4;

/// Continuation lines are indented to the message if this leaves at least this many cells.
const MESSAGE_CELLS_MIN: usize = 60;

/// How many lines remain of a folded head: at its beginning and at its end.
const HEAD: (usize, usize) = (3, 1);
/// How many lines remain of a folded message: at its beginning and at its end.
const MESSAGE: (usize, usize) = (4, 1);
/// How many lines remain of a folded stack trace: at its beginning and at its end. A stack trace
/// ends with the exception (Python) or begins with it (other languages).
const STACKTRACE: (usize, usize) = (2, 4);

/// Prints records on a terminal.
pub(crate) struct ScreenPrinter {
    screen: Screen,
    /// Whether nothing is folded.
    full: bool,
    /// The record that the others surround.
    marked: Option<u64>,
    highlight: Highlight,
    severity: usize,
    service: usize,
    logger: usize,
    /// The day of the previous record.
    day: String,
}

impl ScreenPrinter {
    /// Returns a printer for this screen; with `full` nothing is folded.
    pub(crate) fn new(
        screen: Screen,
        full: bool,
        marked: Option<u64>,
        highlight: Highlight,
    ) -> ScreenPrinter {
        let (severity, service, logger, day) = (4, 1, 1, String::new());
        ScreenPrinter { screen, full, marked, highlight, severity, service, logger, day }
    }

    /// Determines from the first records how wide columns must be. If these are all records, and
    /// they fit on the screen unfolded, nothing is folded.
    pub(crate) fn measure(&mut self, records: &[JsonRecord<'_>], are_all: bool) {
        records.iter().for_each(|record| self.widen(record));
        if are_all && !self.full {
            self.full = true;
            let lines: usize = records.iter().map(|record| 1 + self.lines(record, Paint::Plain).len()).sum();
            self.full = lines < self.screen.rows;
        }
    }

    /// Writes a record, after a line with its day if that differs from the day of the previous
    /// record.
    pub(crate) fn write(&mut self, record: &JsonRecord<'_>, output: &mut Output) -> Result<(), Failure> {
        self.widen(record);
        let (day, _) = day_and_time(&record.timestamp);
        if day != self.day {
            writeln!(output, "{}", output.paint.text(Style::Dim, &format!("-- {day} UTC --")))?;
            self.day = day.into();
        }
        let lines = self.lines(record, output.paint);
        lines.iter().try_for_each(|line| writeln!(output, "{line}"))
    }

    fn widen(&mut self, record: &JsonRecord<'_>) {
        let columns = self.screen.columns;
        let widen = |width: &mut usize, text: &str, cells_max: usize| {
            *width = (*width).max(text::cells(&text::one_line(text)).min(cells_max));
        };
        widen(&mut self.severity, &record.severity, SEVERITY_CELLS_MAX);
        widen(&mut self.service, &record.service, (columns / 8).clamp(8, 24));
        widen(&mut self.logger, &record.logger, (columns / 6).clamp(10, 32));
    }

    fn lines(&self, record: &JsonRecord<'_>, paint: Paint) -> Vec<String> {
        let parts = RecordText::of(record);
        let mut lines = self.fold(self.head(record, &parts, paint), HEAD, paint);
        lines.extend(self.fold(self.indented(parts.other_lines(), Style::Normal, paint), MESSAGE, paint));
        lines.extend(self.fold(self.indented(&parts.stacktrace, Style::Dim, paint), STACKTRACE, paint));
        lines
    }

    /// Returns the columns, the message's first line, and the attributes.
    fn head(&self, record: &JsonRecord<'_>, parts: &RecordText<'_>, paint: Paint) -> Vec<String> {
        let (_, time) = day_and_time(&record.timestamp);
        let time = text::one_line(time);
        let mark = self.marked.map(|id| if id == record.id { ">" } else { "" });
        let mark_cells = mark.map_or(0, |_| 2);
        let column = mark_cells + text::cells(&time) + self.severity + self.service + self.logger + 4;
        let indent = if self.screen.columns >= column + MESSAGE_CELLS_MIN { column } else { INDENT };
        let mut wrapper = LineWrapper::new(paint, self.screen.columns, indent);
        if let Some(mark) = mark {
            wrapper.column(Style::Bold, mark, 1);
        }
        let is_unicode = self.screen.is_unicode;
        let [severity, service, logger] =
            [&record.severity, &record.service, &record.logger].map(|value| text::or_dash(value));
        let severity = text::beginning(&severity, self.severity, is_unicode);
        wrapper.column(Style::Dim, &time, 0);
        wrapper.column(paint::of_severity(record.severity_number), &severity, self.severity);
        wrapper.column(Style::Cyan, &text::beginning(&service, self.service, is_unicode), self.service);
        wrapper.column(Style::Normal, &text::ending(&logger, self.logger, is_unicode), self.logger);
        let style = if mark == Some(">") { Style::Bold } else { Style::Normal };
        self.highlight.write(&untabbed(parts.first_line()), style, &mut wrapper);
        for (name, value) in &parts.attributes {
            wrapper.keep_together(&[
                (Style::Normal, " "),
                (Style::Dim, name),
                (Style::Dim, "="),
                (Style::Normal, value),
            ]);
        }
        wrapper.keep_together(&[(Style::Dim, " id="), (Style::Dim, &record.id.to_string())]);
        wrapper.finish()
    }

    fn indented(&self, lines: &str, style: Style, paint: Paint) -> Vec<String> {
        let wrapped = lines.lines().flat_map(|line| {
            let mut wrapper = LineWrapper::indented(paint, self.screen.columns, INDENT, 2 * INDENT);
            self.highlight.write(&untabbed(line), style, &mut wrapper);
            wrapper.finish()
        });
        wrapped.collect()
    }

    /// Replaces the middle of many lines by a note of how many there are.
    fn fold(&self, mut lines: Vec<String>, (first, last): (usize, usize), paint: Paint) -> Vec<String> {
        // A note in place of a single line would save nothing.
        if self.full || lines.len() <= first + last + 1 {
            return lines;
        }
        let count = lines.len() - first - last;
        let note = format!("... {count} more lines (--full)");
        let note = format!("{:INDENT$}{}", "", paint.text(Style::Dim, &note));
        lines.splice(first..first + count, [note]);
        lines
    }
}

/// Returns `2026-11-21` and `10:00:00.123` of a time as servers write it; of any other text, no day
/// and the whole text.
fn day_and_time(timestamp: &str) -> (&str, &str) {
    let is_usual = timestamp.len() == 30 && timestamp.ends_with('Z') && timestamp.is_ascii();
    match (timestamp.get(..10), timestamp.get(11..23)) {
        (Some(day), Some(time)) if is_usual && !timestamp.contains(|c: char| c.is_control()) => (day, time),
        _ => ("", timestamp),
    }
}

fn untabbed(line: &str) -> Cow<'_, str> {
    if line.contains('\t') { line.replace('\t', "    ").into() } else { line.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::record::FULL;
    use crate::cli::terminal::{output::printed_on, record_text::EVIL};

    fn show(columns: usize, rows: usize, full: bool, lines: &[&str]) -> String {
        let screen = Screen { columns, rows, is_unicode: true };
        printed_on(Some(screen), Paint::Plain, |output| {
            let records: Vec<JsonRecord<'_>> =
                lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            let mut printer = ScreenPrinter::new(screen, full, None, Highlight::default());
            printer.measure(&records, true);
            records.iter().for_each(|record| printer.write(record, output).unwrap());
        })
    }

    #[test]
    fn record_is_wrapped_at_the_width() {
        let expected = "\
-- 2026-11-21 UTC --
10:00:00.123 ERROR billing app.views card \"4\" refused trace_id=17 z=1
    user name=\"a b\" ok=true list=[1, \"x\"] plain=x id=7
    second line
    Traceback:
      File \"x\"
    ValueError: 4
";
        assert_eq!(show(80, 24, false, &[FULL]), expected);
        let wide = show(110, 24, false, &[FULL]);
        let second = wide.lines().nth(2).unwrap();
        assert!(
            second.starts_with(&format!("{:37}", "")) && !second.starts_with(&format!("{:38}", "")),
            "{wide}"
        );
    }

    #[test]
    fn day_is_written_once() {
        let at = |time: &str| format!(r#"{{"id":1,"timestamp":"{time}T10:00:00.000000000Z","message":"m"}}"#);
        let lines = ["2026-11-21", "2026-11-21", "2026-11-22"].map(at);
        let text = show(80, 24, false, &lines.each_ref().map(String::as_str));
        let days: Vec<_> = text.lines().filter(|line| line.starts_with("--")).collect();
        assert_eq!(days, ["-- 2026-11-21 UTC --", "-- 2026-11-22 UTC --"]);
        assert!(text.contains("\n10:00:00.000 -    - - m id=1\n"), "{text}");
    }

    #[test]
    fn long_parts_are_folded_unless_all_records_fit() {
        let stack: String = (1..=20).map(|n| format!("frame {n}\\n")).collect();
        let line = format!(
            r#"{{"id":1,"timestamp":"2026-11-21T10:00:00.000000000Z","message":"m","attributes":{{"exception.stacktrace":"{stack}"}}}}"#
        );
        let whole = show(80, 24, false, &[&line]);
        assert_eq!(whole.lines().count(), 22, "{whole}");
        let folded = show(80, 22, false, &[&line]);
        let expected =
            "    frame 1\n    frame 2\n    ... 14 more lines (--full)\n    frame 17\n    frame 18\n";
        assert!(folded.contains(expected) && folded.ends_with("frame 20\n"), "{folded}");
        assert_eq!(show(80, 22, true, &[&line]), whole);
    }

    #[test]
    fn columns_leave_room_for_the_message() {
        let line = r#"{"id":1,"timestamp":"2026-11-21T10:00:00.000000000Z","severity":"INFORMATIONAL",
            "service":"a-service-with-a-long-name","logger":"shop.payments.providers.cards.views","message":"it works"}"#;
        let text = show(80, 24, false, &[line]);
        let expected = "10:00:00.000 INFORMA\u{2026} a-service\u{2026} \u{2026}.cards.views it works id=1";
        assert_eq!(text.lines().nth(1), Some(expected));
        let wide = show(200, 24, false, &[line]);
        assert!(wide.contains(" \u{2026}.payments.providers.cards.views it works"), "{wide}");
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        let wide = "\u{6f22}\u{5b57}\u{1f332}e\u{301} ".repeat(60);
        let long = "x".repeat(1000);
        let line = format!(
            r#"{{"id":1,"timestamp":"2026-11-21T10:00:00.000000000Z","service":"{wide}","logger":"{long}",
            "message":"{wide}\n\t{long}","attributes":{{"{long}":"{wide}","exception.stacktrace":"{wide}\n{long}"}}}}"#
        );
        for columns in [20, 80, 120, 200] {
            let text = show(columns, 24, true, &[&line, FULL, EVIL]);
            let widest = text.lines().map(text::cells).max();
            assert!(widest <= Some(columns), "{widest:?} of {columns}: {text}");
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        }
    }
}
