//! `logboom query`: finds records and shows them.

use clap::ArgMatches;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::follow::Follow;
use crate::cli::arguments;
use crate::cli::client::{ApiClient, ServerResponse, http, parameters, record::id_of};
use crate::cli::terminal::{Output, RecordWriter, output};
use crate::failure::Failure;
use crate::limits::ANSWER_BYTES_MAX;
use crate::query::Query;
use crate::record::time;

/// Default number of records shown of a search.
const LIMIT: u64 = 100;
/// Default number of records shown of a trace, which is to be complete.
const TRACE_LIMIT: u64 = 10_000;

/// Sends the query to the server and shows the answer.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    match matches.get_one::<u64>("around") {
        Some(id) => around(*id, matches, output),
        None => search(matches, output),
    }
}

fn search(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let order = order(matches);
    let mut parameters = search_parameters(matches, time::now())?;
    let is_trace = matches.contains_id("trace");
    let limit = matches.get_one::<u64>("limit").copied();
    parameters.push(("limit", limit.unwrap_or(if is_trace { TRACE_LIMIT } else { LIMIT }).to_string()));
    parameters.push(("order", order.unwrap_or("desc").into()));
    let mut writer = RecordWriter::new(matches, None, output)?;
    let client = ApiClient::new(matches)?;
    let stored = matches.get_flag("follow").then(|| stored_to(&client)).transpose()?;
    let answer = client.get("/api/v1/records", &parameters, "application/x-ndjson")?;
    writer.begin(output)?;
    if order.is_some() {
        let found = write_all(answer, &mut writer, output)?;
        writer.write_held(true, output)?;
        note_if_none(found, output);
        return Ok(());
    }
    let newest = write_reversed(answer, &mut writer, output)?;
    writer.write_held(stored.is_none(), output)?;
    let Some(stored_to) = stored else {
        note_if_none(newest.is_some(), output);
        return Ok(());
    };
    output.finish()?;
    let query = parameters.into_iter().find_map(|(name, value)| (name == "q").then_some(value));
    let after = Some((stored_to - 1).to_string());
    let follow = Follow { client, query: query.unwrap_or_default(), last: 0, after };
    // Records that were stored after the status request are part of the search result, and the
    // stream sends them again.
    follow.run(output, |record, output| match newest {
        Some(newest) if id_of(record)? <= newest => Ok(()),
        _ => writer.write(record, output),
    })
}

/// Returns the first id that the database has yet to store: a search finds all records before it,
/// and the server can still send all records from it on to a follower.
fn stored_to(client: &ApiClient) -> Result<u64, Failure> {
    #[derive(Deserialize)]
    struct Status {
        stores: Vec<StoreStatus>,
    }
    #[derive(Deserialize)]
    struct StoreStatus {
        kind: String,
        position: u64,
    }
    let status: Status = http::parse(&client.get("/api/v1/status", &[], "application/json")?.all()?)?;
    let mut databases = status.stores.iter().filter(|store| store.kind != "file");
    Ok(databases.next().map_or(1, |database| database.position.max(1)))
}

/// Returns the order that was requested. A trace is shown from its beginning, unless its end is
/// followed.
fn order(matches: &ArgMatches) -> Option<&str> {
    let order = arguments::text(matches, "order");
    let is_whole_trace = matches.contains_id("trace") && !matches.get_flag("follow");
    order.or(is_whole_trace.then_some("asc"))
}

/// Returns the parameters that select the records.
fn search_parameters(matches: &ArgMatches, now: i64) -> Result<Vec<(&'static str, String)>, Failure> {
    let text = parameters::query_text(matches);
    let query = match arguments::text(matches, "trace") {
        Some(trace) => of_trace(trace, &text, now)?,
        None => text,
    };
    parameters::search(query, matches, now)
}

/// Builds a query for what another query finds in one trace. Errors in that other query must be
/// reported before the two are joined.
fn of_trace(trace: &str, text: &str, now: i64) -> Result<String, Failure> {
    let quoted = trace.replace('\\', "\\\\").replace('"', "\\\"");
    let trace = format!("trace_id:\"{quoted}\"");
    if text.is_empty() {
        return Ok(trace);
    }
    Query::parse(text, now).map_err(|error| {
        Failure::usage("invalid query")
            .because(format!("{}\n{}", error.problem, error.render(text)))
            .hint(error.problem.hint())
    })?;
    Ok(format!("{trace} ({text})"))
}

/// Notes that no record matches if a person waits at a terminal; a program sees it from the output.
fn note_if_none(is_found: bool, output: &Output) {
    if !is_found && output.is_terminal() {
        output::note("no record matches");
    }
}

/// Shows records as they arrive. Returns true if there were any.
fn write_all(
    mut answer: ServerResponse,
    writer: &mut RecordWriter,
    output: &mut Output,
) -> Result<bool, Failure> {
    let (mut line, mut is_found) = (Vec::new(), false);
    while answer.next_line(&mut line)? {
        writer.write(&line, output)?;
        is_found = true;
    }
    Ok(is_found)
}

/// Shows the records in reverse order. Returns the id of the first record of the answer, the
/// newest.
fn write_reversed(
    mut answer: ServerResponse,
    writer: &mut RecordWriter,
    output: &mut Output,
) -> Result<Option<u64>, Failure> {
    let (mut lines, mut bytes, mut line) = (Vec::new(), 0, Vec::new());
    while answer.next_line(&mut line)? {
        bytes += line.len() as u64;
        if bytes > ANSWER_BYTES_MAX {
            return Err(Failure::new("cannot show the records in the order of time")
                .because(format!("they have more than {ANSWER_BYTES_MAX} bytes"))
                .hint("with --order asc or --order desc they are shown as they arrive, in any number"));
        }
        lines.push(line.clone());
    }
    lines.iter().rev().try_for_each(|line| writer.write(line, output))?;
    lines.first().map(|line| id_of(line)).transpose()
}

/// The server's answer for the surroundings of a record.
#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
    #[serde(default)]
    partial: bool,
}

/// Shows a record with the records before and after it.
fn around(id: u64, matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let count = |name| matches.get_one::<u64>(name).map_or_else(|| "10".into(), u64::to_string);
    let scope = arguments::text(matches, "scope").unwrap_or("service");
    let parameters = [("before", count("before")), ("after", count("after")), ("scope", scope.into())];
    let mut writer = RecordWriter::new(matches, Some(id), output)?;
    let path = format!("/api/v1/records/{id}/context");
    let body = ApiClient::new(matches)?.get(&path, &parameters, "application/json")?.all()?;
    let context: Context<'_> = http::parse(&body)?;
    writer.begin(output)?;
    context.records.iter().try_for_each(|record| writer.write(record.get().as_bytes(), output))?;
    writer.write_held(true, output)?;
    if context.partial {
        output.finish()?;
        output::note("the search ended before it had found all of them; --scope all finds them faster");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments;
    use crate::cli::commands::testing::run_against;
    use crate::cli::terminal::Screen;

    const TWO: &str = "{\"id\":2,\"timestamp\":\"2026-11-21T10:00:02.000000000Z\",\"message\":\"new\\u001b\"}\n\
                       {\"id\":1,\"timestamp\":\"2026-11-21T10:00:01.000000000Z\",\"message\":\"old\\u009b\"}\n";

    /// Runs the command against a canned answer. Returns what the command printed, and its request.
    fn ask_for(body: &str, arguments: &[&str], is_terminal: bool) -> (String, String) {
        let words = [&["query"][..], arguments].concat();
        let screen = is_terminal.then_some(Screen { columns: 80, rows: 24, is_unicode: true });
        let (text, result, request) = run_against(&[("200 OK", body.into())], &words, screen);
        result.unwrap();
        (text, request)
    }

    fn ask(arguments: &[&str], is_terminal: bool) -> (String, String) {
        ask_for(TWO, arguments, is_terminal)
    }

    #[test]
    fn newest_records_are_shown_in_order_of_time() {
        let (text, request) = ask(&["level>=warn", "a&b"], false);
        let expected = "2026-11-21T10:00:01.000Z -        - - old\\x9b\n2026-11-21T10:00:02.000Z -        - - new\\x1b\n";
        assert_eq!(text, expected);
        let (line, head) = request.split_once("\r\n").unwrap();
        assert_eq!(line, "GET /api/v1/records?q=level%3E%3Dwarn%20a%26b&limit=100&order=desc HTTP/1.1");
        assert!(head.to_ascii_lowercase().contains("accept: application/x-ndjson\r\n"), "{head}");
    }

    #[test]
    fn requested_order_is_kept() {
        let (text, request) = ask(&["--order", "desc", "--limit", "2", "--since", "2026-11-21"], false);
        assert!(text.find("new").unwrap() < text.find("old").unwrap(), "{text}");
        let since = "?since=2026-11-21T00%3A00%3A00.000000000Z&limit=2&order=desc ";
        assert!(request.contains(since), "{request}");
    }

    #[test]
    fn csv_begins_with_a_heading() {
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
    fn trace_is_shown_from_its_beginning() {
        let (text, request) = ask(&["--trace", "a\"7"], false);
        assert!(text.find("new").unwrap() < text.find("old").unwrap(), "as the server sends it: {text}");
        assert!(
            request.starts_with("GET /api/v1/records?q=trace_id%3A%22a%5C%227%22&limit=10000&order=asc "),
            "{request}"
        );
        let (_, request) = ask(&["--trace", "7", "a OR b", "--limit=5"], false);
        assert!(request.contains("?q=trace_id%3A%227%22%20(a%20OR%20b)&limit=5&order=asc "), "{request}");
    }

    #[test]
    fn query_cannot_escape_from_its_trace() {
        let failure = of_trace("7", "a) OR (b", 0).unwrap_err();
        let expected = "error: invalid query: nothing opens this parenthesis\na) OR (b\n ^\nhint: ";
        assert!(failure.to_string().starts_with(expected), "{failure}");
    }

    #[test]
    fn around_shows_a_record_in_its_surroundings() {
        let body = r#"{"records":[{"id":1,"timestamp":"2026-11-21T10:00:01.000000000Z","message":"before"},
            {"id":2,"timestamp":"2026-11-21T10:00:02.000000000Z","message":"this"}],"partial":false}"#;
        let (text, request) = ask_for(body, &["--around", "2", "--before", "1"], false);
        let expected =
            "  2026-11-21T10:00:01.000Z -        - - before\n> 2026-11-21T10:00:02.000Z -        - - this\n";
        assert_eq!(text, expected);
        assert!(
            request.starts_with("GET /api/v1/records/2/context?before=1&after=10&scope=service "),
            "{request}"
        );
        let (text, _) = ask_for(body, &["--around=2", "--scope=all"], true);
        let expected =
            "-- 2026-11-21 UTC --\n  10:00:01.000 -    - - before id=1\n> 10:00:02.000 -    - - this id=2\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn follow_shows_new_records_after_found_ones_once() {
        let record = |id| format!("{{\"id\":{id},\"message\":\"m{id}\"}}");
        let event = |id| format!("id: {id}\nevent: record\ndata: {}\n\n", record(id));
        let responses = [
            ("200 OK", r#"{"stores":[{"kind":"file","position":1},{"kind":"sqlite","position":4}]}"#.into()),
            ("200 OK", format!("{}\n{}\n", record(5), record(2))),
            ("200 OK", [4, 5, 6].map(event).concat()),
            ("400 Bad Request", r#"{"title":"enough"}"#.into()),
        ];
        let (text, result, requests) =
            run_against(&responses, &["query", "-f", "m*", "--fields=message"], None);
        assert_eq!(result.unwrap_err().to_string(), "error: enough");
        assert_eq!(text, "m2\nm5\nm6\n");
        let paths: Vec<_> =
            requests.lines().filter_map(|line| line.strip_prefix("GET ")?.split(' ').next()).collect();
        assert_eq!(
            paths,
            [
                "/api/v1/status",
                "/api/v1/records?q=m*&limit=100&order=desc",
                "/api/v1/tail?q=m*&last_event_id=3",
                "/api/v1/tail?q=m*&last_event_id=6",
            ]
        );
    }

    #[test]
    fn follow_excludes_every_other_order() {
        let order_of = |arguments: &[&str]| {
            let matches = arguments::command().get_matches_from(["logboom", "query"].iter().chain(arguments));
            order(matches.subcommand().unwrap().1).map(str::to_owned)
        };
        assert_eq!(order_of(&["--trace=7"]).as_deref(), Some("asc"));
        assert_eq!((order_of(&["--trace=7", "-f"]), order_of(&["--follow"])), (None, None));
        for other in ["--order=asc", "--until=1h", "--around=7"] {
            assert!(arguments::command().try_get_matches_from(["logboom", "query", "-f", other]).is_err());
        }
    }
}
