//! The position of a node: who may move it, and when it is durable.

use super::*;

#[test]
fn obstacle_to_position_change_is_reported() {
    let database = new_database();
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
    assert_eq!(database.read().len(), 20);
}

#[test]
fn concurrent_nodes_can_start_on_empty_database() {
    let database = new_database();
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
    let database = new_database();
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
    assert_eq!(database.read().len(), 15);
}

/// A transaction that an earlier connection of a process still completes later is committed once or
/// not at all.
#[test]
fn late_transaction_of_old_connection_is_not_duplicated() {
    let database = new_database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        store.write(&chunk(1, 11)).await.unwrap();
        let mut earlier = store.writer.take().unwrap();
        assert_eq!(store.position().await.unwrap(), 11);
        store.write(&chunk(11, 31)).await.unwrap();
        let late = earlier.write(&mut CopyRows::new("test"), &chunk(11, 21)).await;
        assert!(matches!(late, Err(Fault::Moved(11))), "{late:?}");
        let mut earlier = store.writer.take().unwrap();
        assert_eq!(store.position().await.unwrap(), 31);
        earlier.write(&mut CopyRows::new("test"), &chunk(31, 36)).await.unwrap();
        let late = store.write(&chunk(31, 41)).await.unwrap_err();
        assert!(late.what.contains("no longer 31"), "{}", late.what);
        assert_eq!(store.position().await.unwrap(), 36);
    });
    assert_eq!(database.read().len(), 35);
}

#[test]
fn database_in_older_state_is_accepted() {
    let database = new_database();
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
    assert_eq!(database.read().len(), 6);
}

#[test]
fn changed_position_is_rejected() {
    for change in
        ["position = 6", "position = -5", "position = 1011", "epoch = 9223372036854775807", "checksum = 7"]
    {
        let database = new_database();
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
            assert_eq!(database.read().len(), 10, "{change}");
            database.execute("DELETE FROM logs_node; INSERT INTO logs_node SELECT * FROM saved");
            let mut store = database.open();
            assert_eq!(store.position().await.unwrap(), 11, "{change}");
            store.write(&chunk(11, 21)).await.unwrap();
        });
        assert_eq!(database.read().len(), 20, "{change}");
    }
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
fn rows_do_not_wait_for_server_disk() {
    let database = new_database();
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
