//! `logboom store adopt`: assigns a store to a data folder.

use clap::ArgMatches;

use super::{data_dir, subcommand};
use crate::cli::arguments;
use crate::cli::terminal::Output;
use crate::config;
use crate::data_dir::DataDir;
use crate::failure::Failure;

/// Runs the command below `store`.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    match subcommand(matches, "logboom store")? {
        ("adopt", matches) => adopt(matches, output),
        (other, _) => Err(Failure::usage(format!("unknown command `store {other}`"))),
    }
}

/// Makes the next start on a data folder accept a store as it is.
fn adopt(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let name = arguments::text(matches, "name").unwrap_or_default();
    if !config::is_store_name(name) {
        return Err(Failure::usage("this is not the name of a store")
            .hint("`logboom status` lists the stores and their names"));
    }
    let path = data_dir(matches)?;
    // This fails while a server uses the data folder.
    DataDir::open(&path)?.adopt(name)?;
    let place = path.display();
    writeln!(
        output,
        "the next start on {place} accepts the store `{name}` as it is and continues from its position"
    )
}
