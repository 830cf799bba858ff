//! Property: each of several stores proceeds independently of the others.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::audit::Trail;
use test_support::load::{PythonLoad, padded_record};
use test_support::postgres::{Database, Server as Postgres};
use test_support::{Server, Setup, eventually};

fn configuration(folder: &Path, database: &Database) -> String {
    let (near, lines, far) = (folder.join("near.db"), folder.join("all.log"), database.url());
    format!(
        "[[store]]\nname = 'near'\nurl = 'sqlite:{}'\n
         [[store]]\nname = 'far'\nurl = '{far}'\nflush_interval = '50ms'\n
         [[store]]\nname = 'lines'\nurl = 'file:{}'\nline_format = '%(id)s %(message)s'\n",
        near.display(),
        lines.display()
    )
}

fn stores(server: &Server) -> Vec<Value> {
    server.status()["stores"].as_array().unwrap().clone()
}

fn post(server: &Server, name: &str) -> Vec<String> {
    let keys: Vec<_> = (0..1000).map(|number| format!("{name}-{number}")).collect();
    let lines: Vec<_> = keys.iter().map(|key| padded_record(key, 1000)).collect();
    assert_eq!(server.post(lines.join("\n")).status, 200);
    keys
}

fn trail_of(database: &Database) -> Trail {
    let rows = database.rows("SELECT id, trace_id FROM logs ORDER BY id");
    Trail::of_rows(rows.into_iter().map(|row| {
        let mut values = row.into_iter().flatten();
        (values.next().unwrap().parse().unwrap(), values.next().unwrap())
    }))
}

#[test]
fn other_stores_continue_while_one_is_down() {
    let folder = TempDir::new().unwrap();
    let mut postgres = Postgres::start(&[]);
    let database = postgres.database();
    let file = folder.path().join("logboom.toml");
    std::fs::write(&file, configuration(folder.path(), &database)).unwrap();
    let setup =
        Setup::new().argument(format!("--config={}", file.display())).argument("--spool-segment-bytes=4MiB");
    let mut server = setup.start(&folder.path().join("data"));
    let mut keys = post(&server, "before");
    server.flush();
    let kinds = stores(&server)
        .iter()
        .map(|store| (store["name"].clone(), store["kind"].clone()))
        .collect::<Vec<_>>();
    assert_eq!(
        kinds,
        [("near", "sqlite"), ("far", "postgres"), ("lines", "file")]
            .map(|(name, kind)| (json!(name), json!(kind)))
    );

    postgres.stop();
    (0..12).for_each(|number| keys.extend(post(&server, &format!("away-{number}"))));
    let mut python = PythonLoad::start(1000);
    python.aim(&server.address("python"), "python");
    server.wait_for_accepted("python", 1000);
    eventually("the others have everything", || {
        let stores = stores(&server);
        (stores[0]["lag_records"] == 0 && stores[2]["lag_records"] == 0).then_some(())
    });
    let [near, far, lines] = stores(&server).try_into().unwrap();
    assert_eq!((&near["stored"], &lines["stored"]), (&json!(14_000), &json!(14_000)));
    assert_eq!((&near["last_error"], &lines["last_error"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&far["stored"], &far["lag_records"], &far["position"]),
        (&json!(1000), &json!(13_000), &json!(1001))
    );
    assert!(far["last_error"].as_str().unwrap().contains("no connection to"), "{far}");
    let problems = server.status()["problems"].to_string();
    assert!(problems.contains("far") && !problems.contains("near"), "{problems}");
    let metrics = server.get("/metrics").text();
    for sample in [
        "logboom_store_lag_records{store=\"near\"} 0\n",
        "logboom_store_lag_records{store=\"far\"} 13000\n",
        "logboom_store_lag_records{store=\"lines\"} 0\n",
        "logboom_ready{} 0\n",
    ] {
        assert!(metrics.contains(sample), "{sample}{metrics}");
    }
    // Queries read from the first store.
    assert_eq!(server.value("SELECT count(*) FROM logs"), 14_000);
    let spool = server.status()["spool"].clone();
    assert!(spool["oldest_id"].as_u64() <= Some(1001) && spool["segments"].as_u64() >= Some(4), "{spool}");

    postgres.restart();
    eventually("segments are released once all have them", || {
        let spool = server.status()["spool"].take();
        (spool["segments"] == 1 && spool["oldest_id"].as_u64() > Some(1001)).then_some(())
    });
    server.flush();
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.stop(), 0);
    let far = trail_of(&database);
    let mut near = Trail::default();
    near.follow_database(&folder.path().join("near.db"));
    near.check_equal("PostgreSQL", &far);
    Trail::of_log_files(&folder.path().join("all.log")).check_equal("PostgreSQL", &far);
    far.check_has("PostgreSQL", &keys);
    assert_eq!(far.count(), keys.len() + 1000);
}
