//! Clients that send records with unique keys and remember which of them were acknowledged.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{PATIENCE, Server};

/// One HTTP connection that is kept open.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: &str) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// Posts records and returns the status, the head in lower case and the body.
    pub fn post(&mut self, body: &str) -> std::io::Result<(u16, String, String)> {
        self.request("POST", "/api/v1/records", body)
    }

    /// Sends any request, and returns the same parts of the answer.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> std::io::Result<(u16, String, String)> {
        let length = body.len();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: logboom\r\ncontent-length: {length}\r\n\r\n{body}");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        self.stream.read_exact(&mut body)?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok((status, head, String::from_utf8(body).unwrap()))
    }
}

/// Returns the record of a key, as a line of JSON.
pub fn record(key: &str) -> String {
    format!(r#"{{"message":"key={key}","level":"info","logger":"load","trace_id":"{key}"}}"#)
}

/// Returns the record of a key, with a message that is longer by this many bytes.
pub fn padded_record(key: &str, padding: usize) -> String {
    record(key).replacen("key=", &format!("{}key=", "x".repeat(padding)), 1)
}

/// Posts records that must be acknowledged, in one request, and returns their keys.
pub fn post(server: &Server, name: &str, count: usize) -> Vec<String> {
    let keys: Vec<_> = (0..count).map(|number| format!("{name}-{number}")).collect();
    let lines: Vec<_> = keys.iter().map(|key| record(key)).collect();
    let answer = server.post(lines.join("\n"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    keys
}

/// Posts records that must be acknowledged, each in a request of its own, and returns their keys.
pub fn post_each(server: &Server, name: &str, count: usize) -> Vec<String> {
    let keys: Vec<_> = (0..count).map(|number| format!("{name}-{number}")).collect();
    for key in &keys {
        let answer = server.post(record(key));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    keys
}

/// The answers that the clients of a test received.
#[derive(Default)]
pub struct Ledger {
    acknowledged: Mutex<Vec<String>>,
    answers: AtomicU64,
    /// Refusals so far, if they are expected.
    refusals: Option<AtomicU64>,
    stop: AtomicBool,
}

impl Ledger {
    /// Returns a ledger whose clients accept refusals that tell them to retry.
    pub fn with_refusals(self) -> Ledger {
        Ledger { refusals: Some(AtomicU64::new(0)), ..self }
    }

    /// Returns the number of requests so far that were refused completely.
    pub fn refusals(&self) -> u64 {
        self.refusals.as_ref().unwrap().load(SeqCst)
    }

    /// Returns the keys whose answer was 200.
    pub fn acknowledged(&self) -> Vec<String> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// Returns the acknowledged keys after the first `known`.
    pub fn acknowledged_since(&self, known: usize) -> Vec<String> {
        self.acknowledged.lock().unwrap()[known..].to_vec()
    }

    /// Returns the number of answers with status 200 so far.
    pub fn answers(&self) -> u64 {
        self.answers.load(SeqCst)
    }

    /// Ends the clients after the answer that they are waiting for.
    pub fn stop(&self) {
        self.stop.store(true, SeqCst);
    }

    /// Clears the last stop, for clients that start from now on.
    pub fn go_on(&self) {
        self.stop.store(false, SeqCst);
    }

    /// Posts records, `batch` of them per request, until `stop` is called or the connection is
    /// lost.
    pub fn post_on(self: &Arc<Self>, address: &str, name: &str, batch: usize) -> JoinHandle<()> {
        self.post_padded_on(address, name, batch, 0)
    }

    /// Posts records as [`Ledger::post_on`] does, with longer messages.
    pub fn post_padded_on(
        self: &Arc<Self>,
        address: &str,
        name: &str,
        batch: usize,
        padding: usize,
    ) -> JoinHandle<()> {
        let (ledger, address, name) = (Arc::clone(self), address.to_owned(), name.to_owned());
        std::thread::spawn(move || {
            let Ok(mut connection) = Connection::open(&address) else { return };
            for request in 0.. {
                if ledger.stop.load(SeqCst)
                    || ledger.post(&mut connection, &format!("{name}-{request}"), batch, padding).is_err()
                {
                    return;
                }
            }
        })
    }

    fn post(
        &self,
        connection: &mut Connection,
        name: &str,
        batch: usize,
        padding: usize,
    ) -> std::io::Result<()> {
        let keys: Vec<String> = (0..batch).map(|number| format!("{name}-{number}")).collect();
        let lines: Vec<String> = keys.iter().map(|key| padded_record(key, padding)).collect();
        let (status, head, body) = connection.post(&lines.join("\n"))?;
        match status {
            429 | 503 if self.refusals.is_some() => {
                assert!(head.contains("\r\nretry-after: "), "{head}");
                assert!(body.starts_with("{\"accepted\":0,"), "{body}");
                self.refusals.as_ref().unwrap().fetch_add(1, SeqCst);
            }
            200 => {
                assert!(body.starts_with(&format!("{{\"accepted\":{batch},\"rejected\":0,")), "{body}");
                self.acknowledged.lock().unwrap().extend(keys);
                self.answers.fetch_add(1, SeqCst);
            }
            status => panic!("{status}: {body}"),
        }
        Ok(())
    }
}

/// A process with a `SocketHandler`, which logs without a pause once it has received an address, up
/// to a number of records.
///
/// The standard handler discards a record that the system has not accepted within a second, and
/// connects again, when another test's server may already listen at the address. This handler
/// waits, and connects once. Its records therefore arrive without a gap, however slow the machine
/// is.
pub struct PythonLoad {
    child: Child,
}

const PYTHON_LOAD: &str = r#"
import logging, logging.handlers, os, select, sys
logging.raiseExceptions = False
class Handler(logging.handlers.SocketHandler):
    was_connected = False
    def makeSocket(self, timeout=1):
        if self.was_connected:
            raise OSError("it is connected once")
        sock = super().makeSocket(timeout)
        sock.settimeout(None)
        self.was_connected = True
        return sock
log = logging.getLogger("load")
log.setLevel(logging.INFO)
handler, name, n, most = None, "", 0, int(sys.argv[1])
while True:
    if handler is None or n == most or select.select([0], [], [], 0)[0]:
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(0, 1)
            if not byte:
                if handler:
                    handler.close()
                sys.exit(0)
            line += byte
        if handler:
            log.removeHandler(handler)
            handler.close()
        host, port, name = line.decode().split()
        handler = Handler(host, int(port))
        log.addHandler(handler)
        n = 0
    key = "%s-%d" % (name, n)
    log.info("key=%s", key, extra={"trace_id": key})
    n += 1
"#;

impl PythonLoad {
    /// Starts a process that waits for an address.
    pub fn start(records_max: u64) -> PythonLoad {
        let mut command = Command::new("python3");
        let child = command
            .args(["-c", PYTHON_LOAD, &records_max.to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        PythonLoad { child }
    }

    /// Logs to an address from now on, with keys that start with a name.
    pub fn aim(&mut self, address: &str, name: &str) {
        let (host, port) = address.rsplit_once(':').unwrap();
        writeln!(self.child.stdin.as_ref().unwrap(), "{host} {port} {name}").unwrap();
    }
}

impl Drop for PythonLoad {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
