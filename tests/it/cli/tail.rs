//! Property: `logboom tail` and `logboom query --follow` show every record once and in order, or
//! report how many they missed.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use test_support::postgres::lasting_port;
use test_support::{Server, Setup, eventually};

use super::{assert_fails, nobody, run};

/// The command while it runs.
struct Tail {
    child: Child,
    /// The standard output, until the test closes it.
    out: Option<Lines<BufReader<ChildStdout>>>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tail {
    fn start(server: &Server, arguments: &[&str]) -> Tail {
        Tail::command(server, &[&["tail"], arguments].concat())
    }

    fn command(server: &Server, arguments: &[&str]) -> Tail {
        Tail::at(&server.url(), arguments)
    }

    fn at(url: &str, arguments: &[&str]) -> Tail {
        let mut command = Command::new(test_support::program());
        command.args(arguments).args(["--url", url]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Tail { child, out: Some(out), err }
    }

    fn out(&mut self) -> String {
        self.out.as_mut().unwrap().next().unwrap().unwrap()
    }

    fn err(&mut self) -> String {
        self.err.next().unwrap().unwrap()
    }

    fn id(&mut self) -> u64 {
        serde_json::from_str::<Value>(&self.out()).unwrap()["id"].as_u64().unwrap()
    }

    fn exit_code(&mut self) -> Option<i32> {
        eventually("it ends", || self.child.try_wait().unwrap()).code()
    }
}

fn post(server: &Server, messages: &[&str]) {
    let line = |message: &&str| {
        format!(
            "{{\"time\":\"2026-11-21T10:00:00Z\",\"level\":\"INFO\",\"service\":\"shop\",\"message\":\"{message}\"}}\n"
        )
    };
    let body: String = messages.iter().map(line).collect();
    assert_eq!(server.post(body).json()["accepted"], messages.len());
}

#[test]
fn tail_shows_records_as_they_arrive() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    post(&server, &["one", "two", "one more", "other"]);
    let mut text = Tail::start(&server, &["one"]);
    let line = |message: &str| format!("2026-11-21T10:00:00.000Z INFO     shop - {message}");
    assert_eq!([text.out(), text.out()], [line("one"), line("one more")]);
    let mut json = Tail::start(&server, &["--format=json", "--last=1", "level:info", "NOT service:x"]);
    assert_eq!(json.id(), 4);
    post(&server, &["one again"]);
    assert_eq!(text.out(), line("one again"));
    assert_eq!(json.id(), 5);
    for tail in [&mut text, &mut json] {
        kill_process(Pid::from_child(&tail.child), Signal::INT).unwrap();
        assert_eq!(tail.exit_code(), Some(0), "interrupted");
        assert!(tail.out.as_mut().unwrap().next().is_none() && tail.err.next().is_none(), "in silence");
    }
}

#[test]
fn tail_ends_quietly_when_its_reader_leaves() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    post(&server, &["one"]);
    let mut tail = Tail::start(&server, &[]);
    tail.out();
    tail.out = None;
    let said: Vec<_> = tail.err.by_ref().map(Result::unwrap).collect();
    assert_eq!((said.join("\n").as_str(), tail.exit_code()), ("", Some(0)));
}

#[test]
fn tail_reconnects_without_missing_records() {
    let folder = TempDir::new().unwrap();
    let address = format!("127.0.0.1:{}", lasting_port());
    let mut server = Setup::new().listen(format!("http={address}")).start(folder.path());
    let mut tail = Tail::at(&format!("http://{address}"), &["tail", "--format=json", "--last=0"]);
    let wait_for = |server: &Server| {
        eventually("it is connected", || {
            server.get("/metrics").text().contains("logboom_tails{} 1\n").then_some(())
        });
    };
    wait_for(&server);
    post(&server, &["one", "two"]);
    assert_eq!([tail.id(), tail.id()], [1, 2]);
    for round in 0..2u64 {
        if round == 0 {
            server.kill();
        } else {
            assert_eq!(server.stop(), 0);
        }
        let lost = tail.err();
        assert!(lost.starts_with("note: ") && lost.ends_with("; trying again"), "{lost}");
        server = Setup::new().start(folder.path());
        post(&server, &["meanwhile"]);
        server.kill();
        server = Setup::new().listen(format!("http={address}")).start(folder.path());
        assert_eq!(tail.err(), "note: connected again");
        post(&server, &["now"]);
        assert_eq!([tail.id(), tail.id()], [3 + 2 * round, 4 + 2 * round]);
    }
}

#[test]
fn tail_reports_missed_records() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--spool-segment-bytes=4MiB").start(folder.path());
    let mut tail = Tail::start(&server, &["--format=json", "--last=0"]);
    eventually("it is connected", || {
        server.get("/metrics").text().contains("logboom_tails{} 1\n").then_some(())
    });
    // Only as much of the command's output is read as keeps the server from closing the connection.
    let mut ids = Vec::new();
    for n in 0..40 {
        let line = format!("{{\"message\":\"{n:01000}\"}}\n");
        assert_eq!(server.post(line.repeat(1000)).json()["accepted"], 1000);
        let enough = ids.len() + 300;
        while ids.len() < enough && ids.last().is_none_or(|last| *last <= n * 1000) {
            ids.push(tail.id());
        }
    }
    server.flush();
    eventually("the segments are released", || (server.status()["spool"]["segments"] == 1).then_some(()));
    let is_shown = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // All remaining records may have been missed: the tail continues with records that arrive
        // later.
        scope.spawn(|| {
            eventually("one is shown", || {
                server.post("{\"message\":\"last\"}");
                is_shown.load(Relaxed).then_some(())
            });
        });
        while ids.last() <= Some(&40_000) {
            ids.push(tail.id());
        }
        is_shown.store(true, Relaxed);
    });
    let _ = tail.child.kill();
    // Each loss is reported before the records after it are shown.
    let missed = tail.err.by_ref().map(|line| {
        let line = line.unwrap();
        let count = line.strip_prefix("note: missed ").unwrap().strip_suffix(" records").unwrap();
        count.replace(',', "").parse::<u64>().unwrap()
    });
    let missed: u64 = missed.sum();
    assert!(missed > 0, "the reader was not slow enough for the test");
    assert!(ids.is_sorted());
    assert_eq!(missed + ids.len() as u64, *ids.last().unwrap());
}

#[test]
fn tail_of_invalid_request_fails_immediately() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    assert_fails(&run(&["tail", "--url", &server.url(), "(a"]), 2, &["hint: "]);
    let (_nobody, url) = nobody();
    assert_fails(&run(&["tail", "--url", &url]), 1, &["is `logboom serve` running?"]);
}

/// The result does not depend on how records that arrive during the query are split between the
/// database and the stream.
#[test]
fn followed_query_shows_each_record_once() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let rounds = 200;
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| (0..rounds).for_each(|_| post(&server, &["one", "two", "three"])));
        let (arguments, mut followers) = (["query", "--follow", "--limit=100000", "--fields=id"], Vec::new());
        while followers.len() < 3 || !sending.is_finished() && followers.len() < 10 {
            let mut follower = Tail::command(&server, &arguments);
            followers.push(scope.spawn(move || (1..=3 * rounds).all(|id| follower.out() == id.to_string())));
        }
        for follower in followers {
            assert!(follower.join().unwrap());
        }
    });
}

#[test]
fn followed_query_keeps_its_conditions() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    post(&server, &["one", "two", "one more", "other"]);
    server.flush();
    let mut query = Tail::command(&server, &["query", "-f", "--limit=1", "--fields=message", "one"]);
    assert_eq!(query.out(), "one more");
    post(&server, &["two", "one again"]);
    assert_eq!(query.out(), "one again");
}
