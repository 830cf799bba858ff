//! Property: files and locks that are removed under a running server, and limits that take effect
//! while it runs, cost no acknowledged record.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{CWD, FileType, mknodat};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use tempfile::TempDir;
use test_support::audit;
use test_support::load::{post_each, record};
use test_support::lock::DatabaseLock;
use test_support::{Answer, Server, Setup, eventually};

/// Returns the files of the segments in a folder.
pub fn segments(spool: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(spool) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    paths.sort();
    paths
}

/// Waits until every segment whose file was removed has a file again, or is not needed any more.
/// The number of segment files would not suffice: while one file is removed, another one is
/// created.
pub fn wait_until_restored(server: &Server, taken: &[PathBuf]) {
    let is_restored = |path: &PathBuf| {
        let first_id: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        path.exists() || server.status()["spool"]["oldest_id"].as_u64().unwrap() > first_id
    };
    eventually("every segment has a file again", || taken.iter().all(is_restored).then_some(()));
    eventually("it is known", || (server.status()["spool"]["displaced_segments"] == 0).then_some(()));
}

/// Nothing is stored while the database is locked, so that only the spool has the records.
fn start_with_locked_database(folder: &Path) -> (Server, DatabaseLock) {
    let server = Server::start(folder);
    post_each(&server, "stored", 1);
    server.flush();
    let locked = DatabaseLock::acquire(&folder.join("logboom.db"));
    (server, locked)
}

#[test]
fn spool_folder_removed_costs_no_acknowledged_record() {
    let folder = TempDir::new().unwrap();
    let (mut server, locked) = start_with_locked_database(folder.path());
    let mut keys = post_each(&server, "before", 10);
    let spool = folder.path().join("spool");
    let taken = segments(&spool);
    std::fs::remove_dir_all(&spool).unwrap();
    keys.extend(post_each(&server, "after", 200));
    eventually("it is logged", || server.log_line("moved, removed or replaced while the server wrote it"));
    wait_until_restored(&server, &taken);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("logboom_spool_displaced_segments{} 0"), "{metrics}");
    assert!(metrics.contains("logboom_spool_restored_segments{} 1"), "{metrics}");
    server.kill();
    locked.release();

    let mut server = Server::start(folder.path());
    server.flush();
    assert_eq!(server.status()["spool"]["lost_records"], 0);
    assert_eq!(server.stop(), 0);
    audit::database(&folder.path().join("logboom.db")).check("the database", &keys);
}

#[test]
fn segments_removed_while_idle_are_copied_before_a_kill() {
    let folder = TempDir::new().unwrap();
    let (mut server, locked) = start_with_locked_database(folder.path());
    let keys = post_each(&server, "before", 20);
    let spool = folder.path().join("spool");
    let taken = segments(&spool);
    taken.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    eventually("a copy is made", || server.log_line("the segment was copied to a new file"));
    wait_until_restored(&server, &taken);
    server.kill();
    locked.release();
    let mut server = Server::start(folder.path());
    server.flush();
    assert_eq!(server.stop(), 0);
    audit::database(&folder.path().join("logboom.db")).check("the database", &keys);
}

#[test]
fn segment_replaced_or_cut_is_not_written_to() {
    for cut in [false, true] {
        let folder = TempDir::new().unwrap();
        let mut server = Server::start(folder.path());
        post_each(&server, "before", 3);
        server.flush();
        let segment = segments(&folder.path().join("spool")).pop().unwrap();
        if cut {
            std::fs::File::options().write(true).open(&segment).unwrap().set_len(100).unwrap();
        } else {
            std::fs::remove_file(&segment).unwrap();
            std::fs::write(&segment, "something else").unwrap();
        }
        let keys = post_each(&server, "after", 10);
        server.kill();
        let mut server = Server::start(folder.path());
        server.flush();
        assert_eq!(server.stop(), 0);
        audit::database(&folder.path().join("logboom.db")).check("the database", &keys);
    }
}

/// Waits until records are refused and the server is not ready, each for this reason.
fn wait_until_refused(server: &Server, why: &str) {
    let is_told = |answer: Answer| answer.status == 503 && answer.text().contains(why);
    eventually("it is not ready", || is_told(server.get("/readyz")).then_some(()));
    assert!(is_told(server.post(record("refused"))));
}

#[test]
fn data_folder_replaced_acknowledges_nothing_until_it_is_back() {
    let above = TempDir::new().unwrap();
    let [data, moved, other] = ["data", "moved", "other"].map(|name| above.path().join(name));
    let database = above.path().join("kept/records.db");
    let store = format!("--store=sqlite:{}", database.display());
    let mut server = Setup::new().argument(&store).start(&data);
    let mut keys = post_each(&server, "before", 10);
    std::fs::rename(&data, &moved).unwrap();
    wait_until_refused(&server, "was moved, removed or replaced while the server was running");

    // Another server may use the path in the meantime: nothing is written to its folder.
    let other_store = format!("--store=sqlite:{}", above.path().join("other.db").display());
    let mut second = Setup::new().argument(other_store).start(&data);
    let theirs = post_each(&second, "theirs", 10);
    wait_until_refused(&server, "was moved, removed or replaced while the server was running");
    second.flush();
    assert_eq!(second.stop(), 0);
    audit::database(&above.path().join("other.db")).check("the other database", &theirs);
    assert_eq!(segments(&data.join("spool")).len(), 1);

    std::fs::rename(&data, other).unwrap();
    std::fs::rename(&moved, &data).unwrap();
    eventually("it is ready again", || (server.get("/readyz").status == 200).then_some(()));
    keys.extend(post_each(&server, "after", 10));
    server.flush();
    assert_eq!(server.stop(), 0);
    audit::database(&database).check("the database", &keys);
}

#[test]
fn lock_file_removed_still_refuses_a_second_server() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path());
    std::fs::remove_file(folder.path().join("lock")).unwrap();
    let mut second = Setup::new().spawn(folder.path());
    assert_eq!(second.exit_code(), Some(1));
    assert!(second.log().contains("another process is using it"), "{}", second.log());
    eventually("it is made again", || folder.path().join("lock").exists().then_some(()));
    assert_eq!(server.get("/readyz").status, 200);
    post_each(&server, "after", 3);
    assert_eq!(server.stop(), 0);
}

/// A process that locks the file alone, as older versions do.
struct Holder(Child);

impl Holder {
    fn lock(path: &Path) -> Holder {
        const PROGRAM: &str = r#"
import fcntl, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("locked", flush=True)
sys.stdin.read()
"#;
        let mut command = Command::new("python3");
        command.args(["-c", PROGRAM]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "locked\n");
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn lock_file_replaced_by_an_older_version_stops_acknowledging() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path());
    let keys = post_each(&server, "before", 3);
    let lock = folder.path().join("lock");
    // Renamed over the lock, because the lock file is created again as soon as it is gone.
    let theirs = folder.path().join("theirs");
    let holder = Holder::lock(&theirs);
    std::fs::rename(theirs, lock).unwrap();
    wait_until_refused(&server, "another process may be using the folder");
    drop(holder);
    wait_until_refused(&server, "another process may be using the folder");
    assert_eq!(server.stop(), 0);
    let mut server = Server::start(folder.path());
    server.flush();
    assert_eq!(server.stop(), 0);
    audit::database(&folder.path().join("logboom.db")).check("the database", &keys);
}

fn limit_file_size(server: &Server, bytes: Option<u64>) {
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(Some(Pid::from_child(&server.child)), Resource::Fsize, limit).unwrap();
}

#[test]
fn file_size_limit_refuses_as_a_full_disk_and_heals() {
    let folder = TempDir::new().unwrap();
    let setup = Setup::new().argument("--spool-segment-bytes=4MiB").argument("--spool-bytes-max=64MiB");
    let mut server = setup.start(folder.path());
    let mut keys = post_each(&server, "before", 10);
    server.flush();
    limit_file_size(&server, Some(64 << 10));
    let large = |key: &str| record(key).replace('}', &format!(r#","padding":"{}"}}"#, "x".repeat(10_000)));
    let answer = eventually("it is refused", || {
        let key = format!("limited-{}", keys.len());
        let answer = server.post(large(&key));
        match answer.status {
            200 => {
                keys.push(key);
                None
            }
            _ => Some(answer),
        }
    });
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.text().contains("File too large"), "{}", answer.text());
    assert!(server.get("/readyz").text().contains("a limit on the size of files"));
    limit_file_size(&server, None);
    eventually("it is ready again", || (server.get("/readyz").status == 200).then_some(()));
    keys.extend(post_each(&server, "after", 10));
    server.kill();
    let mut server = setup.start(folder.path());
    server.flush();
    assert_eq!(server.status()["spool"]["lost_records"], 0);
    assert_eq!(server.stop(), 0);
    audit::database(&folder.path().join("logboom.db")).check("the database", &keys);
}

fn make_fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).unwrap();
}

/// Returns paths of files that can never be a store.
fn obstacles(folder: &Path) -> Vec<PathBuf> {
    let [fifo, directory, socket] = ["fifo", "directory", "socket"].map(|name| folder.join(name));
    make_fifo(&fifo);
    std::fs::create_dir(&directory).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let sidecar = folder.join("all.log.position");
    make_fifo(&sidecar);
    vec![fifo, directory, socket, "/dev/null".into(), folder.join("all.log")]
}

#[test]
fn store_that_is_no_regular_file_does_not_delay_stop() {
    let above = TempDir::new().unwrap();
    for (number, path) in obstacles(above.path()).iter().enumerate() {
        for kind in ["file", "sqlite"] {
            if kind == "sqlite" && path.ends_with("all.log") {
                continue; // this path is about the file beside a log file
            }
            let data = above.path().join(format!("data-{kind}-{number}"));
            let store = format!("--store={kind}:{}", path.display());
            let mut server = Setup::new().argument(store).start(&data);
            let answer = server.post(record("key"));
            assert_eq!(answer.status, 200, "{}", answer.text());
            let error = eventually("it says why", || {
                server.status()["stores"][0]["last_error"].as_str().map(str::to_owned)
            });
            assert!(error.contains("it is not a regular file"), "{path:?}: {error}");
            assert_eq!(server.get("/api/v1/records").status / 100, 5);
            server.signal(Signal::TERM);
            assert_eq!(server.exit_code(), Some(0));
            // The stop does not wait for all of `shutdown_seconds_max`, as for a store that may
            // come back.
            assert!(
                server.log().contains("the store does not accept the remaining records"),
                "{path:?}: {}",
                server.log()
            );
            assert!(!server.log().contains("did not accept all records in time"), "{path:?}");
        }
    }
}
