//! Property: what a person sees: the output of the same commands on a pseudo-terminal.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread::{JoinHandle, spawn};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{PATIENCE, Server, eventually, is_stopped};

/// Runs a command on a separate terminal. Types the given texts, each once another text has
/// appeared, and prints what the terminal showed, and the exit status.
const TERMINAL: &str = r#"
import fcntl, json, os, pty, signal, struct, subprocess, sys, termios

setup = json.loads(sys.argv[1])
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", setup["rows"], setup["columns"], 0, 0))

def begin():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # whatever runs the tests may have it ignored

child = subprocess.Popen(
    setup["command"], stdin=slave, stdout=slave, stderr=slave, env=setup["environment"], start_new_session=True,
    preexec_fn=begin)
signal.signal(signal.SIGALRM, lambda *_: os.killpg(child.pid, signal.SIGKILL))
signal.alarm(setup["seconds"])
os.close(slave)
shown, typed = b"", setup["typed"]
while True:
    try:
        piece = os.read(master, 65536)
    except OSError:  # EIO: nobody has the terminal open any more
        break
    if not piece:
        break
    shown += piece
    if typed and typed[0][0].encode() in shown:
        os.write(master, typed.pop(0)[1].encode())
print(json.dumps({"status": child.wait(), "shown": shown.decode()}))
"#;

/// A terminal, and what is typed into it.
struct Terminal {
    columns: u32,
    rows: u32,
    environment: Vec<(&'static str, &'static str)>,
    typed: Vec<(&'static str, &'static str)>,
}

impl Terminal {
    fn new(columns: u32, rows: u32) -> Terminal {
        let environment =
            vec![("LANG", "C.UTF-8"), ("TERM", "xterm"), ("PATH", "/usr/local/bin:/usr/bin:/bin")];
        Terminal { columns, rows, environment, typed: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Terminal {
        self.environment.push((name, value));
        self
    }

    /// Types a text once another text was shown.
    fn types(mut self, shown: &'static str, text: &'static str) -> Terminal {
        self.typed.push((shown, text));
        self
    }

    /// Runs a command; returns the exit status and what was shown.
    fn run(&self, server: &Server, arguments: &[&str]) -> (i64, String) {
        self.run_against(&server.url(), arguments)
    }

    fn run_against(&self, url: &str, arguments: &[&str]) -> (i64, String) {
        eventually("an answer in time", || {
            let (status, shown) = self.run_once(url, arguments);
            (!is_stopped(shown.as_bytes())).then_some((status, shown))
        })
    }

    fn run_once(&self, url: &str, arguments: &[&str]) -> (i64, String) {
        let command = [&[test_support::program()], arguments, &["--url", url]].concat();
        let environment: serde_json::Map<_, _> =
            self.environment.iter().map(|(name, value)| ((*name).into(), json!(value))).collect();
        let setup = json!({
            "columns": self.columns, "rows": self.rows, "typed": self.typed, "command": command,
            "environment": environment, "seconds": PATIENCE.as_secs(),
        });
        let python = Command::new("python3").args(["-c", TERMINAL, &setup.to_string()]).output().unwrap();
        assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
        let answer: Value = serde_json::from_slice(&python.stdout).unwrap();
        let shown = answer["shown"].as_str().unwrap().replace("\r\n", "\n");
        (answer["status"].as_i64().unwrap(), shown)
    }

    /// Runs a command that must succeed; returns what it shows.
    #[track_caller]
    fn shows(&self, server: &Server, arguments: &[&str]) -> String {
        let (status, shown) = self.run(server, arguments);
        assert_eq!(status, 0, "{shown}");
        shown
    }
}

const RECORDS: [&str; 4] = [
    r#"{"time":"2026-11-21T10:00:00.123456789Z","level":"INFO","service":"billing","logger":"app.views","message":"card accepted after 3 attempts at the provider","trace_id":"17","amount":12.5,"currency":"EUR"}"#,
    r#"{"time":"2026-11-21T10:00:01Z","level":"ERROR","service":"billing","logger":"shop.payments.views","message":"it failed\nand twice","exception.type":"ValueError","exception.stacktrace":"Traceback:\n  a\n  b\n  c\n  d\n  e\n  f\nValueError: 4"}"#,
    r#"{"time":"2026-11-22T10:00:02Z","level":"WARN","service":"\u001b]0;x\u0007","message":"\u001b[2J\u009b31m \u202e","\u001b[2J":"\u001b[2J"}"#,
    r#"{"time":"2026-11-22T10:00:03Z","level":"INFO","service":"\u6f22\u5b57","message":"\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57"}"#,
];

fn server(folder: &TempDir, records: &str) -> Server {
    let server = Server::start(folder.path());
    assert_eq!(server.post(records).status, 200);
    server.flush();
    server
}

fn many(count: usize) -> String {
    (1..=count).map(|n| format!("{{\"service\":\"web\",\"message\":\"line {n} of many\"}}\n")).collect()
}

#[test]
fn empty_result_is_noted_on_a_terminal() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder, RECORDS[0]);
    let terminal = Terminal::new(80, 16).with("NO_COLOR", "1");
    for arguments in [&["query", "nowhere"][..], &["query", "--trace", "nowhere"]] {
        assert_eq!(terminal.shows(&server, arguments), "note: no record matches\n");
    }
    assert!(!terminal.shows(&server, &["query", "card"]).contains("note:"));
    let piped = server.cli(&["query", "nowhere"]);
    assert_eq!((piped.stdout.as_slice(), piped.stderr.as_slice()), (&b""[..], &b""[..]));
}

#[test]
fn records_are_laid_out_for_the_terminal() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder, &RECORDS.join("\n"));
    let terminal = Terminal::new(80, 16).with("NO_COLOR", "1").with("PAGER", "cat");
    let expected = "\
-- 2026-11-21 UTC --
10:00:00.123 INFO  billing    app.views     card accepted after 3 attempts at
    the provider trace_id=17 amount=12.5 currency=EUR id=1
10:00:01.000 ERROR billing    \u{2026}yments.views it failed id=2
    and twice
    Traceback:
      a
    ... 2 more lines (--full)
      d
      e
      f
    ValueError: 4
-- 2026-11-22 UTC --
10:00:02.000 WARN  \\x1b]0;x\\\u{2026} -             \\x1b[2J\\x9b31m \\u{202e}
    \\x1b[2J=\"\\u001b[2J\" id=3
10:00:03.000 INFO  \u{6f22}\u{5b57}       -
    \u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57} id=4
";
    assert_eq!(terminal.shows(&server, &["query"]), expected);
    // With `--full` nothing is cut, and output that fits on the screen is not folded.
    assert!(terminal.shows(&server, &["query", "--full"]).contains("\n      b\n      c\n      d\n"));
    assert!(terminal.shows(&server, &["query", "failed"]).contains("\n      b\n      c\n      d\n"));
    // A pipe gets every record completely, in one line each.
    let piped = server.cli(&["query", "accepted"]);
    let line = "2026-11-21T10:00:00.123Z INFO     billing app.views card accepted after 3 attempts at the provider \
                trace_id=17 amount=12.5 currency=EUR\n";
    assert_eq!(String::from_utf8(piped.stdout).unwrap(), line);
}

#[test]
fn control_characters_of_records_are_escaped() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder, &RECORDS.join("\n"));
    let terminal = Terminal::new(80, 24).with("NO_COLOR", "1").with("PAGER", "cat");
    for format in ["text", "json", "csv"] {
        for arguments in [&["query"][..], &["query", "--fields=service,message,attributes"]] {
            let shown = terminal.shows(&server, &[arguments, &["--format", format]].concat());
            let is_bad = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!shown.contains(is_bad), "{shown:?}");
        }
    }
}

#[test]
fn colours_appear_on_a_terminal_unless_disabled() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder, &RECORDS.join("\n"));
    let terminal = || Terminal::new(80, 40);
    let shown = terminal().shows(&server, &["query", "failed"]);
    assert!(
        shown.contains("\x1b[31mERROR\x1b[0m") && shown.contains("it \x1b[1;4mfailed\x1b[0m"),
        "{shown:?}"
    );
    assert!(!terminal().with("NO_COLOR", "1").shows(&server, &["query"]).contains('\x1b'));
    assert!(!terminal().shows(&server, &["query", "--color=never"]).contains('\x1b'));
    assert!(terminal().with("NO_COLOR", "1").shows(&server, &["query", "--color=always"]).contains('\x1b'));
}

#[test]
fn fields_have_a_heading_on_a_terminal() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder, &RECORDS.join("\n"));
    let terminal = Terminal::new(80, 24).with("NO_COLOR", "1");
    let expected = "\
id  level  amount  message
1   INFO   12.5    card accepted after 3 attempts at the provider
2   ERROR  -       it failed\\nand twice
";
    assert_eq!(terminal.shows(&server, &["query", "id<3", "--fields=id,level,amount,message"]), expected);
}

#[test]
fn output_longer_than_the_screen_is_paged() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder, &many(60));
    let terminal = || Terminal::new(80, 24).with("PAGER", "sed 's/^/paged: /'");
    for arguments in [&["query"][..], &["query", "--format=json"], &["sql", "select * from logs"]] {
        let shown = terminal().shows(&server, arguments);
        assert!(
            shown.lines().count() >= 60 && shown.lines().all(|line| line.starts_with("paged: ")),
            "{shown}"
        );
    }
    for arguments in [&["query", "--limit=10"][..], &["query", "--no-pager"], &["query", "nothing"]] {
        assert!(!terminal().shows(&server, arguments).contains("paged"), "{arguments:?}");
    }
    let without = Terminal::new(80, 24).with("PAGER", "").shows(&server, &["query"]);
    assert_eq!(without.lines().count(), 61);
    // A pager that the user leaves early is not a failure, as in a pipe.
    let shown = Terminal::new(80, 24).with("PAGER", "head -1").shows(&server, &["query"]);
    assert_eq!(shown.lines().count(), 1);
}

#[test]
fn missing_pager_fails_only_if_requested() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder, &many(3000));
    // The default pager is not required.
    let shown = Terminal::new(80, 24).with("PATH", "/nowhere").shows(&server, &["query"]);
    assert_eq!(shown.lines().count(), 101);
    // A pager that was requested must exist, whether or not all of the records fit into a pipe.
    for limit in ["--limit=40", "--limit=3000"] {
        let (status, shown) =
            Terminal::new(80, 24).with("PAGER", "no-such-pager").run(&server, &["query", limit]);
        assert_eq!(status, 1, "{shown}");
        assert!(
            shown.contains("the pager that PAGER names did not run") && shown.contains("--no-pager"),
            "{shown}"
        );
    }
}

/// Ctrl-C is a command of pagers, and reaches all processes of the terminal.
#[test]
fn ctrl_c_is_left_to_the_pager() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder, &many(3000));
    // A shell that is reading when the signal arrives may, or may not, continue to read.
    let pager = "trap 'echo; is_interrupted=1' INT; echo ready; until [ \"$is_interrupted\" ]; do sleep 0.02; done; wc -l";
    let terminal = Terminal::new(80, 24).with("PAGER", pager).types("ready", "\x03");
    let shown = terminal.shows(&server, &["query", "--limit=3000"]);
    assert!(shown.lines().any(|line| line.trim() == "3001"), "{shown}");
}

/// Because Ctrl-C belongs to the pager, leaving the pager ends the command, even if the server is
/// still searching.
#[test]
fn leaving_the_pager_ends_the_command() {
    let (url, thread) = searching();
    let terminal = Terminal::new(80, 24).with("PAGER", "head -2");
    let (status, shown) = terminal.run_against(&url, &["query", "--order=desc"]);
    assert_eq!((status, shown.lines().count()), (0, 2), "{shown}");
    thread.join().unwrap();
}

#[test]
fn ctrl_c_without_a_pager_ends_the_command() {
    let (url, thread) = searching();
    let terminal = Terminal::new(80, 24).with("PATH", "").types("line 50", "\x03");
    let (status, shown) = terminal.run_against(&url, &["query", "--order=desc"]);
    assert_eq!(status, 130, "{shown}");
    thread.join().unwrap();
}

/// Starts a server that has found some records and continues to search until its client is gone.
fn searching() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let records = many(50);
        stream
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{records}").as_bytes())
            .unwrap();
        // The end may arrive as a reset: the client need not have read what was sent.
        while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {}
    });
    (url, thread)
}

#[test]
fn import_progress_is_shown_on_a_terminal_only() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let path = folder.path().join("some.ndjson");
    let line = r#"{"timestamp":"2026-11-20T10:00:00Z","message":"a"}"#;
    std::fs::write(&path, vec![line; 20_000].join("\n")).unwrap();
    let file = path.to_str().unwrap();
    let (status, shown) = Terminal::new(80, 24).run(&server, &["import", file]);
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("importing") && shown.contains("imported 20,000 records"), "{shown}");
    let output = server.cli(&["import", file]);
    assert_eq!((output.stdout, output.stderr), (b"imported 20,000 records\n".to_vec(), Vec::new()));
    let copy = folder.path().join("copy.ndjson");
    let (_, shown) = Terminal::new(80, 24).run(&server, &["export", "-o", copy.to_str().unwrap()]);
    assert!(shown.contains("exporting") && shown.contains("exported 40,000 records"), "{shown}");
    let output = server.cli(&["export", "a"]);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "note: exported 40,000 records\n");
}

#[test]
fn deletion_is_confirmed_by_yes_only() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    server.post(r#"{"message":"a secret"}"#);
    let ask = |typed: &'static str| {
        let terminal = Terminal::new(80, 24).types("[y/N]", typed);
        terminal.run(&server, &["delete", "secret", "--before", "now"])
    };
    for typed in ["\n", "n\n", "yess\n", "\u{4}"] {
        let (status, shown) = ask(typed);
        assert_eq!(status, 0, "{shown}");
        assert!(shown.contains("1 record before") && shown.contains("nothing was deleted"), "{shown}");
    }
    assert_eq!(server.value("SELECT count(*) FROM logs"), 1);
    let (_, shown) = ask("y\n");
    assert!(shown.contains("deleted 1 record from sqlite"), "{shown}");
    assert_eq!(server.value("SELECT count(*) FROM logs"), 0);
}
