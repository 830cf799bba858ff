//! Configuration: every option is declared once (`options`), set by flags, the environment or a
//! TOML file, and read into [`Config`].
//!
//! All sources provide texts by key (`values`). The shape of each option parses its texts
//! (`shape`). Conditions between options are checked at the end (`check`). Each mistake is a
//! [`Failure`] that names the mistake, its place, and what is accepted; all of them are reported at
//! once (`mistakes`).

mod check;
pub mod environment;
mod file;
mod flags;
mod listen;
mod log;
mod mistakes;
mod nearest;
mod options;
mod reference;
mod setting;
mod shape;
mod spool;
mod store;
mod store_url;
mod value_source;
mod values;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tracing::level_filters::LevelFilter;

use crate::failure::Failure;
pub use flags::{argument, arguments, read as flags};
pub use listen::{ListenAddress, Listener, Protocol};
pub use log::LogFormat;
pub use nearest::nearest;
pub(crate) use options::DATA_DIR;
pub use reference::text as reference;
pub use shape::duration;
pub use spool::{SpoolConfig, WhenFull};
pub use store::StoreConfig;
pub use store_url::{StoreUrl, is_store_name};
pub use values::Values;

use mistakes::Mistakes;
use setting::About;

/// All settings. `options` documents the purpose of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder of the spool and of the default database.
    pub data_dir: PathBuf,
    /// Network threads. 0 means as many as there are cores, 1 runs everything on one thread.
    pub threads: usize,
    /// The listeners: at least one, and no two on one address.
    pub listen: Vec<Listener>,
    /// Where records are kept: at least one store, with unique names and paths.
    pub stores: Vec<StoreConfig>,
    /// The queue on disk.
    pub spool: SpoolConfig,
    /// The largest frame of a Python client, in bytes; below 16 MiB.
    pub frame_bytes_max: usize,
    /// The longest time, in seconds, that a frame may take once it has begun, or an HTTP request.
    pub frame_seconds_max: u64,
    /// The largest HTTP body after decompression, in bytes.
    pub body_bytes_max: usize,
    /// The largest compressed HTTP body, in bytes.
    pub body_compressed_bytes_max: usize,
    /// Connections that may be open at a time.
    pub connections_max: usize,
    /// Whether that number was set, or is the default.
    pub is_connections_max_given: bool,
    /// The longest time that a query may run, in seconds.
    pub query_seconds_max: u64,
    /// The most rows in the response to an SQL query.
    pub query_rows_max: usize,
    /// Whether records can be deleted over HTTP, from this machine.
    pub delete: bool,
    /// The longest time that an orderly stop may take, in seconds.
    pub shutdown_seconds_max: u64,
    /// The least severe of the program's own messages that is shown.
    pub log_level: LevelFilter,
    /// The format of the program's own messages.
    pub log_format: LogFormat,
}

/// A configuration, and the values that it was read from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    values: Values,
    /// The values of the `[[store]]` tables, which are the first of the stores.
    tables: Vec<Values>,
}

/// The value of an option as it is shown: the key, the value, and its source.
pub type Shown = (&'static str, String, String);

/// Reads the configuration from its three sources. The failure contains all mistakes.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: Values,
) -> Result<Loaded, Failure> {
    let mut mistakes = Mistakes::default();
    let loaded = read(file, environment, flags, &mut mistakes)?;
    mistakes.into_failure().map_or(Ok(loaded), Err)
}

/// Reads the configuration as a server without flags would, and also checks that its paths can be
/// used.
pub fn load_and_check_paths(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, Failure> {
    let mut mistakes = Mistakes::default();
    let loaded = read(file, environment, Values::default(), &mut mistakes)?;
    if !mistakes.concern(&["data_dir"]) {
        check::check_paths(&loaded.config, &mut mistakes);
    }
    mistakes.into_failure().map_or(Ok(loaded), Err)
}

/// Reads what can be read. (Nothing can fail once invalid values have been removed.)
fn read(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: Values,
    mistakes: &mut Mistakes,
) -> Result<Loaded, Failure> {
    let file = file.map(|path| file::read(path, mistakes)).unwrap_or_default();
    let mut values = flags.over(environment::read_all(environment, mistakes)).over(file.top);
    values.remove_invalid(mistakes);
    let tables = store::values_of_tables(&values, &file.stores, mistakes);
    let config = Config::build(&values, &tables)?;
    check::check(&config, mistakes);
    Ok(Loaded { config, values, tables })
}

impl Default for Config {
    fn default() -> Config {
        Config::build(&Values::default(), &[]).expect("a test reads every default")
    }
}

impl Config {
    fn build(values: &Values, tables: &[Values]) -> Result<Config, Failure> {
        let data_dir = values.one(&options::DATA_DIR)?;
        Ok(Config {
            threads: values.one(&options::THREADS)?,
            listen: values.list(&options::LISTEN)?,
            stores: store::stores(values, tables, &data_dir)?,
            spool: SpoolConfig {
                bytes_max: values.one(&options::SPOOL_BYTES_MAX)?,
                segment_bytes: values.one(&options::SPOOL_SEGMENT_BYTES)?,
                when_full: values.one(&options::WHEN_FULL)?,
            },
            frame_bytes_max: values.one(&options::FRAME_BYTES_MAX)?,
            frame_seconds_max: values.one(&options::FRAME_SECONDS_MAX)?,
            body_bytes_max: values.one(&options::BODY_BYTES_MAX)?,
            body_compressed_bytes_max: values.one(&options::BODY_COMPRESSED_BYTES_MAX)?,
            connections_max: values.one(&options::CONNECTIONS_MAX)?,
            is_connections_max_given: values.is_given(&options::CONNECTIONS_MAX),
            query_seconds_max: values.one(&options::QUERY_SECONDS_MAX)?,
            query_rows_max: values.one(&options::QUERY_ROWS_MAX)?,
            delete: values.one(&options::DELETE)?,
            shutdown_seconds_max: values.one(&options::SHUTDOWN_SECONDS_MAX)?,
            log_level: values.one(&options::LOG_LEVEL)?,
            log_format: values.one(&options::LOG_FORMAT)?,
            data_dir,
        })
    }
}

impl Loaded {
    /// Returns every option as its key, its value, and the source of the value, in the order of the
    /// declarations.
    pub fn effective(&self) -> impl Iterator<Item = Shown> {
        options::global().map(|about| shown(about, &self.values))
    }

    /// Returns the options of the store at this place among the stores, in the same form.
    pub fn effective_of_store(&self, place: usize) -> impl Iterator<Item = Shown> {
        let values = self.tables.get(place).unwrap_or(&self.values);
        options::global().filter(|about| about.is_of_store()).map(|about| shown(about, values))
    }
}

fn shown(about: &About, values: &Values) -> Shown {
    let given = values.given(about);
    let texts: Vec<_> = given.texts.iter().map(|text| values::without_password(text)).collect();
    (about.key, texts.join(" "), given.origin.of(about).to_string())
}
