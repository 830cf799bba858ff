//! Rejects requests that are addressed to, or come from, another site.
//!
//! Pages of other sites have no access: a request that a browser sends for such a page is rejected,
//! so that no page that a user opens can write or read records. Browsers identify these requests in
//! two headers. `Origin` names the site of the page. `Sec-Fetch-Site` describes how that site
//! relates to this one: `same-origin`; `none`, if a person typed the address; `same-site`, which
//! includes other ports of this machine and other names of the same domain, all of which may belong
//! to other people; `cross-site`. Only the web page itself, which contains no records, is served to
//! a client that follows a link.
//!
//! These checks depend on `Host`. Therefore a request has exactly one `Host`. If two programs read
//! a request (a proxy and this one), they must not read different values: headers that may occur
//! only once are rejected if they occur twice.

use std::net::{IpAddr, Ipv6Addr};

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Request, Response, StatusCode, Version};

use super::response::{Body, problem};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Headers that may occur at most once in a request.
const SINGLE: [HeaderName; 5] = [HOST, ORIGIN, SEC_FETCH_SITE, CONTENT_TYPE, CONTENT_ENCODING];

/// Why a request is rejected.
#[derive(Debug, PartialEq, Eq)]
pub enum SiteRefusal {
    /// The request violates HTTP.
    Malformed(&'static str),
    /// The request comes from, or is addressed to, another site.
    Foreign,
}

impl SiteRefusal {
    /// Returns the response to such a request.
    pub fn answer(&self) -> Response<Body> {
        match self {
            SiteRefusal::Malformed(detail) => {
                problem(StatusCode::BAD_REQUEST, "the request is not valid HTTP", detail, None)
            }
            SiteRefusal::Foreign => problem(
                StatusCode::FORBIDDEN,
                "requests from pages of other sites are refused",
                "the header Origin or Sec-Fetch-Site names another site than Host, or Host is no name of this machine",
                Some("on this machine it is reached as localhost, by address, or by a name without a dot"),
            ),
        }
    }
}

/// Rejects malformed requests and requests from other sites. `is_link`: a link on another site may
/// lead to this path. `is_local`: the client is on this machine.
pub fn check<B>(request: &Request<B>, is_link: bool, is_local: bool) -> Result<(), SiteRefusal> {
    let headers = request.headers();
    if SINGLE.iter().any(|name| headers.get_all(name).iter().nth(1).is_some()) {
        return Err(SiteRefusal::Malformed(
            "Host, Origin, Sec-Fetch-Site, Content-Type or Content-Encoding occurs more than once",
        ));
    }
    let host = match headers.get(HOST) {
        Some(host) => Some(host.to_str().ok().and_then(Host::parse).ok_or(BAD_HOST)?),
        // HTTP/1.0 has no Host. No browser uses HTTP/1.0, but health checks do.
        None if request.version() < Version::HTTP_11 => None,
        None => return Err(SiteRefusal::Malformed("the header Host is missing")),
    };
    // A target that is a complete URL takes precedence over Host: the two must agree.
    if let Some(authority) = request.uri().authority()
        && !host.as_ref().is_some_and(|host| host.text.eq_ignore_ascii_case(authority.as_str()))
    {
        return Err(SiteRefusal::Malformed(
            "the target of the request names another host than the header Host",
        ));
    }
    let is_foreign = is_foreign(headers, host.as_ref()) && !is_link;
    if is_foreign || is_local && host.is_some_and(|host| host.is_renamed()) {
        return Err(SiteRefusal::Foreign);
    }
    Ok(())
}

const BAD_HOST: SiteRefusal =
    SiteRefusal::Malformed("the header Host is no name or address with, or without, a port");

/// Returns true if a browser sent the request for a page of another site.
fn is_foreign(headers: &HeaderMap, host: Option<&Host<'_>>) -> bool {
    let is_other_site =
        headers.get(SEC_FETCH_SITE).is_some_and(|site| site != "same-origin" && site != "none");
    let is_own = |origin: &str| {
        // Any page can have the origin `null`.
        let Some((_, origin)) = origin.split_once("://") else { return false };
        host.is_some_and(|host| host.text.eq_ignore_ascii_case(origin))
    };
    is_other_site || headers.get(ORIGIN).is_some_and(|origin| !origin.to_str().is_ok_and(is_own))
}

/// The value of a header `Host`: a name or an address, and optionally a port.
struct Host<'a> {
    text: &'a str,
    name: &'a str,
}

impl Host<'_> {
    fn parse(text: &str) -> Option<Host<'_>> {
        let (name, port) = match text.strip_prefix('[') {
            Some(address) => {
                let (address, port) = address.split_once(']')?;
                let number = address.split('%').next().unwrap_or_default(); // without its zone
                number.parse::<Ipv6Addr>().ok()?;
                (&text[..=address.len() + 1], port)
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let is_port =
            |port: &str| port.is_empty() || port.parse::<u16>().is_ok_and(|_| !port.starts_with('+'));
        let is_in_names = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%[]:".contains(&byte);
        let is_host = !name.is_empty() && name.bytes().all(is_in_names);
        (is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)))
            .then_some(Host { text, name })
    }

    /// Returns true if the name belongs to another site although the client is on this machine. A
    /// page can point its own name to loopback (DNS rebinding), and its requests would then use
    /// that name.
    fn is_renamed(&self) -> bool {
        let is_address = self.name.starts_with('[') || self.name.parse::<IpAddr>().is_ok();
        self.name.contains('.') && !is_address && !self.name.eq_ignore_ascii_case("localhost.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Option<bool> {
        Host::parse(text).map(|host| host.is_renamed())
    }

    #[test]
    fn host_of_this_machine_is_accepted_in_every_form() {
        for text in [
            "localhost",
            "LocalHost:9022",
            "localhost:",
            "localhost.",
            "localhost.:80",
            "127.0.0.1:9022",
            "[::1]",
            "[::1]:9022",
            "[fe80::1%eth0]:9022",
            "[fe80::1%25eth0]",
            "my_logs-1",
            "null",
        ] {
            assert_eq!(host(text), Some(false), "{text}");
        }
        for text in
            ["evil.example", "evil.example:80", "evil.", "127.0.0.1.nip.io", "localhost.evil.example", "1.2"]
        {
            assert_eq!(host(text), Some(true), "{text}");
        }
    }

    #[test]
    fn invalid_host_is_rejected() {
        for text in [
            "",
            ":",
            ":80",
            "user@localhost",
            "user:password@localhost",
            "localhost:port",
            "localhost:+80",
            "localhost:65536",
            "localhost:80:80",
            "::1",
            "[::1",
            "[::1]80",
            "[::1]]",
            "[]",
            "[localhost]",
            "local host",
            "localhost,evil.example",
            "localhost/path",
            "localhost\\x",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    fn ask(version: Version, uri: &str, headers: &[(&'static str, &str)]) -> Result<(), SiteRefusal> {
        let mut request = Request::builder().version(version).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap(), false, true)
    }

    const MALFORMED: fn(Result<(), SiteRefusal>) -> bool =
        |result| matches!(result, Err(SiteRefusal::Malformed(_)));

    #[test]
    fn target_and_host_must_agree() {
        let ask = |uri, headers: &[(&'static str, &str)]| ask(Version::HTTP_11, uri, headers);
        assert_eq!(ask("http://LOCALHOST:9022/x", &[("host", "localhost:9022")]), Ok(()));
        assert!(MALFORMED(ask("http://evil.example/x", &[("host", "localhost")])));
        assert!(MALFORMED(ask("http://user@localhost/x", &[("host", "localhost")])));
        assert!(MALFORMED(ask("http://localhost/x", &[])));
    }

    #[test]
    fn missing_host_is_accepted_only_in_http_1_0() {
        assert!(MALFORMED(ask(Version::HTTP_11, "/", &[])));
        assert_eq!(ask(Version::HTTP_10, "/", &[]), Ok(()));
        assert_eq!(ask(Version::HTTP_10, "/", &[("origin", "http://localhost")]), Err(SiteRefusal::Foreign));
    }

    #[test]
    fn duplicate_headers_are_rejected() {
        for name in ["host", "origin", "sec-fetch-site", "content-type", "content-encoding"] {
            let once = [("host", "localhost"), (name, "localhost")];
            let twice = [once[0], once[1], once[1]];
            assert!(MALFORMED(ask(Version::HTTP_11, "/", &twice)), "{name}");
        }
    }

    #[test]
    fn requests_of_other_sites_are_rejected_by_header() {
        let ask = |name, value| ask(Version::HTTP_11, "/", &[("host", "localhost:9022"), (name, value)]);
        for (name, value) in [
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
            ("origin", "http://localhost:9022"),
            ("origin", "https://LOCALHOST:9022"),
        ] {
            assert_eq!(ask(name, value), Ok(()), "{name}: {value}");
        }
        for (name, value) in [
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-origin, none"),
            ("sec-fetch-site", ""),
            ("origin", "http://localhost:3000"),
            ("origin", "http://localhost:9022 http://evil.example"),
            ("origin", "http://evil.example"),
            ("origin", "localhost:9022"),
            ("origin", "null"),
            ("origin", ""),
        ] {
            assert_eq!(ask(name, value), Err(SiteRefusal::Foreign), "{name}: {value}");
        }
    }
}
