//! Keeps the resident memory close to the memory in use.
//!
//! The C library's allocator keeps freed memory for later allocations. Where records, answers and queries of all sizes come and go
//! on many threads, most of what it keeps lies between blocks that are in use, and grows for hours: under full load more memory
//! was free than in use.

use std::time::Duration;

use tokio::time::sleep;

use crate::limits::{MEMORY_LOOK_MILLISECONDS, MEMORY_TRIM_BYTES_MIN};
use crate::metrics;
use crate::store::sqlite::confine;

/// Sets the allocator's limits; to be called before the first thread starts.
pub(crate) fn bound() {
    confine::bound_allocator();
}

/// Returns freed memory to the system now and then, where much memory is resident.
pub(crate) async fn keep_small() {
    loop {
        sleep(Duration::from_millis(MEMORY_LOOK_MILLISECONDS)).await;
        if metrics::memory_bytes() >= MEMORY_TRIM_BYTES_MIN {
            confine::trim_allocator();
        }
    }
}
