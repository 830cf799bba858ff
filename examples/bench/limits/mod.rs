//! What the machine can do at best: the limits with which figures are compared.
//!
//! Servers among them run as separate processes of this same executable (`bench serve NAME`), like
//! the real server.

pub mod discard;
pub mod disk;
pub mod echo;
pub mod events;
pub mod sqlite;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::process::Process;

/// A running server of this executable.
pub struct LimitServer {
    /// Its address.
    pub address: SocketAddr,
    /// Its process.
    pub process: Process,
}

impl LimitServer {
    /// Starts `bench serve` with these arguments.
    pub fn start(arguments: &[&str]) -> LimitServer {
        let executable = std::env::current_exe().unwrap();
        let mut command = Command::new(executable);
        command.arg("serve").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().parse().unwrap_or_else(|_| panic!("bench serve {arguments:?} said: {line}"));
        LimitServer { address, process }
    }
}

/// Ends this process when the process that started it has ended, in whichever way.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}
