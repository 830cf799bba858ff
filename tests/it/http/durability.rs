//! The answer comes after durability: what was accepted outlives the process.

use tempfile::TempDir;

use super::{accepted, assert_without_gaps, lines, messages};
use crate::harness::{Setup, request};

#[test]
fn every_accepted_record_outlives_a_kill() {
    let folder = TempDir::new().unwrap();
    // It may not be stored before the kill: only the spool can have it.
    let setup = Setup::new().argument("--flush-interval=1h");
    let mut expected = Vec::new();
    for round in 0..6 {
        let mut server = setup.start(folder.path());
        for n in 0..round {
            let name = format!("{round}.{n}");
            assert_eq!(server.post(lines(2, &name)).json(), accepted(2));
            expected.extend([format!("{name} 0"), format!("{name} 1")]);
        }
        let last = format!("last of {round}");
        assert_eq!(server.post(lines(1, &last)).json(), accepted(1));
        server.kill();
        expected.push(format!("{last} 0"));
    }
    let server = setup.start(folder.path());
    assert_eq!(messages(&server), expected);
    assert_without_gaps(&server);
}

/// Killed while several clients send: each finds again what it was answered for.
#[test]
fn a_kill_amid_traffic_loses_nothing_that_was_answered() {
    let folder = TempDir::new().unwrap();
    let mut answered = Vec::new();
    for round in 0..3 {
        let mut server = Setup::new().start(folder.path());
        let address = server.address("http");
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let address = address.clone();
                std::thread::spawn(move || {
                    let name = format!("{round}.{client}");
                    let send = |n: &usize| {
                        let body = format!("{{\"message\":\"{name}.{n}\"}}");
                        request(&address, "POST", "/api/v1/records", &[], body.as_bytes())
                            .is_ok_and(|answer| answer.status == 200)
                    };
                    // Only this order makes the number of answers tell which they were.
                    (0..).take_while(send).map(|n| format!("{name}.{n}")).collect::<Vec<_>>()
                })
            })
            .collect();
        server.wait_for_accepted("http", 200);
        server.kill();
        answered.extend(clients.into_iter().flat_map(|client| client.join().unwrap()));
    }
    assert!(answered.len() >= 500, "{}", answered.len());
    let server = Setup::new().start(folder.path());
    let mut stored = messages(&server);
    assert_without_gaps(&server);
    stored.sort();
    let before = stored.len();
    stored.dedup();
    assert_eq!(stored.len(), before, "something is stored twice");
    for message in answered {
        assert!(stored.binary_search(&message).is_ok(), "{message} was answered for");
    }
}
