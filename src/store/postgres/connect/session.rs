//! Establishes connections: selects the server, negotiates TLS, logs in, and applies settings.

use tokio::time::timeout;
use tokio_postgres::config::SslMode as Negotiation;
use tokio_postgres::types::{FromSqlOwned, ToSql};
use tokio_postgres::{Client, Config, NoTls};

use super::driver::ConnectionDriver;
use super::endpoint::{Endpoint, ServerAddress};
use super::error::Fault;
use super::socket::Socket;
use super::tls::TlsConnector;
use crate::limits::{POSTGRES_IDLE_TRANSACTION_SECONDS_MAX, POSTGRES_LOCK_SECONDS_MAX};

/// An established connection.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) driver: ConnectionDriver,
}

impl Session {
    /// Connects to the first server of the endpoint that accepts the connection and is writable.
    /// The error reports the fault of each server.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Session, Fault> {
        let mut faults = Vec::new();
        for server in &endpoint.servers {
            match Session::open_at(endpoint, server).await {
                Ok(session) => return Ok(session),
                Err(fault) => faults.push((server.clone(), fault)),
            }
        }
        match faults.pop() {
            Some((_, fault)) if faults.is_empty() => Err(fault),
            last => Err(Fault::Nowhere(faults.into_iter().chain(last).collect())),
        }
    }

    /// Returns the value of a statement that returns one row with one column.
    pub(crate) async fn value<T: FromSqlOwned>(
        &mut self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<T, Fault> {
        let Session { client, driver } = self;
        driver.drive(async { client.query_one(sql, parameters).await?.try_get(0) }).await
    }

    async fn open_at(endpoint: &Endpoint, server: &ServerAddress) -> Result<Session, Fault> {
        let negotiations: &[_] = match server {
            ServerAddress::Unix(_) => &[Negotiation::Disable],
            ServerAddress::Tcp { .. } => endpoint.ssl_mode.negotiations(),
        };
        let mut first_fault = None;
        for negotiation in negotiations {
            match Session::open_with(endpoint, server, *negotiation).await {
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
        server: &ServerAddress,
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
        if let Some(password) = endpoint.password(server) {
            config.password(&password.0);
        }
        let time_max = endpoint.connect_timeout;
        let socket = Socket::connect(server, time_max).await;
        let socket = socket.map_err(|error| Fault::unreachable(server, &error))?;
        let activity = socket.activity();
        let login = async {
            match (server, negotiation) {
                (ServerAddress::Tcp { host, .. }, Negotiation::Prefer | Negotiation::Require) => {
                    let tls = TlsConnector::new(endpoint, host).map_err(Fault::Certificates)?;
                    let (client, connection) = config.connect_raw(socket, tls).await?;
                    Ok(Session { client, driver: ConnectionDriver::new(connection, activity) })
                }
                _ => {
                    let (client, connection) = config.connect_raw(socket, NoTls).await?;
                    Ok(Session { client, driver: ConnectionDriver::new(connection, activity) })
                }
            }
        };
        timeout(time_max, login).await.unwrap_or(Err(Fault::Silent(time_max)))
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
        let Session { client, driver } = &mut self;
        let is_standby = driver
            .drive(async {
                client.batch_execute(&settings).await?;
                client.query_one("SELECT pg_is_in_recovery()", &[]).await?.try_get(0)
            })
            .await?;
        if is_standby { Err(Fault::Standby) } else { Ok(self) }
    }
}
