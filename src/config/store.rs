//! Stores: where records are kept, and the settings of each store.

use std::path::Path;
use std::time::Duration;

use super::mistakes::Mistakes;
use super::options;
use super::store_url::StoreUrl;
use super::values::Values;
use crate::failure::Failure;
use crate::store::ServiceRetention;

/// One store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// The name in metrics and messages; unique.
    pub name: String,
    /// Where the store keeps its records.
    pub url: StoreUrl,
    /// The most records in one transaction.
    pub flush_rows: usize,
    /// The most bytes of records in one transaction.
    pub flush_bytes: usize,
    /// How long the store waits for more records before it writes the records that it has.
    pub flush_interval: Duration,
    /// Databases: records received longer ago than this are deleted.
    pub retention_age: Option<Duration>,
    /// Databases: the oldest records are deleted while the database is larger than this, in bytes.
    pub retention_bytes: Option<u64>,
    /// Databases: services whose records are kept for a shorter time. Each service occurs once.
    pub retention: Vec<ServiceRetention>,
    /// PostgreSQL: the name of this instance in the database. `None` is the random name of its data
    /// folder.
    pub node: Option<String>,
    /// Files: the format of a line, as Python's `logging.Formatter` accepts it.
    pub line_format: String,
    /// Files: a new file is begun when the current one has this many bytes.
    pub rotate_bytes: Option<u64>,
    /// Files: a new file is begun every day, in local time.
    pub rotate_daily: bool,
    /// Files: how many older files are kept. `None` means all.
    pub rotate_keep: Option<u32>,
}

/// Returns the values of each `[[store]]` table, completed with those of the whole configuration.
/// Values that cannot be read are reported and removed.
pub(super) fn values_of_tables(values: &Values, tables: &[Values], mistakes: &mut Mistakes) -> Vec<Values> {
    if values.is_given_above_file(&options::STORE) {
        return Vec::new();
    }
    let of_table = |table: &Values| {
        let mut values = table.clone().under_flags_of(values);
        values.remove_invalid(mistakes);
        values.is_given(&options::URL).then_some(values)
    };
    tables.iter().filter_map(of_table).collect()
}

/// Returns all stores: those of the `[[store]]` tables, or else of `store`, and that of `log_file`.
pub(super) fn stores(
    values: &Values,
    tables: &[Values],
    data_dir: &Path,
) -> Result<Vec<StoreConfig>, Failure> {
    let mut stores: Vec<StoreConfig> = Vec::new();
    let mut add = |url: StoreUrl, name: Option<String>, values: &Values| -> Result<(), Failure> {
        let name = name.unwrap_or_else(|| free_name(&url, &stores));
        stores.push(StoreConfig::build(name, url.within(data_dir), values)?);
        Ok(())
    };
    for table in tables {
        let name = table.is_given(&options::NAME).then(|| table.one(&options::NAME)).transpose()?;
        add(table.one(&options::URL)?, name, table)?;
    }
    if tables.is_empty() {
        values.list(&options::STORE)?.into_iter().try_for_each(|url| add(url, None, values))?;
    }
    if let Some(path) = values.one(&options::LOG_FILE)? {
        add(StoreUrl::File(path), None, values)?;
    }
    Ok(stores)
}

/// Returns the kind of the store, with a number from 2 if a store of that name exists already.
fn free_name(url: &StoreUrl, stores: &[StoreConfig]) -> String {
    let is_taken = |name: &str| stores.iter().any(|store| store.name == name);
    let kind = url.kind();
    if !is_taken(kind) {
        return kind.into();
    }
    let mut number = 2;
    while is_taken(&format!("{kind}-{number}")) {
        number += 1;
    }
    format!("{kind}-{number}")
}

impl StoreConfig {
    fn build(name: String, url: StoreUrl, values: &Values) -> Result<StoreConfig, Failure> {
        Ok(StoreConfig {
            name,
            url,
            flush_rows: values.one(&options::FLUSH_ROWS)?,
            flush_bytes: values.one(&options::FLUSH_BYTES)?,
            flush_interval: values.one(&options::FLUSH_INTERVAL)?,
            retention_age: values.one(&options::RETENTION_AGE)?,
            retention_bytes: values.one(&options::RETENTION_BYTES)?,
            retention: values.list(&options::RETENTION)?,
            node: values.one(&options::NODE)?,
            line_format: values.one(&options::LINE_FORMAT)?,
            rotate_bytes: values.one(&options::ROTATE_BYTES)?,
            rotate_daily: values.one(&options::ROTATE_DAILY)?,
            rotate_keep: values.one(&options::ROTATE_KEEP)?,
        })
    }
}
