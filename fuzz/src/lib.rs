//! What each fuzz target checks, as functions of bytes: the fuzzer calls them (`fuzz_targets/`), and so does an
//! ordinary test (`tests/fuzz/`), on every input that once failed. Each panics where a promise is broken.
//!
//! Only the program's public interface is used.

pub mod json_body;
pub mod memory_disk;
pub mod pickle;
pub mod query;
pub mod record_codec;
pub mod records;
pub mod spool_recovery;

/// What a target checks of an input.
pub type Check = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Check); 5] = [
    ("pickle", pickle::check),
    ("json_body", json_body::check),
    ("record_codec", record_codec::check),
    ("spool_recovery", spool_recovery::check),
    ("query", query::check),
];
