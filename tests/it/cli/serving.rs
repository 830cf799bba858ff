//! Property: whatever prevents a start or a stop of a server is reported, with what to do about it.

use std::path::Path;

use tempfile::TempDir;
use test_support::{PATIENCE, Server, eventually};

use super::{assert_fails, run};

fn serve(data_dir: &Path, arguments: &[&str]) -> std::process::Output {
    let data_dir = data_dir.to_str().unwrap();
    run(&[&["serve", "--log-level=error", "--data-dir", data_dir], arguments].concat())
}

#[test]
fn second_server_on_a_data_folder_is_refused() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let output = serve(folder.path(), &["--listen=http=127.0.0.1:0"]);
    let path = folder.path().display().to_string();
    assert_fails(&output, 1, &[&path, "another process is using it", "hint: stop the other server"]);
    // The first server continues.
    assert_eq!(server.post("{\"message\":\"m\"}").status, 200);
    drop(server);
    drop(Server::start(folder.path()));
}

#[test]
fn address_in_use_is_reported() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(one.path());
    let address = server.address("python");
    let output = serve(two.path(), &["--listen=http=127.0.0.1:0", &format!("--listen=python={address}")]);
    assert_fails(
        &output,
        1,
        &[&format!("cannot listen on python={address}"), "in use", "hint: is another server running?"],
    );
}

#[test]
fn unusable_data_folder_is_reported() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_fails(&serve(&file, &["--listen=http=127.0.0.1:0"]), 1, &["file", "hint: "]);
    assert_fails(&serve(&file.join("below"), &["--listen=http=127.0.0.1:0"]), 1, &["below", "hint: "]);
}

#[test]
fn file_that_is_no_database_is_reported_as_not_ready() {
    let folder = TempDir::new().unwrap();
    std::fs::write(
        folder.path().join("logboom.db"),
        "this is no database, but a text of some length".repeat(100),
    )
    .unwrap();
    let server = Server::start(folder.path());
    // Incoming records are accepted all the same.
    assert_eq!(server.post("{\"message\":\"kept\"}").status, 200);
    let problem =
        eventually("it is not ready", || Some(server.get("/readyz")).filter(|answer| answer.status == 503));
    assert!(problem.text().contains("not a database"), "{}", problem.text());
    std::fs::remove_file(folder.path().join("logboom.db")).unwrap();
    eventually("it is ready", || (server.get("/readyz").status == 200).then_some(()));
    server.flush();
    assert_eq!(server.value("select message from logs"), "kept");
}

#[test]
fn stop_ships_accepted_records() {
    let folder = TempDir::new().unwrap();
    let mut server = test_support::Setup::new().argument("--flush-interval=1h").start(folder.path());
    assert_eq!(server.post("{\"message\":\"one\"}\n{\"message\":\"two\"}").status, 200);
    assert_eq!(server.stop(), 0, "{}", server.log());
    let database = rusqlite::Connection::open(folder.path().join("logboom.db")).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    let count: i64 = database.query_row("select count(*) from logs", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2);
}
