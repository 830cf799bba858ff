//! Options as command-line flags.

use clap::{Arg, ArgAction, ArgMatches};

use super::options::global;
use super::setting::About;
use super::shape::Arity;
use super::value_source::ValueSource;
use super::values::Values;

/// Returns the flags of all options, under the headings of their sections.
pub fn arguments() -> Vec<Arg> {
    global().map(argument).collect()
}

/// Returns the flag of one option.
pub fn argument(about: &'static About) -> Arg {
    let argument = Arg::new(about.key)
        .long(about.flag())
        .value_name(about.value_name)
        .help(format!("{} [default: {}]", about.help.trim(), about.default))
        .help_heading(about.section.heading())
        .action(ArgAction::Set);
    match about.form {
        Arity::One => argument,
        Arity::List => argument.action(ArgAction::Append),
        Arity::Switch => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
    }
}

/// Returns the values that were set by flags.
pub fn read(matches: &ArgMatches) -> Values {
    let mut values = Values::default();
    for about in global() {
        if let Ok(Some(texts)) = matches.try_get_many::<String>(about.key) {
            values.put(about, texts.cloned().collect(), ValueSource::Flag);
        }
    }
    values
}
