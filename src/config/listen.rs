//! Listeners: the protocol, the address, and the labels of records that arrive there.

use std::fmt;
use std::path::PathBuf;

use super::nearest::nearest;
use super::shape::{Arity, Shape};
use crate::limits::UNIX_PATH_BYTES_MAX;

/// One socket to receive records on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The protocol of its clients.
    pub protocol: Protocol,
    /// The address on which it listens.
    pub address: ListenAddress,
    /// Labels that are added to every record of the listener, as names and values. `service` and
    /// `host` fill the record's fields.
    pub labels: Vec<(String, String)>,
}

/// The protocol of a listener's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Python's `logging.handlers.SocketHandler`: length-prefixed pickles over a stream.
    Python,
    /// Python's `logging.handlers.DatagramHandler`: the same, one per datagram.
    PythonUdp,
    /// HTTP/1.1: receives records, and serves everything else.
    Http,
}

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `host:port`; the host is a name, an IPv4 address, or an IPv6 address in brackets.
    Inet(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// The values of `listen`.
pub(super) const LISTENER: Shape<Listener> = Shape {
    name: "PROTOCOL=ADDRESS",
    accepts: "a protocol, an address, and labels if need be: `python=0.0.0.0:9020,service=billing,env=prod` or \
              `python=unix:/run/logboom.sock`",
    form: Arity::List,
    parse: Listener::parse,
};

impl Protocol {
    /// Every protocol.
    pub const ALL: [Protocol; 3] = [Protocol::Python, Protocol::PythonUdp, Protocol::Http];

    /// Returns the name of the protocol, as `listen` and messages use it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Python => "python",
            Protocol::PythonUdp => "python-udp",
            Protocol::Http => "http",
        }
    }

    /// Returns true if the protocol uses datagrams: TCP and UDP may share a port number.
    pub fn is_datagram(self) -> bool {
        self == Protocol::PythonUdp
    }

    fn parse(name: &str) -> Result<Protocol, String> {
        if let Some(protocol) = Protocol::ALL.into_iter().find(|known| known.name() == name) {
            return Ok(protocol);
        }
        let known = Protocol::ALL.map(Protocol::name);
        let meant =
            nearest(name, known).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        Err(format!("has the unknown protocol `{name}` (known are `{}`){meant}", known.join("`, `")))
    }
}

impl Listener {
    /// Parses `PROTOCOL=ADDRESS[,LABEL=VALUE]...`.
    fn parse(text: &str) -> Result<Listener, String> {
        let (protocol, rest) = text.split_once('=').ok_or("has no `=` between protocol and address")?;
        let protocol = Protocol::parse(protocol)?;
        let (address, labels) = match rest.split_once(',') {
            None => (rest, Vec::new()),
            Some((address, labels)) => (address, parse_labels(labels)?),
        };
        Ok(Listener { protocol, address: ListenAddress::parse(address)?, labels })
    }
}

fn parse_labels(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for label in text.split(',') {
        let (name, value) = label.split_once('=').ok_or(format!("has a label without a value, `{label}`"))?;
        if name.is_empty() || value.is_empty() {
            return Err(format!("has an empty name or value in the label `{label}`"));
        }
        if labels.iter().any(|(known, _)| known == name) {
            return Err(format!("has the label `{name}` twice"));
        }
        labels.push((name.into(), value.into()));
    }
    Ok(labels)
}

impl ListenAddress {
    fn parse(text: &str) -> Result<ListenAddress, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("has no path after `unix:`".into()),
            Some(path) if path.len() > UNIX_PATH_BYTES_MAX => Err(format!(
                "has a path of {} bytes; a Unix socket's may have {UNIX_PATH_BYTES_MAX}",
                path.len()
            )),
            Some(path) => Ok(ListenAddress::Unix(path.into())),
            None => parse_inet(text),
        }
    }
}

fn parse_inet(text: &str) -> Result<ListenAddress, String> {
    let (host, port) =
        text.rsplit_once(':').ok_or(format!("has no `:` between host and port in `{text}`"))?;
    if host.is_empty() {
        return Err(format!("has no host before the port; `0.0.0.0:{port}` means every interface"));
    }
    let is_bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if is_bare_ipv6 {
        return Err(format!("has an IPv6 address without brackets; `[{host}]:{port}` is clear"));
    }
    match port.parse::<u16>() {
        Ok(_) => Ok(ListenAddress::Inet(text.into())),
        Err(_) => Err(format!("has the port `{port}`, which is not a number from 0 to 65535")),
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Inet(address) => formatter.write_str(address),
            ListenAddress::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_address_and_labels_are_parsed() {
        let listener = Listener::parse("python=127.0.0.1:9020,service=billing,env=a=b").unwrap();
        assert_eq!(listener.protocol, Protocol::Python);
        assert_eq!(listener.address, ListenAddress::Inet("127.0.0.1:9020".into()));
        assert_eq!(listener.labels, [("service".into(), "billing".into()), ("env".into(), "a=b".into())]);
        let unix = Listener::parse("python=unix:/run/x.sock").unwrap();
        assert_eq!(unix.address, ListenAddress::Unix("/run/x.sock".into()));
        assert_eq!(unix.address.to_string(), "unix:/run/x.sock");
        assert!(Listener::parse("http=[::1]:0").is_ok());
    }

    #[test]
    fn protocol_is_parsed_by_name() {
        for (name, protocol) in ["python", "python-udp", "http"].into_iter().zip(Protocol::ALL) {
            assert_eq!(protocol.name(), name);
            assert_eq!(Protocol::parse(name), Ok(protocol));
        }
    }

    #[test]
    fn invalid_listener_is_described() {
        let long = format!("python=unix:/{}", "x".repeat(UNIX_PATH_BYTES_MAX));
        for (text, part) in [
            ("9020", "no `=`"),
            ("pyton=127.0.0.1:9020", "known are `python`, `python-udp`, `http`); did you mean `python`?"),
            ("python=9020", "no `:`"),
            ("python=:9020", "`0.0.0.0:9020`"),
            ("python=::1:9020", "`[::1]:9020`"),
            ("python=localhost:99999", "`99999`"),
            ("python=unix:", "no path"),
            (&long, "108 bytes"),
            ("python=a:1,b", "label without a value, `b`"),
            ("python=a:1,b=", "empty name or value"),
            ("python=a:1,b=1,b=2", "label `b` twice"),
        ] {
            let error = Listener::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
