//! Commands, flags and their help, and the values of parsed arguments.

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};

use crate::config;
use crate::limits::TAIL_LAST_RECORDS_MAX;

const ABOUT: &str = "\
A central log server: accepts the log records of your services, acknowledges each once it is on disk, and ships it \
exactly once into a database that you own.";

// Paragraphs are one line each because clap wraps them to the terminal. Examples stay below 80
// characters.

const EXAMPLES: &str = "\
Examples:
  logboom serve                             receive on the default ports
  logboom query 'level>=warn' --since 1h    warnings and errors of the last hour
  logboom stats --since 1d                  how many, when, and from which service
  logboom tail 'level>=warn'                warnings and errors as they arrive
  logboom sql 'SELECT service, count(*) FROM logs GROUP BY 1'
  logboom status                            what was received, shed, stored
  logboom delete 'user_id:4711' --before now
  logboom backup /backup/logboom.db         of the default data folder

Exit codes: 0 success, 1 failure, 2 usage or configuration.";

const SERVE_EXAMPLES: &str = "\
Every option is also a key of the configuration file (`data_dir`) and an environment variable (`LOGBOOM_DATA_DIR`). \
Flags take precedence over the environment, and the environment over the file.

Examples:
  logboom serve --data-dir /var/lib/logboom --retention-age 30d
  logboom serve --listen python=unix:/run/logboom.sock,service=billing
  logboom serve --listen python=0.0.0.0:9020 --listen http=127.0.0.1:9022
  logboom serve --log-file /var/log/all.log --rotate-daily --rotate-keep 14
  logboom serve --config /etc/logboom.toml";

const QUERY_EXAMPLES: &str = "\
Bare words and \"quoted phrases\" search the message; `field:value`, `field>value`, `-negation`, `OR` and parentheses \
combine conditions. Fields are the columns and any attribute by name. A query that begins with `-` comes after `--`.

Without --order the newest records are fetched, and shown in the order of time. All times are UTC.

text: time, severity, service, logger, message and attributes, with stack traces below. On a terminal, lines are \
wrapped, long stack traces are folded unless everything fits on the screen (--full), and output longer than the screen \
is shown by PAGER, `less -FRX` by default. In pipes nothing is cut. Control characters are escaped.
json: one object per line, as the server sends it.
csv: every column. A text that begins with =, +, -, @, a tab or a line end gets a leading apostrophe, so that no \
spreadsheet runs it as a formula.

Examples:
  logboom query --limit 20
  logboom query 'service:billing level>=warn \"connection refused\"' --since 1h
  logboom query --since 2026-11-21 --until 2026-11-22 --format csv > day.csv
  logboom query --since 15m --limit 100000 --order asc --format json
  logboom query --fields time,user_id,http.status_code 'http.status_code>=500'
  logboom query --around 123456 --before 20 --after 5
  logboom query --trace b7ad6b7169203331
  logboom query --follow --limit 20 service:billing
  logboom query -- -logger:health";

const STATS_EXAMPLES: &str = "\
Queries and times are those of `logboom query --help`. Without --since the counts begin with the earliest record of \
all, without --until they end now, or with the latest record if that is later.

text: a plot, with bars in the colours of the values, and a table. If the locale is not UTF-8, the plot is drawn in \
ASCII.
json: the server's response, one object per line for each --by.
csv: by, value, time and count, one row for each value and time.

Examples:
  logboom stats --since 1d
  logboom stats 'level>=error' --since 1h --by service
  logboom stats --by severity,logger,http.status_code --since 2026-11-21
  logboom stats --since 7d --format csv > week.csv";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  logboom completions bash > /etc/bash_completion.d/logboom
  logboom completions zsh > /usr/local/share/zsh/site-functions/_logboom
  logboom completions fish > ~/.config/fish/completions/logboom.fish";
const TAIL_EXAMPLES: &str = "\
Queries and formats are those of `logboom query`. Records are shown once they are on the server's disk, in the order of \
their arrival. If records arrive faster than they can be shown, some are left out and their number is reported. After a \
lost connection the command connects again and shows the records that arrived in between. It runs until interrupted.

Examples:
  logboom tail 'service:billing level>=warn'
  logboom tail --last 100 timeout
  logboom tail --last 0 --format json level:error > errors.ndjson";

const SQL_EXAMPLES: &str = "\
The view `logs` has the columns id, time, severity_number, severity, service, logger, host, message, trace_id, \
span_id, event_name, file, line, function, process_id, thread and attributes (JSON). The connection is read-only.

json: one object per row. csv: as in `logboom query --help`.

Examples:
  logboom sql 'SELECT severity, count(*) FROM logs GROUP BY 1 ORDER BY 2 DESC'
  logboom sql \"SELECT time, message FROM logs WHERE attributes->>'user' = 42\"
  logboom sql 'SELECT count(*) = max(id) - min(id) + 1 AS nothing_lost FROM logs'";

const DELETE_EXAMPLES: &str = "\
Deleted records are overwritten in the database and removed from the files of the spool. Log files, backups and copies \
elsewhere are not changed. See docs/retention.md.

Examples:
  logboom delete 'user_id:4711' --before now --dry-run
  logboom delete '\"BEGIN PRIVATE KEY\"' --before now
  logboom delete 'service:shop' --before 30d --yes";

const BACKUP_EXAMPLES: &str = "\
The file is a SQLite database in the state of one moment, with the position in the spool from which a server continues.

Examples:
  logboom backup /backup/logboom.db --data-dir /var/lib/logboom
  logboom restore /backup/logboom.db --data-dir /var/lib/new";

const ADOPT_EXAMPLES: &str = "\
A store belongs to the data folder that ships into it. This command assigns a store to another data folder: use it if the \
data folder was lost, if the database was moved here from another machine, or if its position was damaged (the position is \
then taken from the records). The next start refuses if this would skip records of the spool.

Examples:
  logboom store adopt sqlite --data-dir /var/lib/logboom
  logboom store adopt postgres";

const EXPORT_EXAMPLES: &str = "\
Examples:
  logboom export --since 2026-11-01 --until 2026-12-01 -o november.ndjson.zst
  logboom import november.ndjson.zst --url http://127.0.0.1:9022";

/// Returns the definition of the command line.
pub(super) fn command() -> Command {
    group("logboom")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXAMPLES)
        .max_term_width(110)
        .subcommands([serve(), query(), tail(), stats(), sql(), status()])
        .subcommands([delete(), backup(), restore(), export(), import()])
        .subcommands([check_config(), schema(), spool(), store(), completions(), man()])
}

/// Returns the text of an argument; `None` also for an argument that the command does not have.
pub(super) fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.try_get_one::<String>(name).ok().flatten().map(String::as_str)
}

/// Returns true if a switch is set; false also for a switch that the command does not have.
pub(super) fn is_set(matches: &ArgMatches, name: &str) -> bool {
    matches.try_get_one::<bool>(name).ok().flatten() == Some(&true)
}

fn serve() -> Command {
    Command::new("serve")
        .about("Runs the server until SIGTERM or SIGINT")
        .after_help(SERVE_EXAMPLES)
        .arg(
            option("config", "FILE")
                .help("A TOML file with any of the options [env: LOGBOOM_CONFIG]")
                .help_heading("Program"),
        )
        .args(config::arguments())
}

fn query() -> Command {
    Command::new("query")
        .about("Finds records")
        .after_help(QUERY_EXAMPLES)
        .arg(words(QUERY))
        .args(times())
        .arg(
            number("limit", "N")
                .value_parser(value_parser!(u64).range(1..))
                .help("The most records to show [default: 100; of a trace 10000]"),
        )
        .arg(choice("order", &["asc", "desc"]).help(
            "Fetch and show the oldest (asc) or newest (desc) first. Default: fetch the newest, show in the order of time",
        ))
        .arg(
            switch("follow", "Show the newest records, then new ones as they arrive, until interrupted")
                .short('f')
                .conflicts_with_all(["until", "order", "around"]),
        )
        .arg(option("trace", "ID").help("Only records of this trace, from its beginning"))
        .arg(
            number("around", "ID")
                .conflicts_with_all(["query", "since", "until", "limit", "order", "trace"])
                .help("This record, marked, and the records around it"),
        )
        .arg(number("before", "N").requires("around").help("Records before the one of --around [default: 10]"))
        .arg(number("after", "N").requires("around").help("Records after it [default: 10]"))
        .arg(
            choice("scope", &["service", "all"])
                .requires("around")
                .help("Show surrounding records of its service, or of all services [default: service]"),
        )
        .args([format(&["text", "json", "csv"]), fields(), full(), color(), no_pager(), url()])
}

fn stats() -> Command {
    Command::new("stats")
        .about("Counts records over time, by severity, service or any field")
        .after_help(STATS_EXAMPLES)
        .arg(words(QUERY))
        .args(times())
        .arg(
            option("by", "NAME,...")
                .default_value("severity,service")
                .help("The fields to count by; the 9 most frequent values of each are shown"),
        )
        .arg(
            number("buckets", "N")
                .value_parser(value_parser!(u64).range(1..=500))
                .help("The most time steps [default: 60; on a terminal as many as fit]"),
        )
        .arg(format(&["text", "json", "csv"]))
        .arg(switch("ascii", "Draw in ASCII"))
        .args([color(), no_pager(), url()])
}

fn tail() -> Command {
    Command::new("tail")
        .about("Shows records as they arrive")
        .after_help(TAIL_EXAMPLES)
        .arg(words(QUERY))
        .arg(
            number("last", "N")
                .value_parser(value_parser!(u64).range(..=TAIL_LAST_RECORDS_MAX))
                .default_value("10")
                .help(
                    "Begin with this many of the latest matching records, as far as the spool still has them",
                ),
        )
        .args([format(&["text", "json"]), fields(), full(), color(), url()])
}

fn sql() -> Command {
    Command::new("sql")
        .about("Runs one read-only SQL query in the dialect of the database")
        .after_help(SQL_EXAMPLES)
        .arg(required("sql", "SQL").help("The query"))
        .args([format(&["text", "json", "csv"]), color(), no_pager(), url()])
}

fn status() -> Command {
    Command::new("status")
        .about("Shows the counts of received, shed and stored records, and current problems")
        .args([format(&["text", "json"]), color(), url()])
}

fn delete() -> Command {
    Command::new("delete")
        .about("Deletes records permanently from every database of the server, after showing how many")
        .after_help(DELETE_EXAMPLES)
        .arg(words("The records to delete, as for `logboom query`"))
        .arg(moment("before", "Only records before this time: `1h` ago, `now`, or a time").required(true))
        .arg(switch("dry-run", "Only show what would be deleted"))
        .arg(switch("yes", "Do not ask for confirmation; required if standard input is not a terminal"))
        .arg(switch(
            "all",
            "Required to delete with an empty query, which selects every record before that time",
        ))
        .arg(url())
}

fn backup() -> Command {
    Command::new("backup")
        .about("Copies the SQLite database of a server, running or not, and checks the copy")
        .after_help(BACKUP_EXAMPLES)
        .arg(file("dest", "DEST").help("The file to create; it must not exist"))
        .arg(data_dir())
        .arg(
            file("database", "FILE")
                .long("database")
                .required(false)
                .help("The database, if it is not in the data folder"),
        )
}

fn restore() -> Command {
    Command::new("restore")
        .about(
            "Puts a backup into a data folder that has no database, and checks it; no server may run there",
        )
        .arg(file("backup", "BACKUP").help("The file that `logboom backup` created"))
        .arg(data_dir())
}

fn export() -> Command {
    Command::new("export")
        .about("Writes records as NDJSON, the oldest first")
        .after_help(EXPORT_EXAMPLES)
        .arg(words("The records to export, as for `logboom query` [default: all]"))
        .arg(moment("since", "Only records from this time on"))
        .arg(moment("until", "Only records before this time"))
        .arg(
            file("output", "FILE").long("output").short('o').required(false).help(
                "The output file, compressed if its name ends with .gz or .zst [default: standard output]",
            ),
        )
        .arg(url())
}

fn import() -> Command {
    Command::new("import")
        .about("Sends what `logboom export` wrote; the records get new ids")
        .after_help(EXPORT_EXAMPLES)
        .arg(
            file("file", "FILE")
                .help("The file, compressed if its name ends with .gz or .zst; - for standard input"),
        )
        .arg(
            number("from-line", "N")
                .value_parser(value_parser!(u64).range(1..))
                .help("Begin with this line, to continue an earlier import"),
        )
        .arg(url())
}

fn file(name: &'static str, value_name: &'static str) -> Arg {
    required(name, value_name).value_parser(value_parser!(std::ffi::OsString))
}

fn check_config() -> Command {
    Command::new("check-config")
        .about("Reports all errors of a configuration file, or shows the values that `serve` would use")
        .arg(required("file", "FILE").help("The file"))
}

fn schema() -> Command {
    Command::new("schema")
        .about("Prints the SQL that creates the tables of a store")
        .arg(option("store", "postgres").required(true).help("The kind of store, or its address"))
}

fn spool() -> Command {
    group("spool")
        .about("Inspects the spool of a server, running or not, without changing it")
        .subcommand(Command::new("inspect").about("Lists the segments and positions").arg(data_dir()))
        .subcommand(
            Command::new("verify").about("Reads all segments and checks every checksum").arg(data_dir()),
        )
}

fn store() -> Command {
    group("store")
        .about("Changes which data folder a store belongs to")
        .subcommand(
            Command::new("adopt")
                .about("Makes the next start accept a store as it is and continue from its position; no server may run there")
                .after_help(ADOPT_EXAMPLES)
                .arg(required("name", "NAME").help("The name of the store in the configuration"))
                .arg(data_dir()),
        )
}

fn completions() -> Command {
    Command::new("completions")
        .about("Prints the completion script of a shell")
        .after_help(COMPLETIONS_EXAMPLES)
        .arg(
            required("shell", "bash|zsh|fish")
                .value_parser(["bash", "zsh", "fish"])
                .hide_possible_values(true)
                .help("The shell"),
        )
}

fn man() -> Command {
    Command::new("man")
        .about("Writes manual pages, one per command")
        .after_help("Example:\n  logboom man /usr/local/share/man/man1")
        .arg(
            required("folder", "DIR")
                .value_hint(ValueHint::DirPath)
                .help("The folder; created if it does not exist"),
        )
}

/// Returns a command that only has subcommands.
fn group(name: &'static str) -> Command {
    Command::new(name).subcommand_required(true).arg_required_else_help(true).disable_help_subcommand(true)
}

const QUERY: &str = "The query; without one every record matches. Further words are joined to it";

fn words(help: &'static str) -> Arg {
    Arg::new("query").value_name("QUERY").num_args(1..).help(help)
}

fn data_dir() -> Arg {
    config::argument(&config::DATA_DIR.about).help_heading(None::<&str>)
}

fn times() -> [Arg; 2] {
    [
        moment("since", "Only records from this time on: `1h` ago, or a time such as 2026-11-21T10:00:00Z"),
        moment("until", "Only records before this time, in the same form"),
    ]
}

fn moment(name: &'static str, help: &'static str) -> Arg {
    option(name, "TIME").help(help).allow_hyphen_values(true)
}

/// Returns a flag with a value.
fn option(name: &'static str, value_name: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value_name)
}

/// Returns an argument without a flag that must be given.
fn required(name: &'static str, value_name: &'static str) -> Arg {
    Arg::new(name).value_name(value_name).required(true)
}

fn number(name: &'static str, value_name: &'static str) -> Arg {
    option(name, value_name).value_parser(value_parser!(u64))
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn choice(name: &'static str, values: &[&'static str]) -> Arg {
    let argument = Arg::new(name).long(name).value_name(values.join("|"));
    argument.value_parser(values.to_vec()).hide_possible_values(true)
}

fn fields() -> Arg {
    option("fields", "NAME,...")
        .help("Only these fields, in this order: columns and attributes, by their names in queries")
}

fn full() -> Arg {
    switch("full", "On a terminal: do not fold or cut")
}

fn no_pager() -> Arg {
    switch("no-pager", "Do not use a pager")
}

fn format(formats: &[&'static str]) -> Arg {
    choice("format", formats).default_value("text").help("The output format")
}

fn color() -> Arg {
    choice("color", &["auto", "always", "never"])
        .default_value("auto")
        .help("Colours; auto: on a terminal, subject to NO_COLOR, CLICOLOR and CLICOLOR_FORCE")
}

fn url() -> Arg {
    option("url", "URL").help("The server [env: LOGBOOM_URL] [default: http://127.0.0.1:9022]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_passes_debug_checks_of_clap() {
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
            ["logboom", "store", "adopt"],
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
        let plain_texts =
            [SERVE_EXAMPLES, QUERY_EXAMPLES, TAIL_EXAMPLES, STATS_EXAMPLES, COMPLETIONS_EXAMPLES];
        let keeping = [DELETE_EXAMPLES, BACKUP_EXAMPLES, ADOPT_EXAMPLES, EXPORT_EXAMPLES];
        for line in plain_texts.iter().chain(&keeping).flat_map(|text| text.lines()).filter(plain) {
            let line = line.split(" > ").next().unwrap();
            assert!(line.len() < 80, "{line}");
            command().try_get_matches_from(words(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
