//! Connections that fail, and connections with TLS.

use super::*;
use crate::store::postgres::connect::ServerAddress;

#[test]
fn errors_have_hints() {
    let database = new_database();
    let port = Server::shared().port();
    database.execute(&format!("CREATE ROLE {}_none LOGIN", database.name));
    let folder = tempfile::TempDir::new().unwrap();
    for (url, what, hint) in [
        ("postgres://jo@127.0.0.1:1/db".to_owned(), "Connection refused", "check that the server runs"),
        (
            format!("postgres://jo@{}/db", folder.path().display().to_string().replace('/', "%2F")),
            "No such file",
            "check that the server runs",
        ),
        (
            format!("postgres://postgres@127.0.0.1:{port}/nowhere"),
            "\"nowhere\" does not exist",
            "create the database",
        ),
        (
            format!("postgres://nobody@127.0.0.1:{port}/{}", database.name),
            "\"nobody\" does not exist",
            "user and password",
        ),
        (
            format!("postgres://postgres@127.0.0.1:{port}/{}?sslmode=require", database.name),
            "does not support TLS",
            "sslmode",
        ),
        (
            format!("postgres://postgres@127.0.0.1:{port}/{}?sslmode=verify-full", database.name),
            "sslrootcert",
            "sslrootcert",
        ),
    ] {
        let error = block_on(store(&url).position()).unwrap_err();
        let told = error.hint.clone().unwrap_or_default();
        assert!(error.what.contains(what) && told.contains(hint), "{} ({told})", error.what);
    }
    block_on(database.open().position()).unwrap();
    for (change, hint) in [
        ("ALTER TABLE logs RENAME TO hidden", "`logboom schema --store postgres`"),
        (
            "ALTER TABLE hidden RENAME TO logs; ALTER TABLE logs RENAME thread TO threads",
            "`logboom schema --store postgres`",
        ),
    ] {
        database.execute(change);
        let mut store = database.open();
        let error = block_on(async {
            store.position().await?;
            store.write(&chunk(1, 2)).await
        });
        let error = error.unwrap_err();
        assert!(error.hint.clone().unwrap_or_default().contains(hint), "{} {:?}", error.what, error.hint);
    }
}

#[test]
fn error_reports_each_server() {
    let port = Server::shared().port();
    let url = format!("postgres://jo@127.0.0.1:1,127.0.0.1:{port}/nowhere?target_session_attrs=read-write");
    let error = block_on(store(&url).position()).unwrap_err();
    for part in ["no connection to 127.0.0.1:1: ", &format!("; 127.0.0.1:{port}: role \"jo\" does not exist")]
    {
        assert!(error.what.contains(part), "{}", error.what);
    }
    assert!(error.hint.unwrap().contains("check that the server runs"));
    let servers = ["a", "b"].map(|name| ServerAddress::Tcp { host: name.into(), address: None, port: 1 });
    let standby = |refusal: Option<Fault>| {
        let faults = servers.iter().cloned().zip([Fault::Standby, refusal.unwrap_or(Fault::Standby)]);
        Fault::Nowhere(faults.collect()).explain(&"x", "accept records")
    };
    assert!(standby(None).hint.unwrap().contains("one of them must become the primary"));
    let error = standby(Some(Fault::Silent(Duration::from_secs(3))));
    assert!(error.what.ends_with(
        "a:1: the server is a standby, which can only be read; b:1: the server has been silent for 3 s"
    ));
    assert!(error.hint.unwrap().contains("the server hangs"));
}

#[test]
fn pending_statement_reports_end_of_connection() {
    let database = new_database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        let Session { client, driver } = &mut store.writer.as_mut().unwrap().session;
        let fault = driver
            .drive(client.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())"))
            .await
            .unwrap_err();
        assert!(fault.explain(&"x", "answer").what.contains("57P01"), "{fault:?}");
    });
}

#[test]
fn silent_server_times_out() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://jo@{}/db?connect_timeout=2", silent.local_addr().unwrap());
    let error = block_on(store(&url).position()).unwrap_err();
    assert!(error.what.contains("silent for 2 s"), "{}", error.what);
    let database = new_database();
    let mut store = database.open();
    block_on(async {
        store.position().await.unwrap();
        let Session { client, driver } = &mut store.writer.as_mut().unwrap().session;
        let fault = driver.drive_within(1, client.batch_execute("SELECT pg_sleep(3600)")).await.unwrap_err();
        assert!(matches!(fault, Fault::Silent(_)), "{fault:?}");
    });
}

/// The certificates are for `localhost`, from an authority of the tests, and valid for a hundred
/// years.
#[test]
fn tls_is_as_strict_as_sslmode() {
    let server = Server::start_with_tls(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres"));
    let database = server.database();
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres");
    let port = server.port();
    for (host, parameters, is_taken) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), false),
        ("127.0.0.1", "sslmode=allow".to_owned(), true),
        ("127.0.0.1", "sslmode=prefer".to_owned(), true),
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={files}/stranger.crt"), false),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={files}/authority.crt"), true),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={files}/stranger.crt"), false),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={files}/authority.crt"), false),
        (
            "localhost",
            format!("hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={files}/authority.crt"),
            true,
        ),
        (
            "localhost",
            format!("hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={files}/stranger.crt"),
            false,
        ),
        ("localhost", "hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert=system".to_owned(), false),
    ] {
        let url = format!("postgres://postgres@{host}:{port}/{}?{parameters}", database.name);
        let result = block_on(store(&url).position());
        assert_eq!(result.is_ok(), is_taken, "{url}: {result:?}");
    }
    let url = format!("postgres://postgres@127.0.0.1:{port}/{}?sslmode=require", database.name);
    let mut store = store(&url);
    block_on(async {
        store.position().await.unwrap();
        store.write(&chunk(1, 20_001)).await.unwrap();
    });
    assert_eq!(database.value("SELECT count(*) FROM logs"), "20000");
    assert_eq!(database.value("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND datname = current_database()"), "1");
}

#[test]
fn password_is_bound_to_server_certificate() {
    let server = Server::start_with_tls(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres"));
    let database = server.database();
    database.execute("CREATE ROLE jo LOGIN PASSWORD 'secret'; GRANT CREATE ON SCHEMA public TO jo");
    let position = |host: &str, parameters: &str| {
        let (port, name) = (server.port(), &database.name);
        let url = format!("postgres://jo:secret@{host}:{port}/{name}?{parameters}");
        block_on(store(&url).position())
            .map_err(|error| format!("{} ({})", error.what, error.hint.unwrap_or_default()))
    };
    let required = "sslmode=require&channel_binding=require";
    let error = position("127.0.0.1", required).unwrap_err();
    assert!(error.contains("did not use channel binding") && error.contains("scram-sha-256"), "{error}");
    let rules = "local all postgres trust\nhost all all all scram-sha-256\n";
    std::fs::write(server.data().join("pg_hba.conf"), rules).unwrap();
    database.execute("SELECT pg_reload_conf()");
    while position("127.0.0.1", required).is_err() {}
    let without_tls = position("127.0.0.1", "sslmode=disable&channel_binding=require").unwrap_err();
    assert!(without_tls.contains("did not use channel binding"), "{without_tls}");
    for parameters in ["sslmode=require&channel_binding=disable", "sslmode=require", "sslmode=disable"] {
        assert_eq!(position("127.0.0.1", parameters), Ok(1), "{parameters}");
    }
    // If TLS is available but rejected, `prefer` connects without it.
    std::fs::write(server.data().join("pg_hba.conf"), rules.replace("host all", "hostnossl all")).unwrap();
    database.execute("SELECT pg_reload_conf()");
    while position("127.0.0.1", "sslmode=require").is_ok() {}
    assert_eq!(position("127.0.0.1", "sslmode=prefer"), Ok(1));
}
