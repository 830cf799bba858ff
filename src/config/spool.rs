//! The settings of the spool.

use super::shape::{Shape, one_of};

/// The spool's bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// The most bytes that the spool may take on disk.
    pub bytes_max: u64,
    /// The size of one segment file, in bytes.
    pub segment_bytes: u64,
    /// What happens to clients that cannot be asked to wait (Python's handlers).
    pub when_full: WhenFull,
}

/// What to do with records of clients that cannot be asked to wait, while the spool is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Continue reading, drop records, and count the dropped records.
    Shed,
    /// Stop reading.
    Block,
}

/// The values of `when_full`.
pub(super) const WHEN_FULL_SHAPE: Shape<WhenFull> = Shape::one("shed|block", "`shed` or `block`", |text| {
    one_of(text, &[("shed", WhenFull::Shed), ("block", WhenFull::Block)])
});
