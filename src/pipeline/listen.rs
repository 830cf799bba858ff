//! Sockets: binding them, accepting connections, and letting connections finish at the end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::routes::Routes;
use crate::config::{Config, ListenAddress, Listener, Protocol, WhenFull};
use crate::failure::Failure;
use crate::ingest::http;
use crate::ingest::python::datagram::{self, Datagrams};
use crate::ingest::python::stream::{self, StreamBounds};
use crate::ingest::source::Source;
use crate::limits::{ACCEPT_RETRY_MILLISECONDS, DATAGRAM_SOCKET_BYTES, KEEPALIVE_SECONDS, LISTEN_BACKLOG};
use crate::log;
use crate::metrics::Metrics;
use crate::net::StreamSocket;
use crate::net::http::{ConnectionLimits, serve as serve_requests};
use crate::spool::Spool;
use crate::view::View;

/// The bound sockets.
pub(super) struct Sockets(Vec<(Listener, Bound)>);

enum Bound {
    Stream(Acceptor),
    Datagrams(Datagrams),
}

enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Sockets {
    /// Binds all listeners or fails: a server that listens on only some of its addresses is hard to
    /// diagnose.
    pub(super) fn bind(listeners: &[Listener]) -> Result<Sockets, Failure> {
        let bound = listeners.iter().map(|listener| {
            let bound = bind(listener).map_err(|error| cannot_listen(listener, error))?;
            let address = bound.address().unwrap_or_else(|| listener.address.to_string());
            tracing::info!(protocol = listener.protocol.name(), address, "listening");
            Ok((Listener { address: with_port(&listener.address, address), ..listener.clone() }, bound))
        });
        Ok(Sockets(bound.collect::<Result<_, Failure>>()?))
    }

    /// Returns the address of the web page at the first HTTP listener that a browser can reach.
    pub(super) fn page(&self) -> Option<String> {
        self.0.iter().find_map(|(listener, _)| match (listener.protocol, &listener.address) {
            (Protocol::Http, ListenAddress::Inet(address)) => address.parse().ok().map(page_at),
            _ => None,
        })
    }

    /// Returns a source for each listener, in the same order.
    pub(super) fn sources(
        &self,
        metrics: &Metrics,
        spool: &Arc<Spool>,
        when_full: WhenFull,
    ) -> Vec<Arc<Source>> {
        let source = |(listener, _): &(Listener, Bound)| {
            let name = format!("{} {}", listener.protocol.name(), listener.address);
            Arc::new(Source::new(listener, Arc::new(metrics.source(&name)), Arc::clone(spool), when_full))
        };
        self.0.iter().map(source).collect()
    }
}

fn with_port(configured: &ListenAddress, actual: String) -> ListenAddress {
    match configured {
        ListenAddress::Inet(_) => ListenAddress::Inet(actual),
        ListenAddress::Unix(path) => ListenAddress::Unix(path.clone()),
    }
}

/// Returns the address of the web page. A listener on all addresses is reached on loopback.
fn page_at(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}/")
}

fn cannot_listen(listener: &Listener, error: io::Error) -> Failure {
    let address = &listener.address;
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "is another server running? --listen chooses another address",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege; --listen chooses another address"
        }
        _ => "--listen takes PROTOCOL=HOST:PORT or PROTOCOL=unix:PATH",
    };
    Failure::new(format!("cannot listen on {}={address}", listener.protocol.name())).because(error).hint(hint)
}

fn bind(listener: &Listener) -> io::Result<Bound> {
    if let ListenAddress::Unix(path) = &listener.address {
        remove_stale(path)?;
    }
    match (&listener.address, listener.protocol.is_datagram()) {
        (ListenAddress::Inet(address), false) => Ok(Bound::Stream(Acceptor::Tcp(bind_tcp(address)?))),
        (ListenAddress::Inet(address), true) => Ok(Bound::Datagrams(Datagrams::Udp(bind_udp(address)?))),
        (ListenAddress::Unix(path), false) => Ok(Bound::Stream(Acceptor::Unix(UnixListener::bind(path)?))),
        (ListenAddress::Unix(path), true) => Ok(Bound::Datagrams(Datagrams::Unix(UnixDatagram::bind(path)?))),
    }
}

/// Returns a socket for an address, which is not bound yet, and the resolved address.
fn socket_for(address: &str, kind: Type) -> io::Result<(Socket, SocketAddr)> {
    let no_address = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    let address = address.to_socket_addrs()?.next().ok_or_else(no_address)?;
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

fn bind_tcp(address: &str) -> io::Result<TcpListener> {
    let (socket, address) = socket_for(address, Type::STREAM)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn bind_udp(address: &str) -> io::Result<UdpSocket> {
    let (socket, address) = socket_for(address, Type::DGRAM)?;
    let _ = socket.set_recv_buffer_size(DATAGRAM_SOCKET_BYTES); // as much as the system grants
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Removes a socket that no process listens on. A killed process leaves such a socket behind.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    let stream = std::os::unix::net::UnixStream::connect(path);
    let datagrams = || std::os::unix::net::UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    if stream.is_ok() || datagrams().is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    std::fs::remove_file(path)
}

impl Bound {
    fn address(&self) -> Option<String> {
        let address = match self {
            Bound::Stream(Acceptor::Tcp(listener)) => listener.local_addr(),
            Bound::Datagrams(Datagrams::Udp(socket)) => socket.local_addr(),
            _ => return None,
        };
        address.ok().map(|address| address.to_string())
    }
}

/// The tasks that accept and serve connections.
pub(super) struct Listeners {
    tasks: JoinSet<()>,
    unix_paths: Vec<std::path::PathBuf>,
}

/// What serving a connection of any listener needs.
struct Shared {
    bounds: Arc<StreamBounds>,
    http_bounds: Arc<http::UploadBounds>,
    limits: Arc<ConnectionLimits>,
    view: Arc<View>,
    /// One permit for each connection that may be open.
    connections: Arc<Semaphore>,
    /// Becomes true at the stop.
    stop: watch::Receiver<bool>,
}

impl Listeners {
    /// Starts accepting connections.
    pub(super) fn start(
        sockets: Sockets,
        sources: Vec<Arc<Source>>,
        view: &Arc<View>,
        config: &Config,
        connections_max: usize,
        stop: &watch::Receiver<bool>,
    ) -> Listeners {
        let duration_max = Duration::from_secs(config.frame_seconds_max);
        let shared = Arc::new(Shared {
            bounds: Arc::new(StreamBounds::new(config.frame_bytes_max, duration_max)),
            http_bounds: Arc::new(http::UploadBounds::new(
                config.body_compressed_bytes_max,
                config.body_bytes_max,
                duration_max,
            )),
            limits: Arc::default(),
            view: Arc::clone(view),
            connections: Arc::new(Semaphore::new(connections_max)),
            stop: stop.clone(),
        });
        let mut listeners = Listeners { tasks: JoinSet::new(), unix_paths: Vec::new() };
        for ((listener, bound), source) in sockets.0.into_iter().zip(sources) {
            if let ListenAddress::Unix(path) = &listener.address {
                listeners.unix_paths.push(path.clone());
            }
            match bound {
                Bound::Datagrams(socket) => {
                    let bounds = Arc::clone(&shared.bounds);
                    listeners.tasks.spawn(datagram::serve(socket, source, bounds, stop.clone()));
                }
                Bound::Stream(acceptor) => {
                    let shared = Arc::clone(&shared);
                    listeners.tasks.spawn(accept(acceptor, listener.protocol, source, shared));
                }
            }
        }
        listeners
    }

    /// Returns once every connection has handed over what it had received, or `time` is over.
    pub(super) async fn drained<T>(mut self, time: impl Future<Output = T>) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        tokio::select! {
            biased;
            () = all => {}
            _ = time => tracing::warn!("some connections were still sending when the drain timeout ended"),
        }
        for path in &self.unix_paths {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Accepts until the stop, and then waits for the connections to end.
async fn accept(acceptor: Acceptor, protocol: Protocol, source: Arc<Source>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let spawn = |connections: &mut JoinSet<()>, (socket, peer, permit)| {
        let counted = Counted::new(&source, permit);
        let task = serve(socket, peer, protocol, Arc::clone(&source), Arc::clone(&shared));
        connections.spawn(async move {
            task.await;
            drop(counted);
        });
    };
    let mut when_stopping = shared.stop.clone();
    while !*shared.stop.borrow() {
        let accepted = tokio::select! {
            accepted = acceptor.accept(&shared.connections) => accepted,
            _ = when_stopping.changed() => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok(accepted) => spawn(&mut connections, accepted),
            Err(error) => {
                // Usually too many open files. The error disappears when connections end.
                source.counters.rejected.add("not_accepted", 1);
                if log::admits(log::LimitedMessage::NotAccepted) {
                    tracing::warn!(%error, source = source.counters.source, "a connection could not be accepted");
                }
                tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MILLISECONDS)).await;
            }
        }
    }
    // For their clients, connections that wait to be accepted are open: records may have been sent
    // on them already.
    while let Some(accepted) = acceptor.accept_waiting(&shared.connections).await {
        spawn(&mut connections, accepted);
    }
    drop(acceptor);
    while connections.join_next().await.is_some() {}
}

/// The other end: its address, or its process on a Unix socket.
struct Peer {
    address: Option<IpAddr>,
    process_id: u32,
}

type Permit = tokio::sync::OwnedSemaphorePermit;

impl Acceptor {
    /// Returns a connection that is waiting now, if there is one.
    async fn accept_waiting(&self, permits: &Arc<Semaphore>) -> Option<(StreamSocket, Peer, Permit)> {
        // Yields for a fresh budget of the task, so that only the lack of connections ends the
        // accept.
        tokio::task::yield_now().await;
        timeout_at(tokio::time::Instant::now(), self.accept(permits)).await.ok()?.ok()
    }

    async fn accept(&self, permits: &Arc<Semaphore>) -> io::Result<(StreamSocket, Peer, Permit)> {
        let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
        match self {
            Acceptor::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                let idle = Duration::from_secs(KEEPALIVE_SECONDS);
                let _ = SockRef::from(&stream)
                    .set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(idle / 4));
                Ok((StreamSocket::Tcp(stream), Peer { address: Some(address.ip()), process_id: 0 }, permit))
            }
            Acceptor::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let process_id = stream.peer_cred().ok().and_then(|credentials| credentials.pid());
                let process_id = process_id.and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
                Ok((StreamSocket::Unix(stream), Peer { address: None, process_id }, permit))
            }
        }
    }
}

async fn serve(
    socket: StreamSocket,
    peer: Peer,
    protocol: Protocol,
    source: Arc<Source>,
    shared: Arc<Shared>,
) {
    let (host, stop) = (source.host_of(peer.address), shared.stop.clone());
    // Separate futures, so that a connection has memory for its own protocol only.
    match protocol {
        Protocol::Http => {
            let is_loopback = peer.address.map(|address| address.to_canonical().is_loopback());
            let routes = Arc::new(Routes {
                source,
                bounds: Arc::clone(&shared.http_bounds),
                view: Arc::clone(&shared.view),
                host,
                is_local: is_loopback.unwrap_or(false),
                is_on_machine: is_loopback.unwrap_or(true),
            });
            Box::pin(serve_requests(socket, routes, Arc::clone(&shared.limits), stop)).await;
        }
        Protocol::Python | Protocol::PythonUdp => {
            let bounds = Arc::clone(&shared.bounds);
            Box::pin(stream::serve(socket, source, bounds, host, peer.process_id, stop)).await;
        }
    }
}

/// Counts a connection while it is open.
struct Counted {
    source: Arc<Source>,
    _permit: Permit,
}

impl Counted {
    fn new(source: &Arc<Source>, permit: Permit) -> Counted {
        source.counters.connections.inc();
        source.counters.connections_total.inc();
        Counted { source: Arc::clone(source), _permit: permit }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.source.counters.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_of_all_addresses_is_on_loopback() {
        for (address, page) in [
            ("127.0.0.1:9022", "http://127.0.0.1:9022/"),
            ("0.0.0.0:80", "http://127.0.0.1:80/"),
            ("[::]:9022", "http://[::1]:9022/"),
            ("10.0.0.7:9022", "http://10.0.0.7:9022/"),
        ] {
            assert_eq!(page_at(address.parse().unwrap()), page);
        }
    }
}
