//! Servers that read and discard: they look only at the length of requests, and at nothing of
//! frames.

use std::cell::RefCell;
use std::io;

use logboom::blocking::Threads;
use logboom::limits::{LISTEN_BACKLOG, READ_BUFFER_BYTES};
use memchr::memmem;
use tokio::net::{TcpSocket, TcpStream};

thread_local! {
    /// One buffer per thread, as in logboom.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER_BYTES]);
}

/// Serves until the process ends. If requests are read, the response to each reports this many
/// records as accepted.
pub fn serve(threads: usize, records: Option<u64>) {
    let answer: &'static str = records.map_or("", |records| {
        let body = format!("{{\"accepted\":{records}}}");
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).leak()
    });
    Threads::of(threads).runtime().unwrap().block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(LISTEN_BACKLOG as u32).unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(connection(stream, answer));
        }
    });
}

async fn connection(stream: TcpStream, answer: &'static str) -> io::Result<()> {
    let mut requests = Requests::default();
    loop {
        stream.readable().await?;
        let read = BUFFER.with_borrow_mut(|buffer| {
            let length = stream.try_read(buffer)?;
            let answers = if answer.is_empty() { 0 } else { requests.read(&buffer[..length]) };
            Ok((length, answers))
        });
        match read {
            Ok((0, _)) => return Ok(()),
            Ok((_, answers)) => {
                for _ in 0..answers {
                    stream.try_write(answer.as_bytes())?; // a few bytes always fit
                }
            }
            Err(error) if io::ErrorKind::WouldBlock == io::Error::kind(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Finds the ends of requests.
#[derive(Default)]
struct Requests {
    /// A head that is not complete yet.
    head: Vec<u8>,
    /// Number of bytes of a body that are not received yet.
    missing: usize,
}

impl Requests {
    /// Returns how many requests end in these bytes.
    fn read(&mut self, mut bytes: &[u8]) -> usize {
        let mut ended = 0;
        while !bytes.is_empty() {
            if self.missing == 0 {
                let before = self.head.len();
                self.head.extend_from_slice(&bytes[..bytes.len().min(1 << 10)]);
                let Some(end) = memmem::find(&self.head, b"\r\n\r\n") else { return ended };
                bytes = &bytes[end + 4 - before..];
                self.missing = content_length(&self.head[..end + 4]);
                self.head.clear();
            }
            let length = self.missing.min(bytes.len());
            bytes = &bytes[length..];
            self.missing -= length;
            ended += usize::from(self.missing == 0);
        }
        ended
    }
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length: ";
    let start = memmem::find(head, NAME).expect("the generator tells lengths") + NAME.len();
    let digits = head[start..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}
