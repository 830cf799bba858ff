//! Property: the program's own log never blocks or ends the server, is bounded, and contains no
//! control characters: blocked or failing standard error, floods of lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use logboom::limits::{LOG_BUFFER_BYTES_MAX, LOG_LINES_PER_INTERVAL_MAX};
use rustix::process::Signal;
use tempfile::TempDir;
use test_support::load::record;
use test_support::lock::DatabaseLock;
use test_support::{PATIENCE, Server, Setup, eventually};

fn dropped_lines(server: &Server) -> u64 {
    server.status()["log_lines_dropped"].as_u64().unwrap()
}

#[test]
fn blocked_log_blocks_nothing_and_counts_dropped_lines() {
    for threads in ["0", "1"] {
        let folder = TempDir::new().unwrap();
        let setup = Setup::new()
            .argument(format!("--threads={threads}"))
            .argument(format!("--log-file={}", folder.path().join("all.log").display()));
        let mut server = setup.start(&folder.path().join("data"));
        server.block_log();
        // The threads of the stores write log lines, too.
        server.flush();
        let locked = DatabaseLock::acquire(&folder.path().join("data/logboom.db"));
        assert_eq!(server.post(record("while blocked")).status, 200);
        eventually("the store fails", || (server.get("/readyz").status == 503).then_some(()));
        locked.release();
        server.flush();
        eventually("lines are lost", || {
            for _ in 0..LOG_BUFFER_BYTES_MAX / 100 {
                // Makes the server log a line, unless one is still pending.
                server.signal(Signal::HUP);
                std::thread::yield_now();
            }
            (dropped_lines(&server) > 0).then_some(())
        });
        assert_eq!(server.post(record("still blocked")).status, 200);

        server.unblock_log();
        let line = eventually("it says so", || server.log_line("log lines were dropped"));
        let lost = line["lines"].as_u64().unwrap();
        assert!(lost > 0 && lost <= dropped_lines(&server), "{line}");
        let metrics = server.get("/metrics").text();
        assert!(
            metrics.contains(&format!("\nlogboom_log_lines_dropped{{}} {}\n", dropped_lines(&server))),
            "{metrics}"
        );

        server.block_log();
        assert_eq!(server.stop(), 0);
        assert!(
            server.log().lines().all(|line| line.starts_with('{') && line.ends_with('}')),
            "{}",
            server.log()
        );
    }
}

/// Runs a server with this standard error until a signal, and returns its exit code.
fn serve_on(stderr: impl Into<Stdio>, threads: &str, also: impl FnOnce()) -> Option<i32> {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("python.sock");
    let mut child = Command::new(test_support::program())
        .args(["serve", "--log-level=trace", "--threads", threads, "--data-dir"])
        .arg(folder.path().join("data"))
        .arg(format!("--listen=python=unix:{}", socket.display()))
        .arg("--listen=http=127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let strange = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").ok()?;
        std::io::Read::read_to_end(&mut stream, &mut Vec::new()).ok()
    };
    eventually("it serves", || {
        assert!(child.try_wait().unwrap().is_none(), "it goes on");
        strange()
    });
    also();
    strange().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    let status = eventually("it ends", || child.try_wait().unwrap());
    status.code()
}

#[test]
fn failing_standard_error_does_not_end_the_server() {
    for threads in ["0", "1"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(serve_on(full, threads, || {}), Some(0), "a full disk");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(serve_on(OwnedFd::from(writer), threads, || {}), Some(0), "a closed pipe");
        let (reader, writer) = std::io::pipe().unwrap();
        assert_eq!(serve_on(OwnedFd::from(writer), threads, || drop(reader)), Some(0), "closed later");
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(serve_on(OwnedFd::from(writer), threads, || {}), Some(0), "a socket that nobody reads");
        drop(reader);
    }
}

/// A start that fails reports the reason, and does not block if standard error is not read.
#[test]
fn failing_start_ends_with_any_standard_error() {
    let command = || {
        let mut command = Command::new(test_support::program());
        command.args(["serve", "--data-dir=/dev/null/\u{1b}[31m", "--listen=http=127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    let said = command().output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    let text = String::from_utf8(said.stderr).unwrap();
    assert!(text.contains("error: cannot use the data folder /dev/null/\\x1b[31m"), "{text}");
    assert!(text.contains("\nhint: "), "{text}");

    let (reader, writer) = std::io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    while (&writer).write(&[b'\n'; 4096]).is_ok() {}
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
    let mut child = command().stderr(OwnedFd::from(writer)).spawn().unwrap();
    let status = eventually("it ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    drop(reader);
}

#[test]
fn log_lines_about_other_protocols_are_limited() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path());
    let strangers = 5 * u64::from(LOG_LINES_PER_INTERVAL_MAX);
    for _ in 0..strangers {
        let mut stream = TcpStream::connect(server.address("python")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"\xff\x1b]0;title\x07").unwrap();
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    }
    eventually("they are counted", || {
        (server.source("python")["rejected"]["not_python"] == strangers).then_some(())
    });
    assert_eq!(server.stop(), 0);
    let log = server.log();
    let lines = log.matches("does not use the protocol of Python's SocketHandler").count() as u64;
    let rest = server.log_line("further messages of this kind were suppressed").unwrap();
    // An interval may have ended in the meantime.
    assert!(lines >= u64::from(LOG_LINES_PER_INTERVAL_MAX) && lines < strangers, "{log}");
    assert_eq!(rest["kind"], "connections of another protocol");
    assert_eq!(rest["lines"], strangers - lines);
}

#[test]
fn no_control_character_reaches_the_log() {
    let evil = "data \u{1b}[31m\u{9b}31m\u{7f}\u{202e}\r\n";
    for (format, shown) in [
        ("text", r"data \x1b[31m\x9b31m\x7f\u{202e}\r\n"),
        ("json", r"data \u001b[31m\u009b31m\u007f\u202e\r\n"),
    ] {
        let folder = TempDir::new().unwrap();
        let mut child = Command::new(test_support::program())
            .args(["serve", "--listen=http=127.0.0.1:0", "--log-format", format, "--data-dir"])
            .arg(folder.path().join(evil))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("ready"));
        child.kill().unwrap();
        child.wait().unwrap();
        let line = line.unwrap();
        assert!(line.contains(shown), "{line}");
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
    }
}
