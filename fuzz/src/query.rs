//! Any text as a query, and the record of a JSON object to which the query is applied.
//!
//! The query ends with the first line; the object follows. If the object is not a record, the query
//! is applied to some fixed records instead.

use std::cell::OnceCell;

use logboom::ingest::json::{JsonScratch, decode};
use logboom::limits::QUERY_DEPTH_MAX;
use logboom::query::{Expression, Query, QueryError, QueryProblem};
use logboom::record::{Batch, Origin, RecordRef};
use logboom::store::sql::Condition;
use logboom::store::sqlite::{condition, in_memory};
use rusqlite::{Connection, params_from_iter};

use super::records::{self, ARRIVAL};

/// 2026-11-21T10:00:00Z, as ns since the Unix epoch.
const NOW: i64 = 1_795_255_200_000_000_000;

thread_local! {
    static DATABASE: OnceCell<Connection> = const { OnceCell::new() };
}

/// Checks that a query has one meaning: the query itself, the query that it displays as, and its
/// SQL find the same records. For an invalid query, checks that the error reports the place.
pub fn check(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let (text, object) = input.split_once('\n').unwrap_or((input, ""));
    match Query::parse(text, NOW) {
        Ok(query) => check_query(&query, object),
        Err(error) => check_error(text, &error),
    }
}

fn check_error(text: &str, error: &QueryError) {
    assert!(text.get(error.range.clone()).is_some(), "{:?} is no part of it", error.range);
    assert!(error.render(text).contains('^'));
    assert!(!error.problem.hint().is_empty());
}

fn check_query(query: &Query, object: &str) {
    assert!(depth(query.expression()) <= 3 * QUERY_DEPTH_MAX);
    let displayed = query.to_string();
    let again = match Query::parse(&displayed, NOW) {
        Ok(again) => again,
        // The displayed form may exceed the bounds.
        Err(QueryError {
            problem: QueryProblem::TooLong(_) | QueryProblem::TooManyTerms | QueryProblem::TooDeep,
            ..
        }) => query.clone(),
        Err(error) => panic!("{}\n{error}", error.render(&displayed)),
    };
    let mut batch = Batch::new();
    if decode(object.as_bytes(), &ARRIVAL, &mut JsonScratch::default(), &mut batch).is_err() {
        some_records(&mut batch);
    }
    let records = records::read(&batch);
    let matching =
        |query: &Query| (1..).zip(&records).map(|(id, record)| query.matches(id, record)).collect();
    let expected: Vec<bool> = matching(query);
    assert_eq!(matching(&again), expected, "it displays as {displayed}");
    DATABASE.with(|database| {
        let database = database.get_or_init(|| in_memory::create().unwrap());
        for are_in_dictionaries in [true, false] {
            in_memory::fill(database, &records, are_in_dictionaries).unwrap();
            assert_eq!(found(database, query), expected, "in SQL");
        }
    });
    check_bounds(query, &records, &expected);
}

fn depth(expression: &Expression) -> usize {
    match expression {
        Expression::All(inner) | Expression::Any(inner) => 1 + inner.iter().map(depth).max().unwrap_or(0),
        Expression::Not(inner) => 1 + depth(inner),
        Expression::Term(_) => 1,
    }
}

fn check_bounds(query: &Query, records: &[RecordRef<'_>], expected: &[bool]) {
    let ((first_id, last_id), (first, last)) = (query.id_bounds(), query.time_bounds());
    let matches = (1..).zip(records).zip(expected).filter(|(_, matches)| **matches);
    for ((id, record), _) in matches {
        assert!(first_id.is_none_or(|first| first <= id) && last_id.is_none_or(|last| id <= last));
        assert!(first.is_none_or(|first| first <= record.timestamp));
        assert!(last.is_none_or(|last| record.timestamp <= last));
    }
}

fn some_records(batch: &mut Batch) {
    let origin = Origin {
        service: "billing",
        logger: "app.views",
        host: "web-1",
        severity_text: "WARNING",
        file: "/srv/app/views.py",
        line: 17,
        function: "pay",
        process_id: 4321,
        thread: "MainThread",
    };
    let whole = RecordRef {
        timestamp: NOW - 1,
        observed_timestamp: NOW,
        severity_number: 13,
        origin,
        message: "card \u{fc}ber_4 refused: connection refused",
        trace_id: "17",
        span_id: "b7ad6b7169203331",
        event_name: "payment.refused",
        attributes: r#"{"user_id":42,"k":"17.0","x":null,"http":{"status":500},"a.b":true}"#,
    };
    batch.push(&whole);
    batch.push(&RecordRef::default());
    batch.push(&RecordRef {
        origin: Origin { severity_text: "Audit", ..origin },
        severity_number: 0,
        ..whole
    });
    batch.push(&RecordRef { message: "FAIL", timestamp: NOW, severity_number: 24, ..RecordRef::default() });
}

/// Returns for each row whether the query finds it. The condition is never NULL.
fn found(connection: &Connection, query: &Query) -> Vec<bool> {
    let Condition { sql, parameters } = condition::condition(query, 0);
    let mut statement = connection
        .prepare(&format!("SELECT ({sql}) FROM record AS r ORDER BY r.id"))
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
    let rows = statement.query_map(params_from_iter(&parameters), |row| row.get::<_, bool>(0)).unwrap();
    rows.map(|row| row.unwrap_or_else(|error| panic!("{error}: {sql}"))).collect()
}
