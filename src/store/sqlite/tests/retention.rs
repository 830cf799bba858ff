//! Which records expire, and when.

use super::*;

#[test]
fn retention_by_age_deletes_old_blocks_in_slices() {
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: Some(Duration::from_secs(3600)), bytes: None });
    let old = time::now() - 65 * 60 * time::SECOND;
    block_on(store.write(&aged_chunk(1, 10_001, old))).unwrap();
    block_on(store.write(&aged_chunk(10_001, 20_001, time::now()))).unwrap();
    assert_eq!(maintain_all(&mut store), 2);
    // The block with both old and new records stays whole, so the ids have no gaps.
    assert_eq!(subject.query::<i64>("SELECT min(id) FROM logs"), 8193);
    assert_eq!(subject.query::<i64>("SELECT count(*) = max(id) - min(id) + 1 FROM logs"), 1);
    assert_eq!(block_on(store.position()).unwrap(), 20_001);
}

/// Ten years may have passed, or the clock may be wrong.
#[test]
fn retention_by_age_waits_for_evidence_of_clock() {
    const DAY: i64 = 86_400 * time::SECOND;
    let retention = Retention { age: Some(Duration::from_secs(30 * 86_400)), bytes: None };
    let now = time::now();
    for (received, deleted) in [
        (&[now - 3650 * DAY, now][..], 0),
        // The same again, but the clock has run for a day since; a restart in between does not
        // matter.
        (&[now - 3650 * DAY, now - DAY - DAY / 24, now], 1),
        (&[now - 3650 * DAY, now - 20 * DAY, now], 0),
        // Records that were received while the clock was ahead do not keep earlier ones from being
        // deleted.
        (&[now + 3650 * DAY, now - 31 * DAY, now - 2 * DAY, now], 2),
        (&[now + 3650 * DAY, now - 2 * DAY, now], 0),
        // Records that were received while the clock was behind do not cause the deletion of
        // earlier ones.
        (&[now - 2 * DAY, now - 3650 * DAY, now - 2 * DAY, now], 0),
    ] {
        let subject = SqliteSubject::new();
        let mut store = subject.with(retention);
        for (index, received) in received.iter().enumerate() {
            let from = 1 + index as u64 * SQLITE_BLOCK_ROWS;
            block_on(store.write(&aged_chunk(from, from + SQLITE_BLOCK_ROWS, *received))).unwrap();
        }
        assert_eq!(maintain_all(&mut store), deleted, "{received:?}");
        assert_eq!(subject.query::<i64>("SELECT min(id) FROM logs"), 1 + i64::from(deleted) * 4096);
    }
}

#[test]
fn retention_by_size_keeps_newest_records() {
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: None, bytes: Some(1 << 20) });
    for from in (1..100_000).step_by(10_000) {
        block_on(store.write(&chunk(from, from + 10_000))).unwrap();
    }
    assert!(maintain_all(&mut store) > 5);
    assert_eq!(subject.query::<i64>("SELECT max(id) FROM logs"), 100_000);
    assert!(subject.query::<i64>("SELECT count(*) FROM logs") > 10_000);
    assert_eq!(subject.query::<i64>("SELECT count(*) = max(id) - min(id) + 1 FROM logs"), 1);
}

/// Otherwise dead letters would stay forever, and take the room of stored records.
#[test]
fn retention_deletes_dead_letters_with_their_block() {
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: Some(Duration::from_secs(3600)), bytes: None });
    block_on(store.position()).unwrap();
    Connection::open(subject.path())
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER picky BEFORE INSERT ON record WHEN new.id % 4 = 1 BEGIN SELECT raise(ABORT, 'not this'); END",
        )
        .unwrap();
    let old = time::now() - 65 * 60 * time::SECOND;
    block_on(store.write(&aged_chunk(1, 4097, old))).unwrap();
    block_on(store.write(&aged_chunk(4097, 5001, time::now()))).unwrap();
    assert_eq!(maintain_all(&mut store), 1);
    assert_eq!(
        subject.query::<String>("SELECT min(id) || ' ' || count(*) FROM logs_dead_letter"),
        "4097 226"
    );
    assert_eq!(subject.query::<i64>("SELECT missing FROM logs_accounted"), 0);
}

#[test]
fn services_have_their_own_shorter_retention() {
    let subject = SqliteSubject::new();
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let rule = |service: &str, age| ServiceRetention { service: service.into(), age: hours(age) };
    let rules = [rule("noise", 1), rule("", 1), rule("chatter", 10)];
    let open = || subject.open().with_services(&rules);
    let mut store = open();
    let write = |store: &mut SqliteStore, from: RecordId, observed_timestamp| {
        let mut batch = Batch::new();
        for id in from..from + 4096 {
            let service = ["noise", "chatter", "billing", ""][id as usize % 4];
            let origin = Origin { service, ..Origin::default() };
            batch.push(&RecordRef { observed_timestamp, origin, message: "m", ..RecordRef::default() });
        }
        block_on(store.write(&Chunk::of(from, batch.bytes(), 4096))).unwrap();
    };
    let ago = |minutes: i64| time::now() - minutes * 60 * time::SECOND;
    write(&mut store, 1, ago(65));
    write(&mut store, 4097, ago(64));
    write(&mut store, 8193, ago(1));
    let slices = maintain_all(&mut store);
    assert_eq!(slices, 4, "two blocks for each of two services");
    let count = |service: &str| {
        subject.query::<i64>(&format!("SELECT count(*) FROM logs WHERE service IS {service}"))
    };
    assert_eq!((count("'noise'"), count("NULL")), (1024, 1024));
    assert_eq!((count("'chatter'"), count("'billing'")), (3 * 1024, 3 * 1024));
    assert_eq!(subject.query::<i64>("SELECT missing FROM logs_accounted"), 0);
    assert_eq!(subject.query::<i64>("SELECT sum(records) FROM logs_deleted WHERE reason = 'expired'"), 4096);
    // Neither a restart nor further records make the store examine a block again.
    drop(store);
    let mut store = open();
    assert_eq!(maintain_all(&mut store), 0);
    write(&mut store, 12_289, ago(1));
    assert_eq!(maintain_all(&mut store), 0);
}

#[test]
fn retention_by_size_keeps_growing_block() {
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: None, bytes: Some(1) });
    block_on(store.write(&chunk(1, 10))).unwrap();
    assert_eq!(maintain_all(&mut store), 0);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs"), 9);
}
