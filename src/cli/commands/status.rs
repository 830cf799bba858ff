//! `logboom status`: what was received, shed and stored, on one page.
//!
//! The server's answer is read as a tree, and every known part that it contains is shown, so that
//! slightly older and newer servers work too.

use clap::ArgMatches;
use serde_json::Value;

use crate::cli::arguments;
use crate::cli::client::{ApiClient, http};
use crate::cli::terminal::{Output, Style, TextTable, numbers, text};
use crate::failure::Failure;

/// Requests the status and shows the answer.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let response = ApiClient::new(matches)?.get("/api/v1/status", &[], "application/json")?;
    let status: Value = http::parse(&response.all()?)?;
    match arguments::text(matches, "format") {
        Some("json") => output.write_json(status.to_string().as_bytes()),
        _ => write(&status, output),
    }
}

fn write(status: &Value, output: &mut Output) -> Result<(), Failure> {
    write_heading(status, output)?;
    write_problems(status, output)?;
    write_spool(&status["spool"], output)?;
    write_sources(list(&status["sources"]), output)?;
    write_stores(list(&status["stores"]), output)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn write_heading(status: &Value, output: &mut Output) -> Result<(), Failure> {
    let (style, ready) = match status["ready"].as_bool() {
        Some(true) => (Style::Green, "ready"),
        _ => (Style::Red, "NOT READY"),
    };
    let name = output.paint.text(Style::Bold, &format!("logboom {}", text(&status["version"])));
    let ready = output.paint.text(style, ready);
    let up = numbers::duration(status["uptime_seconds"].as_f64().unwrap_or_default());
    writeln!(output, "{name}  {ready}  up {up}  memory {}", bytes(&status["memory_bytes"]))
}

fn write_problems(status: &Value, output: &mut Output) -> Result<(), Failure> {
    for problem in list(&status["problems"]) {
        writeln!(output, "{} {}", output.paint.text(Style::Red, "problem:"), text(problem))?;
    }
    match status["log_lines_dropped"].as_u64() {
        None | Some(0) => Ok(()),
        Some(lines) => {
            let lost = format!(
                "{} of the server's own log dropped: standard error was blocked",
                numbers::counted(lines, "line")
            );
            writeln!(output, "{}", output.paint.text(Style::Yellow, &lost))
        }
    }
}

fn write_spool(spool: &Value, output: &mut Output) -> Result<(), Failure> {
    section("spool", output)?;
    let share = 100.0 * spool["bytes"].as_f64().unwrap_or_default()
        / spool["bytes_max"].as_f64().unwrap_or(f64::INFINITY);
    writeln!(
        output,
        "{} of {} ({share:.1} %) in {}",
        bytes(&spool["bytes"]),
        bytes(&spool["bytes_max"]),
        numbers::counted(spool["segments"].as_u64().unwrap_or_default(), "segment"),
    )?;
    writeln!(
        output,
        "records from {} on; the next durable one gets {}",
        count(&spool["oldest_id"]),
        count(&spool["durable_id"]),
    )?;
    if spool["quarantined_bytes"].as_u64().unwrap_or_default() > 0 {
        let quarantined = format!("{} damaged and quarantined", bytes(&spool["quarantined_bytes"]));
        writeln!(output, "{}", output.paint.text(Style::Red, &quarantined))?;
    }
    Ok(())
}

fn write_sources(sources: &[Value], output: &mut Output) -> Result<(), Failure> {
    section("sources", output)?;
    let names = ["source", "received", "accepted", "rejected", "shed", "truncated", "connections", "ever"];
    let mut table = TextTable::new(names);
    for source in sources {
        let counts = [
            count(&source["received"]),
            count(&source["accepted"]),
            numbers::thousands(total(&source["rejected"])),
            numbers::thousands(total(&source["shed"])),
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
fn write_reasons(source: &str, kind: &str, reasons: &Value, output: &mut Output) -> Result<(), Failure> {
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

fn write_stores(stores: &[Value], output: &mut Output) -> Result<(), Failure> {
    section("stores", output)?;
    let mut table = TextTable::new(["store", "kind", "position", "behind", "stored", "dead letters"]);
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

fn section(name: &str, output: &mut Output) -> Result<(), Failure> {
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

/// Formats a number with separated numbers::thousands; `-` for null.
fn count(value: &Value) -> String {
    value.as_u64().map_or_else(|| text(value), numbers::thousands)
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

/// Formats a number of bytes; any other value is shown unchanged.
fn bytes(value: &Value) -> String {
    value.as_f64().map_or_else(|| text(value), numbers::bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::testing::run_against;
    use crate::cli::terminal::{output::printed, paint::Paint};

    const STATUS: &str = r#"{"version":"0.1.0","uptime_seconds":93784,"log_lines_dropped":7,"ready":false,"problems":["disk full \u001b"],
        "memory_bytes":15000000,"spool":{"durable_id":1234568,"oldest_id":1,"bytes":1610612736,
        "bytes_max":4294967296,"segments":96,"quarantined_bytes":512},"sources":[{"source":"python 127.0.0.1:9020",
        "received":1000,"accepted":996,"rejected":{"malformed":3,"too_large":1},"dead_letters_suppressed":{"malformed":2},"shed":{"full":0},"truncated":2,
        "connections":5,"connections_total":70}],"stores":[{"name":"sqlite","kind":"sqlite","position":1234568,
        "lag_records":0,"stored":1234567,"dead_letters":0,"last_error":null},{"name":"file","kind":"file","position":5,
        "lag_records":9,"stored":5,"dead_letters":1,"last_error":"no space\nleft"}]}"#;

    fn ask(format: &str) -> String {
        let words = ["status", "--format", format];
        let (text, result, _) = run_against(&[("200 OK", STATUS.into())], &words, None);
        result.unwrap();
        text
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
512 B damaged and quarantined

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
}
