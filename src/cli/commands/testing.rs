//! Runs commands against canned responses, for tests.

use super::run_command;
use crate::cli::arguments;
use crate::cli::client::stub_server::StubServer;
use crate::cli::terminal::{Screen, output::printed_on, paint::Paint};
use crate::failure::Failure;

/// Runs a command against a server that sends these responses one after the other. Returns its
/// output on this screen, its result, and its requests.
pub(super) fn run_against(
    responses: &[(&str, String)],
    words: &[&str],
    screen: Option<Screen>,
) -> (String, Result<(), Failure>, String) {
    let server = StubServer::start_each(responses);
    let words = [&["logboom"][..], words, &["--url", server.url.as_str()]].concat();
    let matches = arguments::command().get_matches_from(words);
    let (command, matches) = matches.subcommand().unwrap();
    let mut result = Ok(());
    let text = printed_on(screen, Paint::Plain, |output| result = run_command(command, matches, output));
    (text, result, server.request())
}
