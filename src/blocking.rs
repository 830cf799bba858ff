//! The one seam between code that blocks and the sockets: with several threads it gets threads of its own, with one
//! thread it runs there, in slices that its authors keep short. Nothing else in the program knows how many there are.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

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

    /// The runtime that the program runs on.
    pub fn runtime(self) -> io::Result<Runtime> {
        match self {
            Threads::One => Builder::new_current_thread().enable_all().build(),
            Threads::Many(count) => Builder::new_multi_thread()
                .worker_threads(count)
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .thread_name("network")
                .enable_all()
                .build(),
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
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (task, when_ended) = watched(task);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(task))?;
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
            Threads::Many(_) => tokio::task::spawn_blocking(work).await.ok(),
        }
    }
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
