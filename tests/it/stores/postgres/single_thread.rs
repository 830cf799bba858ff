//! Property: with `--threads=1` there is one thread and no child process, whether the PostgreSQL
//! server is up or down.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use test_support::load::post;
use test_support::postgres::Server as Postgres;
use test_support::{Server, eventually};

use super::{check, last_error, setup};

fn process(server: &Server) -> PathBuf {
    Path::new("/proc").join(server.child.id().to_string())
}

fn is_alone(server: &Server) {
    let tasks = process(server).join("task");
    let tasks: Vec<_> = std::fs::read_dir(tasks).unwrap().map(|task| task.unwrap().path()).collect();
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    assert_eq!(std::fs::read_to_string(tasks[0].join("children")).unwrap(), "", "child processes");
}

/// Returns what epoll watches: each file, and its events.
fn watched(server: &Server) -> Vec<(PathBuf, u32)> {
    let process = process(server);
    let mut watched = Vec::new();
    for entry in std::fs::read_dir(process.join("fd")).unwrap().map(|entry| entry.unwrap()) {
        // A connection may have been closed in the meantime.
        if !std::fs::read_link(entry.path()).is_ok_and(|link| link.ends_with("anon_inode:[eventpoll]")) {
            continue;
        }
        let about = std::fs::read_to_string(process.join("fdinfo").join(entry.file_name())).unwrap();
        for line in about.lines().filter_map(|line| line.strip_prefix("tfd:")) {
            let mut words = line.split_ascii_whitespace();
            let (file, events) = (words.next().unwrap(), words.nth(1).unwrap());
            let file = std::fs::read_link(process.join("fd").join(file)).unwrap_or_default();
            watched.push((file, u32::from_str_radix(events, 16).unwrap()));
        }
    }
    watched
}

/// Checks that the kernel reports changes of state (edge-triggered), and does not report the same
/// state repeatedly.
fn is_edge_triggered(server: &Server) {
    const EPOLLET: u32 = 1 << 31;
    let watched = watched(server);
    let sockets = watched.iter().filter(|(file, _)| file.to_string_lossy().starts_with("socket:"));
    // The listeners and the connection to the server.
    assert!(sockets.count() >= 4, "{watched:?}");
    assert!(watched.iter().all(|(_, events)| events & EPOLLET != 0), "{watched:?}");
}

#[test]
fn threads_1_runs_one_thread_and_no_child() {
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres");
    let mut postgres = Postgres::start_with_tls(files);
    let database = postgres.database();
    let port = postgres.port();
    // The URL requires a name lookup and TLS.
    let url = format!(
        "postgres://postgres@localhost:{port}/{}?sslmode=verify-full&sslrootcert={files}/authority.crt",
        database.name
    );
    let folder = TempDir::new().unwrap();
    let mut server = setup(&url).argument("--threads=1").start(folder.path());
    let mut keys = post(&server, "key", 1000);
    server.flush();
    is_alone(&server);
    is_edge_triggered(&server);
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'logboom'";
    assert_eq!(database.value(encrypted), "t");

    postgres.stop();
    keys.extend(post(&server, "away", 1000));
    eventually("it has tried again and again", || {
        is_alone(&server);
        (server.status()["stores"][0]["failures"].as_u64() >= Some(5)).then_some(())
    });
    // The first of these errors may have come from a server that was stopping.
    eventually("it says why", || {
        last_error(&server).filter(|error| error.contains("no connection to localhost"))
    });
    postgres.restart();
    server.flush();
    is_alone(&server);
    is_edge_triggered(&server);
    assert_eq!(server.stop(), 0);
    check(&database, &keys);
}
