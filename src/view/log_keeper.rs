//! Limits the growth of SQLite's write-ahead log while queries run.
//!
//! SQLite restarts the log only when all of it has been copied into the database and no reader uses
//! an older state from it. If queries overlap without end, there is no such moment. Therefore, once
//! the log is large, no further query begins, and the store empties the log as soon as the running
//! queries have ended, which `query_seconds_max` bounds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::View;
use crate::limits::{
    QUERIES_MAX, SQLITE_LOG_EMPTY_SECONDS_MAX, SQLITE_LOG_LOOK_MILLISECONDS, SQLITE_LOG_RETRY_SECONDS,
    SQLITE_WAL_BYTES_QUERIES_MAX,
};
use crate::store::sqlite::log_bytes;
use crate::store::{Database, Progress};

/// Watches the logs of all databases until the program ends.
pub async fn keep_logs_small(view: Arc<View>) {
    loop {
        sleep(Duration::from_millis(SQLITE_LOG_LOOK_MILLISECONDS)).await;
        for (progress, database) in &view.databases {
            if let Database::Sqlite(path) = database
                && is_large(path)
                && !empty(progress, &view.queries.running).await
            {
                // Another program reads the database, or the store has failed: queries must not
                // wait for that again and again.
                sleep(Duration::from_secs(SQLITE_LOG_RETRY_SECONDS)).await;
            }
        }
    }
}

fn is_large(path: &Path) -> bool {
    log_bytes(path) >= SQLITE_WAL_BYTES_QUERIES_MAX
}

/// Waits until no query runs, and makes the store empty its log before the next query begins.
/// Returns false if that failed.
async fn empty(progress: &Progress, running: &Semaphore) -> bool {
    let Ok(_all) = running.acquire_many(QUERIES_MAX as u32).await else { return false };
    let emptied = timeout(Duration::from_secs(SQLITE_LOG_EMPTY_SECONDS_MAX), progress.scrub()).await;
    matches!(emptied, Ok(Some(Ok(1))))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::blocking::Threads;
    use crate::disk::Folder;
    use crate::record::{Batch, RecordRef};
    use crate::spool::{AppendError, Spool, SpoolSizes, Witness};
    use crate::store::sqlite::SqliteStore;
    use crate::store::{Flush, Retention, Shipper};

    struct Nobody;

    impl Witness for Nobody {
        fn committed(&self, _: u64, _: Result<(), &AppendError>) {}
    }

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
        let nobody: Arc<dyn Witness> = Arc::new(Nobody);
        let mut batch = Batch::new();
        (0..1000).for_each(|_| batch.push(&RecordRef { message: "filling", ..RecordRef::default() }));
        let receipt = spool.append(&batch, &nobody).await.unwrap();
        receipt.durable().await.unwrap();
        progress.want(1001).await;
        assert!(log_bytes(&path) > 0);

        let running = Semaphore::new(QUERIES_MAX);
        let query = running.acquire().await.unwrap();
        let mut emptying = pin!(empty(&progress, &running));
        let is_waiting = poll_fn(|context| Poll::Ready(emptying.as_mut().poll(context).is_pending())).await;
        assert!(is_waiting, "a query runs");
        assert!(running.try_acquire().is_err(), "and no other one begins");
        drop(query);
        assert!(emptying.await);
        assert_eq!(log_bytes(&path), 0);
        assert_eq!(running.available_permits(), QUERIES_MAX);
    }
}
