//! Live tails.

use std::sync::Arc;

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::blocking::Threads;
use crate::disk::Folder;
use crate::limits::{TAIL_BUFFER_BYTES, TAIL_LAST_BYTES_MAX};
use crate::query::Query;
use crate::record::{Batch, RecordRef};
use crate::spool::{CommitObserver, NoObserver, SpoolReader, SpoolSizes};

/// A spool and its tails, all on the thread of the test.
struct Harness {
    runtime: Runtime,
    spool: Arc<Spool>,
    reader: SpoolReader,
    tails: Tails,
    _stop: watch::Sender<bool>,
    _folder: TempDir,
}

impl Harness {
    fn start() -> Harness {
        let folder = TempDir::new().unwrap();
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let sizes = SpoolSizes { segment_bytes: 4 << 20, bytes_max: 64 << 20 };
        let disk = Arc::new(Folder::open(folder.path()).unwrap());
        let (spool, writer) = Spool::open(disk, sizes, 1).unwrap();
        runtime.spawn(writer.run(Threads::One));
        let reader = spool.reader(1);
        let (stop, when_stopping) = watch::channel(false);
        let tails = Tails::new(&spool, when_stopping);
        Harness { runtime, spool, reader, tails, _stop: stop, _folder: folder }
    }

    /// Starts the follower; it does not run before this call.
    fn follow(&self) {
        self.runtime.spawn(self.tails.follow());
    }

    fn append(&self, records: &[RecordRef<'_>]) {
        self.runtime.block_on(async {
            let mut batch = Batch::new();
            records.iter().for_each(|record| batch.push(record));
            let observer: Arc<dyn CommitObserver> = Arc::new(NoObserver);
            self.spool.append(&batch, &observer).await.unwrap().durable().await.unwrap();
        });
    }

    fn append_messages(&self, messages: &[&str]) {
        let record = |message| RecordRef { message, ..RecordRef::default() };
        self.append(&messages.iter().map(|message| record(message)).collect::<Vec<_>>());
    }

    fn join(&self, query: &str, start: Start) -> TailSlot {
        self.tails.join(wanted(query), start).unwrap()
    }

    /// Returns the content of the buffer until it has an event with this id.
    fn read_until(&self, slot: &TailSlot, id: u64) -> String {
        let mut read = String::new();
        let last = format!("id: {id}\n");
        self.runtime.block_on(async {
            while !read.contains(&last) {
                slot.buffer.filled().await;
                let taken = slot.buffer.take(false);
                assert!(taken.events.len() < 3 * TAIL_BUFFER_BYTES, "{}", taken.events.len());
                if taken.was_full {
                    slot.shared.changed.notify_one();
                }
                read.push_str(std::str::from_utf8(&taken.events).unwrap());
            }
        });
        read
    }
}

fn wanted(query: &str) -> TailFilter {
    TailFilter { query: Query::parse(query, 0).unwrap(), times: i64::MIN..=i64::MAX }
}

/// Returns the ids of the records, and `-count` for missed records.
fn seen(events: &str) -> Vec<i64> {
    let event = |event: &str| {
        let number = |start: &str| event.lines().find_map(|line| line.strip_prefix(start)).map(String::from);
        if event.contains("event: record") {
            return Some(number("id: ")?.parse::<i64>().unwrap());
        }
        let count = number("data: {\"count\":")?;
        Some(-count.strip_suffix('}').unwrap().parse::<i64>().unwrap())
    };
    events.split("\n\n").filter_map(event).collect()
}

#[test]
fn tail_receives_matches_from_its_start() {
    let harness = Harness::start();
    harness.append_messages(&["one", "two", "one", "two"]);
    harness.follow();
    let all = harness.join("", Start::After(0));
    let ones = harness.join("one", Start::After(1));
    let now = harness.join("", Start::Now);
    let future = harness.join("", Start::After(99));
    harness.append_messages(&["one", "two", "one"]);
    assert_eq!(seen(&harness.read_until(&all, 7)), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(seen(&harness.read_until(&ones, 7)), [3, 5, 7]);
    let events = harness.read_until(&now, 7);
    assert!(events.starts_with(":\nid: 4\n\nid: 5\nevent: record\ndata: {\"id\":5,"), "{events}");
    assert_eq!(seen(&events), [5, 6, 7]);
    assert_eq!(seen(&harness.read_until(&future, 7)), [5, 6, 7], "no such id was given yet");
}

#[test]
fn tail_begins_with_last_matches() {
    let harness = Harness::start();
    let empty = harness.join("", Start::Last(3));
    harness.append_messages(&["one", "two", "one", "two", "one", "one"]);
    harness.follow();
    let ones = harness.join("one", Start::Last(3));
    let few = harness.join("two", Start::Last(3));
    let none = harness.join("three", Start::Last(3));
    harness.append_messages(&["two", "one"]);
    let events = harness.read_until(&ones, 8);
    assert_eq!(seen(&events), [3, 5, 6, 8]);
    assert_eq!(seen(&harness.read_until(&few, 7)), [2, 4, 7]);
    assert_eq!(seen(&harness.read_until(&empty, 8)), (1..=8).collect::<Vec<_>>());
    harness.append_messages(&["three"]);
    let events = harness.read_until(&none, 9);
    assert!(events.starts_with(":\nid: 6\n\n"), "it is told where it is: {events}");
    assert_eq!(seen(&events), [9]);
}

#[test]
fn last_matches_are_bounded_by_total_bytes() {
    let harness = Harness::start();
    let message = "x".repeat(TAIL_LAST_BYTES_MAX / 10);
    for _ in 0..20 {
        harness.append_messages(&[&message]);
    }
    harness.follow();
    let tail = harness.join("", Start::Last(1000));
    let mut seen_ids = Vec::new();
    harness.runtime.block_on(async {
        tail.buffer.filled().await;
        seen_ids = seen(std::str::from_utf8(&tail.buffer.take(false).events).unwrap());
    });
    assert_eq!(seen_ids, (12..=20).collect::<Vec<_>>());
}

#[test]
fn unread_tail_stops_and_misses_released_records() {
    let mut harness = Harness::start();
    harness.follow();
    let (slow, quick) = (harness.join("", Start::Now), harness.join("*9", Start::Now));
    let padding = "x".repeat(1000);
    let mut quick_ids = Vec::new();
    for first in (1..=20_000).step_by(1000) {
        let messages: Vec<_> = (first..first + 1000).map(|id| format!("{padding} {id}")).collect();
        harness.append_messages(&messages.iter().map(String::as_str).collect::<Vec<_>>());
        quick_ids.extend(seen(&harness.read_until(&quick, first + 998)));
    }
    assert_eq!(quick_ids, (1..=20_000).filter(|id| id % 10 == 9).collect::<Vec<_>>(), "another one is slow");
    let mut chunk = crate::spool::Chunk::default();
    while harness.reader.pending() > 0 {
        harness.reader.read(&mut chunk, 1000, 1 << 20).unwrap();
    }
    harness.reader.release(20_001);
    harness.runtime.block_on(async {
        while harness.spool.status().segments > 1 {
            tokio::task::yield_now().await;
        }
    });
    let held = seen(&harness.read_until(&slow, 1)); // one buffer
    assert!(held.len() < 1000, "{}", held.len());
    harness.append_messages(&["at last"]);
    let then = seen(&harness.read_until(&slow, 20_001));
    let last_held = *held.last().unwrap();
    assert_eq!(held, (1..=last_held).collect::<Vec<_>>());
    assert_eq!(then.iter().filter(|id| **id < 0).count(), 1, "{then:?}");
    let position = then.iter().fold(last_held, |position, id| {
        if *id < 0 {
            return position - id;
        }
        assert_eq!(*id, position + 1);
        *id
    });
    assert_eq!(position, 20_001, "the count is exact");
    assert_eq!(harness.tails.missed() as i64, -then.iter().find(|id| **id < 0).unwrap());
    // A tail that resumes after an old id begins with the oldest available record, and reports the
    // gap.
    let late = harness.join("", Start::After(5));
    let events = seen(&harness.read_until(&late, 20_001));
    assert_eq!(-events[0], events[1] - 6, "{:?}", &events[..2]);
    assert_eq!(events[1], harness.spool.oldest_id() as i64);
}

/// The commit does not fit into a buffer. One tail has room again while the follower shows a later
/// piece of the commit to another tail.
#[test]
fn large_commit_arrives_complete_at_any_read_pace() {
    let harness = Harness::start();
    harness.follow();
    let (late, other) = (harness.join("", Start::Now), harness.join("nothing", Start::Now));
    let messages: Vec<_> = (1..=1500).map(|id| format!("{:01000} {id}", 0)).collect();
    harness.append_messages(&messages.iter().map(String::as_str).collect::<Vec<_>>());
    let first = harness.runtime.block_on(async {
        while late.buffer.has_room() {
            tokio::task::yield_now().await;
        }
        for _ in 0..4 {
            tokio::task::yield_now().await; // one piece each, for the other tail
        }
        late.buffer.take(false).events
    });
    late.shared.changed.notify_one();
    let all = String::from_utf8(first).unwrap() + &harness.read_until(&late, 1500);
    assert_eq!(seen(&all), (1..=1500).collect::<Vec<_>>());
    assert_eq!(other.buffer.take(true).events, b":\nid: 0\n\n:\nid: 1500\n\n");
}

#[test]
fn event_is_one_line_of_data_for_any_record() {
    let harness = Harness::start();
    harness.follow();
    let tail = harness.join("", Start::Now);
    let record = RecordRef { message: "a\r\nb\n\nc", attributes: "{\n\"a\":\r\n1}", ..RecordRef::default() };
    harness.append(&[record]);
    let events = harness.read_until(&tail, 1);
    let data = events.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let json: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!((&json["message"], &json["attributes"]["a"]), (&"a\r\nb\n\nc".into(), &1.into()));
    assert!(!events.contains('\r'));
}

#[test]
fn time_range_selects_by_record_time() {
    let harness = Harness::start();
    harness.follow();
    let tail =
        harness.tails.join(TailFilter { query: Query::parse("", 0).unwrap(), times: 20..=30 }, Start::Now);
    let records = [10, 20, 30, 31, 25].map(|timestamp| RecordRef { timestamp, ..RecordRef::default() });
    harness.append(&records);
    assert_eq!(seen(&harness.read_until(&tail.unwrap(), 5)), [2, 3, 5]);
}

#[test]
fn tails_are_bounded_and_slots_freed_at_once() {
    let harness = Harness::start();
    let mut slots: Vec<_> = (0..TAILS_MAX).map(|_| harness.join("", Start::Now)).collect();
    assert!(harness.tails.join(wanted(""), Start::Now).is_none());
    assert_eq!(harness.tails.open(), TAILS_MAX);
    slots.pop();
    assert!(harness.tails.join(wanted(""), Start::Now).is_some());
}

#[test]
fn end_of_follower_closes_all_streams() {
    let harness = Harness::start();
    let slot = harness.join("", Start::Now);
    drop(harness.tails.follow());
    harness.runtime.block_on(slot.buffer.filled());
    let last = slot.buffer.take(false);
    assert!(last.is_closed);
    assert_eq!(last.events, b":\n\n", "it had not come anywhere yet");
    assert!(harness.tails.join(wanted(""), Start::Now).is_none());
}
