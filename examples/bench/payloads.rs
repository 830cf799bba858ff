//! What is sent. All payloads are made before a clock starts, and written from these shared
//! buffers.

use std::fmt::Write;
use std::process::Command;

/// Requests, or runs of frames, with equal numbers of records.
pub struct Payloads {
    /// The bytes of each payload.
    pub bytes: Vec<Vec<u8>>,
    /// Number of records in each payload.
    pub records: u64,
    /// Whether the server responds to each payload.
    pub are_answered: bool,
    /// The payload at `i` has `i + 1` records instead: all records that are due when a connection
    /// is free are sent together.
    pub gather: bool,
}

/// Number of different events in one set of payloads.
const EVENTS: usize = 100_000;

/// Number of CPython's frames in one set, and in one write.
const FRAMES: usize = 20_000;
const FRAMES_PER_WRITE: usize = 100;

impl Payloads {
    /// Returns POSTs of this many events each.
    pub fn requests(events: usize) -> Payloads {
        Payloads::sized(events, 0)
    }

    /// Returns POSTs of this many events each, of at least this many bytes each, newline included.
    pub fn sized(events: usize, bytes: usize) -> Payloads {
        let total = (EVENTS / events).clamp(10, 10_000).min((64 << 20) / (events * bytes.max(400)) + 4);
        let request = |number: usize| {
            let body: String = (0..events).map(|event| event_line(number * events + event, bytes)).collect();
            post(&body)
        };
        let bytes = (0..total).map(request).collect();
        Payloads { bytes, records: events as u64, are_answered: true, gather: false }
    }

    /// Returns POSTs of one event, of two events, and so on.
    pub fn gathering() -> Payloads {
        const EVENTS_MAX: usize = 64;
        let request =
            |events: usize| post(&(0..events).map(|event| event_line(event, 0)).collect::<String>());
        Payloads {
            bytes: (1..=EVENTS_MAX).map(request).collect(),
            records: 1,
            are_answered: true,
            gather: true,
        }
    }

    /// Returns frames as `SocketHandler` makes them, made by the CPython of this machine.
    pub fn frames() -> Payloads {
        let output = Command::new("python3").args(["-c", MAKE_FRAMES, &FRAMES.to_string()]).output();
        let output = output.expect("python3 makes the frames, and must be installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let bytes = cut(&output.stdout);
        Payloads { bytes, records: FRAMES_PER_WRITE as u64, are_answered: false, gather: false }
    }

    /// Returns syslog messages (RFC 5424, octet counting) with the same fields as structured data,
    /// 100 per write.
    pub fn syslog() -> Payloads {
        const MESSAGES_PER_WRITE: usize = 100;
        let write = |number: usize| {
            let messages = number * MESSAGES_PER_WRITE..(number + 1) * MESSAGES_PER_WRITE;
            messages.map(syslog_message).collect::<String>().into_bytes()
        };
        Payloads {
            bytes: (0..EVENTS / MESSAGES_PER_WRITE).map(write).collect(),
            records: MESSAGES_PER_WRITE as u64,
            are_answered: false,
            gather: false,
        }
    }

    /// Returns the mean size of a record, with its share of the bytes around it.
    pub fn record_bytes(&self) -> f64 {
        let bytes: usize = self.bytes.iter().map(Vec::len).sum();
        bytes as f64 / (self.bytes.len() as u64 * self.records) as f64
    }
}

/// Returns a POST of these lines.
pub fn post(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /api/v1/records HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Returns an event of about 340 bytes. If another size is requested, the event has that size:
/// without attributes or with a longer message.
fn event_line(n: usize, bytes: usize) -> String {
    const SMALLEST_WITH_ATTRIBUTES: usize = 340;
    let random = scramble(n as u64);
    let mut line = format!(
        "{{\"level\":\"{}\",\"service\":\"service-{:02}\",\"message\":\"[{:06}] log message {n:08} for user {}",
        level(random % 100),
        n % 20,
        n % 1_000_000,
        random % 500_000,
    );
    let mut rest = "\"}\n".to_owned();
    if bytes == 0 || bytes >= SMALLEST_WITH_ATTRIBUTES {
        rest = format!(
            "\",\"timestamp\":\"2026-11-21T10:{:02}:{:02}.{:06}Z\",\"logger\":\"app.module{:03}\",\"trace_id\":\"{random:016x}{:016x}\",\"attributes\":{{\"code.file.path\":\"/srv/app/module{:03}.py\",\"code.line.number\":{},\"process.pid\":{},\"thread.name\":\"MainThread\"}}}}\n",
            n / 60_000 % 60,
            n / 1000 % 60,
            n % 1_000_000,
            n % 100,
            scramble(random),
            n % 100,
            n % 100 * 7 + 1,
            1000 + n % 20,
        );
    }
    // The words differ from event to event, so that nothing compresses better than text does.
    let end = bytes.saturating_sub(rest.len());
    let mut word = random;
    while line.len() < end {
        word = scramble(word);
        let _ = write!(line, " value={:06}", word % 1_000_000);
    }
    if bytes > 0 {
        line.truncate(end);
    }
    line + &rest
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

/// Returns a level: 20 % DEBUG, 60 % INFO, 12 % WARN, 7 % ERROR, 1 % FATAL.
fn level(percent: u64) -> &'static str {
    match percent {
        0..20 => "DEBUG",
        20..80 => "INFO",
        80..92 => "WARN",
        92..99 => "ERROR",
        _ => "FATAL",
    }
}

/// Returns a different number for each number (splitmix64).
pub fn scramble(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Writes one frame per record.
const MAKE_FRAMES: &str = r#"
import logging, logging.handlers, random, sys
random.seed(1)
handler = logging.handlers.SocketHandler("localhost", 1)
levels = random.choices([10, 20, 30, 40, 50], [20, 60, 12, 7, 1], k=int(sys.argv[1]))
for n, level in enumerate(levels):
    record = logging.LogRecord("app.module%03d" % (n % 100), level, "/srv/app/module%03d.py" % (n % 100), n % 100 * 7 + 1,
        "[%06d] log message %08d for user %d", (n, n, random.randrange(500000)), None, "handle_request")
    record.service, record.trace_id = "service-%02d" % (n % 20), "%032x" % random.getrandbits(128)
    record.region = "eu-central-1"
    sys.stdout.buffer.write(handler.makePickle(record))
"#;

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
