//! A bare HTTP server: hyper with the settings of logboom, on the threads of logboom, which
//! responds without doing anything.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use logboom::blocking::Threads;
use logboom::limits::{HTTP_BUFFER_BYTES_MAX, HTTP_HEAD_SECONDS_MAX, LISTEN_BACKLOG};
use tokio::net::{TcpSocket, TcpStream};

/// Serves until the process ends.
pub fn serve(threads: usize) {
    Threads::of(threads).runtime().unwrap().block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(LISTEN_BACKLOG as u32).unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(connection(stream));
        }
    });
}

async fn connection(stream: TcpStream) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HTTP_HEAD_SECONDS_MAX))
        .max_buf_size(HTTP_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    let _ = connection.await; // clients may disconnect in any way
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"{\"accepted\":1,\"rejected\":0,\"errors\":[]}"))))
}
