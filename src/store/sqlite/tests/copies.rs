//! Copies of a database that is in use.

use super::*;

#[test]
fn copy_of_database_in_use_is_one_snapshot() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    block_on(store.write(&chunk(1, 30_001))).unwrap();
    block_on(store.delete(&to_delete([5, 6, 30_000]))).unwrap();
    let copy = subject.0.path().join("a copy%20?.db");
    let mut next = 30_001;
    let mut pages = 0;
    let figures = backup::copy(&subject.path(), &copy, |done, _| {
        pages = done;
        block_on(store.write(&chunk(next, next + 1000))).unwrap();
        next += 1000;
    })
    .unwrap();
    assert!(pages > 0 && next > 30_001);
    assert_eq!(backup::verify(&copy).unwrap(), figures);
    let expected = backup::Figures {
        first_id: 1,
        last_id: 30_000,
        records: 29_997,
        deleted: 3,
        dead_letters: 0,
        missing: 0,
        position: 30_001,
    };
    assert_eq!(figures, expected);
    // The copy is a database like any other.
    let mut copied = SqliteStore::new(copy.clone(), Retention::default());
    assert_eq!(block_on(copied.position()).unwrap(), 30_001);
    block_on(copied.write(&chunk(30_001, 30_101))).unwrap();
    drop(copied);
    assert_eq!(backup::verify(&copy).unwrap().records, 30_097);
}

#[test]
fn damaged_copy_fails_verification() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    block_on(store.write(&chunk(1, 10_001))).unwrap();
    let copy = subject.0.path().join("copy.db");
    backup::copy(&subject.path(), &copy, |_, _| {}).unwrap();
    let whole = std::fs::read(&copy).unwrap();
    let verify_after = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(&copy, bytes).unwrap();
        backup::verify(&copy).is_err()
    };
    assert!(!verify_after(&|_| {}));
    assert!(verify_after(&|bytes| bytes.truncate(bytes.len() / 2)));
    assert!(verify_after(&|bytes| bytes.clear()));
    assert!(verify_after(&|bytes| {
        let middle = bytes.len() / 2 / 8192 * 8192;
        bytes[middle..middle + 8192].fill(0x55);
    }));
    // A copy that is sound by itself, but is not what it should be.
    std::fs::write(&copy, &whole).unwrap();
    Connection::open(&copy).unwrap().execute_batch("UPDATE shipped SET position = 9000").unwrap();
    assert!(backup::verify(&copy).unwrap_err().to_string().contains("its position is 9000"));
    // A database that is in use.
    assert!(backup::verify(&subject.path()).unwrap_err().to_string().contains("-wal"));
    assert!(backup::verify(Path::new("/nowhere")).is_err());
}
