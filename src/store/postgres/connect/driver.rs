//! Transfers the bytes of a connection. The connection has no task of its own: the caller that
//! waits for a response transfers the bytes, so that a store needs neither a second task nor a
//! second thread. No wait is unbounded: a server that neither accepts nor sends a byte for too long
//! is treated as gone.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_postgres::Error;

use super::error::Fault;
use super::socket::Activity;
use crate::limits::POSTGRES_SILENCE_SECONDS_MAX;

/// The boxed `Connection` of tokio-postgres, which transfers bytes while it is polled.
type Transfer = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The half of a connection that transfers the bytes.
pub(crate) struct ConnectionDriver {
    /// Dropped once the connection has ended: pending requests are notified only by the drop.
    connection: Option<Transfer>,
    activity: Activity,
    /// The error that the connection ended with.
    last_error: Option<Error>,
}

impl ConnectionDriver {
    pub(super) fn new(
        connection: impl Future<Output = Result<(), Error>> + Send + 'static,
        activity: Activity,
    ) -> ConnectionDriver {
        ConnectionDriver { connection: Some(Box::pin(connection)), activity, last_error: None }
    }

    pub(crate) fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// Drives the connection until `work`, which uses the client, is complete, and returns its
    /// result.
    pub(crate) async fn drive<T, E: Into<Fault>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Fault> {
        self.drive_within(POSTGRES_SILENCE_SECONDS_MAX, work).await
    }

    /// Like [`ConnectionDriver::drive`], for work during which the server may be silent for
    /// `seconds_max`.
    pub(crate) async fn drive_within<T, E: Into<Fault>>(
        &mut self,
        seconds_max: u64,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Fault> {
        let silence_max = Duration::from_secs(seconds_max);
        let mut work = pin!(work);
        self.activity.touch();
        loop {
            let deadline = self.activity.last() + silence_max;
            let result = tokio::select! {
                biased;
                result = self.step(work.as_mut()) => result,
                () = sleep_until(deadline) => {
                    if self.activity.last() + silence_max <= Instant::now() {
                        return Err(Fault::Silent(silence_max));
                    }
                    continue;
                }
            };
            return result.map_err(|error| self.reason(error.into()));
        }
    }

    async fn step<F: Future>(&mut self, mut work: Pin<&mut F>) -> F::Output {
        std::future::poll_fn(|context| {
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            if let Some(connection) = &mut self.connection
                && let Poll::Ready(result) = connection.as_mut().poll(context)
            {
                self.connection = None;
                self.last_error = result.err();
                context.waker().wake_by_ref(); // `work` is polled again and sees the end
            }
            Poll::Pending
        })
        .await
    }

    /// Returns the fault of some work. The last message of a server (that it is shutting down)
    /// arrives as the end of the connection and not as the response to a statement, so it replaces
    /// the error that the connection is closed.
    fn reason(&mut self, fault: Fault) -> Fault {
        match (self.last_error.take(), fault) {
            (Some(last_error), Fault::Database(error)) if error.is_closed() => last_error.into(),
            (_, fault) => fault,
        }
    }
}
