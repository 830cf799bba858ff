//! Model test of the path from the receipt to the line in the log file, on one simulated disk whose
//! users are all stopped at once: every record whose receipt reported it as durable becomes one
//! line, in its place, and the log files have no other line.
//!
//! Sometimes the position is changed from outside while nothing runs: then nothing may be written
//! until the position is restored.
//!
//! The rounds of the shipper are called one by one; its waits and its pauses are left out.

use std::cell::Cell;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use rustix::io::Errno;

use super::*;
use crate::disk::cruel::life::{Model, Operation, World, done};
use crate::disk::cruel::{CHANGES, Call, Crash, Fault, seeds};
use crate::record::time;
use crate::spool::inspect::extent;
use crate::spool::testing::{Commits, batch, observer};
use crate::spool::{AppendError, Spool, SpoolPlace, SpoolSizes, SpoolWriter};
use crate::store::file::{FileOptions, FileStore, LineFormat, move_position};
use crate::store::{Claimant, Claims};

const LOG: &str = "app.log";

thread_local! {
    /// The clock of this run, in days since the Unix epoch.
    static DAY: Cell<i64> = const { Cell::new(0) };
}

fn noon() -> i64 {
    (DAY.get() * 24 + 12) * 3600 * time::SECOND
}

fn line(number: u64) -> String {
    let mut text = String::new();
    let _ = write!(text, "{number} ");
    let filler = char::from(b'a' + (number % 26) as u8);
    text.extend(std::iter::repeat_n(filler, (number * number % 97) as usize));
    text
}

struct ShipperModel {
    world: World,
    rotate_bytes: Option<u64>,
    rotate_daily: bool,
    has_faults: bool,
    /// The numbers of the records in the order of their ids, from 1 on.
    records: Vec<u64>,
    /// The records of those commits since the last successful commit that failed or were cut short:
    /// a restart may find one of these commits.
    in_doubt: Vec<Vec<u64>>,
    made: u64,
    /// The `.position` file as it was before the position was changed from outside.
    moved: Option<Vec<u8>>,
    life: Option<Life>,
}

/// One process, from a start to a crash.
struct Life {
    spool: Arc<Spool>,
    commits: Commits<u64>,
    shipper: Shipper<FileStore>,
    reopen: Arc<AtomicBool>,
    is_poisoned: bool,
}

impl ShipperModel {
    fn new(seed: u64) -> ShipperModel {
        let mut world = World::new(seed);
        let random = &mut world.random;
        DAY.set(20_000);
        ShipperModel {
            rotate_bytes: *random.pick(&[None, Some(1), Some(500), Some(3000)]),
            rotate_daily: random.one_in(3),
            has_faults: random.one_in(2),
            records: Vec::new(),
            in_doubt: Vec::new(),
            made: 0,
            moved: None,
            life: None,
            world,
        }
    }

    fn life(&mut self) -> &mut Life {
        self.life.as_mut().unwrap()
    }

    fn store(&self, claims: &Arc<Claims>) -> FileStore {
        let options = FileOptions {
            path: PathBuf::from(LOG),
            line_format: LineFormat::parse("%(message)s").unwrap(),
            rotate_bytes: self.rotate_bytes,
            rotate_daily: self.rotate_daily,
            rotate_keep: None,
        };
        let claimant = Claimant::new(claims, "log", "node");
        FileStore::with_disk(options, self.world.disk.handle()).with_clock(noon).with_claimant(claimant)
    }

    // The operations.

    fn append(&mut self) {
        for _ in 0..1 + self.world.random.below(4) {
            let number = self.made;
            let batch = batch(&[&line(number)]);
            match self.life().spool.try_append(&batch, &observer()).expect("the open buffer is small") {
                Ok(receipt) => {
                    self.life().commits.push(number, receipt);
                    self.made += 1;
                }
                Err(refusal) => assert!(refusal != AppendError::Closed),
            }
        }
    }

    fn commit(&mut self) {
        let life = self.life.as_mut().unwrap();
        let (mut committed, mut outcome) = (Vec::new(), None);
        for (number, result) in life.commits.commit() {
            committed.push(number);
            outcome = Some(result);
        }
        match outcome {
            Some(Ok(last)) => {
                self.records.extend(committed);
                self.in_doubt.clear();
                assert_eq!(last, self.records.len() as u64);
            }
            Some(Err(AppendError::Poisoned(_))) if !life.is_poisoned => {
                assert!(self.world.is_troubled);
                life.is_poisoned = true;
                self.in_doubt.push(committed);
            }
            Some(Err(AppendError::Failing(_))) => {
                assert!(self.world.is_troubled);
                self.in_doubt.push(committed);
            }
            _ => {}
        }
    }

    /// Runs one round of the shipper.
    fn ship(&mut self) {
        let with_housekeeping = self.world.random.one_in(4);
        let (rows, bytes) = (1 + self.world.random.below(20), 1 + self.world.random.below(2000));
        let life = self.life.as_mut().unwrap();
        let shipper = &mut life.shipper;
        shipper.flush = Flush { rows, bytes, interval: Duration::ZERO };
        if with_housekeeping {
            shipper.maintain_at = Instant::now();
        }
        let is_connecting = !shipper.connected;
        let result = if is_connecting {
            done(shipper.connect())
        } else if shipper.reader.pending() > 0 {
            done(shipper.round())
        } else {
            return;
        };
        if let Err(error) = result {
            assert!(self.world.is_troubled || self.moved.is_some(), "{error}");
            shipper.connected = false; // the next round retries, as after `recover`
        } else if is_connecting || self.world.random.one_in(4) {
            assert!(self.moved.is_none(), "it writes from a position that somebody else has moved");
            self.verify();
        }
    }

    fn sync(&mut self) {
        let shipper = &mut self.life().shipper;
        if shipper.connected
            && let Err(error) = done(shipper.sync())
        {
            shipper.connected = false;
            assert!(self.world.is_troubled, "{error}");
        }
    }

    /// Sends the signal that follows the renaming of the log file by another program; here no
    /// program has renamed it.
    fn abort(&mut self) {
        self.life().reopen.store(true, Relaxed);
    }

    fn fail_some_calls(&mut self) {
        let calls = *self.world.random.pick(&[
            CHANGES,
            &[Call::Sync],
            &[Call::Write],
            &[Call::Rename],
            &[Call::SetLength],
            &[Call::Open, Call::List],
        ]);
        let error = *self.world.random.pick(&[Errno::IO, Errno::NOSPC]);
        let (after, times) = (self.world.random.below(10), 1 + self.world.random.below(4));
        self.world.set_fault(Fault { calls, error, after, times });
    }

    // Invariants.

    /// Returns the lines of all log files, the oldest first.
    fn lines(&self) -> Vec<String> {
        let names = self.world.disk.names();
        let mut files: Vec<_> = names.iter().filter_map(|name| Some((place_of(name)?, name))).collect();
        files.sort();
        let text: Vec<u8> = files.iter().flat_map(|(_, name)| self.world.disk.read(name)).collect();
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }

    /// Checks that the log files contain the records before the position, and nothing else.
    fn verify(&mut self) {
        let position = self.life().shipper.reader.position();
        let expected: Vec<_> =
            self.records[..position as usize - 1].iter().map(|number| line(*number)).collect();
        let lines = self.lines();
        assert_eq!(lines.len(), expected.len());
        if let Some(place) = (0..lines.len()).find(|place| lines[*place] != expected[*place]) {
            panic!("line {place} is {:?} and not {:?}", lines[place], expected[place]);
        }
    }

    // Crashes and starts.

    /// Changes the position as another process that claims the log file would, or restores the log
    /// file's earlier position.
    fn move_position(&mut self) {
        let disk = self.world.disk.handle();
        self.world.disk.set_fault(None);
        self.world.disk.stop_at(None);
        if let Some(bytes) = self.moved.take() {
            let file = disk.open(&format!("{LOG}.position")).unwrap();
            file.write_at(&bytes, 0).and_then(|()| file.sync()).unwrap();
        } else if self.has_faults && self.world.random.one_in(4) {
            let by = *self.world.random.pick(&[-1000, -3, 0, 3, 1000]);
            self.moved = move_position(&*disk, LOG, by).unwrap();
        }
    }

    /// Opens everything as the program does at its start.
    fn open(&mut self) -> std::io::Result<(FileStore, Arc<Spool>, SpoolWriter)> {
        let disk = self.world.disk.handle();
        let claims = Claims::open(disk.clone(), extent(&*disk)?, vec!["log".into()])?;
        let mut store = self.store(&claims);
        // A store may take too long to report its position.
        let position = if self.world.random.one_in(2) { done(store.position()).ok() } else { None };
        let sizes = SpoolSizes { segment_bytes: 4 << 10, bytes_max: 24 << 10 };
        let (spool, writer) = Spool::open(disk, sizes, position.unwrap_or(1))?;
        claims.watch(&spool);
        if position.is_none() {
            claims.note_unconfirmed(&["log".into()], spool.durable_id())?;
        }
        Ok((store, spool, writer))
    }

    fn begin(&mut self, store: FileStore, spool: Arc<Spool>, writer: SpoolWriter) {
        let in_doubt = std::mem::take(&mut self.in_doubt);
        if spool.durable_id() > self.records.len() as u64 + 1 {
            let found = lines_from(&spool, self.records.len() as u64 + 1);
            let is_it =
                |numbers: &&Vec<u64>| numbers.iter().map(|number| line(*number)).eq(found.iter().cloned());
            self.records.extend(in_doubt.iter().find(is_it).expect("what is found was sent"));
        }
        assert_eq!(spool.durable_id(), self.records.len() as u64 + 1);
        let flush = Flush { rows: 1, bytes: 1, interval: Duration::ZERO };
        self.life = Some(Life {
            reopen: store.reopen_handle(),
            shipper: Shipper::new(store, spool.reader(1), flush, Progress::new("log", "file")),
            spool,
            commits: Commits::new(writer),
            is_poisoned: false,
        });
        self.world.is_troubled = false;
    }

    /// Stops the program at one of the next changes of the disk.
    fn arm_stop(&mut self) {
        self.world.arm_stop(15);
    }
}

impl Model for ShipperModel {
    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn operations(&self) -> Vec<Operation<ShipperModel>> {
        let faults = if self.has_faults { 2 } else { 0 };
        vec![
            (30, ShipperModel::append),
            (20, ShipperModel::commit),
            (30, ShipperModel::ship),
            (8, ShipperModel::sync),
            (1, ShipperModel::abort),
            (1, |_| DAY.set(DAY.get() + 1)),
            (2, ShipperModel::arm_stop),
            (1, ShipperModel::crash_and_start),
            (faults, ShipperModel::fail_some_calls),
            (faults, |model| model.world.disk.evict()),
        ]
    }

    fn is_poisoned(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.is_poisoned)
    }

    fn start(&mut self) {
        loop {
            if self.world.random.one_in(4) {
                self.arm_stop();
            }
            match self.open() {
                Ok((store, spool, writer)) if !self.world.disk.is_down() => {
                    self.world.disk.stop_at(None);
                    return self.begin(store, spool, writer);
                }
                result => {
                    assert!(self.world.disk.is_down(), "{:?}", result.err());
                    let crash = *self.world.random.pick(&[Crash::Kill, Crash::Power]);
                    self.world.crash(crash);
                }
            }
        }
    }

    fn crash_and_start(&mut self) {
        self.life = None;
        let crash = self.world.any_crash();
        self.world.crash(crash);
        if self.world.random.one_in(2) {
            self.world.disk.evict();
        }
        self.move_position();
        self.start();
    }

    /// Ends the run: after all faults every line is there.
    fn finish(&mut self) {
        self.has_faults = false;
        self.crash_and_start();
        for _ in 0..10_000 {
            let shipper = &self.life().shipper;
            if shipper.connected && shipper.reader.pending() == 0 {
                break;
            }
            self.ship();
        }
        self.sync();
        self.crash_and_start();
        self.ship();
        assert_eq!(self.life().shipper.reader.position(), self.records.len() as u64 + 1);
        self.verify();
    }
}

/// Returns the messages from an id on.
fn lines_from(spool: &Arc<Spool>, id: RecordId) -> Vec<String> {
    let mut chunk = Chunk::default();
    spool.cursor().read(SpoolPlace::at(id), &mut chunk, 1 << 20).unwrap();
    chunk.records().map(|(_, record)| record.body.message.to_owned()).collect()
}

/// Returns a key that sorts log files from the oldest to the newest.
fn place_of(name: &str) -> Option<(i64, &str, u32)> {
    let suffix = name.strip_prefix(LOG)?;
    let Some(suffix) = suffix.strip_prefix('.') else { return suffix.is_empty().then_some((1, "", 0)) };
    match (suffix.parse::<i64>(), suffix.split_once('.')) {
        (Ok(rotations), _) => Some((-rotations, "", 0)),
        (_, Some((day, number))) => Some((0, day, number.parse().ok()?)),
        (_, None) => (suffix != "position").then_some((0, suffix, 0)),
    }
}

#[test]
fn acknowledged_records_become_one_line_each() {
    seeds::run("store::shipper::model", 100, |seed| ShipperModel::new(seed).run(400));
}
