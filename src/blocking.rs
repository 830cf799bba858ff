//! Runs code that blocks: on dedicated threads or, with one thread, on that thread, in slices that
//! the callers keep short. Other modules depend on the number of threads only for the size of their
//! slices.
//!
//! All threads of this module are started with the program, so a later shortage of threads does not
//! stop it. (tokio's blocking pool starts threads on demand. If that fails, the call stays in its
//! queue until a later call succeeds in starting one, or it panics.)

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, oneshot};

use crate::limits::BLOCKING_THREADS_MAX;

/// The number of threads of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One thread for everything.
    One,
    /// This many network threads, plus dedicated threads for blocking work.
    Many(usize),
}

impl Threads {
    /// Returns the mode for a configured count. 0 means as many network threads as there are cores,
    /// but never the single-threaded mode.
    pub fn of(count: usize) -> Threads {
        match count {
            0 => Threads::Many(std::thread::available_parallelism().map_or(2, usize::from)),
            1 => Threads::One,
            count => Threads::Many(count),
        }
    }

    /// Starts the program's runtime and the threads of [`Threads::call`].
    pub fn runtime(self) -> io::Result<Runtime> {
        match self {
            Threads::One => Builder::new_current_thread().enable_all().build(),
            Threads::Many(count) => {
                workers()?;
                try_threads(count)?;
                let mut builder = Builder::new_multi_thread();
                builder.worker_threads(count).max_blocking_threads(1).thread_name("network").enable_all();
                build(builder)
            }
        }
    }

    /// Starts a long-lived task that blocks now and then. The receiver resolves when the task has
    /// ended, with an error if the task panicked.
    pub fn start(
        self,
        name: &str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<oneshot::Receiver<()>> {
        let (task, when_ended) = watched(task);
        match self {
            Threads::One => {
                tokio::spawn(task);
            }
            Threads::Many(_) => {
                let handle = Handle::current();
                std::thread::Builder::new().name(name.to_owned()).spawn(move || handle.block_on(task))?;
            }
        }
        Ok(when_ended)
    }

    /// Like [`Threads::start`], for a task that has its own sockets. On its own thread the task
    /// also polls these sockets itself. It need not wait until a network thread, which may have
    /// much to decode, detects that one of them is ready.
    pub fn start_with_sockets(
        self,
        name: &str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<oneshot::Receiver<()>> {
        if self == Threads::One {
            return self.start(name, task);
        }
        let (task, when_ended) = watched(task);
        // Built on its own thread: if that thread cannot be started, a runtime could not be dropped
        // here, in the context of another runtime.
        let (built, when_built) = sync_channel(1);
        let run = move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = built.send(Ok(())); // the receiver waits below
                runtime.block_on(task);
            }
            Err(error) => drop(built.send(Err(error))),
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        when_built.recv().map_err(io::Error::other)??;
        Ok(when_ended)
    }

    /// Makes the calling long-lived task sleep, more exactly than a timer would. Does nothing with
    /// one thread.
    pub fn pause(self, duration: Duration) {
        match self {
            Threads::One => {}
            Threads::Many(_) => std::thread::sleep(duration),
        }
    }

    /// Runs work that wakes many tasks on the network threads: waking each task from another thread
    /// would cost more.
    pub fn hand_over(self, work: impl FnOnce() + Send + 'static) {
        match self {
            Threads::One => work(),
            Threads::Many(_) => {
                Handle::current().spawn(async { work() });
            }
        }
    }

    /// Runs one short piece of blocking work.
    pub async fn call<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        match self {
            Threads::One => {
                let result = work();
                // The sources run between two slices.
                tokio::task::yield_now().await;
                Some(result)
            }
            Threads::Many(_) => call(work).await,
        }
    }
}

/// Runs blocking work on one of the worker threads, as soon as one is free. Returns `None` if it
/// panicked or there are no workers.
pub async fn call<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    workers().ok()?.run(work).await
}

/// Threads for blocking work.
struct Workers {
    /// One permit per thread, held by its work.
    free: Arc<Semaphore>,
    work: SyncSender<Work>,
}

type Work = Box<dyn FnOnce() + Send>;

static WORKERS: OnceLock<Workers> = OnceLock::new();

/// Returns the workers, which are started by the first call and never end.
fn workers() -> io::Result<&'static Workers> {
    match WORKERS.get() {
        Some(workers) => Ok(workers),
        None => {
            let started = Workers::start()?;
            Ok(WORKERS.get_or_init(|| started)) // if another thread was faster, these end
        }
    }
}

impl Workers {
    /// Starts all threads. If one cannot be started, the others end.
    fn start() -> io::Result<Workers> {
        // There is never more work than there are permits.
        let (work, queue) = sync_channel(BLOCKING_THREADS_MAX);
        let queue: Arc<Mutex<Receiver<Work>>> = Arc::new(Mutex::new(queue));
        for _ in 0..BLOCKING_THREADS_MAX {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name("query".to_owned()).spawn(move || do_work(&queue))?;
        }
        Ok(Workers { free: Arc::new(Semaphore::new(BLOCKING_THREADS_MAX)), work })
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        let (result, when_done) = oneshot::channel();
        let work = move || {
            let _permit = permit; // held until the work ends, even if the caller has gone
            let _ = result.send(work());
        };
        self.work.try_send(Box::new(work)).ok()?;
        when_done.await.ok()
    }
}

fn do_work(queue: &Mutex<Receiver<Work>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        // The hook has reported a panic; the caller gets `None`.
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

/// Returns an error if the system refuses this many threads at once.
fn try_threads(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    std::thread::scope(|scope| {
        let _closed = gate.lock();
        let wait = || drop(gate.lock());
        (0..count).try_for_each(|_| std::thread::Builder::new().spawn_scoped(scope, wait).map(drop))
    })
}

/// Builds a runtime. tokio panics here if the system refuses a thread, which may happen even after
/// the attempt of [`try_threads`] succeeded. While such a panic unwinds, tokio waits for threads
/// that never end. So the runtime is built on its own thread, which stays parked when it panics.
fn build(mut builder: Builder) -> io::Result<Runtime> {
    let (sender, outcome) = channel();
    let no_thread = || io::Error::other("the system refuses new threads");
    let failed = sender.clone();
    let usual_hook = take_hook();
    set_hook(Box::new(move |_| {
        let _ = failed.send(Err(no_thread()));
        loop {
            std::thread::park();
        }
    }));
    let start = move || drop(sender.send(builder.build()));
    let started = std::thread::Builder::new().name("start".to_owned()).spawn(start);
    let result = started.and_then(|_| outcome.recv().unwrap_or_else(|_| Err(no_thread())));
    if result.is_ok() {
        // Not after a panic: its hook has not returned, and `set_hook` would wait for it.
        set_hook(usual_hook);
    }
    result
}

fn watched(
    task: impl Future<Output = ()> + Send + 'static,
) -> (impl Future<Output = ()> + Send + 'static, oneshot::Receiver<()>) {
    let (ended, when_ended) = oneshot::channel();
    let task = async move {
        task.await;
        let _ = ended.send(()); // the receiver may have been dropped
    };
    (task, when_ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panicking_work_costs_no_thread() {
        for _ in 0..2 * BLOCKING_THREADS_MAX {
            assert_eq!(call(|| panic!("on purpose")).await, None::<()>);
        }
        assert_eq!(call(|| 1).await, Some(1));
    }

    #[tokio::test]
    async fn abandoned_work_keeps_its_permit_until_it_ends() {
        let workers = Workers::start().unwrap();
        let (keep, end) = sync_channel::<()>(0);
        let end = Arc::new(Mutex::new(end));
        for _ in 0..BLOCKING_THREADS_MAX {
            let end = Arc::clone(&end);
            let work = workers.run(move || drop(end.lock().map(|end| end.recv())));
            assert!(tokio::time::timeout(Duration::from_millis(1), work).await.is_err());
        }
        assert_eq!(workers.free.available_permits(), 0);
        drop(keep);
        assert_eq!(workers.run(|| 1).await, Some(1));
    }

    #[test]
    fn try_threads_accepts_small_count() {
        assert!(try_threads(10).is_ok());
    }
}
