//! The server's plans for the statements of readers.

use std::sync::OnceLock;

use tokio_postgres::types::ToSql;

use super::search::Parameter;
use super::*;
use crate::query::{self, Query};
use crate::record::{Column, ColumnSet};
use crate::store::Search;

/// Returns the server's plan for a reader's statement on 30,000 records of a day, one per second,
/// with all indexes that the documentation describes for users.
fn plan(statement: (String, Vec<Parameter>)) -> String {
    static DATABASE: OnceLock<Database> = OnceLock::new();
    let database = DATABASE.get_or_init(|| {
        let database = new_database();
        let mut store = database.open();
        write(&mut store, []);
        database.execute("CREATE EXTENSION pg_trgm");
        let described = include_str!("../../../../docs/postgresql.md").lines();
        let indexes: Vec<_> = described.filter(|line| line.starts_with("CREATE INDEX")).collect();
        assert_eq!(indexes.len(), 2);
        indexes.iter().for_each(|index| database.execute(index));
        database.execute(
            "INSERT INTO logs (id, time, severity_number, message, attributes, node)
                SELECT n, '2026-11-21 00:00:00+00'::timestamptz + n * interval '1 second', 9, 'job ' || md5(n::text) || ' is done',
                    jsonb_build_object('user_id', n, 'region', 'eu', 'job', md5(n::text)), 'test' FROM generate_series(1, 30000) AS n",
        );
        database.execute("VACUUM ANALYZE logs");
        database
    });
    let (sql, parameters) = statement;
    block_on(async {
        let mut reader = database.open().database().connect().await.unwrap();
        let Session { client, driver } = reader.session();
        let parameters: Vec<_> =
            parameters.iter().map(|parameter| parameter as &(dyn ToSql + Sync)).collect();
        let sql = format!("EXPLAIN {sql}");
        let rows = driver.drive(client.query(&sql, &parameters)).await.unwrap();
        rows.iter().map(|row| row.get::<_, &str>(0)).collect::<Vec<_>>().join("\n")
    })
}

fn search(query: &str) -> Search {
    let (query, ids) = (Query::parse(query, 0).unwrap(), 0..40_000);
    Search { query, ids, time_min: i64::MIN, time_max: i64::MAX, descending: true, fields: ColumnSet::ALL }
}

fn plan_of_search(query: &str) -> String {
    plan(search::statement(&search(query), &(0..40_000), "test", 1000))
}

#[test]
fn indexed_searches_use_no_sequential_scan() {
    for (query, index) in [
        ("7f39f8317fbdb1988ef4c628eba02591", "logs_default_lower_idx"),
        ("*FBDB198*", "logs_default_lower_idx"),
        ("job:7f39f8317fbdb1988ef4c628eba02591", "logs_default_attributes_idx"),
        ("animal:*", "logs_default_attributes_idx"),
        ("animal>7", "logs_default_attributes_idx"),
        ("trace_id:7f39f8317fbdb1988ef4c628eba02591", "logs_default_trace_id_idx"),
    ] {
        let plan = plan_of_search(query);
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{query}:\n{plan}");
    }
    let first = time::parse("2026-11-21T01:00:00Z").unwrap();
    let hour = query::IntegerRange { first, last: first + 3600 * time::SECOND - 1 };
    let plan = plan(histogram::statement(&search("service:x"), Column::SeverityNumber, hour, "test"));
    assert!(plan.contains("logs_default_time_idx"), "{plan}");
}

#[test]
fn earliest_time_is_found_at_any_position() {
    let database = new_database();
    let mut store = database.open();
    let earliest = |store: &PostgresStore| {
        block_on(async {
            let mut reader = store.database().connect().await.unwrap();
            reader.earliest(Duration::from_secs(60)).await.unwrap()
        })
    };
    write(&mut store, []);
    assert_eq!(earliest(&store), None);
    write(&mut store, ["2026-11-21T10:00:00Z", "2026-11-20T10:00:00Z"].map(at));
    assert_eq!(earliest(&store), time::parse("2026-11-20T10:00:00Z"));
    let later = at("2026-11-21T10:00:00Z");
    write(&mut store, std::iter::repeat_n(later, 2000).chain([at("2026-11-19T10:00:00Z")]));
    write(&mut store_with(&database.url(), "other", Retention::default()), [at("2026-11-18T10:00:00Z")]);
    assert_eq!(earliest(&store), time::parse("2026-11-19T10:00:00Z"));
}
