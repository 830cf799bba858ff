//! A database that is not what this program has written.

use super::*;

#[test]
fn invalid_database_is_refused_until_moved_away() {
    let subject = SqliteSubject::new();
    std::fs::write(subject.path(), "not a database, and long enough to be read as one's header. ".repeat(20))
        .unwrap();
    let mut store = subject.open();
    let error = block_on(store.position()).unwrap_err();
    assert!(error.what.contains("not a database"), "{error}");
    assert!(error.hint.unwrap().contains("move"));
    std::fs::remove_file(subject.path()).unwrap();
    assert_eq!(block_on(store.position()).unwrap(), 1);
}

#[test]
fn invalid_utf8_hides_no_other_record() {
    let subject = filled();
    let spoil = "UPDATE record SET message = CAST(x'6f6b20ff' AS TEXT) WHERE id = 9000;
        UPDATE record SET attributes = CAST(x'ff' AS TEXT) WHERE id = 100;
        INSERT INTO word VALUES (0, CAST(x'fe' AS TEXT)); UPDATE record SET thread = 0 WHERE id = 200";
    Connection::open(subject.path()).unwrap().execute_batch(spoil).unwrap();
    let mut store = subject.open();
    assert_eq!(block_on(store.position()).unwrap(), 9001);
    block_on(store.write(&chunk(9001, 9101))).unwrap();
    assert!(!block_on(store.maintain()).unwrap());
    assert_eq!(searched(&subject, "8999").0, [8999], "the block goes without a filter");
    assert_eq!(searched(&subject, "9050").0, [9050]);
    let reader = search::SqliteReadConnection::open(&subject.path()).unwrap();
    let mut messages = Vec::new();
    let search = crate::store::Search {
        query: crate::query::Query::parse("", 0).unwrap(),
        ids: 9000..9002,
        time_min: i64::MIN,
        time_max: i64::MAX,
        descending: false,
        fields: crate::record::ColumnSet::ALL,
    };
    let slice = reader.slice(&search, 10, |_, record| {
        messages.push(record.message.to_owned());
        true
    });
    slice.unwrap();
    assert_eq!(messages, ["ok ", "message 9001"]);
}

#[test]
fn incomplete_database_is_an_error_with_hint() {
    for damage in [
        "DROP TABLE block",
        "DROP TABLE sender",
        "DROP TABLE word",
        "DELETE FROM shipped",
        "DROP TABLE shipped",
    ] {
        let subject = filled();
        Connection::open(subject.path()).unwrap().execute_batch(damage).unwrap();
        let mut store = subject.open();
        for _ in 0..2 {
            let error = block_on(store.position()).unwrap_err();
            let hint = error.hint.unwrap_or_default();
            assert!(hint.contains("move ") && hint.contains("`logboom restore`"), "{damage}: {}", error.what);
        }
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&subject.path(), suffix));
        }
        assert_eq!(block_on(store.position()).unwrap(), 1, "a new one");
    }
}

#[test]
fn impossible_block_ids_are_an_error() {
    for wrong in ["end_id = 9223372036854775807", "first_id = -4096"] {
        let subject = filled();
        let connection = Connection::open(subject.path()).unwrap();
        connection.execute_batch(&format!("UPDATE block SET {wrong} WHERE first_id = 4097")).unwrap();
        let reader = search::SqliteReadConnection::open(&subject.path()).unwrap();
        for word in ["", "8000"] {
            let mut search = search_of(word);
            let error = loop {
                match reader.slice(&search, SQLITE_BLOCK_ROWS, |_, _| true) {
                    Ok(rest) => search.ids = rest,
                    Err(error) => break error,
                }
                assert!(!search.ids.is_empty(), "{wrong} is believed");
            };
            assert!(error.to_string().contains("out of range"), "{wrong}: {error}");
        }
    }
    let subject = filled();
    let connection = Connection::open(subject.path()).unwrap();
    connection.execute_batch("UPDATE block SET end_id = -1 WHERE first_id = 8193").unwrap();
    assert!(block_on(subject.open().position()).is_err(), "the last block");
}

/// The shell command `> logboom.db` cuts the file short like this.
#[test]
fn truncated_file_is_detected_and_not_written_to() {
    let cut = |subject: &SqliteSubject, suffix: &str, part: u64| {
        let file = File::options().write(true).open(beside(&subject.path(), suffix)).unwrap();
        file.set_len(file.metadata().unwrap().len() / 4 * part).unwrap();
        file.metadata().unwrap().len()
    };
    type Call = fn(&mut SqliteStore) -> Result<(), StoreError>;
    let calls: [Call; 3] = [
        |store| block_on(store.write(&chunk(9101, 9102))).map(|_| ()),
        |store| block_on(store.sync()).map(|_| ()),
        |store| block_on(store.maintain()).map(|_| ()),
    ];
    for (suffix, part) in [("", 0), ("", 3), ("-wal", 0), ("-wal", 3)] {
        for call in calls {
            let subject = filled();
            let mut store = subject.open();
            block_on(store.write(&chunk(9001, 9101))).unwrap();
            let bytes = cut(&subject, suffix, part);
            for _ in 0..3 {
                let error = call(&mut store).unwrap_err();
                let hint = error.hint.unwrap_or_default();
                assert!(error.what.contains("was truncated"), "{suffix} {part}: {}", error.what);
                assert!(hint.contains("move ") && hint.contains("`logboom restore`"), "{hint}");
                assert!(block_on(store.position()).is_err(), "it is not opened again");
            }
            let data = std::fs::metadata(beside(&subject.path(), suffix)).unwrap();
            assert_eq!(data.len(), bytes, "nothing hides what is missing");
            for suffix in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(beside(&subject.path(), suffix));
            }
            assert_eq!(block_on(store.position()).unwrap(), 1);
            block_on(store.write(&chunk(1, 11))).unwrap();
            assert_eq!(block_on(store.sync()).unwrap(), 11);
        }
    }
}
