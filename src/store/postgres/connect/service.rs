//! Reads `~/.pg_service.conf`: named groups of parameters, each a line `[name]` followed by one
//! line per keyword, `keyword=value`.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::url::PostgresUrl;
use crate::limits::PASSFILE_BYTES_MAX;

/// The folder of the system-wide service file in Debian's libpq.
const SYSTEM_FOLDER: &str = "/etc/postgresql-common";

/// Completes parameters by those of the service that they or `PGSERVICE` name, if any. The user's
/// own file comes first. The error is a complete sentence.
pub(super) fn complete(
    parameters: &mut PostgresUrl,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(), String> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let Some(name) = parameters.get("service").map(str::to_owned).or_else(|| variable("PGSERVICE")) else {
        return Ok(());
    };
    let in_home = || variable("HOME").map(|home| Path::new(&home).join(".pg_service.conf"));
    let own = variable("PGSERVICEFILE").map(PathBuf::from).or_else(in_home);
    let system = variable("PGSYSCONFDIR").unwrap_or_else(|| SYSTEM_FOLDER.into());
    for path in own.into_iter().chain([Path::new(&system).join("pg_service.conf")]) {
        let is_found = read(&path).and_then(|text| complete_from(&text, &name, parameters));
        if is_found.map_err(|error| format!("{} {error}", path.display()))? {
            return Ok(());
        }
    }
    Err(format!(
        "the service `{name}` is not defined: neither in ~/.pg_service.conf nor in that of the system"
    ))
}

/// Returns the text of a file, or an empty text if the file does not exist.
fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(PASSFILE_BYTES_MAX).read_to_string(&mut text)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!("cannot be read: {error}")),
        _ => Ok(text),
    }
}

/// Returns false if the text does not define the service.
fn complete_from(text: &str, name: &str, parameters: &mut PostgresUrl) -> Result<bool, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_heading = |line: &&str| line.starts_with('[');
    let heading = format!("[{name}]");
    let mut lines = lines.skip_while(|line| *line != heading);
    if lines.next().is_none() {
        return Ok(false);
    }
    for line in lines.take_while(|line| !is_heading(line)) {
        let (keyword, value) = line.split_once('=').unwrap_or((line, ""));
        parameters
            .set_missing(keyword, value.to_owned())
            .map_err(|error| format!("{error} (in {heading})"))?;
    }
    Ok(true)
}
