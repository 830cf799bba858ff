//! `logboom serve`: runs the server.

use std::ffi::OsString;
use std::path::Path;

use clap::ArgMatches;

use crate::config;
use crate::failure::Failure;
use crate::pipeline;

/// Runs the server with the options of the flags, the environment and the configuration file.
pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let variable = || std::env::var_os(config::environment::CONFIG).filter(|path| !path.is_empty());
    let file = matches.get_one::<String>("config").map(OsString::from).or_else(variable);
    let loaded = config::load(file.as_deref().map(Path::new), std::env::vars_os(), config::flags(matches))?;
    pipeline::run(&loaded.config)
}
