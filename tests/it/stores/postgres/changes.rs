//! Property: changes that other people make to the server or to the tables in the meantime are each
//! reported in words, prevent no client from sending, and lose no record.

use std::thread::JoinHandle;

use logboom::store::postgres::SCHEMA;
use tempfile::TempDir;
use test_support::load::post;
use test_support::postgres::{Database, Server as Postgres};
use test_support::{Server, eventually};

use super::{check, last_error, setup};

/// logboom on a separate database, with ten records in it.
struct Subject {
    _folder: TempDir,
    database: Database,
    server: Server,
    keys: Vec<String>,
}

impl Subject {
    fn start() -> Subject {
        Subject::start_with(&[])
    }

    fn start_with(arguments: &[&str]) -> Subject {
        let database = Postgres::shared().database();
        Subject::start_on(database.clone(), &database.url(), arguments)
    }

    fn start_on(database: Database, url: &str, arguments: &[&str]) -> Subject {
        let folder = TempDir::new().unwrap();
        let setup = arguments.iter().fold(setup(url), |setup, argument| setup.argument(*argument));
        let server = setup.start(folder.path());
        let keys = post(&server, "before", 10);
        server.flush();
        Subject { _folder: folder, database, server, keys }
    }

    /// Changes a table; retried until logboom has released its locks on the partitions.
    fn change(&self, sql: &str) {
        eventually("the change is made", || self.database.try_rows(sql).ok());
    }

    /// Sends more records, which always succeeds, and waits until the store reports why it does not
    /// accept them.
    fn fails(&mut self, words: &[&str]) {
        let before = self.keys.len();
        self.keys.extend(post(&self.server, &format!("during-{before}"), 10));
        let error =
            eventually("it says why", || last_error(&self.server).filter(|error| error.contains(words[0])));
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert_eq!(self.server.get("/readyz").status, 503);
    }

    /// Checks that everything is stored, exactly once.
    fn recovers(&mut self) {
        self.keys.extend(post(&self.server, "after", 10));
        self.server.flush();
        assert_eq!(self.server.get("/readyz").status, 200);
        let store = self.server.status()["stores"][0].clone();
        assert_eq!((&store["missing"], &store["dead_letters"]), (&0.into(), &0.into()), "{store}");
        assert_eq!(self.server.stop(), 0);
        check(&self.database, &self.keys);
        assert_eq!(self.database.value("SELECT count(*) FROM logs"), self.keys.len().to_string());
    }
}

#[test]
fn renamed_or_dropped_column_is_reported_until_restored() {
    let mut subject = Subject::start();
    let told = ["thread", "42703", "`logboom schema --store postgres` shows what must be there"];
    subject.change("ALTER TABLE logs RENAME thread TO threads");
    subject.fails(&told);
    subject.change("ALTER TABLE logs DROP COLUMN threads");
    subject.fails(&told);
    subject.change("ALTER TABLE logs ADD COLUMN thread text");
    subject.recovers();
}

#[test]
fn added_not_null_column_makes_no_dead_letters() {
    let mut subject = Subject::start();
    subject.database.execute("DELETE FROM logs");
    subject.change("ALTER TABLE logs ADD COLUMN team text NOT NULL");
    subject.fails(&["\"team\"", "23502", "a default"]);
    subject.change("ALTER TABLE logs ALTER COLUMN team SET DEFAULT 'nobody'");
    subject.server.flush();
    subject.keys.drain(..10);
    subject.recovers();
}

#[test]
fn missing_tables_are_reported_until_restored() {
    for (table, gone, back) in [
        ("logs", "ALTER TABLE logs RENAME TO hidden", "ALTER TABLE hidden RENAME TO logs"),
        (
            "logs_dead_letter",
            "ALTER TABLE logs_dead_letter RENAME TO hidden",
            "ALTER TABLE hidden RENAME TO logs_dead_letter",
        ),
        (
            "logs_version",
            "ALTER TABLE logs_version RENAME TO hidden",
            "ALTER TABLE hidden RENAME TO logs_version",
        ),
    ] {
        let mut subject = Subject::start();
        subject.change(gone);
        disconnect(&subject.database);
        subject.fails(&[table]);
        subject.change(back);
        subject.recovers();
    }
}

fn disconnect(database: &Database) {
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'logboom' AND datname = current_database()",
    );
}

/// Restores the positions as `docs/postgresql.md` describes.
#[test]
fn lost_positions_can_be_restored_from_records() {
    let mut subject = Subject::start();
    let (_, definition) = SCHEMA.split_once("CREATE TABLE logs_node").unwrap();
    let (definition, _) = definition.split_once(") WITH").unwrap();
    subject.change("DROP TABLE logs_node");
    subject.fails(&["logs_node", "42P01", "postgresql.md"]);
    subject.database.execute(&format!(
        "BEGIN; CREATE TABLE logs_node {definition});
         INSERT INTO logs_node SELECT node, max(id) + 1, 1, 0
             FROM (SELECT node, id FROM logs UNION ALL SELECT node, id FROM logs_dead_letter) AS stored GROUP BY node;
         COMMIT"
    ));
    subject.recovers();
}

#[test]
fn new_database_is_filled_from_spool_and_rest_counted() {
    let mut subject = Subject::start();
    let synced = "SELECT synced FROM logs_node";
    // A full segment is released once it is durable in the database, so the spool no longer begins
    // at id 1.
    let padding = "x".repeat(4000);
    let large = format!(r#"{{"message":"{padding}","trace_id":"large"}}"#);
    let body = vec![large; 2000].join("\n");
    let mut oldest = 1;
    while oldest == 1 {
        assert_eq!(subject.server.post(&body).status, 200);
        subject.server.flush();
        oldest = subject.server.status()["spool"]["oldest_id"].as_u64().unwrap();
    }
    let end = subject.server.status()["spool"]["durable_id"].as_u64().unwrap();
    eventually("all is durable", || (subject.database.value(synced) == end.to_string()).then_some(()));
    let (name, others) = (&subject.database.name, Postgres::shared().database_named("postgres"));
    others.execute(&format!("DROP DATABASE {name} WITH (FORCE)"));
    let keys = post(&subject.server, "during", 10);
    let error =
        eventually("it says why", || last_error(&subject.server).filter(|error| error.contains("3D000")));
    assert!(error.contains("create the database"), "{error}");

    others.execute(&format!("CREATE DATABASE {name}"));
    subject.server.flush();
    for said in ["the store went back to an older state", "records are missing in the store"] {
        eventually("it says so", || subject.server.log_line(said));
    }
    let missing = subject.server.status()["stores"][0]["missing"].as_u64().unwrap();
    assert!(missing >= oldest - 1);
    let metrics = subject.server.get("/metrics").text();
    assert!(
        metrics.contains(&format!("logboom_store_missing_records{{store=\"postgres\"}} {missing}\n")),
        "{metrics}"
    );
    assert_eq!(subject.server.stop(), 0);
    let last = "SELECT string_agg(trace_id, ' ' ORDER BY id) FROM logs WHERE trace_id LIKE 'during-%'";
    assert_eq!(subject.database.value(last), keys.join(" "));
    assert_eq!(
        subject.database.value("SELECT count(*)::text || ' ' || count(DISTINCT id) FROM logs"),
        format!("{0} {0}", end + 9 - missing)
    );
    assert_eq!(subject.database.value("SELECT min(id) FROM logs"), (missing + 1).to_string());
    assert_eq!(subject.database.value("SELECT max(id) FROM logs"), (end + 9).to_string());
}

/// A session of another user, until it is ended.
struct Other {
    database: Database,
    name: String,
    waiting: JoinHandle<()>,
}

impl Other {
    /// Begins a transaction with a statement and leaves it open.
    fn begin(database: &Database, name: &str, statement: &str) -> Other {
        let (session, sql) = (
            database.clone(),
            format!("SET application_name = '{name}'; BEGIN; {statement}; SELECT pg_sleep(3600)"),
        );
        let waiting = std::thread::spawn(move || drop(session.try_rows(&sql)));
        let other = Other { database: database.clone(), name: name.into(), waiting };
        let is_there = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE {} AND wait_event = 'PgSleep'",
            other.found()
        );
        eventually("the statement is done", || (database.value(&is_there) == "1").then_some(()));
        other
    }

    fn found(&self) -> String {
        format!("application_name = '{}' AND datname = current_database()", self.name)
    }

    fn end(self) {
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {}", self.found());
        self.database.execute(&end);
        self.waiting.join().unwrap();
    }
}

#[test]
fn store_waits_for_a_locked_table() {
    let mut subject = Subject::start();
    let lock = Other::begin(&subject.database, "lock", "LOCK TABLE logs IN ACCESS EXCLUSIVE MODE");
    subject.fails(&["55P03", "another session holds a lock on a table"]);
    lock.end();
    subject.recovers();
}

/// Another session that compacts the partition of an old day: nothing is written there, and
/// housekeeping can wait.
#[test]
fn locked_partition_of_another_day_delays_nothing() {
    let mut subject = Subject::start_with(&["--retention-age=3d", "--retention-bytes=1GiB"]);
    subject.database.execute(
        "CREATE TABLE logs_20010101 PARTITION OF logs FOR VALUES FROM ('2001-01-01') TO ('2001-01-02')",
    );
    let lock = Other::begin(
        &subject.database,
        "lock",
        "LOCK TABLE ONLY logs_default, logs_20010101 IN ACCESS EXCLUSIVE MODE",
    );
    eventually("housekeeping has met the lock", || {
        subject.server.log_line("housekeeping of the database is postponed")
    });
    subject.keys.extend(post(&subject.server, "during", 10));
    subject.server.flush();
    assert_eq!(subject.server.status()["stores"][0]["failures"], 0);
    lock.end();
    subject.recovers();
}

#[test]
fn store_waits_for_a_free_connection() {
    // Four connections for all roles but superusers. The connections of superusers suffice for the
    // tests themselves, even if an abandoned session has not ended yet.
    let postgres =
        Postgres::start(&["max_connections=24", "superuser_reserved_connections=20", "max_wal_senders=0"]);
    let database = postgres.database();
    database.execute("CREATE ROLE writer LOGIN; GRANT CREATE ON SCHEMA public TO writer");
    let mut subject = Subject::start_on(database.clone(), &database.url_as("writer"), &[]);
    let others = ["one", "two", "three", "four"].map(|name| Other::begin(&database, name, "SELECT"));
    disconnect(&database);
    subject.fails(&["53300", "no free connection"]);
    others.into_iter().for_each(Other::end);
    subject.recovers();
}

#[test]
fn store_waits_for_recovery_and_for_a_promotion() {
    let mut postgres = Postgres::start(&[]);
    let database = postgres.database();
    let mut subject = Subject::start_on(database.clone(), &database.url(), &[]);
    postgres.stop();
    std::fs::write(postgres.data().join("standby.signal"), "").unwrap();
    postgres.own(&postgres.data().join("standby.signal"));
    postgres.set("hot_standby=off");
    postgres.begin_restart();
    subject.fails(&["57P03", "the server is stopping or starting"]);
    postgres.kill();
    postgres.set("hot_standby=on");
    postgres.restart();
    subject.fails(&["the server is a standby", "name the primary"]);
    database.execute("SELECT pg_promote()");
    subject.recovers();
}

#[test]
fn trigger_with_missing_table_makes_no_dead_letters() {
    let mut subject = Subject::start();
    subject.database.execute(
        "CREATE FUNCTION copy() RETURNS trigger AS 'BEGIN INSERT INTO copies VALUES (NEW.id); RETURN NEW; END' LANGUAGE plpgsql;
         CREATE TRIGGER copy BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION copy()",
    );
    subject.fails(&["\"copies\" does not exist", "trigger"]);
    subject.database.execute("CREATE TABLE copies (id bigint)");
    subject.recovers();
    assert_eq!(subject.database.value("SELECT count(*) FROM copies"), "20");
}

#[test]
fn records_refused_by_a_trigger_become_dead_letters() {
    let mut subject = Subject::start();
    subject.database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN IF NEW.trace_id LIKE ''%-3'' THEN
             RAISE EXCEPTION ''not this one''; END IF; RETURN NEW; END' LANGUAGE plpgsql;
         CREATE TRIGGER picky BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    subject.keys.extend(post(&subject.server, "during", 10));
    subject.server.flush();
    let store = subject.server.status()["stores"][0].clone();
    assert_eq!(
        (&store["stored"], &store["dead_letters"], &store["failures"]),
        (&19.into(), &1.into(), &0.into())
    );
    assert_eq!(subject.server.get("/readyz").status, 200);
    assert_eq!(subject.server.stop(), 0);
    assert_eq!(
        subject.database.value("SELECT id || ' ' || reason FROM logs_dead_letter"),
        "14 P0001: not this one"
    );
    subject.keys.retain(|key| key != "during-3");
    let stored = subject.database.rows("SELECT trace_id FROM logs ORDER BY id");
    let stored: Vec<_> = stored.into_iter().map(|row| row[0].clone().unwrap()).collect();
    assert_eq!(stored, subject.keys);
}

/// A change of the tables, made as the role that owns them; the words with which the store then
/// reports it; and the statement that reverts it.
const OBSTACLES: &[(&str, &[&str], &str)] = &[
    (
        "ALTER TABLE logs_node ENABLE ROW LEVEL SECURITY; ALTER TABLE logs_node FORCE ROW LEVEL SECURITY",
        &["row-level security", "BYPASSRLS"],
        "ALTER TABLE logs_node DISABLE ROW LEVEL SECURITY",
    ),
    (
        "ALTER TABLE logs ENABLE ROW LEVEL SECURITY; ALTER TABLE logs FORCE ROW LEVEL SECURITY",
        &["0A000", "BYPASSRLS"],
        "ALTER TABLE logs DISABLE ROW LEVEL SECURITY",
    ),
    (
        "ALTER TABLE logs_version ENABLE ROW LEVEL SECURITY; ALTER TABLE logs_version FORCE ROW LEVEL SECURITY",
        &["row-level security of logs_version", "BYPASSRLS"],
        "ALTER TABLE logs_version DISABLE ROW LEVEL SECURITY",
    ),
    (
        "CREATE POLICY seen ON logs_node FOR SELECT USING (true); ALTER TABLE logs_node ENABLE ROW LEVEL SECURITY;
         ALTER TABLE logs_node FORCE ROW LEVEL SECURITY",
        &["row-level security", "BYPASSRLS"],
        "ALTER TABLE logs_node DISABLE ROW LEVEL SECURITY",
    ),
    (
        "ALTER TABLE logs_node ADD COLUMN kept bigint; UPDATE logs_node SET kept = epoch, epoch = 9223372036854775807",
        &["its position cannot be trusted", "`logboom store adopt postgres`"],
        "UPDATE logs_node SET epoch = kept; ALTER TABLE logs_node DROP COLUMN kept",
    ),
    (
        "ALTER TABLE logs_node ADD CONSTRAINT small CHECK (position < 15) NOT VALID",
        &["23514", "a constraint or trigger that was added"],
        "ALTER TABLE logs_node DROP CONSTRAINT small",
    ),
    (
        "CREATE RULE deaf AS ON UPDATE TO logs_node DO INSTEAD NOTHING",
        &["0A000", "such as a rule"],
        "DROP RULE deaf ON logs_node",
    ),
    (
        "CREATE FUNCTION stop() RETURNS trigger AS 'BEGIN RAISE EXCEPTION ''no''; END' LANGUAGE plpgsql;
         CREATE TRIGGER stop BEFORE UPDATE ON logs_node FOR EACH ROW EXECUTE FUNCTION stop()",
        &["P0001", "a constraint or trigger that was added"],
        "DROP TRIGGER stop ON logs_node",
    ),
    (
        "CREATE FUNCTION lost() RETURNS trigger AS 'BEGIN PERFORM nowhere(1); RETURN NEW; END' LANGUAGE plpgsql;
         CREATE TRIGGER lost BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION lost()",
        &["42883", "a function is missing"],
        "DROP TRIGGER lost ON logs",
    ),
    (
        "REVOKE INSERT ON logs FROM CURRENT_USER",
        &["42501", "`logboom schema --store postgres`"],
        "GRANT INSERT ON logs TO CURRENT_USER",
    ),
];

#[test]
fn every_obstacle_is_reported_with_a_remedy() {
    let database = Postgres::shared().database();
    let role = format!("{}_owner", database.name);
    database.execute(&format!("CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}"));
    let mut subject = Subject::start_on(database.clone(), &database.url_as(&role), &[]);
    for (obstacle, words, end) in OBSTACLES {
        subject.change(&format!("SET ROLE {role}; {obstacle}"));
        disconnect(&subject.database);
        subject.fails(words);
        subject.change(&format!("SET ROLE {role}; {end}"));
        subject.server.flush();
    }
    subject.recovers();
}

#[test]
fn dead_letter_refused_by_row_security_is_reported() {
    let database = Postgres::shared().database();
    let role = format!("{}_owner", database.name);
    database.execute(&format!("CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}"));
    let subject = Subject::start_on(database.clone(), &database.url_as(&role), &[]);
    subject.change(&format!(
        "SET ROLE {role}; ALTER TABLE logs_dead_letter ENABLE ROW LEVEL SECURITY;
         ALTER TABLE logs_dead_letter FORCE ROW LEVEL SECURITY"
    ));
    assert_eq!(subject.server.post(r#"{"message":"a\u0000b"}"#).status, 200);
    let error = eventually("it says why", || last_error(&subject.server));
    assert!(error.contains("42501") && error.contains("BYPASSRLS"), "{error}");
    subject.change("ALTER TABLE logs_dead_letter DISABLE ROW LEVEL SECURITY");
    subject.server.flush();
    assert_eq!(subject.database.value("SELECT count(*) FROM logs_dead_letter"), "1");
}

/// Housekeeping continues later, and reports why it cannot run now and what to do.
#[test]
fn refused_housekeeping_is_reported_with_a_hint() {
    let database = Postgres::shared().database();
    let role = format!("{}_writer", database.name);
    database.execute(SCHEMA);
    database.execute(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON logs_version, logs_node TO {role};
         GRANT INSERT ON logs, logs_dead_letter, logs_node TO {role}; GRANT UPDATE ON logs_node TO {role};
         GRANT SELECT, INSERT, DELETE ON logs_claim TO {role}"
    ));
    let subject = Subject::start_on(database.clone(), &database.url_as(&role), &["--retention-age=3d"]);
    let told =
        eventually("it says why", || subject.server.log_line("housekeeping of the database is refused"));
    assert!(told["reason"].as_str().unwrap().contains("42501"), "{told}");
    assert!(told["hint"].as_str().unwrap().contains("`logboom schema --store postgres`"), "{told}");
}

#[test]
fn records_dropped_by_a_trigger_become_dead_letters() {
    let mut subject = Subject::start();
    subject.database.execute(
        "CREATE FUNCTION swallow() RETURNS trigger AS 'BEGIN IF NEW.trace_id LIKE ''%-3'' THEN RETURN NULL; END IF;
             RETURN NEW; END' LANGUAGE plpgsql;
         CREATE TRIGGER greedy BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION swallow()",
    );
    subject.keys.extend(post(&subject.server, "during", 10));
    subject.server.flush();
    let store = subject.server.status()["stores"][0].clone();
    assert_eq!((&store["stored"], &store["dead_letters"]), (&19.into(), &1.into()), "{store}");
    assert_eq!(subject.server.stop(), 0);
    assert_eq!(
        subject.database.value("SELECT id || ' ' || reason FROM logs_dead_letter"),
        "14 the row did not arrive in `logs`: blocked by the trigger greedy of logs"
    );
    assert_eq!(subject.database.value("SELECT kept + dead_letters FROM logs_accounted"), "20");
}
