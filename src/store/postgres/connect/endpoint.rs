//! Where to connect, as whom and how. The sources, in this order, are the URL, the service that it
//! names, libpq's environment and libpq's defaults.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::config::ChannelBinding;

use super::passfile::Passfile;
use super::ssl_mode::SslMode;
use super::url::{DEFAULT_PORT, KEYWORDS, Password, PostgresUrl};
use super::{channel_binding, service};
use crate::limits::POSTGRES_CONNECT_SECONDS;

/// The address on which one server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// A name or address, and a port. The certificate must be issued for the name.
    Tcp { host: String, address: Option<IpAddr>, port: u16 },
}

/// All parameters of a connection.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Tried in this order.
    pub(super) servers: Vec<ServerAddress>,
    pub(super) user: String,
    pub(super) database: String,
    password: Option<Password>,
    passfile: Option<Passfile>,
    pub(super) ssl_mode: SslMode,
    /// `system`, or a file of certificates.
    pub(super) root_certificates: Option<PathBuf>,
    /// The files of the client's certificate and its key.
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(super) channel_binding: ChannelBinding,
    pub(super) connect_timeout: Duration,
    pub(super) application_name: String,
    pub(super) options: Option<String>,
}

/// The folders in which servers create their sockets: Debian's, and that of PostgreSQL's own
/// builds.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

impl Endpoint {
    /// Completes a URL. The error is a complete sentence.
    pub(crate) fn new(
        url: &PostgresUrl,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Endpoint, String> {
        let mut parameters = url.clone();
        service::complete(&mut parameters, &environment)?;
        for (keyword, variable) in KEYWORDS {
            let value = environment(variable).unwrap_or_default();
            parameters
                .set_missing(keyword, value.clone())
                .map_err(|_| format!("{variable} is `{value}`, which is not a valid value"))?;
        }
        let value = |keyword| parameters.get(keyword).map(str::to_owned);
        let path = |keyword| value(keyword).map(PathBuf::from);
        let user = value("user").map_or_else(whoami::username, Ok);
        let user = user.map_err(|error| format!("the user name cannot be determined: {error}"))?;
        let home = environment("HOME").map(PathBuf::from);
        let in_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let existing = |name: &str| in_home(name).filter(|path| path.exists());
        let root_certificates = path("sslrootcert").or_else(|| existing(".postgresql/root.crt"));
        let ssl_mode = parameters.get("sslmode").and_then(SslMode::parse);
        let certificate = path("sslcert").or_else(|| existing(".postgresql/postgresql.crt"));
        let key = path("sslkey").or_else(|| in_home(".postgresql/postgresql.key"));
        let channel_binding = parameters.get("channel_binding").and_then(channel_binding::parse);
        Ok(Endpoint {
            servers: servers(&parameters)?,
            database: value("dbname").unwrap_or_else(|| user.clone()),
            user,
            password: parameters.password().cloned(),
            passfile: path("passfile").or_else(|| in_home(".pgpass")).map(Passfile::new),
            ssl_mode: SslMode::resolve(ssl_mode, root_certificates.as_deref())?,
            root_certificates,
            client_certificate: certificate.zip(key),
            channel_binding: channel_binding.unwrap_or(ChannelBinding::Prefer),
            connect_timeout: connect_timeout(parameters.get("connect_timeout")),
            application_name: value("application_name").unwrap_or_else(|| "logboom".into()),
            options: value("options"),
        })
    }

    /// Returns the password for a server. The file is read again for each connection, so that it
    /// can be changed.
    pub(super) fn password(&self, server: &ServerAddress) -> Option<Password> {
        let found = || {
            let (host, port) = match server {
                ServerAddress::Tcp { host, port, .. } => (host.as_str(), *port),
                ServerAddress::Unix(path) => socket_in_passfile(path),
            };
            let wanted = [host, &port.to_string(), &self.database, &self.user];
            self.passfile.as_ref()?.find(wanted)
        };
        self.password.clone().or_else(found)
    }
}

/// Displays database, servers and user, and never the password.
impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} on ", self.database)?;
        for (at, server) in self.servers.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(formatter, "{separator}{server}")?;
        }
        write!(formatter, " (as {})", self.user)
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerAddress::Unix(path) => write!(formatter, "{}", path.display()),
            ServerAddress::Tcp { host, port, .. } if host.contains(':') => {
                write!(formatter, "[{host}]:{port}")
            }
            ServerAddress::Tcp { host, port, .. } => write!(formatter, "{host}:{port}"),
        }
    }
}

/// Returns host and port as they are in a password file. As in libpq, the host is `localhost` if
/// the socket is in its usual place, and the folder otherwise.
fn socket_in_passfile(path: &Path) -> (&str, u16) {
    let port = path.extension().and_then(|port| port.to_str()?.parse().ok()).unwrap_or(DEFAULT_PORT);
    let folder = path.parent().and_then(Path::to_str).unwrap_or_default();
    (if SOCKET_FOLDERS.contains(&folder) { "localhost" } else { folder }, port)
}

/// Returns the time limit. 0 means no limit in libpq; here every wait has one. As in libpq, 2
/// seconds is the minimum.
fn connect_timeout(text: Option<&str>) -> Duration {
    Duration::from_secs(match text.and_then(|text| text.parse().ok()) {
        None | Some(0) => POSTGRES_CONNECT_SECONDS,
        Some(seconds) => seconds.clamp(2, 3600),
    })
}

fn servers(parameters: &PostgresUrl) -> Result<Vec<ServerAddress>, String> {
    let list = |keyword| -> Vec<&str> {
        parameters.get(keyword).map(|text| text.split(',').collect()).unwrap_or_default()
    };
    let [hosts, addresses, ports] = ["host", "hostaddr", "port"].map(list);
    let count = hosts.len().max(addresses.len()).max(1);
    if !addresses.is_empty() && addresses.len() != count || ports.len() > 1 && ports.len() != count {
        return Err("the numbers of hosts, addresses and ports differ".into());
    }
    let server_at = |at: usize| {
        let port = ports.get(at).or(ports.first()).and_then(|port| port.parse().ok());
        let address = addresses.get(at).and_then(|address| address.parse().ok());
        server(hosts.get(at).copied().unwrap_or_default(), address, port.unwrap_or(DEFAULT_PORT))
    };
    Ok((0..count).map(server_at).collect())
}

fn server(host: &str, address: Option<IpAddr>, port: u16) -> ServerAddress {
    match (host, address) {
        ("", Some(address)) => ServerAddress::Tcp { host: address.to_string(), address: Some(address), port },
        (host, None) if host.is_empty() || host.starts_with('/') => {
            let usual = || SOCKET_FOLDERS.into_iter().find(|folder| Path::new(folder).is_dir());
            let folder = if host.is_empty() { usual().unwrap_or(SOCKET_FOLDERS[0]) } else { host };
            ServerAddress::Unix(Path::new(folder).join(format!(".s.PGSQL.{port}")))
        }
        (host, address) => {
            ServerAddress::Tcp { host: host.into(), address: address.or_else(|| host.parse().ok()), port }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, variables: &[(&str, &str)]) -> Result<Endpoint, String> {
        let get = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Endpoint::new(&PostgresUrl::parse(url).unwrap(), get)
    }

    fn host(name: &str, port: u16) -> ServerAddress {
        ServerAddress::Tcp { host: name.into(), address: name.parse().ok(), port }
    }

    #[test]
    fn url_wins_over_environment() {
        let variables = [
            ("PGHOST", "elsewhere"),
            ("PGPORT", "7"),
            ("PGUSER", "ann"),
            ("PGDATABASE", "theirs"),
            ("PGPASSWORD", "hers"),
            ("PGSSLMODE", "verify-full"),
            ("PGAPPNAME", "other"),
            ("PGOPTIONS", "-c search_path=y"),
            ("PGCONNECT_TIMEOUT", "3"),
        ];
        let from_environment = endpoint("postgres://", &variables).unwrap();
        assert_eq!(from_environment.servers, [host("elsewhere", 7)]);
        assert_eq!((from_environment.user.as_str(), from_environment.database.as_str()), ("ann", "theirs"));
        assert_eq!(from_environment.password, Some(Password("hers".into())));
        assert_eq!(from_environment.ssl_mode, SslMode::VerifyFull);
        assert_eq!(from_environment.application_name, "other");
        assert_eq!(from_environment.options.as_deref(), Some("-c search_path=y"));
        assert_eq!(from_environment.connect_timeout, Duration::from_secs(3));

        let url = "postgres://jo:his@127.0.0.1:6/db?sslmode=disable&application_name=a&connect_timeout=1&options=-cx";
        let from_url = endpoint(url, &variables).unwrap();
        assert_eq!(from_url.servers, [host("127.0.0.1", 6)]);
        assert_eq!((from_url.user.as_str(), from_url.database.as_str()), ("jo", "db"));
        assert_eq!(from_url.password, Some(Password("his".into())));
        assert_eq!(from_url.ssl_mode, SslMode::Disable);
        assert_eq!(from_url.connect_timeout, Duration::from_secs(2));
    }

    #[test]
    fn service_ranks_between_url_and_environment() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let text = "# ours\nport=1\n\n[other]\nhost=nowhere\n[mine]\nhost=h1,h2\n port=7\nport=8\nuser=jo\ndbname=logs\npassword=p=%40\n\
                    options=-c search_path=own\n[last]\nhost=nowhere\n";
        std::fs::write(path("ours.conf"), text).unwrap();
        std::fs::write(path("pg_service.conf"), "[everybody]\nhost=all\n[broken]\nhots=x\n").unwrap();
        let (ours, system) = (path("ours.conf"), path(""));
        let all =
            [("PGSERVICEFILE", ours.as_str()), ("PGSYSCONFDIR", &system), ("PGUSER", "ann"), ("PGHOST", "e")];
        let mine = endpoint("postgres:///theirs?service=mine", &all).unwrap();
        assert_eq!(mine.servers, [host("h1", 7), host("h2", 7)]);
        assert_eq!((mine.user.as_str(), mine.database.as_str()), ("jo", "theirs"));
        assert_eq!(mine.password, Some(Password("p=%40".into())));
        assert_eq!(mine.options.as_deref(), Some("-c search_path=own"));

        let with = |service: &'static str| [&all[..], &[("PGSERVICE", service)]].concat();
        let everybody = endpoint("postgres://", &with("everybody")).unwrap();
        assert_eq!((&everybody.servers[..], everybody.user.as_str()), (&[host("all", 5432)][..], "ann"));
        for (service, part) in [("nobody", "the service `nobody` is not defined"), ("broken", "`hots`")] {
            let error = endpoint("postgres://", &with(service)).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn invalid_variable_is_rejected_unless_overridden() {
        for (variable, keyword, valid) in [
            ("PGSSLMODE", "sslmode", "disable"),
            ("PGCHANNELBINDING", "channel_binding", "disable"),
            ("PGCONNECT_TIMEOUT", "connect_timeout", "3"),
            ("PGPORT", "port", "7"),
            ("PGHOSTADDR", "hostaddr", "10.0.0.1"),
        ] {
            let error = endpoint("postgres://", &[(variable, "maybe")]).unwrap_err();
            assert_eq!(error, format!("{variable} is `maybe`, which is not a valid value"));
            let overridden = format!("postgres://?{keyword}={valid}");
            assert!(endpoint(&overridden, &[(variable, "maybe")]).is_ok(), "{overridden}");
        }
    }

    #[test]
    fn defaults_are_those_of_libpq() {
        let endpoint = endpoint("postgres://jo@", &[]).unwrap();
        assert!(
            matches!(&endpoint.servers[..], [ServerAddress::Unix(path)] if path.ends_with(".s.PGSQL.5432"))
        );
        assert_eq!(endpoint.database, "jo");
        assert_eq!(endpoint.ssl_mode, SslMode::Prefer);
        assert_eq!(endpoint.application_name, "logboom");
    }

    #[test]
    fn hosts_share_one_port_or_have_one_each() {
        let servers = |url| endpoint(url, &[]).map(|endpoint| endpoint.servers);
        assert_eq!(servers("postgres://a:1,b:2/"), Ok(vec![host("a", 1), host("b", 2)]));
        assert_eq!(servers("postgres://a,b/?port=3"), Ok(vec![host("a", 3), host("b", 3)]));
        let named = ServerAddress::Tcp { host: "a".into(), address: "10.0.0.1".parse().ok(), port: 5432 };
        assert_eq!(servers("postgres://a/?hostaddr=10.0.0.1"), Ok(vec![named]));
        assert!(servers("postgres://a,b/?port=1,2,3").is_err());
    }

    #[test]
    fn password_file_is_used_last() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join(".pgpass");
        std::fs::write(&path, "localhost:5432:db:jo:default\n/run/pg:7:db:jo:folder\nh:1:db:jo:host\n")
            .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let home = folder.path().to_str().unwrap();
        for (url, password) in [
            ("postgres://jo@%2Ftmp/db", Some("default")),
            ("postgres://jo@%2Frun%2Fpg:7/db", Some("folder")),
            ("postgres://jo@h:1/db", Some("host")),
            ("postgres://jo@h:2/db", None),
            ("postgres://jo:url@h:1/db", Some("url")),
        ] {
            let endpoint = endpoint(url, &[("HOME", home)]).unwrap();
            let found = endpoint.password(&endpoint.servers[0]);
            assert_eq!(found, password.map(|password| Password(password.into())), "{url}");
        }
    }

    #[test]
    fn named_authorities_are_verified() {
        let mode = |url| endpoint(url, &[]).unwrap().ssl_mode;
        assert_eq!(mode("postgres://h/?sslmode=require"), SslMode::Require);
        assert_eq!(mode("postgres://h/?sslmode=require&sslrootcert=ca.pem"), SslMode::VerifyCa);
        assert_eq!(mode("postgres://h/?sslmode=prefer&sslrootcert=ca.pem"), SslMode::Prefer);
        assert_eq!(mode("postgres://h/?sslrootcert=system"), SslMode::VerifyFull);
        for weak in ["disable", "prefer", "require", "verify-ca"] {
            let error =
                endpoint(&format!("postgres://h/?sslmode={weak}&sslrootcert=system"), &[]).unwrap_err();
            assert!(error.contains("`verify-full`"), "{error}");
        }
    }
}
