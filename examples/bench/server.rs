//! The real server: `logboom serve` on free ports, with its own data folder.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Process, disk_bytes};

/// A running server. When this value is dropped, the server ends, and its data is removed unless it
/// is to be kept.
pub struct Server {
    /// The address for requests.
    pub http: SocketAddr,
    /// The address for frames.
    pub python: SocketAddr,
    /// The process of the server.
    pub process: Process,
    data_dir: DataDir,
    log: Arc<Mutex<Vec<String>>>,
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

/// Time limit for a start, and for a wait for records that were sent.
const PATIENCE: Duration = Duration::from_secs(60);

impl Drop for Server {
    /// Prints the last log lines of the server below a failure.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log.lock().unwrap();
            eprintln!("the server said last:\n{}", log[log.len().saturating_sub(20)..].join("\n"));
        }
    }
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
        let mut command = Command::new(executable);
        command.args(["serve", "--log-format=json", "--query-seconds-max=600", "--data-dir", data]);
        command.args(["--listen=http=127.0.0.1:0", "--listen=python=127.0.0.1:0"]);
        command.args(arguments.iter().map(|argument| argument.replace("{data}", data)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOGBOOM_")) {
            command.env_remove(name);
        }
        let mut process = Process(command.spawn().unwrap());
        let log = Arc::default();
        let addresses = read_log(&mut process, &log);
        Server { http: addresses["http"], python: addresses["python"], process, data_dir, log }
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
        let connection =
            Connection::open_with_flags(self.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let number = |row: &Row<'_>, column| row.get::<_, i64>(column).map(|number| number as u64);
        let sql = "SELECT count(*), coalesce(min(id), 0), coalesce(max(id), 0) FROM record";
        let stored = |row: &Row<'_>| {
            Ok(Stored { count: number(row, 0)?, first_id: number(row, 1)?, last_id: number(row, 2)? })
        };
        connection.query_row(sql, [], stored).unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }
}

/// Follows the log of the server. Returns its addresses once it is ready.
fn read_log(process: &mut Process, log: &Arc<Mutex<Vec<String>>>) -> HashMap<String, SocketAddr> {
    let mut lines = BufReader::new(process.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut addresses = HashMap::new();
    loop {
        let Some(line) = lines.next() else {
            panic!("the server does not start:\n{}", log.lock().unwrap().join("\n"));
        };
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        log.lock().unwrap().push(line);
        if event["message"] == "listening" {
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            addresses.insert(text("protocol"), text("address").parse().unwrap());
        }
        if event["message"] == "ready" {
            break;
        }
    }
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in lines {
            log.lock().unwrap().push(line);
        }
    });
    addresses
}
