//! Records as lines of text for pipes and files: nothing is cut, and nothing depends on a terminal.

use std::borrow::Cow;
use std::io::{self, Write};

use super::output::Output;
use super::paint::{self, Style};
use super::record::Record;
use super::text;

/// Columns grow with their content, up to this many characters.
const COLUMN_CHARACTERS_MAX: usize = 24;

/// Prints records as lines of text in columns, which widen as needed.
pub(super) struct Printer {
    /// The record that the others surround.
    marked: Option<u64>,
    severity_width: usize,
    service_width: usize,
    logger_width: usize,
}

impl Printer {
    /// Returns a printer. If a record is marked, it is preceded by `>`, and the others by a space.
    pub(super) fn new(marked: Option<u64>) -> Printer {
        Printer { marked, severity_width: 8, service_width: 1, logger_width: 1 }
    }

    /// Writes a record: `time SEVERITY service logger message name=value...`, and below it,
    /// indented, the other lines of its message and its stack trace.
    pub(super) fn write(&mut self, record: &Record<'_>, output: &mut Output) -> io::Result<()> {
        let parts = Parts::of(record);
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

/// The part of a record that is shown after its columns. No text in it can control a terminal.
pub(super) struct Parts<'a> {
    message: Cow<'a, str>,
    /// The lines of the stack trace.
    pub(super) stacktrace: String,
    /// The event's name, the trace and every attribute, except what the stack trace already
    /// contains.
    pub(super) attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

const STACKTRACE: &str = "exception.stacktrace";

/// Python's number of a thread is of no use to a person; JSON and CSV contain it.
const THREAD_ID: &str = "thread.id";

impl<'a> Parts<'a> {
    /// Returns the parts of this record.
    pub(super) fn of(record: &'a Record<'_>) -> Parts<'a> {
        let stacktrace = record.attributes.text(STACKTRACE).unwrap_or_default();
        let mut attributes = Vec::new();
        for (name, value) in [("event_name", &record.event_name), ("trace_id", &record.trace_id)] {
            if !value.is_empty() {
                attributes.push((Cow::Borrowed(name), shown(value)));
            }
        }
        for (name, value) in &record.attributes.list {
            let value = match serde_json::from_str::<Cow<'_, str>>(value.get()) {
                Ok(_) if name == STACKTRACE => continue,
                _ if name == THREAD_ID => continue,
                Ok(text) if name.starts_with("exception.") && stacktrace.contains(&*text) => continue,
                Ok(text) => shown(&text).into_owned().into(),
                Err(_) => text::json(value.get()),
            };
            attributes.push((text::one_line(name), value));
        }
        let stacktrace = text::lines(&stacktrace).trim_end_matches('\n').to_owned();
        Parts { message: text::lines(&record.message), stacktrace, attributes }
    }

    /// Returns the message's first line.
    pub(super) fn first_line(&self) -> &str {
        self.message.split('\n').next().unwrap_or_default()
    }

    /// Returns the message's other lines.
    pub(super) fn other_lines(&self) -> &str {
        self.message.split_once('\n').map_or("", |(_, rest)| rest.trim_end_matches('\n'))
    }
}

/// Returns a text, as a JSON string if its end would not be recognizable otherwise.
fn shown(value: &str) -> Cow<'_, str> {
    let is_bare = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    if !value.is_empty() && value.chars().all(is_bare) {
        return text::one_line(value);
    }
    text::json(&serde_json::Value::from(value).to_string()).into_owned().into()
}

/// Shortens `2026-11-21T10:00:00.123456789Z` to milliseconds.
pub(super) fn short_time(timestamp: &str) -> Cow<'_, str> {
    match timestamp.get(..23) {
        Some(short) if timestamp.len() == 30 && timestamp.ends_with('Z') => {
            format!("{}Z", text::one_line(short)).into()
        }
        _ => text::one_line(timestamp),
    }
}

fn column(output: &mut Output, style: Style, value: &str, width: &mut usize) -> io::Result<()> {
    let value = if value.is_empty() { Cow::Borrowed("-") } else { text::one_line(value) };
    let length = text::cells(&value);
    *width = (*width).max(length.min(COLUMN_CHARACTERS_MAX));
    let padding = width.saturating_sub(length) + 1;
    write!(output, "{}{:padding$}", output.paint.text(style, &value), "")
}

fn indented(output: &mut Output, style: Style, lines: &str) -> io::Result<()> {
    for line in lines.lines() {
        writeln!(output, "    {}", output.paint.text(style, line))?;
    }
    Ok(())
}

/// A record with control sequences for a terminal in every field, for tests.
#[cfg(test)]
pub(super) const EVIL: &str = r#"{"severity":"\u001b[2J","service":"\u001b[2J","logger":"\u001b\n",
    "message":"\u001b[2J\n\u001b[2J","timestamp":"\u001b[2J","trace_id":"\u001b[2J","event_name":"\u009b","attributes":
    {"\u001b[2J":"\u001b[2J","b":{"\u001b":"\u009b"},"exception.stacktrace":"\u001b[2J"}}"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::printed;
    use crate::cli::paint::Paint;
    use crate::cli::record::FULL;

    fn show(lines: &[&str], paint: Paint) -> String {
        printed(false, paint, |output| {
            let mut printer = Printer::new(None);
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
