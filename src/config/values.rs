//! Which values were set, by which source, and which source wins: flags, then the environment, then
//! the file, then the default.

use std::collections::BTreeMap;

use super::mistakes::Mistakes;
use super::options;
use super::setting::{About, Setting};
use super::shape::Arity;
use super::value_source::{ValueSource, bad_value};
use crate::failure::Failure;

/// The texts that were set for one option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// One text, or the parts of a list.
    pub texts: Vec<String>,
    /// The source of the texts.
    pub origin: ValueSource,
}

/// The values that were set, by the key of the option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<&'static str, Given>);

impl Values {
    /// Stores the texts that were set for an option.
    pub fn put(&mut self, about: &'static About, texts: Vec<String>, origin: ValueSource) {
        self.0.insert(about.key, Given { texts, origin });
    }

    /// Returns these values, with those of `weaker` for options that these values do not contain.
    #[must_use]
    pub fn over(mut self, weaker: Values) -> Values {
        for (key, given) in weaker.0 {
            self.0.entry(key).or_insert(given);
        }
        self
    }

    /// Returns the values of a `[[store]]` table combined with the values of the whole
    /// configuration: flags and variables win over the table, the table over the rest of the file.
    #[must_use]
    pub fn under_flags_of(self, whole: &Values) -> Values {
        let stronger = whole.0.iter().filter(|(_, given)| given.is_above_file());
        let stronger = Values(stronger.map(|(key, given)| (*key, given.clone())).collect());
        stronger.over(self).over(whole.clone())
    }

    /// Returns true if the option was set at all.
    pub fn is_given<T>(&self, setting: &Setting<T>) -> bool {
        self.0.contains_key(setting.about.key)
    }

    /// Returns true if the option was set by a flag or a variable.
    pub fn is_given_above_file<T>(&self, setting: &Setting<T>) -> bool {
        self.0.get(setting.about.key).is_some_and(Given::is_above_file)
    }

    /// Removes the values that cannot be read, and reports each of them. Where no value is left,
    /// the default applies.
    pub(super) fn remove_invalid(&mut self, mistakes: &mut Mistakes) {
        for about in options::ALL {
            let Some(given) = self.0.get_mut(about.key) else { continue };
            let errors = given.remove_invalid(about);
            let origin = given.origin.clone();
            if given.texts.is_empty() && !errors.is_empty() {
                self.0.remove(about.key);
            }
            errors.into_iter().for_each(|error| mistakes.add_value(about, &origin, error));
        }
    }

    /// Returns the texts that were set for an option, or its default.
    pub fn given(&self, about: &About) -> Given {
        self.0
            .get(about.key)
            .cloned()
            .unwrap_or_else(|| Given { texts: texts_of(about, about.default), origin: ValueSource::Default })
    }

    /// Returns the value of an option that takes one.
    pub fn one<T>(&self, setting: &Setting<T>) -> Result<T, Failure> {
        let given = self.given(&setting.about);
        match given.texts.as_slice() {
            [text] => setting.read(text, &given.origin),
            _ => Err(bad_value(&setting.about, &given.origin, NOT_ONE.into())),
        }
    }

    /// Returns the values of an option that takes a list.
    pub fn list<T>(&self, setting: &Setting<T>) -> Result<Vec<T>, Failure> {
        let given = self.given(&setting.about);
        let texts = given.texts.iter().filter(|text| *text != NONE);
        texts.map(|text| setting.read(text, &given.origin)).collect()
    }
}

impl Given {
    fn is_above_file(&self) -> bool {
        matches!(self.origin, ValueSource::Environment | ValueSource::Flag)
    }

    /// Removes the texts that the option does not take. Returns the errors.
    fn remove_invalid(&mut self, about: &About) -> Vec<String> {
        let is_list = about.form == Arity::List;
        if !is_list && self.texts.len() != 1 {
            self.texts.clear();
            return vec![NOT_ONE.into()];
        }
        if self.texts.is_empty() && about.default != NONE {
            return vec!["the list is empty".into()];
        }
        let mut errors = Vec::new();
        self.texts.retain(|text| match (about.check)(text) {
            Err(error) if !is_list || text != NONE => {
                errors.push(format!("`{}` {error}", without_password(text)));
                false
            }
            _ => true,
        });
        errors
    }
}

const NOT_ONE: &str = "it takes exactly one value";

/// The text of an empty list.
const NONE: &str = "none";

impl<T> Setting<T> {
    fn read(&self, text: &str, origin: &ValueSource) -> Result<T, Failure> {
        let shown = without_password(text);
        (self.shape.parse)(text).map_err(|error| bad_value(&self.about, origin, format!("`{shown}` {error}")))
    }
}

/// Returns a value as it may be shown: a URL without its password, even if the password contains
/// invalid characters.
pub(super) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("//") else { return without_passwords_named(text) };
    let rest = match rest.rsplit_once('@') {
        Some((account, rest)) => format!("{}@{rest}", account.split(':').next().unwrap_or_default()),
        None => rest.into(),
    };
    let (place, query) = rest.split_once('?').unwrap_or((&rest, ""));
    let shown: Vec<_> = query.split('&').filter(|pair| !pair.starts_with("password=")).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}//{place}{mark}{}", shown.join("&"))
}

/// Does the same for a text that is not a URL: a list of keywords, or a URL that lacks a slash.
fn without_passwords_named(text: &str) -> String {
    if text.starts_with("postgres") && text.contains('@') {
        return format!("{}...", text.split_inclusive(':').next().unwrap_or_default());
    }
    match text.split_once("password") {
        Some((before, _)) => format!("{before}password..."),
        None => text.into(),
    }
}

/// Returns the texts for an option in one text, such as a variable: for an option that takes a
/// list, the parts that are separated by blanks or semicolons.
pub(super) fn texts_of(about: &About, text: &str) -> Vec<String> {
    if about.form != Arity::List {
        return vec![text.into()];
    }
    let parts = text.split(|c: char| c.is_whitespace() || c == ';');
    parts.filter(|part| !part.is_empty()).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (text, shown) in [
            ("postgres://jo:a:b@c@h:1/db?sslmode=x", "postgres://jo@h:1/db?sslmode=x"),
            ("postgres://jo@h/db?password=p&options=x", "postgres://jo@h/db?options=x"),
            ("postgres://jo:a/b?c=d@h/db", "postgres://jo@h/db"),
            ("postgres//jo:a@h/db", "postgres//jo@h/db"),
            ("postgres:/jo:a@h/db", "postgres:..."),
            ("host=h user=jo password = 'a b' dbname=x", "host=h user=jo password..."),
            ("host=h dbname=x", "host=h dbname=x"),
            ("postgres://h/db", "postgres://h/db"),
            ("sqlite:/a:b@c", "sqlite:/a:b@c"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
