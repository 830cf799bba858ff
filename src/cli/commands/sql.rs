//! `logboom sql`: one query in the database's own dialect.

use std::io;

use clap::ArgMatches;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::arguments;
use crate::cli::client::{ApiClient, http, record::json_object};
use crate::cli::terminal::{Output, TextTable, output};
use crate::failure::Failure;
use crate::record::csv;

/// The server's answer.
#[derive(Deserialize)]
struct SqlResult<'a> {
    columns: Vec<String>,
    #[serde(borrow)]
    rows: Vec<Vec<&'a RawValue>>,
    /// Whether there were more rows than the server returns.
    #[serde(default)]
    truncated: bool,
}

/// Sends the query to the server and shows the answer.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let sql = arguments::text(matches, "sql").unwrap_or_default();
    let request = serde_json::json!({ "sql": sql }).to_string();
    let body = ApiClient::new(matches)?.post("/api/v1/sql", request.as_bytes())?.all()?;
    let answer: SqlResult<'_> = http::parse(&body)?;
    match arguments::text(matches, "format") {
        Some("json") => write_json(&answer, output),
        Some("csv") => write_csv(&answer, output),
        _ => write_table(&answer, output),
    }?;
    output.finish()?;
    if answer.truncated {
        let count = answer.rows.len();
        output::note(&format!("only the first {count} rows; the server's `query_rows_max` allows no more"));
    }
    Ok(())
}

/// Returns the text of a cell, and whether it is a number.
fn cell(value: &RawValue) -> (String, bool) {
    let json = value.get();
    match json.as_bytes() {
        [b'"', ..] => (serde_json::from_str(json).unwrap_or_else(|_| json.into()), false),
        [b'-' | b'0'..=b'9', ..] => (json.into(), true),
        b"null" => ("NULL".into(), false),
        _ => (json.into(), false),
    }
}

fn write_table(answer: &SqlResult<'_>, output: &mut Output) -> Result<(), Failure> {
    let mut table = TextTable::new(answer.columns.iter().map(String::as_str));
    for row in &answer.rows {
        table.cells(row.iter().map(|value| cell(value)));
    }
    table.write(output)
}

/// Writes one object per row, with its members in the order of the columns.
fn write_json(answer: &SqlResult<'_>, output: &mut Output) -> Result<(), Failure> {
    answer.rows.iter().try_for_each(|row| {
        let members = answer.columns.iter().map(String::as_str).zip(row);
        output.write_json(json_object(members).as_bytes())
    })
}

fn write_csv(answer: &SqlResult<'_>, output: &mut Output) -> Result<(), Failure> {
    output.write_csv(|out| write_csv_row(out, answer.columns.iter().map(|name| (name.clone(), false))))?;
    answer.rows.iter().try_for_each(|row| {
        let cells = row.iter().map(|value| match value.get() {
            "null" => (String::new(), false),
            _ => cell(value),
        });
        output.write_csv(|out| write_csv_row(out, cells))
    })
}

fn write_csv_row(out: &mut Vec<u8>, cells: impl Iterator<Item = (String, bool)>) -> io::Result<()> {
    let mut row = csv::CsvRow::new(out);
    for (cell, is_number) in cells {
        if is_number { row.raw(&cell)? } else { row.text(&cell)? }
    }
    row.end()
}

#[cfg(test)]
mod tests {
    use crate::cli::commands::testing::run_against;
    use crate::cli::terminal::Screen;

    const ANSWER: &str = r#"{"columns":["service","n"],"rows":[["billing",12],[null,-3.50],["=a\n\u001b",null]],"truncated":false}"#;

    fn ask(format: &str, is_terminal: bool) -> (String, String) {
        let words = ["sql", "--format", format, "SELECT \"x\""];
        let screen = is_terminal.then_some(Screen { columns: 80, rows: 24, is_unicode: true });
        let (text, result, request) = run_against(&[("200 OK", ANSWER.into())], &words, screen);
        result.unwrap();
        (text, request)
    }

    #[test]
    fn text_is_a_table() {
        let (text, request) = ask("text", false);
        assert_eq!(text, "service   n\nbilling   12\nNULL      -3.50\n=a\\n\\x1b  NULL\n");
        assert!(request.starts_with("POST /api/v1/sql HTTP/1.1\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n{\"sql\":\"SELECT \\\"x\\\"\"}"), "{request}");
    }

    #[test]
    fn json_is_one_object_per_row() {
        let expected = "{\"service\":\"billing\",\"n\":12}\n{\"service\":null,\"n\":-3.50}\n\
                        {\"service\":\"=a\\n\\u001b\",\"n\":null}\n";
        assert_eq!(ask("json", false).0, expected);
    }

    #[test]
    fn csv_escapes_formulas_but_not_numbers() {
        assert_eq!(ask("csv", false).0, "service,n\r\nbilling,12\r\n,-3.50\r\n\"'=a\n\x1b\",\r\n");
        assert!(!ask("csv", true).0.contains('\x1b'));
    }
}
