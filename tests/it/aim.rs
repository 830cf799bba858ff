//! Moments at which a kill is most dangerous. Each is detected from outside, by changes in the
//! folders.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What the server is doing at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aim {
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

impl Aim {
    pub const ALL: [Aim; 7] = [
        Aim::Anything,
        Aim::CatchingUp,
        Aim::SegmentChange,
        Aim::Shipping,
        Aim::Position,
        Aim::Checkpoint,
        Aim::Rotation,
    ];
}

/// The paths of a server's files.
pub struct Places {
    pub data: PathBuf,
    pub log_file: PathBuf,
}

/// The observed state of a path; it differs once something has happened there.
#[derive(PartialEq, Eq)]
enum Sight {
    Nothing,
    Names(BTreeSet<String>),
    File(u64, u64, Option<SystemTime>),
}

/// Waits for a moment by comparing with the state before it.
pub struct Watch<'p> {
    aim: Aim,
    places: &'p Places,
    before: Sight,
}

impl Places {
    pub fn database(&self) -> PathBuf {
        self.data.join("logboom.db")
    }

    pub fn watch(&self, aim: Aim) -> Watch<'_> {
        Watch { aim, places: self, before: self.look(aim) }
    }

    fn look(&self, aim: Aim) -> Sight {
        let log_file = self.log_file.display();
        match aim {
            Aim::Anything | Aim::CatchingUp => Sight::Nothing,
            Aim::SegmentChange => names(&self.data.join("spool")),
            Aim::Shipping => file(&self.log_file),
            Aim::Position => file(Path::new(&format!("{log_file}.position"))),
            Aim::Checkpoint => file(&self.database()),
            Aim::Rotation => names(self.log_file.parent().unwrap()),
        }
    }
}

impl Watch<'_> {
    /// Returns true if the moment has just begun.
    pub fn is_hit(&self) -> bool {
        self.places.look(self.aim) != self.before
    }
}

fn names(folder: &Path) -> Sight {
    let Ok(entries) = std::fs::read_dir(folder) else { return Sight::Nothing };
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    Sight::Names(entries.map(name).collect())
}

fn file(path: &Path) -> Sight {
    let Ok(data) = std::fs::metadata(path) else { return Sight::Nothing };
    Sight::File(data.ino(), data.len(), data.modified().ok())
}
