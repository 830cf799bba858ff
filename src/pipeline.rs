//! Connects the modules: what is started, in which order, and in which order it stops.
//!
//! Records flow ingest -> spool -> stores, and a stop follows the same order: listeners stop
//! accepting and their connections hand over what clients have already sent; the spool commits its
//! records and closes; the stores ship the rest. If a stop takes too long, or on a second signal,
//! the program exits immediately. No acknowledged record is lost by that, because it is in the
//! spool.

mod descriptors;
mod listen;
mod routes;
mod stores;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout_at};

use crate::blocking::Threads;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::limits::{DRAIN_PIECE_MILLISECONDS, DRAIN_SECONDS_MAX, SPOOL_LOOK_MILLISECONDS};
use crate::metrics::Metrics;
use crate::spool::{Spool, SpoolSizes};
use crate::store::ReadGate;
use crate::view::{Tails, View};
use crate::{log, memory};
use descriptors::Share;
use listen::{Listeners, Sockets};
use stores::Stores;

/// Serves until a signal requests the stop.
pub fn run(config: &Config) -> Result<(), Failure> {
    memory::bound();
    log::start(config);
    let share = descriptors::share(config)?;
    let threads = Threads::of(config.threads);
    let runtime = threads.runtime().map_err(no_thread)?;
    let result = runtime.block_on(serve(config, share, threads));
    // Blocking work that still runs (a long query) must not delay the exit.
    runtime.shutdown_background();
    log::finish();
    result
}

fn no_thread(error: io::Error) -> Failure {
    Failure::new("cannot start the server's threads").because(error).hint(
        "raise the limit of threads (`ulimit -u`, TasksMax= of systemd, pids.max of a container), or run on one thread: --threads 1",
    )
}

async fn serve(config: &Config, share: Share, threads: Threads) -> Result<(), Failure> {
    let started = Instant::now();
    tokio::spawn(async { tokio::join!(log::keep(), memory::keep_small()) });
    let data_dir = DataDir::open(&config.data_dir)?;
    // Before any client can send records that a stop should preserve.
    let mut signals = Signals::listen()?;
    let sockets = Sockets::bind(&config.listen)?;
    let claims = data_dir.claims(&config.stores)?;
    let mut stores = Stores::new(&config.stores, &data_dir, &claims, threads)?;

    let sizes = SpoolSizes { segment_bytes: config.spool.segment_bytes, bytes_max: share.spool_bytes_max };
    let cannot_open = || Failure::new(format!("cannot open the spool in {}", data_dir.spool().display()));
    let disk = data_dir.spool_folder().map_err(|error| cannot_open().because(error))?;
    let (floor, unclaimed) = stores.claim().await;
    let (spool, writer) =
        Spool::open(Arc::new(disk), sizes, floor).map_err(|error| cannot_open().because(error))?;
    claims.watch(&spool);
    // Ids from here on are assigned without confirmation from the stores that were not claimed.
    let noted = claims.note_unconfirmed(&unclaimed, spool.durable_id());
    noted.map_err(|error| data_dir.cannot_remember(error))?;
    // The writer first, then the shippers. Before the stop, they end only by a panic.
    let mut tasks = vec![threads.start("spool", writer.run(threads)).map_err(no_thread)?];
    for (name, shipper) in stores.ship(&spool) {
        tasks.push(threads.start_with_sockets(&name, shipper).map_err(no_thread)?);
    }
    tokio::spawn(look_after(Arc::clone(&spool)));

    let (stop, when_stopping) = watch::channel(false);
    let tails = Tails::new(&spool, when_stopping.clone());
    // A failure of this thread ends the tails, and nothing else.
    threads.start("tails", tails.follow()).map_err(no_thread)?;

    let (page, metrics) = (sockets.page(), Metrics::default());
    let sources = sockets.sources(&metrics, &spool, config.spool.when_full);
    let gate = ReadGate::new(threads, Duration::from_secs(config.query_seconds_max));
    tokio::spawn(gate.clone().relieve(stores.databases.clone()));
    let view = Arc::new(View {
        gate,
        databases: stores.databases.clone(),
        may_delete: config.delete,
        spool: Arc::clone(&spool),
        stores: stores.progress.clone(),
        sources: sources.iter().map(|source| Arc::clone(&source.counters)).collect(),
        metrics,
        query_rows_max: config.query_rows_max,
        started,
        tails,
        queries: View::queries(),
    });
    let listeners = Listeners::start(sockets, sources, &view, config, share.connections_max, &when_stopping);
    report_ready(config, page);

    tokio::select! {
        () = signals.wait_for_stop(&stores) => {}
        _ = select_all(&mut tasks) => {
            return Err(Failure::new("a task of the server has failed").hint(
                "the log above names it; no acknowledged record is lost, and the next start continues from the spool",
            ));
        }
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(config.shutdown_seconds_max);
    tokio::spawn(signals.exit_at_second());
    tracing::info!("stopping");
    let _ = stop.send(true);
    listeners.drained(timeout_at(deadline, drain_time())).await;
    spool.close();
    finish(tasks, deadline).await;
    tracing::info!("stopped");
    Ok(())
}

fn report_ready(config: &Config, page: Option<String>) {
    tracing::info!(
        data_dir = %config.data_dir.display(),
        version = env!("CARGO_PKG_VERSION"),
        page = page.map(tracing::field::display), // a link in most terminals
        "ready"
    );
}

/// Makes the spool check its files regularly, also while nothing is written to them.
async fn look_after(spool: Arc<Spool>) {
    loop {
        sleep(Duration::from_millis(SPOOL_LOOK_MILLISECONDS)).await;
        spool.look_soon();
    }
}

/// A long-lived task.
type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The drain timeout for what clients have already sent, counted in short sleeps so that time
/// during which the machine was suspended does not use it up.
async fn drain_time() {
    for _ in 0..DRAIN_SECONDS_MAX * 1000 / DRAIN_PIECE_MILLISECONDS {
        sleep(Duration::from_millis(DRAIN_PIECE_MILLISECONDS)).await;
    }
}

/// Waits until everything that was accepted is in the spool, and then in the stores, but no longer
/// than `deadline`.
async fn finish(tasks: Vec<oneshot::Receiver<()>>, deadline: tokio::time::Instant) {
    for task in tasks {
        if timeout_at(deadline, task).await.is_err() {
            tracing::warn!(
                "the disk or a store did not accept all records in time; the next start continues from the spool"
            );
        }
    }
}

/// The signals that the program handles. They are registered from the start to the end, so that no
/// signal is missed between two waits.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Signals, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::new("cannot receive signals").because(error));
        // By default SIGXFSZ ends the process when a file reaches the file size limit. Once a
        // handler has been registered, the write fails instead, which is handled like a full disk.
        drop(listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Returns at the first signal to stop. SIGHUP reopens log files.
    async fn wait_for_stop(&mut self, stores: &Stores) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => stores.reopen_files(),
            }
        }
    }

    /// A second signal exits immediately; acknowledged records are already durable in the spool.
    async fn exit_at_second(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        tracing::warn!("stopped at once by a second signal");
        log::finish();
        std::process::exit(1);
    }
}
