//! Property: the server answers after a record is durable, so accepted records survive a kill of
//! the process.

use tempfile::TempDir;
use test_support::{Setup, request};

use super::{accepted, assert_without_gaps, lines, messages};

#[test]
fn accepted_records_survive_a_kill() {
    let folder = TempDir::new().unwrap();
    // Nothing can be stored in the database before the kill: only the spool has the records.
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

/// Kills the server while several clients send: every record that was acknowledged must be stored.
#[test]
fn kill_under_load_loses_no_acknowledged_record() {
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
                    // Each client sends in this order, so the number of its answers determines
                    // which records were acknowledged.
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
