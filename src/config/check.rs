//! Conditions that options must satisfy together, although each option is valid by itself.

use std::path::{Path, PathBuf};

use super::listen::{ListenAddress, Listener};
use super::store::{StoreConfig, StoreUrl};
use super::{Config, SpoolConfig};
use crate::disk::{beside, check_regular};
use crate::failure::Failure;
use crate::limits::{
    FRAME_BYTES_LIMIT, LABELS_BYTES_MAX, RETENTION_SERVICES_MAX, SPOOL_SEGMENT_BYTES_MIN, SPOOL_SEGMENTS_MIN,
    THREADS_MAX,
};
use crate::store::file::LineFormat;

/// Fails with the first condition that is not met.
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    check_threads(config.threads)?;
    check_sizes(config)?;
    check_spool(&config.spool)?;
    check_listeners(&config.listen)?;
    check_labels(&config.listen)?;
    check_line_formats(&config.stores)?;
    check_services(&config.stores)?;
    check_store_names(&config.stores)?;
    check_store_paths(&config.stores)
}

fn check_threads(threads: usize) -> Result<(), Failure> {
    if threads <= THREADS_MAX {
        return Ok(());
    }
    Err(Failure::usage(format!("{threads} threads are too many"))
        .because(format!("the maximum is {THREADS_MAX}"))
        .hint("`threads` = 0 means one thread per core"))
}

fn check_sizes(config: &Config) -> Result<(), Failure> {
    if config.frame_bytes_max >= FRAME_BYTES_LIMIT {
        return Err(Failure::usage(format!("`frame_bytes_max` is {} bytes", config.frame_bytes_max))
            .because(
                "it must stay below 16 MiB, so that the first byte of a frame distinguishes it from other protocols",
            )
            .hint("a log record seldom has more than a few KiB; the default is 4MiB"));
    }
    if config.body_compressed_bytes_max > config.body_bytes_max {
        return Err(Failure::usage("`body_compressed_bytes_max` is larger than `body_bytes_max`")
            .hint("`body_bytes_max` counts after decompression, and is usually four times as large"));
    }
    Ok(())
}

fn check_labels(listeners: &[Listener]) -> Result<(), Failure> {
    for listener in listeners {
        let bytes: usize = listener.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > LABELS_BYTES_MAX {
            return Err(Failure::usage(format!("the labels of {} have {bytes} bytes", listener.address))
                .because(format!("each record repeats them; the maximum is {LABELS_BYTES_MAX}")));
        }
    }
    Ok(())
}

fn check_line_formats(stores: &[StoreConfig]) -> Result<(), Failure> {
    for store in stores {
        LineFormat::parse(&store.line_format).map_err(|error| {
            Failure::usage(format!("the `line_format` of the store `{}` is invalid", store.name))
                .because(error)
        })?;
    }
    Ok(())
}

fn check_spool(spool: &SpoolConfig) -> Result<(), Failure> {
    if spool.segment_bytes < SPOOL_SEGMENT_BYTES_MIN {
        return Err(Failure::usage(format!("`spool_segment_bytes` is {} bytes", spool.segment_bytes))
            .because(format!(
                "a segment must hold the largest commit: {SPOOL_SEGMENT_BYTES_MIN} bytes or more"
            ))
            .hint("the default is 16MiB"));
    }
    if spool.bytes_max / spool.segment_bytes < SPOOL_SEGMENTS_MIN {
        return Err(Failure::usage(format!("`spool_bytes_max` is {} bytes", spool.bytes_max))
            .because(format!("it must hold {SPOOL_SEGMENTS_MIN} segments of {} bytes", spool.segment_bytes))
            .hint("set `spool_segment_bytes` lower, or `spool_bytes_max` higher"));
    }
    Ok(())
}

fn check_listeners(listeners: &[Listener]) -> Result<(), Failure> {
    for (at, listener) in listeners.iter().enumerate() {
        if let Some(other) = listeners[..at].iter().find(|other| is_same_socket(listener, other)) {
            return Err(Failure::usage(format!("two listeners on {}", listener.address))
                .because(format!(
                    "both `{}` and `{}` listen there",
                    other.protocol.name(),
                    listener.protocol.name()
                ))
                .hint("use a different port or path for each"));
        }
    }
    Ok(())
}

/// Returns true if two listeners use the same socket. Port 0 stands for any free port, so two
/// listeners with port 0 differ; and TCP and UDP have separate ports.
fn is_same_socket(one: &Listener, other: &Listener) -> bool {
    match (&one.address, &other.address) {
        (ListenAddress::Inet(a), ListenAddress::Inet(b)) => {
            a == b && !a.ends_with(":0") && one.protocol.is_datagram() == other.protocol.is_datagram()
        }
        (ListenAddress::Unix(a), ListenAddress::Unix(b)) => normal(a) == normal(b),
        _ => false,
    }
}

fn check_services(stores: &[StoreConfig]) -> Result<(), Failure> {
    for store in stores {
        for (at, one) in store.retention.iter().enumerate() {
            if store.retention[..at].iter().any(|other| other.service == one.service) {
                return Err(Failure::usage(format!("`retention` names the service `{}` twice", one.service)));
            }
        }
        if store.retention.len() > RETENTION_SERVICES_MAX {
            return Err(Failure::usage(format!("`retention` names {} services", store.retention.len()))
                .because(format!(
                    "the maximum is {RETENTION_SERVICES_MAX}: every record is checked for each service"
                )));
        }
    }
    Ok(())
}

fn check_store_names(stores: &[StoreConfig]) -> Result<(), Failure> {
    for (at, store) in stores.iter().enumerate() {
        if stores[..at].iter().any(|other| other.name == store.name) {
            return Err(Failure::usage(format!("two stores are called `{}`", store.name))
                .hint("set a different `name` for each `[[store]]`"));
        }
    }
    Ok(())
}

fn check_store_paths(stores: &[StoreConfig]) -> Result<(), Failure> {
    for (at, store) in stores.iter().enumerate() {
        let same = |other: &&StoreConfig| match (&other.url, &store.url) {
            // Several nodes may share the tables of one database.
            (StoreUrl::Postgres(one), StoreUrl::Postgres(two)) => {
                one.is_same_place(two) && other.node == store.node
            }
            (one, two) => one.path().zip(two.path()).is_some_and(|(one, two)| normal(one) == normal(two)),
        };
        if let Some(other) = stores[..at].iter().find(same) {
            let place = match store.url.path() {
                Some(path) => path.display().to_string(),
                None => store.url.to_string(),
            };
            return Err(Failure::usage(format!("two stores write {place}"))
                .because(format!("both `{}` and `{}` do", other.name, store.name))
                .hint("give each store its own path, its own database, or in one database its own `node`"));
        }
    }
    Ok(())
}

/// Fails with the first path that is occupied by something that can never be used, which
/// `check-config` reports in advance. A server starts nevertheless, because its spool accepts
/// records until the path is free.
pub fn check_paths(config: &Config) -> Result<(), Failure> {
    if config.data_dir.exists() && !config.data_dir.is_dir() {
        return Err(Failure::usage(format!("`data_dir` is {}", config.data_dir.display()))
            .because("it is not a folder")
            .hint("choose a folder, or a path that does not exist"));
    }
    check_file(&config.data_dir.join("lock"), "the data folder")?;
    for store in &config.stores {
        let Some(path) = store.url.path() else { continue };
        let beside_it: &[&str] = match store.url {
            StoreUrl::File(_) => &[".position"],
            _ => &["-wal", "-shm"],
        };
        for suffix in [""].iter().chain(beside_it) {
            check_file(&beside(path, suffix), &format!("the store `{}`", store.name))?;
        }
    }
    Ok(())
}

fn check_file(path: &Path, whose: &str) -> Result<(), Failure> {
    check_regular(path).map_err(|error| {
        Failure::usage(format!("{whose} cannot use {}", path.display()))
            .because(error)
            .hint("choose a regular file, or a path that does not exist")
    })
}

/// Returns the absolute path without `.`. A path that does not exist yet has no other normal form.
fn normal(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}
