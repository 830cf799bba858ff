//! A stream socket: TCP or Unix.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use crate::limits::READ_BUFFER_BYTES;

/// A stream socket, TCP or Unix.
#[derive(Debug)]
pub enum StreamSocket {
    /// A TCP socket.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl StreamSocket {
    /// Returns once the socket has bytes to read or has reached its end.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            StreamSocket::Tcp(stream) => stream.readable().await,
            StreamSocket::Unix(stream) => stream.readable().await,
        }
    }

    /// Copies the bytes that can be read now, without consuming them.
    pub fn try_peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut peek = |socket: BorrowedFd<'_>| Ok(recv(socket, &mut *buffer, RecvFlags::PEEK)?.0);
        match self {
            StreamSocket::Tcp(stream) => stream.try_io(Interest::READABLE, || peek(stream.as_fd())),
            StreamSocket::Unix(stream) => stream.try_io(Interest::READABLE, || peek(stream.as_fd())),
        }
    }

    /// Reads the bytes that can be read now, as far as the buffer has room.
    pub fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            StreamSocket::Tcp(stream) => stream.try_read_buf(buffer),
            StreamSocket::Unix(stream) => stream.try_read_buf(buffer),
        }
    }

    /// Reads the bytes that the system has, even if the runtime has not been notified of them yet.
    pub fn read_now(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let start = buffer.len();
        buffer.resize(start + READ_BUFFER_BYTES, 0);
        let socket = match self {
            StreamSocket::Tcp(stream) => SockRef::from(stream),
            StreamSocket::Unix(stream) => SockRef::from(stream),
        };
        let result = (&*socket).read(&mut buffer[start..]);
        buffer.truncate(start + result.as_ref().map_or(0, |read| *read));
        result
    }

    /// Makes the close of the connection a reset, which drops the bytes in its buffers.
    pub fn reset_at_close(&self) {
        if let StreamSocket::Tcp(stream) = self {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}
