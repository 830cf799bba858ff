//! `GET /api/v1/records?q=&since=&until=&limit=&order=&cursor=&format=&fields=`: records that match a query.
//!
//! `since` is the first moment that is wanted, `until` the first that is not. Records come in the order in which they arrived (by
//! id), newest first unless `order=asc`. The answer is a document, `{"records":[..],"next_cursor":..,"previous_cursor":..,"partial":false}`,
//! or, by `Accept` or `format`, a stream of lines or of CSV; see `answer.rs`.

use std::ops::Range;

use hyper::Response;
use hyper::header::{ACCEPT, HeaderMap, HeaderValue};

use super::answer::{Answer, Ending, Form, Records};
use super::cursor::Cursor;
use super::export::Table;
use super::parameters::Parameters;
use super::scan::{Scan, Sink};
use super::{Ask, Refusal, View, answered, bad};
use crate::limits::QUERY_PAGE_RECORDS_MAX;
use crate::record::ColumnSet;
use crate::record::{RecordId, RecordRef};
use crate::server::Body;
use crate::store::Search;

/// Records of a page, unless told otherwise.
const LIMIT_DEFAULT: u64 = 100;

impl View {
    /// Answers with the records that match.
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
        let open = self.open(ask.hang_up)?;
        let records = Records::new(form, limit.unwrap_or(default).min(max));
        page(Scan::new(self, search)?, records, cursor).await?.respond(open, file_name).await
    }
}

/// What the client would like best of what there is.
fn accepted(headers: &HeaderMap) -> &'static str {
    let accept = headers.get(ACCEPT).map(HeaderValue::as_bytes).unwrap_or_default();
    let has = |name: &str| memchr::memmem::find(accept, name.as_bytes()).is_some();
    match () {
        () if has("ndjson") => "ndjson",
        () if has("text/csv") => "csv",
        () => "json",
    }
}

/// A page on the side of a cursor.
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

/// A way back over matches, to where a page begins: it is then read like any other.
pub(super) struct WayBack {
    pub(super) scan: Scan,
    matches: Matches,
}

/// Counts matches up to a number.
struct Matches {
    left: u64,
    found: u64,
    last_id: RecordId,
}

impl Sink for Matches {
    fn take(&mut self, id: RecordId, _: &RecordRef<'_>) -> bool {
        self.left -= 1;
        self.found += 1;
        self.last_id = id;
        self.left > 0
    }
}

/// Goes back over so many matches from the end of a search, against its order.
pub(super) async fn go_back(mut scan: Scan, matches: u64) -> Result<WayBack, Refusal> {
    scan.search.descending = !scan.search.descending;
    scan.search.fields = ColumnSet::NONE;
    let mut matches = Matches { left: matches, found: 0, last_id: 0 };
    while matches.left > 0 && !scan.is_done() && !scan.is_late() {
        (scan, matches) = scan.slice(matches).await?;
    }
    Ok(WayBack { scan, matches })
}

impl WayBack {
    /// Time ran out before enough were found.
    pub(super) fn is_late(&self) -> bool {
        self.matches.left > 0 && !self.scan.is_done()
    }

    /// How many it led over.
    pub(super) fn found(&self) -> u64 {
        self.matches.found
    }

    /// Those of the ids of the search that the way led over, and none that have come since.
    pub(super) fn ids(&self, search: &Search) -> Range<RecordId> {
        let Matches { found, last_id, .. } = self.matches;
        match (found, search.descending) {
            (0, _) => 0..0,
            (_, true) => search.ids.start..last_id + 1,
            (_, false) => last_id..search.ids.end,
        }
    }

    fn reached(&self) -> Cursor {
        Cursor { is_backward: true, ..self.scan.reached() }
    }
}
