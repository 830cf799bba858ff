//! The single failure type at the top of the program: what failed, why, what to do, and the exit
//! code.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// A failure that is reported to a person. Displays as an `error:` line, with its causes, and a
/// `hint:` line:
///
/// ```text
/// error: cannot read the configuration file logboom.toml: unknown key `data_dri` in line 3
/// hint: did you mean `data_dir`?
/// ```
#[derive(Debug)]
pub struct Failure {
    what: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
    hint: Option<String>,
    usage: bool,
    /// Failures that are shown after this one.
    others: Vec<Failure>,
}

impl Failure {
    /// Returns the failure of an operation: exit code 1.
    pub fn new(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), cause: None, hint: None, usage: false, others: Vec::new() }
    }

    /// Returns the failure for an invalid command line or configuration: exit code 2.
    pub fn usage(what: impl Into<String>) -> Failure {
        Failure { usage: true, ..Failure::new(what) }
    }

    /// Returns one failure that shows all of these, with the exit code of the first; `None` if
    /// there are none.
    pub fn all(failures: impl IntoIterator<Item = Failure>) -> Option<Failure> {
        let mut failures = failures.into_iter();
        let first = failures.next()?;
        Some(Failure { others: failures.collect(), ..first })
    }

    /// Adds the cause: an error, whose own sources are shown too, or a text.
    #[must_use]
    pub fn because(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { cause: Some(cause.into()), ..self }
    }

    /// Adds a hint: what to do about the failure.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// Adds a hint, if there is one.
    #[must_use]
    pub fn hint_if(self, hint: Option<String>) -> Failure {
        Failure { hint: hint.or(self.hint), ..self }
    }

    /// Returns the cause, if it was set as an error of type `E`.
    pub fn cause<E: Error + 'static>(&self) -> Option<&E> {
        self.cause.as_ref()?.downcast_ref()
    }

    /// Returns 1 for a failed operation, 2 for usage and configuration.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.usage { 2 } else { 1 })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "error: {}", self.what)?;
        let mut said = self.what.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors already repeat their source in their own text.
            if !said.contains(&text) {
                write!(formatter, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            write!(formatter, "\nhint: {hint}")?;
        }
        self.others.iter().try_for_each(|other| write!(formatter, "\n{other}"))
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Some(cause) => Some(cause.as_ref()),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the spool")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn failure_with_cause_and_hint_shows_both() {
        let failure = Failure::usage("cannot read the configuration file logboom.toml")
            .because("unknown key `data_dri` in line 3")
            .hint("did you mean `data_dir`?");
        let expected = "error: cannot read the configuration file logboom.toml: unknown key `data_dri` in line 3\n\
                        hint: did you mean `data_dir`?";
        assert_eq!(failure.to_string(), expected);
        assert_eq!(failure.exit_code(), ExitCode::from(2));
    }

    #[test]
    fn causes_are_shown_to_the_last() {
        let failure = Failure::new("cannot start").because(Outer(std::io::Error::other("disk on fire")));
        assert_eq!(failure.to_string(), "error: cannot start: cannot open the spool: disk on fire");
        assert!(failure.cause::<Outer>().is_some());
        assert_eq!(failure.exit_code(), ExitCode::from(1));
    }

    #[test]
    fn combined_failures_are_all_shown() {
        let failures = [Failure::usage("one").hint("first"), Failure::new("two").because("three")];
        let failure = Failure::all(failures).unwrap();
        assert_eq!(failure.to_string(), "error: one\nhint: first\nerror: two: three");
        assert_eq!(failure.exit_code(), ExitCode::from(2));
        assert!(Failure::all([]).is_none());
    }

    #[test]
    fn source_repeated_by_error_is_shown_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot listen: {0}")]
        struct Repeats(#[source] std::io::Error);
        let failure = Failure::new("cannot start").because(Repeats(std::io::Error::other("in use")));
        assert_eq!(failure.to_string(), "error: cannot start: cannot listen: in use");
    }
}
