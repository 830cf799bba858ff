//! Property: stores and folders that fail while records arrive cost no acknowledged record, are
//! reported with what to do, and are used again once they work.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use test_support::audit::{self, Trail};
use test_support::load::{Ledger, PythonLoad, post_each};
use test_support::lock::DatabaseLock;
use test_support::{Server, Setup, eventually};

/// Moves a database away with the files that belong to it.
fn move_away(database: &Path, to: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        match std::fs::rename(name(database), name(to)) {
            Err(error) if suffix.is_empty() => panic!("{error}"),
            _ => {}
        }
    }
}

#[test]
fn locked_database_delays_no_acknowledgement() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path());
    let mut keys = post_each(&server, "before", 10);
    server.flush();
    let database = folder.path().join("logboom.db");
    let locked = DatabaseLock::acquire(&database);
    keys.extend(post_each(&server, "during", 200));
    let ready = eventually("it is not ready", || {
        let answer = server.get("/readyz");
        (answer.status == 503).then_some(answer)
    });
    assert!(ready.text().contains("another process holds a lock on it"), "{}", ready.text());
    keys.extend(post_each(&server, "meanwhile", 200));
    assert_eq!(server.status()["stores"][0]["lag_records"], 400);
    locked.release();
    server.flush();
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.stop(), 0);
    audit::database(&database).check("the database", &keys);
}

#[test]
fn corrupted_database_is_replaced_after_moving_it_away() {
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("logboom.db");
    let mut server = Server::start(folder.path());
    let mut keys = post_each(&server, "before", 10);
    server.flush();
    assert_eq!(server.stop(), 0);
    let mut file = std::fs::File::options().write(true).open(&database).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&[0x5a; 16384]).unwrap();
    drop(file);

    let mut server = Server::start(folder.path());
    keys.extend(post_each(&server, "after", 10));
    let ready = eventually("it is not ready", || {
        let answer = server.get("/readyz");
        (answer.status == 503).then_some(answer)
    });
    assert!(ready.text().contains("file is not a database"), "{}", ready.text());
    assert!(ready.text().contains("move ") && ready.text().contains(" away"), "{}", ready.text());
    move_away(&database, &folder.path().join("broken.db"));
    eventually("it is ready again", || (server.get("/readyz").status == 200).then_some(()));
    server.flush();
    assert_eq!(server.stop(), 0);
    // The spool still had all records, and the ids continued.
    audit::database(&database).check("the database", &keys);
}

/// As `> logboom.db` in a shell does: readers fail, while the writer could continue with what it
/// has in memory.
#[test]
fn truncated_database_is_reported_and_replaced() {
    for suffix in ["", "-wal"] {
        let folder = TempDir::new().unwrap();
        let database = folder.path().join("logboom.db");
        let mut server = Server::start(folder.path());
        let mut keys = post_each(&server, "before", 10);
        server.flush();
        let cut = File::options().write(true).open(format!("{}{suffix}", database.display())).unwrap();
        cut.set_len(0).unwrap();
        // No record arrives: housekeeping detects the change.
        let ready = eventually("it is not ready", || {
            let answer = server.get("/readyz");
            (answer.status == 503).then_some(answer)
        });
        assert!(ready.text().contains("was truncated while it was open"), "{}", ready.text());
        assert!(
            ready.text().contains("move ") && ready.text().contains("`logboom restore`"),
            "{}",
            ready.text()
        );
        keys.extend(post_each(&server, "after", 10));
        move_away(&database, &folder.path().join("broken.db"));
        server.flush();
        assert_eq!(server.get("/readyz").status, 200);
        assert_eq!(server.stop(), 0);
        // The spool still had all records.
        audit::database(&database).check("the database", &keys);
    }
}

#[test]
fn bad_text_is_tolerated_and_missing_table_reported() {
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("logboom.db");
    let mut server = Server::start(folder.path());
    let mut keys = post_each(&server, "before", 10);
    server.flush();
    assert_eq!(server.stop(), 0);
    let change = |sql: &str| rusqlite::Connection::open(&database).unwrap().execute_batch(sql).unwrap();
    change(
        "UPDATE record SET message = CAST(x'ff' AS TEXT), logger = CAST(x'ff' AS TEXT);
         UPDATE word SET text = CAST(x'ff' AS TEXT)",
    );
    let mut server = Server::start(folder.path());
    keys.extend(post_each(&server, "after", 10));
    server.flush();
    assert_eq!(server.get("/readyz").status, 200);
    let found = server.get("/api/v1/records?limit=100").json();
    assert_eq!(found["records"].as_array().unwrap().len(), 20, "{found}");
    assert_eq!(server.stop(), 0);
    audit::database(&database).check("the database", &keys);
    change("DROP TABLE word");
    let server = Server::start(folder.path());
    let ready = eventually("it is not ready", || {
        let answer = server.get("/readyz");
        (answer.status == 503).then_some(answer)
    });
    assert!(ready.text().contains("no such table: word"), "{}", ready.text());
    assert!(ready.text().contains("move ") && ready.text().contains("`logboom restore`"), "{}", ready.text());
}

#[test]
fn deleted_database_is_created_again() {
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("logboom.db");
    let mut server = Server::start(folder.path());
    let mut keys = post_each(&server, "before", 10);
    server.flush();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", database.display()));
    }
    keys.extend(post_each(&server, "after", 10));
    eventually("it is noticed", || server.log_line("was moved or deleted while it was open"));
    eventually("it has gone back", || server.log_line("the store went back to an older state"));
    eventually("everything is there again", || {
        (server.status()["stores"][0]["stored"].as_u64() >= Some(30)).then_some(())
    });
    assert_eq!(server.stop(), 0);
    audit::database(&database).check("the database", &keys);
}

/// Deletes files of the database while records arrive over both protocols. The records that the
/// spool still has are in the database at the end, and the other store is not affected.
fn deleted_under_load(suffixes: &[&str]) {
    let folder = TempDir::new().unwrap();
    let (data, log_file) = (folder.path().join("data"), folder.path().join("all.log"));
    let database = data.join("logboom.db");
    let mut server = Setup::new()
        .argument("--spool-segment-bytes=4MiB")
        .argument(format!("--log-file={}", log_file.display()))
        .argument("--line-format=%(id)s %(message)s")
        .start(&data);
    let ledger = Arc::new(Ledger::default());
    let clients = [(1, 0), (50, 500)].map(|(batch, padding)| {
        ledger.post_padded_on(&server.address("http"), &format!("http-{batch}"), batch, padding)
    });
    let mut python = PythonLoad::start(10_000);
    python.aim(&server.address("python"), "python");
    let load = |answers| {
        let wanted = ledger.answers() + answers;
        eventually("load", || (ledger.answers() >= wanted).then_some(()));
    };
    load(200);
    for suffix in suffixes {
        // The server may have detected the first deletion, and created a new database, before the
        // next file is deleted.
        let gone = std::fs::remove_file(format!("{}{suffix}", database.display()));
        assert!(gone.is_ok() || *suffix != suffixes[0], "{gone:?}");
    }
    let durable_id = server.status()["spool"]["durable_id"].as_u64().unwrap();
    eventually("it is noticed", || server.log_line("was moved or deleted while it was open"));
    load(200);
    ledger.stop();
    clients.into_iter().for_each(|client| client.join().unwrap());
    drop(python);
    eventually("all is read", || (server.source("python")["connections"] == 0).then_some(()));
    eventually("all is well", || (server.get("/readyz").status == 200).then_some(()));
    server.flush();
    assert_eq!(server.stop(), 0);

    let lines = Trail::of_log_files(&log_file);
    lines.check_has("the log file", &ledger.acknowledged());
    let stored = audit::keys_of(&database);
    let missing = (lines.count() - stored.len()) as u64;
    if suffixes.contains(&"") {
        assert!(missing < durable_id, "what came after it was deleted is there: {missing} of {durable_id}");
    } else {
        assert_eq!(missing, 0);
    }
    audit::database(&database); // checks that ids have no gaps
    lines.check_ends_with("the log file", &stored);
}

#[test]
fn database_deleted_under_load_is_refilled_from_spool() {
    deleted_under_load(&["", "-wal", "-shm"]);
    deleted_under_load(&[""]);
}

#[test]
fn write_ahead_log_deleted_under_load_loses_nothing() {
    deleted_under_load(&["-wal"]);
}

#[test]
fn ids_continue_from_database_after_data_folder_loss() {
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("kept/records.db");
    let setup = Setup::new().argument(format!("--store=sqlite:{}", database.display()));
    let data = folder.path().join("data");
    let mut server = setup.start(&data);
    let mut keys = post_each(&server, "before", 10);
    server.flush();
    assert_eq!(server.stop(), 0);
    std::fs::remove_dir_all(&data).unwrap();

    // The new folder is a different one; the command declares that the database now belongs to it.
    assert!(super::adopt("sqlite", &data).status.success());
    let mut server = setup.start(&data);
    keys.extend(post_each(&server, "after", 10));
    server.flush();
    let ids = server.sql("select min(id), max(id) from logs where trace_id like 'after-%'");
    assert_eq!(ids, [serde_json::json!([11, 20])]);
    assert_eq!(server.stop(), 0);
    audit::database(&database).check("the database", &keys);
}

#[test]
fn store_that_cannot_be_opened_reports_why_and_recovers() {
    let folder = TempDir::new().unwrap();
    let obstacle = folder.path().join("obstacle");
    std::fs::write(&obstacle, "a file where a folder should be").unwrap();
    let (database, log_file) = (obstacle.join("records.db"), obstacle.join("all.log"));
    let setup = Setup::new()
        .argument(format!("--store=sqlite:{}", database.display()))
        .argument(format!("--log-file={}", log_file.display()));
    let mut server = setup.start(&folder.path().join("data"));
    let keys = post_each(&server, "key", 10);
    for (store, path) in [("sqlite", &database), ("file", &log_file)] {
        let error = eventually("it says why", || {
            let stores = server.status()["stores"].take();
            let store =
                stores.as_array().unwrap().iter().find(|status| status["kind"] == store).unwrap().clone();
            store["last_error"].as_str().map(str::to_owned)
        });
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(error.contains("os error"), "{error}");
    }
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("records.db") && ready.text().contains("all.log"), "{}", ready.text());
    std::fs::remove_file(&obstacle).unwrap();
    server.flush();
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.stop(), 0);
    audit::database(&database).check("the database", &keys);
    audit::log_file(&log_file).check("the log file", &keys);
}

/// Run as a user without write permission for the folder.
#[test]
fn data_folder_without_permission_is_a_clear_failure() {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("logboom");
    std::fs::copy(test_support::program(), &program).unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    rustix::fs::chmod(folder.path(), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    for data in [closed.clone(), closed.join("below")] {
        let mut command = Command::new(&program);
        command.args(["serve", "--listen=http=127.0.0.1:0", "--data-dir"]).arg(&data);
        let output = command.uid(65534).gid(65534).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&format!("error: cannot use the data folder {}", data.display())), "{text}");
        assert!(text.contains("Permission denied") && text.contains("hint: "), "{text}");
    }
}
