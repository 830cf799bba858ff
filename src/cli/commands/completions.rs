//! `logboom completions`: completion scripts of shells, generated from the declarations of the
//! command line.

use clap::builder::PossibleValuesParser;
use clap::{ArgMatches, Command};
use clap_complete::aot::{Shell, generate};

use crate::cli::arguments;
use crate::cli::client::FieldSelection;
use crate::cli::terminal::Output;
use crate::failure::Failure;

/// Prints the completions of a shell.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let shell = match arguments::text(matches, "shell") {
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        _ => Shell::Bash,
    };
    // The library treats a failed write as a bug, so it writes into memory.
    let mut script = Vec::new();
    generate(shell, &mut with_field_names(arguments::command()), "logboom", &mut script);
    output.write_all(&script)
}

/// Adds the names of columns as completions of flags that take names of fields. Such flags accept
/// any name, but the names of columns are worth completing.
fn with_field_names(command: Command) -> Command {
    let columns = FieldSelection::all();
    let names = || PossibleValuesParser::new(columns.names().map(str::to_owned).collect::<Vec<_>>());
    command
        .mut_subcommand("query", |query| query.mut_arg("fields", |fields| fields.value_parser(names())))
        .mut_subcommand("tail", |tail| tail.mut_arg("fields", |fields| fields.value_parser(names())))
        .mut_subcommand("stats", |stats| {
            // A default of several names is not a possible value itself.
            stats.mut_arg("by", |by| by.default_value(None::<&str>).value_parser(names()))
        })
}
