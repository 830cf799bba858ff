//! Property: with stores that belong to another data folder, and with positions that a person has
//! changed, no acknowledged record is skipped or stored twice. (The tests with PostgreSQL are in
//! `postgres/claims.rs`.)

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use test_support::audit;
use test_support::load::post;
use test_support::random::Random;
use test_support::{Server, Setup, eventually};

use super::{adopt, copy_folder, refusal, refused_for};

fn sqlite(path: &Path) -> Setup {
    Setup::new().argument(format!("--store=sqlite:{}", path.display()))
}

#[test]
fn database_of_another_folder_is_refused() {
    let folder = TempDir::new().unwrap();
    let (shared, own) = (folder.path().join("shared.db"), folder.path().join("own.db"));
    let folders = ["one", "two"].map(|name| folder.path().join(name));
    let mut owner = sqlite(&shared).start(&folders[0]);
    let mut keys = post(&owner, "one", 20);
    owner.flush();
    let mut other = sqlite(&shared).start(&folders[1]);
    let mut others = post(&other, "two", 40); // with ids that the owner has not reached yet
    refused_for(&other, "sqlite", &["another data folder", "a separate database"]);
    assert_eq!(other.get("/readyz").status, 503);
    assert_eq!(other.status()["stores"][0]["lag_records"], 40);
    keys.extend(post(&owner, "one-more", 20));
    owner.flush();
    // Next, the server that starts first after the kill, and then a server that runs alone.
    for server in [&mut owner, &mut other] {
        server.kill();
    }
    let mut other = sqlite(&shared).start(&folders[1]);
    refusal(&other, "sqlite");
    let mut owner = sqlite(&shared).start(&folders[0]);
    keys.extend(post(&owner, "one-last", 20));
    owner.flush();
    assert_eq!(owner.stop(), 0);
    others.extend(post(&other, "two-last", 5));
    other.kill();
    // As the hint recommends.
    let mut other = sqlite(&own).start(&folders[1]);
    other.flush();
    assert_eq!(other.get("/readyz").status, 200);
    assert_eq!(other.stop(), 0);
    for (path, keys) in [(shared, keys), (own, others)] {
        let stored = audit::database(&path);
        stored.check(&path.display().to_string(), &keys);
        assert_eq!(stored.starting_with(""), keys.len());
    }
}

#[test]
fn concurrent_first_starts_give_database_one_owner() {
    let folder = TempDir::new().unwrap();
    let shared = folder.path().join("shared.db");
    let folders = [0, 1].map(|n| folder.path().join(format!("folder-{n}")));
    let mut servers = folders.each_ref().map(|folder| sqlite(&shared).spawn(folder));
    for server in &servers {
        eventually("it is ready", || server.log_line("ready"));
    }
    let mut keys = [Vec::new(), Vec::new()];
    for round in 0..10 {
        for (n, server) in servers.iter().enumerate() {
            keys[n].extend(post(server, &format!("{n}-{round}"), 5));
        }
    }
    // One of them has everything that it accepted, and the other one has shipped nothing.
    let owner = eventually("one has shipped", || {
        (0..2).find(|n| servers[*n].status()["stores"][0]["lag_records"] == 0)
    });
    refusal(&servers[1 - owner], "sqlite");
    servers[owner].flush();
    servers.iter_mut().for_each(Server::kill);
    let stored = audit::database(&shared);
    stored.check("the database", &keys[owner]);
    assert_eq!(stored.starting_with(""), keys[owner].len());
    let own = folder.path().join("own.db");
    let mut other = sqlite(&own).start(&folders[1 - owner]);
    other.flush();
    assert_eq!(other.stop(), 0);
    audit::database(&own).check("its own database", &keys[1 - owner]);
}

#[test]
fn log_file_of_copied_folder_is_refused() {
    let folder = TempDir::new().unwrap();
    let [one, two, log, own] = ["one", "two", "all.log", "own.log"].map(|name| folder.path().join(name));
    let setup = |log: &Path| {
        Setup::new().argument(format!("--log-file={}", log.display())).argument("--line-format=%(message)s")
    };
    let mut server = setup(&log).start(&one);
    let mut keys = post(&server, "before", 10);
    server.flush();
    assert_eq!(server.stop(), 0);
    copy_folder(&one, &two);
    let mut server = setup(&log).start(&two);
    keys.extend(post(&server, "two", 10));
    server.flush();
    assert_eq!(server.stop(), 0);
    let mut server = setup(&log).start(&one);
    let others = post(&server, "one", 30);
    refused_for(&server, "file", &["copy of this data folder", "a separate log file"]);
    server.kill();
    audit::log_file(&log).check("the log file", &keys);
    let mut server = setup(&own).start(&one);
    server.flush();
    assert_eq!(server.stop(), 0);
    audit::log_file(&own).check("its own log file", &others);
    assert_eq!(audit::log_file(&log).starting_with(""), keys.len());
}

fn set_position(database: &Path, position: i64) -> i64 {
    let database = Connection::open(database).unwrap();
    let before = database.query_row("SELECT position FROM shipped", [], |row| row.get(0)).unwrap();
    database.execute("UPDATE shipped SET position = ?", [position]).unwrap();
    before
}

#[test]
fn changed_position_is_reported_and_recovered() {
    for (moved, backlog) in [(-5, 0), (0, 50), (i64::MAX, 50), (i64::MAX, 0), (2501, 50), (501, 50), (1, 0)] {
        let folder = TempDir::new().unwrap();
        let database = folder.path().join("logboom.db");
        let mut server = Server::start(folder.path());
        let mut keys = post(&server, "before", 1500);
        server.flush();
        // Records that only the spool has when the position is changed.
        let lock = Connection::open(&database).unwrap();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        keys.extend(post(&server, "backlog", backlog.max(1)));
        if backlog == 0 {
            lock.execute_batch("ROLLBACK").unwrap();
            server.flush();
        }
        server.kill();
        drop(lock);
        set_position(&database, moved);
        for _ in 0..2 {
            let mut server = Server::start(folder.path());
            keys.extend(post(&server, &format!("after-{}", keys.len()), 20));
            refused_for(&server, "sqlite", &["cannot be trusted", "logboom store adopt sqlite"]);
            assert!(!adopt("sqlite", folder.path()).status.success(), "the server runs");
            server.kill();
        }
        assert!(adopt("sqlite", folder.path()).status.success());
        let mut server = Server::start(folder.path());
        server.flush();
        assert_eq!(server.status()["stores"][0]["missing"], 0);
        assert_eq!(server.stop(), 0);
        let stored = audit::database(&database);
        stored.check(&format!("the database whose position was {moved}"), &keys);
        assert_eq!(stored.starting_with(""), keys.len());
    }
}

/// The folder is lost with its spool; the database is elsewhere.
#[test]
fn new_folder_adopts_database_on_request() {
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("kept.db");
    let [lost, new] = ["lost", "new"].map(|name| folder.path().join(name));
    let mut server = sqlite(&database).start(&lost);
    let mut keys = post(&server, "before", 30);
    server.flush();
    assert_eq!(server.stop(), 0);
    std::fs::remove_dir_all(&lost).unwrap();
    let mut server = sqlite(&database).start(&new);
    refused_for(&server, "sqlite", &["logboom store adopt sqlite"]);
    server.kill();
    assert!(adopt("sqlite", &new).status.success());
    let mut server = sqlite(&database).start(&new);
    keys.extend(post(&server, "after", 10));
    server.flush();
    server.kill();
    let mut server = sqlite(&database).start(&new);
    keys.extend(post(&server, "last", 10));
    server.flush();
    assert_eq!(server.stop(), 0);
    let stored = audit::database(&database);
    stored.check("the database", &keys);
    assert_eq!(stored.starting_with(""), keys.len());
}

#[test]
fn database_is_not_adopted_over_spool_records() {
    let folder = TempDir::new().unwrap();
    let (database, own) = (folder.path().join("kept.db"), folder.path().join("own.db"));
    let [lost, new] = ["lost", "new"].map(|name| folder.path().join(name));
    let mut server = sqlite(&database).start(&lost);
    let keys = post(&server, "before", 30);
    server.flush();
    assert_eq!(server.stop(), 0);
    let mut server = sqlite(&database).start(&new);
    let others = post(&server, "meanwhile", 10);
    refusal(&server, "sqlite");
    server.kill();
    assert!(adopt("sqlite", &new).status.success());
    for _ in 0..2 {
        let mut server = sqlite(&database).start(&new);
        refused_for(&server, "sqlite", &["ids from 1 to 10", "a separate store"]);
        server.kill();
    }
    let mut server = sqlite(&own).start(&new);
    server.flush();
    assert_eq!(server.stop(), 0);
    audit::database(&own).check("a store of their own", &others);
    std::fs::remove_dir_all(new.join("spool")).unwrap();
    assert!(adopt("sqlite", &new).status.success());
    let mut server = sqlite(&database).start(&new);
    let after = post(&server, "after", 10);
    server.flush();
    assert_eq!(server.stop(), 0);
    audit::database(&database).check("the database", &[keys, after].concat());
}

/// The spool is lost while the store cannot be queried: ids start at 1 again, and the store already
/// has these ids.
#[test]
fn ids_assigned_twice_are_refused_not_skipped() {
    let folder = TempDir::new().unwrap();
    let (data, own) = (folder.path().join("data"), folder.path().join("own.db"));
    let mut server = Server::start(&data);
    let keys = post(&server, "before", 50);
    server.flush();
    assert_eq!(server.stop(), 0);
    std::fs::remove_dir_all(data.join("spool")).unwrap();
    let lock = Connection::open(data.join("logboom.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut server = Server::start(&data);
    let mut others = post(&server, "given-twice", 20);
    server.kill();
    drop(lock);
    for round in 0..2 {
        let mut server = Server::start(&data);
        // In the second round, ids exceed the store's position.
        others.extend(post(&server, &format!("more-{round}"), 60));
        refused_for(&server, "sqlite", &["were assigned twice", "a separate store"]);
        server.kill();
    }
    let mut server = sqlite(&own).start(&data);
    server.flush();
    assert_eq!(server.stop(), 0);
    audit::database(&own).check("a store of their own", &others);
    audit::database(&data.join("logboom.db")).check("the database", &keys);
}

/// An older copy of the database is restored, and the spool has already released the records that
/// the copy lacks.
#[test]
fn database_older_than_spool_is_refused() {
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("logboom.db");
    let setup = Setup::new().argument("--spool-segment-bytes=4MiB");
    let mut server = setup.start(folder.path());
    post(&server, "before", 10);
    server.flush();
    assert_eq!(server.stop(), 0);
    let copy = folder.path().join("copy.db");
    std::fs::copy(&database, &copy).unwrap();
    let mut server = setup.start(folder.path());
    let padding = "x".repeat(4000);
    let lines = vec![format!(r#"{{"message":"{padding}"}}"#); 2000].join("\n");
    eventually("the spool has let go of its first records", || {
        assert_eq!(server.post(&lines).status, 200);
        server.flush();
        (server.status()["spool"]["oldest_id"].as_u64() > Some(11)).then_some(())
    });
    assert_eq!(server.stop(), 0);
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path().join(format!("logboom.db{suffix}")));
    }
    std::fs::copy(&copy, &database).unwrap();
    let mut server = setup.start(folder.path());
    refused_for(&server, "sqlite", &["would be skipped", "logboom store adopt sqlite"]);
    server.kill();
    assert!(adopt("sqlite", folder.path()).status.success());
    let mut server = setup.start(folder.path());
    post(&server, "after", 1);
    server.flush();
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.stop(), 0);
}

/// A start reads and writes the claim of each store; a kill may occur between any two of these
/// steps.
#[test]
fn kill_during_claim_keeps_the_stores_owned() {
    let folder = TempDir::new().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("all.log"));
    let setup =
        Setup::new().argument(format!("--log-file={}", log.display())).argument("--line-format=%(message)s");
    let mut random = Random::from_seed("CLAIMS_SEED");
    let mut keys = Vec::new();
    for round in 0..8 {
        for _ in 0..4 {
            let mut server = setup.spawn(&data);
            let until = std::time::Instant::now() + std::time::Duration::from_micros(random.below(60_000));
            while std::time::Instant::now() < until {
                std::thread::yield_now();
            }
            server.kill();
        }
        let mut server = setup.start(&data);
        keys.extend(post(&server, &format!("round-{round}"), 10));
        server.flush();
        server.kill();
    }
    for stored in [audit::database(&data.join("logboom.db")), audit::log_file(&log)] {
        stored.check("a store", &keys);
        assert_eq!(stored.starting_with(""), keys.len());
    }
}
