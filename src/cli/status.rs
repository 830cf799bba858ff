//! `logboom status`: what was received, shed and stored, on one page.
//!
//! The server's answer is read as a tree, and every known part that it contains is shown, so that
//! slightly older and newer servers work too.

use std::io::{self, Write};

use clap::ArgMatches;
use serde_json::Value;

use super::client::{self, Client};
use super::output::{self, Output};
use super::paint::Style;
use super::table::Table;
use super::text;
use crate::failure::Failure;

/// Requests the status and shows the answer.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let body = Client::new(matches)?.get("/api/v1/status", &[], "application/json")?.all()?;
    let status: Value = serde_json::from_slice(&body).map_err(client::not_understood)?;
    let is_json = matches.get_one::<String>("format").is_some_and(|format| format == "json");
    if is_json { write_json(&status, output) } else { write(&status, output) }.map_err(output::failed)?;
    output.finish()
}

fn write_json(status: &Value, output: &mut Output) -> io::Result<()> {
    let json = status.to_string();
    writeln!(output, "{}", if output.is_terminal() { text::json(&json) } else { json.as_str().into() })
}

fn write(status: &Value, output: &mut Output) -> io::Result<()> {
    write_heading(status, output)?;
    write_problems(status, output)?;
    write_spool(&status["spool"], output)?;
    write_sources(list(&status["sources"]), output)?;
    write_stores(list(&status["stores"]), output)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn write_heading(status: &Value, output: &mut Output) -> io::Result<()> {
    let (style, ready) = match status["ready"].as_bool() {
        Some(true) => (Style::Green, "ready"),
        _ => (Style::Red, "NOT READY"),
    };
    let name = output.paint.text(Style::Bold, &format!("logboom {}", text(&status["version"])));
    let ready = output.paint.text(style, ready);
    let up = duration(status["uptime_seconds"].as_f64().unwrap_or_default());
    writeln!(output, "{name}  {ready}  up {up}  memory {}", bytes(&status["memory_bytes"]))
}

fn write_problems(status: &Value, output: &mut Output) -> io::Result<()> {
    for problem in list(&status["problems"]) {
        writeln!(output, "{} {}", output.paint.text(Style::Red, "problem:"), text(problem))?;
    }
    match status["log_lines_dropped"].as_u64() {
        None | Some(0) => Ok(()),
        Some(lines) => {
            let lost = format!(
                "{} of the server's own log dropped: standard error was blocked",
                counted(lines, "line")
            );
            writeln!(output, "{}", output.paint.text(Style::Yellow, &lost))
        }
    }
}

fn write_spool(spool: &Value, output: &mut Output) -> io::Result<()> {
    section("spool", output)?;
    let share = 100.0 * spool["bytes"].as_f64().unwrap_or_default()
        / spool["bytes_max"].as_f64().unwrap_or(f64::INFINITY);
    writeln!(
        output,
        "{} of {} ({share:.1} %) in {}",
        bytes(&spool["bytes"]),
        bytes(&spool["bytes_max"]),
        counted(spool["segments"].as_u64().unwrap_or_default(), "segment"),
    )?;
    writeln!(
        output,
        "records from {} on; the next durable one gets {}",
        count(&spool["oldest_id"]),
        count(&spool["durable_id"]),
    )?;
    if spool["quarantined_bytes"].as_u64().unwrap_or_default() > 0 {
        let quarantined = format!("{} damaged and set aside", bytes(&spool["quarantined_bytes"]));
        writeln!(output, "{}", output.paint.text(Style::Red, &quarantined))?;
    }
    Ok(())
}

fn write_sources(sources: &[Value], output: &mut Output) -> io::Result<()> {
    section("sources", output)?;
    let names = ["source", "received", "accepted", "rejected", "shed", "truncated", "connections", "ever"];
    let mut table = Table::new(names);
    for source in sources {
        let counts = [
            count(&source["received"]),
            count(&source["accepted"]),
            thousands(total(&source["rejected"])),
            thousands(total(&source["shed"])),
            count(&source["truncated"]),
            count(&source["connections"]),
            count(&source["connections_total"]),
        ];
        let cells = counts.map(|count| (count, true));
        table.cells(std::iter::once((text(&source["source"]), false)).chain(cells));
    }
    table.write(output)?;
    for source in sources {
        for (kind, words) in [
            ("rejected", "rejected"),
            ("dead_letters_suppressed", "dead letters suppressed"),
            ("shed", "shed"),
        ] {
            write_reasons(&text(&source["source"]), words, &source[kind], output)?;
        }
    }
    Ok(())
}

/// Writes `rejected by python 127.0.0.1:9020: 3 malformed, 1 too_large`, if any number is not 0.
fn write_reasons(source: &str, kind: &str, reasons: &Value, output: &mut Output) -> io::Result<()> {
    let reasons = reasons.as_object().into_iter().flatten();
    let told: Vec<_> = reasons
        .filter(|(_, number)| number.as_u64() != Some(0))
        .map(|(reason, number)| format!("{} {}", count(number), text::one_line(reason)))
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    let line = format!("{kind} by {source}: {}", told.join(", "));
    writeln!(output, "{}", output.paint.text(Style::Yellow, &line))
}

fn write_stores(stores: &[Value], output: &mut Output) -> io::Result<()> {
    section("stores", output)?;
    let mut table = Table::new(["store", "kind", "position", "behind", "stored", "dead letters"]);
    for store in stores {
        let counts =
            ["position", "lag_records", "stored", "dead_letters"].map(|name| (count(&store[name]), true));
        let names = ["name", "kind"].map(|name| (text(&store[name]), false));
        table.cells(names.into_iter().chain(counts));
    }
    table.write(output)?;
    for store in stores.iter().filter(|store| !store["last_error"].is_null()) {
        let line = format!("last error of {}: {}", text(&store["name"]), text(&store["last_error"]));
        writeln!(output, "{}", output.paint.text(Style::Red, &line))?;
    }
    Ok(())
}

fn section(name: &str, output: &mut Output) -> io::Result<()> {
    writeln!(output, "\n{}", output.paint.text(Style::Dim, &format!("-- {name} --")))
}

/// Returns a text as one line, any other value as JSON, and `-` for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text::one_line(text).into_owned(),
        other => text::json(&other.to_string()).into_owned(),
    }
}

/// Formats a number with separated thousands; `-` for null.
fn count(value: &Value) -> String {
    value.as_u64().map_or_else(|| text(value), thousands)
}

/// Returns the sum of the numbers of an object.
fn total(reasons: &Value) -> u64 {
    reasons
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, number)| number.as_u64())
        .fold(0, u64::saturating_add)
}

/// Formats a number with its noun: `1 segment`, `2 segments`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// Formats a number with separated thousands.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a number of bytes in the largest unit in which it is not below 1.
fn bytes(value: &Value) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let Some(number) = value.as_f64() else { return text(value) };
    if number < 1024.0 {
        return format!("{number} B");
    }
    let (mut scaled, mut unit) = (number / 1024.0, 0);
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// Formats seconds in the two largest units: `3 d 4 h`.
fn duration(seconds: f64) -> String {
    // Whole seconds are enough for a person. Negative numbers and NaN become 0, infinity becomes
    // the largest number.
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments;
    use crate::cli::output::printed;
    use crate::cli::paint::Paint;
    use crate::cli::server::Server;

    const STATUS: &str = r#"{"version":"0.1.0","uptime_seconds":93784,"log_lines_dropped":7,"ready":false,"problems":["disk full \u001b"],
        "memory_bytes":15000000,"spool":{"durable_id":1234568,"oldest_id":1,"bytes":1610612736,
        "bytes_max":4294967296,"segments":96,"quarantined_bytes":512},"sources":[{"source":"python 127.0.0.1:9020",
        "received":1000,"accepted":996,"rejected":{"malformed":3,"too_large":1},"dead_letters_suppressed":{"malformed":2},"shed":{"full":0},"truncated":2,
        "connections":5,"connections_total":70}],"stores":[{"name":"sqlite","kind":"sqlite","position":1234568,
        "lag_records":0,"stored":1234567,"dead_letters":0,"last_error":null},{"name":"file","kind":"file","position":5,
        "lag_records":9,"stored":5,"dead_letters":1,"last_error":"no space\nleft"}]}"#;

    fn ask(format: &str) -> String {
        let server = Server::start("200 OK", STATUS);
        let words = ["logboom", "status", "--url", &server.url, "--format", format];
        let matches = arguments::command().get_matches_from(words);
        printed(false, Paint::Plain, |output| run(matches.subcommand().unwrap().1, output).unwrap())
    }

    #[test]
    fn text_has_every_section() {
        let expected = "\
logboom 0.1.0  NOT READY  up 1 d 2 h  memory 14.3 MiB
problem: disk full \\x1b
7 lines of the server's own log dropped: standard error was blocked

-- spool --
1.5 GiB of 4.0 GiB (37.5 %) in 96 segments
records from 1 on; the next durable one gets 1,234,568
512 B damaged and set aside

-- sources --
source                 received  accepted  rejected  shed  truncated  connections  ever
python 127.0.0.1:9020     1,000       996         4     0          2            5    70
rejected by python 127.0.0.1:9020: 3 malformed, 1 too_large
dead letters suppressed by python 127.0.0.1:9020: 2 malformed

-- stores --
store   kind     position  behind     stored  dead letters
sqlite  sqlite  1,234,568       0  1,234,567             0
file    file            5       9          5             1
last error of file: no space\\nleft
";
        assert_eq!(ask("text"), expected);
    }

    #[test]
    fn json_is_the_complete_answer() {
        let json: Value = serde_json::from_str(&ask("json")).unwrap();
        assert_eq!(json, serde_json::from_str::<Value>(STATUS).unwrap());
    }

    #[test]
    fn empty_answer_is_shown() {
        let page = printed(false, Paint::Plain, |output| write(&Value::Null, output).unwrap());
        assert!(page.starts_with("logboom -  NOT READY  up 0 s  memory -\n"), "{page}");
    }

    #[test]
    fn numbers_are_formatted_with_units() {
        assert_eq!([1, 999, 1000, 1_234_567].map(thousands), ["1", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 59.0, 61.0, 3660.0].map(duration), ["0 s", "59 s", "1 min 1 s", "1 h 1 min"]);
        assert_eq!(bytes(&Value::from(1u64 << 62)), "4096.0 PiB");
    }
}
