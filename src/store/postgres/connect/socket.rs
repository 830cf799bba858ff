//! The socket to a server, with the time of the last transfer and the number of bytes that may
//! still be received.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{Instant, timeout};
use tokio_postgres::tls::ChannelBinding;
use tokio_rustls::client::TlsStream;

use super::endpoint::ServerAddress;
use crate::limits::{KEEPALIVE_SECONDS, POSTGRES_ROW_BYTES_MAX, POSTGRES_SILENCE_SECONDS_MAX};

/// A connected socket, TCP or Unix, or TLS over such a socket.
pub(super) struct Socket {
    stream: Box<dyn Transport>,
    activity: Activity,
    /// The end point of TLS, to which passwords can be bound.
    end_point: Option<Vec<u8>>,
}

trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// The time of the last transfer in either direction, and the number of bytes that may still be
/// received.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    since: Instant,
    milliseconds: Arc<AtomicU64>,
    allowance: Arc<AtomicU64>,
}

impl Activity {
    fn new() -> Activity {
        let allowance = Arc::new(AtomicU64::new(u64::MAX));
        Activity { since: Instant::now(), milliseconds: Arc::default(), allowance }
    }

    /// Records the current time as the time of a transfer.
    pub(super) fn touch(&self) {
        self.milliseconds.store(self.since.elapsed().as_millis() as u64, Relaxed);
    }

    /// Limits the bytes that may be received to the maximum of a row, because what a server sends
    /// is held in memory until the row is complete. An exhausted limit stays exhausted: the
    /// connection has failed, although earlier rows may still be read.
    pub(crate) fn allow_row(&self) {
        if !self.is_exhausted() {
            self.allowance.store(POSTGRES_ROW_BYTES_MAX, Relaxed);
        }
    }

    /// Returns true if more bytes were received than allowed.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.allowance.load(Relaxed) == 0
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        let left = self.allowance.load(Relaxed);
        if left == u64::MAX {
            return Ok(()); // no limit is set
        }
        let left = left.saturating_sub(bytes as u64);
        self.allowance.store(left, Relaxed);
        if left == 0 { Err(io::Error::other("a row is too long")) } else { Ok(()) }
    }

    pub(super) fn last(&self) -> Instant {
        self.since + Duration::from_millis(self.milliseconds.load(Relaxed))
    }
}

impl Socket {
    /// Connects to the first address that responds. As in libpq, each address has the whole time
    /// limit.
    pub(super) async fn connect(server: &ServerAddress, time_max: Duration) -> io::Result<Socket> {
        let stream: Box<dyn Transport> = match server {
            ServerAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
            ServerAddress::Tcp { host, address, port } => {
                let addresses = match address {
                    Some(address) => vec![SocketAddr::new(*address, *port)],
                    None => timeout(time_max, look_up(host, *port)).await??,
                };
                Box::new(connect_to_any(&addresses, time_max).await?)
            }
        };
        Ok(Socket { stream, activity: Activity::new(), end_point: None })
    }

    /// Wraps a stream with TLS over a socket. The activity of the socket below is the one that
    /// counts.
    pub(super) fn encrypted(stream: TlsStream<Socket>, end_point: Option<Vec<u8>>) -> Socket {
        Socket { stream: Box::new(stream), activity: Activity::new(), end_point }
    }

    pub(super) fn activity(&self) -> Activity {
        self.activity.clone()
    }

    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(result, Poll::Ready(Ok(_))) {
            self.activity.touch();
        }
        result
    }
}

/// Resolves a name to addresses by the system's resolver, which blocks until it responds. A store
/// has its own thread for that. A query, which runs on a network thread, leaves it to another
/// thread. In a process with a single thread, everything waits; an address, a name in `/etc/hosts`
/// or a Unix socket is better then. The documentation mentions this.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => (host, port).to_socket_addrs()?.collect(),
        _ => {
            let host = host.to_owned();
            let look_up = move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
            let no_thread = || Err(io::Error::other("no thread is available to look up the host name"));
            crate::blocking::call(look_up).await.unwrap_or_else(no_thread)?
        }
    };
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address")));
    }
    Ok(addresses)
}

async fn connect_to_any(addresses: &[SocketAddr], time_max: Duration) -> io::Result<TcpStream> {
    let mut last_error = None;
    for address in addresses {
        match timeout(time_max, connect_to(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last_error = Some(error),
            Err(elapsed) => last_error = Some(elapsed.into()),
        }
    }
    Err(last_error.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(KEEPALIVE_SECONDS)))?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(POSTGRES_SILENCE_SECONDS_MAX)))?;
    Ok(stream)
}

impl tokio_postgres::tls::TlsStream for Socket {
    fn channel_binding(&self) -> ChannelBinding {
        self.end_point.clone().map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.activity.spend(buffer.filled().len() - filled)?;
        self.note(result)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The first address of a host may be unreachable (IPv6 where no network has it).
    #[test]
    fn connect_skips_address_that_does_not_respond() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (silent, good) = (crowded(), TcpListener::bind("127.0.0.1:0").unwrap());
            let addresses = [silent.0.local_addr().unwrap().as_socket().unwrap(), good.local_addr().unwrap()];
            let stream = connect_to_any(&addresses, Duration::from_millis(200)).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
            let error = connect_to_any(&addresses[..1], Duration::from_millis(200)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    /// Returns a listener whose queue is full: the kernel drops further connections.
    fn crowded() -> (socket2::Socket, Vec<std::net::TcpStream>) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200));
        (socket, std::iter::from_fn(|| connect().ok()).collect())
    }
}
