//! Property: malicious or broken input on the Python port is never executed, costs only itself, and
//! is counted.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use logboom::limits::{DEAD_LETTERS_PER_CONNECTION_MAX, DEAD_LETTERS_PER_SOURCE_MAX};
use tempfile::TempDir;
use test_support::{Server, eventually, good_frame, python};

/// Frames made by a real Python, between good frames; prints how many of them are records and how
/// many are not.
const HOSTILE: &str = r#"
import logging, os, pickle, socket, struct, sys
host, port = sys.argv[1].rsplit(":", 1)
trap = sys.argv[2]

class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments
    def __reduce__(self):
        return self.call

def frame(pickled):
    return struct.pack(">L", len(pickled)) + pickled

def record(message, **extra):
    record = logging.LogRecord("app", logging.INFO, "app.py", 1, message, None, None)
    fields = dict(record.__dict__, **extra)
    fields.pop("message", None)
    return fields

evil = [
    Call(os.system, "touch " + trap),
    Call(eval, "open(%r, 'w')" % trap),
    Call(exec, "open(%r, 'w')" % trap),
    Call(open, trap, "w"),
    Call(os.mkdir, trap),
]
myself = record("holds itself")
myself["extra_list"] = [myself]
myself["extra_list"].append(myself["extra_list"])

good, bad = [], []
for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    for number, call in enumerate(evil):
        good.append(pickle.dumps(record("evil %d" % number, evil=call), protocol))
        good.append(pickle.dumps(record(call), protocol))
        bad.append(pickle.dumps(call, protocol))
    good.append(pickle.dumps(myself, protocol))

start = pickle.dumps(record("bomb"), 2)[:-1] + b"("
doubling = b"X\x04\0\0\0bomb" + b"X\x01\0\0\0a" + b"2\x86" * 100
good.append(start + doubling + b"u.")
# A list of ten references to a list of ten references, and so on: 10^12 values.
lists = b"X\x05\0\0\0lists" + b"]q\xf0" + b"(]" + b"K\x01" * 9 + b"e"
for level in range(12):
    lists += b"q" + bytes([200 + level]) + b"0(]" + (b"h" + bytes([200 + level])) * 10 + b"l"
good.append(pickle.dumps(record("nested", deep="x"), 2))
for nest in [b"]" * 200000, b"}" * 200000, b"(" * 200000, b"]" + b"\x85" * 200000]:
    bad.append(nest + b".")
bad += [
    b"\x80\x02cposix\nsystem\n(X\x05\0\0\0touchtR.",
    b"",
    b".",
    b"\xff" * 100,
    b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
    b"r\xff\xff\xff\xff.",
    b"}" + b"0" * 50 + b".",
    b"I" + b"9" * 100000 + b"\n.",
    pickle.dumps(record("cut"), 4)[:-20],
    pickle.dumps([1, 2, 3]),
    pickle.dumps("a text"),
    os.urandom(1000),
]

stream = socket.create_connection((host, int(port)))
sent = 0
for pickled in good + bad:
    stream.sendall(frame(pickled))
    stream.sendall(frame(pickle.dumps(record("between", between=sent), 1)))
    sent += 1
stream.shutdown(socket.SHUT_WR)
stream.recv(1)
print(len(good), len(bad))
"#;

#[test]
fn pickles_are_data_and_never_executed() {
    let folder = TempDir::new().unwrap();
    let trap = folder.path().join("trap");
    let mut server = Server::start(&folder.path().join("data"));
    let counts = python(HOSTILE, &[&server.address("python"), trap.to_str().unwrap()]);
    let counts: Vec<u64> = counts.split_whitespace().map(|count| count.parse().unwrap()).collect();
    let (good, bad) = (counts[0], counts[1]);
    server.wait_for_accepted("python", 2 * (good + bad));
    server.flush();

    assert!(!trap.exists(), "something in a pickle was executed");
    let dead_letters = "select count(*) from logs where event_name = 'logboom.dead_letter'";
    assert_eq!(server.value(dead_letters), bad);
    assert_eq!(server.value("select count(*) from logs where message = 'between'"), good + bad);
    let reasons = "select count(*) from logs where event_name = 'logboom.dead_letter'
        and attributes ->> '$.\"dead_letter.reason\"' in ('malformed', 'truncated', 'too_complex', 'not_a_record')";
    assert_eq!(server.value(reasons), bad);
    // The function that would have been called is shown as text.
    for (attribute, call) in [("posix.system", "touch"), ("eval", "open("), ("posix.mkdir", "trap")] {
        let sql = format!(
            "select count(*) from logs where message like 'evil %' and attributes ->> 'evil' like '%{call}%'
             and attributes ->> 'evil' like '%{attribute}%'"
        );
        assert_eq!(server.value(&sql), 6, "{attribute}");
    }
    assert_eq!(server.value("select count(*) from logs where message = 'holds itself'"), 6);
    assert_eq!(server.value("select count(*) from logs where message = 'bomb'"), 1);
    assert_eq!(server.stop(), 0);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Waits until the server has closed the connection.
fn wait_for_close(mut stream: TcpStream) {
    stream.set_read_timeout(Some(test_support::PATIENCE)).unwrap();
    match stream.read(&mut [0; 1]) {
        Ok(0) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
}

fn wait_for_rejected(server: &Server, reason: &str, count: u64) {
    eventually(reason, || (server.source("python")["rejected"][reason] == count).then_some(()));
}

fn wait_for_messages(server: &Server, message: &str, count: u64) {
    let sql = format!("select count(*) from logs where message = '{message}'");
    eventually(message, || {
        server.flush();
        (server.value(&sql) == count).then_some(())
    });
}

#[test]
fn other_protocols_are_closed_and_counted() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let strangers: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nhost: logboom\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"<14>one\0",
        b"{\"message\":\"one\"}\n",
        b"\xff\xff\xff\xff4 GiB",
    ];
    for stranger in strangers {
        let mut stream = TcpStream::connect(server.address("python")).unwrap();
        stream.write_all(stranger).unwrap();
        wait_for_close(stream);
    }
    wait_for_rejected(&server, "not_python", 5);
    // Also after a good frame.
    let mut stream = TcpStream::connect(server.address("python")).unwrap();
    stream
        .write_all(&[good_frame("before the stranger"), b"GET / HTTP/1.1\r\n\r\n".to_vec()].concat())
        .unwrap();
    wait_for_close(stream);
    wait_for_rejected(&server, "not_python", 6);
    wait_for_messages(&server, "before the stranger", 1);
    eventually("it says so", || server.log_line("does not use the protocol of Python's SocketHandler"));
}

#[test]
fn oversized_frame_costs_only_itself() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let good = good_frame("good");
    let mut stream = TcpStream::connect(server.address("python")).unwrap();
    stream.write_all(&good).unwrap();
    let length = (4_u32 << 20) + 1;
    stream.write_all(&length.to_be_bytes()).unwrap();
    stream.write_all(&vec![0; length as usize]).unwrap();
    stream.write_all(&good).unwrap();
    wait_for_messages(&server, "good", 2);
    wait_for_rejected(&server, "too_large", 1);
    let letter =
        "select attributes ->> '$.\"dead_letter.reason\"' from logs where event_name = 'logboom.dead_letter'";
    assert_eq!(server.sql(letter), [serde_json::json!(["too_large"])]);
}

#[test]
fn bad_pickle_costs_only_itself() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let good = good_frame("good");
    let mut stream = TcpStream::connect(server.address("python")).unwrap();
    stream.write_all(&[&good[..], b"\0\0\0\x03bad", &good].concat()).unwrap();
    wait_for_messages(&server, "good", 2);
    let output = server.cli(&["query", "event_name:logboom.dead_letter", "--format", "json"]);
    let letter: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(letter["attributes"]["dead_letter.reason"], "malformed");
    assert_eq!(letter["attributes"]["dead_letter.base64"], "YmFk");
    assert_eq!(letter["attributes"]["dead_letter.length"], 3);
    stream.write_all(&good).unwrap();
    wait_for_messages(&server, "good", 3);
}

#[test]
fn truncated_frame_is_counted() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let good = good_frame("good");
    for cut in [1, 4, 5, good.len() - 1] {
        let mut stream = TcpStream::connect(server.address("python")).unwrap();
        stream.write_all(&[&good[..], &good[..cut]].concat()).unwrap();
    }
    eventually("they are counted", || (server.source("python")["truncated"] == 4).then_some(()));
    wait_for_messages(&server, "good", 4);
}

/// A dead letter takes up to a hundred times the disk space of its input.
#[test]
fn rejected_inputs_beyond_a_limit_are_only_counted() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let counted = |protocol: &str, sent: u64| {
        eventually("all are rejected", || {
            (server.source(protocol)["rejected"]["truncated"].as_u64() >= Some(sent)).then_some(())
        });
        let source = server.source(protocol);
        let suppressed = source["dead_letters_suppressed"]["truncated"].as_u64().unwrap_or_default();
        server.wait_for_accepted(protocol, sent - suppressed);
        server.flush();
        let letters = server.value(&format!(
            "select count(*) from logs where attributes ->> '$.\"dead_letter.source\"' = '{}'",
            source["source"].as_str().unwrap()
        ));
        assert_eq!(letters, sent - suppressed, "{source}");
        letters.as_u64().unwrap()
    };
    // A minute may end during the test, and another begin, so no number is exact.
    let zero = b"\0\0\0\0".repeat(1000);
    let mut stream = TcpStream::connect(server.address("python")).unwrap();
    stream.write_all(&zero).unwrap();
    let letters = counted("python", 1000);
    assert!((u64::from(DEAD_LETTERS_PER_CONNECTION_MAX)..500).contains(&letters), "{letters}");
    // Each connection has the same limit of its own, until the limit of its source is used up.
    for connections in 2..=20 {
        let mut stream = TcpStream::connect(server.address("python")).unwrap();
        stream.write_all(&zero).unwrap();
        drop(stream);
        let letters = counted("python", 1000 * connections);
        assert!(letters >= u64::from(DEAD_LETTERS_PER_CONNECTION_MAX), "{letters}");
    }
    let letters = counted("python", 20_000);
    assert!((u64::from(DEAD_LETTERS_PER_SOURCE_MAX)..5000).contains(&letters), "{letters}");
    assert!(server.log_line("no dead letter was made").is_some());
    let metrics = server.get("/metrics").text();
    let source = server.source("python");
    let sample = format!(
        "logboom_dead_letters_suppressed_total{{source=\"{}\",reason=\"truncated\"}} {}\n",
        source["source"].as_str().unwrap(),
        source["dead_letters_suppressed"]["truncated"]
    );
    assert!(metrics.contains(&sample), "{metrics}");

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.address("python-udp")).unwrap();
    for sent in 1..=1000 {
        socket.send(b"").unwrap();
        if sent % 100 == 0 {
            counted("python-udp", sent); // no more than fit into the socket's buffer
        }
    }
    let letters = counted("python-udp", 1000);
    assert!((u64::from(DEAD_LETTERS_PER_SOURCE_MAX)..900).contains(&letters), "{letters}");
}
