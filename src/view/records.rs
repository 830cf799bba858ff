//! `GET /api/v1/records?q=&since=&until=&limit=&order=&cursor=&format=&fields=`: records that match
//! a query.
//!
//! `since` is the first time that is included, `until` the first that is not. Records are returned
//! in the order in which they arrived (by id), newest first unless `order=asc`. The response is a
//! document, `{"records":[..],"next_cursor":..,"previous_cursor":..,"partial":false}`, or, selected
//! by `Accept` or `format`, a stream of lines or of CSV; see `answer.rs`.

use std::ops::Range;

use hyper::Response;
use hyper::header::{ACCEPT, HeaderMap, HeaderValue};

use super::answer::{Answer, Ending, Form, Records};
use super::cursor::Cursor;
use super::export::Table;
use super::parameters::Parameters;
use super::{Ask, Refusal, View, answered, bad};
use crate::limits::QUERY_PAGE_RECORDS_MAX;
use crate::net::http::Body;
use crate::record::{ColumnSet, RecordId, RecordRef};
use crate::store::reader::MatchSink;
use crate::store::{Scan, Search};

/// The default number of records of a page.
const LIMIT_DEFAULT: u64 = 100;

impl View {
    /// Responds with the records that match.
    pub async fn records(&self, ask: Ask<'_>) -> Response<Body> {
        answered(self.try_records(ask).await)
    }

    async fn try_records(&self, ask: Ask<'_>) -> Result<Response<Body>, Refusal> {
        let mut parameters = Parameters::parse(ask.query);
        let mut search = parameters.search()?;
        let limit = parameters.number("limit")?;
        search.descending = parameters.word("order", &["desc", "asc"])? == "desc";
        let cursor = parameters.cursor()?;
        let format = parameters.word("format", &["", "json", "ndjson", "csv"])?;
        let fields = parameters.fields("fields")?;
        parameters.end()?;
        let form = match (format, accepted(ask.headers)) {
            ("ndjson", _) | ("", "ndjson") => Form::Lines,
            ("csv", _) | ("", "csv") => Form::Table(Table::new(fields.clone())?),
            _ => Form::Document,
        };
        let (default, max) = match (&form, format) {
            (Form::Document, _) => (LIMIT_DEFAULT, QUERY_PAGE_RECORDS_MAX),
            (Form::Lines, "") => (LIMIT_DEFAULT, u64::MAX),
            _ => (u64::MAX, u64::MAX),
        };
        match &form {
            Form::Table(table) => search.fields = table.fields(),
            _ if fields.is_some() => {
                return Err(bad("only CSV takes `fields`", "leave it out, or ask for `format=csv`"));
            }
            _ => {}
        }
        let file_name = match format {
            "ndjson" => Some("attachment; filename=\"logs.ndjson\""),
            "csv" => Some("attachment; filename=\"logs.csv\""),
            _ => None,
        };
        let open = self.open(ask.abort)?;
        let records = Records::new(form, limit.unwrap_or(default).min(max));
        page(self.scan(search)?, records, cursor).await?.respond(open, file_name).await
    }
}

/// Returns the format that the client prefers among the available ones.
fn accepted(headers: &HeaderMap) -> &'static str {
    let accept = headers.get(ACCEPT).map(HeaderValue::as_bytes).unwrap_or_default();
    let has = |name: &str| memchr::memmem::find(accept, name.as_bytes()).is_some();
    match () {
        () if has("ndjson") => "ndjson",
        () if has("text/csv") => "csv",
        () => "json",
    }
}

/// Returns the page on one side of a cursor.
pub(super) async fn page(
    mut scan: Scan,
    records: Records,
    cursor: Option<Cursor>,
) -> Result<Answer, Refusal> {
    let mut ending = Ending { has_cursors: true, cursor, is_partial: false };
    let Some(cursor) = cursor else { return Ok(Answer::new(scan, records, ending)) };
    scan.search.ids = cursor.narrow(&scan.search.ids, scan.search.descending);
    if cursor.is_backward {
        let page = scan.search.clone();
        let way = go_back(scan, records.left).await?;
        ending.is_partial = way.is_late();
        if way.is_late() {
            ending.cursor = Some(way.reached());
        }
        let ids = way.ids(&page);
        scan = way.scan;
        scan.turn_to(Search { ids, ..page });
    }
    Ok(Answer::new(scan, records, ending))
}

/// A backward seek over matches to the start of a page, which is then read like any other page.
pub(super) struct BackwardSeek {
    pub(super) scan: Scan,
    matches: Matches,
}

/// Counts matches up to a number.
struct Matches {
    left: u64,
    found: u64,
    last_id: RecordId,
}

impl MatchSink for Matches {
    fn take(&mut self, id: RecordId, _: &RecordRef<'_>) -> bool {
        self.left -= 1;
        self.found += 1;
        self.last_id = id;
        self.left > 0
    }
}

/// Seeks backward over this many matches from the end of a search, against its order.
pub(super) async fn go_back(mut scan: Scan, matches: u64) -> Result<BackwardSeek, Refusal> {
    scan.search.descending = !scan.search.descending;
    scan.search.fields = ColumnSet::NONE;
    let mut matches = Matches { left: matches, found: 0, last_id: 0 };
    while matches.left > 0 && !scan.is_done() && !scan.is_late() {
        matches = scan.slice(matches).await?;
    }
    Ok(BackwardSeek { scan, matches })
}

impl BackwardSeek {
    /// Returns true if time ran out before enough matches were found.
    pub(super) fn is_late(&self) -> bool {
        self.matches.left > 0 && !self.scan.is_done()
    }

    /// Returns the number of matches that were passed.
    pub(super) fn found(&self) -> u64 {
        self.matches.found
    }

    /// Returns the ids of the search that the seek passed, without records that arrived since.
    pub(super) fn ids(&self, search: &Search) -> Range<RecordId> {
        let Matches { found, last_id, .. } = self.matches;
        match (found, search.descending) {
            (0, _) => 0..0,
            (_, true) => search.ids.start..last_id + 1,
            (_, false) => last_id..search.ids.end,
        }
    }

    fn reached(&self) -> Cursor {
        Cursor { is_backward: true, ..Cursor::reached(&self.scan.search) }
    }
}
