//! Limits the growth of SQLite's write-ahead log while queries run.
//!
//! SQLite restarts the log only when all of it has been copied into the database and no reader uses
//! an older state from it. If queries overlap without end, there is no such moment. Therefore, once
//! the log is large, no further query begins, and the store empties the log as soon as the running
//! queries have ended. If the log grows further before that, statements of `sql` are stopped: each
//! of them reads one state of the database for up to `query_seconds_max`.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Queries, View};
use crate::limits::{
    QUERIES_MAX, SQLITE_LOG_EMPTY_SECONDS_MAX, SQLITE_LOG_LOOK_MILLISECONDS, SQLITE_LOG_RETRY_SECONDS,
    SQLITE_WAL_BYTES_QUERIES_MAX, SQLITE_WAL_BYTES_STATEMENTS_MAX,
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
                && !empty(path, progress, &view.queries).await
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
async fn empty(path: &Path, progress: &Progress, queries: &Queries) -> bool {
    let all = tokio::select! {
        all = queries.running.acquire_many(QUERIES_MAX as u32) => all,
        never = stop_long_statements(path, &queries.is_log_too_large) => match never {},
    };
    queries.is_log_too_large.store(false, Relaxed);
    if all.is_err() {
        return false;
    }
    let emptied = timeout(Duration::from_secs(SQLITE_LOG_EMPTY_SECONDS_MAX), progress.scrub()).await;
    matches!(emptied, Ok(Some(Ok(1))))
}

/// Stops statements once the log has grown further: each may run for `query_seconds_max`.
async fn stop_long_statements(path: &Path, is_log_too_large: &AtomicBool) -> Infallible {
    loop {
        if log_bytes(path) >= SQLITE_WAL_BYTES_STATEMENTS_MAX {
            is_log_too_large.store(true, Relaxed);
        }
        sleep(Duration::from_millis(SQLITE_LOG_LOOK_MILLISECONDS)).await;
    }
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
    use crate::spool::{CommitObserver, NoObserver, Spool, SpoolSizes};
    use crate::store::sqlite::SqliteStore;
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

        let queries = View::queries();
        let query = queries.running.acquire().await.unwrap();
        let mut emptying = pin!(empty(&path, &progress, &queries));
        let is_waiting = poll_fn(|context| Poll::Ready(emptying.as_mut().poll(context).is_pending())).await;
        assert!(is_waiting, "a query runs");
        assert!(queries.running.try_acquire().is_err(), "and no other one begins");
        assert!(queries.is_log_too_large.load(Relaxed), "statements are stopped");
        drop(query);
        assert!(emptying.await);
        assert!(!queries.is_log_too_large.load(Relaxed));
        assert_eq!(log_bytes(&path), 0);
        assert_eq!(queries.running.available_permits(), QUERIES_MAX);
    }
}
