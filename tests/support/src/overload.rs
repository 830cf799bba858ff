//! More load than the spool accepts while its store is not available.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::load::{Ledger, PythonLoad};
use super::{Server, eventually};

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn accepted(server: &Server) -> u64 {
    ["http", "python"].map(|protocol| number(&server.source(protocol)["accepted"])).iter().sum()
}

/// Clients over both protocols that send more than the spool accepts.
pub struct Overload {
    ledger: Arc<Ledger>,
    clients: Vec<JoinHandle<()>>,
    python: PythonLoad,
}

impl Overload {
    /// Starts the clients, and waits until the server reports to them that the spool is full.
    pub fn fill(server: &Server, when_full: &str) -> Overload {
        let ledger = Arc::new(Ledger::default().with_refusals());
        let address = server.address("http");
        let clients = [(1, 1000), (1, 0), (20, 1000)].map(|(batch, padding)| {
            ledger.post_padded_on(&address, &format!("http-{batch}-{padding}"), batch, padding)
        });
        let mut python = PythonLoad::start(u64::MAX);
        python.aim(&server.address("python"), "python");
        eventually("clients are told, and the spool is full", || {
            let source = server.source("python");
            let is_seen = when_full == "block" || number(&source["shed"]["full"]) > 100;
            (is_seen && ledger.refusals() >= 20).then_some(())
        });
        // A small record that still fits makes the server ready for a moment.
        eventually("it says so", || {
            server.status()["problems"].to_string().contains("the spool is full").then_some(())
        });
        assert_eq!(server.get("/healthz").status, 200);
        Overload { ledger, clients: clients.into(), python }
    }

    /// Checks that the clients continue once there is room, and stops them. Returns the
    /// acknowledged keys, and the number of accepted records, all of which are stored by then.
    pub fn resume_and_stop(self, server: &Server) -> (Vec<String>, u64) {
        let Overload { ledger, clients, python } = self;
        let wanted = ledger.answers() + 100;
        eventually("all goes on", || (ledger.answers() >= wanted).then_some(()));
        let before = number(&server.source("python")["accepted"]);
        eventually("Python goes on", || {
            (number(&server.source("python")["accepted"]) > before).then_some(())
        });
        ledger.stop();
        clients.into_iter().for_each(|client| client.join().unwrap());
        drop(python);
        eventually("every record is accepted or counted as shed", || {
            let source = server.source("python");
            let shed = number(&source["shed"]["full"]);
            (source["connections"] == 0 && number(&source["received"]) == number(&source["accepted"]) + shed)
                .then_some(())
        });
        eventually("it is well", || (server.get("/readyz").status == 200).then_some(()));
        server.flush();
        (ledger.acknowledged(), accepted(server))
    }
}
