//! `logboom check-config FILE`: checks a configuration file.

use std::path::Path;

use clap::ArgMatches;

use crate::cli::terminal::{Output, TextTable, text};
use crate::config::{self, Loaded};
use crate::failure::Failure;

/// Reads the file, and the environment as `serve` would, checks the paths, and prints the resulting
/// options, listeners and stores. A failure contains all errors.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let file = matches.get_one::<String>("file").map_or("", String::as_str);
    let loaded = config::load_and_check_paths(Some(Path::new(file)), std::env::vars_os())?;
    print(&loaded, output)?;
    writeln!(output, "\n{}: no errors", text::one_line(file))
}

fn print(loaded: &Loaded, output: &mut Output) -> Result<(), Failure> {
    let mut options = TextTable::new(["option", "from", "value"]);
    for (key, value, origin) in loaded.effective() {
        options.row([key.into(), origin, value]);
    }
    options.write(output)?;
    let mut listeners = TextTable::new(["protocol", "address", "labels"]);
    for listener in &loaded.config.listen {
        let labels: Vec<_> = listener.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let labels = if labels.is_empty() { "none".into() } else { labels.join(" ") };
        listeners.row([listener.protocol.name().into(), listener.address.to_string(), labels]);
    }
    writeln!(output)?;
    listeners.write(output)?;
    let mut stores = TextTable::new(["store", "url"]);
    for store in &loaded.config.stores {
        stores.row([store.name.clone(), store.url.to_string()]);
    }
    writeln!(output)?;
    stores.write(output)?;
    let mut settings = TextTable::new(["store", "option", "from", "value"]);
    for (place, store) in loaded.config.stores.iter().enumerate() {
        for (key, value, origin) in loaded.effective_of_store(place) {
            settings.row([store.name.clone(), key.into(), origin, value]);
        }
    }
    writeln!(output)?;
    settings.write(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::{output::printed, paint::Paint};
    use crate::config::Values;

    #[test]
    fn check_config_prints_every_option_with_its_origin() {
        let variables = [("LOGBOOM_THREADS".into(), "3".into())];
        let loaded = config::load(None, variables, Values::default()).unwrap();
        let page = printed(false, Paint::Plain, |output| print(&loaded, output).unwrap());
        let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
        let lines: Vec<_> = page.lines().map(words).collect();
        assert!(lines.contains(&words("threads LOGBOOM_THREADS 3")), "{page}");
        assert!(lines.contains(&words("data_dir by default ./logboom-data")), "{page}");
        assert!(lines.contains(&words("python-udp 127.0.0.1:9021 none")), "{page}");
        assert!(lines.contains(&words("sqlite sqlite:./logboom-data/logboom.db")), "{page}");
        assert!(lines.contains(&words("sqlite flush_rows by default 16384")), "{page}");
    }
}
