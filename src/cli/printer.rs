//! Records as lines of text for a person.

use std::borrow::Cow;
use std::io::{self, Write};

use super::output::Output;
use super::paint::{self, Style};
use super::record::Record;
use super::text;

/// Columns grow with what they hold, up to so many characters.
const COLUMN_CHARACTERS_MAX: usize = 24;

const STACKTRACE: &str = "exception.stacktrace";

/// Shows records as lines of text in columns, which widen as they must.
pub(super) struct Printer {
    severity_width: usize,
    service_width: usize,
    logger_width: usize,
}

impl Default for Printer {
    fn default() -> Printer {
        Printer { severity_width: 8, service_width: 1, logger_width: 1 }
    }
}

impl Printer {
    /// Writes a record: `time SEVERITY service logger message name=value...`, and below it, indented, the other lines of
    /// its message and its stack trace.
    pub(super) fn write(&mut self, record: &Record<'_>, output: &mut Output) -> io::Result<()> {
        let message = text::lines(&record.message);
        let (first, rest) = message.split_once('\n').unwrap_or((&message, ""));
        let stacktrace = record.attributes.text(STACKTRACE).unwrap_or_default();
        let style = paint::of_severity(record.severity_number);
        write!(output, "{} ", output.paint.text(Style::Dim, &short_time(&record.timestamp)))?;
        column(output, style, &record.severity, &mut self.severity_width)?;
        column(output, Style::Normal, &record.service, &mut self.service_width)?;
        column(output, Style::Normal, &record.logger, &mut self.logger_width)?;
        output.write_all(first.as_bytes())?;
        write_attributes(record, &stacktrace, output)?;
        writeln!(output)?;
        indented(output, Style::Normal, rest)?;
        indented(output, Style::Dim, &text::lines(&stacktrace))
    }
}

/// `2026-11-21T10:00:00.123456789Z` to the millisecond.
fn short_time(timestamp: &str) -> Cow<'_, str> {
    match timestamp.get(..23) {
        Some(short) if timestamp.len() == 30 && timestamp.ends_with('Z') => {
            format!("{}Z", text::one_line(short)).into()
        }
        _ => text::one_line(timestamp),
    }
}

fn column(output: &mut Output, style: Style, value: &str, width: &mut usize) -> io::Result<()> {
    let value = if value.is_empty() { Cow::Borrowed("-") } else { text::one_line(value) };
    let length = value.chars().count();
    *width = (*width).max(length.min(COLUMN_CHARACTERS_MAX));
    let padding = width.saturating_sub(length) + 1;
    write!(output, "{}{:padding$}", output.paint.text(style, &value), "")
}

/// Python's number for a thread says nothing to a person; JSON and CSV have it.
const THREAD_ID: &str = "thread.id";

/// Writes ` name=value` for the event's name, the trace and every attribute, but not what the stack trace says already.
fn write_attributes(record: &Record<'_>, stacktrace: &str, output: &mut Output) -> io::Result<()> {
    for (name, value) in [("event_name", &record.event_name), ("trace_id", &record.trace_id)] {
        if !value.is_empty() {
            write_attribute(output, name, value)?;
        }
    }
    for (name, value) in &record.attributes.list {
        match serde_json::from_str::<Cow<'_, str>>(value.get()) {
            Ok(_) if name == STACKTRACE => {}
            _ if name == THREAD_ID => {}
            Ok(text) if name.starts_with("exception.") && stacktrace.contains(&*text) => {}
            Ok(text) => write_attribute(output, name, &text)?,
            Err(_) => write_name_and_value(output, name, &text::json(value.get()))?,
        }
    }
    Ok(())
}

/// Writes a text; as a JSON string where its end could not be seen otherwise.
fn write_attribute(output: &mut Output, name: &str, value: &str) -> io::Result<()> {
    let is_bare = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    if !value.is_empty() && value.chars().all(is_bare) {
        return write_name_and_value(output, name, &text::one_line(value));
    }
    let quoted = serde_json::Value::from(value).to_string();
    write_name_and_value(output, name, &text::json(&quoted))
}

fn write_name_and_value(output: &mut Output, name: &str, value: &str) -> io::Result<()> {
    let (before, after) = output.paint.around(Style::Dim);
    write!(output, " {before}{}={after}{value}", text::one_line(name))
}

fn indented(output: &mut Output, style: Style, lines: &str) -> io::Result<()> {
    for line in lines.trim_end_matches('\n').lines() {
        writeln!(output, "    {}", output.paint.text(style, line))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::printed;
    use crate::cli::paint::Paint;
    use crate::cli::record::FULL;

    fn show(lines: &[&str], paint: Paint) -> String {
        printed(false, paint, |output| {
            let mut printer = Printer::default();
            for line in lines {
                printer.write(&serde_json::from_str(line).unwrap(), output).unwrap();
            }
        })
    }

    #[test]
    fn a_record_as_text() {
        let expected = "2026-11-21T10:00:00.123Z ERROR    billing app.views card \"4\" refused trace_id=17 z=1 \
                        user name=\"a b\" ok=true list=[1, \"x\"] plain=x\n    second line\n    Traceback:\n      \
                        File \"x\"\n    ValueError: 4\n";
        assert_eq!(show(&[FULL], Paint::Plain), expected);
    }

    #[test]
    fn columns_widen_and_stay() {
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
    fn no_field_can_reach_the_terminal() {
        let evil = r#"{"severity":"\u001b[2J","service":"\u001b[2J","logger":"\u001b\n","message":"\u001b[2J\n\u001b[2J",
            "timestamp":"\u001b[2J","trace_id":"\u001b[2J","event_name":"\u009b","attributes":{"\u001b[2J":"\u001b[2J",
            "b":{"\u001b":"\u009b"},"exception.stacktrace":"\u001b[2J"}}"#;
        let text = show(&[evil], Paint::Plain);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert_eq!(text.lines().count(), 3);
    }
}
