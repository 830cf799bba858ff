//! The checks of each fuzz target, as functions of bytes. The fuzzer calls them (`fuzz_targets/`),
//! and so does an ordinary test (`tests/fuzz/`), with every input that once failed. Each check
//! panics if a guarantee is broken.
//!
//! Only the program's public interface is used.

pub mod json_body;
pub mod memory_disk;
pub mod pickle;
pub mod query;
pub mod record_codec;
pub mod records;
pub mod spool_recovery;

/// The check of a target for one input.
pub type Check = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Check); 5] = [
    ("pickle", pickle::check),
    ("json_body", json_body::check),
    ("record_codec", record_codec::check),
    ("spool_recovery", spool_recovery::check),
    ("query", query::check),
];
