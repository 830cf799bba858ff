//! The web page: files that are part of the program, at `/` and `/assets/*`.
//!
//! The files are served as they are in `page/`, without a build step; each is compressed when it is
//! first requested. A browser revalidates its copies on every load (`ETag`), so that a new version
//! of the program is never used with an old page. The Content-Security-Policy limits what the page
//! may do: it executes and displays only what this server sent, so that no text of a record can
//! become a script.

use std::sync::OnceLock;

use flate2::Compression;
use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_NONE_MATCH, REFERRER_POLICY, VARY,
};
use hyper::{Response, StatusCode};

use crate::net::http::{Body, accept, gzip};

/// What the page may load and do. Its scripts set styles only through the CSSOM, which this policy
/// allows.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
struct Asset {
    name: &'static str,
    bytes: &'static [u8],
    gzip: OnceLock<Bytes>,
}

impl Asset {
    /// Returns the file as a gzip stream, if that is shorter.
    fn compressed(&self) -> Option<Bytes> {
        let gzip = self.gzip.get_or_init(|| gzip::whole(self.bytes, Compression::best()));
        (gzip.len() < self.bytes.len()).then(|| gzip.clone())
    }
}

macro_rules! assets {
    ($($name:literal)*) => {
        [$(Asset {
            name: $name,
            bytes: include_bytes!(concat!("page/", $name)),
            gzip: OnceLock::new(),
        }),*]
    };
}

static ASSETS: [Asset; 42] = assets! {
    "index.html"
    "icon.svg"
    "answer.js"
    "api.js"
    "app.js"
    "banner.js"
    "clipboard.js"
    "detail.js"
    "empty.js"
    "errors.js"
    "explore.js"
    "export.js"
    "facets.js"
    "format.js"
    "help.js"
    "histogram.js"
    "icons.js"
    "keyboard.js"
    "list.js"
    "memory.js"
    "notice.js"
    "operations.js"
    "pages.js"
    "popover.js"
    "query.js"
    "range.js"
    "saved.js"
    "search.js"
    "severity.js"
    "sparkline.js"
    "status.js"
    "tail.js"
    "theme.js"
    "url.js"
    "style/base.css"
    "style/detail.css"
    "style/reports.css"
    "style/results.css"
    "style/search.css"
    "vendor/preact.js"
    "vendor/htm.LICENSE"
    "vendor/preact.LICENSE"
};

/// Returns true if the path belongs to the page. These files contain no user data, so any site may
/// link to them.
pub fn is_path(path: &str) -> bool {
    name_of(path).is_some()
}

/// Returns the file at a path of the page; `None` if there is no such file.
pub fn get(path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let name = name_of(path)?;
    let asset = ASSETS.iter().find(|asset| asset.name == name)?;
    let gzip = accept::gzip(headers).then(|| asset.compressed()).flatten();
    // Each encoding has its own tag, because the tag stands for the exact bytes.
    let encoding = if gzip.is_some() { "-gzip" } else { "" };
    let tag = format!("\"{:08x}-{:x}{encoding}\"", crc32c::crc32c(asset.bytes), asset.bytes.len());
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| contains(known.as_bytes(), tag.as_bytes()));
    let mut answer = Response::new(Either::Left(Full::default()));
    if is_known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        if gzip.is_some() {
            answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        *answer.body_mut() = Either::Left(gzip.unwrap_or(Bytes::from_static(asset.bytes)).into());
    }
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, content_type(asset.name)),
        (CACHE_CONTROL, "no-cache"),
        (VARY, "accept-encoding"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    Some(answer)
}

fn name_of(path: &str) -> Option<&str> {
    if path == "/" { Some("index.html") } else { path.strip_prefix("/assets/") }
}

/// Searches for the tag as a substring: `If-None-Match` is a list, and a proxy may have made the
/// tag weak.
fn contains(list: &[u8], tag: &[u8]) -> bool {
    memchr::memmem::find(list, tag).is_some()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn files_of(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => files_of(&entry.path(), &format!("{name}/"), found),
                false => found.push(name),
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let mut files = Vec::new();
        files_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/view/page"), "", &mut files);
        let mut served: Vec<_> = ASSETS.iter().map(|asset| asset.name.to_owned()).collect();
        files.sort();
        served.sort();
        assert_eq!(files, served);
    }

    #[test]
    fn index_loads_every_module_directly() {
        let index = std::str::from_utf8(ASSETS[0].bytes).unwrap();
        for asset in ASSETS.iter().filter(|asset| asset.name.ends_with(".js") || asset.name.ends_with(".css"))
        {
            assert!(
                index.contains(&format!("\"assets/{}\"", asset.name)),
                "{} waits for another",
                asset.name
            );
        }
    }

    #[test]
    fn known_etag_returns_not_modified() {
        let first = get("/assets/app.js", &HeaderMap::new()).unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        let known = format!("\"other\", W/{}", first.headers()[ETAG].to_str().unwrap());
        headers.insert(IF_NONE_MATCH, HeaderValue::from_str(&known).unwrap());
        assert_eq!(get("/assets/app.js", &headers).unwrap().status(), StatusCode::NOT_MODIFIED);
        assert_eq!(get("/", &headers).unwrap().status(), StatusCode::OK);
    }

    #[test]
    fn each_encoding_has_its_own_tag() {
        let accepting = |more: Option<&HeaderValue>| {
            let mut headers =
                HeaderMap::from_iter([(hyper::header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
            headers.extend(more.map(|tag| (IF_NONE_MATCH, tag.clone())));
            get("/assets/app.js", &headers).unwrap()
        };
        let plain = get("/assets/app.js", &HeaderMap::new()).unwrap();
        let gzip = accepting(None);
        assert!(
            gzip.headers()[CONTENT_ENCODING] == "gzip" && !plain.headers().contains_key(CONTENT_ENCODING)
        );
        assert_ne!(plain.headers()[ETAG], gzip.headers()[ETAG]);
        assert_eq!(
            (&plain.headers()[VARY], &gzip.headers()[VARY]),
            (&"accept-encoding".parse().unwrap(), &"accept-encoding".parse().unwrap())
        );
        assert_eq!(accepting(Some(&gzip.headers()[ETAG])).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(accepting(Some(&plain.headers()[ETAG])).status(), StatusCode::OK);
    }

    #[test]
    fn paths_outside_page_are_not_served() {
        assert!(get("/assets/../page.rs", &HeaderMap::new()).is_none());
        assert!(get("/assets/", &HeaderMap::new()).is_none());
        assert!(!is_path("/api/v1/records") && !is_path("/assets") && !is_path(""));
    }
}
