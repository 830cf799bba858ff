//! `logboom check-config FILE`.

use std::io::{self, Write};
use std::path::Path;

use clap::ArgMatches;

use super::output::{self, Output};
use super::table::Table;
use crate::config::{self, Loaded, Values};
use crate::failure::Failure;

/// Reads the file, and the environment as `serve` would, and prints what comes of it.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let file = matches.get_one::<String>("file").map(Path::new);
    let loaded = config::load(file, std::env::vars_os(), Values::default())?;
    print(&loaded, output).map_err(output::failed)?;
    output.finish()
}

fn print(loaded: &Loaded, output: &mut Output) -> io::Result<()> {
    let mut options = Table::new(["option", "value", "from"]);
    for (key, value, origin) in loaded.effective() {
        options.row([key.into(), value, origin]);
    }
    options.write(output)?;
    let mut stores = Table::new(["store", "url"]);
    for store in &loaded.config.stores {
        stores.row([store.name.clone(), store.url.to_string()]);
    }
    writeln!(output)?;
    stores.write(output)
}
