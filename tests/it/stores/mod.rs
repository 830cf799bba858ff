//! The stores keep every record once and are used again after any failure: ownership by data
//! folders, failures of databases and files, and in `postgres` real PostgreSQL servers.

mod claims;
mod failures;
mod migration;
mod postgres;

use std::path::Path;
use std::process::{Command, Output};

use test_support::{Server, eventually};

/// Returns why the store with this name does not accept records.
fn refusal(server: &Server, store: &str) -> String {
    eventually("it says why it does not ship", || {
        let stores = server.status()["stores"].take();
        let stores = stores.as_array().unwrap();
        stores.iter().find(|found| found["name"] == store)?["last_error"].as_str().map(str::to_owned)
    })
}

/// Waits until the store does not accept records for a reason that contains these words.
fn refused_for(server: &Server, store: &str, words: &[&str]) {
    eventually("it says why it does not ship", || {
        let told = refusal(server, store);
        words.iter().all(|word| told.contains(word)).then_some(())
    });
}

/// Copies a data folder, as people do to set up a second server.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Runs `logboom store adopt`.
fn adopt(store: &str, data_dir: &Path) -> Output {
    let mut command = Command::new(test_support::program());
    command.args(["store", "adopt", store, "--data-dir"]).arg(data_dir);
    command.env_remove("LOGBOOM_DATA_DIR").output().unwrap()
}
