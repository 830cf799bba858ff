//! Which records and which days expire, and when.

use super::*;

#[test]
fn service_retention_deletes_due_records() {
    const DAY: i64 = 86_400 * time::SECOND;
    let database = new_database();
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
fn retention_drops_old_days() {
    let database = new_database();
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
fn size_limit_drops_oldest_days() {
    let database = new_database();
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
fn month_partition_with_day_name_is_not_a_day() {
    let database = new_database();
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
    let database = new_database();
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
    let database = new_database();
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

#[test]
fn detached_partition_is_not_dropped() {
    let database = new_database();
    let keep = Retention { age: None, bytes: Some(1) };
    let mut store = store_with(&database.url(), "test", keep);
    let old = time::now() - 2 * 86_400 * time::SECOND;
    write(&mut store, [RecordRef { timestamp: old, ..RecordRef::default() }]);
    let name = partitions(&database).into_iter().find(|name| name != "logs_default").unwrap();
    database.execute(&format!("ALTER TABLE logs DETACH PARTITION {name}"));
    block_on(async {
        let NodeWriter { session, days, .. } = store.writer.as_mut().unwrap();
        assert!(days.contains(day_of(old)), "it has not looked since");
        days.drop(session, day_of(old), None).await.unwrap();
    });
    assert_eq!(database.value(&format!("SELECT count(*) FROM {name}")), "1");
}

#[test]
fn day_with_dependent_view_is_kept_without_blocking() {
    let database = new_database();
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
