//! Runs the checks of the fuzz targets on every input that once failed, and compares the pickle
//! decoder with CPython.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "these are tests, and what the targets share with the fuzzer's crate is public there"
)]

mod cpython;
// Not a dependency: the crate of the fuzz targets needs the fuzzer, which is built in C++.
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

/// `tests/data/fuzz/TARGET/` holds them, each named after what was wrong.
#[test]
fn inputs_that_once_failed_pass() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz");
    let mut folders: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    for (target, check) in targets::TARGETS {
        let Some(folder) = folders.iter().position(|folder| folder == target) else { continue };
        for entry in fs::read_dir(data.join(folders.remove(folder))).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            check(&fs::read(path).unwrap());
        }
    }
    assert!(folders.is_empty(), "no target is called {folders:?}");
}
