//! Limits how much of the databases is read at the same time, so that reading does not keep the
//! stores from their work.
//!
//! SQLite restarts its write-ahead log only when all of it has been copied into the database and no
//! reader uses an older state from it. If queries overlap without end, there is no such moment.
//! Therefore, while the pressure on a database is high, no further read begins, and the store
//! empties the log as soon as the running reads have ended. If the pressure grows further before
//! that, statements of `sql` are stopped: each of them reads one state of the database for up to
//! `query_seconds_max`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout, timeout_at};

use super::Progress;
use super::database::Database;
use super::reader::{ReadPermit, ReadPressure};
use crate::blocking::Threads;
use crate::limits::{
    QUERIES_MAX, SQLITE_LOG_EMPTY_SECONDS_MAX, SQLITE_LOG_LOOK_MILLISECONDS, SQLITE_LOG_RETRY_SECONDS,
};

/// The limits that all reads of a server share.
#[derive(Clone, Debug)]
pub struct ReadGate {
    /// Where blocking work runs.
    pub threads: Threads,
    /// The longest time that a query may run.
    pub duration_max: Duration,
    running: Arc<Semaphore>,
    statements_must_end: Arc<AtomicBool>,
}

impl ReadGate {
    /// Creates a gate through which [`QUERIES_MAX`] reads pass at a time.
    pub fn new(threads: Threads, duration_max: Duration) -> ReadGate {
        let running = Arc::new(Semaphore::new(QUERIES_MAX));
        ReadGate { threads, duration_max, running, statements_must_end: Arc::default() }
    }

    /// Returns the deadline of a query that starts now.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.duration_max
    }

    /// Waits for permission to read. `None` if it does not come before the deadline.
    pub async fn permit_until(&self, deadline: Instant) -> Option<ReadPermit> {
        let permit = timeout_at(deadline.into(), Arc::clone(&self.running).acquire_owned()).await;
        Some(Box::new(permit.ok()?.ok()?))
    }

    /// Returns a flag that is set while statements must end.
    pub fn statements_must_end(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.statements_must_end)
    }

    /// Checks the read pressure of each database periodically, and pauses reading while it is high.
    /// Runs until the program ends.
    pub async fn relieve(self, databases: Vec<(Arc<Progress>, Database)>) {
        loop {
            sleep(Duration::from_millis(SQLITE_LOG_LOOK_MILLISECONDS)).await;
            for (progress, database) in &databases {
                if database.read_pressure() >= ReadPressure::High && !self.pause(database, progress).await {
                    // Another program reads the database, or the store has failed: queries must not
                    // wait for that again and again.
                    sleep(Duration::from_secs(SQLITE_LOG_RETRY_SECONDS)).await;
                }
            }
        }
    }

    /// Waits until all reads have ended, and makes the store catch up before the next read begins.
    /// Returns false if that failed.
    async fn pause(&self, database: &Database, progress: &Progress) -> bool {
        let all = tokio::select! {
            all = self.running.acquire_many(QUERIES_MAX as u32) => all,
            never = self.stop_long_statements(database) => match never {},
        };
        self.statements_must_end.store(false, Relaxed);
        if all.is_err() {
            return false;
        }
        let caught_up = timeout(Duration::from_secs(SQLITE_LOG_EMPTY_SECONDS_MAX), progress.scrub()).await;
        matches!(caught_up, Ok(Some(Ok(1))))
    }

    /// Stops statements once the pressure is critical: each may run for `query_seconds_max`.
    async fn stop_long_statements(&self, database: &Database) -> Infallible {
        loop {
            if database.read_pressure() == ReadPressure::Critical {
                self.statements_must_end.store(true, Relaxed);
            }
            sleep(Duration::from_millis(SQLITE_LOG_LOOK_MILLISECONDS)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::disk::Folder;
    use crate::record::{Batch, RecordRef};
    use crate::spool::{CommitObserver, NoObserver, Spool, SpoolSizes};
    use crate::store::sqlite::{SqliteStore, log_bytes};
    use crate::store::{Flush, Retention, Shipper};

    #[tokio::test]
    async fn log_is_emptied_between_queries_that_overlap() {
        let folder = tempfile::TempDir::new().unwrap();
        let disk = Arc::new(Folder::open(&folder.path().join("spool")).unwrap());
        let sizes = SpoolSizes { segment_bytes: 4 << 20, bytes_max: 32 << 20 };
        let (spool, writer) = Spool::open(disk, sizes, 1).unwrap();
        tokio::spawn(writer.run(Threads::One));
        let path = folder.path().join("logs.db");
        let store = SqliteStore::new(path.clone(), Retention::default());
        let progress = Progress::new("sqlite", "sqlite");
        let flush = Flush { rows: 1, bytes: 1, interval: Duration::ZERO };
        tokio::spawn(Shipper::new(store, spool.reader(1), flush, Arc::clone(&progress)).run());
        let observer: Arc<dyn CommitObserver> = Arc::new(NoObserver);
        let mut batch = Batch::new();
        (0..1000).for_each(|_| batch.push(&RecordRef { message: "filling", ..RecordRef::default() }));
        let receipt = spool.append(&batch, &observer).await.unwrap();
        receipt.durable().await.unwrap();
        progress.want(1001).await;
        assert!(log_bytes(&path) > 0);

        let gate = ReadGate::new(Threads::Many(2), Duration::from_secs(3600));
        let database = Database::Sqlite(path.clone());
        let query = gate.running.acquire().await.unwrap();
        let mut emptying = pin!(gate.pause(&database, &progress));
        let is_waiting = poll_fn(|context| Poll::Ready(emptying.as_mut().poll(context).is_pending())).await;
        assert!(is_waiting, "a query runs");
        assert!(gate.running.try_acquire().is_err(), "and no other one begins");
        assert!(gate.statements_must_end.load(Relaxed), "statements are stopped");
        drop(query);
        assert!(emptying.await);
        assert!(!gate.statements_must_end.load(Relaxed));
        assert_eq!(log_bytes(&path), 0);
        assert_eq!(gate.running.available_permits(), QUERIES_MAX);
    }
}
