//! Where the command line hands over to the rest of the program: `crate::pipeline` and `crate::spool`.

use std::path::Path;

use crate::config::Config;
use crate::failure::Failure;

/// Runs the server until it is told to stop: `crate::pipeline::run(config)`.
pub(super) fn serve(config: Config) -> Result<(), Failure> {
    Err(not_wired("serve", &config.data_dir))
}

/// Prints what the spool in a data folder holds, as `crate::spool` reads it.
pub(super) fn spool_inspect(data_dir: &Path) -> Result<(), Failure> {
    Err(not_wired("spool inspect", data_dir))
}

/// Reads the whole spool in a data folder and checks every checksum, with `crate::spool`.
pub(super) fn spool_verify(data_dir: &Path) -> Result<(), Failure> {
    Err(not_wired("spool verify", data_dir))
}

fn not_wired(command: &str, data_dir: &Path) -> Failure {
    Failure::new(format!("cannot {command} {}", data_dir.display())).because("not wired")
}
