//! `logboom delete`: shows which records would be deleted, asks for confirmation, and deletes them.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Write};

use clap::ArgMatches;
use serde::Deserialize;

use crate::cli::client::{ApiClient, http, parameters};
use crate::cli::terminal::{Output, TextTable, numbers::counted, output, text};
use crate::failure::Failure;
use crate::limits::DELETE_SERVICES_MAX;
use crate::record::time;

/// The server's answer to one request.
#[derive(Deserialize)]
struct DeletionReport {
    matched: u64,
    by_service: Vec<ServiceCount>,
    #[serde(default)]
    by_other_services: u64,
    stores: Vec<StoreCount>,
    not_searched: Vec<String>,
    cursor: String,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct ServiceCount {
    service: String,
    count: u64,
}

#[derive(Deserialize)]
struct StoreCount {
    name: String,
    matched: u64,
    deleted: u64,
}

/// The sum of several answers.
#[derive(Default)]
struct Sum {
    matched: u64,
    by_service: BTreeMap<String, u64>,
    of_others: u64,
    /// For each store: its name, the number of matching records, and the number of deleted records.
    stores: Vec<(String, u64, u64)>,
    not_searched: Vec<String>,
    /// The cursor of the first answer. Records that arrived since are not part of the deletion.
    beginning: Option<String>,
}

impl Sum {
    fn add(&mut self, answer: DeletionReport) {
        self.matched += answer.matched;
        for ServiceCount { service, count } in answer.by_service {
            if self.by_service.len() < DELETE_SERVICES_MAX || self.by_service.contains_key(&service) {
                *self.by_service.entry(service).or_default() += count;
            } else {
                self.of_others += count;
            }
        }
        self.of_others += answer.by_other_services;
        self.stores.resize_with(answer.stores.len(), Default::default);
        for (known, store) in self.stores.iter_mut().zip(answer.stores) {
            *known = (store.name, known.1 + store.matched, known.2 + store.deleted);
        }
        self.not_searched = answer.not_searched;
        self.beginning.get_or_insert(answer.cursor);
    }

    /// Returns true if none of the databases has a matching record.
    fn is_empty(&self) -> bool {
        self.stores.iter().all(|(_, matched, _)| *matched == 0)
    }
}

/// A requested deletion.
struct DeletionRequest {
    query: String,
    before: String,
    all: bool,
}

/// Counts the matching records, asks for confirmation and deletes them.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let client = ApiClient::new(matches)?;
    let deletion = requested(matches, time::now())?;
    let mut found = Sum::default();
    deletion.send(&client, true, None, &mut found)?;
    let shown = write_found(&found, &deletion, output).and_then(|()| output.finish());
    // With --yes, a reader that does not read the output is no failure: the deletion was confirmed
    // in the same command.
    shown.or_else(|failure| match matches.get_flag("yes") && output::is_reader_gone(&failure) {
        true => Ok(()),
        false => Err(failure),
    })?;
    if matches.get_flag("dry-run") {
        return Ok(());
    }
    if !found.is_empty() && !matches.get_flag("yes") && !is_confirmed()? {
        return writeln!(output, "nothing was deleted");
    }
    // Also sent if nothing matches any more: an earlier deletion may have been interrupted before
    // it had cleaned up the files.
    let mut done = Sum::default();
    let result = deletion.send(&client, false, found.beginning.take(), &mut done);
    if found.is_empty() {
        return result;
    }
    let told = write_done(&done, output).and_then(|()| output.finish());
    result.and(told)
}

fn requested(matches: &ArgMatches, now: i64) -> Result<DeletionRequest, Failure> {
    let query = parameters::query_text(matches);
    let all = matches.get_flag("all");
    if query.trim().is_empty() && !all {
        return Err(Failure::usage("the query is empty")
            .because("an empty query matches every record")
            .hint("enter a query that selects the records to delete, or add --all"));
    }
    let before = parameters::moment("before", matches, now)?.unwrap_or_default();
    Ok(DeletionRequest { query, before, all })
}

impl DeletionRequest {
    /// Sends as many requests as the server needs for the whole deletion, and adds up their
    /// answers.
    fn send(
        &self,
        client: &ApiClient,
        is_dry: bool,
        mut cursor: Option<String>,
        sum: &mut Sum,
    ) -> Result<(), Failure> {
        loop {
            let DeletionRequest { query, before, all } = self;
            let request = serde_json::json!({
                "query": query, "before": before, "all": all, "dry_run": is_dry, "cursor": cursor
            });
            let response = client.post("/api/v1/delete", request.to_string().as_bytes())?;
            let mut answer: DeletionReport = http::parse(&response.all()?)?;
            cursor = answer.next_cursor.take();
            sum.add(answer);
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}

fn write_found(found: &Sum, deletion: &DeletionRequest, output: &mut Output) -> Result<(), Failure> {
    let before = &deletion.before;
    if found.is_empty() {
        return writeln!(output, "no record before {before} matches");
    }
    let mut services: Vec<_> = found.by_service.iter().collect();
    services.sort_by(|one, other| other.1.cmp(one.1));
    let mut table = TextTable::new(["service", "records"]);
    for (service, count) in services {
        table.cells([(text::or_dash(service).into_owned(), false), (count.to_string(), true)]);
    }
    if found.of_others > 0 {
        table.cells([("(others)".into(), false), (found.of_others.to_string(), true)]);
    }
    table.write(output)?;
    writeln!(output, "{} before {before}", counted(found.matched, "record"))?;
    for (name, matched, _) in found.stores.iter().skip(1) {
        writeln!(output, "and {} in the store {name}", counted(*matched, "record"))?;
    }
    for name in &found.not_searched {
        writeln!(output, "the store {name} is a log file: its records are not deleted")?;
    }
    Ok(())
}

fn write_done(done: &Sum, output: &mut Output) -> Result<(), Failure> {
    for (name, _, deleted) in &done.stores {
        writeln!(output, "deleted {} from {name}", counted(*deleted, "record"))?;
    }
    Ok(())
}

fn is_confirmed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("cannot ask for confirmation")
            .because("standard input is not a terminal")
            .hint("--yes deletes without asking"));
    }
    // Errors are ignored: a person who cannot read the question will not answer it.
    let _ = write!(io::stderr(), "Delete them permanently? [y/N] ");
    let _ = io::stderr().flush();
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::new("cannot read the answer").because(error))?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments;
    use crate::cli::commands::testing::run_against;

    const FOUND: &str = r#"{"matched":1203,"deleted":0,"by_service":[{"service":"billing","count":1200},
        {"service":"","count":3}],"stores":[{"name":"sqlite","matched":1203,"deleted":0},
        {"name":"archive","matched":7,"deleted":0}],"not_searched":["file"],"dry_run":true,"partial":false,
        "cursor":"0-0-9-0-5","next_cursor":null}"#;

    fn ask(arguments: &[&str]) -> (String, Result<(), Failure>, String) {
        let words = [&["delete"][..], arguments].concat();
        run_against(&[("200 OK", FOUND.into())], &words, None)
    }

    #[test]
    fn dry_run_counts_matching_records() {
        let (text, result, request) = ask(&["secret", "user:4", "--before", "2026-11-21", "--dry-run"]);
        result.unwrap();
        let expected = "\
service  records
billing     1200
-              3
1,203 records before 2026-11-21T00:00:00.000000000Z
and 7 records in the store archive
the store file is a log file: its records are not deleted
";
        assert_eq!(text, expected);
        assert!(request.starts_with("POST /api/v1/delete HTTP/1.1\r\n"), "{request}");
        assert!(request.to_ascii_lowercase().contains("content-type: application/json\r\n"), "{request}");
        for part in [
            "\"query\":\"secret user:4\"",
            "\"dry_run\":true",
            "\"before\":\"2026-11-21T00:00:00.000000000Z\"",
        ] {
            assert!(request.contains(part), "{request}");
        }
    }

    /// Runs a deletion whose requests get these answers. Returns its output, its result and the
    /// requests.
    fn done(answers: &[(&str, String)]) -> (String, Result<(), Failure>, String) {
        run_against(answers, &["delete", "secret", "--before", "2026-11-21", "--yes"], None)
    }

    /// Otherwise what an interrupted deletion has left in the files would stay there for good.
    #[test]
    fn deletion_without_matches_cleans_up_files() {
        let nothing =
            FOUND.replace("1203", "0").replace(":7,", ":0,").replace("1200", "0").replace(":3}", ":0}");
        let (text, result, requests) = done(&[("200 OK", nothing.clone()), ("200 OK", nothing)]);
        result.unwrap();
        assert_eq!(text, "no record before 2026-11-21T00:00:00.000000000Z matches\n");
        let (dry, wet) = requests.split_at(requests.rfind("POST").unwrap());
        assert!(dry.contains("\"dry_run\":true"), "{dry}");
        assert!(wet.contains("\"dry_run\":false") && wet.contains("\"cursor\":\"0-0-9-0-5\""), "{wet}");
    }

    #[test]
    fn deletions_before_a_failure_are_reported() {
        let part = FOUND.replace("\"deleted\":0", "\"deleted\":500").replace("null", "\"0-7-9-0-5\"");
        let refusal = ("503 Service Unavailable", r#"{"title":"the deletion was stopped"}"#.to_owned());
        let (text, result, _) = done(&[("200 OK", FOUND.into()), ("200 OK", part), refusal]);
        assert!(
            text.ends_with("deleted 500 records from sqlite\ndeleted 500 records from archive\n"),
            "{text}"
        );
        assert!(result.unwrap_err().to_string().contains("the deletion was stopped"));
    }

    #[test]
    fn deletion_without_confirmation_is_refused() {
        let (_, result, _) = ask(&["secret", "--before", "now"]);
        // A test has no terminal (and if it has one, it gets no answer there).
        assert!(result.is_err() || io::stdin().is_terminal());
    }

    #[test]
    fn empty_query_requires_the_flag_all() {
        let matches = arguments::command().get_matches_from(["logboom", "delete", " ", "--before", "now"]);
        let matches = matches.subcommand().unwrap().1;
        let Err(failure) = requested(matches, 0) else { panic!("it must fail") };
        assert!(failure.to_string().contains("--all"), "{failure}");
    }
}
