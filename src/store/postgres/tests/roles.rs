//! Roles with few rights, and roles with settings of their own.

use super::*;

#[test]
fn schema_owner_needs_no_other_rights() {
    let database = new_database();
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
    let database = new_database();
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
    assert_eq!(written, WriteOutcome { stored: 1, dead_letters: 1 });
    assert_eq!(block_on(store.sync()).unwrap(), 3);
    assert!(!block_on(store.maintain()).unwrap());
    assert_eq!(database.value("SELECT count(*) FROM logs_default"), "1");
}

/// The defaults of a role may be anything.
#[test]
fn default_isolation_of_role_is_overridden() {
    in_time(a_partition_of_today_is_seen_in_spite_of_its_isolation);
}

fn a_partition_of_today_is_seen_in_spite_of_its_isolation() -> bool {
    let database = new_database();
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
    let database = new_database();
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
        let Session { client, driver } = &mut store.writer.as_mut().unwrap().session;
        let timeout = client.query_one("SELECT current_setting('idle_session_timeout')", &[]);
        assert_eq!(driver.drive(timeout).await.unwrap().get::<_, &str>(0), "0");
        let mut known = Days::default();
        known.load(&mut store.writer.as_mut().unwrap().session).await.unwrap();
        assert!(known.contains(day_of(now.timestamp)), "its partition is known for what it is");
    });
}
