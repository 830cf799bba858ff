//! Model test: runs the spool on a simulated disk with faults, and compares it with a plain vector.
//!
//! These properties must always hold:
//!
//! * A record whose receipt reported it durable is read exactly once, in its place and with its id.
//! * A record of a commit that failed is present together with its whole commit or not at all, and
//!   this does not change once the record has been read.
//! * A refused record is never read.
//! * Only records whose durable bytes the disk damaged may be missing. They are counted as lost,
//!   and never read as something else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::Range;

use rustix::io::Errno;

use super::frame::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use super::testing::{Commits, batch, observer};
use super::*;
use crate::disk::cruel::life::{CRASHES, MOMENTS, Model, Operation, World, poll};
use crate::disk::cruel::{CHANGES, Call, Crash, Fault, PAGE_BYTES, Random, Stop, seeds};
use crate::limits::SPOOL_READ_TRIES_MAX;
use crate::record::{Batch, RecordRef};

/// A record: its number among all records ever made, and the length of its message.
type Content = (u64, usize);

fn message((number, length): Content) -> String {
    let mut text = String::new();
    let _ = write!(text, "{number}|");
    let filler = char::from(b'a' + (number % 26) as u8);
    text.extend(std::iter::repeat_n(filler, length));
    text
}

/// The kinds of trouble in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Weather {
    crashes: bool,
    faults: bool,
    damage: bool,
    /// Other processes remove, replace or truncate files, or the lock is lost.
    others: bool,
}

struct SpoolModel {
    world: World,
    weather: Weather,
    sizes: SpoolSizes,
    /// The records that were made durable, or found complete after a crash. The id is the index,
    /// counted from 1. `None` for ids that were passed over because it is unknown whether they were
    /// assigned.
    records: Vec<Option<Content>>,
    /// The commits since the last successful one whose write or sync failed, or that a crash cut
    /// short. A restart may find one of them.
    in_doubt: Vec<Vec<Content>>,
    /// Records of such commits, with the ids that they would have got. If damage costs the whole
    /// segment that has other records with these ids, they may be found in the previous segment.
    ghosts: Vec<(RecordId, Content)>,
    /// Ids of records whose bytes were damaged.
    suspects: BTreeSet<RecordId>,
    /// The end of the last segment is damaged, so that it is unknown which ids were assigned in it.
    end_is_damaged: bool,
    /// Segments truncated by another process: the first id of each, and the id from which on its
    /// records are gone.
    cut: BTreeMap<RecordId, RecordId>,
    /// The last segments are gone or truncated, so that a restart finds no ids from this one on.
    end_is_lost: Option<RecordId>,
    /// For each segment, which of its header, the copy of the header, and the first frame are
    /// damaged.
    heads: BTreeMap<RecordId, [bool; 3]>,
    made: u64,
    stores: Vec<Position>,
    life: Option<Life>,
}

/// The progress of one store.
#[derive(Clone, Copy, Debug)]
struct Position {
    read: RecordId,
    synced: RecordId,
}

/// The state between a start and the next crash.
struct Life {
    spool: Arc<Spool>,
    readers: Vec<SpoolReader>,
    commits: Commits<Vec<Content>>,
    /// Bytes in the open buffer.
    open_bytes: usize,
    poisoned: bool,
}

impl SpoolModel {
    fn new(seed: u64, weather: Weather, sizes: SpoolSizes) -> SpoolModel {
        let start = Position { read: 1, synced: 1 };
        let mut world = World::new(seed);
        let stores = vec![start; 1 + world.random.below(3) as usize];
        SpoolModel {
            world,
            weather,
            sizes,
            records: Vec::new(),
            in_doubt: Vec::new(),
            ghosts: Vec::new(),
            suspects: BTreeSet::new(),
            end_is_damaged: false,
            cut: BTreeMap::new(),
            end_is_lost: None,
            heads: BTreeMap::new(),
            made: 0,
            stores,
            life: None,
        }
    }

    fn of(seed: u64) -> SpoolModel {
        let mut random = Random::new(!seed);
        let segment_bytes = *random.pick(&[4 << 10, 12 << 10, 32 << 10]);
        let sizes = SpoolSizes { segment_bytes, bytes_max: segment_bytes * (3 + random.below(6)) };
        let crashes = !random.one_in(4);
        let weather = match random.below(4) {
            0 => Weather { others: true, crashes, ..CALM },
            _ => Weather { crashes, faults: random.one_in(2), damage: random.one_in(3), others: false },
        };
        SpoolModel::new(seed, weather, sizes)
    }

    fn life(&mut self) -> &mut Life {
        self.life.as_mut().unwrap()
    }

    fn next_id(&self) -> RecordId {
        self.records.len() as u64 + 1
    }

    // The operations.

    fn append(&mut self) {
        let count = if self.world.random.one_in(5) { 1 + self.world.random.below(20) } else { 1 };
        let largest = self.sizes.segment_bytes as usize - 2 * SEGMENT_HEADER_BYTES - FRAME_HEADER_BYTES - 64;
        let mut batch = Batch::new();
        let mut contents = Vec::new();
        for _ in 0..count {
            let length = match self.world.random.below(20) {
                0 => self.world.random.below(largest as u64),
                1 => largest as u64,
                2..5 => self.world.random.below(1000),
                _ => self.world.random.below(40),
            };
            let content = (self.made, length as usize);
            if batch.bytes().len() + length as usize + 64 > largest {
                break;
            }
            batch.push(&RecordRef { message: &message(content), ..RecordRef::default() });
            contents.push(content);
            self.made += 1;
        }
        if contents.is_empty() {
            return;
        }
        if self.life().open_bytes + batch.bytes().len() > largest {
            self.commit();
        }
        self.submit(contents, &batch);
    }

    fn append_one(&mut self, content: Content) {
        self.made += 1;
        self.submit(vec![content], &batch(&[&message(content)]));
    }

    fn submit(&mut self, contents: Vec<Content>, batch: &Batch) {
        if self.world.random.one_in(2) {
            lock(&self.life().spool.open).admit_again(); // as if the retry interval had passed
        }
        let life = self.life();
        match life.spool.try_append(batch, &observer()).expect("the open buffer is small") {
            Ok(receipt) => {
                life.open_bytes += batch.bytes().len();
                life.commits.push(contents, receipt);
            }
            Err(refusal) if refusal.may_pass() => {}
            Err(refusal) => assert!(life.poisoned, "{refusal}"),
        }
    }

    /// Makes the writer commit the appended batches as one commit.
    fn commit(&mut self) {
        let disk_was_down = self.world.disk.is_down();
        let first_id = self.next_id();
        let (at_ceiling, is_troubled) = (self.is_at_ceiling(), self.world.is_troubled);
        let life = self.life();
        life.open_bytes = 0;
        let (mut committed, mut outcome) = (Vec::new(), None);
        for (contents, result) in life.commits.commit() {
            let expected = first_id + committed.len() as u64;
            if let Ok(id) = &result {
                assert_eq!(*id, expected, "ids follow one another");
            }
            committed.extend(contents);
            outcome = Some(result);
        }
        match outcome {
            None => {}
            Some(Ok(_)) => {
                assert!(!life.poisoned && !disk_was_down, "acknowledged after the disk had failed");
                self.records.extend(committed.into_iter().map(Some));
                self.in_doubt.clear();
                assert_eq!(self.life().spool.durable_id(), self.next_id());
            }
            Some(Err(AppendError::Poisoned(why))) => {
                assert!(is_troubled, "poisoned for no reason: {why}");
                if !life.poisoned {
                    life.poisoned = true;
                    self.in_doubt.push(committed);
                }
            }
            Some(Err(AppendError::Failing(why))) => {
                assert!(is_troubled, "failing for no reason: {why}");
                self.ghosts.extend((first_id..).zip(committed.iter().copied()));
                self.in_doubt.push(committed);
            }
            Some(Err(AppendError::Full(why))) => {
                assert!(is_troubled || at_ceiling, "full for no reason: {why}");
            }
            Some(Err(AppendError::Closed)) => panic!("it was not closed"),
        }
    }

    fn is_at_ceiling(&mut self) -> bool {
        let segment_bytes = self.sizes.segment_bytes;
        let status = self.life().spool.status();
        status.bytes + segment_bytes > status.bytes_max
    }

    /// A store reads a chunk.
    fn read(&mut self) {
        let store = self.world.random.below(self.stores.len() as u64) as usize;
        let (rows, bytes) = (1 + self.world.random.below(30), 1 + self.world.random.below(4000));
        let mut chunk = Chunk::default();
        let life = self.life.as_mut().unwrap();
        match life.readers[store].read(&mut chunk, rows, bytes as usize) {
            Ok(()) => {}
            Err(error) => return assert!(self.world.is_troubled || self.weather.damage, "{error}"),
        }
        let from = self.stores[store].read;
        self.check(from, &chunk);
        self.stores[store].read = self.life().readers[store].position();
    }

    /// Compares the records that were read with the model. Returns the ids that are missing.
    fn check(&self, from: RecordId, chunk: &Chunk) -> Vec<RecordId> {
        assert!(chunk.first_id() >= from, "read again");
        let missing: Vec<_> =
            (from..chunk.first_id()).filter(|id| self.records[*id as usize - 1].is_some()).collect();
        for id in &missing {
            assert!(self.suspects.contains(id), "record {id} is lost, of which no byte was damaged");
        }
        let mut next = chunk.first_id();
        for (id, record) in chunk.records() {
            assert_eq!(id, next, "a gap within a chunk");
            let content = self.records.get(id as usize - 1).copied().flatten();
            let expected = content.map(message);
            let is_ghost = |&(ghost, content): &(RecordId, Content)| {
                ghost == id && self.suspects.contains(&id) && message(content) == record.body.message
            };
            if !self.ghosts.iter().any(is_ghost) {
                assert_eq!(expected.as_deref(), Some(record.body.message), "record {id}");
            }
            next += 1;
        }
        assert_eq!(next, chunk.end_id());
        missing
    }

    /// A store makes the records durable that it has read, and releases them.
    fn release(&mut self) {
        let store = self.world.random.below(self.stores.len() as u64) as usize;
        self.stores[store].synced = self.stores[store].read;
        let synced = self.stores[store].synced;
        self.life().readers[store].release(synced);
    }

    /// Purges released records from the disk.
    fn forget(&mut self) {
        let _ = self.life().spool.forget(); // the disk may fail
    }

    fn released(&self) -> RecordId {
        self.stores.iter().map(|store| store.synced).min().unwrap()
    }

    /// Reads all records that must be present.
    fn verify(&mut self) {
        let from = self.released();
        let mut reader = self.life().spool.reader(from);
        let (mut position, mut chunk, mut missing, mut tries) = (from, Chunk::default(), 0, 0);
        while reader.pending() > 0 {
            if let Err(error) = reader.read(&mut chunk, 100, 1 << 20) {
                tries += 1;
                assert!(tries < SPOOL_READ_TRIES_MAX * 100, "{error}");
                continue; // the reader retries an unreadable place
            }
            missing += self.check(position, &chunk).len() as u64;
            assert!(reader.position() > position, "nothing is read at {position}");
            missing += self.check_hole(chunk.end_id(), reader.position());
            position = reader.position();
        }
        assert_eq!(position, self.next_id());
        reader.release(RecordId::MAX);
        let status = self.life().spool.status();
        assert!(status.lost_records >= missing, "{missing} are missing, {} are told", status.lost_records);
        if missing > 0 && !self.world.is_troubled && !self.weather.others {
            assert!(status.quarantined_bytes > 0, "the damaged bytes are not quarantined");
        }
        if self.suspects.is_empty() && !self.end_is_damaged {
            assert_eq!(status.lost_records, 0);
        }
    }

    /// Checks the ids behind a chunk's end that the reader has passed over because none of their
    /// records is left. Returns their number.
    fn check_hole(&self, from: RecordId, to: RecordId) -> u64 {
        assert!((from..to).all(|id| self.suspects.contains(&id) || self.records[id as usize - 1].is_none()));
        to - from
    }

    // Faults, damage, and changes by other processes.

    fn fail_some_calls(&mut self) {
        let calls = *self.world.random.pick(&[
            CHANGES,
            &[Call::Sync][..],
            &[Call::Write],
            &[Call::Rename],
            &[Call::SetLength],
            &[Call::Remove],
            &[Call::Read],
            &[Call::Stat],
        ]);
        let error = *self.world.random.pick(&[Errno::IO, Errno::NOSPC]);
        // A permanent read error is damage, which `damage` simulates.
        let may_last = calls != [Call::Read] && self.world.random.one_in(3);
        let times = if may_last { u64::MAX } else { 1 + self.world.random.below(3) };
        let after = self.world.random.below(6);
        self.world.set_fault(Fault { calls, error, after, times });
    }

    /// Other processes change files that are open.
    fn meddle(&mut self) {
        if self.world.disk.is_down() {
            return;
        }
        self.world.is_troubled = true;
        self.world.tally.damages += 1;
        let segments: Vec<_> = lock(&self.life().spool.segments).iter().cloned().collect();
        let is_folder = self.world.random.one_in(3);
        let one = self.world.random.below(segments.len() as u64) as usize;
        for (place, segment) in segments.iter().enumerate() {
            let name = segment.name();
            if !(is_folder || place == one) || !self.world.disk.names().contains(&name) {
                continue;
            }
            match self.world.random.below(4) {
                _ if is_folder => self.world.disk.others_remove(&name),
                0 => {
                    let copy = self.world.disk.read(&name);
                    self.world.disk.others_replace(&name, &copy);
                }
                1 => self.world.disk.others_replace(&name, b"something else"),
                2 if self.world.disk.holds(&name, segment.stat) => self.cut(segment, &name),
                _ => self.world.disk.others_remove(&name),
            }
        }
        if self.world.random.one_in(2) {
            self.look();
        }
    }

    fn cut(&mut self, segment: &Segment, name: &str) {
        let length = self.world.random.below(segment.bytes());
        let gone = frames_of(segment).into_iter().filter(|(at, _)| at.end > length);
        let gone: Vec<_> = gone.flat_map(|(_, header)| header.first_id..header.end_id()).collect();
        if let Some(first) = gone.first() {
            let from = self.cut.entry(segment.header.first_id).or_insert(*first);
            *from = (*from).min(*first);
        }
        self.suspects.extend(gone);
        self.world.disk.others_cut(name, length);
    }

    /// Makes the writer check its files. Afterwards all files are in place again, unless a fault
    /// prevents that.
    fn look(&mut self) {
        self.commit();
        let life = self.life.as_mut().unwrap();
        life.spool.look_soon();
        let segments = lock(&life.spool.segments).count();
        for _ in 0..2 * segments + 4 {
            assert!(poll(&mut life.commits.writer).is_pending());
        }
        if self.weather.others && !self.world.disk.is_down() && self.world.disk.handle().check_lock().is_ok()
        {
            assert_eq!(life.spool.status().displaced_segments, 0);
            let segments: Vec<_> = lock(&life.spool.segments).iter().cloned().collect();
            assert!(segments.iter().all(|segment| self.world.disk.holds(&segment.name(), segment.stat)));
        }
    }

    /// While the lock is lost nothing is acknowledged.
    fn lose_lock(&mut self) {
        self.commit();
        self.world.is_troubled = true;
        self.world.disk.set_locked(false);
        self.look();
        let next_id = self.next_id();
        self.append_one((self.made, 10));
        self.commit();
        assert_eq!(self.next_id(), next_id, "acknowledged without the lock");
        assert!(self.world.disk.is_down() || self.life().spool.state().is_err());
        self.world.disk.set_locked(true);
        self.look();
    }

    /// Notes what a crash at this moment costs: the records of segments whose files are gone.
    fn note_lost_files(&mut self) {
        let segments: Vec<_> = lock(&self.life().spool.segments).iter().cloned().collect();
        let (mut end_id, mut is_end) = (self.next_id(), true);
        for segment in segments.iter().rev() {
            let first_id = segment.header.first_id;
            let is_gone = !self.world.disk.holds(&segment.name(), segment.stat);
            if is_gone {
                self.suspects.extend(first_id..end_id);
            }
            let lost_from = if is_gone { Some(first_id) } else { self.cut.get(&first_id).copied() };
            if is_end && let Some(from) = lost_from {
                self.end_is_lost = Some(from);
            }
            is_end &= is_gone;
            end_id = first_id;
        }
    }

    /// Flips a bit of durable data, or makes a page unreadable.
    fn damage(&mut self) {
        let life = self.life.as_ref().unwrap();
        if life.poisoned || !life.commits.is_done() || !self.in_doubt.is_empty() || self.world.disk.is_down()
        {
            return;
        }
        let segments: Vec<_> = lock(&life.spool.segments).iter().cloned().collect();
        self.world.disk.set_fault(None); // otherwise the segment's content could not be read
        let segment = self.world.random.pick(&segments).clone();
        let is_last = segment.header.first_id == segments.last().unwrap().header.first_id;
        let frames = frames_of(&segment);
        let Some(place) = self.place_in(&segment, &frames) else { return };
        let is_page = self.world.random.one_in(3);
        let range = if is_page {
            place / PAGE_BYTES * PAGE_BYTES..(place / PAGE_BYTES + 1) * PAGE_BYTES
        } else {
            place..place + 1
        };
        let hit: Vec<_> =
            frames.iter().filter(|(at, _)| at.start < range.end && range.start < at.end).collect();
        if is_last && !self.is_told_from_a_torn_commit(&frames, &hit, is_page) {
            return;
        }
        let name = format!("{:020}.segment", segment.header.first_id);
        if is_page {
            self.world.disk.make_unreadable(&name, place);
            self.end_is_damaged |= is_last;
        } else {
            self.world.disk.flip(&name, place, self.world.random.below(8) as u32);
        }
        self.suspects.extend(hit.iter().flat_map(|(_, header)| header.first_id..header.end_id()));
        self.world.tally.damages += 1;
        self.note_heads(&segment, &frames, &range, is_last);
    }

    /// Returns a place in a segment: in the header, its copy, a frame's header, its payload, or
    /// anywhere.
    fn place_in(&mut self, segment: &Segment, frames: &Frames) -> Option<u64> {
        let random = &mut self.world.random;
        let (frame, _) = frames.get(random.below(frames.len().max(1) as u64) as usize)?;
        let header_end = frame.start + FRAME_HEADER_BYTES as u64;
        Some(match random.below(5) {
            0 => random.below(SEGMENT_HEADER_BYTES as u64),
            1 => segment.bytes() - 1 - random.below(SEGMENT_HEADER_BYTES as u64),
            2 => frame.start + random.below(FRAME_HEADER_BYTES as u64),
            3 => header_end + random.below(frame.end - header_end),
            _ => random.below(segment.bytes()),
        })
    }

    /// Returns true if the damage can be distinguished from a torn commit. At the end of the last
    /// segment a commit with wrong bits looks as if a crash had torn it, unless the bytes cannot be
    /// read at all or a complete frame follows.
    fn is_told_from_a_torn_commit(&self, frames: &Frames, hit: &[&Frame], is_page: bool) -> bool {
        let is_sound =
            |frame: Option<&Frame>| frame.is_none_or(|(_, header)| !self.suspects.contains(&header.first_id));
        let Some((first, _)) = hit.first() else { return true };
        let hits_last = hit.last().map(|(at, _)| at.end) == frames.last().map(|(at, _)| at.end);
        let before = frames.iter().rfind(|(at, _)| at.end <= first.start);
        if hits_last { is_page && is_sound(before) } else { is_sound(frames.last()) }
    }

    /// Notes which header places are damaged. A segment is lost as a whole if neither its header,
    /// nor the copy of the header, nor its first frame is left.
    fn note_heads(&mut self, segment: &Segment, frames: &Frames, range: &Range<u64>, is_last: bool) {
        let header = SEGMENT_HEADER_BYTES as u64;
        let places =
            [0..28, segment.bytes() - header..segment.bytes() - header + 28, header..frames[0].0.end];
        let heads = self.heads.entry(segment.header.first_id).or_default();
        for (head, place) in heads.iter_mut().zip(places) {
            *head |= place.start < range.end && range.start < place.end;
        }
        if *heads == [true; 3] {
            self.suspects.extend(frames.iter().flat_map(|(_, header)| header.first_id..header.end_id()));
            if is_last {
                self.end_is_damaged = true;
                self.crash_and_start();
            }
        }
    }

    // Ends and starts.

    fn end(&mut self, crash: Crash) {
        if self.world.random.one_in(3) && !self.life().poisoned && !self.life().commits.is_done() {
            // Crash in the middle of a commit.
            self.world.arm_stop(STOP_CHANGES);
            self.commit();
        }
        if self.weather.others {
            self.note_lost_files();
        }
        self.life = None;
        self.world.crash(crash);
    }

    fn close(&mut self) {
        self.commit();
        let life = self.life();
        life.spool.close();
        while poll(&mut life.commits.writer).is_pending() {}
        if self.weather.others {
            self.note_lost_files();
        }
        self.life = None;
        self.world.disk.restart(Crash::Kill);
    }

    fn begin(&mut self, spool: Arc<Spool>, writer: SpoolWriter) {
        let found = spool.durable_id();
        let in_doubt = std::mem::take(&mut self.in_doubt);
        let next_id = self.next_id();
        let end_is_lost = self.end_is_lost.take();
        if let Some(whole) = in_doubt.iter().find(|whole| is_at(&spool, next_id, whole)) {
            assert_eq!(found, next_id + whole.len() as u64);
            self.records.extend(whole.iter().copied().map(Some));
        } else if let Some(from) = end_is_lost {
            let from = self.stores.iter().map(|store| store.read).fold(from, RecordId::min);
            assert!(found >= from && found <= next_id + self.sizes.segment_bytes, "{found} after {from}");
            self.records.resize(found as usize - 1, None);
            self.suspects.retain(|id| *id < found);
        } else if self.end_is_damaged && found > self.next_id() {
            assert!(found - self.next_id() <= self.sizes.segment_bytes, "too many ids are passed over");
            self.records.resize(found as usize - 1, None);
        } else {
            assert_eq!(found, next_id, "or one of {in_doubt:?}");
        }
        // A store has the records that it has synced, and perhaps the records that it has read.
        for store in &mut self.stores {
            if self.world.random.one_in(2) {
                store.read = store.synced;
            }
        }
        let readers = self
            .stores
            .iter()
            .map(|store| {
                let mut reader = spool.reader(store.synced);
                reader.seek(store.read);
                reader
            })
            .collect();
        let commits = Commits::new(writer);
        self.life = Some(Life { spool, readers, commits, open_bytes: 0, poisoned: false });
        self.world.is_troubled = false;
    }
}

/// Changes of the disk before one of which a start or a commit is stopped.
const STOP_CHANGES: u64 = 12;

impl Model for SpoolModel {
    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn operations(&self) -> Vec<Operation<SpoolModel>> {
        let Weather { crashes, faults, damage, others } = self.weather;
        let weight = |on: bool, weight: u64| if on { weight } else { 0 };
        vec![
            (1, SpoolModel::look),
            (weight(others, 2), SpoolModel::meddle),
            (weight(others, 1), SpoolModel::lose_lock),
            (40, SpoolModel::append),
            (25, SpoolModel::commit),
            (20, SpoolModel::read),
            (10, SpoolModel::release),
            (1, SpoolModel::forget),
            (weight(crashes, 2), SpoolModel::crash_and_start),
            (1, |model| {
                model.close();
                model.start();
                model.verify();
            }),
            (weight(faults, 2), SpoolModel::fail_some_calls),
            (weight(damage, 5), SpoolModel::damage),
            (weight(faults, 2), |model| model.world.disk.evict()),
        ]
    }

    fn is_poisoned(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.poisoned)
    }

    fn start(&mut self) {
        loop {
            if self.weather.crashes && self.world.random.one_in(4) {
                self.world.arm_stop(STOP_CHANGES);
            }
            let floor = if self.end_is_lost.is_some() || self.world.random.one_in(2) {
                self.stores.iter().map(|store| store.read).max().unwrap()
            } else {
                1
            };
            let result = Spool::open(self.world.disk.handle(), self.sizes, floor);
            if self.world.disk.is_down() {
                drop(result);
                let crash = self.world.any_crash();
                self.world.crash(crash);
                continue;
            }
            let (spool, writer) = result.expect("nothing was in the way of the start");
            self.world.disk.stop_at(None);
            return self.begin(spool, writer);
        }
    }

    fn crash_and_start(&mut self) {
        let crash = self.world.any_crash();
        self.end(crash);
        if self.world.random.one_in(2) {
            self.world.disk.evict();
        }
        self.start();
        self.verify();
    }

    /// Checks that the spool accepts records again after all faults.
    fn finish(&mut self) {
        self.crash_and_start();
        let next = self.next_id();
        for store in 0..self.stores.len() {
            self.stores[store] = Position { read: next, synced: next };
            let reader = &mut self.life().readers[store];
            reader.seek(next);
            reader.release(next);
        }
        self.append_one((self.made, 10));
        self.commit();
        assert_eq!(self.next_id(), next + 1, "it takes nothing: {:?}", self.life().spool.status());
        self.close();
        self.start();
        self.verify();
    }
}

/// A complete frame and its byte range.
type Frame = (Range<u64>, frame::FrameHeader);
type Frames = [Frame];

fn frames_of(segment: &Segment) -> Vec<Frame> {
    let (mut frames, mut offset) = (Vec::new(), SEGMENT_HEADER_BYTES as u64);
    while let Ok(Some((found, header))) =
        frame::find_frame(&*segment.file, segment.header.salt, offset, RecordId::MAX)
    {
        offset = found + header.size();
        frames.push((found..offset, header));
    }
    frames
}

/// Returns true if exactly these records are found from an id on.
fn is_at(spool: &Arc<Spool>, id: RecordId, contents: &[Content]) -> bool {
    let mut chunk = Chunk::default();
    let read = spool.cursor().read(SpoolPlace::at(id), &mut chunk, 1 << 20);
    let found: Vec<_> = chunk.records().map(|(_, record)| record.body.message.to_owned()).collect();
    read.is_ok() && chunk.first_id() == id && contents.iter().map(|content| message(*content)).eq(found)
}

#[test]
fn random_faults_keep_acknowledged_records_exactly_once() {
    seeds::run("spool::model", 150, |seed| SpoolModel::of(seed).run(500));
}

const CALM: Weather = Weather { crashes: false, faults: false, damage: false, others: false };

/// A fixed run over several segments, which are released and reused, until the disk stops.
fn fixed_run(model: &mut SpoolModel) {
    for round in 0..16 {
        for length in [10, 400, 5 * round] {
            let content = (model.made, length as usize);
            model.append_one(content);
        }
        model.commit();
        model.read();
        model.read();
        if round % 3 == 2 {
            model.release();
        }
        if model.world.disk.is_down() {
            return;
        }
    }
}

/// Stops the fixed run at one call, restarts it, perhaps with a stop during the restart, and
/// compares. Returns true if the run reached the call.
fn stopped_at(first: Stop, crash: Crash, second: Option<Stop>) -> bool {
    let sizes = SpoolSizes { segment_bytes: 4 << 10, bytes_max: 32 << 10 };
    let mut model = SpoolModel::new(first.after, CALM, sizes);
    model.world.disk.stop_at(Some(first));
    model.start();
    model.world.is_troubled = true;
    model.world.disk.stop_at(Some(first));
    fixed_run(&mut model);
    let has_stopped = model.world.disk.is_down();
    model.end(crash);
    model.world.disk.stop_at(second);
    model.start();
    model.verify();
    // A commit alone comes first: a new segment would make durable what the start failed to make
    // durable.
    model.append_one((model.made, 10));
    model.commit();
    for _ in 0..2 {
        model.end(Crash::PowerAndCache);
        model.start();
        model.verify();
        fixed_run(&mut model);
    }
    has_stopped
}

#[test]
fn crash_at_any_call_keeps_acknowledged_records() {
    for calls in [CHANGES, &[Call::Sync]] {
        for moment in MOMENTS {
            for crash in CRASHES {
                let stop = |after| Stop { calls, after, moment };
                let steps = (0..).take_while(|after| stopped_at(stop(*after), crash, None)).count();
                assert!(steps > 15, "{steps} are too few to be all");
            }
        }
    }
}

#[test]
fn crash_during_recovery_keeps_acknowledged_records() {
    for moment in MOMENTS {
        for crash in CRASHES {
            for first in 0..50 {
                let stop = |after| Stop { calls: CHANGES, after, moment };
                for second in 0..5 {
                    stopped_at(stop(first), crash, Some(stop(second)));
                }
            }
        }
    }
}
