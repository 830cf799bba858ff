//! Property: `spool inspect` and `spool verify` report contents and damage of a spool without
//! changing it or disturbing a server.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use test_support::{Server, Setup, eventually};

use super::{assert_fails, err, out, run};

fn spool(command: &str, data_dir: &Path) -> std::process::Output {
    run(&["spool", command, "--data-dir", data_dir.to_str().unwrap()])
}

/// Returns the words of the line of each segment.
fn segments(page: &str) -> Vec<Vec<&str>> {
    let lines: Vec<_> = page.lines().collect();
    assert!(lines[0].starts_with("first id"), "{page}");
    lines[1..lines.len() - 1].iter().map(|line| line.split_whitespace().collect()).collect()
}

/// Returns the file of the only segment.
fn segment(data_dir: &Path) -> PathBuf {
    let files = fs::read_dir(data_dir.join("spool")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments = files.filter(|path| path.extension().is_some_and(|extension| extension == "segment"));
    segments.next().unwrap()
}

#[test]
fn running_server_is_not_disturbed() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for _ in 0..10 {
        assert_eq!(server.post("{\"message\":\"one\"}\n{\"message\":\"two\"}").status, 200);
    }
    for command in ["inspect", "verify"] {
        let output = spool(command, folder.path());
        assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
        let page = out(&output);
        assert_eq!(segments(&page), [["1", "20", "20", "10", segments(&page)[0][4], "16777216", "whole"]]);
        assert!(page.ends_with("20 records in 1 segment\n"), "{page}");
    }
    // The server was not disturbed.
    assert_eq!(server.post("{\"message\":\"after\"}").status, 200);
    server.flush();
    assert_eq!(server.value("select count(*) from logs"), 21);
}

#[test]
fn damage_is_reported_and_fails_verify() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path());
    for n in 0..10 {
        assert_eq!(server.post(format!("{{\"message\":\"record {n} of a damaged spool\"}}")).status, 200);
    }
    server.kill();
    let before = out(&spool("verify", folder.path()));
    let path = segment(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let at = memchr::memmem::find(&bytes, b"record 4 of").unwrap();
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let output = spool("inspect", folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let page = out(&output);
    assert_eq!(segments(&page)[0][..4], ["1", "10", "9", "9"], "{page}");
    assert!(page.contains("bytes damaged in 1 place"), "{page}");
    let output = spool("verify", folder.path());
    assert_eq!((output.status.code(), out(&output)), (Some(1), page));
    assert!(err(&output).contains("bytes of the spool are damaged\nhint: "), "{}", err(&output));
    // Neither command has changed anything.
    assert_eq!(fs::read(&path).unwrap(), bytes);
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(out(&spool("verify", folder.path())), before);
}

/// Beside a server that writes continuously, there is at most an unfinished commit at the end.
#[test]
fn verify_succeeds_while_server_writes() {
    let folder = TempDir::new().unwrap();
    let server = Setup::new().argument("--spool-segment-bytes=8MiB").start(folder.path());
    let body: String =
        (0..2000).map(|n| format!("{{\"message\":\"{n}\",\"padding\":\"{n:0500}\"}}\n")).collect();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for _ in 0..40 {
                assert_eq!(server.post(&body).status, 200);
            }
        });
        while !writing.is_finished() {
            let output = spool("verify", folder.path());
            assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
        }
    });
    server.flush();
    assert_eq!(server.value("select count(*) from record"), 80_000);
    eventually("segments are given up", || {
        let output = spool("inspect", folder.path());
        (segments(&out(&output)).len() <= 2).then_some(())
    });
}

#[test]
fn missing_spool_is_a_failure() {
    let folder = TempDir::new().unwrap();
    for command in ["inspect", "verify"] {
        assert_fails(
            &spool(command, &folder.path().join("nothing")),
            1,
            &["cannot read the spool", "nothing", "hint: --data-dir names"],
        );
    }
    assert!(!folder.path().join("nothing").exists());
}

#[test]
fn unreadable_segment_fails_verify() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path());
    assert_eq!(server.post("{\"message\":\"m\"}").status, 200);
    server.kill();
    let path = segment(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len() - 64;
    bytes[..256].fill(0xff);
    bytes[end..].fill(0xff); // the copy of the header
    fs::write(&path, &bytes).unwrap();
    let output = spool("verify", folder.path());
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    assert!(out(&output).contains("16777216 bytes damaged in 1 place"), "{}", out(&output));
}
