//! The command line: data goes to stdout, everything else to stderr; exit code 0 is success, 1
//! failure, 2 an error of usage or configuration.
//!
//! `query`, `tail`, `stats`, `sql`, `status`, `delete`, `export` and `import` send requests to a
//! running server over HTTP; `serve` is that server. `backup`, `restore` and `store` work on the
//! files of a server.

mod arguments;
mod backup;
mod check_config;
mod client;
mod delete;
mod documents;
mod events;
mod export;
mod fields;
mod flow;
mod grid;
mod highlight;
mod import;
mod interrupts;
mod output;
mod pager;
mod paint;
mod partial_file;
mod plot;
mod printer;
mod progress;
mod query;
mod record;
mod screen;
mod spool;
mod sql;
mod stats;
mod status;
mod store;
mod table;
mod tail;
mod terminal;
mod text;
mod writer;

#[cfg(test)]
mod server;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;

use crate::config;
use crate::failure::Failure;
use crate::log;
use output::Output;

/// Runs the whole program, from the arguments of the process to its exit code.
pub fn main() -> ExitCode {
    let matches = match arguments::command().try_get_matches() {
        Ok(matches) => matches,
        Err(message) => return show(&message),
    };
    match run(&matches) {
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
        false => drop(writeln!(std::io::stderr(), "{}", text::lines(&text))),
    }
}

/// Shows the output of clap: help and version (exit code 0, on stdout), or what is wrong with the
/// arguments (exit code 2, on stderr).
fn show(message: &clap::Error) -> ExitCode {
    // An error is ignored: there is no other place to report it.
    let _ = message.print();
    ExitCode::from(if message.use_stderr() { 2 } else { 0 })
}

fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((command, matches)) = matches.subcommand() else {
        return Err(Failure::usage("no command").hint("logboom --help lists them"));
    };
    match command {
        "serve" => serve(matches),
        "query" => query::run(matches, &mut Output::stdout(matches)),
        "tail" => tail::run(matches, &mut Output::stdout(matches)),
        "stats" => stats::run(matches, &mut Output::stdout(matches)),
        "sql" => sql::run(matches, &mut Output::stdout(matches)),
        "status" => status::run(matches, &mut Output::stdout(matches)),
        "delete" => delete::run(matches, &mut Output::stdout(matches)),
        "backup" => backup::back_up(matches, &mut Output::stdout(matches)),
        "restore" => backup::restore(matches, &mut Output::stdout(matches)),
        "export" => export::export(matches, &mut Output::stdout(matches)),
        "import" => import::import(matches, &mut Output::stdout(matches)),
        "check-config" => check_config::run(matches, &mut Output::stdout(matches)),
        "spool" => read_spool(matches),
        "store" => change_store(matches),
        "completions" => documents::print_completions(matches, &mut Output::stdout(matches)),
        "man" => documents::write_manual(matches),
        "schema" => print_schema(matches, &mut Output::stdout(matches)),
        other => Err(Failure::usage(format!("unknown command `{other}`"))),
    }
}

fn serve(matches: &ArgMatches) -> Result<(), Failure> {
    let variable = || std::env::var_os(config::environment::CONFIG).filter(|path| !path.is_empty());
    let file = matches.get_one::<String>("config").map(OsString::from).or_else(variable);
    let loaded = config::load(file.as_deref().map(Path::new), std::env::vars_os(), config::flags(matches))?;
    crate::pipeline::run(&loaded.config)
}

fn change_store(matches: &ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("adopt", matches)) => store::adopt(matches, &mut Output::stdout(matches)),
        _ => Err(Failure::usage("no command").hint("logboom store --help lists them")),
    }
}

/// Prints the table definitions of a store for users who create tables by hand. Only one kind of
/// store has tables that another person may have to create.
fn print_schema(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let store = matches.get_one::<String>("store").map_or("", String::as_str);
    if !matches!(store.split(':').next(), Some("postgres" | "postgresql")) {
        return Err(
            // The given value is not repeated: it may contain a password.
            Failure::usage("only the tables of `postgres` are made by hand")
                .hint("logboom schema --store postgres"),
        );
    }
    output.write_all(crate::store::postgres::SCHEMA.as_bytes()).map_err(output::failed)?;
    output.finish()
}

fn read_spool(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((command, matches)) = matches.subcommand() else {
        return Err(Failure::usage("no command").hint("logboom spool --help lists them"));
    };
    let values = config::flags(matches).over(config::environment::read(std::env::vars_os())?);
    let data_dir = values.one(&config::DATA_DIR)?;
    spool::run(&data_dir, command == "verify", &mut Output::stdout(matches))
}
