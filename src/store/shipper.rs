//! Moves records from the spool into one store, at the store's own pace, and reports its progress.

#[cfg(test)]
mod model;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::admin_queue::{AdminQueue, AdminRequest, Request};
use super::error::StoreError;
use super::{RecordsToDelete, Store, UnusedNames};
use crate::limits::{
    STORE_MAINTAIN_PACE, STORE_MAINTAIN_SECONDS, STORE_MAINTAIN_SLICE_ROWS, STORE_RETRY_MILLISECONDS_MAX,
    STORE_RETRY_MILLISECONDS_MIN, STORE_SYNC_MILLISECONDS, STORE_SYNC_ROWS,
};
use crate::record::RecordId;
use crate::spool::{Chunk, SpoolReader};

/// When a shipper stops waiting for more records and writes the pending ones.
#[derive(Clone, Copy, Debug)]
pub struct Flush {
    /// This many records are pending.
    pub rows: u64,
    /// This many encoded bytes are pending.
    pub bytes: u64,
    /// The oldest pending record has waited for this long.
    pub interval: Duration,
}

/// The progress of a store, readable by every part of the program.
#[derive(Debug, Default)]
pub struct Progress {
    /// The name of the store, as configured.
    pub name: String,
    /// The kind of the store: `sqlite`, `file`, ...
    pub kind: &'static str,
    /// Records stored since the start.
    pub stored: AtomicU64,
    /// Records that became dead letters since the start.
    pub dead_letters: AtomicU64,
    /// Transactions since the start.
    pub transactions: AtomicU64,
    /// Failed attempts since the start.
    pub failures: AtomicU64,
    /// Records that the store had before it went back to an older state, and that the spool no
    /// longer has.
    pub missing: AtomicU64,
    position: watch::Sender<RecordId>,
    /// The highest position that a caller waits for: the shipper does not wait for more records
    /// until the store is there.
    wanted: AtomicU64,
    admin_requests: AdminQueue,
    last_error: Mutex<Option<String>>,
}

impl Progress {
    /// Creates the progress of a store that has not reached any position yet.
    pub fn new(name: impl Into<String>, kind: &'static str) -> Arc<Progress> {
        Arc::new(Progress { name: name.into(), kind, ..Progress::default() })
    }

    /// Returns the id of the first record that is not stored yet; 0 while that is not known.
    pub fn position(&self) -> RecordId {
        *self.position.borrow()
    }

    /// Returns the error that currently prevents the store from continuing, if there is one, with
    /// its hint.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests everything below `position` without waiting for full chunks, and returns when it is
    /// stored. The caller wakes the readers.
    pub fn want(&self, position: RecordId) -> impl Future<Output = ()> + use<> {
        self.wanted.fetch_max(position, Relaxed);
        let mut positions = self.position.subscribe();
        async move {
            // The sender lives as long as the program.
            let _ = positions.wait_for(|reached| *reached >= position).await;
        }
    }

    /// Makes the store delete records; see [`Store::delete`]. Returns `None` if nothing ships to
    /// the store any more.
    pub async fn delete(&self, to_delete: RecordsToDelete) -> Option<Result<u64, StoreError>> {
        self.admin_requests.ask(Request::Delete(to_delete)).await
    }

    /// Makes the store delete names that no record refers to any more; see [`Store::delete_names`].
    pub async fn delete_names(&self, names: UnusedNames) -> Option<Result<u64, StoreError>> {
        self.admin_requests.ask(Request::DeleteNames(names)).await
    }

    /// Makes the store remove deleted bytes from its files; see [`Store::scrub`].
    pub async fn scrub(&self) -> Option<Result<u64, StoreError>> {
        self.admin_requests.ask(Request::Scrub).await
    }

    fn set_error(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

/// Ships the records of the spool to one store.
pub struct Shipper<S> {
    store: S,
    reader: SpoolReader,
    flush: Flush,
    progress: Arc<Progress>,
    chunk: Chunk,
    /// True if the store has reported its position and nothing has failed since.
    connected: bool,
    /// The records that were last counted as missing, so that no record is counted twice.
    gap: Range<RecordId>,
    /// Since when records have been waiting.
    waiting_since: Option<Instant>,
    /// Records written since the last sync.
    unsynced_rows: u64,
    /// When the next sync is due.
    sync_at: Instant,
    maintain_at: Instant,
    retry: Duration,
}

impl<S: Store> Shipper<S> {
    /// Creates a shipper that begins at the position that the store reports.
    pub fn new(store: S, reader: SpoolReader, flush: Flush, progress: Arc<Progress>) -> Shipper<S> {
        let now = Instant::now();
        Shipper {
            store,
            reader,
            flush,
            progress,
            chunk: Chunk::default(),
            connected: false,
            gap: 0..0,
            waiting_since: None,
            unsynced_rows: 0,
            sync_at: now,
            maintain_at: now,
            retry: Duration::from_millis(STORE_RETRY_MILLISECONDS_MIN),
        }
    }

    /// Ships until the spool is finished and everything is stored, however often the store fails
    /// before that. Once the spool is finished, an error that lasts ends the run.
    pub async fn run(mut self) {
        while !self.is_done() {
            match self.round().await {
                Ok(()) => self.progress.set_error(None),
                Err(error) => {
                    let is_lasting = error.is_lasting;
                    self.recover(error).await;
                    if is_lasting && self.reader.is_finished() {
                        tracing::warn!(
                            store = self.progress.name,
                            "the store does not accept the remaining records: they stay in the spool, and the next \
                             start continues from there"
                        );
                        break;
                    }
                }
            }
            // On a shared thread, this lets the sources run between two transactions.
            tokio::task::yield_now().await;
        }
        if self.unsynced_rows > 0
            && let Err(error) = self.sync().await
        {
            tracing::warn!(store = self.progress.name, %error, "the last sync failed; the next start sends unsynced records again");
        }
    }

    fn is_done(&self) -> bool {
        self.connected && self.reader.is_finished() && self.reader.pending() == 0
    }

    async fn round(&mut self) -> Result<(), StoreError> {
        if !self.connected {
            self.connect().await?;
        }
        self.wait().await;
        let mut shipped = 0;
        if self.reader.pending() > 0 && self.is_due() {
            shipped = self.ship().await?;
        }
        self.run_admin_request().await;
        if !self.connected {
            return Ok(());
        }
        let now = Instant::now();
        if self.unsynced_rows > 0 && (now >= self.sync_at || self.unsynced_rows >= STORE_SYNC_ROWS) {
            self.sync().await?;
        }
        if now >= self.maintain_at {
            self.maintain(now, shipped).await?;
        }
        Ok(())
    }

    /// Housekeeping keeps pace with the arriving records, and catches up: one slice, and
    /// [`STORE_MAINTAIN_PACE`] more for as many records as retention deletes in one.
    async fn maintain(&mut self, now: Instant, shipped: u64) -> Result<(), StoreError> {
        self.maintain_at = now + Duration::from_secs(STORE_MAINTAIN_SECONDS);
        for _ in 0..=STORE_MAINTAIN_PACE * shipped.div_ceil(STORE_MAINTAIN_SLICE_ROWS) {
            if !self.store.maintain().await? {
                return Ok(());
            }
            self.expect_sync(1);
            tokio::task::yield_now().await;
        }
        self.maintain_at = now;
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), StoreError> {
        let position = self.store.position().await?;
        let expected = self.progress.position();
        if position < expected {
            tracing::warn!(
                store = self.progress.name,
                position,
                expected,
                "the store went back to an older state; records that are still in the spool are sent again"
            );
        }
        let durable = self.reader.durable_id();
        if position > durable {
            return Err(StoreError::new(format!(
                "the store has records up to id {}, the spool only up to {}: the spool's folder was replaced while \
                 the store was unreachable",
                position - 1,
                durable - 1
            ))
            .hint("restart while the store is reachable: new ids then continue from the store's position"));
        }
        let oldest = self.reader.oldest_id();
        if position < oldest {
            tracing::warn!(
                store = self.progress.name,
                position,
                oldest,
                "the spool begins after the store's position: the store continues from there"
            );
            self.count_missing(position, oldest.min(expected));
        }
        self.reader.seek(position.max(oldest));
        self.progress.position.send_replace(self.reader.position());
        self.connected = true;
        // The store may have more records than were synced: those that an earlier connection, or an
        // earlier process, wrote last. If the spool is full of them, no new record can arrive whose
        // write would lead to a sync.
        if self.unsynced_rows == 0 {
            self.unsynced_rows = self.reader.position().saturating_sub(oldest);
            self.sync_at = Instant::now();
        }
        // A store that can be read may still refuse writes (a locked database): only success clears
        // an error.
        if self.reader.pending() == 0 && self.unsynced_rows == 0 {
            self.progress.set_error(None);
        }
        Ok(())
    }

    /// Counts the records that the store had and no longer has, if it went back to an older state.
    /// A store that has only failed since the last count is still where it was, and adds nothing.
    fn count_missing(&mut self, position: RecordId, end: RecordId) {
        let known = self.gap.end.min(end).saturating_sub(self.gap.start.max(position));
        let missing = end.saturating_sub(position).saturating_sub(known);
        if missing == 0 {
            return;
        }
        self.gap = if known == 0 { position..end } else { self.gap.start.min(position)..end };
        self.progress.missing.fetch_add(missing, Relaxed);
        tracing::error!(
            store = self.progress.name,
            from = position,
            to = end - 1,
            missing,
            "records are missing in the store: the store had them before, and the spool has already released them"
        );
    }

    /// Waits for the first record, then until enough records are pending or the flush interval has
    /// passed; never beyond the next sync or housekeeping.
    async fn wait(&mut self) {
        let deadline =
            if self.unsynced_rows > 0 { self.sync_at.min(self.maintain_at) } else { self.maintain_at };
        if self.reader.pending() == 0 {
            self.waiting_since = None;
            let filled = timeout_at(deadline, self.reader.filled(1, 1));
            or_admin_request(&self.progress, filled).await;
        }
        if self.reader.pending() == 0 {
            return;
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        if !self.is_due() {
            let deadline = deadline.min(since + self.flush.interval);
            let filled = timeout_at(deadline, self.reader.filled(self.flush.rows, self.flush.bytes));
            or_admin_request(&self.progress, filled).await;
        }
    }

    fn is_due(&self) -> bool {
        let waited = self.waiting_since.is_some_and(|since| since.elapsed() >= self.flush.interval);
        let wanted = self.progress.wanted.load(Relaxed) > self.reader.position();
        waited
            || wanted
            || self.reader.is_filled(self.flush.rows, self.flush.bytes)
            || self.reader.is_finished()
    }

    /// Ships a chunk, and returns how many records it had.
    async fn ship(&mut self) -> Result<u64, StoreError> {
        self.reader
            .read(&mut self.chunk, self.flush.rows, self.flush.bytes as usize)
            .map_err(|error| StoreError::new(format!("the spool cannot be read: {error}")))?;
        if self.chunk.is_empty() {
            return Ok(0);
        }
        let written = self.store.write(&self.chunk).await?;
        self.waiting_since = None;
        self.expect_sync(self.chunk.len());
        self.retry = Duration::from_millis(STORE_RETRY_MILLISECONDS_MIN);
        self.progress.stored.fetch_add(written.stored, Relaxed);
        self.progress.dead_letters.fetch_add(written.dead_letters, Relaxed);
        self.progress.transactions.fetch_add(1, Relaxed);
        // Before the position: a task that waits for the position reads the error next.
        self.progress.set_error(None);
        self.progress.position.send_replace(self.chunk.end_id());
        Ok(self.chunk.len())
    }

    /// Counts what was written and is not synced yet: records, or a slice of housekeeping, which
    /// may run without any new record for hours.
    fn expect_sync(&mut self, rows: u64) {
        if self.unsynced_rows == 0 {
            self.sync_at = Instant::now() + Duration::from_millis(STORE_SYNC_MILLISECONDS);
        }
        self.unsynced_rows += rows;
    }

    /// Executes the waiting request. An error is returned to the requesting task, because it is not
    /// about shipping, but the store starts over after an error.
    async fn run_admin_request(&mut self) {
        let Some(AdminRequest { request, answer }) = self.progress.admin_requests.take() else { return };
        let result = match &request {
            Request::Delete(to_delete) => self.store.delete(to_delete).await,
            Request::DeleteNames(names) => self.store.delete_names(names).await,
            Request::Scrub => self.store.scrub().await,
        };
        self.connected = result.is_ok();
        if matches!((&request, &result), (Request::Delete(_), Ok(1..))) {
            // The sync is separate from the deletion: if the sync fails, the records are deleted
            // all the same, and are counted.
            self.unsynced_rows = self.unsynced_rows.max(1);
            self.sync_at = Instant::now();
        }
        let _ = answer.send(result); // the requesting task may have gone
    }

    async fn sync(&mut self) -> Result<(), StoreError> {
        let durable = self.store.sync().await?;
        self.unsynced_rows = 0;
        self.progress.set_error(None);
        self.reader.release(durable);
        Ok(())
    }

    /// Logs an error once and not at each attempt, and waits before the next attempt.
    async fn recover(&mut self, error: StoreError) {
        self.connected = false;
        self.progress.failures.fetch_add(1, Relaxed);
        let what = error.to_string();
        let hint = error.hint.unwrap_or_default();
        let told = if hint.is_empty() { what.clone() } else { format!("{what} ({hint})") };
        if self.progress.last_error().as_ref() != Some(&told) {
            tracing::error!(
                store = self.progress.name,
                hint,
                "{what}; the spool keeps the records, and the server retries"
            );
            self.progress.set_error(Some(told));
        }
        if self.reader.is_finished() {
            self.retry = Duration::from_millis(STORE_RETRY_MILLISECONDS_MIN);
        }
        tokio::time::sleep(self.retry).await;
        self.retry = (self.retry * 2).min(Duration::from_millis(STORE_RETRY_MILLISECONDS_MAX));
    }
}

/// Waits for `wait`, but no longer than until there is a request.
async fn or_admin_request<T>(progress: &Progress, wait: impl Future<Output = T>) {
    tokio::select! {
        _ = wait => {}
        () = progress.admin_requests.arrived() => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::blocking::Threads;
    use crate::record::{Batch, RecordRef};
    use crate::spool::SpoolSizes;
    use crate::spool::testing::{SIZES, batch, observer, spool};
    use crate::store::WriteOutcome;

    /// A store that reports its position but refuses a few writes; checks that the progress keeps
    /// the error in between.
    struct Locked {
        progress: Arc<Progress>,
        position: RecordId,
        refusals: u32,
        error_was_kept: Arc<AtomicBool>,
    }

    impl Store for Locked {
        async fn position(&mut self) -> Result<RecordId, StoreError> {
            Ok(self.position)
        }

        async fn write(&mut self, chunk: &Chunk) -> Result<WriteOutcome, StoreError> {
            if self.refusals == 0 {
                self.position = chunk.end_id();
                return Ok(WriteOutcome { stored: chunk.len(), dead_letters: 0 });
            }
            self.refusals -= 1;
            if self.progress.failures.load(Relaxed) > 0 && self.progress.last_error().is_none() {
                self.error_was_kept.store(false, Relaxed);
            }
            Err(StoreError::new("it is locked"))
        }

        async fn sync(&mut self) -> Result<RecordId, StoreError> {
            Ok(self.position)
        }

        async fn maintain(&mut self) -> Result<bool, StoreError> {
            Ok(false)
        }
    }

    /// A store that deletes what is requested, and records the calls that it receives.
    struct Deleting {
        calls: Arc<Mutex<Vec<&'static str>>>,
        failing_syncs: u32,
        /// Slices of housekeeping that remain.
        slices: u32,
    }

    impl Deleting {
        fn note(&self, call: &'static str) {
            self.calls.lock().unwrap().push(call);
        }
    }

    impl Store for Deleting {
        async fn position(&mut self) -> Result<RecordId, StoreError> {
            Ok(1)
        }

        async fn write(&mut self, _: &Chunk) -> Result<WriteOutcome, StoreError> {
            Err(StoreError::new("nothing was to be written"))
        }

        async fn sync(&mut self) -> Result<RecordId, StoreError> {
            self.note("sync");
            if self.failing_syncs == 0 {
                return Ok(1);
            }
            self.failing_syncs -= 1;
            Err(StoreError::new("the disk is full"))
        }

        async fn maintain(&mut self) -> Result<bool, StoreError> {
            let has_slice = self.slices > 0;
            self.slices -= u32::from(has_slice);
            Ok(has_slice)
        }

        async fn delete(&mut self, to_delete: &RecordsToDelete) -> Result<u64, StoreError> {
            self.note("delete");
            Ok(to_delete.ids.len() as u64)
        }
    }

    /// A client that receives an error repeats the request, and then finds nothing left that would
    /// be counted.
    #[tokio::test]
    async fn deletion_is_counted_even_if_next_sync_fails() {
        let (_folder, spool, _writer) = spool(SIZES, 1);
        let progress = Progress::new("deleting", "test");
        let calls = Arc::new(Mutex::new(Vec::new()));
        let store = Deleting { calls: Arc::clone(&calls), failing_syncs: 1, slices: 0 };
        let flush = Flush { rows: 1, bytes: 1, interval: Duration::ZERO };
        tokio::spawn(Shipper::new(store, spool.reader(1), flush, Arc::clone(&progress)).run());
        let to_delete = |ids: &[RecordId]| RecordsToDelete { ids: ids.to_vec(), times: Some((0, 0)) };
        assert_eq!(progress.delete(to_delete(&[1, 2, 3])).await.unwrap().unwrap(), 3);
        assert_eq!(progress.delete(to_delete(&[4])).await.unwrap().unwrap(), 1);
        assert_eq!(calls.lock().unwrap()[..3], ["delete", "sync", "delete"]);
    }

    #[tokio::test]
    async fn housekeeping_is_synced_without_new_records() {
        let (_folder, spool, _writer) = spool(SIZES, 1);
        let progress = Progress::new("cleaning", "test");
        let calls = Arc::new(Mutex::new(Vec::new()));
        let store = Deleting { calls: Arc::clone(&calls), failing_syncs: 0, slices: 3 };
        let flush = Flush { rows: 1, bytes: 1, interval: Duration::ZERO };
        tokio::spawn(Shipper::new(store, spool.reader(1), flush, progress).run());
        let is_synced = async {
            while calls.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), is_synced).await.expect("it is never synced");
        assert_eq!(calls.lock().unwrap()[..], ["sync"]);
    }

    /// A store that accepts any number of records and always has something to clean up; records the
    /// calls that it receives.
    struct Growing {
        calls: Arc<Mutex<Vec<&'static str>>>,
        position: RecordId,
    }

    impl Store for Growing {
        async fn position(&mut self) -> Result<RecordId, StoreError> {
            Ok(self.position)
        }

        async fn write(&mut self, chunk: &Chunk) -> Result<WriteOutcome, StoreError> {
            self.calls.lock().unwrap().push("write");
            self.position = chunk.end_id();
            Ok(WriteOutcome { stored: chunk.len(), dead_letters: 0 })
        }

        async fn sync(&mut self) -> Result<RecordId, StoreError> {
            Ok(self.position)
        }

        async fn maintain(&mut self) -> Result<bool, StoreError> {
            self.calls.lock().unwrap().push("maintain");
            Ok(true)
        }
    }

    #[tokio::test]
    async fn housekeeping_keeps_pace_with_shipping() {
        let sizes = SpoolSizes { segment_bytes: 4 << 20, bytes_max: 32 << 20 };
        let (_folder, spool, writer) = spool(sizes, 1);
        for _ in 0..8 {
            let mut batch = Batch::new();
            (0..STORE_MAINTAIN_SLICE_ROWS).for_each(|_| batch.push(&RecordRef::default()));
            drop(spool.append(&batch, &observer()).await.unwrap());
        }
        spool.close();
        writer.run(Threads::One).await;
        let calls = Arc::new(Mutex::new(Vec::new()));
        let store = Growing { calls: Arc::clone(&calls), position: 1 };
        let flush = Flush { rows: 4 * STORE_MAINTAIN_SLICE_ROWS, bytes: 1 << 30, interval: Duration::ZERO };
        Shipper::new(store, spool.reader(1), flush, Progress::new("growing", "test")).run().await;
        let calls = calls.lock().unwrap();
        assert!(calls.iter().filter(|call| **call == "maintain").count() >= 16, "{calls:?}");
    }

    #[tokio::test]
    async fn records_missing_after_restore_are_counted_once() {
        let (_folder, spool, _writer) = spool(SIZES, 11);
        let progress = Progress::new("restored", "test");
        let store = Locked {
            progress: Arc::clone(&progress),
            position: 3,
            refusals: 0,
            error_was_kept: Arc::default(),
        };
        let flush = Flush { rows: 1, bytes: 1, interval: Duration::ZERO };
        let mut shipper = Shipper::new(store, spool.reader(1), flush, Arc::clone(&progress));
        shipper.connect().await.unwrap();
        assert_eq!(progress.missing.load(Relaxed), 0, "a store that joins late has lost nothing");
        shipper.store.position = 6;
        for _ in 0..2 {
            shipper.connect().await.unwrap();
            assert_eq!(progress.missing.load(Relaxed), 5);
        }
        shipper.store.position = 4;
        shipper.connect().await.unwrap();
        assert_eq!(progress.missing.load(Relaxed), 7, "it went back once more, and lacks two more");
        for (position, end, missing) in [(4, 15, 11), (20, 25, 16), (20, 25, 16)] {
            shipper.count_missing(position, end);
            assert_eq!(
                progress.missing.load(Relaxed),
                missing,
                "back to {position}, and the spool begins at {end}"
            );
        }
    }

    /// The state that a process leaves behind if it was killed between its last write and the sync
    /// of that write.
    #[tokio::test]
    async fn spool_full_of_stored_records_accepts_records_again() {
        let sizes = SpoolSizes { segment_bytes: 4 << 10, bytes_max: 12 << 10 };
        let (_folder, spool, writer) = spool(sizes, 1);
        tokio::spawn(writer.run(Threads::One));
        let batch = batch(&[&"x".repeat(1000)]);
        let append = async || spool.append(&batch, &observer()).await?.durable().await;
        while append().await.is_ok() {}
        let progress = Progress::new("killed", "test");
        let store = Locked {
            progress: Arc::clone(&progress),
            position: spool.durable_id(),
            refusals: 0,
            error_was_kept: Arc::default(),
        };
        let flush = Flush { rows: 1, bytes: 1, interval: Duration::ZERO };
        tokio::spawn(Shipper::new(store, spool.reader(1), flush, progress).run());
        let room = async { while append().await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(60), room).await.expect("there is no room for ever");
    }

    #[tokio::test]
    async fn error_is_kept_until_write_succeeds() {
        let (_folder, spool, writer) = spool(SIZES, 1);
        let _receipt = spool.append(&batch(&["x"]), &observer()).await.unwrap();
        spool.close();
        writer.run(Threads::One).await;
        let progress = Progress::new("locked", "test");
        let error_was_kept = Arc::new(AtomicBool::new(true));
        let store = Locked {
            progress: Arc::clone(&progress),
            position: 1,
            refusals: 3,
            error_was_kept: Arc::clone(&error_was_kept),
        };
        let flush = Flush { rows: 1, bytes: 1, interval: Duration::ZERO };
        Shipper::new(store, spool.reader(1), flush, Arc::clone(&progress)).run().await;
        assert_eq!(progress.failures.load(Relaxed), 3);
        assert_eq!(progress.stored.load(Relaxed), 1);
        assert!(error_was_kept.load(Relaxed), "it was forgotten between two tries");
        assert_eq!(progress.last_error(), None);
    }
}
