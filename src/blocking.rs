//! The one seam between code that blocks and the sockets: with several threads it gets threads of its own, with one
//! thread it runs there, in slices that its authors keep short. Nothing else in the program knows how many there are.
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

/// How many threads the program has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One for everything.
    One,
    /// So many for the network, and more for what blocks.
    Many(usize),
}

impl Threads {
    /// As configured; 0 is as many as there are cores, but never the single-threaded mode.
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

    /// Starts a long-lived task that blocks now and then. The receiver tells when it has ended (an error: it panicked).
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

    /// The same for a task that has sockets of its own. On its own thread it also looks after them itself: it need not wait
    /// until a network thread, which may have much to decode, finds that one of them is ready.
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
        // here, in the context of another one.
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

    /// Has the long-lived task that asks for it sleep, more exactly than a timer would; with one thread it does not.
    pub fn pause(self, duration: Duration) {
        match self {
            Threads::One => {}
            Threads::Many(_) => std::thread::sleep(duration),
        }
    }

    /// Runs on the network threads what wakes many tasks there: from another thread each of them would cost more.
    pub fn hand_over(self, work: impl FnOnce() + Send + 'static) {
        match self {
            Threads::One => work(),
            Threads::Many(_) => {
                Handle::current().spawn(async { work() });
            }
        }
    }

    /// Runs one short piece of work that blocks.
    pub async fn call<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        match self {
            Threads::One => {
                let result = work();
                // The sources get their turn between two slices.
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

/// Builds a runtime, which panics where the system refuses a thread: that may have changed since the attempt before. While such a
/// panic unwinds, tokio waits for threads that never end. So the runtime is built on a thread of its own, which stays where it is
/// when it panics.
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
        set_hook(usual_hook); // not after a panic, whose hook has not returned: that would wait for the hook
    }
    result
}

fn watched(
    task: impl Future<Output = ()> + Send + 'static,
) -> (impl Future<Output = ()> + Send + 'static, oneshot::Receiver<()>) {
    let (ended, when_ended) = oneshot::channel();
    let task = async move {
        task.await;
        let _ = ended.send(()); // nobody may be waiting any more
    };
    (task, when_ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_costs_no_thread() {
        for _ in 0..2 * BLOCKING_THREADS_MAX {
            assert_eq!(call(|| panic!("on purpose")).await, None::<()>);
        }
        assert_eq!(call(|| 1).await, Some(1));
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_keeps_its_turn_until_it_ends() {
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
    fn threads_that_are_there_are_told_from_those_that_are_not() {
        assert!(try_threads(10).is_ok());
    }
}
