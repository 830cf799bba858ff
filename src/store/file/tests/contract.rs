//! The contract of all stores: in a folder, with rotation, and on a simulated disk that fails.

use rustix::io::Errno;

use super::*;
use crate::disk::cruel::{Call, CruelDisk, Fault};
use crate::record::Column;
use crate::store::contract::{self, Failing, StoredRecord, Subject};

/// Begins a record in the log file, and separates its values.
const RECORD: char = '\u{1e}';
const VALUE: char = '\u{1f}';

/// Returns the name of a column in a line format.
fn field(column: Column) -> &'static str {
    match column {
        Column::Id => "id",
        Column::Time => "timestamp",
        Column::SeverityNumber => "levelno",
        Column::Severity => "levelname",
        Column::Service => "service",
        Column::Logger => "name",
        Column::Host => "host",
        Column::Message => "message",
        Column::TraceId => "trace_id",
        Column::SpanId => "span_id",
        Column::EventName => "event_name",
        Column::File => "pathname",
        Column::Line => "lineno",
        Column::Function => "funcName",
        Column::ProcessId => "process",
        Column::Thread => "threadName",
    }
}

/// Returns what a line shows, as the value of a column.
fn value(column: Column, shown: &str) -> String {
    match (column, shown) {
        (Column::Time, text) => time::parse(text).unwrap().to_string(),
        (Column::Line | Column::ProcessId, "0") | (Column::Severity, "NOTSET") | (Column::Logger, "root") => {
            String::new()
        }
        (_, text) => text.to_owned(),
    }
}

fn all_columns(path: PathBuf, rotate_bytes: Option<u64>) -> FileOptions {
    let fields = Column::ALL.map(|column| format!("%({})s{VALUE}", field(column))).concat();
    let line_format = LineFormat::parse(&format!("{RECORD}{fields}%(attributes)s")).unwrap();
    FileOptions { line_format, rotate_bytes, ..options(path) }
}

/// Returns the records in the text of all files.
fn records_in(text: &str) -> Vec<StoredRecord> {
    let record = |line: &str| {
        let mut shown = line.strip_suffix('\n').unwrap().split(VALUE);
        let mut values: Vec<_> =
            Column::ALL.iter().zip(&mut shown).map(|(column, shown)| value(*column, shown)).collect();
        values.extend(shown.map(str::to_owned));
        values
    };
    text.split(RECORD).skip(1).map(record).collect()
}

/// A log file in a folder.
struct InFolder {
    folder: TempDir,
    rotate_bytes: Option<u64>,
}

impl InFolder {
    fn new(rotate_bytes: Option<u64>) -> InFolder {
        InFolder { folder: TempDir::new().unwrap(), rotate_bytes }
    }
}

impl Subject for InFolder {
    type Store = FileStore;

    fn open(&self) -> FileStore {
        FileStore::new(all_columns(self.folder.path().join("logs/app.log"), self.rotate_bytes))
    }

    fn open_for(&self, claimant: Claimant) -> FileStore {
        self.open().with_claimant(claimant)
    }

    fn read(&self) -> Vec<StoredRecord> {
        let folder = self.folder.path().join("logs");
        let mut names = names(&folder);
        names.sort_by_key(|name| {
            let number = name.rsplit('.').next().unwrap().parse().unwrap_or(0);
            std::cmp::Reverse::<u32>(number)
        });
        records_in(&names.iter().map(|name| read(&folder.join(name))).collect::<String>())
    }

    fn keeps(&self, column: Column) -> bool {
        column != Column::SeverityNumber
    }
}

/// A log file on a disk that can be made to fail.
struct OnDisk(CruelDisk);

impl Subject for OnDisk {
    type Store = FileStore;

    fn open(&self) -> FileStore {
        FileStore::with_disk(all_columns("app.log".into(), None), self.0.handle())
    }

    fn open_for(&self, claimant: Claimant) -> FileStore {
        self.open().with_claimant(claimant)
    }

    fn read(&self) -> Vec<StoredRecord> {
        records_in(&String::from_utf8(self.0.read("app.log")).unwrap())
    }

    fn keeps(&self, column: Column) -> bool {
        column != Column::SeverityNumber
    }
}

impl Failing for OnDisk {
    fn fail_at(&self, id: Option<RecordId>) {
        let fault = Fault { calls: &[Call::Write], error: Errno::NOSPC, after: 1, times: u64::MAX };
        self.0.set_fault(id.map(|_| fault));
    }
}

mod in_folder {
    use super::*;

    contract::tests!(InFolder::new(None) => delivery content ownership);
}

mod with_rotation {
    use super::*;

    contract::tests!(InFolder::new(Some(500)) => delivery content ownership);
}

mod on_failing_disk {
    use super::*;

    contract::tests!(OnDisk(CruelDisk::new(1)) => delivery content ownership failure);
}
