//! The command line behaves as documented for people and for scripts.

mod completions_and_manuals;
mod config;
mod reading;
mod serving;
mod spool;
mod tail;
mod terminal;

use std::net::SocketAddr;
use std::process::{Command, Output};

use socket2::{Domain, Socket, Type};

/// Runs the program without any variable of this environment that could influence it.
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(test_support::program());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOGBOOM_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

/// Returns an address on which no process listens, and no other process can, as long as the socket
/// is held.
fn nobody() -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, format!("http://{address}"))
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Checks that the command failed with this code, reported the reason on standard error, and wrote
/// no data.
#[track_caller]
fn assert_fails(output: &Output, code: i32, told: &[&str]) {
    let said = err(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.starts_with("error: "), "{said}");
    for text in told {
        assert!(said.contains(text), "no {text:?} in: {said}");
    }
    assert_eq!(out(output), "", "data on standard output");
    assert!(!said.contains('\x1b'), "{said:?}");
}
