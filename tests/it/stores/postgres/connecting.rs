//! Property: addresses and passwords from URLs, files and variables are used and never shown, and
//! the tables can be created by hand.

use tempfile::TempDir;
use test_support::eventually;
use test_support::load::post;
use test_support::postgres::Server as Postgres;

use super::{check, last_error, setup};

#[test]
fn failed_login_is_reported_without_the_password() {
    let mut postgres = Postgres::start(&[]);
    let database = postgres.database();
    database.execute("CREATE ROLE writer LOGIN PASSWORD 'right'; GRANT CREATE ON SCHEMA public TO writer");
    postgres.stop();
    let rules = postgres.data().join("pg_hba.conf");
    std::fs::write(&rules, "local all postgres trust\nhost all all all scram-sha-256\n").unwrap();
    postgres.restart();
    let folder = TempDir::new().unwrap();
    let url = |password: &str| {
        database.url_by_port(postgres.port()).replace("postgres@", &format!("writer{password}@"))
    };
    for (password, told) in [(":wrongsecret", "password authentication failed"), ("", "requires a password")]
    {
        let mut server = setup(&url(password)).start(folder.path());
        let error = eventually("it says why", || last_error(&server));
        assert!(error.contains(told), "{error}");
        let shown = [server.log(), server.status().to_string(), server.get("/readyz").text()].concat();
        assert!(!shown.contains("wrongsecret"), "{shown}");
        server.kill();
    }
    let mut server = setup(&url("")).environment("PGPASSWORD", "right").start(folder.path());
    let keys = post(&server, "key", 10);
    server.flush();
    assert!(!server.log().contains("right\""), "{}", server.log());
    assert_eq!(server.stop(), 0);
    check(&database, &keys);
}

#[test]
fn readable_password_file_is_reported_once() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("passwords");
    std::fs::write(&file, "*:*:*:*:secret\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let setup = setup("postgres://jo@127.0.0.1:1/db").environment("PGPASSFILE", file.to_str().unwrap());
    let mut server = setup.start(&folder.path().join("data"));
    eventually("it has tried a few times", || {
        (server.status()["stores"][0]["failures"].as_u64() >= Some(4)).then_some(())
    });
    server.kill();
    assert_eq!(server.log().matches("the password file is ignored").count(), 1, "{}", server.log());
}

#[test]
fn service_file_provides_the_address() {
    let folder = TempDir::new().unwrap();
    let database = Postgres::shared().database();
    let file = folder.path().join("services");
    let port = Postgres::shared().port();
    let service = format!("[ours]\nhost=127.0.0.1\nport={port}\nuser=postgres\ndbname={}\n", database.name);
    std::fs::write(&file, service).unwrap();
    let named = |name: &str| {
        let setup = setup("postgres://").environment("PGSERVICEFILE", file.to_str().unwrap());
        setup.environment("PGSERVICE", name)
    };
    let mut server = named("ours").start(&folder.path().join("data"));
    let keys = post(&server, "key", 10);
    server.flush();
    assert_eq!(server.stop(), 0);
    check(&database, &keys);
    let mut server = named("theirs").spawn(&folder.path().join("data"));
    assert_eq!(server.exit_code(), Some(2));
    assert!(server.log().contains("the service `theirs` is not defined"), "{}", server.log());
}

#[test]
fn printed_schema_can_be_created_by_hand() {
    let schema = |store: &str| {
        let mut command = std::process::Command::new(test_support::program());
        command.args(["schema", "--store", store]).output().unwrap()
    };
    let output = schema("postgres");
    assert!(output.status.success());
    assert_eq!(schema("postgres://jo:secret@h/db").stdout, output.stdout);
    for other in ["sqlite", "host=h password=secret"] {
        let refused = schema(other);
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains("hint: logboom schema --store postgres") && !told.contains("secret"), "{told}");
    }
    let database = Postgres::shared().database();
    database.execute(&String::from_utf8(output.stdout).unwrap());
    let folder = TempDir::new().unwrap();
    let mut server = setup(&database.url()).start(folder.path());
    let keys = post(&server, "key", 10);
    server.flush();
    assert_eq!(server.stop(), 0);
    check(&database, &keys);
}
