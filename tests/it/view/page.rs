//! Property: the web page may access only its own server, and a link on another site may open only
//! the page itself. The behaviour of the page is tested in `tests/browser`.

use tempfile::TempDir;
use test_support::Server;

#[test]
fn page_may_access_only_its_own_server() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/?q=level%3Aerror", "text/html; charset=utf-8"),
        ("/assets/app.js", "text/javascript; charset=utf-8"),
        ("/assets/style/base.css", "text/css; charset=utf-8"),
        ("/assets/vendor/preact.LICENSE", "text/plain; charset=utf-8"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.head.contains(&format!("content-type: {content_type}")), "{}", answer.head);
        assert!(answer.head.contains("content-security-policy: default-src 'none'; script-src 'self'"));
        assert!(answer.head.contains("x-content-type-options: nosniff"));
        assert!(answer.head.contains("cache-control: no-cache") && answer.head.contains("etag: \""));
    }
    assert_eq!(server.get("/assets/").status, 404);
    assert_eq!(server.get("/assets/nothing.js").status, 404);
    assert_eq!(server.request("POST", "/", &[], b"").status, 405);
}

#[test]
fn ready_message_contains_the_address_of_the_page() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    assert_eq!(server.log_line("ready").unwrap()["page"], format!("{}/", server.url()));
}

#[test]
fn unchanged_page_is_not_sent_again() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let first = server.get("/assets/app.js");
    let tag = first.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let again = server.request("GET", "/assets/app.js", &[("if-none-match", tag)], b"");
    assert_eq!((again.status, again.body.len()), (304, 0), "{}", again.head);
}

#[test]
fn link_on_another_site_may_open_only_the_page() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let get = |path, headers: &[(&str, &str)]| server.request("GET", path, headers, b"").status;
    let followed = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    assert_eq!(get("/?record=1", &followed), 200);
    assert_eq!(get("/api/v1/records", &followed), 403);
    assert_eq!(get("/api/v1/status", &[("origin", "http://elsewhere.example")]), 403);
    assert_eq!(server.request("POST", "/", &followed, b"").status, 403);
}
