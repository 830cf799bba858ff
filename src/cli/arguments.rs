//! Commands, flags and their help.

use clap::{Arg, ArgAction, Command, value_parser};

use crate::config;

const ABOUT: &str = "\
A central logger: catches every record that your services send, acknowledges it once it is on disk, and ships it \
exactly once into a database that you own.";

// Paragraphs are one line each, since clap wraps them to the terminal; examples stay below 80 characters.

const EXAMPLES: &str = "\
Examples:
  logboom serve                             receive on the default ports
  logboom query 'level>=warn' --since 1h    what went wrong in the last hour
  logboom sql 'SELECT service, count(*) FROM logs GROUP BY 1'
  logboom status                            what was received, shed, stored

Exit codes: 0 fine, 1 failure, 2 usage or configuration.";

const SERVE_EXAMPLES: &str = "\
Every option is also a key of the configuration file (`data_dir`) and an environment variable (`LOGBOOM_DATA_DIR`). \
Flags win, then the environment, then the file.

Examples:
  logboom serve --data-dir /var/lib/logboom --retention-age 30d
  logboom serve --listen python=unix:/run/logboom.sock,service=billing
  logboom serve --listen python=0.0.0.0:9020 --listen http=127.0.0.1:9022
  logboom serve --log-file /var/log/all.log --rotate-daily --rotate-keep 14
  logboom serve --config /etc/logboom.toml";

const QUERY_EXAMPLES: &str = "\
Bare words and \"quoted phrases\" search the message; `field:value`, `field>value`, `-negation`, `OR` and parentheses \
narrow it down. Fields are the columns and any attribute by name. A query that begins with `-` comes after `--`.

Without --order the newest records are fetched and shown in the order of time, as in a log. All times are UTC.

text: time, severity, service, logger, message and attributes, with stack traces below. Control characters are shown \
escaped.
json: one object a line, as the server sends it.
csv: every column. A text that begins with =, +, -, @, tab or carriage return is given a leading apostrophe, so that \
no spreadsheet runs it as a formula.

Examples:
  logboom query --limit 20
  logboom query 'service:billing level>=warn \"connection refused\"' --since 1h
  logboom query --since 2026-11-21 --until 2026-11-22 --format csv > day.csv
  logboom query --since 15m --limit 100000 --order asc --format json
  logboom query -- -logger:health";

const SQL_EXAMPLES: &str = "\
The view `logs` has the columns id, time, severity_number, severity, service, logger, host, message, trace_id, \
span_id, event_name, file, line, function, process_id, thread and attributes (JSON). Nothing can be changed this way.

json: one object a row. csv: as in `logboom query --help`.

Examples:
  logboom sql 'SELECT severity, count(*) FROM logs GROUP BY 1 ORDER BY 2 DESC'
  logboom sql \"SELECT time, message FROM logs WHERE attributes->>'user' = 42\"
  logboom sql 'SELECT count(*) = max(id) - min(id) + 1 AS nothing_lost FROM logs'";

/// The command line.
pub(super) fn command() -> Command {
    Command::new("logboom")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .max_term_width(110)
        .subcommands([serve(), query(), sql(), status(), check_config(), schema(), spool()])
}

fn serve() -> Command {
    Command::new("serve")
        .about("Receives, keeps and answers, until it is told to stop (SIGTERM or SIGINT)")
        .after_help(SERVE_EXAMPLES)
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help("A TOML file with any of the options [env: LOGBOOM_CONFIG]")
                .help_heading("Program"),
        )
        .args(config::arguments())
}

fn query() -> Command {
    Command::new("query")
        .about("Finds records")
        .after_help(QUERY_EXAMPLES)
        .arg(Arg::new("query").value_name("QUERY").num_args(1..).help(
            "What to look for; nothing finds every record. Further words are joined to it",
        ))
        .arg(moment("since", "Only records from this time on: `1h` ago, or a time such as 2026-11-21T10:00:00Z"))
        .arg(moment("until", "Only records before this time, written in the same way"))
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .default_value("100")
                .help("The most records to show"),
        )
        .arg(Arg::new("order").long("order").value_name("asc|desc").value_parser(["asc", "desc"]).hide_possible_values(true).help(
            "Fetch and show the oldest (asc) or newest (desc) first. Without it: the newest, shown in the order of time",
        ))
        .arg(format(&["text", "json", "csv"]))
        .arg(color())
        .arg(url())
}

fn sql() -> Command {
    Command::new("sql")
        .about("Runs one SQL query, read-only, in the database's own dialect")
        .after_help(SQL_EXAMPLES)
        .arg(Arg::new("sql").value_name("SQL").required(true).help("The query"))
        .arg(format(&["text", "json", "csv"]))
        .arg(color())
        .arg(url())
}

fn status() -> Command {
    Command::new("status")
        .about("Shows what was received, shed and stored, and what is wrong")
        .arg(format(&["text", "json"]))
        .arg(color())
        .arg(url())
}

fn check_config() -> Command {
    Command::new("check-config")
        .about("Tells what is wrong with a configuration file, or what `serve` would run with")
        .arg(Arg::new("file").value_name("FILE").required(true).help("The file"))
}

fn schema() -> Command {
    Command::new("schema")
        .about("Prints the SQL that makes a store's tables, for those who make them by hand")
        .arg(
            Arg::new("store")
                .long("store")
                .value_name("postgres")
                .value_parser(["postgres"])
                .required(true)
                .hide_possible_values(true)
                .help("The kind of store"),
        )
}

fn spool() -> Command {
    let data_dir = || config::argument(&config::DATA_DIR.about).help_heading(None::<&str>);
    Command::new("spool")
        .about("Looks into the spool of a server, running or not, and changes nothing")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(Command::new("inspect").about("Lists its segments and positions").arg(data_dir()))
        .subcommand(Command::new("verify").about("Reads all of it and checks every checksum").arg(data_dir()))
}

fn moment(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("TIME").help(help).allow_hyphen_values(true)
}

fn format(formats: &[&'static str]) -> Arg {
    Arg::new("format")
        .long("format")
        .value_name(formats.join("|"))
        .value_parser(formats.to_vec())
        .default_value("text")
        .hide_possible_values(true)
        .help("How to write the answer")
}

fn color() -> Arg {
    Arg::new("color")
        .long("color")
        .value_name("auto|always|never")
        .value_parser(["auto", "always", "never"])
        .default_value("auto")
        .hide_possible_values(true)
        .help("Colours; auto means on a terminal, and heeds NO_COLOR, CLICOLOR and CLICOLOR_FORCE")
}

fn url() -> Arg {
    Arg::new("url")
        .long("url")
        .value_name("URL")
        .action(ArgAction::Set)
        .help("The server to ask [env: LOGBOOM_URL] [default: http://127.0.0.1:9022]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn mistakes_go_to_stderr_and_help_to_stdout() {
        let message = |words: &[&str]| command().try_get_matches_from(words).unwrap_err();
        for words in [
            ["logboom", "fetch", "x"],
            ["logboom", "query", "--limit=0"],
            ["logboom", "query", "--format=xml"],
            ["logboom", "serve", "--data-dri=x"],
            ["logboom", "spool", "repair"],
        ] {
            assert!(message(&words).use_stderr(), "{words:?}");
        }
        assert!(!message(&["logboom", "serve", "--help"]).use_stderr());
        assert!(!message(&["logboom", "--version"]).use_stderr());
    }

    #[test]
    fn examples_are_valid_commands() {
        let words = |line: &str| {
            line.trim().replace(['\'', '"'], "").split(' ').map(String::from).collect::<Vec<_>>()
        };
        let plain =
            |line: &&str| line.starts_with("  logboom ") && !line.contains("sql") && !line.contains("  what");
        for line in [SERVE_EXAMPLES, QUERY_EXAMPLES].iter().flat_map(|text| text.lines()).filter(plain) {
            let line = line.split(" > ").next().unwrap();
            assert!(line.len() < 80, "{line}");
            command().try_get_matches_from(words(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
