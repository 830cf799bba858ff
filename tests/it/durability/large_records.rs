//! Property: every record is accounted for, byte for byte, including thousands of large records and
//! the texts that are hardest to preserve.
//!
//! `LARGE_RECORDS` is the number of records, of `LARGE_RECORD_BYTES` each. They are sent in
//! rounds: each round is audited in the database and in the log file before the next. Both may
//! therefore delete what is already audited, and a million records of 64 KiB take no more disk
//! space than some thousand. Deleted records are accounted for by their ids, which have no gap, and
//! by the counters.

#![allow(clippy::print_stdout, reason = "the figures are what a long run is made for")]

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rusqlite::OpenFlags;
use serde_json::json;
use tempfile::TempDir;
use test_support::audit::log_files;
use test_support::load::Connection;
use test_support::random::variable;
use test_support::{Server, Setup};

const RECORDS: u64 = 400;
const RECORD_BYTES: u64 = 64 << 10;
/// Bytes that are sent before each audit. Retention and rotation keep this many bytes, and more.
const ROUND_BYTES: u64 = 128 << 20;
/// The documented limit of the texts of a record.
const TEXTS_MAX: usize = 1 << 20;
/// The documented limit of a JSON value.
const JSON_MAX: usize = 1 << 20;
/// The documented limit of a frame.
const FRAME_MAX: usize = 4 << 20;
/// Documented: the rows that retention deletes at once.
const BLOCK_ROWS: u64 = 4096;
const CUT_MARK: &str = " [cut by logboom]";

/// A `SocketHandler` that waits until the system has accepted a record: the standard one discards a
/// record after a second, which may be too short for the largest. Its standard input accepts a key,
/// a length and a text, whose lone surrogates are encoded as other characters are; or the length of
/// a frame to send.
struct Python {
    child: Child,
    sent: u64,
}

const PYTHON: &str = r#"
import logging, logging.handlers, sys
host, port = sys.argv[1].rsplit(":", 1)
class Handler(logging.handlers.SocketHandler):
    def makeSocket(self, timeout=1):
        sock = super().makeSocket(timeout)
        sock.settimeout(None)
        return sock
handler = Handler(host, int(port))
log = logging.getLogger("accounted")
log.setLevel(logging.INFO)
log.addHandler(handler)
def frame(key, length):
    record = log.makeRecord("accounted", logging.INFO, "f.py", 1, "x" * (length // 2), None, None, extra={"trace_id": key})
    record.msg += "x" * (length + 4 - len(handler.makePickle(record)))
    pickled = handler.makePickle(record)
    assert len(pickled) == length + 4
    handler.send(pickled)
def text(key, length):
    log.info(sys.stdin.buffer.read(length).decode("utf-8", "surrogatepass"), extra={"trace_id": key})
while line := sys.stdin.buffer.readline():
    what, key, length = line.decode().split()
    {"frame": frame, "text": text}[what](key, int(length))
handler.close()
"#;

impl Python {
    fn start(server: &Server) -> Python {
        let mut command = Command::new("python3");
        command.args(["-c", PYTHON, &server.address("python")]).stdin(Stdio::piped());
        Python { child: command.spawn().unwrap(), sent: 0 }
    }

    fn log(&mut self, key: &str, text: &[u8]) {
        self.tell(&format!("text {key} {}\n", text.len()), text);
    }

    fn log_frame(&mut self, key: &str, length: usize) {
        self.tell(&format!("frame {key} {length}\n"), b"");
    }

    fn tell(&mut self, head: &str, text: &[u8]) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin
            .write_all(head.as_bytes())
            .and_then(|()| stdin.write_all(text))
            .and_then(|()| stdin.flush())
            .unwrap();
        self.sent += 1;
    }

    fn finish(&mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// What is expected of a record that was sent.
enum Expected {
    /// Its message is this text.
    Message(String),
    /// A record of the bulk load: its text is derived from its number.
    Bulk(u64),
    /// It was cut to the maximum length of a record.
    Cut,
}

/// Returns a text of this many bytes that no other record has.
fn bulk(number: u64, bytes: u64) -> String {
    let mut text = format!("{number} ");
    let alphabet = "abcdefghijklmnopqrstuvwxyz 0123456789 äöü€😀 ";
    let start = alphabet.char_indices().nth(number as usize % 26).unwrap().0;
    text.push_str(&alphabet[start..]);
    while text.len() + alphabet.len() <= bytes as usize {
        text.push_str(alphabet);
    }
    let missing = (bytes as usize).saturating_sub(text.len());
    text.push_str(&"x".repeat(missing));
    text
}

/// Returns texts that must be stored unchanged, whatever they contain.
fn texts() -> Vec<String> {
    let plane = |plane: u32| (plane << 16..(plane + 1) << 16).filter_map(char::from_u32).collect::<String>();
    let mut texts: Vec<String> = (0..17).map(plane).collect();
    assert_eq!(texts.iter().map(|text| text.chars().count()).sum::<usize>(), 0x11_0000 - 0x800);
    texts.extend(
        [
            "",
            " ",
            "\0",
            "a\0b\0",
            "\u{fffd}",
            "\u{feff}begins with a byte order mark",
            "\u{fdd0}\u{fffe}\u{ffff}\u{10ffff}",
            "e\u{301}\u{323}\u{302} Z\u{351}\u{36b}\u{343}a\u{358}lgo",
            "\u{202e}right to left\u{202c} \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{645}\u{631}\u{62d}\u{628}\u{627}",
            "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪",
            "two\nlines\r\nand\ttabs\u{b}\u{c}\u{1b}[31mred\u{7f}\u{85}\u{2028}\u{2029}",
            "%s %d %(name)s {} {0} \\n \\u0000 \"quoted\" 'too' </script>",
        ]
        .map(str::to_owned),
    );
    texts
}

/// The records that were sent and not yet found, and the records that were already audited in both
/// stores.
struct Accounts {
    database: PathBuf,
    log_file: PathBuf,
    record_bytes: u64,
    outstanding: HashMap<String, Expected>,
    /// For every record so far, in the order of their ids: the bytes of its line.
    line_bytes: Vec<u32>,
    dead_letters: u64,
}

impl Accounts {
    fn expect(&mut self, key: &str, expected: Expected) {
        assert!(self.outstanding.insert(key.to_owned(), expected).is_none());
    }

    /// Checks that everything that was sent is in both stores, exactly once and unchanged.
    fn audit(&mut self) {
        let lines = self.audit_database();
        let missing: Vec<_> = self.outstanding.keys().take(10).collect();
        assert!(missing.is_empty(), "{} are missing: {missing:?}", self.outstanding.len());
        self.audit_log_files(&lines);
    }

    /// Returns the lines that the log file must have for the new records.
    fn audit_database(&mut self) -> Vec<String> {
        let database =
            rusqlite::Connection::open_with_flags(&self.database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut select = database
            .prepare("SELECT id, coalesce(trace_id, ''), coalesce(message, ''), event_name FROM logs WHERE id > ? ORDER BY id")
            .unwrap();
        let mut rows = select.query([self.line_bytes.len() as i64]).unwrap();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let id = row.get::<_, i64>(0).unwrap();
            assert_eq!(id as usize, self.line_bytes.len() + lines.len() + 1, "ids have gaps");
            let (key, message): (String, String) = (row.get(1).unwrap(), row.get(2).unwrap());
            if row.get::<_, Option<String>>(3).unwrap().as_deref() == Some("logboom.dead_letter") {
                self.dead_letters += 1;
            } else {
                self.check(&key, &message);
            }
            lines.push(format!("{id} {key} {message}\n"));
        }
        lines
    }

    fn check(&mut self, key: &str, message: &str) {
        let expected = self.outstanding.remove(key);
        let is_as_expected =
            match expected.unwrap_or_else(|| panic!("{key:?} is there twice, or was not sent")) {
                Expected::Message(expected) => message == expected,
                Expected::Bulk(number) => message == bulk(number, self.record_bytes),
                Expected::Cut => {
                    let kept = message.strip_suffix(CUT_MARK).unwrap();
                    kept.bytes().all(|byte| byte == b'x')
                        && (TEXTS_MAX - 1000..TEXTS_MAX).contains(&message.len())
                }
            };
        let beginning: String = message.chars().take(100).collect();
        assert!(is_as_expected, "{key} is {} bytes: {beginning:?}", message.len());
    }

    /// Checks the log files. Older files may be deleted, but nothing that is not audited yet.
    fn audit_log_files(&mut self, lines: &[String]) {
        let known = self.line_bytes.len();
        self.line_bytes.extend(lines.iter().map(|line| line.len() as u32));
        let mut next_id = None;
        for file in log_files(&self.log_file) {
            let content = std::fs::read(&file).unwrap();
            let mut rest = &content[..];
            while !rest.is_empty() {
                let id = next_id.unwrap_or_else(|| first_number(rest));
                assert!(next_id.is_some() || id <= known + 1, "lines before {id} are gone");
                let (line, behind) = rest.split_at(self.line_bytes[id - 1] as usize);
                match id.checked_sub(known + 1) {
                    Some(index) => assert!(line == lines[index].as_bytes(), "line {id} differs"),
                    None => assert!(line.starts_with(format!("{id} ").as_bytes()) && line.ends_with(b"\n")),
                }
                (rest, next_id) = (behind, Some(id + 1));
            }
        }
        assert_eq!(next_id, Some(self.line_bytes.len() + 1), "lines are missing");
    }

    /// Returns the bytes of the other texts of a record that is not cut.
    fn others(&self, key: &str) -> usize {
        let database =
            rusqlite::Connection::open_with_flags(&self.database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let texts = ["trace_id", "span_id", "event_name", "attributes", "severity", "service"]
            .into_iter()
            .chain(["logger", "host", "file", "function", "thread"])
            .map(|text| format!("coalesce(octet_length({text}), 0)"));
        let sum = texts.collect::<Vec<_>>().join(" + ");
        let sql = format!("SELECT {sum} FROM logs WHERE trace_id = ?");
        database.query_row(&sql, [key], |row| row.get::<_, i64>(0)).unwrap() as usize
    }
}

fn first_number(line: &[u8]) -> usize {
    let digits: Vec<u8> = line.iter().copied().take_while(u8::is_ascii_digit).collect();
    String::from_utf8(digits).unwrap().parse().unwrap()
}

fn as_json(key: &str, message: &str) -> String {
    json!({"trace_id": key, "message": message}).to_string()
}

/// One server, a client of each kind, and the expected records.
struct Case {
    server: Server,
    http: Connection,
    http_sent: u64,
    python: Python,
    accounts: Accounts,
}

impl Case {
    fn begin(folder: &Path, record_bytes: u64) -> Case {
        let data = folder.join("data");
        let log_file = folder.join("out/all.log");
        let setup = Setup::new()
            .argument(format!("--log-file={}", log_file.display()))
            .argument("--line-format=%(id)s %(trace_id)s %(message)s")
            .argument(format!("--rotate-bytes={}", ROUND_BYTES / 2))
            .argument("--rotate-keep=5")
            .argument(format!("--retention-bytes={}", (2 * BLOCK_ROWS * record_bytes).max(2 * ROUND_BYTES)));
        let server = setup.start(&data);
        Case {
            http: Connection::open(&server.address("http")).unwrap(),
            http_sent: 0,
            python: Python::start(&server),
            accounts: Accounts {
                database: data.join("logboom.db"),
                log_file,
                record_bytes,
                outstanding: HashMap::new(),
                line_bytes: Vec::new(),
                dead_letters: 0,
            },
            server,
        }
    }

    fn log(&mut self, key: &str, text: &str) {
        self.accounts.expect(key, Expected::Message(text.to_owned()));
        self.python.log(key, text.as_bytes());
    }

    fn post(&mut self, key: &str, json: &str, expected: Expected) {
        self.accounts.expect(key, expected);
        let (status, _, answer) = self.http.post(json).unwrap();
        assert_eq!((status, &answer[..]), (200, r#"{"accepted":1,"rejected":0,"errors":[]}"#));
        self.http_sent += 1;
    }

    /// Sends these records, alternating between Python and HTTP.
    fn bulk(&mut self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let text = bulk(number, self.accounts.record_bytes);
            let key = format!("bulk-{number}");
            if number % 2 == 0 {
                self.accounts.expect(&key, Expected::Bulk(number));
                self.python.log(&key, text.as_bytes());
            } else {
                self.post(&key, &as_json(&key, &text), Expected::Bulk(number));
            }
        }
    }

    fn audit(&mut self) {
        self.server.wait_for_accepted("python", self.python.sent);
        self.server.flush();
        self.accounts.audit();
    }

    fn texts(&mut self) {
        for (index, text) in texts().iter().enumerate() {
            self.log(&format!("python-text-{index}"), text);
            let key = format!("http-text-{index}");
            self.post(&key, &as_json(&key, text), Expected::Message(text.clone()));
        }
        self.audit();
    }

    /// Checks that a lone surrogate, which is not a character, becomes U+FFFD.
    fn lone_surrogates(&mut self) {
        let encoded =
            |surrogate: u32| [0xed, 0x80 | (surrogate >> 6 & 0x3f) as u8, 0x80 | (surrogate & 0x3f) as u8];
        let all: Vec<u8> =
            (0xd800..0xe000).flat_map(|surrogate| [&encoded(surrogate)[..], b" "].concat()).collect();
        let expected = "\u{fffd} ".repeat(2048);
        self.accounts.expect("python-surrogates", Expected::Message(expected.clone()));
        self.python.log("python-surrogates", &all);
        let escaped: String = (0xd800..0xe000).map(|surrogate| format!("\\u{surrogate:04x} ")).collect();
        let json = format!(r#"{{"trace_id":"http-surrogates","message":"{escaped}"}}"#);
        self.post("http-surrogates", &json, Expected::Message(expected));
        self.audit();
    }

    /// Sends a record, a JSON value and a frame of exactly the limit, and of one byte more.
    fn limits(&mut self) {
        self.log("limit-0", &"x".repeat(1000));
        self.audit();
        let most = TEXTS_MAX - self.accounts.others("limit-0");
        self.log("limit-1", &"x".repeat(most));
        let cut = format!("{}{CUT_MARK}", "x".repeat(most - CUT_MARK.len()));
        self.accounts.expect("limit-2", Expected::Message(cut));
        self.python.log("limit-2", "x".repeat(most + 1).as_bytes());

        let message = "x".repeat(JSON_MAX - as_json("http-limit", "").len());
        self.post("http-limit", &as_json("http-limit", &message), Expected::Message(message.clone()));
        let (status, _, answer) = self.http.post(&as_json("http-limit", &(message + "x"))).unwrap();
        assert!(status == 400 && answer.starts_with(r#"{"accepted":0,"rejected":1,"#), "{status} {answer}");

        self.accounts.expect("frame-limit", Expected::Cut);
        self.python.log_frame("frame-limit", FRAME_MAX);
        self.python.log_frame("frame-over-limit", FRAME_MAX + 1);
        self.audit();
        assert_eq!(self.accounts.dead_letters, 1);
    }

    /// Checks that the counters agree with the audited records.
    fn end(mut self) -> u64 {
        self.python.finish();
        let status = self.server.status();
        let total = self.accounts.line_bytes.len() as u64;
        assert_eq!(status["spool"]["durable_id"], total + 1);
        for store in status["stores"].as_array().unwrap() {
            assert_eq!((&store["stored"], &store["dead_letters"]), (&json!(total), &json!(0)), "{store}");
        }
        let source = |protocol: &str| {
            let source = self.server.source(protocol);
            ["received", "accepted", "rejected", "shed"].map(|name| source[name].clone())
        };
        let one_too_large = || json!({"too_large": 1});
        let sent = self.python.sent;
        // The dead letter is also counted as accepted.
        assert_eq!(source("python"), [json!(sent), json!(sent), one_too_large(), json!({})]);
        assert_eq!(
            source("http"),
            [json!(self.http_sent + 1), json!(self.http_sent), one_too_large(), json!({})]
        );
        let rows = self.server.sql("select count(*), min(id), max(id) from record").remove(0);
        let (count, first) = (rows[0].as_u64().unwrap(), rows[1].as_u64().unwrap());
        assert_eq!((first - 1 + count, &rows[2]), (total, &json!(total)), "{rows}");
        assert_eq!(self.server.stop(), 0);
        count
    }
}

#[test]
fn every_record_is_stored_once_byte_for_byte() {
    let (records, bytes) = (
        variable("LARGE_RECORDS").unwrap_or(RECORDS),
        variable("LARGE_RECORD_BYTES").unwrap_or(RECORD_BYTES),
    );
    let folder = TempDir::new().unwrap();
    let mut case = Case::begin(folder.path(), bytes);
    case.texts();
    case.lone_surrogates();
    case.limits();
    let start = Instant::now();
    let round = (ROUND_BYTES / bytes).max(1);
    for from in (0..records).step_by(round as usize) {
        case.bulk(from..records.min(from + round));
        case.audit();
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = records as f64 / seconds;
    let total = case.accounts.line_bytes.len();
    let kept = case.end();
    println!(
        "{records} records of {bytes} bytes in {seconds:.1} s ({rate:.0}/s with both audits), {total} records in all: each \
         found once in both stores, byte for byte; retention has left {kept} of them"
    );
}
