//! What is sent. All payloads are made before a clock starts, and written from these shared
//! buffers.

use std::fmt::Write;
use std::process::Command;

use crate::data_sets::{DataSet, level};
use crate::event::{Event, TimeFormat};

/// Requests, or runs of frames, with equal numbers of records.
pub struct Payloads {
    /// The bytes of each payload.
    pub bytes: Vec<Vec<u8>>,
    /// Number of records in each payload.
    pub records: u64,
    /// Whether the server responds to each payload.
    pub are_answered: bool,
    /// Whether a response reports how many records were accepted; if not, its status applies to
    /// all.
    pub are_counted: bool,
    /// The payload at `i` has `i + 1` records instead: all records that are due when a connection
    /// is free are sent together.
    pub gather: bool,
}

/// Number of different events in payloads that are not of a data set.
const EVENTS: usize = 100_000;

/// Maximum size of the payloads of a data set, all of whose events differ.
const BYTES_MAX: u64 = 2 << 30;

/// Number of CPython's frames in one set, and in one write.
const FRAMES: usize = 40_000;
const FRAMES_PER_WRITE: usize = 100;

/// Number of events in a POST of a data set.
const EVENTS_PER_POST: u64 = 1000;

impl Payloads {
    /// Returns POSTs of this many plain events each.
    pub fn requests(events: usize) -> Payloads {
        Payloads::sized(events, 0)
    }

    /// Returns POSTs of this many events each, of at least this many bytes each, newline included.
    pub fn sized(events: usize, bytes: usize) -> Payloads {
        let total = (EVENTS / events).clamp(10, 10_000).min((64 << 20) / (events * bytes.max(400)) + 4);
        let request = |number: usize| {
            let events = number * events..(number + 1) * events;
            let body: String = events.map(|event| sized_line(event as u64, bytes)).collect();
            post(&body)
        };
        Payloads::answered((0..total).map(request).collect(), events as u64)
    }

    /// Returns POSTs of 1,000 events of a data set each: `records` of them, all different, or those
    /// that fit into memory.
    pub fn of_set(set: DataSet, records: u64) -> Payloads {
        Payloads::of_events(POST, Payloads::fitting(set, records), |number| set.event(number))
    }

    /// Returns POSTs of 1,000 events each, with the head of any request.
    pub fn of_events(head: &str, records: u64, event: impl Fn(u64) -> Event) -> Payloads {
        let mut body = String::new();
        let mut post = |first: u64| {
            body.clear();
            (first..first + EVENTS_PER_POST).for_each(|number| event(number).write(&mut body));
            request(head, &body)
        };
        let bytes = (0..records).step_by(EVENTS_PER_POST as usize).map(&mut post).collect();
        Payloads::answered(bytes, EVENTS_PER_POST)
    }

    /// Returns this number of records, or as many thousands of them as fit into 2 GiB.
    pub fn fitting(set: DataSet, records: u64) -> u64 {
        const SAMPLE: u64 = 2000;
        let bytes: usize = (0..SAMPLE).map(|number| set.event(number).to_line().len()).sum();
        let fitting = BYTES_MAX * SAMPLE / bytes as u64;
        records.min(fitting - fitting % EVENTS_PER_POST)
    }

    /// Returns payloads whose responses report the number of records.
    pub fn answered(bytes: Vec<Vec<u8>>, records: u64) -> Payloads {
        Payloads { bytes, records, are_answered: true, are_counted: true, gather: false }
    }

    /// Returns POSTs of one event, of two events, and so on.
    pub fn gathering() -> Payloads {
        const EVENTS_MAX: u64 = 64;
        let request = |events: u64| {
            let body: String = (0..events).map(|event| DataSet::Plain.event(event).to_line()).collect();
            post(&body)
        };
        Payloads { gather: true, ..Payloads::answered((1..=EVENTS_MAX).map(request).collect(), 1) }
    }

    /// Returns the frames of plain records.
    pub fn frames() -> Payloads {
        Payloads::frames_of_set(DataSet::Plain)
    }

    /// Returns frames as `SocketHandler` makes them, made by the CPython of this machine.
    pub fn frames_of_set(set: DataSet) -> Payloads {
        const SCRIPT: &str = include_str!("frames.py");
        let output = Command::new("python3").args(["-c", SCRIPT, set.name(), &FRAMES.to_string()]).output();
        let output = output.expect("python3 makes the frames, and must be installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let bytes = cut(&output.stdout);
        Payloads { are_answered: false, ..Payloads::answered(bytes, FRAMES_PER_WRITE as u64) }
    }

    /// Returns syslog messages (RFC 5424, octet counting) with the same fields as structured data,
    /// 100 per write.
    pub fn syslog() -> Payloads {
        const MESSAGES_PER_WRITE: usize = 100;
        let write = |number: usize| {
            let messages = number * MESSAGES_PER_WRITE..(number + 1) * MESSAGES_PER_WRITE;
            messages.map(syslog_message).collect::<String>().into_bytes()
        };
        let bytes = (0..EVENTS / MESSAGES_PER_WRITE).map(write).collect();
        Payloads { are_answered: false, ..Payloads::answered(bytes, MESSAGES_PER_WRITE as u64) }
    }

    /// Returns the number of all records.
    pub fn total(&self) -> u64 {
        self.bytes.len() as u64 * self.records
    }

    /// Returns the mean size of a record, with its share of the bytes around it.
    pub fn record_bytes(&self) -> f64 {
        let bytes: usize = self.bytes.iter().map(Vec::len).sum();
        bytes as f64 / self.total() as f64
    }
}

/// The head of a POST to logboom, without the length of its body.
pub const POST: &str =
    "POST /api/v1/records HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n";

/// Returns a POST of these lines to logboom.
pub fn post(body: &str) -> Vec<u8> {
    request(POST, body)
}

fn request(head: &str, body: &str) -> Vec<u8> {
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Returns a plain event of this many bytes, without attributes or with a longer message; or an
/// unchanged one for 0 bytes.
fn sized_line(number: u64, bytes: usize) -> String {
    const SMALLEST_WITH_ATTRIBUTES: usize = 340;
    let mut event = DataSet::Plain.event(number);
    if bytes == 0 {
        return event.to_line();
    }
    if bytes < SMALLEST_WITH_ATTRIBUTES {
        let Event { level, service, message, .. } = event;
        event = Event { level, service, message, time_format: TimeFormat::Absent, ..Event::default() };
    }
    // The words differ from event to event, so that nothing compresses better than text does.
    let length = (event.message.len() + bytes).saturating_sub(event.to_line().len());
    let mut word = scramble(number);
    while event.message.len() < length {
        word = scramble(word);
        let _ = write!(event.message, " value={:06}", word % 1_000_000);
    }
    event.message.truncate(length);
    event.to_line()
}

fn syslog_message(n: usize) -> String {
    let random = scramble(n as u64);
    let severity = match level(random % 100) {
        "DEBUG" => 7,
        "INFO" => 6,
        "WARN" => 4,
        "ERROR" => 3,
        _ => 2,
    };
    let message = format!(
        "<{}>1 2026-11-21T10:{:02}:{:02}.{:06}Z localhost service-{:02} {} - [log@32473 logger=\"app.module{:03}\" trace_id=\"{random:016x}{:016x}\" file=\"/srv/app/module{:03}.py\" line=\"{}\" thread=\"MainThread\"] [{:06}] log message {n:08} for user {}",
        8 + severity,
        n / 60_000 % 60,
        n / 1000 % 60,
        n % 1_000_000,
        n % 20,
        1000 + n % 20,
        n % 100,
        scramble(random),
        n % 100,
        n % 100 * 7 + 1,
        n % 1_000_000,
        random % 500_000,
    );
    format!("{} {message}", message.len())
}

/// Returns a different number for each number (splitmix64).
pub fn scramble(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Cuts a stream of frames into the pieces that are written at once.
fn cut(mut frames: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut count = 0;
    while let Some((prefix, _)) = frames.split_first_chunk::<4>() {
        if count % FRAMES_PER_WRITE == 0 {
            pieces.push(Vec::new());
        }
        let (frame, rest) = frames.split_at(4 + u32::from_be_bytes(*prefix) as usize);
        pieces.last_mut().expect("one was just begun").extend_from_slice(frame);
        (frames, count) = (rest, count + 1);
    }
    assert_eq!(count, FRAMES, "the frames of {FRAMES} records");
    pieces
}
