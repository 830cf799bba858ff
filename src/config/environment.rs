//! Options from the environment: `LOGBOOM_` and the key in capitals.

use std::ffi::OsString;

use super::mistakes::Mistakes;
use super::nearest::nearest;
use super::options::global;
use super::setting::About;
use super::value_source::ValueSource;
use super::values::{Values, texts_of};
use crate::failure::Failure;

/// The variable that names the configuration file, as `--config` does.
pub const CONFIG: &str = "LOGBOOM_CONFIG";
/// The variable that names the server of a reading command, as `--url` does.
pub const URL: &str = "LOGBOOM_URL";

/// Reads the options among these variables. An empty variable counts as not set.
///
/// An unknown variable is an error only if its name is close to a known one: other variables that
/// begin with `LOGBOOM_` may belong to another program, such as `LOGBOOM_SERVICE_HOST`, which
/// Kubernetes sets for a service of that name.
pub fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Values, Failure> {
    let mut mistakes = Mistakes::default();
    let values = read_all(variables, &mut mistakes);
    mistakes.into_failure().map_or(Ok(values), Err)
}

/// Does the same, and returns the valid variables even if others are not.
pub(super) fn read_all(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    mistakes: &mut Mistakes,
) -> Values {
    let mut values = Values::default();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("LOGBOOM_")) else { continue };
        if value.is_empty() || name == CONFIG || name == URL {
            continue;
        }
        match global().find(|about| about.variable() == name) {
            Some(about) => match texts(about, name, value) {
                Ok(texts) => values.put(about, texts, ValueSource::Environment),
                Err(failure) => mistakes.add_unread(about, usize::MAX, failure),
            },
            None => check_unknown(name).unwrap_or_else(|failure| mistakes.add(failure)),
        }
    }
    values
}

fn texts(about: &About, name: &str, value: OsString) -> Result<Vec<String>, Failure> {
    let text = value.into_string().map_err(|_| {
        Failure::usage(format!("cannot read the environment variable {name}")).because("it is not UTF-8")
    })?;
    Ok(texts_of(about, &text))
}

fn check_unknown(name: &str) -> Result<(), Failure> {
    let own = |name: &str| name.trim_start_matches("LOGBOOM_").to_owned();
    let known: Vec<_> = global().map(|about| own(&about.variable())).chain([own(CONFIG), own(URL)]).collect();
    match nearest(&own(name), known.iter().map(String::as_str)) {
        None => Ok(()),
        Some(meant) => Err(Failure::usage(format!("unknown environment variable {name}"))
            .hint(format!("did you mean LOGBOOM_{meant}?"))),
    }
}
