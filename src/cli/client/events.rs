//! Server-sent events (WHATWG HTML, section 9.2): parses the lines of such a stream.

use super::http::ServerResponse;
use crate::failure::Failure;

/// A stream of events.
pub(crate) struct EventStream {
    pub(crate) answer: ServerResponse,
    /// The last id that the server sent: where to resume after a lost connection.
    pub(crate) last_id: Option<String>,
}

/// One event. Name and data are empty if the server only sent the position of the stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamEvent {
    /// The type of the event.
    pub(crate) name: String,
    /// The data of the event.
    pub(crate) data: Vec<u8>,
}

impl EventStream {
    /// Returns true if another event has already arrived.
    pub(crate) fn has_more(&self) -> bool {
        memchr::memmem::find(self.answer.arrived(), b"\n\n").is_some()
    }

    /// Returns the next event; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Result<Option<StreamEvent>, Failure> {
        let (mut event, mut id, mut line) = (StreamEvent::default(), None, Vec::new());
        while self.answer.next_line(&mut line)? {
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() {
                self.last_id = id.or(self.last_id.take());
                return Ok(Some(event));
            }
            let (name, value) = field(line);
            let text = || String::from_utf8_lossy(value).into_owned();
            match name {
                b"id" => id = Some(text()),
                b"event" => event.name = text(),
                b"data" => {
                    if !event.data.is_empty() {
                        event.data.push(b'\n');
                    }
                    event.data.extend_from_slice(value);
                }
                _ => {} // a comment, or a field that only later versions define
            }
        }
        Ok(None) // an unfinished event is discarded
    }
}

/// Splits a line into name and value: `name: value`.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b':', line).unwrap_or(line.len());
    let value = line.get(end + 1..).unwrap_or_default();
    (&line[..end], value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::{ApiClient, stub_server::StubServer};

    #[test]
    fn events_are_parsed_and_last_id_is_kept() {
        let body = ":\nid: 4\n\nid: 5\nevent: record\ndata: {\"id\":5}\n\nevent:missed\r\ndata:1\ndata: 2\r\n\r\n\
                    retry: 5\n:\nid: 9\n\nid: 10\nevent: record\ndata: {";
        let server = StubServer::start("200 OK", body);
        let answer = ApiClient::to(&server.url).unwrap().follow("/", &[]).unwrap();
        let mut events = EventStream { answer, last_id: None };
        let event = |name: &str, data: &str| Some(StreamEvent { name: name.into(), data: data.into() });
        assert_eq!(events.next().unwrap(), event("", ""));
        assert_eq!(events.last_id.as_deref(), Some("4"));
        assert!(events.has_more());
        assert_eq!(events.next().unwrap(), event("record", "{\"id\":5}"));
        assert_eq!(events.last_id.as_deref(), Some("5"));
        assert_eq!(events.next().unwrap(), event("missed", "1\n2"));
        assert_eq!(events.next().unwrap(), event("", ""));
        assert!(!events.has_more(), "the rest of it may take its time");
        assert_eq!(events.next().unwrap(), None);
        assert_eq!(events.last_id.as_deref(), Some("9"), "what was not finished did not come");
    }
}
