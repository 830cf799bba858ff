//! The commands, one file for each, and what several of them share.
//!
//! `query`, `tail`, `stats`, `sql`, `status`, `delete`, `export` and `import` send requests to a
//! running server over HTTP; `serve` is that server. `backup`, `restore`, `spool` and `store` work
//! on the files of a server. `check-config`, `schema`, `completions` and `man` print texts.

mod backup;
mod check_config;
mod completions;
mod delete;
mod export;
mod follow;
mod import;
mod man;
mod query;
mod schema;
mod serve;
mod spool;
mod sql;
mod stats;
mod status;
mod store;
mod tail;

#[cfg(test)]
mod testing;

use std::io;
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use super::terminal::Output;
use crate::config;
use crate::failure::Failure;

/// Runs the command that the arguments select.
pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (command, matches) = subcommand(matches, "logboom")?;
    let mut output = Output::stdout(matches);
    run_command(command, matches, &mut output)?;
    output.finish()
}

fn run_command(command: &str, matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    match command {
        "serve" => serve::run(matches),
        "query" => query::run(matches, output),
        "tail" => tail::run(matches, output),
        "stats" => stats::run(matches, output),
        "sql" => sql::run(matches, output),
        "status" => status::run(matches, output),
        "delete" => delete::run(matches, output),
        "backup" => backup::back_up(matches, output),
        "restore" => backup::restore(matches, output),
        "export" => export::run(matches, output),
        "import" => import::run(matches, output),
        "check-config" => check_config::run(matches, output),
        "spool" => spool::run(matches, output),
        "store" => store::run(matches, output),
        "completions" => completions::run(matches, output),
        "man" => man::run(matches),
        "schema" => schema::run(matches, output),
        other => Err(Failure::usage(format!("unknown command `{other}`"))),
    }
}

/// Returns the subcommand and its arguments; clap has already rejected arguments without one.
fn subcommand<'a>(matches: &'a ArgMatches, command: &str) -> Result<(&'a str, &'a ArgMatches), Failure> {
    matches
        .subcommand()
        .ok_or_else(|| Failure::usage("no command").hint(format!("{command} --help lists them")))
}

/// Returns the failure of reading or writing a file.
fn file_failure(verb: &str, path: &Path, error: io::Error) -> Failure {
    Failure::new(format!("cannot {verb} {}", path.display())).because(error)
}

/// Returns the data folder that the flag, or else the environment, selects.
fn data_dir(matches: &ArgMatches) -> Result<PathBuf, Failure> {
    let values = config::flags(matches).over(config::environment::read(std::env::vars_os())?);
    values.one(&config::DATA_DIR)
}
