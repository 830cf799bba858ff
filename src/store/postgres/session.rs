//! A connection to a server. The connection has no task of its own: the caller that waits for a
//! response transfers the bytes, so that a store needs neither a second task nor a second thread.
//! No wait is unbounded: a server that neither accepts nor sends a byte for too long is treated as
//! gone.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::config::SslMode as Negotiation;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Connection, Error, NoTls};

use super::endpoint::{Endpoint, Place, SslMode};
use super::fault::Fault;
use super::socket::{Activity, Socket};
use super::tls::Tls;
use crate::limits::{
    POSTGRES_IDLE_TRANSACTION_SECONDS_MAX, POSTGRES_LOCK_SECONDS_MAX, POSTGRES_SILENCE_SECONDS_MAX,
};

/// An established connection.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) line: Line,
}

/// The boxed `Connection` of tokio-postgres, which transfers bytes while it is polled.
type Moving = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The half of a connection that transfers the bytes.
pub(super) struct Line {
    /// Dropped once the connection has ended: pending requests are notified only by the drop.
    connection: Option<Moving>,
    activity: Activity,
    /// The error that the connection ended with.
    last_word: Option<Error>,
}

impl Session {
    /// Connects to the first server of the endpoint that accepts the connection and is writable.
    /// The error reports the fault of each server.
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Session, Fault> {
        let mut faults = Vec::new();
        for place in &endpoint.places {
            match Session::open_at(endpoint, place).await {
                Ok(session) => return Ok(session),
                Err(fault) => faults.push((place.clone(), fault)),
            }
        }
        match faults.pop() {
            Some((_, fault)) if faults.is_empty() => Err(fault),
            last => Err(Fault::Nowhere(faults.into_iter().chain(last).collect())),
        }
    }

    async fn open_at(endpoint: &Endpoint, place: &Place) -> Result<Session, Fault> {
        let tries: &[Negotiation] = match (place, endpoint.ssl_mode) {
            (Place::Socket(_), _) | (_, SslMode::Disable) => &[Negotiation::Disable],
            (_, SslMode::Allow) => &[Negotiation::Disable, Negotiation::Require],
            (_, SslMode::Prefer) => &[Negotiation::Prefer, Negotiation::Disable],
            _ => &[Negotiation::Require],
        };
        let mut first_fault = None;
        for negotiation in tries {
            match Session::open_with(endpoint, place, *negotiation).await {
                Ok(session) => return session.prepare().await,
                // Only a fault about the encryption itself leads to the next attempt: without TLS
                // where TLS is refused, or with TLS where a connection without it is refused.
                Err(fault) if fault.is_about_encryption() => first_fault = first_fault.or(Some(fault)),
                Err(fault) => return Err(first_fault.unwrap_or(fault)),
            }
        }
        Err(first_fault.unwrap_or(Fault::Unreachable("no way to connect is allowed".into())))
    }

    async fn open_with(
        endpoint: &Endpoint,
        place: &Place,
        negotiation: Negotiation,
    ) -> Result<Session, Fault> {
        let mut config = Config::new();
        config
            .user(&endpoint.user)
            .dbname(&endpoint.database)
            .application_name(&endpoint.application_name)
            .channel_binding(endpoint.channel_binding)
            .ssl_mode(negotiation);
        if let Some(options) = &endpoint.options {
            config.options(options);
        }
        if let Some(password) = endpoint.password(place) {
            config.password(&password.0);
        }
        let seconds_max = endpoint.connect_timeout;
        let socket = Socket::connect(place, seconds_max).await;
        let socket = socket.map_err(|error| Fault::unreachable(place, &error))?;
        let activity = socket.activity();
        let greeting = async {
            match (place, negotiation) {
                (Place::Host { name, .. }, Negotiation::Prefer | Negotiation::Require) => {
                    let tls = Tls::new(endpoint, name).map_err(Fault::Certificates)?;
                    let (client, connection) = config.connect_raw(socket, tls).await?;
                    Ok(Session::new(client, connection, activity))
                }
                _ => {
                    let (client, connection) = config.connect_raw(socket, NoTls).await?;
                    Ok(Session::new(client, connection, activity))
                }
            }
        };
        timeout(seconds_max, greeting).await.unwrap_or(Err(Fault::Silent(seconds_max)))
    }

    fn new<T>(client: Client, connection: Connection<Socket, T>, activity: Activity) -> Session
    where
        Connection<Socket, T>: Future<Output = Result<(), Error>> + Send + 'static,
    {
        Session { client, line: Line { connection: Some(Box::pin(connection)), activity, last_word: None } }
    }

    /// Applies the settings that every statement relies on, whatever the defaults of role and
    /// database are.
    async fn prepare(mut self) -> Result<Session, Fault> {
        // A connection that vanished without being closed must not keep its locks for hours.
        // Keepalives reveal this to a server that waits for data, and
        // `idle_in_transaction_session_timeout` to a server that waits for the end of a
        // transaction.
        let settings = format!(
            "SET client_min_messages = error; SET standard_conforming_strings = on; SET statement_timeout = 0; \
             SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_session_timeout', 'transaction_timeout'); \
             SET lock_timeout = '{POSTGRES_LOCK_SECONDS_MAX}s'; \
             SET tcp_keepalives_idle = 60; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; \
             SET idle_in_transaction_session_timeout = '{POSTGRES_IDLE_TRANSACTION_SECONDS_MAX}s'; \
             SET default_transaction_isolation = 'read committed'"
        );
        let Session { client, line } = &mut self;
        let is_standby = line
            .drive(async {
                client.batch_execute(&settings).await?;
                client.query_one("SELECT pg_is_in_recovery()", &[]).await?.try_get(0)
            })
            .await?;
        if is_standby { Err(Fault::Standby) } else { Ok(self) }
    }
}

impl Line {
    pub(super) fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// Drives the connection until `work`, which uses the client, is complete, and returns its
    /// result.
    pub(super) async fn drive<T>(
        &mut self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Fault> {
        self.drive_within(POSTGRES_SILENCE_SECONDS_MAX, work).await
    }

    /// Like [`Line::drive`], for work during which the server may be silent for `seconds_max`.
    pub(super) async fn drive_within<T>(
        &mut self,
        seconds_max: u64,
        work: impl Future<Output = Result<T, Error>>,
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
            return result.map_err(|error| self.reason(error));
        }
    }

    async fn step<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = Result<T, Error>>>,
    ) -> Result<T, Error> {
        std::future::poll_fn(|context| {
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            if let Some(connection) = &mut self.connection
                && let Poll::Ready(result) = connection.as_mut().poll(context)
            {
                self.connection = None;
                self.last_word = result.err();
                context.waker().wake_by_ref(); // `work` is polled again and sees the end
            }
            Poll::Pending
        })
        .await
    }

    /// Returns the fault for an error. The last message of a server (that it is shutting down)
    /// arrives as the end of the connection and not as the response to a statement, so it replaces
    /// the error that the connection is closed.
    fn reason(&mut self, error: Error) -> Fault {
        match self.last_word.take() {
            Some(last_word) if error.is_closed() => last_word.into(),
            _ => error.into(),
        }
    }
}

impl Fault {
    /// Returns true if the other choice of encryption may succeed, because the server or its rules
    /// require it.
    fn is_about_encryption(&self) -> bool {
        match self {
            Fault::Database(error) => match error.code() {
                // no matching line in pg_hba.conf
                Some(code) => *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                None => error.to_string().contains("TLS"),
            },
            _ => false,
        }
    }
}
