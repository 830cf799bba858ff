//! Property: with copied data folders, and with positions that a person has changed, no record in
//! PostgreSQL is skipped or stored twice.

use std::path::Path;

use tempfile::TempDir;
use test_support::load::post;
use test_support::postgres::{Database, Server as Postgres};
use test_support::{Server, Setup};

use super::{check, setup};
use crate::stores::{adopt, copy_folder, refusal, refused_for};

/// A database, and a role whose login can be disabled.
struct Shared {
    database: Database,
    role: String,
}

impl Shared {
    fn new() -> Shared {
        let database = Postgres::shared().database();
        let role = format!("shipper_{}", database.name);
        database.execute(&format!("CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}"));
        Shared { database, role }
    }

    fn setup(&self) -> Setup {
        setup(&self.database.url_as(&self.role))
    }

    fn start(&self, folder: &Path) -> Server {
        self.setup().start(folder)
    }

    fn shut_out(&self) {
        self.database.execute(&format!("ALTER ROLE {} NOLOGIN", self.role));
    }

    fn let_in(&self) {
        self.database.execute(&format!("ALTER ROLE {} LOGIN", self.role));
    }

    /// Checks that all keys are stored, exactly once.
    fn check(&self, keys: &[String]) {
        check(&self.database, keys);
        assert_eq!(self.database.value("SELECT count(*) FROM logs"), keys.len().to_string());
    }
}

#[test]
fn copied_folder_used_later_skips_nothing() {
    let shared = Shared::new();
    let folder = TempDir::new().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    let mut server = shared.start(&one);
    let mut keys = post(&server, "a1", 10);
    server.flush();
    assert_eq!(server.stop(), 0);
    copy_folder(&one, &two);
    shared.shut_out();
    let mut server = shared.start(&one);
    keys.extend(post(&server, "a2", 20));
    refusal(&server, "postgres");
    server.kill();
    shared.let_in();
    let mut server = shared.start(&two);
    keys.extend(post(&server, "b1", 30));
    server.flush();
    assert_eq!(server.stop(), 0);
    for _ in 0..2 {
        let mut server = shared.start(&one);
        refused_for(&server, "postgres", &["copy of this data folder", "another `node`"]);
        server.kill();
    }
    // As the hint recommends, and then alternating between both folders.
    for round in 0..2 {
        let mut server = shared.setup().argument("--node=second").start(&one);
        keys.extend(post(&server, &format!("a3-{round}"), 5));
        server.flush();
        assert_eq!(server.get("/readyz").status, 200);
        assert_eq!(server.stop(), 0);
        let mut server = shared.start(&two);
        keys.extend(post(&server, &format!("b2-{round}"), 5));
        server.flush();
        assert_eq!(server.stop(), 0);
    }
    shared.check(&keys);
}

#[test]
fn copied_folder_used_concurrently_skips_nothing() {
    let shared = Shared::new();
    let folder = TempDir::new().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    let mut first = shared.start(&one);
    let mut keys = post(&first, "a1", 10);
    first.flush();
    copy_folder(&one, &two);
    let mut second = shared.start(&two);
    for round in 0..30 {
        keys.extend(post(&first, &format!("a2-{round}"), 5));
        keys.extend(post(&second, &format!("b2-{round}"), 5));
    }
    // The server that started later has claimed the store, starting from the other server's last
    // number.
    refused_for(&first, "postgres", &["copy of this data folder"]);
    second.flush();
    first.kill();
    let mut first = shared.start(&one);
    refusal(&first, "postgres");
    first.kill();
    let mut first = shared.setup().argument("--node=second").start(&one);
    first.flush();
    for (server, name) in [(&mut first, "a3"), (&mut second, "b3")] {
        keys.extend(post(server, name, 5));
        server.flush();
        assert_eq!(server.stop(), 0);
    }
    shared.check(&keys);
}

#[test]
fn folder_with_changed_node_name_continues() {
    let shared = Shared::new();
    let folder = TempDir::new().unwrap();
    let mut keys = Vec::new();
    for (round, node) in ["one", "two", "one", "three", "two"].into_iter().enumerate() {
        let mut server = shared.setup().argument(format!("--node={node}")).start(folder.path());
        keys.extend(post(&server, &format!("{round}"), 10));
        server.flush();
        server.kill();
    }
    // Each name has the ids that were assigned while it was in use.
    let stored = shared.database.rows("SELECT trace_id FROM logs ORDER BY id");
    let stored: Vec<_> = stored.into_iter().map(|row| row[0].clone().unwrap()).collect();
    assert_eq!(stored, keys);
    assert_eq!(shared.database.value("SELECT count(DISTINCT node) FROM logs"), "3");
}

#[test]
fn changed_position_is_reported_and_recovered() {
    let changes = [
        "UPDATE logs_node SET position = position - 1000",
        "UPDATE logs_node SET position = position + 1000",
        "UPDATE logs_node SET position = -5",
        "UPDATE logs_node SET position = 9223372036854775807",
        "UPDATE logs_node SET epoch = 9223372036854775807",
        "DELETE FROM logs_node",
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let shared = Shared::new();
        let folder = TempDir::new().unwrap();
        let mut server = shared.start(folder.path());
        let mut keys = post(&server, "before", 1500);
        server.flush();
        if number % 2 == 0 {
            // With a backlog.
            shared.shut_out();
            server.kill();
            server = shared.start(folder.path());
            keys.extend(post(&server, "backlog", 50));
            server.kill();
            shared.let_in();
            shared.database.execute(change);
            server = shared.start(folder.path());
        } else {
            shared.database.execute(change);
        }
        keys.extend(post(&server, "after", 10));
        let words = if change.starts_with("DELETE") { "is missing" } else { "cannot be trusted" };
        refused_for(&server, "postgres", &[words, "logboom store adopt postgres"]);
        server.kill();
        assert!(adopt("postgres", folder.path()).status.success());
        let mut server = shared.start(folder.path());
        server.flush();
        assert_eq!(server.status()["stores"][0]["missing"], 0);
        assert_eq!(server.stop(), 0);
        shared.check(&keys);
    }
}

#[test]
fn new_folder_with_old_name_is_refused_until_adopted() {
    let shared = Shared::new();
    let folder = TempDir::new().unwrap();
    let [lost, new] = ["lost", "new"].map(|name| folder.path().join(name));
    let named = || shared.setup().argument("--node=web");
    let mut server = named().start(&lost);
    let mut keys = post(&server, "before", 10);
    server.flush();
    assert_eq!(server.stop(), 0);
    let mut server = named().start(&new);
    refused_for(&server, "postgres", &["another data folder of the same name"]);
    server.kill();
    assert!(adopt("postgres", &new).status.success());
    let mut server = named().start(&new);
    keys.extend(post(&server, "after", 10));
    server.flush();
    assert_eq!(server.stop(), 0);
    shared.check(&keys);
}
