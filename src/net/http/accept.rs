//! What a client accepts: the headers `Accept` and `Accept-Encoding` (RFC 9110, section 12.5).

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName};

/// How much a client wants an alternative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Preference {
    /// How exactly an element of the header names the alternative; 0 if none does.
    pub exactness: u8,
    /// The parameter `q` of that element, in thousandths.
    pub quality: u16,
}

/// The exactness of an element that names the alternative itself.
pub const NAMED: u8 = 3;

/// An element of a list: `text/plain;version=0.0.4;q=0.5`.
struct Element<'a>(&'a str);

impl<'a> Element<'a> {
    fn name(&self) -> &'a str {
        self.0.split(';').next().unwrap_or_default().trim()
    }

    fn is_named(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        let pairs = self.0.split(';').skip(1).filter_map(|pair| pair.split_once('='));
        let mut pairs = pairs.filter(|(known, _)| known.trim().eq_ignore_ascii_case(name));
        pairs.next().map(|(_, value)| value.trim().trim_matches('"'))
    }

    /// Returns the quality in thousandths; 0, which means "not accepted", if it is invalid.
    fn quality(&self) -> u16 {
        let Some(text) = self.parameter("q") else { return 1000 };
        let quality = text.parse::<f32>().ok().filter(|quality| (0.0..=1.0).contains(quality));
        (quality.unwrap_or(0.0) * 1000.0) as u16
    }
}

/// Returns the preference of the most exact element; `exactness` compares an element with the
/// alternative.
fn preference(headers: &HeaderMap, header: HeaderName, exactness: impl Fn(&Element<'_>) -> u8) -> Preference {
    let lists = headers.get_all(header).into_iter().filter_map(|value| value.to_str().ok());
    let elements = lists.flat_map(|list| list.split(',')).map(Element);
    let preferences =
        elements.map(|element| Preference { exactness: exactness(&element), quality: element.quality() });
    preferences.filter(|preference| preference.exactness > 0).max().unwrap_or_default()
}

/// Returns how much a client wants a media type of this version.
pub fn media_type(headers: &HeaderMap, name: &str, version: &str) -> Preference {
    let (group, _) = name.split_once('/').unwrap_or((name, ""));
    preference(headers, ACCEPT, |element| {
        let is_version = element.parameter("version").is_none_or(|wanted| wanted == version);
        match element.name().split_once('/') {
            Some(_) if element.is_named(name) && is_version => NAMED,
            Some((wanted, "*")) if wanted.eq_ignore_ascii_case(group) => 2,
            Some(("*", "*")) => 1,
            _ => 0,
        }
    })
}

/// Returns true if a response may be compressed with gzip, and the client does not prefer it as it
/// is.
pub fn gzip(headers: &HeaderMap) -> bool {
    let gzip = preference(headers, ACCEPT_ENCODING, |element| match element.name() {
        _ if element.is_named("gzip") || element.is_named("x-gzip") => NAMED,
        "*" => 1,
        _ => 0,
    });
    let identity = preference(headers, ACCEPT_ENCODING, |element| u8::from(element.is_named("identity")));
    gzip.quality > 0 && gzip.quality >= identity.quality
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_needs_a_quality_above_zero() {
        for (accepted, expected) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0.5, identity;q=0.5", true),
            ("*", true),
            ("identity;q=0, *;q=0.1", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("gzip;q=0.5, identity", false),
            ("gzip;q=2", false),
            ("br", false),
            ("gzipped", false),
            ("", false),
        ] {
            assert_eq!(gzip(&headers(ACCEPT_ENCODING, accepted)), expected, "{accepted}");
        }
        assert!(!gzip(&HeaderMap::new()));
    }

    #[test]
    fn most_exact_element_decides_about_a_media_type() {
        let of = |accepted| media_type(&headers(ACCEPT, accepted), "text/plain", "0.0.4");
        for (accepted, exactness, quality) in [
            ("text/plain", 3, 1000),
            ("text/plain;version=0.0.4;q=0.3, */*;q=0.9", 3, 300),
            ("text/plain;version=1.0.0, */*;q=0.2", 1, 200),
            ("Text/*; q=0.25, */*", 2, 250),
            ("text/plain;q=0, */*", 3, 0),
            ("application/json", 0, 0),
        ] {
            assert_eq!(of(accepted), Preference { exactness, quality }, "{accepted}");
        }
    }
}
