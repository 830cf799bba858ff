//! The real server: `logboom serve` on free ports, with its log, and requests to it.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use super::{Answer, PATIENCE, eventually, is_stopped, program, request};

/// The options with which a server is started.
pub struct Setup {
    program: PathBuf,
    arguments: Vec<String>,
    listen: Vec<String>,
    environment: Vec<(String, String)>,
    /// The limit of open files.
    descriptors: Option<u64>,
    /// Another user.
    user: Option<u32>,
    /// The limit of threads.
    threads: Option<u64>,
}

#[allow(clippy::new_without_default, reason = "the options are not the program's defaults")]
impl Setup {
    /// A server for a test: with all listeners and a complete log. The variable `TEST_THREADS` sets
    /// the number of its threads, unless the test does.
    pub fn new() -> Setup {
        let mut setup = Setup::of(program());
        setup.listen.insert(1, "python-udp=127.0.0.1:0".into());
        if let Ok(threads) = std::env::var("TEST_THREADS") {
            setup = setup.environment("LOGBOOM_THREADS", threads);
        }
        setup
            .environment("LOGBOOM_SHUTDOWN_SECONDS_MAX", PATIENCE.as_secs().to_string())
            .argument("--log-level=debug")
    }

    /// A server of any executable, with the defaults of the options.
    pub fn of(program: impl Into<PathBuf>) -> Setup {
        Setup {
            program: program.into(),
            arguments: Vec::new(),
            listen: ["python", "http"].map(|name| format!("{name}=127.0.0.1:0")).into(),
            environment: Vec::new(),
            descriptors: None,
            user: None,
            threads: None,
        }
    }

    pub fn argument(mut self, argument: impl Into<String>) -> Setup {
        self.arguments.push(argument.into());
        self
    }

    pub fn arguments(self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Setup {
        arguments.into_iter().fold(self, Setup::argument)
    }

    pub fn environment(mut self, name: &str, value: impl Into<String>) -> Setup {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Sets the limit of open files, which the server cannot raise.
    pub fn descriptors(mut self, limit: u64) -> Setup {
        self.descriptors = Some(limit);
        self
    }

    /// Runs the server as another user, because limits do not apply to root; data folders must be
    /// in `folder`. Without root's rights the user of the tests is kept.
    pub fn user(mut self, user: u32, folder: &Path) -> Setup {
        if rustix::process::geteuid().is_root() {
            let program = folder.join("logboom");
            std::fs::copy(&self.program, &program).unwrap();
            std::os::unix::fs::chown(folder, Some(user), None).unwrap();
            self.program = program;
            self.user = Some(user);
        }
        self
    }

    /// Sets the limit of that user's threads.
    pub fn threads_max(mut self, limit: u64) -> Setup {
        self.threads = Some(limit);
        self
    }

    /// Adds a listener to the usual ones.
    pub fn listen(mut self, listener: impl Into<String>) -> Setup {
        self.listen.push(listener.into());
        self
    }

    /// Starts the server and waits until it is ready.
    pub fn start(&self, data_dir: &Path) -> Server {
        let mut server = self.spawn(data_dir);
        server.wait_until_ready();
        server
    }

    /// Starts the server without waiting; the start may fail.
    pub fn spawn(&self, data_dir: &Path) -> Server {
        let mut command = self.command();
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LOGBOOM_") {
                command.env_remove(name);
            }
        }
        command.args(["serve", "--log-format", "json", "--data-dir"]).arg(data_dir);
        for listener in &self.listen {
            command.args(["--listen", listener]);
        }
        command.envs(self.environment.iter().cloned()).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let filler = open_writing_end(&stderr);
        let log: Arc<Log> = Arc::default();
        let kept = Arc::clone(&log);
        let logging = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.take(line);
            }
        });
        Server { child, log, filler: Some(filler), logging: Some(logging) }
    }

    fn command(&self) -> Command {
        let limit = match (self.descriptors, self.threads) {
            (Some(limit), _) => format!("-n {limit}"),
            (None, Some(limit)) => format!("-u {limit}"),
            (None, None) => String::new(),
        };
        let mut command = Command::new(if limit.is_empty() { &self.program } else { Path::new("bash") });
        if !limit.is_empty() {
            command.args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")]).arg(&self.program);
        }
        if let Some(user) = self.user {
            command.uid(user);
        }
        command
    }
}

/// The log of a server.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    reading: Mutex<Reading>,
    changed: Condvar,
}

/// State of the log's reader.
#[derive(Clone, Copy, Default, PartialEq)]
enum Reading {
    #[default]
    On,
    ToBlock,
    Blocked,
}

impl Log {
    fn take(&self, line: String) {
        if !line.is_empty() {
            self.lines.lock().unwrap().push(line);
        }
        let mut reading = self.reading.lock().unwrap();
        if *reading == Reading::ToBlock {
            *reading = Reading::Blocked;
        }
        drop(self.changed.wait_while(reading, |reading| *reading == Reading::Blocked).unwrap());
    }

    fn set(&self, reading: Reading) {
        *self.reading.lock().unwrap() = reading;
        self.changed.notify_all();
    }
}

/// Opens the writing end of a pipe that this process reads from, in non-blocking mode.
fn open_writing_end(reader: &impl AsRawFd) -> std::fs::File {
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    std::fs::File::options().write(true).custom_flags(nonblocking).open(path).unwrap()
}

/// A running server; killed when it is dropped.
pub struct Server {
    pub child: Child,
    log: Arc<Log>,
    /// Fills the pipe of the server's standard error.
    filler: Option<std::fs::File>,
    /// Reads the log to its end.
    logging: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        self.kill();
    }
}

impl Server {
    pub fn start(data_dir: &Path) -> Server {
        Setup::new().start(data_dir)
    }

    /// Prints, below a test's failure, whether the server was still running, and its last log
    /// lines.
    fn tell(&mut self) {
        let state = match self.child.try_wait() {
            Ok(Some(status)) => format!("had ended with {status}"),
            _ => "was running".into(),
        };
        let log = self.log.lines.lock().unwrap();
        let last = log[log.len().saturating_sub(20)..].join("\n");
        eprintln!("the server {state}; the end of its log:\n{last}");
    }

    fn wait_until_ready(&mut self) {
        eventually("the server is ready", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", self.log());
            }
            self.log_line("ready")
        });
    }

    /// Returns what the server has written to standard error so far; complete once the server was
    /// killed or has ended in [`Server::exit_code`].
    pub fn log(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }

    /// Returns the first line of the log with this text in its message.
    pub fn log_line(&self, text: &str) -> Option<Value> {
        self.find_line(|line| line["message"].as_str().is_some_and(|message| message.contains(text)))
    }

    fn find_line(&self, is_wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let lines = self.log.lines.lock().unwrap();
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).find(is_wanted)
    }

    /// Returns the address of the first listener of a protocol.
    pub fn address(&self, protocol: &str) -> String {
        let line = self.find_line(|line| line["message"] == "listening" && line["protocol"] == protocol);
        line.unwrap()["address"].as_str().unwrap().to_owned()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address("http"))
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.read_log();
    }

    /// Waits until the server has ended; returns its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let status = eventually("the server ends", || self.child.try_wait().unwrap());
        self.read_log();
        status.code()
    }

    /// Stops reading the server's standard error, and fills its pipe.
    pub fn block_log(&mut self) {
        self.log.set(Reading::ToBlock);
        let filler = self.filler.as_mut().unwrap();
        eventually("the reader stops", || {
            let _ = filler.write(b"\n"); // the reader stops after its next line
            (*self.log.reading.lock().unwrap() == Reading::Blocked).then_some(())
        });
        for length in [4096, 1] {
            while filler.write(&vec![b'\n'; length]).is_ok() {}
        }
    }

    /// Reads the server's standard error again.
    pub fn unblock_log(&self) {
        self.log.set(Reading::On);
    }

    /// Reads the rest of the log; the server writes nothing more.
    fn read_log(&mut self) {
        self.filler = None;
        self.log.set(Reading::On);
        if let Some(logging) = self.logging.take() {
            let _ = logging.join();
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Stops the server as an operator does; returns the exit code.
    pub fn stop(&mut self) -> i32 {
        self.signal(rustix::process::Signal::TERM);
        self.exit_code().unwrap_or(-1)
    }

    /// Sends a request over a separate connection.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        request(&self.address("http"), method, path, headers, body).unwrap()
    }

    pub fn post(&self, body: impl AsRef<[u8]>) -> Answer {
        self.request("POST", "/api/v1/records", &[], body.as_ref())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    pub fn status(&self) -> Value {
        self.get("/api/v1/status").json()
    }

    /// Waits until everything accepted is stored. (The server itself waits for half a minute.)
    pub fn flush(&self) {
        eventually("everything is stored", || {
            let answer = self.request("POST", "/api/v1/flush", &[], b"");
            assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
            (answer.status == 200).then_some(())
        });
    }

    /// Sends a statement (the body of a request) and returns the answer. With one thread a
    /// statement has a quarter of a second, which may be too short on a busy machine: the request
    /// is then repeated.
    pub fn ask_sql(&self, body: &Value) -> Answer {
        eventually("an answer in time", || {
            let answer = self.request("POST", "/api/v1/sql", &[], body.to_string().as_bytes());
            Some(answer).filter(|answer| answer.status != 408)
        })
    }

    /// Returns the rows of a statement.
    pub fn sql(&self, sql: &str) -> Vec<Value> {
        let answer = self.ask_sql(&serde_json::json!({ "sql": sql }));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["rows"].as_array().unwrap().clone()
    }

    /// Returns the only value of a statement.
    pub fn value(&self, sql: &str) -> Value {
        self.sql(sql)[0][0].clone()
    }

    /// Returns the counters of the first source of a protocol.
    pub fn source(&self, protocol: &str) -> Value {
        let sources = self.status()["sources"].take();
        let start = format!("{protocol} ");
        let mut sources = sources.as_array().unwrap().iter();
        sources.find(|source| source["source"].as_str().unwrap().starts_with(&start)).unwrap().clone()
    }

    /// Waits until this many records of a protocol are durable.
    pub fn wait_for_accepted(&self, protocol: &str, records: u64) {
        eventually("all records are accepted", || {
            (self.source(protocol)["accepted"].as_u64() >= Some(records)).then_some(())
        });
    }

    /// Runs a command of the command line against this server. (A statement has little time if
    /// there is one thread.)
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.args(arguments).args(["--url", &self.url()]);
        eventually("an answer in time", || {
            let output = command.output().unwrap();
            let is_late = arguments[0] == "sql" && is_stopped(&output.stderr);
            (!is_late).then_some(output)
        })
    }

    /// Returns the peak of the resident memory so far, in KiB.
    pub fn peak_memory_kib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Returns the current resident memory, in KiB.
    pub fn memory_kib(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }
}
