//! What can be set of the spool.

use super::shape::{Form, Shape, one_of};

/// The spool's bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// The most that it may take on disk, in bytes.
    pub bytes_max: u64,
    /// The size of one segment file, in bytes.
    pub segment_bytes: u64,
    /// What happens to clients that cannot be told to wait.
    pub when_full: WhenFull,
}

/// What to do with records of clients that cannot be told to wait, while the spool is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Read on, drop, and count what was dropped.
    Shed,
    /// Stop reading.
    Block,
}

/// The values of `when_full`.
pub(super) const WHEN_FULL_SHAPE: Shape<WhenFull> = Shape {
    name: "shed|block",
    accepts: "`shed` or `block`",
    form: Form::One,
    parse: |text| one_of(text, &[("shed", WhenFull::Shed), ("block", WhenFull::Block)]),
};
