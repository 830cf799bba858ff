//! A server for tests that sends canned answers and records the requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

/// A server that answers one request, or several in sequence.
pub(crate) struct StubServer {
    /// The URL of the server.
    pub(crate) url: String,
    thread: JoinHandle<String>,
}

impl StubServer {
    /// Answers one request with this status and body.
    pub(crate) fn start(status: &str, body: &str) -> StubServer {
        StubServer::start_raw(&format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    /// Answers one request after the other with these statuses and bodies.
    pub(crate) fn start_each(answers: &[(&str, String)]) -> StubServer {
        let whole = |(status, body): &(&str, String)| {
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        StubServer::start_with(answers.iter().map(whole).collect())
    }

    /// Answers one request with these bytes, then closes the connection.
    pub(crate) fn start_raw(answer: &str) -> StubServer {
        StubServer::start_with(vec![answer.to_owned()])
    }

    fn start_with(answers: Vec<String>) -> StubServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = move |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read_request(&stream);
            stream.write_all(answer.as_bytes()).unwrap();
            request
        };
        let thread = std::thread::spawn(move || answers.into_iter().map(answer).collect());
        StubServer { url, thread }
    }

    /// Returns the requests that arrived: head and body.
    pub(crate) fn request(self) -> String {
        self.thread.join().unwrap()
    }
}

fn read_request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut request).unwrap() > 0, "the request broke off: {request}");
    }
    let lower = request.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let length = length.map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request + &String::from_utf8(body).unwrap()
}
