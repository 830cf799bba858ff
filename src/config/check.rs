//! Conditions that options must satisfy together, although each option is valid by itself.

use std::path::{Path, PathBuf};

use super::Config;
use super::listen::{ListenAddress, Listener};
use super::mistakes::Mistakes;
use super::store::StoreConfig;
use super::store_url::StoreUrl;
use crate::disk::{beside, check_regular};
use crate::failure::Failure;
use crate::limits::{
    FRAME_BYTES_LIMIT, LABELS_BYTES_MAX, RETENTION_SERVICES_MAX, SPOOL_SEGMENT_BYTES_MIN, SPOOL_SEGMENTS_MIN,
    THREADS_MAX,
};
use crate::store::file::LineFormat;

/// A condition: the options whose values it compares, and the function that adds a failure for each
/// violation.
type Condition = (&'static [&'static str], fn(&Config, &mut Vec<Failure>));

const CONDITIONS: [Condition; 10] = [
    (&["threads"], check_threads),
    (&["frame_bytes_max"], check_frames),
    (&["body_bytes_max", "body_compressed_bytes_max"], check_bodies),
    (&["spool_bytes_max", "spool_segment_bytes"], check_spool),
    // A list lacks only the elements that could not be read: errors among the others are true.
    (&[], check_listeners),
    (&[], check_labels),
    (&[], check_line_formats),
    (&[], check_services),
    (&[], check_store_names),
    (&["node"], check_store_paths),
];

/// Reports every condition that is not met, except those on values that could not be read.
pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    let mut found = Vec::new();
    for (keys, check) in CONDITIONS {
        if !mistakes.concern(keys) {
            check(config, &mut found);
        }
    }
    // Several stores may have a value from the top of the file.
    found.dedup_by_key(|failure| failure.to_string());
    found.into_iter().for_each(|failure| mistakes.add(failure));
}

fn check_threads(config: &Config, found: &mut Vec<Failure>) {
    if config.threads > THREADS_MAX {
        let failure = Failure::usage(format!("{} threads are too many", config.threads))
            .because(format!("the maximum is {THREADS_MAX}"))
            .hint("`threads` = 0 means one thread per core");
        found.push(failure);
    }
}

fn check_frames(config: &Config, found: &mut Vec<Failure>) {
    if config.frame_bytes_max >= FRAME_BYTES_LIMIT {
        let failure = Failure::usage(format!("`frame_bytes_max` is {} bytes", config.frame_bytes_max))
            .because(
                "it must stay below 16 MiB, so that the first byte of a frame distinguishes it from other protocols",
            )
            .hint("a log record seldom has more than a few KiB; the default is 4MiB");
        found.push(failure);
    }
}

fn check_bodies(config: &Config, found: &mut Vec<Failure>) {
    if config.body_compressed_bytes_max > config.body_bytes_max {
        let failure = Failure::usage("`body_compressed_bytes_max` is larger than `body_bytes_max`")
            .hint("`body_bytes_max` counts after decompression, and is usually four times as large");
        found.push(failure);
    }
}

fn check_spool(config: &Config, found: &mut Vec<Failure>) {
    let spool = &config.spool;
    if spool.segment_bytes < SPOOL_SEGMENT_BYTES_MIN {
        let failure = Failure::usage(format!("`spool_segment_bytes` is {} bytes", spool.segment_bytes))
            .because(format!(
                "a segment must hold the largest commit: {SPOOL_SEGMENT_BYTES_MIN} bytes or more"
            ))
            .hint("the default is 16MiB");
        found.push(failure);
    }
    if spool.bytes_max / spool.segment_bytes < SPOOL_SEGMENTS_MIN {
        let failure = Failure::usage(format!("`spool_bytes_max` is {} bytes", spool.bytes_max))
            .because(format!("it must hold {SPOOL_SEGMENTS_MIN} segments of {} bytes", spool.segment_bytes))
            .hint("set `spool_segment_bytes` lower, or `spool_bytes_max` higher");
        found.push(failure);
    }
}

fn check_listeners(config: &Config, found: &mut Vec<Failure>) {
    for (first, second) in repeated(&config.listen, is_same_socket) {
        let (one, other) = (first.protocol.name(), second.protocol.name());
        let failure = Failure::usage(format!("two listeners on {}", second.address))
            .because(format!("both `{one}` and `{other}` listen there"))
            .hint("use a different port or path for each");
        found.push(failure);
    }
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

fn check_labels(config: &Config, found: &mut Vec<Failure>) {
    for listener in &config.listen {
        let bytes: usize = listener.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > LABELS_BYTES_MAX {
            let failure = Failure::usage(format!("the labels of {} have {bytes} bytes", listener.address));
            found.push(
                failure.because(format!("each record repeats them; the maximum is {LABELS_BYTES_MAX}")),
            );
        }
    }
}

fn check_line_formats(config: &Config, found: &mut Vec<Failure>) {
    for store in &config.stores {
        if let Err(error) = LineFormat::parse(&store.line_format) {
            let what = format!("the `line_format` of the store `{}` is invalid", store.name);
            found.push(Failure::usage(what).because(error));
        }
    }
}

fn check_services(config: &Config, found: &mut Vec<Failure>) {
    for store in &config.stores {
        for (first, _) in repeated(&store.retention, |one, other| one.service == other.service) {
            found.push(Failure::usage(format!("`retention` names the service `{}` twice", first.service)));
        }
        if store.retention.len() > RETENTION_SERVICES_MAX {
            let why =
                format!("the maximum is {RETENTION_SERVICES_MAX}: every record is checked for each service");
            let what = format!("`retention` names {} services", store.retention.len());
            found.push(Failure::usage(what).because(why));
        }
    }
}

fn check_store_names(config: &Config, found: &mut Vec<Failure>) {
    for (first, _) in repeated(&config.stores, |one, other| one.name == other.name) {
        let failure = Failure::usage(format!("two stores are called `{}`", first.name))
            .hint("set a different `name` for each `[[store]]`");
        found.push(failure);
    }
}

fn check_store_paths(config: &Config, found: &mut Vec<Failure>) {
    for (first, second) in repeated(&config.stores, is_same_place) {
        let place = match second.url.path() {
            Some(path) => path.display().to_string(),
            None => second.url.to_string(),
        };
        let failure = Failure::usage(format!("two stores write {place}"))
            .because(format!("both `{}` and `{}` do", first.name, second.name))
            .hint("give each store its own path, its own database, or in one database its own `node`");
        found.push(failure);
    }
}

/// Returns true if two stores write to the same file or table.
fn is_same_place(one: &StoreConfig, other: &StoreConfig) -> bool {
    match (&one.url, &other.url) {
        // Several nodes may share the tables of one database.
        (StoreUrl::Postgres(a), StoreUrl::Postgres(b)) => a.is_same_place(b) && one.node == other.node,
        (a, b) => a.path().zip(b.path()).is_some_and(|(a, b)| normal(a) == normal(b)),
    }
}

/// Returns each element that is the same as an earlier one, after the first of these.
fn repeated<T>(all: &[T], is_same: impl Fn(&T, &T) -> bool) -> impl Iterator<Item = (&T, &T)> {
    all.iter().enumerate().filter_map(move |(at, second)| {
        let first = all[..at].iter().find(|first| is_same(first, second))?;
        Some((first, second))
    })
}

/// Reports every path that is occupied by something that can never be used, which `check-config`
/// does in advance. A server starts nevertheless, because its spool accepts records until the path
/// is free.
pub(super) fn check_paths(config: &Config, mistakes: &mut Mistakes) {
    let data_dir = &config.data_dir;
    let is_usable = !data_dir.exists() || data_dir.is_dir();
    if is_usable {
        check_file(&data_dir.join("lock"), "the data folder", mistakes);
    } else {
        let failure = Failure::usage(format!("`data_dir` is {}", data_dir.display()))
            .because("it is not a folder")
            .hint("choose a folder, or a path that does not exist");
        mistakes.add(failure);
    }
    let is_checked = |path: &&Path| is_usable || !path.starts_with(data_dir);
    for store in &config.stores {
        let Some(path) = store.url.path().filter(is_checked) else { continue };
        let beside_it: &[&str] = match store.url {
            StoreUrl::File(_) => &[".position"],
            _ => &["-wal", "-shm"],
        };
        for suffix in [""].iter().chain(beside_it) {
            check_file(&beside(path, suffix), &format!("the store `{}`", store.name), mistakes);
        }
    }
}

fn check_file(path: &Path, whose: &str, mistakes: &mut Mistakes) {
    if let Err(error) = check_regular(path) {
        let failure = Failure::usage(format!("{whose} cannot use {}", path.display()))
            .because(error)
            .hint("choose a regular file, or a path that does not exist");
        mistakes.add(failure);
    }
}

/// Returns the absolute path without `.`. A path that does not exist yet has no other normal form.
fn normal(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}
