//! Property: `GET /api/v1/tail` sends every record once and in order, or reports exactly how many a
//! client has missed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::RangeInclusive;

use logboom::limits::{EXPORTS_MAX, READING_MEMORY_KIB_MAX, TAILS_MAX};
use serde_json::Value;
use tempfile::TempDir;
use test_support::{PATIENCE, Server, Setup, eventually};

use super::path;

/// The body of a chunked answer.
struct Chunks {
    stream: BufReader<TcpStream>,
    /// The remaining bytes of the current chunk.
    left: usize,
    is_over: bool,
}

impl Chunks {
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        if self.left == 0 {
            self.left = usize::from_str_radix(&self.line()?, 16).unwrap();
            if self.left == 0 {
                self.is_over = true;
                assert_eq!(self.line()?, "");
                return Ok(0);
            }
        }
        let length = buffer.len().min(self.left);
        let read = self.stream.read(&mut buffer[..length])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        if self.left == 0 {
            assert_eq!(self.line()?, "");
        }
        Ok(read)
    }
}

/// A stream of events.
struct Follow {
    body: BufReader<Chunks>,
    /// The id of the last block of lines.
    last_id: u64,
}

#[derive(Debug, PartialEq)]
enum Event {
    Record(Value),
    Missed(u64),
    Comment,
}

impl Event {
    fn id(&self) -> Option<u64> {
        match self {
            Event::Record(record) => record["id"].as_u64(),
            _ => None,
        }
    }
}

impl Follow {
    fn open(server: &Server, parameters: &[(&str, &str)]) -> Follow {
        Follow::open_after(server, parameters, "")
    }

    /// Opens a stream with one more header in the request.
    fn open_after(server: &Server, parameters: &[(&str, &str)], header: &str) -> Follow {
        let (head, stream) = ask(server, parameters, header);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.to_ascii_lowercase().contains("content-type: text/event-stream\r\n"), "{head}");
        let chunks = Chunks { stream, left: 0, is_over: false };
        Follow { body: BufReader::with_capacity(1 << 16, chunks), last_id: u64::MAX }
    }

    /// Returns the next block of lines; `None` at the end of the stream.
    fn next(&mut self) -> Option<Event> {
        self.try_next().unwrap()
    }

    fn try_next(&mut self) -> io::Result<Option<Event>> {
        let (mut name, mut data) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if self.body.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end_matches('\n').split_once(": ") {
                Some(("id", value)) => self.last_id = value.parse().unwrap(),
                Some(("event", value)) => name = value.to_owned(),
                Some(("data", value)) => data = value.to_owned(),
                Some(_) => panic!("{line}"),
                None if line == "\n" => break,
                None => assert_eq!(line, ":\n"),
            }
        }
        let json = || serde_json::from_str::<Value>(&data).unwrap();
        Ok(Some(match name.as_str() {
            "record" => {
                assert_eq!(json()["id"], self.last_id);
                Event::Record(json())
            }
            "missed" => Event::Missed(json()["count"].as_u64().unwrap()),
            other => {
                assert_eq!((other, data.as_str()), ("", ""));
                Event::Comment
            }
        }))
    }

    /// Returns the next record's id, skipping comments.
    fn id(&mut self) -> u64 {
        loop {
            match self.next().unwrap() {
                Event::Comment => {}
                event => return event.id().unwrap_or_else(|| panic!("{event:?}")),
            }
        }
    }

    /// Reads the ids of a range, one after the other.
    #[track_caller]
    fn expect(&mut self, ids: RangeInclusive<u64>) {
        for id in ids {
            assert_eq!(self.id(), id);
        }
    }
}

/// Returns the head of the answer, and the stream of what follows.
fn ask(server: &Server, parameters: &[(&str, &str)], header: &str) -> (String, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(server.address("http")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let path = path("/api/v1/tail", parameters);
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{header}\r\n").as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "the connection ended: {head}");
    }
    (head, stream)
}

/// Posts records with these numbers; every fourth is an error.
fn post(server: &Server, numbers: RangeInclusive<u64>) {
    let line = |n| {
        format!(
            "{{\"level\":\"{}\",\"message\":\"number {n}\"}}\n",
            if n % 4 == 0 { "error" } else { "info" }
        )
    };
    let count = numbers.end() + 1 - numbers.start();
    let body: String = numbers.map(line).collect();
    assert_eq!(server.post(body).json()["accepted"], count);
}

fn open_tails(server: &Server) -> u64 {
    metric(server, "logboom_tails{} ")
}

fn metric(server: &Server, name: &str) -> u64 {
    let text = server.get("/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

#[test]
fn records_are_sent_in_order_of_acknowledgement() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    post(&server, 1..=3);
    let mut all = Follow::open(&server, &[]);
    let mut errors = Follow::open(&server, &[("q", "level>=error number")]);
    let mut nothing = Follow::open(&server, &[("q", "nothing")]);
    assert_eq!((all.next(), all.last_id), (Some(Event::Comment), 3));
    for first in (4..100).step_by(4) {
        post(&server, first..=first + 3);
        all.expect(first..=first + 3);
        assert_eq!(errors.id(), first);
    }
    post(&server, 100..=2100);
    all.expect(100..=2100);
    for id in (100..=2100).step_by(4) {
        assert_eq!(errors.id(), id);
    }
    // Without matching records, the stream still reports its position.
    assert_eq!((nothing.next(), nothing.last_id), (Some(Event::Comment), 3));
    while nothing.last_id < 2100 {
        assert_eq!(nothing.next(), Some(Event::Comment));
    }
}

#[test]
fn latest_matching_records_are_sent_first_on_request() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    post(&server, 1..=5000);
    server.flush();
    let mut errors = Follow::open(&server, &[("q", "level:error"), ("last", "3")]);
    let mut all = Follow::open(&server, &[("last", "1000000")]);
    post(&server, 5001..=5004);
    assert_eq!([errors.id(), errors.id(), errors.id(), errors.id()], [4992, 4996, 5000, 5004]);
    all.expect(1..=5004);
}

#[test]
fn client_resumes_at_its_last_event_id() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let mut next = 1;
    std::thread::scope(|scope| {
        let posting = scope.spawn(|| {
            for first in (1..4000).step_by(10) {
                post(&server, first..=first + 9);
            }
        });
        let mut after = 0;
        for round in 0..20 {
            let (id, header) = (after.to_string(), format!("last-event-id: {after}\r\n"));
            let mut follow = match round % 2 {
                // The header takes precedence over the parameters of the first request.
                0 => Follow::open_after(&server, &[("last_event_id", "0"), ("last", "5")], &header),
                _ => Follow::open(&server, &[("last_event_id", &id)]),
            };
            for _ in 0..round * 10 {
                assert_eq!(follow.id(), next);
                next += 1;
            }
            after = if follow.last_id == u64::MAX { after } else { follow.last_id };
        }
        posting.join().unwrap();
        Follow::open(&server, &[("last_event_id", &after.to_string())]).expect(next..=4000);
    });
}

#[test]
fn client_resumes_after_a_kill_of_the_server() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path());
    let mut next = 1;
    for round in 0..4u64 {
        let after = next - 1;
        let mut follow = Follow::open(&server, &[("last_event_id", &after.to_string())]);
        let first = round * 500 + 1;
        post(&server, first..=first + 499);
        // Not all of them: the restarted server must send the rest.
        let end = first + 249;
        follow.expect(next..=end);
        next = end + 1;
        server.kill();
        assert!(loop {
            match follow.try_next() {
                Ok(Some(_)) => {}
                Ok(None) => break false,
                Err(_) => break true,
            }
        });
        server = Server::start(folder.path());
    }
    post(&server, 2001..=2001);
    Follow::open_after(&server, &[], &format!("Last-Event-ID: {}\r\n", next - 1)).expect(next..=2001);
}

/// Posts records of about 1 KiB each, so that neither the sockets nor the server buffer many of
/// them.
fn post_large(server: &Server, numbers: RangeInclusive<u64>) {
    let line = |n| format!("{{\"message\":\"number {n}\",\"padding\":\"{n:01000}\"}}\n");
    let count = numbers.end() + 1 - numbers.start();
    let body: String = numbers.map(line).collect();
    assert_eq!(server.post(body).json()["accepted"], count);
}

/// The position of a client to which every record is either sent or reported as missed.
#[derive(Default)]
struct Account {
    position: u64,
    missed: u64,
}

impl Account {
    /// Processes the next event.
    fn take(&mut self, follow: &mut Follow) {
        match follow.next().unwrap() {
            Event::Comment => assert_eq!(follow.last_id, self.position),
            Event::Missed(count) => {
                self.missed += count;
                self.position += count;
                assert_eq!(follow.last_id, self.position);
            }
            Event::Record(record) => {
                self.position += 1;
                assert_eq!(record["id"], self.position);
                assert_eq!(record["message"], format!("number {}", self.position));
            }
        }
    }
}

#[test]
fn slow_client_gets_exact_count_of_missed_records() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--spool-segment-bytes=4MiB").start(folder.path());
    let mut slow = Follow::open(&server, &[]);
    let mut quick = Follow::open(&server, &[("q", "number")]);
    let before = server.memory_kib();
    const TOTAL: u64 = 60_000;
    let mut account = Account::default();
    for first in (1..=TOTAL).step_by(1000) {
        post_large(&server, first..=first + 999);
        quick.expect(first..=first + 999);
        // A client that reads nothing at all for long loses the connection.
        (0..300).for_each(|_| {
            if account.position < first {
                account.take(&mut slow);
            }
        });
    }
    server.flush();
    let oldest = eventually("all but the last segment are released", || {
        let status = server.status();
        (status["spool"]["segments"] == 1).then(|| status["spool"]["oldest_id"].as_u64().unwrap())
    });
    assert!(oldest > TOTAL - 10_000, "{oldest}");
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap();
    let held = descriptors.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    let held: Vec<_> = held.filter(|path| path.to_string_lossy().contains(".free (deleted)")).collect();
    assert_eq!(held, [""; 0].map(std::path::PathBuf::from), "files that were given up are open still");
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 48 << 10, "{grown} KiB");
    post_large(&server, TOTAL + 1..=TOTAL + 1);
    while account.position < TOTAL + 1 {
        account.take(&mut slow);
    }
    assert!(account.missed > 0, "the reader was not slow enough for the test");
    assert_eq!(metric(&server, "logboom_tail_missed_records{} "), account.missed);
    // The stream continues with new records.
    post(&server, TOTAL + 2..=TOTAL + 3);
    slow.expect(TOTAL + 2..=TOTAL + 3);
    // A client that connects late also gets a report of what it missed, and the records that still
    // exist.
    let mut late = Follow::open(&server, &[("last_event_id", "10")]);
    let oldest = server.status()["spool"]["oldest_id"].as_u64().unwrap();
    assert_eq!((late.next(), late.last_id), (Some(Event::Missed(oldest - 11)), oldest - 1));
    late.expect(oldest..=TOTAL + 3);
}

#[test]
fn number_of_tails_is_bounded_and_slots_are_freed() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let mut follows: Vec<_> = (0..TAILS_MAX).map(|_| Follow::open(&server, &[])).collect();
    let (head, _) = ask(&server, &[], "");
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 503") && head.contains("\r\nretry-after: 5\r\n"), "{head}");
    post(&server, 1..=1);
    for follow in &mut follows {
        follow.expect(1..=1);
    }
    let start = std::time::Instant::now();
    follows.pop();
    eventually("its place is free", || (open_tails(&server) < TAILS_MAX as u64).then_some(()));
    let mut follow = Follow::open(&server, &[]);
    assert!(start.elapsed() < std::time::Duration::from_secs(14), "not only at the next heartbeat");
    post(&server, 2..=2);
    follow.expect(2..=2);
    drop((follow, follows));
    eventually("all have gone", || (open_tails(&server) == 0).then_some(()));
}

#[test]
fn client_that_never_reads_is_disconnected() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let _deaf: Vec<_> = (0..4).map(|_| ask(&server, &[], "")).collect();
    let mut other = Follow::open(&server, &[]);
    assert_eq!(open_tails(&server), 5);
    for first in (1..=20_000).step_by(1000) {
        post_large(&server, first..=first + 999);
        other.expect(first..=first + 999);
    }
    eventually("they have lost their places", || (open_tails(&server) == 1).then_some(()));
    post(&server, 20_001..=20_001);
    other.expect(20_001..=20_001);
}

#[test]
fn streams_end_when_the_server_stops() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path());
    let mut follows: Vec<_> = (0..3).map(|_| Follow::open(&server, &[])).collect();
    post(&server, 1..=10);
    follows.iter_mut().for_each(|follow| follow.expect(1..=10));
    assert_eq!(server.stop(), 0);
    for follow in &mut follows {
        assert_eq!((follow.next(), follow.last_id), (Some(Event::Comment), 10));
        assert_eq!(follow.next(), None, "it ends as it should");
    }
    assert!(server.log_line("some connections were still sending").is_none(), "{}", server.log());
}

#[test]
fn client_that_does_not_read_does_not_delay_the_stop() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path());
    let _deaf = ask(&server, &[], "");
    for first in (1..=20_000).step_by(1000) {
        post_large(&server, first..=first + 999);
    }
    assert_eq!(server.stop(), 0);
    assert!(server.log_line("some connections were still sending").is_none(), "{}", server.log());
}

#[test]
fn range_of_times_and_large_records_are_followed() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let parameters = [("since", "2026-11-21"), ("until", "2026-11-22"), ("q", "")];
    let mut day = Follow::open(&server, &parameters);
    let message = "\\u0001".repeat(900_000);
    let body = format!(
        "{{\"time\":\"2026-11-20T23:59:59Z\",\"message\":\"a\"}}\n{{\"time\":\"2026-11-21T00:00:00Z\",\"message\":\"b\"}}\n\
         {{\"time\":\"2026-11-22T00:00:00Z\",\"message\":\"c\"}}\n{{\"time\":\"2026-11-21T23:59:59Z\",\"message\":\"{}\"}}\n\
         {{\"time\":\"2026-11-21T00:00:00Z\",\"message\":\"d\",\n\"list\":[1,\n2]}}\n",
        &message[..900_000]
    );
    assert_eq!(server.post(body).json()["accepted"], 5);
    assert_eq!([day.id(), day.id(), day.id()], [2, 4, 5]);
}

#[test]
fn invalid_requests_are_refused() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for (parameters, header, told) in [
        (vec![("q", "(a")], vec![], "parenthes"),
        (vec![("lats", "1")], vec![], "no parameter `lats`"),
        (vec![("last", "-1")], vec![], "`last` is `-1`"),
        (vec![("since", "then")], vec![], "then"),
        (vec![("last_event_id", "x")], vec![], "`last_event_id` is `x`"),
        (vec![], vec![("last-event-id", "x")], "`Last-Event-ID` is `x`"),
    ] {
        let answer = server.request("GET", &path("/api/v1/tail", &parameters), &header, b"");
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(told), "{}", answer.text());
    }
    let answer = server.request("POST", "/api/v1/tail", &[], b"");
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: get, head\r\n"), "{}", answer.head);
    assert_eq!(open_tails(&server), 0);
}

/// As many tails and answers as may be open, none of which is read, while records arrive.
#[test]
fn unread_tails_and_answers_share_little_memory() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for first in (1..=20_000).step_by(1000) {
        post_large(&server, first..=first + 999);
    }
    server.flush();
    let before = server.peak_memory_kib();
    let _tails: Vec<_> = (0..TAILS_MAX).map(|_| ask(&server, &[], "")).collect();
    let export = path("/api/v1/records", &[("format", "ndjson"), ("order", "asc")]);
    let _exports: Vec<_> = (0..EXPORTS_MAX)
        .map(|number| {
            let mut stream = TcpStream::connect(server.address("http")).unwrap();
            let encoding = ["identity", "gzip"][number % 2];
            write!(stream, "GET {export} HTTP/1.1\r\nhost: x\r\naccept-encoding: {encoding}\r\n\r\n")
                .unwrap();
            stream
        })
        .collect();
    for first in (20_001..=40_000).step_by(1000) {
        post_large(&server, first..=first + 999);
    }
    server.flush();
    let grown = server.peak_memory_kib() - before;
    assert!(grown < READING_MEMORY_KIB_MAX as u64, "{grown} KiB more");
}
