//! Deleted records, and what accounts for them.

use super::*;

#[test]
fn deleted_records_are_accounted_for() {
    let database = new_database();
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
    let database = new_database();
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
    let database = new_database();
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
    let database = new_database();
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
    let database = new_database();
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
    let database = new_database();
    let mut store = database.open();
    let times = (i64::MIN, i64::MAX);
    write(&mut store, [times.0, times.1].map(|timestamp| RecordRef { timestamp, ..RecordRef::default() }));
    assert_eq!(block_on(store.delete(&to_delete([1, 2], times))).unwrap(), 2);
}
