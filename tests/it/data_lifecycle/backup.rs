//! Property: a backup of a running server is complete and checked, and a server can continue from
//! it without loss.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use test_support::load::Ledger;
use test_support::{Server, eventually};

use super::{Kept, command, failed, lines, logboom, succeeded};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn back_up(data_dir: &Path, to: &Path) -> std::process::Output {
    logboom(&["backup", text(to), "--data-dir", text(data_dir)])
}

fn restore(from: &Path, data_dir: &Path) -> std::process::Output {
    logboom(&["restore", text(from), "--data-dir", text(data_dir)])
}

/// Returns the trace ids of the records of a server, in the order of the record ids.
fn keys(server: &Server) -> Vec<String> {
    server.flush();
    let (mut keys, mut last) = (Vec::new(), 0);
    loop {
        // The rows of a statement are limited, and the number of new records is unknown.
        let some = format!("trace_id IS NOT NULL AND id > {last} ORDER BY id LIMIT 10000");
        let rows = server.sql(&format!("SELECT id, trace_id FROM logs WHERE {some}"));
        let Some(row) = rows.last() else { return keys };
        last = row[0].as_u64().unwrap();
        keys.extend(rows.iter().map(|row| row[1].as_str().unwrap().to_owned()));
    }
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn no_gaps(server: &Server) {
    let rows = server.sql("SELECT missing FROM logs_accounted");
    assert_eq!(rows[0][0], 0);
}

#[test]
fn backup_under_load_is_complete_and_can_be_continued() {
    let kept = Kept::sqlite(&["--spool-segment-bytes=4MiB"]);
    kept.fill(lines(20_000, "secret"));
    kept.delete(&serde_json::json!({ "query": "secret", "before": "now" }));
    let ledger = Arc::new(Ledger::default());
    let clients: Vec<_> =
        (0..3).map(|n| ledger.post_on(&kept.server.address("http"), &format!("load-{n}"), 50)).collect();
    eventually("load", || (ledger.answers() >= 50).then_some(()));
    let before = ledger.acknowledged();
    let place = TempDir::new().unwrap();
    let backup = place.path().join("backup.db");
    let said = succeeded(&back_up(kept.folder.path(), &backup));
    assert!(said.contains("0 missing, 2000 deleted on purpose"), "{said}");
    ledger.stop();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(files(place.path()), ["backup.db"]);
    // The backup is final: a second backup does not overwrite it.
    failed(&back_up(kept.folder.path(), &backup), "it exists already");

    let data_dir = place.path().join("new");
    let said = succeeded(&restore(&backup, &data_dir));
    assert!(said.starts_with("restored "), "{said}");
    let server = Server::start(&data_dir);
    let stored = keys(&server);
    no_gaps(&server);
    let known: std::collections::HashSet<_> = stored.iter().collect();
    assert_eq!(known.len(), stored.len(), "some are there twice");
    // What was stored before the backup began must be in it.
    let missing = before.iter().filter(|key| !known.contains(key)).count();
    assert_eq!(missing, 0, "of {}", before.len());
    let next = server.value("SELECT max(id) + 1 FROM logs");
    assert_eq!(server.post(test_support::load::record("after")).status, 200);
    assert_eq!(keys(&server).last().map(String::as_str), Some("after"));
    assert_eq!(server.value("SELECT max(id) FROM logs"), next);
    no_gaps(&server);
}

/// Everything that was accepted is in the backup, even if only the spool had it when the command
/// began.
#[test]
fn backup_waits_for_records_in_the_spool() {
    let kept = Kept::sqlite(&["--flush-interval=1s"]);
    let records: Vec<_> = lines(200, "x").map(|line| line.to_string()).collect();
    assert_eq!(kept.server.post(records.join("\n")).json()["accepted"], 200);
    let place = TempDir::new().unwrap();
    let said = succeeded(&back_up(kept.folder.path(), &place.path().join("backup.db")));
    assert!(said.starts_with("backed up 200 records"), "{said}");
}

#[test]
fn spooled_records_are_restored_once() {
    let kept = Kept::sqlite(&[]);
    let post = |server: &Server, name: &str| {
        let records: Vec<_> = (0..200).map(|n| test_support::load::record(&format!("{name}-{n}"))).collect();
        assert_eq!(server.post(records.join("\n")).json()["accepted"], 200);
    };
    post(&kept.server, "before");
    kept.server.flush();
    let place = TempDir::new().unwrap();
    let backup = place.path().join("backup.db");
    succeeded(&back_up(kept.folder.path(), &backup));
    // The following records are in the database and in the spool; later ones are only in the spool.
    post(&kept.server, "stored");
    kept.server.flush();
    let Kept { mut server, folder, setup, .. } = kept;
    let lock = rusqlite::Connection::open(folder.path().join("logboom.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    post(&server, "spooled");
    server.kill();
    drop(lock);
    let late = place.path().join("late.db");
    let said = succeeded(&back_up(folder.path(), &late));
    assert!(said.contains("backed up 400 records") && said.contains("not included: 200 records"), "{said}");
    failed(&restore(&backup, folder.path()), "logboom.db exists already");
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(folder.path().join(format!("logboom.db{suffix}")));
    }
    succeeded(&restore(&backup, folder.path()));
    let server = setup.start(folder.path());
    let names = ["before", "stored", "spooled"];
    let expected: Vec<_> =
        names.iter().flat_map(|name| (0..200).map(move |n| format!("{name}-{n}"))).collect();
    assert_eq!(keys(&server), expected);
    no_gaps(&server);
}

#[test]
fn restore_into_folder_of_running_server_is_refused() {
    let kept = Kept::sqlite(&[]);
    kept.fill(lines(10, "x"));
    let place = TempDir::new().unwrap();
    let backup = place.path().join("backup.db");
    succeeded(&back_up(kept.folder.path(), &backup));
    failed(&restore(&backup, kept.folder.path()), "another process is using it");
    failed(&back_up(place.path(), &place.path().join("b.db")), "the database does not exist");
    fs::write(&backup, "not a database").unwrap();
    failed(&restore(&backup, &place.path().join("new")), "cannot restore");
    assert!(!place.path().join("new").exists(), "a folder for what cannot be restored");
}

/// A draft may be large, and the disk full because of it.
#[test]
fn failed_backup_or_restore_leaves_no_file() {
    let mut kept = Kept::sqlite(&[]);
    kept.fill(lines(10_000, "x"));
    let place = TempDir::new().unwrap();
    let (backup, new) = (place.path().join("backup.db"), place.path().join("new"));
    succeeded(&back_up(kept.folder.path(), &backup));
    let second = place.path().join("second.db");
    let limited = |arguments: [&str; 4]| {
        // A process that ignores the signal gets an error, as on a full disk.
        let script = "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\"";
        let mut limited = std::process::Command::new("sh");
        limited.args(["-c", script, test_support::program()]).args(arguments).output().unwrap()
    };
    failed(&limited(["backup", text(&second), "--data-dir", text(kept.folder.path())]), "cannot back up");
    assert_eq!(files(place.path()), ["backup.db"]);
    failed(&limited(["restore", text(&backup), "--data-dir", text(&new)]), "cannot restore");
    assert_eq!(files(&new), ["lock"]);
    // A damaged copy is not kept either, even if it is otherwise complete.
    assert_eq!(kept.server.stop(), 0);
    let database = kept.folder.path().join("logboom.db");
    let mut bytes = fs::read(&database).unwrap();
    let middle = bytes.len() / 2 / 8192 * 8192;
    bytes[middle..middle + 8192].fill(0x55);
    fs::write(&database, bytes).unwrap();
    failed(&back_up(kept.folder.path(), &second), "cannot back up");
    assert_eq!(files(place.path()), ["backup.db", "new"]);
    succeeded(&restore(&backup, &new));
}

/// SQLite would apply a journal of the earlier database to the backup.
#[test]
fn restore_is_refused_beside_a_foreign_journal() {
    let kept = Kept::sqlite(&[]);
    kept.fill(lines(100, "x"));
    let place = TempDir::new().unwrap();
    let (backup, new) = (place.path().join("backup.db"), place.path().join("new"));
    succeeded(&back_up(kept.folder.path(), &backup));
    fs::create_dir(&new).unwrap();
    for suffix in ["-journal", "-wal", "-shm"] {
        let left = new.join(format!("logboom.db{suffix}"));
        fs::write(&left, "left").unwrap();
        failed(&restore(&backup, &new), &format!("logboom.db{suffix} exists already"));
        fs::remove_file(left).unwrap();
    }
    fs::write(place.path().join("backup.db-journal"), "hot").unwrap();
    failed(&restore(&backup, &new), "backup.db-journal belongs to it");
}

/// Kills a command once its draft exists, unless the command has already ended.
fn kill_when_there(arguments: &[&str], draft: &Path) {
    let mut child = command(arguments).stdout(std::process::Stdio::null()).spawn().unwrap();
    eventually("it has begun or ended", || {
        (draft.exists() || child.try_wait().unwrap().is_some()).then_some(())
    });
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn killed_backup_or_restore_can_be_repeated() {
    let mut kept = Kept::sqlite(&[]);
    kept.fill(lines(30_000, "x"));
    let place = TempDir::new().unwrap();
    let (backup, draft) = (place.path().join("backup.db"), place.path().join("backup.db.partial"));
    let data_dir = text(kept.folder.path()).to_owned();
    kill_when_there(&["backup", text(&backup), "--data-dir", &data_dir], &draft);
    if backup.exists() {
        fs::remove_file(&backup).unwrap(); // the command was faster
    }
    fs::write(&draft, "the beginning of one").unwrap();
    succeeded(&back_up(kept.folder.path(), &backup));
    assert_eq!(files(place.path()), ["backup.db"]);
    // The server is not affected by any of this.
    kept.fill(lines(10, "y"));
    no_gaps(&kept.server);
    assert_eq!(kept.server.stop(), 0);

    let new = place.path().join("new");
    let draft = new.join("logboom.db.restoring");
    kill_when_there(&["restore", text(&backup), "--data-dir", text(&new)], &draft);
    let _ = fs::remove_file(new.join("logboom.db")); // the command was faster
    fs::write(&draft, "the beginning of one").unwrap();
    succeeded(&restore(&backup, &new));
    assert_eq!(files(&new), ["claims", "lock", "logboom.db"]);
    let server = Server::start(&new);
    assert_eq!(server.value("SELECT count(*) FROM logs"), 30_000);
}
