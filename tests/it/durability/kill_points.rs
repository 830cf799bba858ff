//! Moments at which a kill is most dangerous. Each is detected from outside, by changes in the
//! folders.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What the server is doing at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KillPoint {
    /// Anything, after a random number of answers.
    Anything,
    /// Its first moments with clients, while the stores still recover from the last kill.
    CatchingUp,
    /// The spool creates or empties a segment.
    SegmentChange,
    /// Lines are appended to the log file.
    Shipping,
    /// The log file's position is made durable.
    Position,
    /// The write-ahead log is moved into the database.
    Checkpoint,
    /// The log file is moved away.
    Rotation,
}

impl KillPoint {
    pub const ALL: [KillPoint; 7] = [
        KillPoint::Anything,
        KillPoint::CatchingUp,
        KillPoint::SegmentChange,
        KillPoint::Shipping,
        KillPoint::Position,
        KillPoint::Checkpoint,
        KillPoint::Rotation,
    ];
}

/// The paths of a server's files.
pub struct Places {
    pub data: PathBuf,
    pub log_file: PathBuf,
}

/// The observed state of a path; it differs once something has happened there.
#[derive(PartialEq, Eq)]
enum State {
    Nothing,
    Names(BTreeSet<String>),
    File(u64, u64, Option<SystemTime>),
}

/// Waits for a moment by comparing with the state before it.
pub struct Watch<'p> {
    point: KillPoint,
    places: &'p Places,
    before: State,
}

impl Places {
    pub fn database(&self) -> PathBuf {
        self.data.join("logboom.db")
    }

    pub fn watch(&self, point: KillPoint) -> Watch<'_> {
        Watch { point, places: self, before: self.look(point) }
    }

    fn look(&self, point: KillPoint) -> State {
        let log_file = self.log_file.display();
        match point {
            KillPoint::Anything | KillPoint::CatchingUp => State::Nothing,
            KillPoint::SegmentChange => names(&self.data.join("spool")),
            KillPoint::Shipping => file(&self.log_file),
            KillPoint::Position => file(Path::new(&format!("{log_file}.position"))),
            KillPoint::Checkpoint => file(&self.database()),
            KillPoint::Rotation => names(self.log_file.parent().unwrap()),
        }
    }
}

impl Watch<'_> {
    /// Returns true if the moment has just begun.
    pub fn is_hit(&self) -> bool {
        self.places.look(self.point) != self.before
    }
}

fn names(folder: &Path) -> State {
    let Ok(entries) = std::fs::read_dir(folder) else { return State::Nothing };
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    State::Names(entries.map(name).collect())
}

fn file(path: &Path) -> State {
    let Ok(data) = std::fs::metadata(path) else { return State::Nothing };
    State::File(data.ino(), data.len(), data.modified().ok())
}
