//! Partitions of days: when they are created, and what the rows do until then.

use super::*;

#[test]
fn first_record_of_day_creates_partition() {
    let database = new_database();
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
    let database = new_database();
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
    let database = new_database();
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
fn waiting_housekeeping_leaves_no_transaction() {
    let database = new_database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        let _other = other(&database, schema::LOCK).await;
        assert!(!store.maintain().await.unwrap());
        store.write(&chunk(1, 11)).await.unwrap();
    });
    assert_eq!(database.read().len(), 10);
}

/// A dump of the database reads `logs_default` for hours.
#[test]
fn rows_use_default_partition_while_creation_waits() {
    let database = new_database();
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
    let database = new_database();
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
    let database = new_database();
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

/// PostgreSQL scans the whole default partition before it attaches another one, however long the
/// scan takes.
#[test]
fn slow_partition_creation_is_given_up() {
    let database = new_database();
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
        let database = new_database();
        let mut store = database.open();
        block_on(store.position()).unwrap();
        database.execute(obstacle);
        let now = RecordRef { timestamp: time::now(), ..RecordRef::default() };
        assert_eq!(write(&mut store, [now]), WriteOutcome { stored: 1, dead_letters: 0 }, "{obstacle}");
        assert_eq!(database.value("SELECT count(*) FROM logs_default WHERE node = 'test'"), "1");
        assert!(!block_on(store.maintain()).unwrap());
        assert_eq!(store.told, None, "housekeeping goes on");
    }
}

#[test]
fn generated_column_does_not_prevent_partition() {
    let database = new_database();
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

/// Rows that wait for the default partition while another session attaches a partition for their
/// day are refused there, because they belong to the other partition by then.
#[test]
fn rows_for_newly_attached_partition_are_stored() {
    let database = new_database();
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
        assert_eq!(written.unwrap(), WriteOutcome { stored: 2, dead_letters: 0 });
    });
    assert_eq!(database.value("SELECT count(*) FROM day"), "1");
}
