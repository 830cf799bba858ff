//! `logboom query`: finds records and shows them.

use std::io::{self, Write};

use clap::ArgMatches;

use super::client::{self, Answer, Client};
use super::output::{self, Output};
use super::printer::Printer;
use super::record::{self, Record};
use super::text;
use crate::failure::Failure;
use crate::limits::ANSWER_BYTES_MAX;
use crate::record::time;
use crate::view::query;

/// Asks the server and shows what it answers.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let order = matches.get_one::<String>("order").map(String::as_str);
    let parameters = parameters(matches, order, time::now())?;
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut writer = Writer::new(matches);
    let answer = Client::new(matches)?.get("/api/v1/records", &parameters, "application/x-ndjson")?;
    writer.begin(output).map_err(output::failed)?;
    match order {
        Some(_) => stream(answer, &mut writer, output)?,
        None => turn_round(answer, &mut writer, output)?,
    }
    output.finish()
}

/// The parameters of the request. Times relative to now become absolute here.
fn parameters(
    matches: &ArgMatches,
    order: Option<&str>,
    now: i64,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut parameters = Vec::new();
    if let Some(words) = matches.get_many::<String>("query") {
        let words: Vec<_> = words.map(String::as_str).collect();
        parameters.push(("q", words.join(" ")));
    }
    for name in ["since", "until"] {
        if let Some(text) = matches.get_one::<String>(name) {
            parameters.push((name, time::format(moment(name, text, now)?)));
        }
    }
    if let Some(limit) = matches.get_one::<u64>("limit") {
        parameters.push(("limit", limit.to_string()));
    }
    parameters.push(("order", order.unwrap_or("desc").into()));
    Ok(parameters)
}

/// A time in ns since the epoch, in any of the forms that queries take.
fn moment(name: &str, text: &str, now: i64) -> Result<i64, Failure> {
    query::time::parse(text, now).map_err(|_| {
        Failure::usage(format!("bad value for --{name}"))
            .because(format!("`{text}` is not a time"))
            .hint(query::time::FORMS)
    })
}

/// Shows records as they come.
fn stream(mut answer: Answer, writer: &mut Writer, output: &mut Output) -> Result<(), Failure> {
    let mut line = Vec::new();
    while answer.next_line(&mut line)? {
        writer.write(&line, output)?;
    }
    Ok(())
}

/// Shows the last of the records first.
fn turn_round(mut answer: Answer, writer: &mut Writer, output: &mut Output) -> Result<(), Failure> {
    let (mut lines, mut bytes, mut line) = (Vec::new(), 0, Vec::new());
    while answer.next_line(&mut line)? {
        bytes += line.len() as u64;
        if bytes > ANSWER_BYTES_MAX {
            return Err(Failure::new("cannot show the records in the order of time")
                .because(format!("they have more than {ANSWER_BYTES_MAX} bytes"))
                .hint("with --order asc or --order desc they are shown as they come, however many"));
        }
        lines.push(line.clone());
    }
    lines.iter().rev().try_for_each(|line| writer.write(line, output))
}

/// The formats in which records are shown.
enum Writer {
    Text(Printer),
    Json,
    Csv,
}

impl Writer {
    fn new(matches: &ArgMatches) -> Writer {
        match matches.get_one::<String>("format").map(String::as_str) {
            Some("json") => Writer::Json,
            Some("csv") => Writer::Csv,
            _ => Writer::Text(Printer::default()),
        }
    }

    fn begin(&self, output: &mut Output) -> io::Result<()> {
        match self {
            Writer::Csv => record::write_csv_heading(output),
            Writer::Text(_) | Writer::Json => Ok(()),
        }
    }

    /// Writes the record of one line of the answer; an empty line is none.
    fn write(&mut self, line: &[u8], output: &mut Output) -> Result<(), Failure> {
        if line.is_empty() {
            return Ok(());
        }
        let parse = || serde_json::from_slice::<Record<'_>>(line).map_err(client::not_understood);
        match self {
            Writer::Text(printer) => printer.write(&parse()?, output),
            Writer::Csv if output.is_terminal => write_csv_visibly(&parse()?, output),
            Writer::Csv => record::write_csv(&parse()?, output),
            Writer::Json => write_json(line, output),
        }
        .map_err(output::failed)
    }
}

/// The line as it came; on a terminal, its control characters escaped.
fn write_json(line: &[u8], output: &mut Output) -> io::Result<()> {
    match output.is_terminal {
        true => output.write_all(text::json(&String::from_utf8_lossy(line)).as_bytes())?,
        false => output.write_all(line)?,
    }
    output.write_all(b"\n")
}

fn write_csv_visibly(record: &Record<'_>, output: &mut Output) -> io::Result<()> {
    let mut row = Vec::new();
    record::write_csv(record, &mut row)?;
    output.write_all(text::lines(&String::from_utf8_lossy(&row)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments;
    use crate::cli::output::printed;
    use crate::cli::paint::Paint;
    use crate::cli::server::Server;

    const TWO: &str = "{\"id\":2,\"timestamp\":\"2026-11-21T10:00:02.000000000Z\",\"message\":\"new\\u001b\"}\n\
                       {\"id\":1,\"timestamp\":\"2026-11-21T10:00:01.000000000Z\",\"message\":\"old\\u009b\"}\n";

    /// Runs the command against a canned answer; what it printed, and what it asked.
    fn ask(arguments: &[&str], is_terminal: bool) -> (String, String) {
        let server = Server::start("200 OK", TWO);
        let words = ["logboom", "query", "--url", &server.url];
        let matches = arguments::command().get_matches_from(words.iter().chain(arguments));
        let matches = matches.subcommand().unwrap().1;
        let text = printed(is_terminal, Paint::Plain, |output| run(matches, output).unwrap());
        (text, server.request())
    }

    #[test]
    fn the_newest_in_the_order_of_time() {
        let (text, request) = ask(&["level>=warn", "a&b"], false);
        let expected = "2026-11-21T10:00:01.000Z -        - - old\\x9b\n2026-11-21T10:00:02.000Z -        - - new\\x1b\n";
        assert_eq!(text, expected);
        let (line, head) = request.split_once("\r\n").unwrap();
        assert_eq!(line, "GET /api/v1/records?q=level%3E%3Dwarn%20a%26b&limit=100&order=desc HTTP/1.1");
        assert!(head.to_ascii_lowercase().contains("accept: application/x-ndjson\r\n"), "{head}");
    }

    #[test]
    fn an_order_that_was_asked_for_is_kept() {
        let (text, request) = ask(&["--order", "desc", "--limit", "2", "--since", "2026-11-21"], false);
        assert!(text.find("new").unwrap() < text.find("old").unwrap(), "{text}");
        let since = "?since=2026-11-21T00%3A00%3A00.000000000Z&limit=2&order=desc ";
        assert!(request.contains(since), "{request}");
    }

    #[test]
    fn json_as_it_came_but_for_terminals() {
        assert_eq!(ask(&["--format", "json", "--order", "desc"], false).0, TWO);
        let raw = printed(true, Paint::Plain, |output| {
            write_json("{\"a\":\"\u{9b}\"}".as_bytes(), output).unwrap();
        });
        assert_eq!(raw, "{\"a\":\"\\u009b\"}\n");
    }

    #[test]
    fn csv_has_a_heading() {
        let (text, _) = ask(&["--format", "csv"], false);
        let rows: Vec<_> = text.split("\r\n").collect();
        assert!(
            rows[0].starts_with("id,time,")
                && rows[1].starts_with("1,2026-")
                && rows[2].starts_with("2,2026-")
        );
        assert!(rows[2].contains('\x1b'));
        assert!(!ask(&["--format", "csv"], true).0.contains('\x1b'));
    }

    #[test]
    fn moments() {
        let now = 1_795_255_200 * time::SECOND;
        assert_eq!(moment("since", "now", now).unwrap(), now);
        assert_eq!(moment("since", "1h", now).unwrap(), now - 3600 * time::SECOND);
        assert_eq!(moment("since", "1h30m", now).unwrap(), now - 5400 * time::SECOND);
        assert_eq!(moment("since", "2026-11-21T10:00:00Z", now).unwrap(), now);
        assert_eq!(moment("since", "1795255200", now).unwrap(), now);
        let failure = moment("until", "yesterday", now).unwrap_err().to_string();
        assert!(
            failure.starts_with("error: bad value for --until: `yesterday` is not a time\nhint: "),
            "{failure}"
        );
    }

    #[test]
    fn what_is_no_record_is_a_failure() {
        let mut writer = Writer::Text(Printer::default());
        printed(false, Paint::Plain, |output| {
            assert!(writer.write(b"<html>", output).unwrap_err().to_string().contains("cannot understand"));
        });
    }
}
