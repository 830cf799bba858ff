//! The configured stores. Each has a shipper and progresses at its own speed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::timeout;

use super::Task;
use crate::blocking::Threads;
use crate::config::{StoreConfig, StoreUrl};
use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::limits::STORE_START_SECONDS_MAX;
use crate::record::RecordId;
use crate::spool::Spool;
use crate::store::file::{FileOptions, FileStore, LineFormat};
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{Claimant, Claims, Database, Flush, Progress, Retention, Shipper, Store};

/// All stores, before and while they ship.
pub(super) struct Stores {
    threads: Threads,
    waiting: Vec<Configured>,
    /// The progress of each store.
    pub(super) progress: Vec<Arc<Progress>>,
    /// All stores whose records can be found and deleted. The first is the one that is queried.
    pub(super) databases: Vec<(Arc<Progress>, Database)>,
    /// Each is set to make a store reopen its log file.
    reopen: Vec<Arc<AtomicBool>>,
}

/// Returns true if two paths lead to one file. Compares the folders and the file names, because the
/// files may not exist yet.
fn is_same_file(one: &Path, two: &Path) -> bool {
    let folders = one
        .parent()
        .zip(two.parent())
        .map(|folders| (std::fs::canonicalize(folders.0).ok(), std::fs::canonicalize(folders.1).ok()));
    one.file_name() == two.file_name() && folders.is_some_and(|(one, two)| one.is_some() && one == two)
}

struct Configured {
    store: AnyStore,
    flush: Flush,
}

enum AnyStore {
    Sqlite(Box<SqliteStore>),
    File(Box<FileStore>),
    Postgres(Box<PostgresStore>),
}

/// Does the same with a store of any kind.
macro_rules! with_store {
    ($any:expr, $store:ident => $work:expr) => {
        match $any {
            AnyStore::Sqlite($store) => $work,
            AnyStore::File($store) => $work,
            AnyStore::Postgres($store) => $work,
        }
    };
}

impl Stores {
    /// Opens nothing yet: a store that is unavailable must not prevent the server from starting.
    pub(super) fn new(
        configs: &[StoreConfig],
        data_dir: &DataDir,
        claims: &Arc<Claims>,
        threads: Threads,
    ) -> Result<Stores, Failure> {
        let node = data_dir.node()?;
        let mut stores = Stores {
            threads,
            waiting: Vec::new(),
            progress: Vec::new(),
            databases: Vec::new(),
            reopen: Vec::new(),
        };
        for config in configs {
            let progress = Progress::new(&config.name, config.url.kind());
            let claimant = Claimant::new(claims, &config.name, config.node.as_deref().unwrap_or(&node));
            let store = stores.open(config, data_dir, claimant, &progress)?;
            let flush = Flush {
                rows: config.flush_rows as u64,
                bytes: config.flush_bytes as u64,
                interval: config.flush_interval,
            };
            stores.progress.push(progress);
            stores.waiting.push(Configured { store, flush });
        }
        Ok(stores)
    }

    fn open(
        &mut self,
        config: &StoreConfig,
        data_dir: &DataDir,
        claimant: Claimant,
        progress: &Arc<Progress>,
    ) -> Result<AnyStore, Failure> {
        let retention = Retention { age: config.retention_age, bytes: config.retention_bytes };
        match &config.url {
            StoreUrl::Sqlite(path) => {
                self.databases.push((Arc::clone(progress), Database::Sqlite(path.clone())));
                let is_default = is_same_file(path, &data_dir.database());
                let claimant = if is_default { claimant.of_default_database() } else { claimant };
                let store = SqliteStore::new(path.clone(), retention)
                    .with_claimant(claimant)
                    .with_threads(self.threads)
                    .with_services(&config.retention);
                Ok(AnyStore::Sqlite(Box::new(store)))
            }
            StoreUrl::File(path) => {
                let line_format = LineFormat::parse(&config.line_format).map_err(|error| {
                    Failure::usage(format!("the line format of the store {} is invalid", config.name))
                        .because(error)
                })?;
                let store = FileStore::new(FileOptions {
                    path: path.clone(),
                    line_format,
                    rotate_bytes: config.rotate_bytes,
                    rotate_daily: config.rotate_daily,
                    rotate_keep: config.rotate_keep,
                })
                .with_claimant(claimant);
                self.reopen.push(store.reopen_handle());
                Ok(AnyStore::File(Box::new(store)))
            }
            StoreUrl::Postgres(url) => {
                let node = claimant.node().to_owned();
                let variable = |name: &str| std::env::var(name).ok();
                let store = PostgresStore::new(url, variable, &node, retention).map_err(|error| {
                    Failure::usage(format!("the store {} cannot be reached", config.name)).because(error)
                })?;
                let store = store.with_claimant(claimant);
                tracing::info!(store = config.name, node, "writing as this node");
                self.databases.push((Arc::clone(progress), Database::Postgres(store.database())));
                Ok(AnyStore::Postgres(Box::new(store.with_services(&config.retention))))
            }
        }
    }

    /// Claims all stores that are reachable now, and returns the furthest position of the stores
    /// that belong to this folder, from which new ids continue, and the names of the stores that
    /// could not be claimed.
    pub(super) async fn claim(&mut self) -> (RecordId, Vec<String>) {
        let (mut furthest, mut unclaimed) = (1, Vec::new());
        for (Configured { store, .. }, progress) in self.waiting.iter_mut().zip(&self.progress) {
            let position = async { with_store!(store, store => store.position().await) };
            let position = timeout(Duration::from_secs(STORE_START_SECONDS_MAX), position).await;
            match position {
                Ok(Ok(position)) => furthest = furthest.max(position),
                // The shipper of the store reports the error.
                _ => unclaimed.push(progress.name.clone()),
            }
            if let AnyStore::Postgres(store) = store {
                // The store's own thread opens its own connection.
                store.disconnect();
            }
        }
        (furthest, unclaimed)
    }

    /// Returns the task of each store's shipper, with a name.
    pub(super) fn ship(&mut self, spool: &Arc<Spool>) -> Vec<(String, Task)> {
        let waiting = std::mem::take(&mut self.waiting).into_iter().zip(&self.progress);
        waiting
            .map(|(Configured { store, flush }, progress)| {
                let name = format!("store {}", progress.name);
                let (reader, progress) = (spool.reader(1), Arc::clone(progress));
                let task: Task = with_store!(store, store => {
                    Box::pin(Shipper::new(*store, reader, flush, progress).run())
                });
                (name, task)
            })
            .collect()
    }

    /// Makes every file store reopen its log file at its path.
    pub(super) fn reopen_files(&self) {
        for reopen in &self.reopen {
            reopen.store(true, Relaxed);
        }
        // Everything that is logged after this line goes into the new files.
        tracing::info!(files = self.reopen.len(), "reopening log files");
    }
}
