//! The PostgreSQL store on a real server.

use std::sync::OnceLock;
use std::time::Duration;

use test_support::postgres::{Database, Server};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::ToSql;

use super::days::day_of;
use super::search::Parameter;
use super::*;
use crate::query::{self, Query};
use crate::record::Column;
use crate::record::ColumnSet;
use crate::record::{Batch, Origin, RecordRef, time};
use crate::store::Search;
use crate::store::contract::{self, Subject, chunk};

impl Subject for Database {
    type Store = PostgresStore;

    fn open(&self) -> PostgresStore {
        store(&self.url())
    }

    fn read(&self, _: RecordId) -> Vec<(RecordId, String)> {
        if self.value("SELECT to_regclass('logs') IS NULL") == "t" {
            return Vec::new();
        }
        let rows = self.rows("SELECT id, message FROM logs WHERE node = 'test' ORDER BY id");
        rows.into_iter()
            .map(|row| (row[0].as_ref().unwrap().parse().unwrap(), row[1].clone().unwrap()))
            .collect()
    }
}

fn store(url: &str) -> PostgresStore {
    store_with(url, "test", Retention::default())
}

fn store_with(url: &str, node: &str, retention: Retention) -> PostgresStore {
    PostgresStore::new(&PostgresUrl::parse(url).unwrap(), |_| None, node, retention).unwrap()
}

/// Runs a future on one runtime per test, because a socket belongs to the runtime that opened it.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

fn records<'a>(records: impl IntoIterator<Item = RecordRef<'a>>) -> (Batch, u64) {
    let mut batch = Batch::new();
    records.into_iter().for_each(|record| batch.push(&record));
    let count = u64::from(batch.count());
    (batch, count)
}

/// Writes records from the position on.
fn write<'a>(store: &mut PostgresStore, all: impl IntoIterator<Item = RecordRef<'a>>) -> Written {
    let (batch, count) = records(all);
    block_on(async {
        let position = store.position().await.unwrap();
        store.write(&Chunk::of(position, batch.bytes(), count)).await.unwrap()
    })
}

fn at(timestamp: &str) -> RecordRef<'static> {
    RecordRef { timestamp: time::parse(timestamp).unwrap(), ..RecordRef::default() }
}

fn partitions(database: &Database) -> Vec<String> {
    let names = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                 WHERE i.inhparent = 'logs'::regclass ORDER BY 1";
    database.rows(names).into_iter().map(|row| row[0].clone().unwrap()).collect()
}

#[test]
fn contract() {
    contract::check(|| Server::shared().database());
}

fn to_delete(ids: impl IntoIterator<Item = RecordId>, times: (i64, i64)) -> RecordsToDelete {
    RecordsToDelete { ids: ids.into_iter().collect(), times: Some(times) }
}

#[test]
fn deleted_records_are_accounted_for() {
    let database = Server::shared().database();
    let mut store = database.open();
    let times =
        [at("2026-11-20T00:00:00Z"), at("2026-11-21T23:59:59.999999999Z"), at("1999-01-01T00:00:00Z")];
    write(&mut store, (0..9000).map(|n| times[n % 3]));
    // Another node has the same ids.
    let mut other = store_with(&database.url(), "other", Retention::default());
    write(&mut other, (0..10).map(|_| times[0]));
    let (first, last) = (times[2].timestamp, times[1].timestamp);
    let ids = [1, 2, 3, 4095, 4096, 4097, 8999, 9000, 9001];
    assert_eq!(block_on(store.delete(&to_delete(ids, (first, last)))).unwrap(), 8);
    assert_eq!(block_on(store.delete(&to_delete(ids, (first, last)))).unwrap(), 0);
    let accounted = "SELECT string_agg(concat_ws('/', node, kept, deleted, missing), ' ' ORDER BY node) FROM logs_accounted";
    assert_eq!(database.value(accounted), "other/10/0/0 test/8992/8/0");
    let noted = "SELECT string_agg(concat_ws('/', block, reason, first_id, last_id, records), ' ' ORDER BY block, day) FROM logs_deleted";
    let expected = "0/deleted/3/4095/2 0/deleted/1/1/1 0/deleted/2/2/1 4096/deleted/4096/4096/1 4096/deleted/4097/4097/1 \
                    8192/deleted/9000/9000/1 8192/deleted/8999/8999/1";
    assert_eq!(database.value(noted), expected);
    database.execute("DELETE FROM logs WHERE id = 5000");
    assert_eq!(database.value(accounted), "other/10/0/0 test/8991/8/1");
    write(&mut store, [times[0]]);
}

#[test]
fn delete_adds_missing_tables() {
    let database = Server::shared().database();
    let mut store = database.open();
    write(&mut store, [at("2026-11-20T00:00:00Z")]);
    database.execute("DROP VIEW logs_accounted; DROP TABLE logs_deleted; DROP TABLE logs_retention");
    let day = (at("2026-11-20T00:00:00Z").timestamp, at("2026-11-20T00:00:00Z").timestamp);
    assert_eq!(block_on(store.delete(&to_delete([1], day))).unwrap(), 1);
    assert_eq!(database.value("SELECT sum(records) FROM logs_deleted"), "1");
}

/// Starts from [`delete::TABLES`] as they were before notes had days.
#[test]
fn delete_keeps_notes_without_day() {
    let database = Server::shared().database();
    let mut store = database.open();
    write(&mut store, [at("2026-11-20T00:00:00Z"); 3]);
    database.execute(
        "ALTER TABLE logs_deleted DROP COLUMN day, ADD PRIMARY KEY (node, block, reason);
         DELETE FROM logs WHERE id = 1;
         INSERT INTO logs_deleted VALUES ('test', 0, 'deleted', 1, 1, 1, now())",
    );
    let day = (at("2026-11-20T00:00:00Z").timestamp, at("2026-11-20T00:00:00Z").timestamp);
    assert_eq!(block_on(store.delete(&to_delete([2], day))).unwrap(), 1);
    let notes =
        "SELECT string_agg(concat_ws('/', first_id, records, day), ' ' ORDER BY first_id) FROM logs_deleted";
    assert_eq!(database.value(notes), "1/1/ 2/1/logs_20261120");
    assert_eq!(database.value("SELECT missing FROM logs_accounted"), "0");
}

/// Holds for any part of a block of ids that goes with its day, and for any node that drops the
/// day.
#[test]
fn dropped_day_leaves_no_unaccounted_ids() {
    const DAY: i64 = 86_400 * time::SECOND;
    let database = Server::shared().database();
    let keep = Retention { age: Some(Duration::from_secs(3 * 86_400)), bytes: None };
    let rule = ServiceRetention { service: "noise".into(), age: Duration::from_secs(86_400) };
    let mut store = store_with(&database.url(), "test", keep).with_services(std::slice::from_ref(&rule));
    let mut other = store_with(&database.url(), "other", Retention::default()).with_services(&[rule]);
    let now = time::now();
    let record = |days_ago: i64, n: usize| RecordRef {
        timestamp: now - days_ago * DAY,
        origin: Origin { service: ["noise", "shop", "mail"][n % 3], ..Origin::default() },
        ..RecordRef::default()
    };
    for (store, days) in [(&mut store, &[5, 4, 3, 2, 1, 0][..]), (&mut other, &[5])] {
        write(store, days.iter().flat_map(|days_ago| (0..1000).map(|n| record(*days_ago, n))));
        block_on(store.delete(&to_delete([7, 998, 1003], (now - 5 * DAY, now)))).unwrap();
    }
    let missing = "SELECT coalesce(string_agg(concat_ws('/', node, missing), ' ' ORDER BY node), 'nothing') FROM logs_accounted";
    for _ in 0..20 {
        block_on(other.maintain()).unwrap();
    }
    assert_eq!(database.value(missing), "other/0 test/0");
    for _ in 0..20 {
        block_on(store.maintain()).unwrap();
        assert_eq!(database.value(missing).split(' ').next_back().unwrap(), "test/0");
    }
    assert_eq!(database.value("SELECT min(id) || ' ' || count(*) FROM logs"), "2002 3332");
    assert_eq!(database.value(missing), "test/0", "the other has nothing any more");
    assert_eq!(database.value("SELECT count(*) FROM logs_deleted WHERE node = 'other'"), "0");
}

/// Dead letters are not dropped with the days in which they arrived.
#[test]
fn deleted_dead_letter_older_than_records_leaves_no_gap() {
    const DAY: i64 = 86_400 * time::SECOND;
    let database = Server::shared().database();
    let mut store = store_with(&database.url(), "test", Retention { age: None, bytes: Some(1) });
    let now = time::now();
    let bad = RecordRef { timestamp: now - 2 * DAY, message: "\0", ..RecordRef::default() };
    write(&mut store, [bad].into_iter().chain((0..99).map(|_| RecordRef { message: "m", ..bad })));
    write(&mut store, [now; 10].map(|timestamp| RecordRef { timestamp, ..RecordRef::default() }));
    while block_on(store.maintain()).unwrap() {}
    assert_eq!(database.value("SELECT min(id) FROM logs"), "101");
    assert_eq!(block_on(store.delete(&to_delete([1], (now - 2 * DAY, now)))).unwrap(), 1);
    assert_eq!(database.value("SELECT count(*) FROM logs_dead_letter"), "0");
    assert_eq!(database.value("SELECT missing FROM logs_accounted"), "0");
}

#[test]
fn records_at_ends_of_time_range_can_be_deleted() {
    let database = Server::shared().database();
    let mut store = database.open();
    let times = (i64::MIN, i64::MAX);
    write(&mut store, [times.0, times.1].map(|timestamp| RecordRef { timestamp, ..RecordRef::default() }));
    assert_eq!(block_on(store.delete(&to_delete([1, 2], times))).unwrap(), 2);
}

#[test]
fn service_retention_deletes_due_records() {
    const DAY: i64 = 86_400 * time::SECOND;
    let database = Server::shared().database();
    let rule = |service: &str, days: u64| ServiceRetention {
        service: service.into(),
        age: Duration::from_secs(days * 86_400),
    };
    let rules = [rule("noise", 2), rule("", 2), rule("chatter", 20)];
    let mut store = database.open().with_services(&rules);
    let now = time::now();
    let records = |days_ago: &'static [i64]| {
        (0..4000usize).map(move |n| RecordRef {
            timestamp: now - days_ago[n / 4 % days_ago.len()] * DAY,
            origin: Origin { service: ["noise", "chatter", "billing", ""][n % 4], ..Origin::default() },
            ..RecordRef::default()
        })
    };
    // A day that has no partition, days that do, and yesterday, which is evidence that the clock is
    // right.
    write(&mut store, records(&[3000, 10, 4, 1, 0]));
    let pass = |store: &mut PostgresStore| (0..40).filter(|_| block_on(store.maintain()).unwrap()).count();
    assert!(pass(&mut store) > 0);
    let count = |service: &str| {
        database.value(&format!("SELECT count(*) FROM logs WHERE service IS NOT DISTINCT FROM {service}"))
    };
    assert_eq!((count("'noise'"), count("NULL")), ("400".into(), "400".into()));
    assert_eq!((count("'chatter'"), count("'billing'")), ("800".into(), "1000".into()));
    assert_eq!(database.value("SELECT missing FROM logs_accounted"), "0");
    assert_eq!(pass(&mut store), 0, "all was looked at");
    // Records that arrive late are found, too.
    write(&mut store, records(&[4]));
    pass(&mut store);
    assert_eq!((count("'noise'"), count("'chatter'")), ("400".into(), "1800".into()));
    assert_eq!(database.value("SELECT missing FROM logs_accounted"), "0");
}

#[test]
fn every_field_has_its_column() {
    let database = Server::shared().database();
    let mut store = database.open();
    let record = RecordRef {
        timestamp: -1,
        severity_number: 14,
        origin: Origin {
            service: "s",
            logger: "l",
            host: "h",
            file: "f",
            line: u32::MAX,
            function: "g",
            process_id: u32::MAX,
            thread: "t",
            severity_text: "",
        },
        message: "m",
        trace_id: "a",
        span_id: "b",
        event_name: "e",
        attributes: r#"{"k":1}"#,
        ..RecordRef::default()
    };
    write(&mut store, [record, RecordRef::default()]);
    let flat = "SELECT json_build_array(id, to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), severity_number, severity,
        service, logger, host, message, trace_id, span_id, event_name, file, line, function, process_id, thread, attributes, node,
        time_ns)::text FROM logs WHERE id = ";
    assert_eq!(
        database.value(&format!("{flat} 1")),
        r#"[1, "1969-12-31 23:59:59.999999", 14, "WARN2", "s", "l", "h", "m", "a", "b", "e", "f", 4294967295, "g", 4294967295, "t", {"k": 1}, "test", 999]"#
    );
    assert_eq!(
        database.value(&format!("{flat} 2")),
        r#"[2, "1970-01-01 00:00:00.000000", 0, null, null, null, null, null, null, null, null, null, null, null, null, null, null, "test", null]"#
    );
}

#[test]
fn extreme_times_are_stored_exactly() {
    let database = Server::shared().database();
    let edges = [i64::MIN, i64::MAX, 0].map(|timestamp| RecordRef { timestamp, ..RecordRef::default() });
    assert_eq!(write(&mut database.open(), edges), Written { stored: 3, dead_letters: 0 });
    let edges = "SELECT string_agg(extract(epoch FROM time)::text || '/' || coalesce(time_ns, 0), ' ' ORDER BY id) FROM logs";
    assert_eq!(database.value(edges), "-9223372036.854776/192 9223372036.854775/807 0.000000/0");
}

#[test]
fn only_refused_rows_become_dead_letters() {
    for (obstacle, reason) in [
        ("ALTER TABLE logs ADD CONSTRAINT picky CHECK (message NOT IN ('3', '70', '200'))", "23514: new row for"),
        (
            "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN IF NEW.message IN (''3'', ''70'', ''200'') THEN
                 RAISE EXCEPTION ''not these''; END IF; RETURN NEW; END' LANGUAGE plpgsql;
             CREATE TRIGGER picky BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION refuse()",
            "P0001: not these",
        ),
        (
            "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN IF NEW.message IN (''3'', ''70'', ''200'') THEN
                 RAISE EXCEPTION USING ERRCODE = ''23514'', MESSAGE = ''not these''; END IF; RETURN NEW; END' LANGUAGE plpgsql;
             CREATE CONSTRAINT TRIGGER picky AFTER INSERT ON logs DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION refuse()",
            "23514: not these",
        ),
        (
            "CREATE FUNCTION refuse() RETURNS trigger AS 'DECLARE found int; BEGIN
                 SELECT 1 INTO STRICT found WHERE NEW.message NOT IN (''3'', ''70'', ''200''); RETURN NEW; END' LANGUAGE plpgsql;
             CREATE TRIGGER picky BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION refuse()",
            "P0002: query returned no rows",
        ),
        (
            "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN IF NEW.message IN (''3'', ''70'', ''200'') THEN
                 RAISE EXCEPTION USING ERRCODE = ''LOG01'', MESSAGE = ''not these''; END IF; RETURN NEW; END' LANGUAGE plpgsql;
             CREATE TRIGGER picky BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION refuse()",
            "LOG01: not these",
        ),
    ] {
        let database = Server::shared().database();
        let mut store = database.open();
        block_on(store.position()).unwrap();
        database.execute(obstacle);
        let messages: Vec<_> = (1..=300).map(|id| id.to_string()).collect();
        let all = messages.iter().map(|message| RecordRef { message, ..RecordRef::default() });
        assert_eq!(write(&mut store, all), Written { stored: 297, dead_letters: 3 });
        assert_eq!(block_on(store.position()).unwrap(), 301);
        let kept = "SELECT count(*), sum(id), count(DISTINCT id) FROM logs";
        let kept = database.rows(kept)[0].iter().flatten().map(|text| text.parse().unwrap()).collect::<Vec<u64>>();
        assert_eq!(kept, [297, 300 * 301 / 2 - 273, 297]);
        let aside = "SELECT string_agg(id || ':' || (record::json->>'message'), ' ' ORDER BY id), min(reason) FROM logs_dead_letter";
        let aside = &database.rows(aside)[0];
        assert_eq!(aside[0].as_deref(), Some("3:3 70:70 200:200"));
        assert!(aside[1].as_ref().unwrap().starts_with(reason), "{aside:?}");
    }
}

/// A function for triggers that returns NULL for some messages, and raises an error for another
/// one.
const SWALLOW: &str = "CREATE FUNCTION swallow() RETURNS trigger AS 'BEGIN
    IF NEW.message = ''100'' THEN RAISE EXCEPTION ''not this''; END IF;
    IF NEW.message IN (''3'', ''70'', ''200'') THEN RETURN NULL; END IF; RETURN NEW; END' LANGUAGE plpgsql;";

#[test]
fn rows_skipped_by_trigger_become_dead_letters() {
    for table in ["logs", "logs_default", "logs_19700101"] {
        for count in [99, 300] {
            let database = Server::shared().database();
            let mut store = database.open();
            block_on(store.position()).unwrap();
            database.execute(
                "CREATE TABLE logs_19700101 PARTITION OF logs FOR VALUES FROM ('1970-01-01') TO ('1970-01-02')",
            );
            database.execute(&format!(
                "{SWALLOW} CREATE TRIGGER greedy BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION swallow()"
            ));
            let timestamp = if table == "logs_default" { -1 } else { 1 };
            let messages: Vec<_> = (1..=count).map(|id| id.to_string()).collect();
            let all = messages.iter().map(|message| RecordRef { message, timestamp, ..RecordRef::default() });
            let (dead, aside) = if count == 300 { (4, "3 70 100 200") } else { (2, "3 70") };
            assert_eq!(write(&mut store, all), Written { stored: count - dead, dead_letters: dead });
            let [kept, letters] = [
                "count(*) FROM logs",
                "string_agg(record::json->>'message', ' ' ORDER BY id) FROM logs_dead_letter",
            ]
            .map(|what| database.value(&format!("SELECT {what}")));
            assert_eq!((kept, letters.as_str()), ((count - dead).to_string(), aside), "{table}");
            let reason = database.value("SELECT reason FROM logs_dead_letter WHERE id = 3");
            assert_eq!(
                reason,
                format!("the row did not arrive in `logs`: blocked by the trigger greedy of {table}")
            );
            assert_eq!(database.value("SELECT missing FROM logs_accounted"), "0");
        }
    }
}

#[test]
fn missing_rows_of_unknown_ids_are_an_error() {
    let database = Server::shared().database();
    let role = format!("{}_writer", database.name);
    database.execute(SCHEMA);
    database.execute(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON logs_version, logs_node TO {role};
         GRANT INSERT ON logs, logs_dead_letter, logs_node TO {role}; GRANT UPDATE ON logs_node TO {role};
         GRANT SELECT, INSERT, DELETE ON logs_claim TO {role};
         {SWALLOW} CREATE TRIGGER greedy BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION swallow()"
    ));
    let mut store = store(&database.url_as(&role));
    let records = ["1", "2", "3", "4"].map(|message| RecordRef { message, ..RecordRef::default() });
    let (batch, count) = self::records(records);
    let mut attempt = || {
        block_on(async {
            let position = store.position().await.unwrap();
            assert_eq!(position, 1);
            store.write(&Chunk::of(position, batch.bytes(), count)).await
        })
    };
    let error = attempt().unwrap_err();
    let told = format!("{} ({})", error.what, error.hint.unwrap_or_default());
    for words in
        ["1 of 4 rows do not arrive in `logs`", "42501", "the trigger greedy of logs", "must return NEW"]
    {
        assert!(told.contains(words), "{told}");
    }
    assert_eq!(database.value("SELECT count(*) FROM logs"), "0");
    database.execute(&format!("GRANT SELECT ON logs TO {role}"));
    assert_eq!(attempt().unwrap(), Written { stored: 3, dead_letters: 1 });
}

#[test]
fn missing_dead_letters_are_an_error() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database.execute(
        "CREATE FUNCTION nothing() RETURNS trigger AS 'BEGIN RETURN NULL; END' LANGUAGE plpgsql;
         CREATE TRIGGER deaf BEFORE INSERT ON logs_dead_letter FOR EACH ROW EXECUTE FUNCTION nothing()",
    );
    let (batch, count) = records([RecordRef { message: "\0", ..RecordRef::default() }, RecordRef::default()]);
    let chunk = Chunk::of(1, batch.bytes(), count);
    let error = block_on(store.write(&chunk)).unwrap_err();
    assert!(
        error.what.contains("1 of 1 rows do not arrive in `logs_dead_letter`: blocked by the trigger deaf"),
        "{error:?}"
    );
    assert!(error.hint.unwrap().contains("must return NEW"));
    assert_eq!(block_on(store.position()).unwrap(), 1);
    // A dead letter that exists from a time when the position was further is left unchanged.
    database.execute(
        "ALTER TABLE logs_dead_letter DISABLE TRIGGER deaf;
         INSERT INTO logs_dead_letter VALUES ('test', 1, now(), 'earlier', '{}');
         ALTER TABLE logs_dead_letter ENABLE TRIGGER deaf",
    );
    assert_eq!(block_on(store.write(&chunk)).unwrap(), Written { stored: 1, dead_letters: 1 });
    assert_eq!(database.value("SELECT string_agg(reason, ' ') FROM logs_dead_letter"), "earlier");
}

/// Rows that the owner's triggers delete are the owner's responsibility: they were stored before.
#[test]
fn rows_deleted_by_trigger_are_missing_not_dead_letters() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database.execute(
        "CREATE FUNCTION move() RETURNS trigger AS 'BEGIN DELETE FROM logs WHERE id = 2; RETURN NULL; END' LANGUAGE plpgsql;
         CREATE TRIGGER move AFTER INSERT ON logs FOR EACH ROW EXECUTE FUNCTION move()",
    );
    assert_eq!(write(&mut store, [RecordRef::default(); 3]), Written { stored: 3, dead_letters: 0 });
    assert_eq!(database.value("SELECT missing FROM logs_accounted"), "1");
}

#[test]
fn obstacle_to_position_change_is_reported() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        store.write(&chunk(1, 11)).await.unwrap();
        database.execute(
            "CREATE FUNCTION nothing() RETURNS trigger AS 'BEGIN IF TG_ARGV[0] = ''all'' OR NEW.epoch = OLD.epoch THEN
                 RETURN NULL; END IF; RETURN NEW; END' LANGUAGE plpgsql;
             CREATE TRIGGER deaf BEFORE UPDATE ON logs_node FOR EACH ROW EXECUTE FUNCTION nothing('some')",
        );
        let is_told = |error: StoreError| {
            let hint = error.hint.unwrap_or_default();
            assert!(error.what.contains("the trigger deaf of logs_node"), "{}", error.what);
            assert!(hint.contains("must return NEW"), "{hint}");
        };
        is_told(store.write(&chunk(11, 21)).await.unwrap_err());
        assert_eq!(store.position().await.unwrap(), 11);
        is_told(store.sync().await.unwrap_err());
        database.execute(
            "DROP TRIGGER deaf ON logs_node;
             CREATE TRIGGER deaf BEFORE UPDATE ON logs_node FOR EACH ROW EXECUTE FUNCTION nothing('all')",
        );
        assert_eq!(store.position().await.unwrap(), 11, "its claim holds, so that nothing is changed");
        is_told(self::store(&database.url()).position().await.unwrap_err());
        database.execute("DROP TRIGGER deaf ON logs_node");
        assert_eq!(store.position().await.unwrap(), 11);
        store.write(&chunk(11, 21)).await.unwrap();
    });
    assert_eq!(database.read(1).len(), 20);
}

#[test]
fn chunk_of_refused_rows_becomes_dead_letters() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database.execute("ALTER TABLE logs ADD CONSTRAINT nothing CHECK (id < 0)");
    let all = (0..50).map(|_| RecordRef::default());
    assert_eq!(write(&mut store, all), Written { stored: 0, dead_letters: 50 });
    assert_eq!(database.value("SELECT count(*) FROM logs_dead_letter"), "50");
    database.execute("ALTER TABLE logs DROP CONSTRAINT nothing");
    assert_eq!(write(&mut store, [RecordRef::default()]), Written { stored: 1, dead_letters: 0 });
    assert_eq!(database.value("SELECT id FROM logs"), "51");
}

#[test]
fn many_dead_letters_keep_whole_records() {
    let database = Server::shared().database();
    let messages: Vec<_> = (1..=2000).map(|id| format!("{id}\0{}", "x".repeat(id % 300))).collect();
    let all = messages.iter().map(|message| RecordRef { message, ..RecordRef::default() });
    assert_eq!(write(&mut database.open(), all), Written { stored: 0, dead_letters: 2000 });
    let whole = "SELECT count(*) FROM logs_dead_letter
        WHERE position('\"message\":\"' || id || '\\u0000' || repeat('x', (id % 300)::int) || '\"' IN record) > 0";
    assert_eq!(database.value(whole), "2000");
}

#[test]
fn unstorable_values_become_dead_letters() {
    let database = Server::shared().database();
    let good = RecordRef { message: "good", attributes: r#"{"a":"\\u0000"}"#, ..RecordRef::default() };
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(50), "]".repeat(50));
    let large = format!("{{\"a\":1{}}}", "0".repeat(200_000));
    let all = [
        good,
        RecordRef { message: "a\0b", ..good },
        good,
        RecordRef { attributes: r#"{"a":"\u0000"}"#, ..good },
        RecordRef { attributes: r#"{"a":"\ud800"}"#, ..good },
        RecordRef { attributes: &large, ..good },
        RecordRef { attributes: &deep, ..good },
        RecordRef { origin: Origin { thread: "\0", ..Origin::default() }, ..good },
        good,
    ];
    assert_eq!(write(&mut database.open(), all), Written { stored: 4, dead_letters: 5 });
    assert_eq!(database.value("SELECT string_agg(id::text, ' ' ORDER BY id) FROM logs"), "1 3 7 9");
    let reasons = database.rows("SELECT reason FROM logs_dead_letter ORDER BY id");
    let reasons: Vec<_> = reasons.iter().map(|row| row[0].as_deref().unwrap()).collect();
    for (reason, part) in reasons.iter().zip([
        "contains NUL",
        "\\u0000",
        "22P02: invalid input syntax",
        "22003",
        "contains NUL",
    ]) {
        assert!(reason.contains(part), "{reasons:?}");
    }
    let whole = r#"SELECT count(*) FROM logs_dead_letter WHERE record LIKE '{"id":%,"timestamp":"1970-01-01T00:00:00%}'"#;
    assert_eq!(database.value(whole), "5");
}

#[test]
fn unencodable_text_becomes_dead_letter() {
    for (encoding, lacking, told) in [
        ("LATIN1", RecordRef { message: "caf\u{e9} \u{1f600}", ..RecordRef::default() }, "22P05"),
        (
            "SQL_ASCII",
            RecordRef { attributes: r#"{"a":"\u00e9"}"#, message: "\u{1f600}", ..RecordRef::default() },
            "SQL_ASCII",
        ),
    ] {
        let server = Server::shared();
        let name = format!("{}_{encoding}", server.database().name).to_lowercase();
        let create = format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0");
        server.database_named("postgres").execute(&create);
        let database = server.database_named(&name);
        let good = RecordRef { message: "caf\u{e9}", ..RecordRef::default() };
        let written = write(&mut database.open(), [good, lacking, good]);
        assert_eq!(written, Written { stored: 2, dead_letters: 1 }, "{encoding}");
        assert!(database.value("SELECT reason FROM logs_dead_letter").contains(told));
        let record = database.value("SELECT record FROM logs_dead_letter");
        assert!(record.contains(r"\ud83d\ude00") && record.is_ascii(), "{record}");
    }
}

#[test]
fn first_record_of_day_creates_partition() {
    let database = Server::shared().database();
    let mut store = database.open();
    let now = time::now();
    let day = 86_400 * time::SECOND;
    let days = [-2, -1, 0, 1].map(|ahead| RecordRef { timestamp: now + ahead * day, ..RecordRef::default() });
    write(&mut store, days);
    assert_eq!(partitions(&database).len(), 5, "{:?}", partitions(&database));
    assert_eq!(database.value("SELECT count(*) FROM logs_default"), "0");
    write(&mut store, [at("1970-01-01T00:00:00Z"), at("2200-01-01T00:00:00Z")]);
    assert_eq!(partitions(&database).len(), 5);
    assert_eq!(database.value("SELECT count(*) FROM logs_default"), "2");
}

#[test]
fn many_days_create_few_partitions_per_chunk() {
    let database = Server::shared().database();
    let mut store = database.open();
    let now = time::now();
    let day = 86_400 * time::SECOND;
    let crowd = || (0..2000).map(|back| RecordRef { timestamp: now - back * day, ..RecordRef::default() });
    assert_eq!(write(&mut store, crowd()).stored, 2000);
    assert_eq!(partitions(&database).len(), 1 + crate::limits::POSTGRES_NEW_DAYS_MAX);
    // The next chunk creates some more, and each receives its day's rows from the default
    // partition.
    assert_eq!(write(&mut store, crowd()).stored, 2000);
    assert_eq!(partitions(&database).len(), 1 + 2 * crate::limits::POSTGRES_NEW_DAYS_MAX);
    let per_day = "SELECT count(*), min(c), max(c) FROM (SELECT count(*) c FROM logs WHERE tableoid <> 'logs_default'::regclass GROUP BY tableoid) d";
    assert_eq!(database.rows(per_day)[0].iter().flatten().collect::<Vec<_>>(), ["16", "2", "2"]);
    assert_eq!(database.value("SELECT count(*) FROM logs"), "4000");
}

#[test]
fn manual_partition_of_many_days_is_used() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database
        .execute("CREATE TABLE by_hand PARTITION OF logs FOR VALUES FROM ('2000-01-01') TO ('2100-01-01')");
    let now = RecordRef { timestamp: time::now(), ..RecordRef::default() };
    write(&mut store, [now]);
    assert_eq!(database.value("SELECT count(*) FROM by_hand"), "1");
    assert!(!block_on(store.maintain()).unwrap());
    assert_eq!(partitions(&database), ["by_hand", "logs_default"]);
}

#[test]
fn user_columns_and_indexes_are_kept() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database.execute(
        "ALTER TABLE logs ADD COLUMN team text DEFAULT 'unknown';
         ALTER TABLE logs ADD COLUMN length int GENERATED ALWAYS AS (length(message)) STORED;
         CREATE INDEX mine ON logs (service)",
    );
    let now = RecordRef { timestamp: time::now(), message: "four", ..RecordRef::default() };
    write(&mut store, [now]);
    block_on(database.open().position()).unwrap();
    assert_eq!(
        database.rows("SELECT team, length FROM logs")[0].iter().flatten().collect::<Vec<_>>(),
        ["unknown", "4"]
    );
    assert_eq!(database.value("SELECT count(*) FROM pg_inherits WHERE inhparent = 'mine'::regclass"), "2");
}

#[test]
fn retention_drops_old_days() {
    let database = Server::shared().database();
    let day = 86_400 * time::SECOND;
    let keep = Retention { age: Some(Duration::from_secs(3 * 86_400)), bytes: None };
    let mut store = store_with(&database.url(), "test", keep);
    let now = time::now();
    let ages =
        [10, 5, 3, 2, 1, 0, 2000].map(|age| RecordRef { timestamp: now - age * day, ..RecordRef::default() });
    write(&mut store, ages);
    while block_on(store.maintain()).unwrap() {}
    let kept = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM logs";
    assert_eq!(database.value(kept), "3 4 5 6");
    assert_eq!(block_on(store.position()).unwrap(), 8);
}

#[test]
fn retention_requires_evidence_for_clock() {
    let database = Server::shared().database();
    let keep = Retention { age: Some(Duration::from_secs(86_400)), bytes: None };
    let mut store = store_with(&database.url(), "test", keep);
    let day = 86_400 * time::SECOND;
    // There is no record of yesterday, so the clock may have stepped.
    write(
        &mut store,
        [10, 0].map(|age| RecordRef { timestamp: time::now() - age * day, ..RecordRef::default() }),
    );
    assert!(!block_on(store.maintain()).unwrap());
    assert_eq!(database.value("SELECT count(*) FROM logs"), "2");
}

#[test]
fn size_limit_drops_oldest_days() {
    let database = Server::shared().database();
    let keep = Retention { age: None, bytes: Some(1) };
    let mut store = store_with(&database.url(), "test", keep);
    let day = 86_400 * time::SECOND;
    write(
        &mut store,
        [2, 1, 0].map(|age| RecordRef { timestamp: time::now() - age * day, ..RecordRef::default() }),
    );
    while block_on(store.maintain()).unwrap() {}
    assert_eq!(database.value("SELECT string_agg(id::text, ' ') FROM logs"), "3", "today stays");
}

#[test]
fn schema_owner_needs_no_other_rights() {
    let database = Server::shared().database();
    let role = format!("{}_role", database.name);
    database.execute(&format!(
        "REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE ROLE {role} LOGIN NOSUPERUSER; CREATE SCHEMA own AUTHORIZATION {role}"
    ));
    let mut refused = store(&database.url_as(&role));
    let error = block_on(refused.position()).unwrap_err();
    assert!(error.hint.unwrap().contains("search_path"), "{}", error.what);
    let mut store = store(&format!("{}?options=-c%20search_path%3Down", database.url_as(&role)));
    write(&mut store, [RecordRef { timestamp: time::now(), ..RecordRef::default() }]);
    assert_eq!(block_on(store.sync()).unwrap(), 2);
    assert!(!block_on(store.maintain()).unwrap());
    assert_eq!(database.value("SELECT count(*) FROM own.logs"), "1");
}

#[test]
fn write_only_role_can_use_existing_tables() {
    let database = Server::shared().database();
    let role = format!("{}_writer", database.name);
    database.execute(SCHEMA);
    database.execute(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON logs_version, logs_node TO {role};
         GRANT INSERT ON logs, logs_dead_letter, logs_node TO {role}; GRANT UPDATE ON logs_node TO {role};
         GRANT SELECT, INSERT, DELETE ON logs_claim TO {role};
         GRANT SELECT, INSERT, DELETE ON logs_claim TO {role}"
    ));
    let mut store = store(&database.url_as(&role));
    let good = RecordRef { timestamp: time::now(), ..RecordRef::default() };
    let written = write(&mut store, [good, RecordRef { message: "\0", ..good }]);
    assert_eq!(written, Written { stored: 1, dead_letters: 1 });
    assert_eq!(block_on(store.sync()).unwrap(), 3);
    assert!(!block_on(store.maintain()).unwrap());
    assert_eq!(database.value("SELECT count(*) FROM logs_default"), "1");
}

#[test]
fn concurrent_nodes_can_start_on_empty_database() {
    let database = Server::shared().database();
    let url = database.url();
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let url = url.clone();
            std::thread::spawn(move || {
                let mut store = store_with(&url, &format!("node-{number}"), Retention::default());
                for _ in 0..5 {
                    write(
                        &mut store,
                        (0..100).map(|_| RecordRef { timestamp: time::now(), ..RecordRef::default() }),
                    );
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let exactly_once = "SELECT count(*), bool_and(ok) FROM
        (SELECT count(*) = 500 AND max(id) - min(id) + 1 = 500 AND count(DISTINCT id) = 500 AS ok FROM logs GROUP BY node) n";
    assert_eq!(database.rows(exactly_once)[0].iter().flatten().collect::<Vec<_>>(), ["8", "t"]);
}

#[test]
fn newest_process_of_node_wins_and_other_stops() {
    let database = Server::shared().database();
    let (mut one, mut two) = (database.open(), database.open());
    block_on(async {
        one.position().await.unwrap();
        one.write(&chunk(1, 11)).await.unwrap();
        assert_eq!(two.position().await.unwrap(), 11);
        let moved = one.write(&chunk(11, 21)).await.unwrap_err();
        assert!(moved.what.contains("another client has changed it"), "{}", moved.what);
        for _ in 0..2 {
            let fenced = one.position().await.unwrap_err();
            assert!(fenced.what.contains("has taken it over"), "{}", fenced.what);
        }
        two.write(&chunk(11, 16)).await.unwrap();
        assert_eq!(two.position().await.unwrap(), 16);
    });
    assert_eq!(database.read(1).len(), 15);
}

/// A transaction that an earlier connection of a process still completes later is committed once or
/// not at all.
#[test]
fn late_transaction_of_old_connection_is_not_duplicated() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        store.write(&chunk(1, 11)).await.unwrap();
        let mut earlier = store.writer.take().unwrap();
        assert_eq!(store.position().await.unwrap(), 11);
        store.write(&chunk(11, 31)).await.unwrap();
        let late = earlier.write(&mut Rows::new("test"), &chunk(11, 21)).await;
        assert!(matches!(late, Err(Fault::Moved(11))), "{late:?}");
        let mut earlier = store.writer.take().unwrap();
        assert_eq!(store.position().await.unwrap(), 31);
        earlier.write(&mut Rows::new("test"), &chunk(31, 36)).await.unwrap();
        let late = store.write(&chunk(31, 41)).await.unwrap_err();
        assert!(late.what.contains("no longer 31"), "{}", late.what);
        assert_eq!(store.position().await.unwrap(), 36);
    });
    assert_eq!(database.read(1).len(), 35);
}

#[test]
fn database_in_older_state_is_accepted() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        store.write(&chunk(1, 21)).await.unwrap();
        database.execute("CREATE TABLE saved AS SELECT * FROM logs_node");
        store.write(&chunk(21, 31)).await.unwrap();
        store.disconnect();
        // Like a standby that had not received everything yet.
        database.execute(
            "DELETE FROM logs WHERE id > 20; DELETE FROM logs_node; INSERT INTO logs_node SELECT * FROM saved",
        );
        assert_eq!(store.position().await.unwrap(), 21);
        store.write(&chunk(21, 41)).await.unwrap();
        store.disconnect();
        database.execute(
            "DROP VIEW logs_accounted; DROP TABLE logs, logs_dead_letter, logs_node, logs_claim, logs_version",
        );
        assert_eq!(store.position().await.unwrap(), 1);
        store.write(&chunk(35, 41)).await.unwrap();
    });
    assert_eq!(database.read(1).len(), 6);
}

#[test]
fn changed_position_is_rejected() {
    for change in
        ["position = 6", "position = -5", "position = 1011", "epoch = 9223372036854775807", "checksum = 7"]
    {
        let database = Server::shared().database();
        let mut store = database.open();
        block_on(async {
            store.position().await.unwrap();
            store.write(&chunk(1, 11)).await.unwrap();
            database.execute("CREATE TABLE saved AS SELECT * FROM logs_node");
            database.execute(&format!("UPDATE logs_node SET {change}"));
            store.disconnect();
            let folder = tempfile::TempDir::new().unwrap();
            let other = database.open().with_claimant(Claimant::in_folder(folder.path(), "test"));
            for mut store in [store, other] {
                let error = store.write(&chunk(11, 21)).await.unwrap_err();
                assert!(
                    error.what.contains("cannot be trusted") && error.hint.is_some(),
                    "{change}: {error}"
                );
                assert!(store.sync().await.is_err(), "{change}");
            }
            assert_eq!(database.read(1).len(), 10, "{change}");
            database.execute("DELETE FROM logs_node; INSERT INTO logs_node SELECT * FROM saved");
            let mut store = database.open();
            assert_eq!(store.position().await.unwrap(), 11, "{change}");
            store.write(&chunk(11, 21)).await.unwrap();
        });
        assert_eq!(database.read(1).len(), 20, "{change}");
    }
}

/// Restores the tables of version 1, as far as claims have changed them.
#[test]
fn version_1_tables_are_migrated_with_positions() {
    let database = Server::shared().database();
    write(&mut database.open(), (0..10).map(|_| at("2026-11-20T00:00:00Z")));
    database.execute(
        "DROP TABLE logs_claim; ALTER TABLE logs_node DROP COLUMN checksum, ADD COLUMN process bigint NOT NULL DEFAULT 0;
         ALTER TABLE logs_version DROP COLUMN database; UPDATE logs_version SET version = 1; UPDATE logs_node SET epoch = 17",
    );
    let mut store = database.open();
    assert_eq!(block_on(store.position()).unwrap(), 11);
    assert_eq!(write(&mut store, [at("2026-11-20T00:00:00Z")]).stored, 1);
    assert_eq!(database.value("SELECT version || ' ' || length(database) FROM logs_version"), "2 32");
    assert_eq!(database.value("SELECT position FROM logs_node WHERE checksum IS NOT NULL"), "12");
    assert_eq!(block_on(database.open().position()).unwrap(), 12);
}

/// Holds regardless of the defaults of the database.
#[test]
fn synced_records_are_flushed_by_server() {
    let server = Server::start(&["wal_writer_delay=10s"]);
    let database = server.database();
    database.execute(&format!("ALTER DATABASE {} SET synchronous_commit = off", database.name));
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        for round in 0..20 {
            store.write(&chunk(round * 10 + 1, round * 10 + 11)).await.unwrap();
            let written = database.value("SELECT pg_current_wal_insert_lsn()");
            assert_eq!(store.sync().await.unwrap(), round * 10 + 11);
            let is_flushed = format!("SELECT pg_current_wal_flush_lsn() >= '{written}'");
            assert_eq!(database.value(&is_flushed), "t", "round {round}");
        }
    });
    assert_eq!(database.value("SELECT synced FROM logs_node"), "201");
}

#[test]
fn newer_schema_is_rejected() {
    let database = Server::shared().database();
    block_on(database.open().position()).unwrap();
    database.execute("UPDATE logs_version SET version = 99");
    let error = block_on(database.open().position()).unwrap_err();
    assert!(error.what.contains("tables have version 99, this program supports version 2"), "{}", error.what);
}

#[test]
fn errors_have_hints() {
    let database = Server::shared().database();
    let port = Server::shared().port();
    database.execute(&format!("CREATE ROLE {}_none LOGIN", database.name));
    let folder = tempfile::TempDir::new().unwrap();
    for (url, what, hint) in [
        ("postgres://jo@127.0.0.1:1/db".to_owned(), "Connection refused", "check that the server runs"),
        (
            format!("postgres://jo@{}/db", folder.path().display().to_string().replace('/', "%2F")),
            "No such file",
            "check that the server runs",
        ),
        (
            format!("postgres://postgres@127.0.0.1:{port}/nowhere"),
            "\"nowhere\" does not exist",
            "create the database",
        ),
        (
            format!("postgres://nobody@127.0.0.1:{port}/{}", database.name),
            "\"nobody\" does not exist",
            "user and password",
        ),
        (
            format!("postgres://postgres@127.0.0.1:{port}/{}?sslmode=require", database.name),
            "does not support TLS",
            "sslmode",
        ),
        (
            format!("postgres://postgres@127.0.0.1:{port}/{}?sslmode=verify-full", database.name),
            "sslrootcert",
            "sslrootcert",
        ),
    ] {
        let error = block_on(store(&url).position()).unwrap_err();
        let told = error.hint.clone().unwrap_or_default();
        assert!(error.what.contains(what) && told.contains(hint), "{} ({told})", error.what);
    }
    block_on(database.open().position()).unwrap();
    for (change, hint) in [
        ("ALTER TABLE logs RENAME TO hidden", "`logboom schema --store postgres`"),
        (
            "ALTER TABLE hidden RENAME TO logs; ALTER TABLE logs RENAME thread TO threads",
            "`logboom schema --store postgres`",
        ),
    ] {
        database.execute(change);
        let mut store = database.open();
        let error = block_on(async {
            store.position().await?;
            store.write(&chunk(1, 2)).await
        });
        let error = error.unwrap_err();
        assert!(error.hint.clone().unwrap_or_default().contains(hint), "{} {:?}", error.what, error.hint);
    }
}

#[test]
fn error_reports_each_server() {
    let port = Server::shared().port();
    let url = format!("postgres://jo@127.0.0.1:1,127.0.0.1:{port}/nowhere?target_session_attrs=read-write");
    let error = block_on(store(&url).position()).unwrap_err();
    for part in ["no connection to 127.0.0.1:1: ", &format!("; 127.0.0.1:{port}: role \"jo\" does not exist")]
    {
        assert!(error.what.contains(part), "{}", error.what);
    }
    assert!(error.hint.unwrap().contains("check that the server runs"));
    let places = ["a", "b"].map(|name| endpoint::Place::Host { name: name.into(), address: None, port: 1 });
    let standby = |refusal: Option<Fault>| {
        let faults = places.iter().cloned().zip([Fault::Standby, refusal.unwrap_or(Fault::Standby)]);
        Fault::Nowhere(faults.collect()).explain(&"x", "accept records")
    };
    assert!(standby(None).hint.unwrap().contains("one of them must become the primary"));
    let error = standby(Some(Fault::Silent(Duration::from_secs(3))));
    assert!(error.what.ends_with(
        "a:1: the server is a standby, which can only be read; b:1: the server has been silent for 3 s"
    ));
    assert!(error.hint.unwrap().contains("the server hangs"));
}

#[test]
fn pending_statement_reports_end_of_connection() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        let Session { client, line } = &mut store.writer.as_mut().unwrap().session;
        let fault = line
            .drive(client.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())"))
            .await
            .unwrap_err();
        assert!(fault.explain(&"x", "answer").what.contains("57P01"), "{fault:?}");
    });
}

#[test]
fn silent_server_times_out() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://jo@{}/db?connect_timeout=2", silent.local_addr().unwrap());
    let error = block_on(store(&url).position()).unwrap_err();
    assert!(error.what.contains("silent for 2 s"), "{}", error.what);
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        let Session { client, line } = &mut store.writer.as_mut().unwrap().session;
        let fault = line.drive_within(1, client.batch_execute("SELECT pg_sleep(3600)")).await.unwrap_err();
        assert!(matches!(fault, Fault::Silent(_)), "{fault:?}");
    });
}

/// The certificates are for `localhost`, from an authority of the tests, and valid for a hundred
/// years.
#[test]
fn tls_is_as_strict_as_sslmode() {
    let server = Server::start_with_tls(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres"));
    let database = server.database();
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres");
    let port = server.port();
    for (host, parameters, is_taken) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), false),
        ("127.0.0.1", "sslmode=allow".to_owned(), true),
        ("127.0.0.1", "sslmode=prefer".to_owned(), true),
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={files}/stranger.crt"), false),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={files}/authority.crt"), true),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={files}/stranger.crt"), false),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={files}/authority.crt"), false),
        (
            "localhost",
            format!("hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={files}/authority.crt"),
            true,
        ),
        (
            "localhost",
            format!("hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={files}/stranger.crt"),
            false,
        ),
        ("localhost", "hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert=system".to_owned(), false),
    ] {
        let url = format!("postgres://postgres@{host}:{port}/{}?{parameters}", database.name);
        let result = block_on(store(&url).position());
        assert_eq!(result.is_ok(), is_taken, "{url}: {result:?}");
    }
    let url = format!("postgres://postgres@127.0.0.1:{port}/{}?sslmode=require", database.name);
    let mut store = store(&url);
    block_on(async {
        store.position().await.unwrap();
        store.write(&chunk(1, 20_001)).await.unwrap();
    });
    assert_eq!(database.value("SELECT count(*) FROM logs"), "20000");
    assert_eq!(database.value("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND datname = current_database()"), "1");
}

#[test]
fn password_is_bound_to_server_certificate() {
    let server = Server::start_with_tls(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres"));
    let database = server.database();
    database.execute("CREATE ROLE jo LOGIN PASSWORD 'secret'; GRANT CREATE ON SCHEMA public TO jo");
    let position = |host: &str, parameters: &str| {
        let (port, name) = (server.port(), &database.name);
        let url = format!("postgres://jo:secret@{host}:{port}/{name}?{parameters}");
        block_on(store(&url).position())
            .map_err(|error| format!("{} ({})", error.what, error.hint.unwrap_or_default()))
    };
    let required = "sslmode=require&channel_binding=require";
    let error = position("127.0.0.1", required).unwrap_err();
    assert!(error.contains("did not use channel binding") && error.contains("scram-sha-256"), "{error}");
    let rules = "local all postgres trust\nhost all all all scram-sha-256\n";
    std::fs::write(server.data().join("pg_hba.conf"), rules).unwrap();
    database.execute("SELECT pg_reload_conf()");
    while position("127.0.0.1", required).is_err() {}
    let without_tls = position("127.0.0.1", "sslmode=disable&channel_binding=require").unwrap_err();
    assert!(without_tls.contains("did not use channel binding"), "{without_tls}");
    for parameters in ["sslmode=require&channel_binding=disable", "sslmode=require", "sslmode=disable"] {
        assert_eq!(position("127.0.0.1", parameters), Ok(1), "{parameters}");
    }
    // If TLS is available but rejected, `prefer` connects without it.
    std::fs::write(server.data().join("pg_hba.conf"), rules.replace("host all", "hostnossl all")).unwrap();
    database.execute("SELECT pg_reload_conf()");
    while position("127.0.0.1", "sslmode=require").is_ok() {}
    assert_eq!(position("127.0.0.1", "sslmode=prefer"), Ok(1));
}

/// Opens a session of another client, in the middle of a transaction.
async fn other(database: &Database, statement: &str) -> Session {
    let endpoint = store(&database.url()).database().endpoint;
    let mut session = Session::open(&endpoint).await.unwrap();
    execute(&mut session, &format!("BEGIN; {statement}")).await;
    session
}

async fn execute(Session { client, line }: &mut Session, sql: &str) {
    line.drive(client.batch_execute(sql)).await.unwrap();
}

/// Waits until a session waits for a lock in this database.
async fn a_lock_is_waited_for(database: &Database) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while database.value(waiting) == "0" {
        tokio::task::yield_now().await;
    }
}

/// Repeats an attempt that may be too slow. The store waits for another session's lock for a
/// second, and a slow machine may need longer to release the lock.
fn in_time(attempt: impl Fn() -> bool) {
    assert!((0..20).any(|_| attempt()));
}

#[test]
fn waiting_housekeeping_leaves_no_transaction() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        let _other = other(&database, schema::LOCK).await;
        assert!(!store.maintain().await.unwrap());
        store.write(&chunk(1, 11)).await.unwrap();
    });
    assert_eq!(database.read(1).len(), 10);
}

/// A dump of the database reads `logs_default` for hours.
#[test]
fn rows_use_default_partition_while_creation_waits() {
    let database = Server::shared().database();
    let mut store = database.open();
    let now = RecordRef { timestamp: time::now(), ..RecordRef::default() };
    block_on(store.position()).unwrap();
    let reading = block_on(other(&database, "SELECT FROM logs_default"));
    assert_eq!(write(&mut store, [now]).stored, 1);
    assert_eq!(database.value("SELECT count(*) FROM logs_default"), "1");
    drop(reading);
    while !partitions(&database).iter().any(|name| name != "logs_default") {
        block_on(store.maintain()).unwrap();
    }
    assert_eq!(write(&mut store, [now]).stored, 1);
    assert_eq!(database.value("SELECT count(*) FROM logs_default"), "0");
    assert_eq!(database.value("SELECT count(*) FROM logs"), "2");
}

#[test]
fn new_partition_takes_rows_inserted_while_it_waits() {
    in_time(a_new_partition_takes_over);
}

fn a_new_partition_takes_over() -> bool {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        let insert =
            "INSERT INTO logs_default (id, time, severity_number, node) VALUES (1, now(), 9, 'other')";
        let mut other = other(&database, insert).await;
        let (batch, count) = records([RecordRef { timestamp: time::now(), ..RecordRef::default() }]);
        let chunk = Chunk::of(1, batch.bytes(), count);
        let end_of_the_other = async {
            a_lock_is_waited_for(&database).await;
            execute(&mut other, "COMMIT").await;
        };
        let (written, ()) = futures_util::join!(store.write(&chunk), end_of_the_other);
        written.unwrap();
    });
    assert_eq!(database.value("SELECT count(*) FROM logs"), "2");
    let is_made = partitions(&database).len() == 2;
    assert!(!is_made || database.value("SELECT count(*) FROM logs_default") == "0");
    is_made
}

/// Creating a trigger or an index locks `logs` first, and then its partitions.
#[test]
fn partition_creation_uses_common_lock_order() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        let mut other = other(&database, "LOCK TABLE ONLY logs IN SHARE ROW EXCLUSIVE MODE").await;
        let (batch, count) = records([RecordRef { timestamp: time::now(), ..RecordRef::default() }]);
        let chunk = Chunk::of(1, batch.bytes(), count);
        let rest_of_the_other = async {
            a_lock_is_waited_for(&database).await;
            execute(&mut other, "LOCK TABLE logs_default IN SHARE ROW EXCLUSIVE MODE; COMMIT").await;
        };
        let (written, ()) = futures_util::join!(store.write(&chunk), rest_of_the_other);
        written.unwrap();
    });
    assert_eq!(database.value("SELECT count(*) FROM logs"), "1");
}

#[test]
fn row_refused_twice_becomes_one_dead_letter() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN RAISE EXCEPTION ''nothing at all''; END' LANGUAGE plpgsql;
         CREATE TRIGGER closed BEFORE INSERT ON logs FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
    );
    let all = ["a", "b\0", "c\0"].map(|message| RecordRef { message, ..RecordRef::default() });
    assert_eq!(write(&mut store, all), Written { stored: 0, dead_letters: 3 });
    assert_eq!(database.value("SELECT count(*) FROM logs_dead_letter"), "3");
}

#[test]
fn month_partition_with_day_name_is_not_a_day() {
    let database = Server::shared().database();
    let keep = Retention { age: None, bytes: Some(1) };
    let mut store = store_with(&database.url(), "test", keep);
    block_on(store.position()).unwrap();
    database.execute(
        "DO $$ BEGIN EXECUTE format('CREATE TABLE %I PARTITION OF logs FOR VALUES FROM (%L) TO (%L)',
             to_char(now() - interval '10 days', '\"logs_\"YYYYMMDD'), now() - interval '10 days', now() + interval '20 days');
         END $$",
    );
    write(&mut store, [RecordRef { timestamp: time::now(), ..RecordRef::default() }]);
    while block_on(store.maintain()).unwrap() {}
    assert_eq!(database.value("SELECT count(*) FROM logs"), "1");
}

/// After a step of the clock, midnight may be only minutes away.
#[test]
fn midnight_is_no_evidence_of_a_day() {
    let database = Server::shared().database();
    let keep = Retention { age: Some(Duration::from_secs(86_400)), bytes: None };
    let mut store = store_with(&database.url(), "test", keep);
    let day = 86_400 * time::SECOND;
    let ages = [10, 1, 0].map(|age| RecordRef { timestamp: time::now() - age * day, ..RecordRef::default() });
    write(&mut store, ages);
    assert!(!block_on(store.maintain()).unwrap());
    assert_eq!(database.value("SELECT count(*) FROM logs"), "3");
}

/// A partition created by hand may be large, and has its own bounds.
#[test]
fn retention_scans_only_default_partition() {
    let database = Server::shared().database();
    let keep = Retention { age: Some(Duration::from_secs(86_400)), bytes: None };
    let mut store = store_with(&database.url(), "test", keep);
    let day = 86_400 * time::SECOND;
    let ages =
        [2000, 2, 1, 0].map(|age| RecordRef { timestamp: time::now() - age * day, ..RecordRef::default() });
    write(&mut store, ages);
    database
        .execute("CREATE TABLE by_hand PARTITION OF logs FOR VALUES FROM ('2000-01-01') TO ('2010-01-01')");
    let _packing = block_on(other(&database, "LOCK TABLE ONLY by_hand IN ACCESS EXCLUSIVE MODE"));
    assert!(block_on(store.maintain()).unwrap());
    assert_eq!(database.value("SELECT count(*) FROM logs_default"), "0");
}

/// The defaults of a role may be anything.
#[test]
fn default_isolation_of_role_is_overridden() {
    in_time(a_partition_of_today_is_seen_in_spite_of_its_isolation);
}

fn a_partition_of_today_is_seen_in_spite_of_its_isolation() -> bool {
    let database = Server::shared().database();
    database.execute(&format!(
        "ALTER DATABASE {} SET default_transaction_isolation = 'serializable'",
        database.name
    ));
    let mut store = database.open();
    block_on(store.position()).unwrap();
    let mut other = block_on(other(&database, schema::LOCK));
    let (batch, count) = records([RecordRef { timestamp: time::now(), ..RecordRef::default() }]);
    let chunk = Chunk::of(1, batch.bytes(), count);
    block_on(async {
        let today = format!(
            "CREATE TABLE {0} PARTITION OF logs FOR VALUES FROM ('{1} 00:00:00+00') TO ('{1} 24:00:00+00'); COMMIT",
            database.value("SELECT to_char(now() AT TIME ZONE 'UTC', '\"logs_\"YYYYMMDD')"),
            database.value("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')")
        );
        let end_of_the_other = async {
            a_lock_is_waited_for(&database).await;
            execute(&mut other, &today).await;
        };
        let (written, ()) = futures_util::join!(store.write(&chunk), end_of_the_other);
        written.unwrap();
    });
    store.writer.as_ref().unwrap().days.contains(day_of(time::now()))
}

#[test]
fn default_settings_of_role_are_overridden() {
    let database = Server::shared().database();
    for setting in [
        "statement_timeout = '200ms'",
        "idle_session_timeout = '1h'",
        "standard_conforming_strings = off",
        "DateStyle = 'SQL, DMY'",
        "TimeZone = 'Asia/Kathmandu'",
    ] {
        database.execute(&format!("ALTER DATABASE {} SET {setting}", database.name));
    }
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database.execute("ALTER TABLE logs ADD COLUMN slow text DEFAULT pg_sleep(0.4)");
    let now = RecordRef { timestamp: time::now(), ..RecordRef::default() };
    assert_eq!(write(&mut store, [now]).stored, 1);
    assert_eq!(database.value("SELECT count(*) FROM logs_default"), "0");
    block_on(async {
        let Session { client, line } = &mut store.writer.as_mut().unwrap().session;
        let timeout = client.query_one("SELECT current_setting('idle_session_timeout')", &[]);
        assert_eq!(line.drive(timeout).await.unwrap().get::<_, &str>(0), "0");
        let mut known = Days::default();
        known.load(&mut store.writer.as_mut().unwrap().session).await.unwrap();
        assert!(known.contains(day_of(now.timestamp)), "its partition is known for what it is");
    });
}

#[test]
fn rows_do_not_wait_for_server_disk() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database.execute("ALTER TABLE logs ADD COLUMN waits text DEFAULT current_setting('synchronous_commit')");
    let good = RecordRef { timestamp: time::now(), ..RecordRef::default() };
    write(&mut store, [good]);
    // The same for the other path, which writes one row at a time.
    database.execute("ALTER TABLE logs ADD CHECK (message IS NULL)");
    write(&mut store, [good, RecordRef { message: "refused", ..good }, good]);
    assert_eq!(database.value("SELECT string_agg(waits, ' ') FROM logs"), "off off off");
}

/// PostgreSQL scans the whole default partition before it attaches another one, however long the
/// scan takes.
#[test]
fn slow_partition_creation_is_given_up() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    // Raises the server's error for that time limit immediately.
    database.execute(
        "CREATE FUNCTION linger() RETURNS event_trigger AS 'BEGIN IF current_setting(''statement_timeout'') = ''1min'' THEN
             RAISE query_canceled; END IF; PERFORM pg_sleep(3600); END' LANGUAGE plpgsql;
         CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION linger()",
    );
    let now = RecordRef { timestamp: time::now(), ..RecordRef::default() };
    assert_eq!(write(&mut store, [now]).stored, 1);
    assert_eq!(database.value("SELECT count(*) FROM logs_default"), "1");
}

/// Many databases are guarded by their administrators against changes of tables.
#[test]
fn forbidden_partition_creation_is_given_up() {
    for obstacle in [
        "CREATE FUNCTION forbid() RETURNS event_trigger AS 'BEGIN RAISE EXCEPTION ''no changes''; END' LANGUAGE plpgsql;
         CREATE EVENT TRIGGER guard ON ddl_command_start EXECUTE FUNCTION forbid()",
        // Rows without a replica identity can no longer be deleted, and so cannot be moved.
        "INSERT INTO logs (id, time, severity_number, node) VALUES (1, now(), 9, 'other'); CREATE PUBLICATION all_of_it FOR ALL TABLES",
    ] {
        let database = Server::shared().database();
        let mut store = database.open();
        block_on(store.position()).unwrap();
        database.execute(obstacle);
        let now = RecordRef { timestamp: time::now(), ..RecordRef::default() };
        assert_eq!(write(&mut store, [now]), Written { stored: 1, dead_letters: 0 }, "{obstacle}");
        assert_eq!(database.value("SELECT count(*) FROM logs_default WHERE node = 'test'"), "1");
        assert!(!block_on(store.maintain()).unwrap());
        assert_eq!(store.told, None, "housekeeping goes on");
    }
}

#[test]
fn generated_column_does_not_prevent_partition() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database.execute(
        "ALTER TABLE logs ADD COLUMN gone int; ALTER TABLE logs DROP COLUMN gone;
         ALTER TABLE logs ADD COLUMN length int GENERATED ALWAYS AS (length(message)) STORED;
         ALTER TABLE logs ADD COLUMN \"a team\" text DEFAULT 'unknown';
         INSERT INTO logs (id, time, severity_number, message, node, \"a team\") VALUES (1, now(), 9, 'three', 'other', 'ours')",
    );
    assert_eq!(database.value("SELECT count(*) FROM logs_default"), "1");
    write(&mut store, [RecordRef { timestamp: time::now(), message: "four", ..RecordRef::default() }]);
    assert_eq!(database.value("SELECT count(*) FROM logs_default"), "0");
    let rows =
        "SELECT string_agg(concat_ws('/', message, length, \"a team\"), ' ' ORDER BY message) FROM logs";
    assert_eq!(database.value(rows), "four/4/unknown three/5/ours");
}

#[test]
fn detached_partition_is_not_dropped() {
    let database = Server::shared().database();
    let keep = Retention { age: None, bytes: Some(1) };
    let mut store = store_with(&database.url(), "test", keep);
    let old = time::now() - 2 * 86_400 * time::SECOND;
    write(&mut store, [RecordRef { timestamp: old, ..RecordRef::default() }]);
    let name = partitions(&database).into_iter().find(|name| name != "logs_default").unwrap();
    database.execute(&format!("ALTER TABLE logs DETACH PARTITION {name}"));
    block_on(async {
        let Writer { session, days, .. } = store.writer.as_mut().unwrap();
        assert!(days.contains(day_of(old)), "it has not looked since");
        days.drop(session, day_of(old), None).await.unwrap();
    });
    assert_eq!(database.value(&format!("SELECT count(*) FROM {name}")), "1");
}

/// Rows that wait for the default partition while another session attaches a partition for their
/// day are refused there, because they belong to the other partition by then.
#[test]
fn rows_for_newly_attached_partition_are_stored() {
    let database = Server::shared().database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        let day = "CREATE TABLE day (LIKE logs); ALTER TABLE logs ATTACH PARTITION day FOR VALUES FROM ('2001-01-01') TO ('2001-01-03')";
        let mut other = other(&database, day).await;
        let (batch, count) = records([at("2001-01-01T12:00:00Z"), at("1999-01-01T00:00:00Z")]);
        let chunk = Chunk::of(1, batch.bytes(), count);
        let end_of_the_other = async {
            a_lock_is_waited_for(&database).await;
            execute(&mut other, "COMMIT").await;
        };
        let (written, ()) = futures_util::join!(store.write(&chunk), end_of_the_other);
        assert_eq!(written.unwrap(), Written { stored: 2, dead_letters: 0 });
    });
    assert_eq!(database.value("SELECT count(*) FROM day"), "1");
}

#[test]
fn day_with_dependent_view_is_kept_without_blocking() {
    let database = Server::shared().database();
    let keep = Retention { age: None, bytes: Some(1) };
    let mut store = store_with(&database.url(), "test", keep);
    let old = RecordRef { timestamp: time::now() - 2 * 86_400 * time::SECOND, ..RecordRef::default() };
    write(&mut store, [old]);
    let name = partitions(&database).into_iter().find(|name| name != "logs_default").unwrap();
    database.execute(&format!("CREATE VIEW mine AS SELECT * FROM {name}"));
    assert!(!block_on(store.maintain()).unwrap());
    write(&mut store, [old]);
    assert_eq!(database.value("SELECT count(*) FROM mine"), "2");
    database.execute("DROP VIEW mine");
    while block_on(store.maintain()).unwrap() {}
    assert_eq!(database.value("SELECT count(*) FROM logs"), "0");
}

/// Returns the server's plan for a reader's statement on 30,000 records of a day, one per second,
/// with all indexes that the documentation describes for users.
fn plan(statement: (String, Vec<Parameter>)) -> String {
    static DATABASE: OnceLock<Database> = OnceLock::new();
    let database = DATABASE.get_or_init(|| {
        let database = Server::shared().database();
        let mut store = database.open();
        write(&mut store, []);
        database.execute("CREATE EXTENSION pg_trgm");
        let described = include_str!("../../../docs/postgresql.md").lines();
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
        let Session { client, line } = reader.session();
        let parameters: Vec<_> =
            parameters.iter().map(|parameter| parameter as &(dyn ToSql + Sync)).collect();
        let sql = format!("EXPLAIN {sql}");
        let rows = line.drive(client.query(&sql, &parameters)).await.unwrap();
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
    let hour = query::Range { first, last: first + 3600 * time::SECOND - 1 };
    let plan = plan(histogram::statement(&search("service:x"), Column::SeverityNumber, hour, "test"));
    assert!(plan.contains("logs_default_time_idx"), "{plan}");
}

#[test]
fn earliest_time_is_found_at_any_position() {
    let database = Server::shared().database();
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
