//! Property: a full disk of the PostgreSQL server is reported, delays no acknowledgement and loses
//! no record.

use std::path::PathBuf;

use tempfile::TempDir;
use test_support::load::{PythonLoad, padded_record, post};
use test_support::postgres::Server as Postgres;
use test_support::small_disk::SmallDisk;
use test_support::{Server, eventually};

use super::{check, last_error, setup};

/// Posts a few hundred KiB, and returns the keys.
fn post_much(server: &Server, name: &str) -> Vec<String> {
    let keys: Vec<_> = (0..200).map(|number| format!("{name}-{number}")).collect();
    let lines: Vec<_> = keys.iter().map(|key| padded_record(key, 2000)).collect();
    assert_eq!(server.post(lines.join("\n")).status, 200);
    keys
}

fn post_until_it_says_why(server: &Server, keys: &mut Vec<String>) -> String {
    let mut number = 0;
    eventually("it says why", || {
        number += 1;
        keys.extend(post_much(server, &format!("during-{number}")));
        last_error(server)
    })
}

fn small_disk(postgres: &Postgres, size: &str) -> (SmallDisk, PathBuf) {
    let path = postgres.data().parent().unwrap().join("small");
    let disk = SmallDisk::mount(&path, size);
    postgres.own(&path);
    (disk, path)
}

#[test]
fn full_disk_of_the_server_is_reported_and_delays_nothing() {
    let folder = TempDir::new().unwrap();
    let postgres = Postgres::start(&[]);
    let (disk, path) = small_disk(&postgres, "48m");
    let database = postgres.database();
    database.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", path.display()));
    let moved = format!("ALTER DATABASE {} SET TABLESPACE small", database.name);
    postgres.database_named("postgres").execute(&moved);
    let mut server = setup(&database.url()).start(folder.path());
    let mut keys = post(&server, "before", 100);
    server.flush();

    let filler = disk.fill();
    let error = post_until_it_says_why(&server, &mut keys);
    assert!(
        error.contains("No space left on device") && error.contains("make room on the server's disk"),
        "{error}"
    );
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("No space left on device"), "{}", ready.text());
    keys.extend(post_much(&server, "meanwhile"));
    let mut python = PythonLoad::start(1000);
    python.aim(&server.address("python"), "python");
    server.wait_for_accepted("python", 1000);

    std::fs::remove_file(filler).unwrap();
    server.flush();
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.stop(), 0);
    check(&database, &keys);
    assert_eq!(database.value("SELECT count(*) FROM logs"), (keys.len() + 1000).to_string());
    assert_eq!(database.value("SELECT count(*) FROM logs_dead_letter"), "0");
}

/// A server without space for its write-ahead log crashes repeatedly, until a person makes space.
#[test]
fn store_waits_for_a_server_without_space_for_its_log() {
    let folder = TempDir::new().unwrap();
    let mut postgres = Postgres::start(&[]);
    let database = postgres.database();
    postgres.stop();
    let (disk, path) = small_disk(&postgres, "80m");
    let (log, moved) = (postgres.data().join("pg_wal"), path.join("pg_wal"));
    let copied = std::process::Command::new("cp").arg("-a").arg(&log).arg(&moved).status().unwrap();
    assert!(copied.success());
    std::fs::remove_dir_all(&log).unwrap();
    std::os::unix::fs::symlink(&moved, &log).unwrap();
    postgres.restart();
    let mut server = setup(&database.url()).start(folder.path());
    let mut keys = post(&server, "before", 100);
    server.flush();

    let filler = disk.fill();
    let error = post_until_it_says_why(&server, &mut keys);
    assert!(error.contains("retries by itself"), "{error}");
    assert_eq!(server.get("/readyz").status, 503);
    keys.extend(post_much(&server, "meanwhile"));
    eventually("the server says why", || postgres.log().contains("No space left on device").then_some(()));

    postgres.kill();
    std::fs::remove_file(filler).unwrap();
    postgres.restart();
    server.flush();
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.stop(), 0);
    check(&database, &keys);
    assert_eq!(database.value("SELECT count(*) FROM logs"), keys.len().to_string());
}
