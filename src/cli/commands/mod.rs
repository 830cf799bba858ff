//! The commands, one file for each, and what several of them share.
//!
//! `query`, `tail`, `stats`, `sql`, `status`, `delete`, `export` and `import` send requests to a
//! running server over HTTP; `serve` is that server. `backup`, `restore`, `spool` and `store` work
//! on the files of a server.

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

use std::path::PathBuf;

use clap::ArgMatches;

use super::terminal::output::Output;
use crate::config;
use crate::failure::Failure;

/// Runs the command that the arguments select.
pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (command, matches) = subcommand(matches, "logboom")?;
    let output = || Output::stdout(matches);
    match command {
        "serve" => serve::run(matches),
        "query" => query::run(matches, &mut output()),
        "tail" => tail::run(matches, &mut output()),
        "stats" => stats::run(matches, &mut output()),
        "sql" => sql::run(matches, &mut output()),
        "status" => status::run(matches, &mut output()),
        "delete" => delete::run(matches, &mut output()),
        "backup" => backup::back_up(matches, &mut output()),
        "restore" => backup::restore(matches, &mut output()),
        "export" => export::run(matches, &mut output()),
        "import" => import::run(matches, &mut output()),
        "check-config" => check_config::run(matches, &mut output()),
        "spool" => spool::run(matches, &mut output()),
        "store" => store::run(matches, &mut output()),
        "completions" => completions::run(matches, &mut output()),
        "man" => man::run(matches),
        "schema" => schema::run(matches, &mut output()),
        other => Err(Failure::usage(format!("unknown command `{other}`"))),
    }
}

/// Returns the subcommand and its arguments; clap has already rejected arguments without one.
fn subcommand<'a>(matches: &'a ArgMatches, command: &str) -> Result<(&'a str, &'a ArgMatches), Failure> {
    matches
        .subcommand()
        .ok_or_else(|| Failure::usage("no command").hint(format!("{command} --help lists them")))
}

/// Returns the data folder that the flag, or else the environment, selects.
fn data_dir(matches: &ArgMatches) -> Result<PathBuf, Failure> {
    let values = config::flags(matches).over(config::environment::read(std::env::vars_os())?);
    values.one(&config::DATA_DIR)
}
