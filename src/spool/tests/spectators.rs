//! Reading while the stores release what was read.

use super::*;

/// Returns what a cursor reads until nothing more comes. A gap is `(first id after it, "missed
/// ...")`.
fn watch(cursor: &SpoolCursor, place: &mut SpoolPlace, bytes: usize) -> Vec<(RecordId, String)> {
    let (mut seen, mut chunk) = (Vec::new(), Chunk::default());
    loop {
        let span = cursor.read(*place, &mut chunk, bytes).unwrap();
        if chunk.first_id() > place.id {
            seen.push((chunk.first_id(), format!("missed {}", chunk.first_id() - place.id)));
        }
        seen.extend(chunk.records().map(|(id, record)| (id, record.body.message.to_owned())));
        assert_eq!((span.start.id, span.end.id), (chunk.first_id(), chunk.end_id()));
        if span.end == *place {
            return seen;
        }
        *place = span.end;
    }
}

#[test]
fn spectator_reads_from_any_id_in_any_size() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    fill(&harness, 1, 200);
    assert_eq!(harness.append(&["message 201", "message 202", "message 203"]), Ok(201));
    let cursor = harness.spool.cursor();
    for from in [1, 2, 99, 202, 203, 204] {
        for bytes in [1, 300, 1 << 20] {
            let mut place = SpoolPlace::at(from);
            assert_eq!(watch(&cursor, &mut place, bytes), numbered(from, 203), "from {from}, {bytes} bytes");
            assert_eq!(place.id, cursor.end().id);
        }
    }
    let mut place = cursor.end();
    fill(&harness, 204, 210);
    assert_eq!(watch(&cursor, &mut place, 1), numbered(204, 210));
    harness.close();
    let again = Harness::folder(&folder);
    let mut place = again.spool.cursor().end();
    fill(&again, 211, 212);
    assert_eq!(watch(&again.spool.cursor(), &mut place, 1), numbered(211, 212));
}

/// A cursor that keeps up has time to read the last segment that the stores have released. It holds
/// back no more than that, and nothing if the spool needs the room or records have to be purged.
#[test]
fn cursor_holds_back_one_released_segment() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let mut reader = harness.spool.reader(1);
    let cursor = harness.spool.cursor();
    cursor.keep_from(Some(1));
    let mut next = 1;
    let mut fill_segments = |segments: usize| {
        let before = harness.spool.status().segments;
        while harness.spool.status().segments < before + segments {
            fill(&harness, next, next);
            next += 1;
        }
        next
    };
    let end = fill_segments(1);
    read_all(&mut reader);
    reader.release(end);
    assert_eq!((harness.spool.status().segments, cursor.oldest_id()), (2, 1));
    let end = fill_segments(2);
    read_all(&mut reader);
    reader.release(end);
    assert_eq!(harness.spool.status().segments, 2);
    let oldest = cursor.oldest_id();
    assert!(oldest > 1);
    cursor.keep_from(Some(oldest + 1));
    assert_eq!(harness.spool.status().segments, 2);
    cursor.keep_from(Some(end));
    assert_eq!(harness.spool.status().segments, 1);
    cursor.keep_from(Some(cursor.oldest_id()));
    let end = fill_segments(1);
    read_all(&mut reader);
    reader.release(end);
    assert_eq!(harness.spool.status().segments, 2);
    harness.spool.forget().unwrap();
    reader.release(end);
    assert_eq!(harness.spool.status().segments, 1, "what has to be purged is not kept");
}

#[test]
fn full_spool_holds_back_nothing_for_cursors() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(Folder::open(folder.path()).unwrap());
    let sizes = SpoolSizes { bytes_max: 2 * SIZES.segment_bytes, ..SIZES };
    let harness = Harness::sized(disk, 1, sizes);
    let mut reader = harness.spool.reader(1);
    harness.spool.cursor().keep_from(Some(1));
    while harness.append(&["to the ceiling"]).is_ok() {}
    assert_eq!(harness.spool.status().segments, 2);
    let end = harness.spool.durable_id();
    read_all(&mut reader);
    reader.release(end);
    assert_eq!(harness.spool.status().segments, 1);
    harness.append(&["there is room again"]).unwrap();
}

#[test]
fn spectator_misses_released_records() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let mut reader = harness.spool.reader(1);
    let cursor = harness.spool.cursor();
    fill(&harness, 1, 10);
    let mut place = SpoolPlace::at(1);
    assert_eq!(watch(&cursor, &mut place, 1 << 20), numbered(1, 10));
    fill(&harness, 11, 100);
    read_all(&mut reader);
    reader.release(101);
    assert_eq!(harness.spool.status().segments, 1, "it is held back");
    // The file of the released records is reused, with the same offsets.
    fill(&harness, 101, 200);
    let oldest = cursor.oldest_id();
    assert!((12..=100).contains(&oldest));
    let mut expected = vec![(oldest, format!("missed {}", oldest - 11))];
    expected.extend(numbered(oldest, 200));
    assert_eq!(watch(&cursor, &mut place, 100), expected);
    assert_eq!(harness.spool.status().lost_records, 0, "what was released is not lost");
}

#[test]
fn spectator_alone_releases_nothing() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let _spectator = harness.spool.cursor();
    fill(&harness, 1, 200);
    harness.spool.release();
    assert_eq!(harness.spool.oldest_id(), 1);
}

#[test]
fn spectator_skips_damage_without_counting_it() {
    let folder = folder_with_damaged_message();
    let harness = Harness::folder(&folder);
    let cursor = harness.spool.cursor();
    let mut expected = numbered(1, 5);
    expected[2] = (4, "missed 1".into());
    assert_eq!(watch(&cursor, &mut SpoolPlace::at(1), 1 << 20), expected);
    // Damage at the end of a segment that is not the last.
    fill(&harness, 6, 100);
    harness.close();
    damage(&folder, |bytes| {
        let offset = offset_of(bytes, "message 9");
        bytes[offset..].fill(1);
    });
    let harness = Harness::folder(&folder);
    let cursor = harness.spool.cursor();
    let seen = watch(&cursor, &mut SpoolPlace::at(4), 1 << 20);
    let behind = seen[5].0;
    assert!(behind > 10, "{seen:?}");
    assert_eq!(seen[..5], numbered(4, 8));
    assert_eq!(seen[5].1, format!("missed {}", behind - 9));
    assert_eq!(seen[6..], numbered(behind, 100));
    let status = harness.spool.status();
    assert_eq!((status.lost_records, status.quarantined_bytes), (0, 0), "a reader will tell");
}

#[test]
fn spectator_is_woken_by_awaited_record() {
    let folder = TempDir::new().unwrap();
    let harness = Harness::folder(&folder);
    let cursor = harness.spool.cursor();
    harness.runtime.block_on(async {
        let write = async {
            let receipt = harness.spool.append(&batch(&["message 1"]), &observer()).await.unwrap();
            receipt.durable().await.unwrap();
        };
        tokio::join!(cursor.durable(1), write);
        cursor.durable(1).await;
    });
    assert_eq!(watch(&cursor, &mut SpoolPlace::at(1), 1), numbered(1, 1));
}

mod cursors {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// Appends this many records as one commit.
        Append(u64),
        /// Releases all records but this many of the latest.
        Release(u64),
        /// Reads this many bytes at one of the cursor's places.
        Read(usize, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1u64..12).prop_map(Step::Append),
            1 => (0u64..60).prop_map(Step::Release),
            4 => (0usize..3, prop_oneof![Just(1usize), 1usize..600]).prop_map(|(place, bytes)| Step::Read(place, bytes)),
        ];
        prop::collection::vec(step, 1..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Each id is read once, with its own message, or missed once, and only released records
        /// are missed.
        #[test]
        fn every_record_is_read_or_missed(steps in steps()) {
            let folder = TempDir::new().unwrap();
            let harness = Harness::folder(&folder);
            let mut reader = harness.spool.reader(1);
            let cursor = harness.spool.cursor();
            let mut places = [SpoolPlace::at(1); 3];
            let (mut next, mut chunk) = (1, Chunk::default());
            for step in steps {
                match step {
                    Step::Append(count) => {
                        let messages: Vec<_> = (next..next + count).map(|id| format!("message {id}")).collect();
                        let messages: Vec<_> = messages.iter().map(String::as_str).collect();
                        // The ceiling may have been reached.
                        if harness.append(&messages).is_ok() {
                            next += count;
                        }
                    }
                    Step::Release(count) => {
                        read_all(&mut reader);
                        reader.release(next.saturating_sub(count));
                    }
                    Step::Read(index, bytes) => {
                        let place = places[index];
                        let oldest = cursor.oldest_id();
                        let span = cursor.read(place, &mut chunk, bytes).unwrap();
                        prop_assert!(chunk.first_id() == place.id.max(oldest) || chunk.is_empty());
                        let read: Vec<_> =
                            chunk.records().map(|(id, record)| (id, record.body.message.to_owned())).collect();
                        prop_assert_eq!(read, numbered(chunk.first_id(), chunk.end_id() - 1));
                        prop_assert!(span.end != place || place.id == next);
                        places[index] = span.end;
                    }
                }
            }
        }
    }
}
