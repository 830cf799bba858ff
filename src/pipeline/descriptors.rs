//! Open files: the limit that the system sets, and its division.
//!
//! Connections never use the descriptors that the spool and the stores need: a segment that cannot
//! be opened would stop the intake, and a store that cannot open its files would delay the release
//! of segments, whose files stay open until then.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::Config;
use crate::failure::Failure;
use crate::limits::{
    ANSWERS_MAX, DESCRIPTORS_PER_ANSWER, DESCRIPTORS_PER_LISTENER, DESCRIPTORS_PER_STORE,
    DESCRIPTORS_SHARED_MIN, DESCRIPTORS_SPARE,
};

/// The values of two settings that the limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) connections_max: usize,
    pub(super) spool_bytes_max: u64,
}

/// Raises the limit as far as the system allows, and divides it.
pub(super) fn share(config: &Config) -> Result<Share, Failure> {
    let wanted = Share { connections_max: config.connections_max, spool_bytes_max: config.spool.bytes_max };
    let Some(limit) = raised_limit() else { return Ok(wanted) };
    let kept = kept(config.stores.len(), config.listen.len());
    let share = divide(limit.saturating_sub(kept), wanted, config.spool.segment_bytes).ok_or_else(|| {
        Failure::new(format!("the limit of open files is {limit}"))
            .because(format!("at least {} are needed", kept + DESCRIPTORS_SHARED_MIN))
            .hint("raise it with `ulimit -Hn`, or LimitNOFILE= of systemd")
    })?;
    report(limit, wanted, share, config.is_connections_max_given);
    Ok(share)
}

/// The descriptors that neither connections nor segments may use.
fn kept(stores: usize, listeners: usize) -> usize {
    DESCRIPTORS_SPARE
        + stores * DESCRIPTORS_PER_STORE
        + listeners * DESCRIPTORS_PER_LISTENER
        + ANSWERS_MAX * DESCRIPTORS_PER_ANSWER
}

/// Assigns the spool the descriptors that its ceiling needs, but at most half of them, and
/// connections the rest.
fn divide(shared: usize, wanted: Share, segment_bytes: u64) -> Option<Share> {
    if shared < DESCRIPTORS_SHARED_MIN {
        return None;
    }
    let wanted_segments = wanted.spool_bytes_max / segment_bytes;
    let segments = wanted_segments.min(shared as u64 / 2);
    let is_lower = segments < wanted_segments;
    Some(Share {
        connections_max: wanted.connections_max.min(shared - segments as usize),
        spool_bytes_max: if is_lower { segments * segment_bytes } else { wanted.spool_bytes_max },
    })
}

/// Logs what is lower than configured. The default of `connections_max` is no demand: most machines
/// need far fewer, and further connections only wait.
fn report(limit: usize, wanted: Share, share: Share, is_connections_max_given: bool) {
    if share.spool_bytes_max < wanted.spool_bytes_max {
        tracing::warn!(
            limit,
            bytes_max = share.spool_bytes_max,
            wanted = wanted.spool_bytes_max,
            "the limit of open files is too low for `spool_bytes_max`: the ceiling is lower"
        );
    }
    if share.connections_max < wanted.connections_max {
        let (connections_max, wanted) = (share.connections_max, wanted.connections_max);
        match is_connections_max_given {
            true => tracing::info!(limit, connections_max, wanted, "{FEWER_CONNECTIONS}"),
            false => tracing::debug!(limit, connections_max, wanted, "{FEWER_CONNECTIONS}"),
        }
    }
}

const FEWER_CONNECTIONS: &str =
    "the limit of open files is too low for `connections_max`: further connections wait earlier";

/// Returns `None` if there is no limit.
fn raised_limit() -> Option<usize> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files could not be raised");
    }
    getrlimit(Resource::Nofile).current.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 16 << 20;
    const WANTED: Share = Share { connections_max: 20_000, spool_bytes_max: 256 * SEGMENT };

    #[test]
    fn high_limit_changes_nothing() {
        assert_eq!(divide(20_256, WANTED, SEGMENT), Some(WANTED));
    }

    #[test]
    fn medium_limit_lowers_connections_first() {
        assert_eq!(divide(1000, WANTED, SEGMENT), Some(Share { connections_max: 744, ..WANTED }));
    }

    #[test]
    fn low_limit_lowers_ceiling_and_connections_to_half() {
        let share = divide(100, WANTED, SEGMENT).unwrap();
        assert_eq!((share.connections_max, share.spool_bytes_max), (50, 50 * SEGMENT));
    }

    #[test]
    fn limit_below_minimum_is_rejected() {
        assert_eq!(divide(DESCRIPTORS_SHARED_MIN - 1, WANTED, SEGMENT), None);
        let least = divide(DESCRIPTORS_SHARED_MIN, WANTED, SEGMENT).unwrap();
        assert!(
            least.spool_bytes_max >= crate::limits::SPOOL_SEGMENTS_MIN * SEGMENT
                && least.connections_max >= 8
        );
    }
}
