//! `GET /api/v1/records?q=&since=&until=&limit=&order=&cursor=&format=&fields=`: records that match
//! a query.
//!
//! `since` is the first time that is included, `until` the first that is not. Records are returned
//! in the order in which they arrived (by id), newest first unless `order=asc`. The response is a
//! document, `{"records":[..],"next_cursor":..,"previous_cursor":..,"partial":false}`, or, selected
//! by `Accept` or `format`, a stream of lines or of CSV; see `search/response.rs`.

use hyper::header::{ACCEPT, HeaderMap, HeaderValue};

use crate::limits::QUERY_PAGE_RECORDS_MAX;
use crate::view::search::csv_table::CsvTable;
use crate::view::search::paging::page;
use crate::view::search::parameters::Parameters;
use crate::view::search::response::{EncodedRecords, OutputFormat};
use crate::view::{ApiRequest, ApiResult, View, bad};

/// The default number of records of a page.
const LIMIT_DEFAULT: u64 = 100;

impl View {
    /// Responds with the records that match.
    pub async fn records(&self, ask: ApiRequest<'_>) -> ApiResult {
        let mut parameters = Parameters::parse(ask.query);
        let mut search = parameters.search()?;
        let limit = parameters.number("limit")?;
        search.descending = parameters.word("order", &["desc", "asc"])? == "desc";
        let cursor = parameters.cursor()?;
        let format = parameters.word("format", &["", "json", "ndjson", "csv"])?;
        let fields = parameters.fields("fields")?;
        parameters.end()?;
        let form = match (format, accepted(ask.headers)) {
            ("ndjson", _) | ("", "ndjson") => OutputFormat::Lines,
            ("csv", _) | ("", "csv") => OutputFormat::Table(CsvTable::new(fields.clone())?),
            _ => OutputFormat::Document,
        };
        let (default, max) = match (&form, format) {
            (OutputFormat::Document, _) => (LIMIT_DEFAULT, QUERY_PAGE_RECORDS_MAX),
            (OutputFormat::Lines, "") => (LIMIT_DEFAULT, u64::MAX),
            _ => (u64::MAX, u64::MAX),
        };
        match &form {
            OutputFormat::Table(table) => search.fields = table.fields(),
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
        let limit = limit.unwrap_or(default).min(max);
        let open = match form.is_stream() && limit > QUERY_PAGE_RECORDS_MAX {
            true => self.open_export(ask.abort)?,
            false => self.open(ask.abort)?,
        };
        let records = EncodedRecords::new(form, limit);
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
