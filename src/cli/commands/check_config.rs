//! `logboom check-config FILE`: checks a configuration file.

use std::io::{self, Write};
use std::path::Path;

use clap::ArgMatches;

use crate::cli::terminal::output::{self, Output};
use crate::cli::terminal::table::TextTable;
use crate::config::{self, Loaded, Values};
use crate::failure::Failure;

/// Reads the file, and the environment as `serve` would, checks the paths, and prints the resulting
/// options and stores.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let file = matches.get_one::<String>("file").map(Path::new);
    let loaded = config::load(file, std::env::vars_os(), Values::default())?;
    config::check_paths(&loaded.config)?;
    print(&loaded, output).map_err(output::failed)?;
    output.finish()
}

fn print(loaded: &Loaded, output: &mut Output) -> io::Result<()> {
    let mut options = TextTable::new(["option", "from", "value"]);
    for (key, value, origin) in loaded.effective() {
        options.row([key.into(), origin, value]);
    }
    options.write(output)?;
    let mut stores = TextTable::new(["store", "url"]);
    for store in &loaded.config.stores {
        stores.row([store.name.clone(), store.url.to_string()]);
    }
    writeln!(output)?;
    stores.write(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::output::printed;
    use crate::cli::terminal::paint::Paint;

    #[test]
    fn check_config_prints_every_option_with_its_origin() {
        let variables = [("LOGBOOM_THREADS".into(), "3".into())];
        let loaded = config::load(None, variables, Values::default()).unwrap();
        let page = printed(false, Paint::Plain, |output| print(&loaded, output).unwrap());
        let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
        let lines: Vec<_> = page.lines().map(words).collect();
        assert!(lines.contains(&words("threads LOGBOOM_THREADS 3")), "{page}");
        assert!(lines.contains(&words("data_dir by default ./logboom-data")), "{page}");
        assert!(lines.contains(&words("sqlite sqlite:./logboom-data/logboom.db")), "{page}");
    }
}
