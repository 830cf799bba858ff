//! Deletion and preservation of records: deletions, retention by service, backups, and transfer of
//! records from server to server.

mod backup;
mod delete;
mod retention;
mod transfer;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::postgres::{Database, Server as Postgres};
use test_support::{Answer, Server, Setup};

/// A server that stores its records in SQLite or in PostgreSQL.
struct Kept {
    server: Server,
    folder: TempDir,
    setup: Setup,
    database: Option<Database>,
}

impl Kept {
    /// Returns a server with each kind of database.
    fn both(arguments: &[&str]) -> [Kept; 2] {
        [Kept::sqlite(arguments), Kept::postgres(arguments)]
    }

    fn sqlite(arguments: &[&str]) -> Kept {
        Kept::start(arguments, None)
    }

    fn postgres(arguments: &[&str]) -> Kept {
        Kept::start(arguments, Some(Postgres::shared().database()))
    }

    fn start(arguments: &[&str], database: Option<Database>) -> Kept {
        let mut setup = Setup::new().arguments(arguments.iter().copied());
        if let Some(database) = &database {
            // The server rejects statements if its role is a superuser.
            let role = format!("keeper_{}", database.name);
            database.execute(&format!("CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}"));
            setup = setup.argument(format!("--store={}", database.url_as(&role)));
        }
        let folder = TempDir::new().unwrap();
        Kept { server: setup.start(folder.path()), folder, setup, database }
    }

    /// Kills the server and starts it again.
    fn kill_and_restart(&mut self) {
        self.server.kill();
        self.server = self.setup.start(self.folder.path());
    }

    fn fill(&self, lines: impl IntoIterator<Item = Value>) {
        let lines: Vec<_> = lines.into_iter().map(|line| line.to_string()).collect();
        for lines in lines.chunks(1000) {
            let answer = self.server.post(lines.join("\n"));
            assert_eq!(answer.json()["accepted"], lines.len(), "{}", answer.text());
        }
        self.server.flush();
    }

    fn count(&self) -> u64 {
        self.value("SELECT count(*) FROM logs")
    }

    fn value(&self, sql: &str) -> u64 {
        let value = self.server.value(sql);
        value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{sql}: {value}"))
    }

    /// Checks that every id is accounted for.
    fn check_accounts(&self) {
        // The table exists once something was deleted.
        let accounted = self.server.sql("SELECT kept, deleted, missing FROM logs_accounted");
        assert_eq!(accounted.len(), 1, "{accounted:?}");
        assert_eq!(accounted[0][2].to_string().trim_matches('"'), "0", "{accounted:?}");
    }

    fn delete(&self, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.server.request("POST", "/api/v1/delete", &headers, body.to_string().as_bytes())
    }
}

/// Returns records of three services, every tenth with a secret.
fn lines(count: usize, secret: &str) -> impl Iterator<Item = Value> {
    (0..count).map(move |n| {
        let message = if n % 10 == 3 { format!("the {secret} got out") } else { format!("event {n}") };
        let service = ["billing", "shop", "mail"][n % 3];
        json!({ "time": "2026-11-20T10:00:00Z", "service": service, "message": message, "n": n })
    })
}

/// Returns the time in seconds since the Unix epoch.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Runs a command that sends no request to a server, or whose arguments name the server.
fn logboom(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(test_support::program());
    command.args(arguments).env_remove("LOGBOOM_URL").env_remove("LOGBOOM_DATA_DIR").stdin(Stdio::null());
    command
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn failed(output: &Output, told: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it must fail");
    assert!(said.contains(told), "{said}");
}

/// Returns the files below a folder that contain a text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if let Ok(bytes) = std::fs::read(&path)
            && memchr::memmem::find(&bytes, text.as_bytes()).is_some()
        {
            found.push(path.display().to_string());
        }
    }
    found
}
