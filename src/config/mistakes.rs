//! The mistakes in a configuration. All of them are collected, so that a person can correct them at
//! once.

use std::collections::BTreeSet;

use super::setting::About;
use super::value_source::{ValueSource, bad_value};
use crate::failure::Failure;
use crate::limits::CONFIGURATION_MISTAKES_SHOWN_MAX;

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    /// Each with its line in the file, from 1; 0 for the file itself, `usize::MAX` for flags,
    /// variables and combinations of options.
    failures: Vec<(usize, Failure)>,
    /// The keys of the options of which a value could not be read.
    unread: BTreeSet<&'static str>,
}

impl Mistakes {
    /// Adds a mistake that is not in a line of the file.
    pub(super) fn add(&mut self, failure: Failure) {
        self.add_in_line(usize::MAX, failure);
    }

    /// Adds a mistake in a line of the file.
    pub(super) fn add_in_line(&mut self, line: usize, failure: Failure) {
        self.failures.push((line, failure));
    }

    /// Adds a value that an option does not take.
    pub(super) fn add_value(&mut self, about: &'static About, origin: &ValueSource, why: String) {
        let line = if let ValueSource::File { line, .. } = origin { *line } else { usize::MAX };
        self.add_unread(about, line, bad_value(about, origin, why));
    }

    /// Adds a value that could not be read, in a line of the file or, with `usize::MAX`, elsewhere.
    pub(super) fn add_unread(&mut self, about: &'static About, line: usize, failure: Failure) {
        self.add_in_line(line, failure);
        self.unread.insert(about.key);
    }

    /// Returns true if a value of one of these options could not be read.
    pub(super) fn concern(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.unread.contains(key))
    }

    /// Returns one failure that shows the mistakes in the order of their lines, or `None` if there
    /// are none.
    pub(super) fn into_failure(mut self) -> Option<Failure> {
        self.failures.sort_by_key(|(line, _)| *line);
        let hidden = self.failures.split_off(self.failures.len().min(CONFIGURATION_MISTAKES_SHOWN_MAX)).len();
        let more = (hidden > 0).then(|| Failure::usage(format!("{hidden} more errors")));
        Failure::all(self.failures.into_iter().map(|(_, failure)| failure).chain(more))
    }
}
