//! The real server: `logboom serve` on free ports, with its own data folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{PATIENCE, Setup};

use crate::process::{cpu_seconds, disk_bytes};

/// A running server. When this value is dropped, the server ends, and its data is removed unless it
/// is to be kept.
pub struct Server {
    /// The address for requests.
    pub http: SocketAddr,
    /// The address for frames.
    pub python: SocketAddr,
    process: test_support::Server,
    data_dir: DataDir,
}

/// The data folder of a server.
enum DataDir {
    Temporary(TempDir),
    Kept(PathBuf),
}

/// The number of rows of a database, and their ids.
pub struct Stored {
    pub count: u64,
    pub first_id: u64,
    pub last_id: u64,
}

impl DataDir {
    fn path(&self) -> &Path {
        match self {
            DataDir::Temporary(folder) => folder.path(),
            DataDir::Kept(folder) => folder,
        }
    }
}

impl Server {
    /// Starts the executable with a data folder on the disk of `folder`, and with these arguments
    /// in addition to the usual ones. `{data}` in the arguments stands for the data folder.
    pub fn start(executable: &Path, folder: &Path, arguments: &[&str]) -> Server {
        let data_dir = tempfile::Builder::new().prefix("logboom-").tempdir_in(folder).unwrap();
        Server::start_on(executable, DataDir::Temporary(data_dir), arguments)
    }

    /// Like [`Server::start`], with a data folder that is kept.
    pub fn start_in(executable: &Path, data_dir: PathBuf, arguments: &[&str]) -> Server {
        Server::start_on(executable, DataDir::Kept(data_dir), arguments)
    }

    fn start_on(executable: &Path, data_dir: DataDir, arguments: &[&str]) -> Server {
        let data = data_dir.path().to_str().unwrap();
        let setup = Setup::of(executable)
            .argument("--query-seconds-max=600")
            .arguments(arguments.iter().map(|argument| argument.replace("{data}", data)));
        let process = setup.start(data_dir.path());
        let address = |protocol| process.address(protocol).parse().unwrap();
        Server { http: address("http"), python: address("python"), process, data_dir }
    }

    /// Returns the processor time so far, user and system.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.process.child.id().to_string())
    }

    /// Returns the peak memory.
    pub fn peak_bytes(&self) -> f64 {
        self.process.peak_memory_kib() as f64 * 1024.0
    }

    /// Returns the data folder.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Returns the path of the database.
    pub fn database(&self) -> PathBuf {
        self.data_dir().join("logboom.db")
    }

    /// Returns true if the server has a database.
    pub fn has_database(&self) -> bool {
        self.database().exists()
    }

    /// Returns the disk space of the server's files: database, its log, spool.
    pub fn disk_bytes(&self) -> f64 {
        disk_bytes(self.data_dir())
    }

    /// Returns the size of the database without the write-ahead log, whose size does not depend on
    /// the number of records.
    pub fn database_bytes(&self) -> f64 {
        let connection = self.open_database();
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, f64>(0)).unwrap();
        let size = ["page_count", "page_size"].map(pragma);
        size[0] * size[1]
    }

    /// Returns the body of `/api/v1/status`.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.get("/api/v1/status")).unwrap()
    }

    /// Returns once everything that was accepted is in every store.
    pub fn flush(&self) {
        let mut tries = 0;
        // One call waits for a limited time.
        while let Err(error) = ureq::post(self.url("/api/v1/flush")).send_empty() {
            tries += 1;
            assert!(tries < 40, "the stores do not get there: {error}; {}", self.status());
        }
    }

    /// Returns once this many records are durable in the spool.
    pub fn wait_until_durable(&self, records: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.status()["spool"]["durable_id"].as_u64().unwrap() <= records {
            assert!(Instant::now() < deadline, "{records} records are not durable: {}", self.status());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns the body of a response.
    pub fn get(&self, path: &str) -> String {
        let mut answer = ureq::get(self.url(path)).call().unwrap();
        answer.body_mut().with_config().limit(u64::MAX).read_to_string().unwrap()
    }

    /// Returns the rows of a statement.
    pub fn sql(&self, sql: &str) -> Vec<Value> {
        let body = json!({ "sql": sql }).to_string();
        let mut answer = ureq::post(self.url("/api/v1/sql")).send(body).unwrap();
        let mut answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        answer["rows"].as_array_mut().map(std::mem::take).unwrap()
    }

    /// Fails unless exactly these records were accepted, and none refused or shed: a refused record
    /// leaves a dead letter, which is counted like a record.
    pub fn check_accepted(&self, records: u64) {
        let status = self.status();
        let sources = status["sources"].as_array().unwrap();
        let total = |name: &str| sources.iter().map(|source| source[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!(
            (total("received"), total("accepted")),
            (records, records),
            "received, accepted: {status}"
        );
        for name in ["rejected", "shed"] {
            let reasons = sources.iter().flat_map(|source| source[name].as_object().unwrap().values());
            assert!(reasons.clone().all(|count| count == 0), "{name}: {status}");
        }
    }

    /// Fails unless the database has exactly these records, each once.
    pub fn check_stored(&self, records: u64) {
        let Stored { count, first_id, last_id } = self.stored();
        assert_eq!((count, first_id, last_id), (records, 1, records), "count, first and last id");
    }

    /// Returns what the database contains. It is read in this process, because a server with one
    /// thread does not respond to other requests during a long one.
    pub fn stored(&self) -> Stored {
        let connection = self.open_database();
        let number = |row: &Row<'_>, column| row.get::<_, i64>(column).map(|number| number as u64);
        let sql = "SELECT count(*), coalesce(min(id), 0), coalesce(max(id), 0) FROM record";
        let stored = |row: &Row<'_>| {
            Ok(Stored { count: number(row, 0)?, first_id: number(row, 1)?, last_id: number(row, 2)? })
        };
        connection.query_row(sql, [], stored).unwrap()
    }

    fn open_database(&self) -> Connection {
        Connection::open_with_flags(self.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }
}
