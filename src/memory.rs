//! Keeps the resident memory close to the memory in use.
//!
//! The C library's allocator keeps freed memory for later allocations. If records, responses and
//! queries of all sizes are allocated and freed on many threads, most of the kept memory lies
//! between blocks in use, and grows for hours: under full load more memory was free than in use.

use std::time::Duration;

use tokio::time::sleep;

use crate::limits::{MEMORY_LOOK_MILLISECONDS, MEMORY_TRIM_BYTES_MIN};
use crate::metrics;
use crate::store::sqlite::confine;

/// Sets the allocator's limits. Must be called before the first thread starts.
pub(crate) fn bound() {
    confine::bound_allocator();
}

/// Periodically returns freed memory to the system, if much memory is resident.
pub(crate) async fn keep_small() {
    loop {
        sleep(Duration::from_millis(MEMORY_LOOK_MILLISECONDS)).await;
        if metrics::memory_bytes() >= MEMORY_TRIM_BYTES_MIN {
            confine::trim_allocator();
        }
    }
}
