//! The configuration file: TOML with only known keys. Every mistake is reported with its line.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistakes::Mistakes;
use super::nearest::nearest;
use super::options;
use super::setting::About;
use super::shape::Arity;
use super::value_source::ValueSource;
use super::values::{Values, texts_of};
use crate::failure::Failure;
use crate::limits::CONFIGURATION_BYTES_MAX;

/// The content of a configuration file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FileValues {
    /// The keys at the top of the file.
    pub top: Values,
    /// The `[[store]]` tables, in order.
    pub stores: Vec<Values>,
}

/// Reads a configuration file. Keys with a mistake are left out.
pub(super) fn read(path: &Path, mistakes: &mut Mistakes) -> FileValues {
    let name = path.display().to_string();
    match read_text(path) {
        Ok(text) => parse(&name, &text, mistakes),
        Err(error) => {
            mistakes.add_in_line(0, cannot_read(&name).because(error));
            FileValues::default()
        }
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(CONFIGURATION_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CONFIGURATION_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {CONFIGURATION_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn cannot_read(name: &str) -> Failure {
    Failure::usage(format!("cannot read the configuration file {name}"))
}

/// Reads the text of the configuration file called `name`.
fn parse(name: &str, text: &str, mistakes: &mut Mistakes) -> FileValues {
    let source = Source { name, line_ends: memchr::memchr_iter(b'\n', text.as_bytes()).collect() };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut values = FileValues::default();
    if !errors.is_empty() {
        // No key is checked: after an error, a key may appear to be in another table.
        source.report(&errors, mistakes);
        return values;
    }
    for (key, value) in table.get_ref() {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("store", DeValue::Array(array)) if array.iter().any(is_table) => {
                values.stores = array.iter().filter_map(|table| source.store(table, mistakes)).collect();
            }
            _ => source.take(&mut values.top, key, value, About::is_global, mistakes),
        }
    }
    values
}

fn is_table(value: &Spanned<DeValue<'_>>) -> bool {
    matches!(value.get_ref(), DeValue::Table(_))
}

/// A file, used to determine line numbers.
struct Source<'a> {
    name: &'a str,
    line_ends: Vec<usize>,
}

impl Source<'_> {
    /// Returns the line of a byte, from 1.
    fn line(&self, byte: usize) -> usize {
        self.line_ends.partition_point(|end| *end < byte) + 1
    }

    fn wrong(&self, line: usize, why: &str) -> Failure {
        cannot_read(self.name).because(format!("{why} in line {line}"))
    }

    /// Reports the first error of each line that is not valid TOML.
    fn report(&self, errors: &[toml::de::Error], mistakes: &mut Mistakes) {
        let mut reported = BTreeSet::new();
        for error in errors {
            let line = self.line(error.span().map_or(0, |span| span.start));
            if reported.insert(line) {
                mistakes.add_in_line(line, self.wrong(line, error.message().trim()));
            }
        }
    }

    /// Reads one `[[store]]` table; `None` if it has no `url`.
    fn store(&self, value: &Spanned<DeValue<'_>>, mistakes: &mut Mistakes) -> Option<Values> {
        let line = self.line(value.span().start);
        let DeValue::Table(table) = value.get_ref() else {
            mistakes.add_in_line(line, self.wrong(line, "`store` mixes texts and tables"));
            return None;
        };
        let mut values = Values::default();
        for (key, value) in table {
            self.take(&mut values, key, value, About::is_of_store, mistakes);
        }
        if !table.contains_key("url") {
            let failure = self.wrong(line, "a `[[store]]` has no `url`");
            let hint = format!("`url` takes {}", options::URL.about.accepts);
            mistakes.add_in_line(line, failure.hint(hint));
        }
        values.is_given(&options::URL).then_some(values)
    }

    /// Reads one key, if `belongs` accepts it.
    fn take(
        &self,
        values: &mut Values,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        belongs: fn(&About) -> bool,
        mistakes: &mut Mistakes,
    ) {
        let line = self.line(key.span().start);
        let name = key.get_ref().as_ref();
        let Some(about) = options::ALL.iter().find(|about| about.key == name && belongs(about)) else {
            return mistakes.add_in_line(line, self.unknown(line, name, belongs));
        };
        match texts(about, value.get_ref()) {
            Some(texts) => values.put(about, texts, ValueSource::File { path: self.name.into(), line }),
            None => mistakes.add_unread(about, line, self.wrong(line, &not_understood(about))),
        }
    }

    fn unknown(&self, line: usize, name: &str, belongs: fn(&About) -> bool) -> Failure {
        let failure = self.wrong(line, &format!("unknown key `{name}`"));
        let known = options::ALL.iter().filter(|about| belongs(about)).map(|about| about.key);
        let meant = nearest(name, known).map(|key| format!("did you mean `{key}`?"));
        let place = match belongs(&options::URL.about) {
            true => "at the top of the file, before the first table",
            false => "in a `[[store]]` table",
        };
        let is_known = options::ALL.iter().any(|about| about.key == name);
        let elsewhere = is_known.then(|| format!("`{name}` belongs {place}"));
        failure.hint_if(elsewhere.or(meant))
    }
}

/// Returns a value as the texts that a flag would contain, or `None` for a value that no option
/// takes.
fn texts(about: &About, value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::String(text) => Some(texts_of(about, text)),
        DeValue::Array(array) if about.form == Arity::List => array
            .iter()
            .map(|value| text(value.get_ref()).or_else(|| table_text(about, value.get_ref())))
            .collect(),
        value => Some(vec![text(value)?]),
    }
}

fn not_understood(about: &About) -> String {
    if about.key == options::RETENTION.about.key {
        return "`retention` is neither a list of texts nor of tables with `service` and `age` alone".into();
    }
    format!("`{}` is neither text, number nor list", about.key)
}

/// Returns a table of `[[retention]]` as the text that a flag would contain.
fn table_text(about: &About, value: &DeValue<'_>) -> Option<String> {
    let DeValue::Table(table) = value else { return None };
    let part = |name: &str| text(table.get(name)?.get_ref());
    (about.key == options::RETENTION.about.key && table.len() == 2)
        .then(|| Some(format!("{}={}", part("service")?, part("age")?)))?
}

fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().into()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
