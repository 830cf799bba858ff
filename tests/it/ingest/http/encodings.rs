//! Property: compressed bodies are read by their actual format, and damaged ones are reported.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{Answer, Server};

use super::{accepted, count, lines};

pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(body: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn post(server: &Server, encoding: &str, body: &[u8]) -> Answer {
    server.request("POST", "/api/v1/records", &[("content-encoding", encoding)], body)
}

#[test]
fn every_encoding_is_accepted() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let plain = lines(1000, "compressed");
    let bodies = [
        ("gzip", gzip(&plain)),
        ("X-GZIP", gzip(&plain)),
        ("deflate", deflate(&plain)),
        ("zstd", zstd(&plain)),
        ("identity", plain.clone()),
    ];
    for (encoding, body) in &bodies {
        let answer = post(&server, encoding, body);
        assert_eq!((answer.status, answer.json()), (200, accepted(1000)), "{encoding}");
    }
    assert_eq!(count(&server), 1000 * bodies.len() as u64);
}

#[test]
fn wrong_encoding_headers_are_corrected() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let plain = lines(10, "lie");
    let array = br#"[{"message":"one"}]"#;
    let lies = [
        ("gzip", plain.clone(), 10),
        ("zstd", plain.clone(), 10),
        ("deflate", array.to_vec(), 1),
        ("identity", gzip(&plain), 10),
        ("identity", zstd(&plain), 10),
        ("deflate", gzip(&plain), 10),
    ];
    for (encoding, body, records) in &lies {
        let answer = post(&server, encoding, body);
        assert_eq!((answer.status, answer.json()), (200, accepted(*records)), "{encoding}");
    }
    assert_eq!(server.post(gzip(array)).json(), accepted(1));
    assert_eq!(count(&server), 52);
}

#[test]
fn several_members_form_one_body() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let plain = lines(100, "member");
    // A record crosses the boundary between two members.
    let (one, two) = plain.split_at(plain.len() / 2 + 3);
    assert_eq!(post(&server, "gzip", &[gzip(one), gzip(two)].concat()).json(), accepted(100));
    assert_eq!(post(&server, "zstd", &[zstd(one), zstd(two)].concat()).json(), accepted(100));
    assert_eq!(count(&server), 200);
}

/// What was read before the damage is kept, and the answer reports the damage.
#[test]
fn truncated_or_damaged_body_is_reported() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let plain: Vec<u8> = (0..20_000_u64)
        .flat_map(|n| {
            let noise = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("{{\"message\":\"{noise:x}\"}}\n").into_bytes()
        })
        .collect();
    for (encoding, whole) in [("gzip", gzip(&plain)), ("deflate", deflate(&plain)), ("zstd", zstd(&plain))] {
        let mut damaged = whole.clone();
        damaged[whole.len() / 2..][..64].fill(0xff);
        for (what, body) in [("cut", &whole[..whole.len() / 2]), ("damaged", &damaged)] {
            let answer = post(&server, encoding, body);
            let told = answer.json();
            let errors: Vec<&Value> = told["errors"].as_array().unwrap().iter().collect();
            let is_told = errors.iter().any(|error| {
                error["line"] == 0 && error["error"].as_str().unwrap().contains("cannot be read")
            });
            assert!(is_told, "{what} {encoding}: {told}");
            let taken = told["accepted"].as_u64().unwrap();
            assert!(what == "damaged" || taken < 20_000, "{what} {encoding}: {told}");
            assert_eq!(answer.status, if taken > 0 { 200 } else { 400 }, "{what} {encoding}: {told}");
        }
    }
    let source = server.source("http");
    assert_eq!(source["accepted"], count(&server));
}

#[test]
fn unknown_encoding_is_refused() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for encoding in ["br", "gzip, zstd", "compress"] {
        let answer = post(&server, encoding, b"{\"message\":\"m\"}");
        assert_eq!(answer.status, 415, "{}", answer.text());
        let error = &answer.json()["errors"][0]["error"];
        assert!(
            error.as_str().unwrap().contains(encoding)
                && error.as_str().unwrap().contains("gzip, deflate and zstd")
        );
    }
    assert_eq!((count(&server), json!({})), (0, server.source("http")["rejected"].clone()));
}
