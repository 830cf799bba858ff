//! The limit of the spool, and disks that do not keep up.

use std::time::Duration;

use super::*;
use crate::limits::STALLED_DISK_MILLISECONDS;

#[test]
fn released_segments_are_reused() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let mut reader = harness.spool.reader(1);
    let mut next = 1;
    for _ in 0..20 {
        fill(&harness, next, next + 99);
        assert_eq!(read_all(&mut reader), numbered(next, next + 99));
        next += 100;
        reader.release(next);
    }
    let status = harness.spool.status();
    assert_eq!(status.segments, 1);
    assert!(status.bytes <= SIZES.bytes_max);
    assert!(inspect::inspect(folder.path(), |_, _| {}).unwrap()[0].content.damage.is_empty());
    harness.close();
    assert_eq!(Harness::folder(&folder).spool.durable_id(), next);
}

#[test]
fn ceiling_refuses_until_release_without_id_gap() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let mut reader = harness.spool.reader(1);
    let mut next = 1;
    let refusal = loop {
        match harness.append(&[&format!("message {next}")]) {
            Ok(id) => assert_eq!(id, next),
            Err(refusal) => break refusal,
        }
        next += 1;
    };
    assert!(matches!(refusal, AppendError::Full(_)), "{refusal}");
    assert!(harness.spool.state().is_err());
    assert!(harness.spool.status().bytes <= SIZES.bytes_max);
    assert_eq!(read_all(&mut reader), numbered(1, next - 1));
    reader.release(next);
    fill(&harness, next, next + 10);
    assert_eq!(read_all(&mut reader), numbered(next, next + 10));
}

#[test]
fn slower_reader_holds_back_release() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let (mut fast, mut slow) = (harness.spool.reader(1), harness.spool.reader(1));
    fill(&harness, 1, 200);
    read_all(&mut fast);
    fast.release(201);
    assert_eq!(read_all(&mut slow), numbered(1, 200));
    slow.release(201);
    assert_eq!(harness.spool.status().segments, 1);
}

/// Returns a large batch, so that few of them fill the open buffer.
fn large_batch() -> Batch {
    let text = "x".repeat(1 << 20);
    let mut batch = Batch::new();
    batch.push(&RecordRef { message: &text[..900 << 10], ..RecordRef::default() });
    batch
}

#[tokio::test]
async fn stalled_disk_refuses_batches_until_it_recovers() {
    let sizes = SpoolSizes { segment_bytes: 8 << 20, bytes_max: 64 << 20 };
    let (_folder, spool, writer) = testing::spool(sizes, 1);
    let mut receipts = Vec::new();
    // Nothing is written: the writer does not run.
    let refusal = loop {
        match spool.append(&large_batch(), &observer()).await {
            Ok(receipt) => receipts.push(receipt),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal, AppendError::Full("the disk does not keep up".into()));
    assert_eq!(receipts.len(), 4);
    assert!(!spool.room().await);
    // Now the writer runs.
    tokio::spawn(writer.run(Threads::One));
    while !spool.room().await {
        tokio::task::yield_now().await;
    }
    for (index, receipt) in receipts.into_iter().enumerate() {
        assert_eq!(receipt.durable().await, Ok(1 + index as u64));
    }
}

/// The disk does not count as stalled when the only thread is busy elsewhere.
#[tokio::test]
async fn disk_is_not_stalled_while_only_thread_is_busy() {
    let sizes = SpoolSizes { segment_bytes: 8 << 20, bytes_max: 64 << 20 };
    let (_folder, spool, writer) = testing::spool(sizes, 1);
    while spool.try_append(&large_batch(), &observer()).is_some() {}
    let waiting = tokio::spawn({
        let spool = Arc::clone(&spool);
        async move { spool.append(&large_batch(), &observer()).await?.durable().await }
    });
    tokio::task::yield_now().await;
    std::thread::sleep(Duration::from_millis(STALLED_DISK_MILLISECONDS + 100));
    // Everything that is due by the clock happens.
    tokio::time::sleep(Duration::from_millis(1)).await;
    tokio::spawn(writer.run(Threads::One));
    assert_eq!(waiting.await.unwrap(), Ok(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appenders_waiting_for_room_all_succeed() {
    let disk = CruelDisk::new(1); // in memory: this test is not about the speed of a disk
    let sizes = SpoolSizes { segment_bytes: 8 << 20, bytes_max: 1 << 30 };
    let (spool, writer) = Spool::open(disk.handle(), sizes, 1).unwrap();
    let writer = tokio::spawn(writer.run(Threads::One));
    let appenders = (0..20).map(|_| {
        let spool = Arc::clone(&spool);
        tokio::spawn(async move {
            for _ in 0..5 {
                assert!(spool.room().await);
                spool.append(&large_batch(), &observer()).await.unwrap().durable().await.unwrap();
            }
        })
    });
    for appender in appenders.collect::<Vec<_>>() {
        appender.await.unwrap();
    }
    assert_eq!(spool.durable_id(), 101);
    spool.close();
    writer.await.unwrap();
}
