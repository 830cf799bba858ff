//! What unit tests, integration tests and the benchmark share: the server under test, clients, real
//! PostgreSQL servers, audits of the stores, and faults of the environment.
//!
//! The crate does not use the program itself, so the program's unit tests can use it. (The tests of
//! the web page start the server from JavaScript, in `tests/browser/server.mjs`.)

pub mod audit;
mod http;
pub mod load;
pub mod lock;
pub mod overload;
pub mod postgres;
pub mod random;
mod server;
pub mod small_disk;

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

pub use http::{Answer, request};
pub use server::{Server, Setup};

/// How long anything may take before a test fails; generous, for machines under other load.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the path of the program that was built with this test or benchmark. Cargo places it
/// above the folder of either.
pub fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let own = std::env::current_exe().unwrap();
        let program = own.ancestors().nth(2).unwrap().join("logboom");
        program.into_os_string().into_string().unwrap()
    })
}

/// Retries until `attempt` returns a value, and returns the value.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Runs `work` repeatedly on a separate thread while `test` runs.
pub fn meanwhile<T>(mut work: impl FnMut() + Send, test: impl FnOnce() -> T) -> T {
    /// Reports the end of the test, however it ends.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        scope.spawn(|| {
            while !is_over.load(SeqCst) {
                work();
                // Leaves the processor to the test.
                std::thread::park_timeout(Duration::from_millis(50));
            }
        });
        let result = test();
        drop(over);
        result
    })
}

/// Returns true if a command of the command line reports that its statement had too little time.
pub fn is_stopped(said: &[u8]) -> bool {
    memchr::memmem::find(said, b"the statement was stopped").is_some()
}

/// Runs a Python program to its end and returns what it printed.
pub fn python(program: &str, arguments: &[&str]) -> String {
    let output = Command::new("python3").args(["-c", program]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the frame of a good record, made by a real Python.
pub fn good_frame(message: &str) -> Vec<u8> {
    let program = "import logging, logging.handlers, sys; \
        handler = logging.handlers.SocketHandler('localhost', 0); \
        record = logging.LogRecord('app', 20, 'app.py', 1, sys.argv[1], None, None); \
        print(handler.makePickle(record).hex())";
    let hex = python(program, &[message]);
    let digits = hex.trim().as_bytes();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}
