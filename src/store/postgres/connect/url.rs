//! The URL of a database, in libpq's format:
//! `postgres://user:password@host:port/database?keyword=value&...`.

use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use super::channel_binding;
use super::ssl_mode::SslMode;

/// The port of a server unless another one is specified.
pub(super) const DEFAULT_PORT: u16 = 5432;

/// A password, which is never displayed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Password(pub(super) String);

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// The parameters in a URL, which are valid. Those that it leaves out are taken from other sources
/// when the store is opened (see `endpoint.rs`).
///
/// `tokio_postgres::Config` parses URLs too, but does not report which values a URL left out (see
/// `docs/decisions/0025-own-connector-for-postgresql.md`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PostgresUrl {
    /// The URL as it is displayed, without its password.
    shown: String,
    password: Option<Password>,
    /// libpq's keywords, and their values.
    values: Vec<(&'static str, String)>,
}

/// The supported keywords, each with its environment variable.
pub(super) const KEYWORDS: [(&str, &str); 16] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("dbname", "PGDATABASE"),
    ("passfile", "PGPASSFILE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("application_name", "PGAPPNAME"),
    ("options", "PGOPTIONS"),
    ("service", "PGSERVICE"),
];

impl PostgresUrl {
    /// Parses a URL. The error is a sentence without its subject, and contains no part of the
    /// password.
    pub fn parse(text: &str) -> Result<PostgresUrl, String> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or("does not begin with `postgres://`")?;
        let mut url = PostgresUrl::default();
        let (account, rest) = split_account(rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        if database.contains('@') {
            // Otherwise the password would be displayed.
            return Err("has a `/` before its `@`: in a password it is written `%2F`".into());
        }
        let (user, password) = account.split_once(':').unwrap_or((account, ""));
        url.put("user", user)?;
        url.put("password", password)?;
        url.put_hosts(hosts)?;
        url.put("dbname", database)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (keyword, value) = pair.split_once('=').ok_or("has a parameter without a value")?;
            url.put(keyword, value)?;
        }
        url.shown = url.show();
        Ok(url)
    }

    /// Returns the value of a keyword, if the URL has one.
    pub(super) fn get(&self, keyword: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == keyword).map(|(_, value)| value.as_str())
    }

    /// Returns true if both URLs name the same tables, as far as the URLs alone can show. The
    /// account and the way to connect do not matter.
    pub fn is_same_place(&self, other: &PostgresUrl) -> bool {
        let tables = |url: &PostgresUrl| {
            let value = |keyword| url.get(keyword).map(str::to_owned);
            let port = value("port").or_else(|| Some(DEFAULT_PORT.to_string()));
            let database = value("dbname").or_else(|| value("user"));
            [value("host"), value("hostaddr"), port, database, value("options"), value("service")]
        };
        tables(self) == tables(other)
    }

    pub(super) fn password(&self) -> Option<&Password> {
        self.password.as_ref()
    }

    /// Splits `host1:1,host2` into lists of hosts and ports.
    fn put_hosts(&mut self, text: &str) -> Result<(), String> {
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for part in text.split(',') {
            // An IPv6 address is in brackets.
            let end = part.rfind(']').map_or(0, |end| end + 1);
            let (host, port) = match part[end..].find(':') {
                Some(colon) => (&part[..end + colon], &part[end + colon + 1..]),
                None => (part, ""),
            };
            hosts.push(host.trim_start_matches('[').trim_end_matches(']'));
            ports.push(port);
        }
        if ports.iter().any(|port| !port.is_empty()) {
            self.put("port", &ports.join(","))?;
        }
        self.put("host", &hosts.join(","))
    }

    fn put(&mut self, keyword: &str, value: &str) -> Result<(), String> {
        match keyword {
            // JDBC's spelling, which libpq accepts too
            "ssl" if value == "true" => self.set("sslmode", "require".into()),
            keyword => self.set(keyword, decode(value)?),
        }
    }

    /// Sets a keyword that has no value yet, from a source that comes after the URL.
    pub(super) fn set_missing(&mut self, keyword: &str, value: String) -> Result<(), String> {
        if self.get(keyword).is_some() || keyword == "password" && self.password.is_some() {
            return Ok(());
        }
        self.set(keyword, value)
    }

    /// Sets a keyword. As in libpq, the last value counts. An empty value counts as none.
    fn set(&mut self, keyword: &str, value: String) -> Result<(), String> {
        if is_without_effect(keyword, &value) {
            return Ok(());
        }
        let (keyword, _) = KEYWORDS.into_iter().find(|(known, _)| *known == keyword).ok_or_else(|| {
            format!("has the parameter `{keyword}`, or a value of it, which is not supported: remove it")
        })?;
        if value.is_empty() {
            return Ok(());
        }
        check(keyword, &value)?;
        if keyword == "password" {
            self.password = Some(Password(value));
            return Ok(());
        }
        self.values.retain(|(known, _)| *known != keyword);
        self.values.push((keyword, value));
        Ok(())
    }

    fn show(&self) -> String {
        let user = self.get("user").map(|user| format!("{user}@")).unwrap_or_default();
        let hosts: Vec<_> = self.get("host").unwrap_or_default().split(',').collect();
        let mut ports = self.get("port").unwrap_or_default().split(',');
        let mut last_port = "";
        let servers: Vec<_> = hosts
            .iter()
            .map(|host| {
                last_port = ports.next().unwrap_or(last_port);
                let host = if host.contains(':') { format!("[{host}]") } else { (*host).to_owned() };
                if last_port.is_empty() { host } else { format!("{host}:{last_port}") }
            })
            .collect();
        format!("postgres://{user}{}/{}", servers.join(","), self.get("dbname").unwrap_or_default())
    }
}

/// Displays the URL without the password and without parameters.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

/// Splits the account off what follows the scheme. As in libpq, the account may contain a `?`, but
/// no `/`.
fn split_account(rest: &str) -> (&str, &str) {
    let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
    match authority.rfind('@') {
        Some(at) if authority.find('?').is_none_or(|query| authority[..query.min(at)].contains(':')) => {
            (&rest[..at], &rest[at + 1..])
        }
        _ => ("", rest),
    }
}

/// Returns true for keywords of libpq that require what always holds: the server must be writable,
/// and texts are UTF-8.
fn is_without_effect(keyword: &str, value: &str) -> bool {
    match keyword {
        "target_session_attrs" => matches!(value, "" | "any" | "read-write" | "primary"),
        "gssencmode" => matches!(value, "" | "prefer" | "disable"),
        "client_encoding" => matches!(value.to_ascii_lowercase().as_str(), "" | "auto" | "utf8" | "utf-8"),
        _ => false,
    }
}

/// Checks the value of a keyword. The error texts do not repeat the value.
fn check(keyword: &str, value: &str) -> Result<(), String> {
    let is_fine = match keyword {
        "port" => {
            value.split(',').all(|port| port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0))
        }
        "hostaddr" => value.split(',').all(|address| address.is_empty() || address.parse::<IpAddr>().is_ok()),
        "connect_timeout" => value.parse::<u64>().is_ok(),
        "sslmode" => SslMode::parse(value).is_some(),
        "channel_binding" => channel_binding::parse(value).is_some(),
        _ => !value.contains('\0'),
    };
    if is_fine { Ok(()) } else { Err(format!("has an invalid `{keyword}`")) }
}

/// Decodes percent-encoding.
fn decode(text: &str) -> Result<String, String> {
    let begins_with_digits =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    if !text.split('%').skip(1).all(begins_with_digits) {
        return Err("has a `%` that is not followed by two hexadecimal digits (write `%25` for `%`)".into());
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| "is not UTF-8 after decoding its `%`".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(&'static str, String)> {
        let mut values = PostgresUrl::parse(text).unwrap().values;
        values.sort();
        values
    }

    #[test]
    fn every_part_becomes_keyword() {
        let url = "postgresql://jo:p%40ss:w%2Frd@db.example:6432/logs?sslmode=verify-full&options=-c%20search_path%3Dx";
        let expected = [
            ("dbname", "logs"),
            ("host", "db.example"),
            ("options", "-c search_path=x"),
            ("port", "6432"),
            ("sslmode", "verify-full"),
            ("user", "jo"),
        ];
        assert_eq!(values(url), expected.map(|(keyword, value)| (keyword, value.to_owned())));
        assert_eq!(PostgresUrl::parse(url).unwrap().password, Some(Password("p@ss:w/rd".into())));
    }

    #[test]
    fn missing_parts_have_no_values() {
        for url in ["postgres://", "postgres:///", "postgres:///?", "postgres://@:/"] {
            assert_eq!(values(url), [], "{url}");
        }
    }

    #[test]
    fn hosts_may_be_names_addresses_or_socket_folders() {
        for (url, host, port, shown) in [
            ("postgres://[::1]:5433/db", "::1", "5433", "postgres://[::1]:5433/db"),
            ("postgres://[::1]/db", "::1", "", "postgres://[::1]/db"),
            ("postgres://%2Frun%2Fpg/db", "/run/pg", "", "postgres:///run/pg/db"),
            ("postgres:///db?host=/run/pg&port=1", "/run/pg", "1", "postgres:///run/pg:1/db"),
            ("postgres://a:1,b:2/db", "a,b", "1,2", "postgres://a:1,b:2/db"),
            ("postgres://a,b/db?port=7", "a,b", "7", "postgres://a:7,b:7/db"),
        ] {
            let url = PostgresUrl::parse(url).unwrap();
            assert_eq!((url.get("host").unwrap(), url.get("port").unwrap_or("")), (host, port), "{url}");
            assert_eq!(url.to_string(), shown);
        }
    }

    #[test]
    fn password_is_never_displayed() {
        for url in ["postgres://jo:secret@h/db", "postgres://jo@h/db?password=secret"] {
            let url = PostgresUrl::parse(url).unwrap();
            assert_eq!(url.password.as_ref().unwrap().0, "secret");
            assert_eq!(url.to_string(), "postgres://jo@h/db");
            assert!(!format!("{url:?}").contains("secret"));
        }
        let error = PostgresUrl::parse("postgres://jo:secret%@h/db").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn password_may_contain_question_mark_and_at() {
        for (url, password) in [
            ("postgres://jo:a?b@h/db?sslmode=disable", "a?b"),
            ("postgres://jo:a@b@h/db?sslmode=disable", "a@b"),
            ("postgres://jo:a?b@h?sslmode=disable", "a?b"),
        ] {
            let parsed = PostgresUrl::parse(url).unwrap();
            assert_eq!(parsed.password, Some(Password(password.into())), "{url}");
            let named = ["user", "host", "sslmode"].map(|keyword| parsed.get(keyword));
            assert_eq!(named, [Some("jo"), Some("h"), Some("disable")], "{url}");
        }
        let url = PostgresUrl::parse("postgres://h?password=a@b").unwrap();
        assert_eq!((url.get("host"), url.password.clone()), (Some("h"), Some(Password("a@b".into()))));
    }

    #[test]
    fn keywords_without_effect_are_accepted() {
        for parameter in [
            "target_session_attrs=read-write",
            "target_session_attrs=primary",
            "target_session_attrs=any",
            "gssencmode=disable",
            "client_encoding=UTF8",
        ] {
            let url = format!("postgres://h/db?{parameter}");
            assert_eq!(values(&url), [("dbname", "db".to_owned()), ("host", "h".to_owned())], "{url}");
        }
    }

    #[test]
    fn invalid_urls_are_rejected() {
        for (url, part) in [
            ("mysql://h/db", "does not begin"),
            ("postgres://h/db?sslmod=x", "`sslmod`, or a value of it, which is not supported"),
            ("postgres://h/db?target_session_attrs=standby", "`target_session_attrs`, or a value of it"),
            ("postgres://h/db?gssencmode=require", "`gssencmode`, or a value of it"),
            ("postgres://h/db?sslmode=sometimes", "invalid `sslmode`"),
            ("postgres://h/db?channel_binding=always", "invalid `channel_binding`"),
            ("postgres://h:many/db", "invalid `port`"),
            ("postgres://h:0/db", "invalid `port`"),
            ("postgres://h/db?hostaddr=10.0.0.1,h", "invalid `hostaddr`"),
            ("postgres://jo:12/secret@h/db", "a `/` before its `@`"),
            ("postgres://h/d%zz", "two hexadecimal digits"),
            ("postgres://h/d%+1", "two hexadecimal digits"),
            ("postgres://h/d%1", "two hexadecimal digits"),
            ("postgres://h/%ff", "not UTF-8"),
            ("postgres://h/a%00b", "invalid `dbname`"),
            ("postgres://h/db?connect_timeout=soon", "invalid `connect_timeout`"),
            ("postgres://h/db?sslmode", "without a value"),
        ] {
            let error = PostgresUrl::parse(url).unwrap_err();
            assert!(error.contains(part), "{url}: {error}");
        }
    }
}
