//! The program's own log, on standard error.
//!
//! Nobody may read standard error, and it may not take anything (a full pipe, a full disk, a closed pipe, a stopped
//! terminal). Neither holds up or ends the server: lines go through a bounded buffer (`sink.rs`) that is written without
//! blocking by the thread that logs; what the buffer has no room for is counted, and said once it has room again. There is
//! no thread for it, so that `threads = 1` stays one thread; [`keep`] is a task that tries again.
//!
//! Every line is escaped as a whole just before it is written: no text of a client, a database or the configuration
//! reaches a terminal as a control character, whatever the line is made of.
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
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::config::{Config, LogFormat, LogLevel};
use crate::escape;
use crate::limits::{LOG_END_MILLISECONDS_MAX, LOG_LINE_BYTES_MAX, LOG_RETRY_MILLISECONDS};
use crate::record::time;
pub use limit::{Kind, admits};
use sink::Sink;

static SINK: Mutex<Sink<BorrowedFd<'static>>> = Mutex::new(Sink::new(stderr()));

/// Lines that were left out since the start.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Whether lines are JSON, for those that do not come from `tracing`.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Wakes [`keep`].
static UNFINISHED: Notify = Notify::const_new();

/// Starts it, and reports panics through it. A second start (in a test) changes nothing.
pub fn start(config: &Config) {
    let level = match config.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let is_json = config.log_format == LogFormat::Json;
    let lines = Lines { is_json, is_painted: !is_json && io::stderr().is_terminal() };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
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

/// Opens standard error anew for this process, so that no write to it blocks, of whatever part of the program or of a
/// library. (`O_NONBLOCK` belongs to the open file, which a terminal or a pipe shares with other processes.) A socket cannot
/// be opened anew, and a regular file does not block and would lose its place: both stay as they are.
fn unblock_stderr() {
    let is_shared = rustix::fs::fstat(stderr()).is_ok_and(|data| {
        matches!(FileType::from_raw_mode(data.st_mode), FileType::Fifo | FileType::CharacterDevice)
    });
    if is_shared {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // It may belong to another user, or have no reader: then it stays as it is.
        let _ = rustix::fs::open("/proc/self/fd/2", flags, Mode::empty()).and_then(dup2_stderr);
    }
}

/// Replaces the hook of std, which writes to standard error itself and would wait there.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture(); // if RUST_BACKTRACE asks for it
    match backtrace.status() {
        BacktraceStatus::Captured => {
            tracing::error!(%backtrace, "thread `{thread}` panicked at {place}: {message}");
        }
        _ => tracing::error!("thread `{thread}` panicked at {place}: {message}"),
    }
}

/// Writes text to standard error as it is, though without control characters; also before the log was started. The end of
/// the text may be left out where standard error takes nothing.
pub fn print(text: &str) {
    push(escape::lines(text.trim_end_matches('\n')).into_owned());
    finish();
}

/// Lines that were left out since the start.
pub fn lost_lines() -> u64 {
    LOST.load(Relaxed)
}

/// Writes what standard error did not take at first, and says how many lines of each kind were left out, for as long as
/// the program runs.
pub async fn keep() {
    loop {
        UNFINISHED.notified().await;
        while !is_finished() {
            tokio::time::sleep(Duration::from_millis(LOG_RETRY_MILLISECONDS)).await;
        }
    }
}

/// One try. Whether nothing is left to do.
fn is_finished() -> bool {
    let is_told = limit::tell_when_due();
    lock().write().is_ok() && is_told
}

/// Writes what is left at the end of the program, as far as standard error takes it within a short time.
pub fn finish() {
    limit::tell_now();
    let end = Instant::now() + Duration::from_millis(LOG_END_MILLISECONDS_MAX);
    loop {
        let written = lock().write();
        let left = end.saturating_duration_since(Instant::now());
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !left.is_zero() => {
                let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
                // An error comes up at the next try.
                let _ = poll(&mut [PollFd::from_borrowed_fd(stderr(), PollFlags::OUT)], Some(&left));
            }
            _ => return,
        }
    }
}

fn lock() -> MutexGuard<'static, Sink<BorrowedFd<'static>>> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes one line (or several), without the last line feed.
fn push(mut line: String) {
    if line.len() > LOG_LINE_BYTES_MAX {
        line.truncate(line.floor_char_boundary(LOG_LINE_BYTES_MAX));
    }
    line.push('\n');
    if lock().push(line.as_bytes()).is_err() {
        UNFINISHED.notify_one();
    }
}

/// Says that lines were left out, in the form of the log. Not by `tracing`, for the sink is locked.
fn note_of_lost(lines: u64) -> String {
    let message = "log lines were left out: standard error took nothing";
    let now = now();
    match IS_JSON.load(Relaxed) {
        true => format!(
            "{{\"timestamp\":\"{now}\",\"level\":\"WARN\",\"message\":\"{message}\",\"lines\":{lines}}}\n"
        ),
        false => format!("{now}  WARN {message} lines={lines}\n"),
    }
}

/// This moment for a line.
fn now() -> String {
    format!("{:.6}", Timestamp::from_nanosecond(time::now().into()).unwrap_or_default())
}

/// The time of a line, within what the calendar has.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&now())
    }
}

/// Makes a writer for each line.
struct Lines {
    is_json: bool,
    /// A terminal shows it in colour.
    is_painted: bool,
}

/// Takes a whole line at once, as `tracing` hands it over.
struct Line {
    is_json: bool,
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

/// A line that is too long would not be JSON any more once it is cut.
fn escape_json(line: &str) -> Cow<'_, str> {
    let line = escape::json(line);
    if line.len() <= LOG_LINE_BYTES_MAX {
        return line;
    }
    let start = &line[..line.floor_char_boundary(LOG_LINE_BYTES_MAX / 2)];
    let message = serde_json::json!({ "timestamp": now(), "level": "WARN", "message": "a log line was too long", "start": start });
    Cow::Owned(message.to_string())
}

/// Colours the level, and makes the time faint.
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
    fn a_line_shows_control_characters_and_sends_none() {
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
    fn a_line_that_is_too_long_stays_json() {
        let line = format!("{{\"message\":\"{}\"}}", "\u{e4}".repeat(LOG_LINE_BYTES_MAX));
        let shown = Line { is_json: true, level: None }.show(&line);
        assert!(shown.len() <= LOG_LINE_BYTES_MAX, "{}", shown.len());
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert!(shown["start"].as_str().unwrap().starts_with("{\"message\":\"\u{e4}"));
    }
}
