//! One record, and the records related to it.
//!
//! `GET /api/v1/records/{id}`: the record.
//! `GET /api/v1/records/{id}/context?before=10&after=10&scope=service`: the record with its
//! surrounding records, of the same service or of all services.
//! `GET /api/v1/traces/{trace_id}?limit=&cursor=`: the records of a trace.

use hyper::StatusCode;

use crate::limits::{CONTEXT_RECORDS_MAX, QUERY_PAGE_RECORDS_MAX};
use crate::net::http;
use crate::query::Query;
use crate::record::{Column, RecordId, RecordRef};
use crate::store::reader::MatchSink;
use crate::store::{Scan, Search};
use crate::view::search::paging::{page, seek_backward};
use crate::view::search::parameters::{Parameters, number};
use crate::view::search::response::{DocumentEnding, EncodedRecords, OutputFormat, ResponseStream};
use crate::view::{ApiRequest, ApiResult, Refusal, View, refuse};

/// The default number of records before a record, and after it.
const NEIGHBOURS_DEFAULT: u64 = 10;

impl View {
    /// Responds with one record.
    pub async fn record(&self, ask: ApiRequest<'_>) -> ApiResult {
        let id = number("id", ask.name)?;
        Parameters::parse(ask.query).end()?;
        let _open = self.open(ask.abort)?;
        let (_, records) =
            find_record(self.scan(search_for_id(id))?, EncodedRecords::new(OutputFormat::Document, 1))
                .await?;
        Ok(http::json(StatusCode::OK, records.out))
    }

    /// Responds with a record and its surrounding records.
    pub async fn context(&self, ask: ApiRequest<'_>) -> ApiResult {
        let id = number("id", ask.name)?;
        let mut parameters = Parameters::parse(ask.query);
        let mut neighbours = |name| {
            let wanted = parameters.number(name)?.unwrap_or(NEIGHBOURS_DEFAULT);
            Ok::<_, Refusal>(wanted.min(CONTEXT_RECORDS_MAX))
        };
        let (before, after) = (neighbours("before")?, neighbours("after")?);
        let scope = parameters.word("scope", &["service", "all"])?;
        parameters.end()?;
        let open = self.open(ask.abort)?;
        let (mut scan, Service(service)) = find_record(self.scan(search_for_id(id))?, Service(None)).await?;
        let query = match scope {
            "service" => Query::of_column(Column::Service, &service.unwrap_or_default()),
            _ => Query::all(),
        };
        let around = Search { descending: false, ..Search::new(query) };
        // First finds where the preceding records begin, then reads everything from there on.
        let preceding = Search { ids: 0..id, ..around.clone() };
        scan.restart_with(preceding.clone());
        let seek = seek_backward(scan, before).await?;
        let ending = DocumentEnding { is_partial: seek.is_late(), ..DocumentEnding::default() };
        let (start, found) = (seek.ids(&preceding).start, seek.found());
        scan = seek.scan;
        scan.restart_with(Search { ids: if found > 0 { start } else { id }..around.ids.end, ..around });
        let records = EncodedRecords::new(OutputFormat::Document, found + 1 + after);
        ResponseStream::new(scan, records, ending).respond(open, None).await
    }

    /// Responds with the records of a trace.
    pub async fn trace(&self, ask: ApiRequest<'_>) -> ApiResult {
        let mut parameters = Parameters::parse(ask.query);
        let limit = parameters.number("limit")?.unwrap_or(u64::MAX).min(QUERY_PAGE_RECORDS_MAX);
        let cursor = parameters.cursor()?;
        parameters.end()?;
        let query = Query::of_column(Column::TraceId, ask.name);
        let open = self.open(ask.abort)?;
        let scan = self.scan(Search { descending: false, ..Search::new(query) })?;
        page(scan, EncodedRecords::new(OutputFormat::Document, limit), cursor)
            .await?
            .respond(open, None)
            .await
    }
}

/// A sink that keeps the service of a record.
struct Service(Option<String>);

impl MatchSink for Service {
    fn take(&mut self, _: RecordId, record: &RecordRef<'_>) -> bool {
        self.0 = Some(record.origin.service.to_owned());
        false
    }
}

fn search_for_id(id: RecordId) -> Search {
    Search { ids: id..id.saturating_add(1), ..Search::new(Query::all()) }
}

/// A sink that passes on only the first match.
struct First<S> {
    sink: S,
    is_found: bool,
}

impl<S: MatchSink> MatchSink for First<S> {
    fn take(&mut self, id: RecordId, record: &RecordRef<'_>) -> bool {
        self.is_found = true;
        self.sink.take(id, record);
        false
    }
}

/// Searches for a single record.
async fn find_record<S: MatchSink>(mut scan: Scan, sink: S) -> Result<(Scan, S), Refusal> {
    let mut first = First { sink, is_found: false };
    while !first.is_found && !scan.is_done() && !scan.is_late() {
        first = scan.slice(first).await?;
    }
    match (first.is_found, scan.is_done()) {
        (true, _) => Ok((scan, first.sink)),
        (false, true) => Err(refuse(
            StatusCode::NOT_FOUND,
            "record not found",
            "no stored record has this id",
            "a record is stored shortly after it was accepted; an old record may have been deleted",
        )),
        (false, false) => Err(refuse(
            StatusCode::REQUEST_TIMEOUT,
            "the search was stopped",
            "the record was not found in time",
            "try again when the database has less to do, or raise query_seconds_max",
        )),
    }
}
