//! Any bytes as the pickle of a Python record.
//!
//! The comparison with CPython's result for the same pickle is elsewhere (`tests/fuzz/cpython.rs`),
//! because it needs another process.

use std::cell::RefCell;

use logboom::ingest::Rejection;
use logboom::ingest::python::{PickleScratch, decode};
use logboom::record::Batch;

use super::records::{self, ARRIVAL};

thread_local! {
    static SCRATCH: RefCell<PickleScratch> = RefCell::default();
}

/// Checks that a record is decoded completely or not at all, whatever was decoded before it and on
/// whichever path.
pub fn check(pickle: &[u8]) {
    let (outcome, batch) = decoded(pickle, &mut PickleScratch::default());
    let (again, same) = SCRATCH.with_borrow_mut(|scratch| decoded(pickle, scratch));
    assert_eq!((&outcome, batch.bytes()), (&again, same.bytes()), "it depends on what was decoded before");
    assert_eq!(batch.count(), u32::from(outcome.is_ok()));
    records::check(&batch);
    check_the_general_way(pickle, &outcome, &batch);
}

fn decoded(pickle: &[u8], scratch: &mut PickleScratch) -> (Result<(), Rejection>, Batch) {
    let mut batch = Batch::new();
    let outcome = decode(pickle, &ARRIVAL, scratch, &mut batch);
    (outcome, batch)
}

/// Checks the general path: a `None` that is discarded at once changes nothing, but the fast path
/// does not support it.
fn check_the_general_way(pickle: &[u8], outcome: &Result<(), Rejection>, batch: &Batch) {
    let (general, other) = decoded(&[b"N0", pickle].concat(), &mut PickleScratch::default());
    if general.as_ref().is_err_and(|rejection| rejection.reason == "too_complex") {
        return; // the general input has two more opcodes
    }
    assert_eq!(*outcome, general);
    let shown = |batch| records::read(batch).iter().map(records::shown).collect::<Vec<_>>();
    assert_eq!(shown(batch), shown(&other), "the fast path says otherwise than the general one");
}
