//! Records are read in order, each once.

use super::*;

#[test]
fn chunk_stays_within_its_bytes_unless_one_frame_exceeds_them() {
    let disk = CruelDisk::new(1);
    let harness = Harness::open(disk.handle(), 1);
    let mut chunk = Chunk::default();
    fill(&harness, 1, 30);
    harness.spool.reader(1).read(&mut chunk, 1, usize::MAX).unwrap();
    let frame_bytes = chunk.bytes.len();
    for (bytes, frames) in [(1, 1), (frame_bytes, 1), (2 * frame_bytes, 2), (3 * frame_bytes - 1, 2)] {
        harness.spool.reader(1).read(&mut chunk, 1000, bytes).unwrap();
        assert_eq!(
            (chunk.len(), chunk.bytes.len()),
            (frames, frames as usize * frame_bytes),
            "{bytes} bytes"
        );
    }
    let mut reader = harness.spool.reader(1);
    let mut ids = 1;
    while reader.pending() > 0 {
        reader.read(&mut chunk, 1000, 3 * frame_bytes).unwrap();
        assert!(chunk.first_id() == ids && chunk.len() <= 3 && !chunk.is_empty());
        ids = chunk.end_id();
    }
    assert_eq!(ids, 31);
}

#[test]
fn acknowledged_records_are_read_in_order_after_restart() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 200);
    assert!(harness.spool.status().segments > 2);
    assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 200));
    harness.close();
    let harness = Harness::folder(&folder);
    fill(&harness, 201, 210);
    assert_eq!(read_all(&mut harness.spool.reader(1)), numbered(1, 210));
    assert_eq!(read_all(&mut harness.spool.reader(199)), numbered(199, 210));
}

#[test]
fn waiting_batches_share_commit_and_keep_order() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let ids = harness.runtime.block_on(async {
        let mut receipts = Vec::new();
        for n in 0..50 {
            receipts
                .push(harness.spool.append(&batch(&[&n.to_string(), "second"]), &observer()).await.unwrap());
        }
        let mut ids = Vec::new();
        for receipt in receipts {
            ids.push(receipt.durable().await.unwrap());
        }
        ids
    });
    assert_eq!(ids, (0..50).map(|n| 1 + 2 * n).collect::<Vec<_>>());
    assert!(harness.spool.status().commits <= 2);
}

#[test]
fn reader_starts_within_frame() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    harness.append(&["1", "2", "3", "4"]).unwrap();
    let read = read_all(&mut harness.spool.reader(3));
    assert_eq!(read, [(3, "3".to_owned()), (4, "4".to_owned())]);
}

#[test]
fn ids_continue_from_store_that_is_ahead() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 3);
    harness.close();
    let harness = Harness::open(Arc::new(Folder::open(folder.path()).unwrap()), 1000);
    fill(&harness, 1000, 1001);
    assert_eq!(read_all(&mut harness.spool.reader(1000)), numbered(1000, 1001));
    harness.close();
    assert_eq!(Harness::folder(&folder).spool.durable_id(), 1002);
}

#[test]
fn closed_spool_commits_pending_and_rejects_further() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let spool = Arc::clone(&harness.spool);
    let receipt = harness.runtime.block_on(spool.append(&batch(&["last"]), &observer())).unwrap();
    spool.close();
    assert_eq!(harness.append(&["late"]), Err(AppendError::Closed));
    assert_eq!(harness.runtime.block_on(receipt.durable()), Ok(1));
    let reader = spool.reader(1);
    harness.close();
    assert!(reader.is_finished() && reader.pending() == 1);
}
