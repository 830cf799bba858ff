//! The configuration file: TOML with only known keys. Every mistake is reported with its line.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::options;
use super::setting::About;
use super::shape::Form;
use super::values::{Origin, Values, split_list};
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

/// Reads a configuration file.
pub(super) fn read(path: &Path) -> Result<FileValues, Failure> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|error| cannot_read(&name).because(error))?;
    parse(&name, &text)
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
pub(super) fn parse(name: &str, text: &str) -> Result<FileValues, Failure> {
    let source = Source { name, text };
    let table = DeTable::parse(text).map_err(|error| {
        let line = source.line(error.span().map_or(0, |span| span.start));
        source.wrong(line, error.message().trim())
    })?;
    let mut values = FileValues::default();
    for (key, value) in table.get_ref() {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("store", DeValue::Array(array)) if array.iter().any(is_table) => {
                values.stores = array.iter().map(|table| source.store(table)).collect::<Result<_, _>>()?;
            }
            _ => source.take(&mut values.top, key, value, About::is_global)?,
        }
    }
    Ok(values)
}

fn is_table(value: &Spanned<DeValue<'_>>) -> bool {
    matches!(value.get_ref(), DeValue::Table(_))
}

/// The text of a file, used to determine line numbers.
struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl Source<'_> {
    /// Returns the line of a byte, from 1.
    fn line(&self, byte: usize) -> usize {
        let before = self.text.as_bytes().get(..byte).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn wrong(&self, line: usize, why: &str) -> Failure {
        cannot_read(self.name).because(format!("{why} in line {line}"))
    }

    /// Reads one `[[store]]` table.
    fn store(&self, value: &Spanned<DeValue<'_>>) -> Result<Values, Failure> {
        let line = self.line(value.span().start);
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(line, "`store` mixes texts and tables"));
        };
        let mut values = Values::default();
        for (key, value) in table {
            self.take(&mut values, key, value, About::is_of_store)?;
        }
        if !values.is_given(&options::URL) {
            let failure = self.wrong(line, "a `[[store]]` has no `url`");
            return Err(failure.hint(format!("`url` takes {}", options::URL.about.accepts)));
        }
        Ok(values)
    }

    /// Reads one key, if `belongs` accepts it.
    fn take(
        &self,
        values: &mut Values,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        belongs: fn(&About) -> bool,
    ) -> Result<(), Failure> {
        let line = self.line(key.span().start);
        let name = key.get_ref().as_ref();
        let Some(about) = options::ALL.iter().find(|about| about.key == name && belongs(about)) else {
            return Err(self.unknown(line, name, belongs));
        };
        let texts = texts(about, value.get_ref()).ok_or_else(|| self.wrong(line, &not_understood(about)))?;
        values.put(about, texts, Origin::File { path: self.name.into(), line });
        Ok(())
    }

    fn unknown(&self, line: usize, name: &str, belongs: fn(&About) -> bool) -> Failure {
        let failure = self.wrong(line, &format!("unknown key `{name}`"));
        let known = options::ALL.iter().filter(|about| belongs(about)).map(|about| about.key);
        let meant = nearest(name, known).map(|key| format!("did you mean `{key}`?"));
        let elsewhere = options::ALL.iter().any(|about| about.key == name).then(|| {
            let (place, other) = ("a `[[store]]` table", "the top of the file, before the first table");
            format!(
                "`{name}` belongs {}",
                if belongs(&options::URL.about) { format!("at {other}") } else { format!("in {place}") }
            )
        });
        failure.hint_if(elsewhere.or(meant))
    }
}

/// Returns a value as the texts that a flag would contain, or `None` for a value that no option
/// takes.
fn texts(about: &About, value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::String(text) if about.form == Form::List => Some(split_list(text)),
        DeValue::Array(array) if about.form == Form::List => array
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
