//! Two servers with the same records, one on each kind of database: they must answer every request
//! in the same way.

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::postgres::Database;
use test_support::{Answer, Server};

use super::{fill, path};

pub struct Both {
    pub sqlite: Server,
    pub postgres: Server,
    _database: Database,
    _folders: [TempDir; 2],
}

impl Both {
    pub fn start() -> Both {
        let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
        let sqlite = Server::start(folders[0].path());
        let (postgres, database) = super::postgres::postgres_with(0, &folders[1]);
        Both { sqlite, postgres, _database: database, _folders: folders }
    }

    /// Starts both servers with this many records of [`fill`], and with the records of [`rich`].
    pub fn with(records: usize) -> Both {
        let both = Both::start();
        for server in [&both.sqlite, &both.postgres] {
            fill(server, records);
        }
        both.post(&rich());
        both
    }

    pub fn post(&self, body: &str) {
        for server in [&self.sqlite, &self.postgres] {
            let answer = server.post(body);
            assert_eq!(answer.status, 200, "{}", answer.text());
            server.flush();
        }
    }

    /// Returns the answer, which must be the same from both servers.
    pub fn answer(&self, place: &str, parameters: &[(&str, &str)]) -> Answer {
        let place = path(place, parameters);
        let [one, other] = [&self.sqlite, &self.postgres].map(|server| server.get(&place));
        assert_eq!(one.status, other.status, "{place}: {} {}", one.text(), other.text());
        let is_json = one.head.contains("json");
        match is_json {
            true => assert_eq!(one.json(), other.json(), "{place}"),
            false => assert_eq!(one.text(), other.text(), "{place}"),
        }
        one
    }

    /// Returns the status, which must be the same from both servers; their documents may differ.
    pub fn status(&self, place: &str, parameters: &[(&str, &str)]) -> u16 {
        let place = path(place, parameters);
        let [one, other] = [&self.sqlite, &self.postgres].map(|server| server.get(&place));
        assert_eq!(one.status, other.status, "{place}: {} {}", one.text(), other.text());
        one.status
    }

    /// Returns the document, which must be the same from both servers.
    pub fn get(&self, place: &str, parameters: &[(&str, &str)]) -> Value {
        let answer = self.answer(place, parameters);
        assert_eq!(answer.status, 200, "{place} {parameters:?}: {}", answer.text());
        answer.json()
    }
}

/// Returns records with errors, traces, attributes of every kind, and texts that are difficult to
/// escape.
pub fn rich() -> String {
    let at = |second: usize| format!("2026-11-25T10:00:{second:02}.5Z");
    let mut records = Vec::new();
    for n in 0..12 {
        records.push(json!({
            "time": at(n), "level": "error", "service": "billing", "logger": "app.pay", "file": "pay.py", "line": 17,
            "function": "pay", "message": format!("charge {n} failed"), "trace_id": format!("trace-{}", n % 3),
            "exception.type": if n % 4 == 0 { "KeyError" } else { "ValueError" },
        }));
    }
    records.push(json!({"time": at(20), "level": "info", "message": "an exception that was handled", "exception.type": "OSError"}));
    records.push(json!({"time": at(21), "level": "fatal", "message": "=HYPERLINK(\"http://x\")", "host": "@web", "flag": true}));
    records.push(json!({"time": at(22), "message": "two\r\nlines, \"quoted\" \u{1f600}", "user": {"id": 7, "name": "-x"}, "n": 12.5}));
    records.push(json!({"time": at(23), "message": "<script>alert(1)</script>", "list": [1], "none": null, "flag": "yes", "n": "text"}));
    records.iter().map(|record| format!("{record}\n")).collect()
}
