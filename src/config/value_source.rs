//! The sources of values, and the errors that name them.

use std::fmt;

use super::setting::About;
use crate::failure::Failure;

/// The source of a value. A later source wins over an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// The value was not set.
    Default,
    /// A line of the configuration file.
    File {
        /// The file's path, as it was given.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment,
    /// A flag.
    Flag,
}

impl ValueSource {
    /// Describes the source of an option's value, as the end of a sentence: `by --threads` or
    /// `in line 3 of logboom.toml`.
    pub fn of<'a>(&'a self, about: &'a About) -> impl fmt::Display + 'a {
        fmt::from_fn(move |formatter| match self {
            ValueSource::Default => formatter.write_str("by default"),
            ValueSource::File { path, line } => write!(formatter, "in line {line} of {path}"),
            ValueSource::Environment => formatter.write_str(&about.variable()),
            ValueSource::Flag => write!(formatter, "--{}", about.flag()),
        })
    }
}

/// Returns the failure for a value that an option does not take.
pub(super) fn bad_value(about: &About, origin: &ValueSource, why: String) -> Failure {
    Failure::usage(format!("bad value for `{}`, given {}", about.key, by(about, origin)))
        .because(why)
        .hint(format!("it takes {}", about.accepts))
}

fn by(about: &About, origin: &ValueSource) -> String {
    match origin {
        ValueSource::Environment | ValueSource::Flag => format!("by {}", origin.of(about)),
        ValueSource::Default | ValueSource::File { .. } => origin.of(about).to_string(),
    }
}
