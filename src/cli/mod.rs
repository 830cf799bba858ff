//! The command line: data goes to stdout, everything else to stderr; exit code 0 is success, 1
//! failure, 2 an error of usage or configuration.
//!
//! `arguments` declares commands and flags, and `commands` runs them: most send requests through
//! `client` and show the responses through `terminal`.

mod arguments;
mod client;
mod commands;
mod partial_file;
mod terminal;

use std::io::Write;
use std::process::ExitCode;

use crate::escape;
use crate::failure::Failure;
use crate::log;
use terminal::output;

/// Runs the whole program, from the arguments of the process to its exit code.
pub fn main() -> ExitCode {
    let matches = match arguments::command().try_get_matches() {
        Ok(matches) => matches,
        Err(message) => return show(&message),
    };
    match commands::run(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if output::is_reader_gone(&failure) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, matches.subcommand_name() == Some("serve"));
            failure.exit_code()
        }
    }
}

/// Writes a failure to standard error, with control characters escaped. Errors are ignored: the
/// exit code remains. The write must not block a server.
fn report(failure: &Failure, is_server: bool) {
    let text = failure.to_string();
    match is_server {
        true => log::print(&text),
        false => drop(writeln!(std::io::stderr(), "{}", escape::lines(&text))),
    }
}

/// Shows the output of clap: help and version (exit code 0, on stdout), or what is wrong with the
/// arguments (exit code 2, on stderr).
fn show(message: &clap::Error) -> ExitCode {
    // An error is ignored: there is no other place to report it.
    let _ = message.print();
    ExitCode::from(if message.use_stderr() { 2 } else { 0 })
}
