//! Open files: the limit that the system sets, and who gets how many of them.
//!
//! Connections never get what the spool and the stores need: a segment that cannot be opened would stop the intake, and
//! a store that cannot open its files would hold back the release of segments, whose files are open meanwhile.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::Config;
use crate::failure::Failure;
use crate::limits::{
    ANSWERS_MAX, DESCRIPTORS_PER_ANSWER, DESCRIPTORS_PER_LISTENER, DESCRIPTORS_PER_STORE,
    DESCRIPTORS_SHARED_MIN, DESCRIPTORS_SPARE,
};

/// What the limit leaves of two settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) connections_max: usize,
    pub(super) spool_bytes_max: u64,
}

/// Raises the limit as far as the system lets it be, and divides it.
pub(super) fn share(config: &Config) -> Result<Share, Failure> {
    let wanted = Share { connections_max: config.connections_max, spool_bytes_max: config.spool.bytes_max };
    let Some(limit) = raised_limit() else { return Ok(wanted) };
    let kept = kept(config.stores.len(), config.listen.len());
    let share = divide(limit.saturating_sub(kept), wanted, config.spool.segment_bytes).ok_or_else(|| {
        Failure::new(format!("the limit of open files is {limit}"))
            .because(format!("at least {} are needed", kept + DESCRIPTORS_SHARED_MIN))
            .hint("raise it with `ulimit -Hn`, or LimitNOFILE= of systemd")
    })?;
    tell(limit, wanted, share);
    Ok(share)
}

/// What neither connections nor segments may have.
fn kept(stores: usize, listeners: usize) -> usize {
    DESCRIPTORS_SPARE
        + stores * DESCRIPTORS_PER_STORE
        + listeners * DESCRIPTORS_PER_LISTENER
        + ANSWERS_MAX * DESCRIPTORS_PER_ANSWER
}

/// The spool gets what its ceiling takes, but no more than half; connections get the rest.
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

fn tell(limit: usize, wanted: Share, share: Share) {
    if share.spool_bytes_max < wanted.spool_bytes_max {
        tracing::warn!(
            limit,
            bytes_max = share.spool_bytes_max,
            wanted = wanted.spool_bytes_max,
            "the limit of open files is too low for `spool_bytes_max`: the ceiling is lower"
        );
    }
    if share.connections_max < wanted.connections_max {
        tracing::info!(
            limit,
            connections_max = share.connections_max,
            wanted = wanted.connections_max,
            "the limit of open files is too low for `connections_max`: further connections wait earlier"
        );
    }
}

/// `None` where there is no limit.
fn raised_limit() -> Option<usize> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    getrlimit(Resource::Nofile).current.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 16 << 20;
    const WANTED: Share = Share { connections_max: 20_000, spool_bytes_max: 256 * SEGMENT };

    #[test]
    fn a_high_limit_leaves_everything_as_it_is() {
        assert_eq!(divide(20_256, WANTED, SEGMENT), Some(WANTED));
    }

    #[test]
    fn connections_give_way_to_segments() {
        assert_eq!(divide(1000, WANTED, SEGMENT), Some(Share { connections_max: 744, ..WANTED }));
    }

    #[test]
    fn a_low_limit_lowers_the_ceiling_and_leaves_half_to_connections() {
        let share = divide(100, WANTED, SEGMENT).unwrap();
        assert_eq!((share.connections_max, share.spool_bytes_max), (50, 50 * SEGMENT));
    }

    #[test]
    fn a_limit_that_is_far_too_low_is_refused() {
        assert_eq!(divide(DESCRIPTORS_SHARED_MIN - 1, WANTED, SEGMENT), None);
        let least = divide(DESCRIPTORS_SHARED_MIN, WANTED, SEGMENT).unwrap();
        assert!(
            least.spool_bytes_max >= crate::limits::SPOOL_SEGMENTS_MIN * SEGMENT
                && least.connections_max >= 8
        );
    }
}
