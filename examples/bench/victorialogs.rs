//! A VictoriaLogs server of this machine, as a peer: a log server that also takes NDJSON by HTTP
//! and can be queried.
//!
//! It has its defaults, except that it keeps events of any time. It acknowledges events from
//! memory, and writes them to disk every five seconds.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, disk_bytes};

/// The head of a POST of events.
pub const POST: &str = "POST /insert/jsonline?_stream_fields=service&_time_field=timestamp&_msg_field=message HTTP/1.1\r\n\
     host: localhost\r\ncontent-type: application/stream+json\r\n";

/// How long the server may take until it can be connected to, or until all records can be queried.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server, which ends when this value is dropped.
pub struct VictoriaLogs {
    /// The address for requests.
    pub address: SocketAddr,
    pub process: Process,
    folder: TempDir,
}

impl VictoriaLogs {
    /// Starts the executable with a data folder below `folder`.
    pub fn start(executable: &Path, folder: &Path, port: u16) -> VictoriaLogs {
        let folder = tempfile::Builder::new().prefix("victorialogs-").tempdir_in(folder).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let log = folder.path().join("log");
        let mut command = Command::new(executable);
        command
            .arg(format!("-storageDataPath={}", folder.path().join("data").display()))
            .arg(format!("-httpListenAddr={address}"))
            .args(["-retentionPeriod=100y", "-futureRetention=100y", "-loggerLevel=ERROR"])
            .stderr(File::create(&log).unwrap());
        let process = Process(command.spawn().unwrap_or_else(|error| panic!("{executable:?}: {error}")));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "{executable:?} does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        VictoriaLogs { address, process, folder }
    }

    /// Returns once exactly this many records can be queried.
    pub fn wait_until_queryable(&self, records: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.count() != records {
            let count = self.count();
            assert!(count <= records, "{count} records, but {records} were sent");
            assert!(Instant::now() < deadline, "{count} of {records} records can be queried");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns once no records are in memory only.
    pub fn wait_until_on_disk(&self) {
        const NAME: &str = r#"vl_storage_rows{type="storage/inmemory"} "#;
        let deadline = Instant::now() + PATIENCE;
        let rows_in_memory = || {
            let metrics = self.post("/metrics", []);
            metrics.lines().find_map(|line| line.strip_prefix(NAME)).unwrap().to_owned()
        };
        while rows_in_memory() != "0" {
            assert!(Instant::now() < deadline, "{} records are in memory only", rows_in_memory());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn count(&self) -> u64 {
        number(&self.query("* | stats count() n", None)[0]["n"])
    }

    /// Returns the rows of a query in LogsQL; with a limit the most recent ones.
    pub fn query(&self, query: &str, limit: Option<u64>) -> Vec<Value> {
        let mut parameters = vec![("query", query.to_owned())];
        parameters.extend(limit.map(|limit| ("limit", limit.to_string())));
        let answer = self.post("/select/logsql/query", parameters);
        answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns the number of records in a histogram of everything, by level and minute.
    pub fn histogram_total(&self) -> u64 {
        let parameters = [("query", "*"), ("field", "level"), ("step", "1m")];
        let answer = self.post("/select/logsql/hits", parameters.map(|(name, value)| (name, value.into())));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["hits"].as_array().unwrap().iter().map(|series| number(&series["total"])).sum()
    }

    fn post(&self, path: &str, parameters: impl IntoIterator<Item = (&'static str, String)>) -> String {
        let url = format!("http://{}{path}", self.address);
        let mut answer = ureq::post(url).send_form(parameters).unwrap();
        answer.body_mut().with_config().limit(u64::MAX).read_to_string().unwrap()
    }

    /// Returns the disk space of the server's files.
    pub fn disk_bytes(&self) -> f64 {
        disk_bytes(&self.folder.path().join("data"))
    }
}

/// Returns a number, which may be written as a text.
pub fn number(value: &Value) -> u64 {
    value.as_str().map_or_else(|| value.as_u64(), |text| text.parse().ok()).unwrap()
}
