//! The program's own log, on standard error.
//!
//! Standard error may be blocked or fail: a pipe that is not read, a closed pipe, a full disk, a
//! stopped terminal. None of these blocks or ends the server. Lines go through a bounded buffer
//! (`sink.rs`), which the logging thread writes without blocking. Lines that do not fit are dropped
//! and counted, and the count is reported as soon as lines are accepted again. No thread is needed,
//! so that `threads = 1` stays one thread; the task [`keep`] retries.
//!
//! Each line is escaped as a whole before it is written, so no text of a client, a database or the
//! configuration reaches a terminal with control characters.
//!
//! Lines that clients can cause are limited by kind (`limit.rs`).

mod limit;
mod sink;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::stdio::{dup2_stderr, stderr};
use tokio::sync::Notify;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::config::{Config, LogFormat};
use crate::escape;
use crate::limits::{LOG_END_MILLISECONDS_MAX, LOG_LINE_BYTES_MAX, LOG_RETRY_MILLISECONDS};
use crate::record::time;
pub use limit::{LimitedMessage, admits};
use sink::Sink;

static SINK: Mutex<Sink<BorrowedFd<'static>>> = Mutex::new(Sink::new(stderr()));

/// Lines dropped since the start.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Whether lines are JSON. Used for lines that do not come from `tracing`.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Wakes [`keep`]: lines wait to be written, or suppressed lines to be reported.
static UNFINISHED: Notify = Notify::const_new();

/// Starts the log, and reports panics through it. A second start (in a test) changes nothing.
pub fn start(config: &Config) {
    let is_json = config.log_format == LogFormat::Json;
    let lines = Lines { is_json, is_painted: !is_json && io::stderr().is_terminal() };
    let builder = tracing_subscriber::fmt()
        .with_max_level(config.log_level)
        .with_target(false)
        .with_timer(Clock)
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(lines);
    let started = if is_json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
    if started.is_ok() {
        IS_JSON.store(is_json, Relaxed);
        unblock_stderr();
        std::panic::set_hook(Box::new(report_panic));
    }
}

/// Reopens standard error without blocking mode, so that no write of any part of the process to it
/// blocks. Setting `O_NONBLOCK` on the inherited file description would affect other processes,
/// such as the shell of the same terminal. Sockets cannot be reopened, and a reopened regular file
/// would lose its offset; for these, only the log's own writes are guarded (`sink.rs`).
fn unblock_stderr() {
    let is_shared = rustix::fs::fstat(stderr()).is_ok_and(|data| {
        matches!(FileType::from_raw_mode(data.st_mode), FileType::Fifo | FileType::CharacterDevice)
    });
    if is_shared {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // This fails if the pipe has no reader or belongs to another user. Standard error then
        // stays as it is.
        let _ = rustix::fs::open("/proc/self/fd/2", flags, Mode::empty()).and_then(dup2_stderr);
    }
}

/// Replaces the hook of std, whose writes to standard error may block.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture(); // if RUST_BACKTRACE requests it
    match backtrace.status() {
        BacktraceStatus::Captured => {
            tracing::error!(%backtrace, "thread `{thread}` panicked at {place}: {message}");
        }
        _ => tracing::error!("thread `{thread}` panicked at {place}: {message}"),
    }
}

/// Writes text to standard error with control characters escaped, also before the log was started.
/// If standard error is blocked, the end of the text is lost after a short wait.
pub fn print(text: &str) {
    push(escape::lines(text.trim_end_matches('\n')).into_owned());
    finish();
}

/// Returns the number of lines dropped since the start.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Relaxed)
}

/// Retries blocked writes and reports suppressed lines, as long as the program runs.
pub async fn keep() {
    loop {
        UNFINISHED.notified().await;
        while !is_finished() {
            tokio::time::sleep(Duration::from_millis(LOG_RETRY_MILLISECONDS)).await;
        }
    }
}

/// Tries once, and returns true if nothing is left to do.
fn is_finished() -> bool {
    let is_reported = limit::report_due();
    lock().write().is_ok() && is_reported
}

/// Writes the remaining lines before the program exits, as far as standard error accepts them
/// within a short time.
pub fn finish() {
    limit::report_all();
    let end = Instant::now() + Duration::from_millis(LOG_END_MILLISECONDS_MAX);
    loop {
        let written = lock().write();
        let left = end.saturating_duration_since(Instant::now());
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !left.is_zero() => {
                let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
                // The next attempt reports an error.
                let _ = poll(&mut [PollFd::from_borrowed_fd(stderr(), PollFlags::OUT)], Some(&left));
            }
            _ => return,
        }
    }
}

fn lock() -> MutexGuard<'static, Sink<BorrowedFd<'static>>> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes one line (or several), without the last line feed.
fn push(mut line: String) {
    if line.len() > LOG_LINE_BYTES_MAX {
        line.truncate(line.floor_char_boundary(LOG_LINE_BYTES_MAX));
    }
    line.push('\n');
    if lock().push(line.as_bytes()).is_err() {
        UNFINISHED.notify_one();
    }
}

/// Returns the line that reports dropped lines, in the log's format. The line does not come from
/// `tracing`, because the sink is locked.
fn note_of_dropped(lines: u64) -> String {
    let message = "log lines were dropped because standard error was blocked";
    let now = now();
    match IS_JSON.load(Relaxed) {
        true => format!(
            "{{\"timestamp\":\"{now}\",\"level\":\"WARN\",\"message\":\"{message}\",\"lines\":{lines}}}\n"
        ),
        false => format!("{now}  WARN {message} lines={lines}\n"),
    }
}

/// Returns the current time in the format of a log line.
fn now() -> String {
    format!("{:.6}", Timestamp::from_nanosecond(time::now().into()).unwrap_or_default())
}

/// The clock of `tracing`'s lines.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&now())
    }
}

/// Makes a writer for each line.
struct Lines {
    is_json: bool,
    /// Whether lines are coloured, for a terminal.
    is_painted: bool,
}

/// Writes one line, which `tracing` passes as a whole.
struct Line {
    is_json: bool,
    /// Present if the line is to be coloured.
    level: Option<Level>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { is_json: self.is_json, level: None }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        Line { is_json: self.is_json, level: self.is_painted.then(|| *metadata.level()) }
    }
}

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        push(self.show(text.strip_suffix('\n').unwrap_or(&text)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Line {
    fn show(&self, line: &str) -> String {
        let line = if self.is_json { escape_json(line) } else { escape::one_line(line) };
        match self.level {
            Some(level) => paint(&line, level),
            None => line.into_owned(),
        }
    }
}

/// Escapes a line of JSON. A line that is too long is replaced, because cutting it would not leave
/// valid JSON.
fn escape_json(line: &str) -> Cow<'_, str> {
    let line = escape::json(line);
    if line.len() <= LOG_LINE_BYTES_MAX {
        return line;
    }
    let start = &line[..line.floor_char_boundary(LOG_LINE_BYTES_MAX / 2)];
    let message = "a log line was too long";
    let line = serde_json::json!({ "timestamp": now(), "level": "WARN", "message": message, "start": start });
    Cow::Owned(line.to_string())
}

/// Colours the level and dims the time.
fn paint(line: &str, level: Level) -> String {
    let colour = match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    };
    let word = level.as_str();
    match line.split_once(word) {
        Some((time, rest)) => format!("\x1b[2m{time}\x1b[0m\x1b[{colour}m{word}\x1b[0m{rest}"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_escapes_control_characters() {
        let evil = "2026  INFO ready data_dir=/tmp/\x1b[31m\u{9b}\u{202e}\x7f\r\n";
        let text = Line { is_json: false, level: None };
        assert_eq!(text.show(evil), "2026  INFO ready data_dir=/tmp/\\x1b[31m\\x9b\\u{202e}\\x7f\\r\\n");
        let json = Line { is_json: true, level: None };
        assert_eq!(json.show("{\"a\":\"\u{9b}\u{202e}\x7f\"}"), "{\"a\":\"\\u009b\\u202e\\u007f\"}");
        let painted = Line { is_json: false, level: Some(Level::INFO) };
        let shown = painted.show(evil);
        assert!(shown.starts_with("\x1b[2m2026  \x1b[0m\x1b[32mINFO\x1b[0m ready"), "{shown:?}");
        assert_eq!(shown.matches('\x1b').count(), 4);
    }

    #[test]
    fn overlong_line_stays_json() {
        let line = format!("{{\"message\":\"{}\"}}", "\u{e4}".repeat(LOG_LINE_BYTES_MAX));
        let shown = Line { is_json: true, level: None }.show(&line);
        assert!(shown.len() <= LOG_LINE_BYTES_MAX, "{}", shown.len());
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert!(shown["start"].as_str().unwrap().starts_with("{\"message\":\"\u{e4}"));
    }
}
